"""Somebody approves what waits: exactly that is released, once, and whatever dies in between (design §3.16)."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import BadRequest, Conflict, NotFound
from tests.flows.world import DAY, KILLED, Report, Row, World, a_person, a_world, people
from tests.tenant.graph.faults import Kill, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600
ADA = "Ada Okafor"
STAFF = people(20)
BAD = [row | {"HireDate": "1/2/21"} if number < 8 else row for number, row in enumerate(STAFF)]
"""The same people; of eight of them the row is rejected, which is too much."""
MANY = people(40)
MANY_BAD = [row | {"HireDate": "1/2/21"} if number < 12 else row for number, row in enumerate(MANY)]


async def held_world(**settings: object) -> tuple[World, Report]:
    """Return a world in which six deletions are held, and the report that says so."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.night(STAFF)
    return world, await world.night(STAFF[6:])


async def refused_world(rows: list[Row] = BAD, **settings: object) -> tuple[World, Report]:
    """Return a world in which an export was refused by a guard, and the report that says so."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    await world.night(STAFF)
    return world, await world.night(rows)


async def approve(world: World, report: Report, *, plan: str = "", by: str = ADA) -> dict[str, Any]:
    """Approve what a report says waits."""
    body = json.dumps({"plan": plan or report["plan"], "by": by}).encode()
    return await world.application().approve(report["run"], body)


def keys_of(rows: list[Row]) -> list[str]:
    return [row["EmployeeId"] for row in rows]


async def test_a_refused_export_waits_until_a_newer_one_is_taken():
    """Status shows it as long as there is something to decide; a mended export is the decision."""
    world, refused = await refused_world()
    waits = (await world.application().status())["refused"]

    mended = await world.night([*STAFF[1:], STAFF[0]])

    assert (refused["outcome"], waits["run"]) == ("refused", refused["run"])
    assert mended["outcome"] in {"completed", "unchanged"}
    assert (await world.application().status())["refused"] is None


# --- held deletions ---------------------------------------------------------------------------------------------------


async def test_an_approval_lets_exactly_what_was_held_go():
    """The next tick deletes the held people, names who approved it and when, and nothing is held any more."""
    world, held = await held_world()

    answer = await approve(world, held)
    report = await world.tick() or {}

    assert (held["outcome"], held["held"], held["deleted"]) == ("held", 6, 0)
    assert answer["plan"] == held["plan"]
    assert (report["outcome"], report["deleted"], report["held"]) == ("completed", 6, 0)
    assert report["approved"].keys() == {"by", "when", "plan"}
    assert (report["approved"]["by"], report["approved"]["plan"]) == (ADA, held["plan"])
    assert world.holds(*keys_of(STAFF[6:]))
    assert (await world.head()).held is None
    assert await world.tick() is None


async def test_what_was_released_stays_gone():
    """The nights after an approval send nothing and hold nothing."""
    world, held = await held_world()
    await approve(world, held)
    await world.tick()

    report = await world.night(STAFF[6:])

    assert (report["outcome"], report["unchanged"]) == ("unchanged", 14)


async def test_an_approval_is_used_once():
    """It does not count for a later night, whoever leaves then."""
    world, held = await held_world()
    await approve(world, held)
    await world.tick()

    later = await world.night(STAFF[12:])

    assert (later["outcome"], later["held"], later["approved"]) == ("held", 6, None)
    assert (await world.head()).approvals == ()
    assert not [name for name in world.blobs("state") if "/requests/" in name]
    with pytest.raises(Conflict):
        await approve(world, held)


async def test_a_second_click_changes_nothing():
    """Two approvals of the same plan are one."""
    world, held = await held_world()
    await approve(world, held)
    await approve(world, held, by="Ben Achebe")

    report = await world.tick() or {}

    assert (report["outcome"], report["deleted"]) == ("completed", 6)
    assert await world.tick() is None


async def test_an_approval_expires_after_72_hours():
    """An approval that no tick took up in time releases nothing, and the report says so, once."""
    world, held = await held_world()
    await approve(world, held)

    late = await world.tick(after=72 * HOUR + 1) or {}

    assert (late["outcome"], late["held"], late["approved"]) == ("held", 6, None)
    assert late["warnings"]["approval_expired"] == 1
    assert world.holds(*keys_of(STAFF))
    assert await world.tick() is None


async def test_an_approval_counts_for_72_hours():
    """A tick in time takes it up."""
    world, held = await held_world()
    await approve(world, held)

    report = await world.tick(after=72 * HOUR - 1) or {}

    assert (report["outcome"], report["deleted"]) == ("completed", 6)


async def test_a_newer_export_with_other_leavers_is_held_under_another_hash():
    """An approval is of one plan: it does nothing for another, and the report says so."""
    world, held = await held_world()
    await approve(world, held)

    report = await world.night(STAFF[7:])

    assert (report["outcome"], report["held"], report["approved"]) == ("held", 7, None)
    assert report["plan"] != held["plan"]
    assert report["warnings"]["approval_outdated"] == 1
    assert world.holds(*keys_of(STAFF))
    assert await world.tick() is None


async def test_the_same_leavers_in_a_newer_export_want_another_approval():
    """The hash covers the export: the same people in another file are another plan."""
    world, held = await held_world()
    await approve(world, held)

    report = await world.night([*STAFF[6:], a_person("J1")])

    assert (report["outcome"], report["held"]) == ("held", 6)
    assert report["plan"] != held["plan"]
    assert (await world.tick()) is None


async def test_after_an_export_of_some_people_what_is_held_is_planned_anew():
    """A correction changes what waits; the next tick says under which hash, and the former one is refused."""
    world, held = await held_world()
    world.wait(DAY)
    await world.drop("fix.csv", [STAFF[0] | {"_error_code": ""}])
    world.decide()

    correction = await world.tick() or {}
    with pytest.raises(Conflict):
        await approve(world, held)
    anew = await world.tick() or {}
    await approve(world, anew)
    report = await world.tick() or {}

    assert correction["outcome"] in {"unchanged", "completed"}
    assert (anew["outcome"], anew["held"]) == ("held", 5)
    assert (report["outcome"], report["deleted"]) == ("completed", 5)
    assert world.holds("P1", *keys_of(STAFF[6:]))


async def test_people_held_for_want_of_keys_can_be_released_too():
    """Rows with unreadable keys prove nobody's absence; somebody who knows better may say so."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, MAX_DELETE_PERCENT=1, MIN_DELETE_ALLOWANCE=0)
    await world.night(STAFF)
    await world.night(STAFF[2:])  # held, counted as absent
    nameless = a_person("") | {"UserPrincipalName": "x@contoso.com"}
    world.decide(MAX_DELETE_PERCENT=100, MIN_DELETE_ALLOWANCE=9)
    held = await world.night([*STAFF[2:], nameless])

    await approve(world, held)
    report = await world.tick() or {}

    assert (held["outcome"], held["held"], held["warnings"]["unreadable_keys"]) == ("held", 2, 1)
    assert (report["outcome"], report["deleted"]) == ("completed", 2)
    assert world.holds(*keys_of(STAFF[2:]))


async def test_a_manager_who_is_released_is_nobodys_manager_any_more():
    """The reports of whoever goes are sent without a manager in the same run."""
    rows = [*STAFF, a_person("R1", manager="P1")]
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(rows)
    held = await world.night(rows[6:])
    before = world.manager("r1@contoso.com")

    await approve(world, held)
    await world.tick()

    assert before == "p1@contoso.com"
    assert world.manager("r1@contoso.com") is None
    assert await world.tick() is None


async def test_what_fails_of_an_approved_plan_is_tried_again_under_the_same_approval():
    """Graph refuses one of the deletions: the rest of the plan needs no second approval."""
    world, held = await held_world()
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Refused(400), times=1)
    await approve(world, held)

    first = await world.tick() or {}
    rest = await world.settle()

    assert (first["deleted"], first["failed"]) == (5, 1)
    assert [report["outcome"] for report in rest] == ["completed"]
    assert world.holds(*keys_of(STAFF[6:]))
    assert (await world.head()).approvals == ()


async def test_an_approval_outlives_a_graph_that_is_away():
    """A run that fails on the way leaves the rest of what was approved to the next one."""
    world, held = await held_world(MAX_CONCURRENCY=1)
    await approve(world, held)
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Refused(403), times=1, after=3)

    first = await world.tick() or {}
    later = await world.settle()

    assert first["outcome"] == "failed"
    assert 0 < first["deleted"] < 6
    assert later[-1]["outcome"] == "completed"
    assert later[-1]["approved"]["by"] == ADA
    assert world.holds(*keys_of(STAFF[6:]))


async def test_an_approval_outlives_a_night_without_storage():
    """A tick that fails before it begins has used nothing up."""
    world, held = await held_world()
    await approve(world, held)
    world.no_token = "the vault does not answer"
    failed = await world.tick() or {}
    world.no_token = ""

    later = await world.settle()

    assert failed["outcome"] == "failed"
    assert later[-1]["outcome"] == "completed"
    assert world.holds(*keys_of(STAFF[6:]))


async def test_an_approved_run_of_many_slices_is_one_run():
    """What was approved takes as many slices as it needs; each report says by whom, and status that it is not done."""
    world, held = await held_world(SLICE_SECONDS=2, MAX_CONCURRENCY=1)
    await approve(world, held)
    world.graph.latency = 1

    first = await world.tick() or {}
    meanwhile = (await world.application().status())["approvals"]
    later = await world.settle()

    assert first["outcome"] == "partial"
    assert {report["run"] for report in later} == {first["run"]}
    assert [report["approved"]["by"] for report in (first, *later)] == [ADA] * (len(later) + 1)
    assert [each["plan"] for each in meanwhile] == [held["plan"]]
    assert (later[-1]["outcome"], later[-1]["deleted"]) == ("completed", 6)
    assert (await world.application().status())["approvals"] == []


async def test_a_dry_run_tells_what_an_approval_will_let_go():
    """Nothing is used up by looking."""
    world, held = await held_world()
    before = (await world.application().rehearse()).rehearsal
    await approve(world, held)

    after = (await world.application().rehearse()).rehearsal
    report = await world.tick() or {}

    assert before is not None
    assert after is not None
    assert (before.report.outcome, after.report.outcome, after.report.counts.deleted) == ("held", "completed", 6)
    assert (report["outcome"], report["deleted"]) == ("completed", 6)


# --- refused exports --------------------------------------------------------------------------------------------------


async def test_an_approved_export_is_taken_after_all():
    """The guard that refused it is released for this file; its report says by whom."""
    world, refused = await refused_world()
    world.wait(HOUR)
    mended = [row | {"JobTitle": "Chief"} if number > 8 else row for number, row in enumerate(BAD)]
    refused = await world.night(mended)

    await approve(world, refused)
    report = await world.tick() or {}

    assert refused["error"]["code"] == "too_many_rejected"
    assert (report["outcome"], report["updated"], report["rejected"]) == ("completed", 11, 8)
    assert report["approved"]["by"] == ADA
    (guard,) = [each for each in report["guards"] if each["name"] == "rejected"]
    assert (guard["tripped"], guard["released"]) == (True, True)
    assert world.title("p20@contoso.com") == "Chief"
    assert await world.tick() is None


async def test_an_approved_export_is_gone_through_again_without_another_approval():
    """What was approved of a file counts as long as it is the last applied one, under the same mapping."""
    world, refused = await refused_world()
    await approve(world, refused)
    await world.tick()
    await world.application().ask_for_sync()

    again = await world.tick() or {}

    assert (again["outcome"], again["rejected"]) == ("unchanged", 8)


async def test_the_next_bad_export_is_refused_again():
    """An approval is of one file, not of its kind."""
    world, refused = await refused_world()
    await approve(world, refused)
    await world.tick()

    report = await world.night([row | {"JobTitle": "Chief"} for row in BAD])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "too_many_rejected")


def verdicts(report: Report) -> dict[str, str]:
    """Return which guards tripped, and whether they stand in the way or were approved."""
    tripped = (guard for guard in report["guards"] if guard["tripped"])
    return {guard["name"]: "approved" if guard["released"] else "stands" for guard in tripped}


async def test_all_that_a_file_shows_by_itself_is_approved_at_once():
    """Four guards trip: all are told before anybody asks Entra, and one approval lets all of them pass."""
    world = await a_world()
    await world.night(MANY)
    rows = [row | {"JobTitle": "", "Department": "Sales"} for row in MANY_BAD]
    refused = await world.night(rows, name="staff.csv")
    asked = world.requests

    await approve(world, refused)
    report = await world.tick() or {}

    assert verdicts(refused) == dict.fromkeys(("rejected", "same_name", "emptied", "field", "cells"), "stands")
    assert asked == []
    assert refused["error"]["code"] == "too_many_rejected"
    assert all(name in refused["error"]["message"] for name in ("rejected: ", "same_name: ", "emptied: ", "field: "))
    assert (report["outcome"], report["updated"]) == ("completed", 28)
    assert verdicts(report) == dict.fromkeys(verdicts(refused), "approved")
    assert await world.tick() is None


async def test_what_is_wrong_with_cells_and_accounts_is_approved_at_once():
    """Everybody has another user principal name, which Entra does not know yet: one report, one approval."""
    world = await a_world()
    await world.night(STAFF)
    rows = [row | {"UserPrincipalName": row["UserPrincipalName"].replace("contoso", "fabrikam")} for row in STAFF]
    refused = await world.night(rows, accounts=False)
    await approve(world, refused)

    report = await world.tick() or {}

    assert refused["error"]["code"] == "match_rate"
    assert verdicts(refused) == dict.fromkeys(("match_rate", "field", "cells"), "stands")
    assert (report["outcome"], report["unmatched"]) == ("unchanged", 20)
    assert verdicts(report) == dict.fromkeys(("match_rate", "field", "cells"), "approved")


async def half_approved_world() -> tuple[World, Report, Report]:
    """Return a world in which an approved export is refused for what only Entra could tell, and both reports."""
    world = await a_world()
    await world.night(MANY)
    strangers = people(60, start=1000)
    world.without_account = {row["UserPrincipalName"] for row in strangers}
    rejected = await world.night([*MANY_BAD, *strangers, *([BAD[0] | {"EmployeeId": f"B{n}"} for n in range(20)])])
    await approve(world, rejected)
    return world, rejected, await world.tick() or {}


async def test_a_guard_that_nobody_has_seen_is_not_released():
    """The first approval has counted, and the report says what it let pass and what stands in the way now."""
    world, rejected, unmatched = await half_approved_world()
    idle = await world.tick()
    await approve(world, unmatched, by="Ben Achebe")

    report = await world.tick() or {}

    assert (rejected["error"]["code"], verdicts(rejected)) == ("too_many_rejected", {"rejected": "stands"})
    assert (unmatched["outcome"], unmatched["error"]["code"]) == ("refused", "match_rate")
    assert verdicts(unmatched) == {"rejected": "approved", "match_rate": "stands"}
    assert unmatched["error"]["message"].startswith("match_rate: found 28 of 88")
    assert (unmatched["approved"]["by"], unmatched["plan"] != rejected["plan"]) == (ADA, True)
    assert not unmatched["warnings"].keys() & {"approval_outdated", "approval_expired"}
    assert idle is None
    assert (report["outcome"], report["unmatched"], report["approved"]["by"]) == ("unchanged", 60, "Ben Achebe")
    assert verdicts(report) == {"rejected": "approved", "match_rate": "approved"}
    assert (await world.head()).approvals == ()
    assert await world.tick() is None


async def test_what_was_approved_stays_so_when_the_rest_is_let_pass_otherwise():
    """The operator moves the other guard's limit instead: nobody is asked about the rejected rows again."""
    world, _, _ = await half_approved_world()

    world.decide(MIN_MATCH_PERCENT=0)
    report = await world.tick() or {}

    assert (report["outcome"], report["approved"]["by"]) == ("unchanged", ADA)
    assert verdicts(report) == {"rejected": "approved"}


async def test_what_was_approved_is_forgotten_after_72_hours():
    """Then the whole export is as it was before anybody had said anything."""
    world, rejected, _ = await half_approved_world()
    world.wait(72 * HOUR)

    world.decide(MIN_MATCH_PERCENT=0)
    report = await world.tick() or {}

    assert (report["outcome"], report["plan"], report["approved"]) == ("refused", rejected["plan"], None)
    assert verdicts(report) == {"rejected": "stands"}
    assert (await world.head()).approvals == ()


async def test_an_account_that_turns_up_meanwhile_spoils_no_approval():
    """Too few accounts were approved; one more of them is no other plan."""
    world, _, unmatched = await half_approved_world()
    await approve(world, unmatched)
    world.without_account.clear()
    world.follow(people(3, start=1000))

    report = await world.tick() or {}

    assert (report["outcome"], report["created"], report["unmatched"]) == ("completed", 3, 57)


async def test_an_approval_under_another_mapping_comes_to_nothing():
    """What the new mapping makes of the file is another plan; it is told which, under another hash."""
    world, refused = await refused_world()
    await approve(world, refused)
    await world.map_with(('column = "FavoriteColor"', 'column = "FavoriteColor" # the colour'))

    report = await world.tick() or {}
    between = await world.settle()
    await approve(world, report)
    then = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"], report["approved"]) == ("refused", "too_many_rejected", None)
    assert (report["plan"] != refused["plan"], report["warnings"]["approval_outdated"]) == (True, 1)
    assert [each["reasons"] for each in between] == [["settings or mapping changed"]]
    assert "approval_outdated" not in then["warnings"]
    assert (then["outcome"], then["approved"]["by"]) == ("unchanged", ADA)
    assert await world.tick() is None


async def test_the_same_file_refused_again_waits_under_the_same_hash():
    """Whatever else is decided meanwhile, the same inputs are the same plan."""
    world, refused = await refused_world()

    world.decide(MIN_DELETE_ALLOWANCE=7)
    again = await world.tick() or {}

    assert (again["outcome"], again["plan"]) == ("refused", refused["plan"])
    assert again["run"] != refused["run"]


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([row | {"EmployeeId": f"N{number}"} for number, row in enumerate(people(20))], "everyone"),
        (
            [row | {"EmployeeId": f"N{number}"} if number < 10 else row for number, row in enumerate(people(20))],
            "rekeyed",
        ),
    ],
)
async def test_a_renumbered_company_can_be_approved(rows: list[Row], code: str):
    """New keys for the same accounts: approved step by step, everybody ends up under the new key, once."""
    world, report = await refused_world(rows)
    codes: list[str] = []
    while report["outcome"] == "refused" and len(codes) < 4:
        codes.append(report["error"]["code"])
        await approve(world, report)
        report = await world.tick() or {}

    assert codes[0] == code
    assert report["outcome"] == "completed"
    assert world.holds(*keys_of(rows))


async def test_deletions_of_an_approved_export_are_held_for_themselves():
    """Taking the file is one thing, deleting so many people another."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(MANY)
    refused = await world.night(MANY_BAD[:-5])
    await approve(world, refused)

    held = await world.tick() or {}
    await approve(world, held)
    report = await world.tick() or {}

    assert (held["outcome"], held["held"]) == ("held", 5)
    assert (report["outcome"], report["deleted"]) == ("completed", 5)


async def test_one_file_after_a_set_can_be_approved():
    """An export of another kind than the last is refused as different; somebody may say that it is right."""
    world = await a_world()
    world.follow(STAFF)
    await world.drop("a.csv", STAFF[:10])
    await world.drop("b.csv", STAFF[10:])
    await world.promise("a.csv", files=["a.csv", "b.csv"], kind="complete")
    await world.tick()
    refused = await world.night(STAFF)

    await approve(world, refused)
    report = await world.tick() or {}

    assert refused["error"]["code"] == "different_export"
    assert report["outcome"] == "unchanged"
    assert (await world.head()).applied.name == refused["export"]["name"]  # type: ignore[union-attr]


async def test_a_mapping_that_refuses_the_last_export_can_be_approved():
    """Stricter settings refuse what was taken before; approved, the file is gone through under them."""
    world = await a_world()
    few = [row | {"HireDate": "1/2/21"} if number < 4 else row for number, row in enumerate(STAFF)]
    await world.night(STAFF)
    await world.night(few)
    world.decide(MAX_REJECT_PERCENT=10)
    refused = await world.tick() or {}

    await approve(world, refused)
    report = await world.tick() or {}

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "too_many_rejected")
    assert report["outcome"] == "unchanged"
    assert report["approved"]["by"] == ADA
    assert await world.tick() is None


async def test_an_approved_export_gives_way_to_a_newer_one():
    """Approved too late: the newer export is taken, and the approval comes to nothing."""
    world, refused = await refused_world()
    await approve(world, refused)

    report = await world.night([row | {"JobTitle": "Chief"} for row in STAFF[:10]] + STAFF[10:])

    assert (report["outcome"], report["updated"], report["approved"]) == ("completed", 10, None)
    assert report["warnings"]["approval_outdated"] == 1
    assert await world.tick() is None


async def test_an_approval_of_a_refused_export_expires_too():
    """It is refused once more, in one report that says why, and nothing is sent."""
    world, refused = await refused_world()
    await approve(world, refused)

    late = await world.tick(after=73 * HOUR) or {}

    assert (late["outcome"], late["warnings"]["approval_expired"]) == ("refused", 1)
    assert world.writes() == []
    assert await world.tick() is None


async def test_status_tells_of_a_refused_export_as_long_as_it_can_be_approved():
    """Not when it is gone, nor when a newer one is there or has been applied; what cannot be approved hides nothing."""
    world, refused = await refused_world()

    async def told() -> str | None:
        waiting: dict[str, str] | None = (await world.application().status())["refused"]
        return waiting["run"] if waiting else None

    name, content = refused["export"]["name"], world.blobs("exports")[refused["export"]["name"]]
    at_first = await told()
    await world.containers.exports.delete(name)
    gone = await told()
    await world.drop(name, content)
    again = await world.tick(after=HOUR) or {}
    await world.night([], name="empty.csv")
    beside_an_empty_one = await told()
    world.wait(DAY)
    await world.drop("people-9.csv", STAFF)
    world.wait(HOUR)
    behind = await told()
    await world.tick()
    overtaken = await told()

    assert (at_first, gone, beside_an_empty_one) == (refused["run"], None, again["run"])
    assert (behind, overtaken) == (None, None)


async def test_held_deletions_can_be_approved_while_a_newer_export_is_refused():
    """The refused file changes nothing about what waits."""
    world, held = await held_world()
    await world.night(BAD)

    await approve(world, held)
    report = await world.tick() or {}

    assert (report["outcome"], report["deleted"]) == ("completed", 6)
    assert world.holds(*keys_of(STAFF[6:]))


# --- what cannot be approved ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"EmployeeId,Status\nE1,Active\n", "missing_column"),
        (b'EmployeeId,UserPrincipalName,Status\nE1,"e1@contoso.com,Active\n', "truncated"),
        (b"EmployeeId,UserPrincipalName,Status,Status\nE1,e1@contoso.com,Active,Active\n", "duplicate_column"),
    ],
)
async def test_a_file_that_cannot_be_used_can_never_be_approved(content: bytes, code: str):
    """Nobody can approve what cannot be read; the answer says so."""
    world = await a_world()
    await world.night(STAFF)
    world.wait(DAY)
    await world.drop("people.csv", content)
    refused = await world.tick() or {}

    with pytest.raises(Conflict) as raised:
        await approve(world, refused)

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", code)
    assert raised.value.code == "not_approvable"
    assert code in raised.value.message
    assert await world.tick() is None


async def test_another_hash_is_a_conflict():
    """Only what waits now can be approved, under its own hash and by the run that tells of it."""
    world, held = await held_world()
    newer = await world.night(STAFF[7:])

    with pytest.raises(Conflict):
        await approve(world, newer, plan="sha256:0")
    with pytest.raises(Conflict):
        await approve(world, held)
    with pytest.raises(Conflict):
        await approve(world, held, plan=newer["plan"])

    assert await world.tick() is None
    assert world.holds(*keys_of(STAFF))


async def test_a_run_that_nobody_knows_is_not_found():
    """An id that was never given, and one that is none."""
    world, held = await held_world()

    for run in ("20200101T000000Z-0001", "../head", ""):
        with pytest.raises(NotFound):
            await approve(world, held | {"run": run})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"plan": "sha256:1"}',
        b'{"plan": "sha256:1", "by": " "}',
        b'{"plan": "sha256:1", "by": 7}',
        b'{"plan": "sha256:1", "by": "A\\nB"}',
        b'{"plan": "sha256:1", "by": "Ada", "force": true}',
        b'{"plan": ["sha256:1"], "by": "Ada"}',
        b"{",
    ],
)
async def test_a_bad_body_is_a_bad_request(body: bytes):
    """What is missing or makes no sense is named, and nothing is approved."""
    world, held = await held_world()

    with pytest.raises(BadRequest):
        await world.application().approve(held["run"], body)


async def test_a_refused_export_that_is_gone_cannot_be_approved():
    """HR took it away, or a newer one waits: the answer says so, rather than nothing happening at the next tick."""
    world, refused = await refused_world()
    world.wait(DAY)
    await world.drop("newer.csv", STAFF)
    world.wait(HOUR)

    with pytest.raises(Conflict, match=r"newer export is there.* HR removes the newer one; then approve again"):
        await approve(world, refused)
    await world.containers.exports.delete("newer.csv")
    await approve(world, refused)
    await world.containers.exports.delete(refused["export"]["name"])
    with pytest.raises(Conflict, match=r"not there.* drops it anew"):
        await approve(world, refused)


async def test_of_two_refused_exports_either_can_be_approved():
    """The newer one is refused as well: whichever is approved is taken, and the other one waits."""
    world, older = await refused_world([row | {"JobTitle": "Chief"} for row in BAD])
    newer = await world.night([row | {"JobTitle": "Boss"} for row in BAD])

    await approve(world, older)
    report = await world.tick() or {}
    title = world.title("p20@contoso.com")
    idle = await world.tick()
    await approve(world, newer)
    then = await world.tick() or {}

    assert (older["outcome"], newer["outcome"]) == ("refused", "refused")
    assert (report["outcome"], report["export"]["name"], title) == ("completed", older["export"]["name"], "Chief")
    assert idle is None
    assert (then["outcome"], then["export"]["name"]) == ("completed", newer["export"]["name"])
    assert world.title("p20@contoso.com") == "Boss"


async def test_a_lost_ledger_cannot_be_approved():
    """It is no guard's finding, nor the file's fault; the answer points at what the report says."""
    world = await a_world()
    await world.night(STAFF)
    await world.containers.state.delete("contosohr/ledger/00000001.columns")
    refused = await world.night(STAFF)

    with pytest.raises(Conflict) as raised:
        await approve(world, refused)

    assert refused["error"]["code"] == "ledger_missing"
    assert raised.value.code == "not_approvable"
    assert "Do what the report says" in raised.value.message


async def test_what_is_refused_night_after_night_can_be_approved():
    """HR drops the same content again under another name, and it is refused again: the newest waits under its hash."""
    world, first = await refused_world()
    second = await world.night(BAD)

    await approve(world, second)
    report = await world.tick() or {}

    assert (first["outcome"], second["outcome"], second["plan"]) == ("refused", "refused", first["plan"])
    assert (report["outcome"], report["export"]["name"]) == ("unchanged", second["export"]["name"])
    assert report["approved"]["by"] == ADA
    assert await world.tick() is None


# --- deaths -----------------------------------------------------------------------------------------------------------


async def _count(world: World, held: Report) -> int:
    await approve(world, held)
    begun = len(world.graph.requests)
    await world.tick()
    return len(world.graph.requests) - begun


@pytest.mark.once
@pytest.mark.parametrize("make", [held_world, refused_world])
async def test_an_approved_run_survives_a_death_at_every_request(make: Callable[..., Any]):
    """Killed before or after any of its Graph requests, the run that was approved goes on, and nobody else is gone."""
    rows = STAFF[6:] if make is held_world else [row | {"JobTitle": "Chief"} for row in BAD]
    options = {"MAX_CONCURRENCY": 2} | ({} if make is held_world else {"rows": rows})
    world, waiting = await make(**options)
    requests = await _count(world, waiting)
    expected = world.graph.profiles()
    assert requests > 2

    for position, effect in itertools.product(range(requests), (False, True)):
        world, waiting = await make(**options)
        await approve(world, waiting)
        world.graph.fault(len(world.graph.requests) + position, Kill(effect=effect))
        reports = await world.settle()

        assert world.graph.profiles() == expected, (position, effect)
        assert reports[-1]["approved"]["by"] == ADA
        assert ((await world.head()).approvals, (await world.head()).run) == ((), None)


@pytest.mark.once
@pytest.mark.parametrize("make", [held_world, refused_world])
async def test_an_approved_run_survives_a_death_at_every_store_operation(make: Callable[..., Any]):
    """From the request's being read to its end: whatever dies, what was approved is done, once, and nothing is left."""
    world, waiting = await make()
    await approve(world, waiting)
    before = world.containers.state.requests
    await world.tick()
    operations = world.containers.state.requests - before
    expected = world.graph.profiles()

    for position, after_effect in itertools.product(range(operations), (False, True)):
        world, waiting = await make()
        await approve(world, waiting)
        state: Any = world.containers.state
        state.kill(state.requests + position + 1, after_effect=after_effect)
        with contextlib.suppress(*KILLED):
            await world.tick()
        state.mend()
        await world.settle()

        assert world.graph.profiles() == expected, (position, after_effect)
        head = await world.head()
        assert (head.approvals, head.run, head.held) == ((), None, None)
        assert not [name for name in world.blobs("state") if "/requests/" in name]
