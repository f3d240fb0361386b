"""What an approval is about: one plan under one hash, and what is left of it (design §3.16)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.approval import (
    Pending,
    Word,
    action_lines,
    dump_pending,
    left_of,
    load_pending,
    with_approvals,
)
from connector.core.guards import Verdict
from connector.core.head import Approval
from connector.core.plan import Delete, Upsert
from connector.core.report import Report
from tests.core.people import NOW, an_entry

LEAVERS = [Delete(an_entry("E1"), "absent"), Delete(an_entry("E2"), "absent")]
MORE = Delete(an_entry("E3"), "absent")
REJECTED = Verdict("rejected", "20 %", "30 %", tripped=True, code="too_many_rejected")
UNMATCHED = Verdict("match_rate", "50 %", "40 %", tripped=True, code="match_rate")
REKEYED = Verdict("rekeyed", "5 people", "6 people", tripped=True, code="rekeyed")
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


def test_of_a_plan_that_is_not_known_any_more_nothing_else_passes():
    """Nobody can say then whether something is what is left of it."""
    assert not approved(of(LEAVERS), known=False).lets(of(LEAVERS[:1]))


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
    assert refused[0] == [REJECTED, UNMATCHED]
    assert set(refused[1].guards) == {"rejected", "match_rate"}
    assert verdicts == [REJECTED, PASSED, UNMATCHED]


def test_a_released_guard_is_marked_and_the_others_are_not():
    """The report tells what was passed over."""
    verdicts = [REJECTED, PASSED, HELD]

    refused = approved(of((), guards=("rejected",))).judge(verdicts)

    assert refused is None
    assert verdicts == [replace(REJECTED, released=True), PASSED, HELD]


@pytest.mark.parametrize("known", [True, False])
def test_the_next_guard_refuses_and_the_first_approval_has_counted(known):
    """Whoever approved the first finding has not seen the second; what waits then is both, so one more is enough."""
    word, verdicts = approved(of((), guards=("rejected",)), known=known), [REJECTED]
    word.judge(verdicts)
    verdicts.append(UNMATCHED)

    refused = word.judge(verdicts)

    assert refused is not None
    assert (refused[0], set(refused[1].guards)) == ([UNMATCHED], {"rejected", "match_rate"})
    assert verdicts == [replace(REJECTED, released=True), UNMATCHED]
    assert [each.plan for each in word.used] == [of((), guards=("rejected",)).digest]


def test_two_approvals_of_one_guard_each_let_both_pass():
    """Nobody is asked again about what has been approved, by whomever."""
    verdicts = [REJECTED, UNMATCHED]

    refused = approved(of((), guards=("match_rate",)), of((), guards=("rejected",))).judge(verdicts)

    assert refused is None
    assert all(verdict.released for verdict in verdicts)


@pytest.mark.parametrize(("about", "passes"), [(LEAVERS, True), (LEAVERS[:1], True), ([*LEAVERS, MORE], False)])
def test_an_approved_guard_lets_pass_what_was_approved_of_it(about, passes):
    """What it is about may have become less, and no more; what another guard is about makes no difference to it."""
    word = approved(of(LEAVERS, guards=("rekeyed",)))
    verdicts = [REKEYED, UNMATCHED]

    refused = word.judge(verdicts, {"rekeyed": about, "match_rate": [MORE]})

    assert refused is not None
    assert verdicts[0].released is passes
    assert [verdict.name for verdict in refused[0]] == (["match_rate"] if passes else ["rekeyed", "match_rate"])
    assert refused[1].lines == action_lines([*about, MORE])


def test_deletions_that_are_held_are_no_reason_to_refuse():
    """They wait for themselves, once the export is taken."""
    refused = approved().judge([REJECTED, HELD])

    assert refused is not None
    assert (refused[0], refused[1]) == ([REJECTED], of((), guards=("rejected",)))


def test_a_guard_that_has_not_tripped_waits_for_nothing():
    """What it would be about is none of the plan."""
    refused = approved().judge([REKEYED, PASSED], {"rekeyed": LEAVERS, "everyone": [MORE]})

    assert refused is not None
    assert refused[1] == of(LEAVERS, guards=("rekeyed",))


def test_an_approval_of_deletions_is_none_of_a_file():
    """It is not even used by one, however little is in the way."""
    word = approved(of(LEAVERS))

    passed, refused = word.judge([PASSED, HELD]), word.judge([REJECTED])

    assert passed is None
    assert refused is not None
    assert word.used == []


def test_deletions_go_by_an_approval_of_just_these():
    """Its hash is remembered, for those that fail; without deletions none is used."""
    word = approved(of(LEAVERS))

    nothing, others, these = (word.lets_delete(of(each)) for each in ((), [*LEAVERS, MORE], LEAVERS))

    assert (nothing, others, these) == (False, False, True)
    assert word.deletes == of(LEAVERS).digest
    assert [each.plan for each in word.used] == [word.deletes]


def test_each_approval_is_used_once():
    """However often a run asks."""
    word = approved(of(LEAVERS))

    answers = [word.lets(of(LEAVERS)), word.lets(of(LEAVERS[:1]))]

    assert answers == [True, True]
    assert len(word.used) == 1


def test_what_is_refused_deletes_nobody():
    """An approval of deletions is taken back; that of the file has counted."""
    file = of((), guards=("rejected",))
    word = approved(of(LEAVERS), file)
    word.judge([REJECTED])
    word.lets_delete(of(LEAVERS))

    word.take_back()

    assert word.deletes == ""
    assert [each.plan for each in word.used] == [file.digest]


def test_whoever_approved_both_lets_both_pass_one_after_the_other():
    """Guards are judged in the order of the run."""
    word, verdicts = approved(of((), guards=("rejected", "match_rate"))), [REJECTED]

    first = word.judge(verdicts)
    verdicts.append(UNMATCHED)

    assert (first, word.judge(verdicts)) == (None, None)
    assert [each.plan for each in word.used] == [of((), guards=("rejected", "match_rate")).digest]


def test_what_an_approval_comes_to_is_told():
    """Who let a run do what it did; how many came to nothing, and whether by their age; of others nothing is said."""
    report = Report("r", "contosohr", "timer", "refused", "now")
    used, late, void, other, spent = (Approval(plan, plan, NOW) for plan in ("used", "late", "void", "other", "spent"))
    late = replace(late, at=NOW - 72 * 3600 - 1)
    spent = replace(spent, used=True)

    told = with_approvals(
        report, [used, late, void, other, spent], used=[used], now=NOW, about={"used", "late", "void", "spent"}
    )
    all_told = with_approvals(report, [used, late, void, other, spent], now=NOW)
    both = with_approvals(report, [used, other], used=[used, other], now=NOW)

    assert (told.approved, told.warnings) == (used.body(), {"approval_expired": 1, "approval_outdated": 1})
    assert both.approved == other.body()
    assert (all_told.approved, all_told.warnings) == (None, {"approval_expired": 1, "approval_outdated": 3})


def test_what_let_some_of_an_export_pass_goes_on_to():
    """For its 72 hours, without making a run by itself; what was about the export and of no use is gone."""
    used, void, other = (Approval(plan, plan, NOW) for plan in ("used", "void", "other"))
    spent, gone = Approval("spent", "Ada", NOW, used=True), Approval("gone", "Ada", NOW - 72 * 3600 - 1, used=True)

    left = left_of([used, void, other, spent, gone], judged={"used", "void"}, used=[used], now=NOW)

    assert left == (replace(used, used=True), other, spent)


def test_what_was_released_for_an_export_before_needs_no_further_approval():
    """It is gone through again under the same mapping; a guard that trips for the first time does refuse it."""
    word = Word("x", "m", frozenset({"rejected"}))

    again, new = word.judge([REJECTED]), word.judge([REJECTED, UNMATCHED])

    assert again is None
    assert new is not None
    assert ([verdict.name for verdict in new[0]], new[1].guards) == (["match_rate"], ("match_rate",))
