"""What an approval is about: one plan under one hash, and what is left of it (design §3.16)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.approval import Pending, Word, action_lines, dump_pending, load_pending
from connector.core.guards import Verdict
from connector.core.head import Approval
from connector.core.plan import Delete, Upsert
from tests.core.people import NOW, an_entry

LEAVERS = [Delete(an_entry("E1"), "absent"), Delete(an_entry("E2"), "absent")]
REJECTED = Verdict("rejected", "20 %", "30 %", tripped=True, code="too_many_rejected")
UNMATCHED = Verdict("match_rate", "50 %", "40 %", tripped=True, code="match_rate")
PASSED = Verdict("everyone", "one", "20", tripped=False, code="everyone")
HELD = Verdict("deletions", "3", "9", tripped=True)


def of(actions, *, export="x", mapping="m", guards=()) -> Pending:
    return Pending(export, mapping, tuple(guards), action_lines(actions))


def approved(*pending: Pending, export="x", mapping="m", known=True) -> Word:
    """Return the word of somebody who approved all that."""
    approvals = tuple(Approval(each.digest, "Ada", NOW) for each in pending)
    return Word(export, mapping, approvals=approvals, known={each.digest: each for each in pending} if known else {})


# --- the hash ---------------------------------------------------------------------------------------------------------


@given(st.permutations(range(4)))
def test_the_hash_does_not_depend_on_order(order):
    """However the actions are arranged, whatever else the entries hold, the same set has the same hash."""
    deletes = [Delete(an_entry(f"E{number}"), "absent") for number in range(4)]

    shuffled = [Delete(replace(deletes[number].entry, absent=7, resolved=3), "absent") for number in order]

    assert of(shuffled).digest == of(deletes).digest
    assert of((), guards=("a", "b")).digest == of((), guards=("b", "a")).digest


@pytest.mark.parametrize(
    "other",
    [
        of([Delete(an_entry("E1"), "left"), Delete(an_entry("E2"), "absent")]),
        of([Delete(an_entry("E1"), "absent")]),
        of([Delete(an_entry("E1"), "absent"), Delete(an_entry("E3"), "absent")]),
        of([Delete(an_entry("E1"), "absent"), Upsert(an_entry("E2"), 1, 0, created=False)]),
        of(LEAVERS, export="y"),
        of(LEAVERS, mapping="n"),
        of(LEAVERS, guards=("rekeyed",)),
    ],
)
def test_the_hash_covers_whatever_an_approval_speaks_of(other):
    """Items, actions, reasons, export, mapping and the guards that refused: another one of them is another hash."""
    assert other.digest.startswith("sha256:")
    assert other.digest != of(LEAVERS).digest


def test_what_waits_is_read_as_it_was_written():
    """Under its hash it can be compared with what is planned later; what is damaged says nothing."""
    pending = of(LEAVERS, guards=("rekeyed",))

    assert load_pending(dump_pending(pending)) == pending
    assert [load_pending(data) for data in (b"", b"[]", b"{}", b'{"export": 1}')] == [None] * 4


# --- what it lets pass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_an_approval_lets_its_own_plan_pass(known):
    """Even when what it was about is not known any more: the hash says all."""
    assert approved(of(LEAVERS), known=known).lets(of(LEAVERS))


@pytest.mark.parametrize(("now", "passes"), [(LEAVERS[:1], True), ([*LEAVERS, Delete(an_entry("E3"), "left")], False)])
def test_what_is_left_of_a_plan_passes_and_anything_more_does_not(now, passes):
    """Who is not to be deleted any more drops out; nobody comes in."""
    assert approved(of(LEAVERS)).lets(of(now)) is passes


@pytest.mark.parametrize(
    "other",
    [of(LEAVERS[:1], export="y"), of(LEAVERS[:1], mapping="n"), of(LEAVERS[:1], guards=("rekeyed",))],
)
def test_another_export_mapping_or_guard_does_not_pass(other):
    """However few people it is about."""
    assert not approved(of(LEAVERS)).lets(other)


def test_an_approved_export_does_not_delete_anybody():
    """The guards of a file are released; deletions above the limit are a question of their own."""
    assert not approved(of(LEAVERS, guards=("rekeyed",))).lets(of(LEAVERS))


def test_nothing_passes_without_an_approval():
    """A guard that tripped refuses the export, all that tripped with it wait together."""
    verdicts = [REJECTED, PASSED, UNMATCHED]

    refused = approved().judge(verdicts)

    assert refused is not None
    assert refused[0] == REJECTED
    assert set(refused[1].guards) == {"rejected", "match_rate"}
    assert verdicts == [REJECTED, PASSED, UNMATCHED]


def test_a_released_guard_is_marked_and_the_others_are_not():
    """The report tells what was passed over."""
    verdicts = [REJECTED, PASSED, HELD]

    refused = approved(of((), guards=("rejected",))).judge(verdicts)

    assert refused is None
    assert verdicts == [replace(REJECTED, released=True), PASSED, HELD]


def test_the_next_guard_refuses_for_both():
    """Whoever approved the first finding has not seen the second; what waits then is both, and nothing is released."""
    word, verdicts = approved(of((), guards=("rejected",))), [REJECTED]
    word.judge(verdicts)
    verdicts.append(UNMATCHED)

    refused = word.judge(verdicts)

    assert refused is not None
    assert (refused[0], set(refused[1].guards)) == (UNMATCHED, {"rejected", "match_rate"})
    assert not any(verdict.released for verdict in verdicts)


def test_whoever_approved_both_lets_both_pass_one_after_the_other():
    """Guards are judged in the order of the run."""
    word, verdicts = approved(of((), guards=("rejected", "match_rate"))), [REJECTED]

    first = word.judge(verdicts)
    verdicts.append(UNMATCHED)

    assert (first, word.judge(verdicts)) == (None, None)
    assert [each.plan for each in word.used] == [of((), guards=("rejected", "match_rate")).digest]


def test_what_was_released_for_an_export_before_needs_no_further_approval():
    """It is gone through again under the same mapping; a guard that trips for the first time does refuse it."""
    word = Word("x", "m", frozenset({"rejected"}))

    again, new = word.judge([REJECTED]), word.judge([REJECTED, UNMATCHED])

    assert again is None
    assert new is not None
    assert new[1].guards == ("match_rate",)
