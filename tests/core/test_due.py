"""Whether a tick has work, and which: exports in their order, requests, changes, and what is overdue."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.due import (
    LOOKS_ONLY,
    TURNED_DATE,
    Dropped,
    Request,
    Waiting,
    Work,
    manifests_to_read,
    passed_over,
    settled_exports,
    unmet_exports,
    with_sets,
    without_manifest,
    work_due,
)
from connector.core.head import Approval, ExportMark, Head, Held, Refused, RunMark
from connector.core.ledger import DueTimes
from connector.core.manifest import Listed, Manifest
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


def test_an_approval_goes_through_the_last_export_again_until_it_is_used():
    """Whether it was just given or is known already; one that was carried out is no work any more."""
    approval = Approval("sha256:1", "Ada", NOW)
    given, known = Request("r1", kind="approve", approval=approval), replace(APPLIED, approvals=(approval,))
    used = replace(APPLIED, approvals=(replace(approval, used=True),))

    works = [due(APPLIED, requests=(given,)), due(known)]

    assert [work and (work.kind, work.reasons) for work in works] == [("again", ("approval",))] * 2
    assert due(used) is None


def test_an_approved_export_is_unmet_again():
    """What was refused under the hash that somebody approved is taken up, and nothing else that was refused."""
    refused = tuple(
        Refused(each.name, each.etag, "as always", "match_rate", plan=f"sha256:{each.name}")
        for each in (TUESDAY, WEDNESDAY)
    )
    head = replace(APPLIED, refused=refused, approvals=(Approval("sha256:people-2.csv", "Ada", NOW),))

    found = unmet(head, TUESDAY, WEDNESDAY)

    assert found == [TUESDAY]
    work = due(head, *found)
    assert work is not None
    assert (work.kind, work.reasons) == ("export", ("approval",))


def test_held_deletions_that_an_export_has_changed_are_planned_anew():
    """Otherwise nobody would know what to approve."""
    head = replace(APPLIED, held=Held("sha256:1", 7, "r", outdated=True))

    work = due(head)

    assert work is not None
    assert (work.kind, work.reasons) == ("again", ("held deletions to plan anew",))


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
    ("covered", "reasons"),
    [
        (("another mapping", "one"), ("settings or mapping changed",)),
        (("now", "another connection"), ("connection changed",)),
        (("", ""), None),
    ],
)
def test_what_has_not_reached_everybody_is_carried_out(covered, reasons):
    """The head knows what is new, but a run that failed has not gone through everybody since."""
    work = due(replace(APPLIED, circumstances="now", incarnation="one", covered=covered), circumstances="now")

    assert (work and work.reasons) == reasons


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


# --- sets -------------------------------------------------------------------------------------------------------------


SET = Manifest("ab" * 32, files=(Listed("a.csv"), Listed("b.csv"), Listed("c.csv")))
VOUCHED = replace(SET, files=(Listed("a.csv"), Listed("b.csv", "cd" * 32), Listed("c.csv", "ef" * 32)))
PARTS = [Dropped(f"{name}.csv", f"0x{name}", NOW - 100 + place) for place, name in enumerate("abc")]
BESIDE = Dropped("a.csv.manifest.json", "0xm", NOW - 50)


def together(
    *blobs: Dropped, says: Manifest = SET, manifest: Dropped = BESIDE, seconds: float = 0
) -> tuple[list[Dropped], list[Waiting]]:
    """Return the exports there are, and the sets that wait."""
    found = settled_exports(
        [*blobs, manifest], storage_now=NOW, settle_seconds=seconds, takes=lambda name: name.endswith(".csv")
    )
    return with_sets(blobs, found, [(manifest, says)])


def test_a_set_is_one_export():
    """Its files in the order of the manifest, its time that of the newest; none of them is there alone."""
    lone = Dropped("d.csv", "0xd", NOW - 200)

    exports, waiting = together(*reversed(PARTS), lone)

    assert [export.name for export in exports] == ["d.csv", "a.csv"]
    assert exports[1] == Dropped("a.csv", "0xa", NOW - 98, "0xm", tuple(PARTS[1:]), SET)
    assert waiting == []


@pytest.mark.parametrize(
    ("blobs", "expected"),
    [
        (PARTS[:2], Waiting("a.csv", missing=("c.csv",))),
        (PARTS[1:], Waiting("a.csv", missing=("a.csv",))),
        ([*PARTS[:2], Dropped("c.csv", "0xc", NOW - 49)], Waiting("a.csv", newer=("c.csv",))),
        ([Dropped("a.csv", "0xa", NOW - 49), *PARTS[1:]], Waiting("a.csv", newer=("a.csv",))),
    ],
)
def test_a_set_waits_as_a_whole(blobs: list[Dropped], expected: Waiting):
    """A file that is missing, or newer than the manifest, makes all wait; none of the others passes for everybody."""
    assert together(*blobs) == ([], [expected])


def test_a_file_of_a_set_settles_by_itself_or_by_its_digest():
    """The export beside the manifest is vouched for; the others need their own marker, or a digest in the manifest."""
    assert together(*PARTS, seconds=300) == ([], [Waiting("a.csv", uploading=("b.csv", "c.csv"))])
    done = [Dropped(f"{name}.csv.done", "0x", NOW) for name in "bc"]
    for found in (together(*PARTS, *done, seconds=300), together(*PARTS, says=VOUCHED, seconds=300)):
        assert [export.name for export in found[0]] == ["a.csv"]


def test_a_file_belongs_to_the_newer_manifests_set():
    """Of two manifests that list a file the newer one has it; the other's set waits."""
    newer = Dropped("b.csv.manifest.json", "0xn", NOW - 40)
    says = Manifest("ab" * 32, files=(Listed("b.csv"), Listed("c.csv")))
    blobs = [*PARTS, BESIDE, newer]
    found = settled_exports(blobs, storage_now=NOW, settle_seconds=0, takes=lambda name: name.endswith(".csv"))

    exports, waiting = with_sets(blobs, found, [(BESIDE, SET), (newer, says)])

    assert [(export.name, [member.name for member in export.members]) for export in exports] == [("b.csv", ["c.csv"])]
    assert waiting == [Waiting("a.csv", elsewhere=("b.csv", "c.csv"))]


def test_a_wrong_manifest_is_its_exports_problem():
    """Its export is refused for it, and the files it lists are not taken alone."""
    wrong = replace(SET, problem="no digest")

    exports, waiting = together(*PARTS[:2], says=wrong)

    assert [(export.name, export.says, export.members) for export in exports] == [("a.csv", wrong, (PARTS[1],))]
    assert waiting == []


@given(st.permutations([*PARTS, BESIDE]))
def test_a_set_is_there_when_all_of_it_is(order: list[Dropped]):
    """Uploaded in any order: once the manifest is there, the set is whole or waits, and no file counts for itself."""
    uploaded = [replace(blob, modified=NOW - 10 + place) for place, blob in enumerate(order)]
    manifest = next(blob for blob in uploaded if blob.name == BESIDE.name)

    for count in range(uploaded.index(manifest), len(uploaded)):
        exports, waiting = together(*(blob for blob in uploaded[: count + 1] if blob != manifest), manifest=manifest)
        whole = manifest == uploaded[-1]
        assert [export.name for export in exports] == (["a.csv"] if whole else [])
        assert len(waiting) == (not whole)


def test_manifests_are_read_that_may_matter():
    """Those that are not older than the applied export, and those of exports that have come anew."""
    old = Dropped("people-0.csv.manifest.json", "0x0", MONDAY.modified - 1)
    anew = Dropped("people-2.csv.manifest.json", "0x1", MONDAY.modified - 1)
    late = Dropped("people-9.csv.manifest.json", "0x2", MONDAY.modified)

    assert manifests_to_read(APPLIED, [old, anew, late, TUESDAY], [TUESDAY]) == [anew, late]
    assert manifests_to_read(Head(), [old, TUESDAY], []) == [old]


A_SET = Dropped("a.csv", "0xa", NOW - 98, "0xm", tuple(PARTS[1:]), SET)


def test_a_set_is_met_with_all_its_files():
    """Applied or refused, neither the set nor any of its files is work; nor when HR takes its manifest away."""
    applied = Head(applied=A_SET.mark())
    members = tuple((part.name, part.etag) for part in PARTS[1:])
    refused = Head(refused=(Refused("a.csv", "0xa", "as always", "truncated", "0xm", members),))
    alone = [replace(PARTS[0], manifest="0xm"), *PARTS[1:]]

    for head in (applied, refused):
        assert unmet(head, A_SET) == []
        assert unmet(head, *alone) == []
        assert unmet(head, *PARTS) == []


@pytest.mark.parametrize(
    "changed",
    [
        replace(A_SET, manifest="0xm2"),
        replace(A_SET, members=(PARTS[1],)),
        replace(A_SET, members=(PARTS[1], replace(PARTS[2], etag="0xc2"))),
        replace(A_SET, etag="0xa2"),
    ],
)
def test_a_set_is_another_when_anything_of_it_is(changed: Dropped):
    """Another manifest, other files, or another version of one make a set that was not met."""
    members = tuple((part.name, part.etag) for part in PARTS[1:])

    assert unmet(Head(applied=A_SET.mark()), changed) == [changed]
    assert unmet(Head(refused=(Refused("a.csv", "0xa", "as always", "x", "0xm", members),)), changed) == [changed]


def test_a_refused_export_is_taken_up_again_with_another_manifest():
    """What was wrong may have been the manifest; the file need not be uploaded again."""
    head = replace(APPLIED, refused=(Refused("people-2.csv", "0x2", "as always", "truncated", "0xm"),))

    assert unmet(head, replace(TUESDAY, manifest="0xm")) == []
    assert unmet(head, replace(TUESDAY, manifest="0xm2")) != []


def test_a_set_whose_run_failed_is_known_by_all_its_files():
    """As long as nothing of it changed it waits for its time; with another member it is tried at once."""
    head = Head().failed(A_SET.mark(), now=NOW)

    assert due(head, A_SET, now=NOW + 60) is None
    assert due(head, replace(A_SET, members=(PARTS[1],)), now=NOW + 60) is not None


def test_a_day_that_turns_is_due_from_its_midnight_on():
    """Not a second before; such a run is one that everybody hears of."""
    head = replace(APPLIED, due=DueTimes(turn=NOW))

    assert due(head, now=NOW - 1) is None
    assert due(head, now=NOW) == Work("again", ("a date that turns",))
    assert TURNED_DATE not in LOOKS_ONLY


# --- manifests that must be there, and what is passed over ------------------------------------------------------------


def test_only_new_exports_wait_for_the_manifest_they_must_have():
    """What was applied before the setting was switched on, or is older, waits for nothing."""
    head = replace(APPLIED, applied=TUESDAY.mark())
    promised = replace(WEDNESDAY, name="people-4.csv", manifest="0x9")

    taken, waiting = without_manifest(head, [MONDAY, TUESDAY, WEDNESDAY, promised], circumstances="as always")

    assert taken == [promised]
    assert waiting == [Waiting("people-3.csv", missing=("people-3.csv.manifest.json",))]
    assert waiting[0].wants_manifest
    assert not Waiting("people-3.csv", missing=("interns.csv",)).wants_manifest


def test_a_complete_export_passes_over_what_is_older():
    """Neither what is newer, nor the files that it consists of itself."""
    taken = replace(WEDNESDAY, members=(MONDAY,)).mark()

    assert passed_over(taken, [MONDAY, TUESDAY, WEDNESDAY, replace(WEDNESDAY, name="z.csv")]) == ["people-2.csv"]
