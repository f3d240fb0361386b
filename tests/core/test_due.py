"""Whether a tick has work, and which: exports in their order, requests, changes, and what is overdue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.due import Dropped, Request, Work, settled_exports, unmet_exports, work_due
from connector.core.head import ExportMark, Head, Refused, RunMark
from connector.core.ledger import DueTimes
from tests.core.people import DAY, NOW

MONDAY = Dropped("people-1.csv", "0x1", NOW - 3 * DAY)
TUESDAY = Dropped("people-2.csv", "0x2", NOW - 2 * DAY)
WEDNESDAY = Dropped("people-3.csv", "0x3", NOW - DAY)

APPLIED = Head(applied=MONDAY.mark(), circumstances="as always", incarnation="one", generation=1)
"""A head at rest: Monday's export is applied, nothing is due."""


def settled(*blobs: Dropped, now: float = NOW, seconds: float = 300) -> list[str]:
    """Return the names of the settled exports among these blobs."""
    found = settled_exports(
        blobs, storage_now=now, settle_seconds=seconds, takes=lambda name: name.endswith((".csv", ".zip"))
    )
    return [export.name for export in found]


def unmet(head: Head, *exports: Dropped, circumstances: str = "as always") -> list[Dropped]:
    """Return the exports that were neither applied nor refused."""
    return unmet_exports(head, exports, circumstances=circumstances)


def due(
    head: Head,
    *exports: Dropped,
    requests: tuple[Request, ...] = (),
    now: int = NOW,
    circumstances: str = "as always",
    incarnation: str = "one",
) -> Work | None:
    """Return what a tick does."""
    return work_due(head, exports, requests, now=now, circumstances=circumstances, incarnation=incarnation)


# --- settled exports --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "found"), [(299, []), (300, ["a.csv"]), (301, ["a.csv"]), (-5, [])])
def test_an_export_settles_with_age(age, found):
    """An export counts as uploaded when it is old enough by the storage's own clock."""
    assert settled(Dropped("a.csv", "0x1", NOW - age)) == found


def test_with_no_patience_an_export_is_settled_at_once():
    """EXPORT_SETTLE_SECONDS 0 takes what is there."""
    assert settled(Dropped("a.csv", "0x1", NOW), seconds=0) == ["a.csv"]


@pytest.mark.parametrize(
    ("marker", "modified", "found"),
    [
        ("a.csv.done", NOW, ["a.csv"]),
        ("a.csv.done", NOW - 10, ["a.csv"]),
        ("a.csv.done", NOW - 11, []),
        ("a.csv.manifest.json", NOW - 10, ["a.csv"]),
        ("a.csv.manifest.json", NOW - 3600, []),
        ("a.done", NOW, []),
        ("b.csv.done", NOW, []),
    ],
)
def test_a_marker_settles_its_export_unless_it_is_older(marker, modified, found):
    """NAME.done or a manifest says that an upload is whole; one from before the upload says nothing."""
    assert settled(Dropped("a.csv", "0x1", NOW - 10), Dropped(marker, "0x2", modified)) == found


def test_only_exports_are_exports():
    """Markers and files of other kinds are none, even where the pattern would take them."""
    blobs = [Dropped(name, "0x1", 0) for name in ("a.csv", "b.txt", "c.csv.done", "d.csv.manifest.json")]

    everything = settled_exports(blobs, storage_now=NOW, settle_seconds=0, takes=lambda _: True)

    assert settled(*blobs) == ["a.csv"]
    assert [export.name for export in everything] == ["a.csv", "b.txt"]


@given(st.permutations([*(Dropped(name, "0x1", moment) for name in "ab" for moment in (1.0, 2.0))]))
def test_exports_are_taken_in_the_order_of_time_and_name(blobs):
    """However storage lists them, the order is (Last-Modified, name)."""
    found = settled_exports(blobs, storage_now=NOW, settle_seconds=0, takes=lambda _: True)

    assert [(export.modified, export.name) for export in found] == [(1.0, "a"), (1.0, "b"), (2.0, "a"), (2.0, "b")]


# --- unmet exports ----------------------------------------------------------------------------------------------------


def test_an_applied_export_is_met_and_older_ones_are_passed():
    """What was applied is not applied again, and nothing older than it is."""
    applied = replace(APPLIED, applied=TUESDAY.mark())

    assert unmet(applied, MONDAY, TUESDAY, WEDNESDAY) == [WEDNESDAY]
    assert unmet(Head(), MONDAY, TUESDAY) == [MONDAY, TUESDAY]


def test_an_export_replaced_under_its_name_is_another_one():
    """The same name with another ETag, and necessarily newer, is taken."""
    again = replace(MONDAY, etag="0x9", modified=NOW - 60)

    assert unmet(APPLIED, again) == [again]


def test_exports_of_the_same_second_go_by_name():
    """Storage knows whole seconds only; a name decides, so that nothing is lost or applied twice."""
    twin = replace(MONDAY, name="people-9.csv", etag="0x9")
    elder = replace(MONDAY, name="a.csv", etag="0x8")

    assert unmet(APPLIED, elder, MONDAY, twin) == [twin]


def test_an_export_replaced_within_the_same_second_is_another_one():
    """Storage's clock does not tell them apart, the ETag does."""
    again = replace(MONDAY, etag="0x9")

    assert unmet(APPLIED, again) == [again]


def test_partial_exports_that_were_applied_are_met():
    """Partial exports are applied one by one, each once."""
    assert unmet(replace(APPLIED, partials=(TUESDAY.mark(),)), TUESDAY, WEDNESDAY) == [WEDNESDAY]


def test_a_refused_export_is_not_tried_again_until_something_changes():
    """The same file under the same settings and mapping stays refused; under others, or replaced, it is tried."""
    head = replace(APPLIED, refused=(Refused("people-2.csv", "0x2", "as always", "missing_column"),))
    replaced = replace(TUESDAY, etag="0x9")

    assert unmet(head, TUESDAY) == []
    assert unmet(head, TUESDAY, circumstances="another mapping") == [TUESDAY]
    assert unmet(head, replaced) == [replaced]


# --- what a tick does -------------------------------------------------------------------------------------------------


def test_with_nothing_due_a_tick_is_idle():
    """Everything as it was: no work."""
    assert due(APPLIED) is None
    assert due(Head()) is None


def test_a_new_export_is_work():
    """The unmet exports are the candidates, oldest first."""
    work = due(APPLIED, TUESDAY, WEDNESDAY)

    assert work is not None
    assert (work.kind, work.candidates, work.full) == ("export", (TUESDAY, WEDNESDAY), False)
    assert work.reasons == ("new export",)


def test_the_first_export_is_work():
    """Without any head an export is all it takes."""
    work = due(Head(), MONDAY)

    assert work is not None
    assert work.kind == "export"


@pytest.mark.parametrize("full", [False, True])
def test_a_request_goes_through_the_last_export_again(full):
    """Somebody asks for a run, perhaps a full one."""
    work = due(APPLIED, requests=(Request("r1"), Request("r2", full=full)))

    assert work is not None
    assert (work.kind, work.full, work.candidates) == ("again", full, ())


def test_a_request_before_any_export_finds_nothing_to_go_through():
    """Without an export there is nothing to do, whoever asks."""
    assert due(Head(), requests=(Request("r1", full=True),)) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"circumstances": "another mapping"}, "settings or mapping changed"),
        ({"incarnation": "two"}, "connection changed"),
    ],
)
def test_changed_circumstances_go_through_the_last_export_again(changed, reason):
    """Another mapping, other decisive settings, another connection: everyone is looked at once more."""
    work = due(APPLIED, **changed)

    assert work is not None
    assert (work.kind, work.reasons) == ("again", (reason,))


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        (DueTimes(failed=NOW), "failed items"),
        (DueTimes(unmatched=NOW - 1), "unmatched people"),
        (DueTimes(accounts=NOW), "known accounts"),
    ],
)
def test_what_is_overdue_goes_through_the_last_export_again(times, reason):
    """Failed items, unmatched people and known accounts have their moments, and not before."""
    head = replace(APPLIED, due=times)

    work = due(head)

    assert work is not None
    assert (work.kind, work.reasons) == ("again", (reason,))
    assert due(head, now=NOW - 2) is None


def test_what_is_never_due_never_is():
    """Zero means never."""
    assert due(replace(APPLIED, due=DueTimes()), now=NOW + 1000 * DAY) is None


def test_an_unfinished_run_comes_first():
    """A run that has not ended is taken up, whatever else there is; the new exports decide whether it goes on."""
    head = replace(APPLIED, run=RunMark("r1", (1,), TUESDAY.mark(), "as always", "i1"))

    work = due(head, WEDNESDAY, requests=(Request("r"),))

    assert work is not None
    assert (work.kind, work.candidates) == ("resume", (WEDNESDAY,))


# --- after a failed run -----------------------------------------------------------------------------------------------

FAILED = APPLIED.failed(TUESDAY.mark(), now=NOW)
"""Tuesday's export failed just now."""


def test_a_failed_run_waits():
    """The same export is not tried again before its time, and then it is."""
    assert due(FAILED, TUESDAY) is None
    assert due(FAILED, TUESDAY, now=FAILED.retry_at - 1) is None
    assert due(FAILED, TUESDAY, now=FAILED.retry_at) is not None


def test_a_failed_run_waits_with_what_is_due_too():
    """What is overdue waits with the run: it would fail alike."""
    assert due(replace(FAILED, due=DueTimes(failed=NOW)), TUESDAY) is None
    assert due(replace(APPLIED.failed(None, now=NOW), due=DueTimes(failed=NOW))) is None


def test_a_failed_run_without_a_new_export_is_tried_again():
    """When going through old exports failed, its time comes as well."""
    head = APPLIED.failed(None, now=NOW)

    work = due(head, now=head.retry_at)

    assert due(head) is None
    assert work is not None
    assert (work.kind, work.reasons) == ("again", ("failed run",))


def test_a_newer_export_does_not_wait_for_a_failed_run():
    """What HR drops next may be the cure."""
    work = due(FAILED, TUESDAY, WEDNESDAY)

    assert work is not None
    assert work.kind == "export"
    assert due(FAILED, replace(TUESDAY, etag="0x9")) is not None


def test_a_request_does_not_wait_for_a_failed_run():
    """Whoever asks has mended something, or wants to see it fail."""
    assert due(FAILED, TUESDAY, requests=(Request("r"),)) is not None


@pytest.mark.parametrize("changed", [{"circumstances": "another mapping"}, {"incarnation": "two"}])
def test_a_change_does_not_wait_for_a_failed_run(changed):
    """Other settings, mapping or connection may be the cure."""
    assert due(FAILED, TUESDAY, **changed) is not None


def test_an_unfinished_run_waits_as_well():
    """A run that failed in the middle is taken up when its time has come."""
    head = replace(FAILED, run=RunMark("r1", (1,), TUESDAY.mark(), "as always", "i1"))

    assert due(head, TUESDAY) is None
    assert due(head, TUESDAY, now=head.retry_at) is not None


def test_an_export_is_remembered_by_name_version_and_time():
    """The mark of a dropped export holds what storage said of it."""
    assert MONDAY.mark() == ExportMark("people-1.csv", "0x1", MONDAY.modified)
