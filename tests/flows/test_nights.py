"""Nights as HR lives them: what an export changes is sent, and nothing else is."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import orjson
import pytest

from connector.errors import StateChanged
from tests.flows.world import (
    CONNECTION,
    MINUTE,
    Row,
    World,
    a_person,
    a_world,
    an_export,
    item_of,
    people,
)
from tests.tenant.graph.faults import Dropped, Failed, Refused, Throttled

ADA = a_person(
    "E1", "ada@contoso.com", name="Ada Lovelace", title="Director", Skills="Chess;Maths", FavoriteColor="red"
)
BEN = a_person("E2", "ben@contoso.com", title="Engineer", manager="E1", HireDate="2021-03-01", Phone="+44 1")
CYD = a_person("E3", "cyd@contoso.com", title="Analyst", manager="E1")
STAFF = [ADA, BEN, CYD]


@pytest.fixture
async def world() -> World:
    """Return a world after its first night, with three people."""
    world = await a_world()
    await world.night(STAFF)
    return world


def quarantine(world: World) -> list[Row]:
    (data,) = world.blobs("quarantine").values()
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


# --- the first night ------------------------------------------------------------------------------------------------


async def test_the_first_export_creates_everyone():
    """After the first night each person's profile shows what HR wrote about them."""
    world = await a_world()

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["people"]) == ("completed", 3, 3)
    assert world.holds("E1", "E2", "E3")
    ada = world.profiles()["ada@contoso.com"]
    assert ada["personName"] == {"displayName": "Ada Lovelace"}
    assert ada["personCurrentPosition"] == {
        "detail": {"employeeId": "E1", "jobTitle": "Director"},
        "isCurrent": True,
    }
    assert [skill["displayName"] for skill in ada["personSkills"]] == ["Chess", "Maths"]
    assert ada["custom"] == {"favoriteColor": "red"}
    ben = world.profiles()["ben@contoso.com"]
    assert ben["personCurrentPosition"]["detail"]["startMonthYear"] == "2021-03-01"
    assert ben["personPhones"] == [{"number": "+44 1", "type": "business"}]
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_a_report_tells_all_of_interface_6(world: World):
    """The report has every count, the export's facts and the guards, also where nothing happened."""
    name = next(name for name in world.blobs("reports") if name.endswith(".json"))
    report = orjson.loads(world.blobs("reports")[name])

    assert name == f"{CONNECTION}/{report['run']}.json"
    assert report["connection"] == CONNECTION
    assert report["trigger"] == "timer"
    assert report["error"] is None
    assert report["export"].items() >= {"name": "people-2026-03-03.csv", "rows": 3, "delimiter": ","}.items()
    counts = ("rejected", "unmatched", "unchanged", "updated", "deleted", "held", "failed", "grace", "transferred")
    assert {name: report[name] for name in counts} == dict.fromkeys(counts, 0)
    assert report["graph"].keys() == {"requests", "throttled", "seconds"}
    assert all({"name", "limit", "found", "tripped"} <= guard.keys() for guard in report["guards"])
    assert report["started"].endswith("Z")
    assert report["finished"].endswith("Z")
    assert report["slices"] == 1


async def test_every_run_has_a_page_for_people(world: World):
    """Beside the JSON stands the same report as HTML."""
    pages = [data for name, data in world.blobs("reports").items() if name.endswith(".html")]

    assert len(pages) == 1
    assert b"people-2026-03-03.csv" in pages[0]


# --- nothing changed ------------------------------------------------------------------------------------------------


async def test_an_unchanged_export_asks_graph_for_nothing(world: World):
    """The same people again: no Graph request, not even a token; the report says unchanged."""
    report = await world.night(STAFF)

    assert (report["outcome"], report["unchanged"]) == ("unchanged", 3)
    assert world.requests == []
    assert world.token_requests == 0


async def test_a_tick_without_work_is_cheap(world: World):
    """An idle tick makes at most four blob requests, and asks neither Entra nor Graph for anything."""
    state = await world.ticked()

    assert state == "idle"
    assert world.blob_requests <= 4
    assert world.requests == []
    assert world.token_requests == 0


async def test_an_idle_tick_leaves_nothing_behind(world: World):
    """A tick with nothing due writes no report and changes no state."""
    before = [world.blobs(container) for container in ("state", "reports", "quarantine")]

    await world.tick()

    assert [world.blobs(container) for container in ("state", "reports", "quarantine")] == before


async def test_rows_in_another_order_send_nothing(world: World):
    """HR's order of rows means nothing."""
    report = await world.night([CYD, ADA, BEN])

    assert report["outcome"] == "unchanged"
    assert world.requests == []


async def test_columns_in_another_order_send_nothing(world: World):
    """HR's order of columns means nothing."""
    report = await world.night([dict(reversed(row.items())) for row in STAFF])

    assert report["outcome"] == "unchanged"


async def test_a_column_that_is_not_mapped_sends_nothing(world: World):
    """What no profile shows cannot cause an update."""
    report = await world.night([row | {"DeskNumber": "9"} for row in STAFF])

    assert report["outcome"] == "unchanged"
    assert world.requests == []


async def test_a_new_column_that_is_not_mapped_sends_nothing(world: World):
    """A column that HR adds is listed as ignored, and that is all."""
    report = await world.night([row | {"Birthday": "1980-01-01"} for row in STAFF])

    assert report["outcome"] == "unchanged"
    assert report["export"]["ignored_columns"] == ["DeskNumber", "Birthday"]


async def test_leave_sends_nothing(world: World):
    """Active and On leave make the same item, so the change of status is not sent."""
    report = await world.night([ADA, BEN | {"Status": "On leave"}, CYD | {"Status": ""}])

    assert report["outcome"] == "unchanged"
    assert world.writes() == []


async def test_spaces_around_cells_send_nothing(world: World):
    """A cell's outer blanks are not part of it."""
    report = await world.night([ADA, {name: f" {cell} " for name, cell in BEN.items()}, CYD])

    assert report["outcome"] == "unchanged"


# --- something changed ----------------------------------------------------------------------------------------------


async def test_a_new_title_is_sent(world: World):
    """Only the person whose title changed is sent, and the profile shows it."""
    report = await world.night([ADA, BEN | {"JobTitle": "Principal Engineer"}, CYD])

    assert (report["outcome"], report["updated"], report["unchanged"]) == ("completed", 1, 2)
    assert world.sent("E2")
    assert world.title("ben@contoso.com") == "Principal Engineer"


async def test_a_joiner_is_created(world: World):
    """Only the joiner is sent."""
    report = await world.night([*STAFF, a_person("E4", title="Intern", manager="E2")])

    assert (report["created"], report["updated"], report["unchanged"]) == (1, 0, 3)
    assert world.sent("E4")
    assert world.manager("e4@contoso.com") == "ben@contoso.com"


async def test_an_emptied_cell_takes_the_value_away(world: World):
    """A blank cell is an absent field: the profile falls back to what Entra knows."""
    await world.night([ADA | {"FavoriteColor": "", "Skills": ""}, BEN, CYD])

    assert "custom" not in world.profiles()["ada@contoso.com"]
    assert "personSkills" not in world.profiles()["ada@contoso.com"]


async def test_a_renamed_upn_keeps_its_item(world: World):
    """A new UPN is an update of the same item."""
    renamed = BEN | {"UserPrincipalName": "benjamin@contoso.com"}

    report = await world.night([ADA, renamed, CYD])

    assert (report["created"], report["updated"], report["deleted"]) == (0, 1, 0)
    assert world.holds("E1", "E2", "E3")
    assert world.title("benjamin@contoso.com") == "Engineer"


async def test_a_managers_new_upn_reaches_the_reports(world: World):
    """Whoever names a renamed manager is sent again, without any change in their own rows."""
    report = await world.night([ADA | {"UserPrincipalName": "ada.king@contoso.com"}, BEN, CYD])

    assert report["updated"] == 3
    assert world.sent("E1", "E2", "E3")
    assert world.manager("ben@contoso.com") == "ada.king@contoso.com"


async def test_a_managers_new_title_does_not_reach_the_reports(world: World):
    """Of the manager, the reports' items hold the account only."""
    await world.night([ADA | {"JobTitle": "Chief"}, BEN, CYD])

    assert world.sent("E1")


async def test_a_new_manager_is_sent(world: World):
    """Another manager is a change of the person's own row."""
    await world.night([ADA, BEN, CYD | {"ManagerId": "E2"}])

    assert world.sent("E3")
    assert world.manager("cyd@contoso.com") == "ben@contoso.com"


# --- bad rows -------------------------------------------------------------------------------------------------------


async def test_a_bad_row_leaves_the_person_alone(world: World):
    """A row that cannot be used changes nothing about its person; the others go on."""
    report = await world.night([ADA | {"JobTitle": "Chief"}, BEN | {"HireDate": "01/03/2021", "JobTitle": "?"}, CYD])

    assert (report["outcome"], report["rejected"], report["updated"], report["unchanged"]) == ("completed", 1, 1, 1)
    assert world.holds("E1", "E2", "E3")
    assert world.title("ben@contoso.com") == "Engineer"


async def test_a_row_that_stays_bad_never_deletes_its_person(world: World):
    """A rejected row is no absence, however many exports repeat it."""
    for _ in range(4):
        await world.night([ADA, BEN | {"HireDate": "soon"}, CYD])

    assert world.holds("E1", "E2", "E3")


async def test_the_quarantine_holds_the_bad_rows(world: World):
    """HR gets the rejected rows in their own columns, with row number, code and a sentence."""
    report = await world.night([ADA, BEN | {"HireDate": "01/03/2021"}, CYD])

    assert report["quarantine"] == f"{CONNECTION}/people-2026-03-04.csv.{report['run']}.rejected.csv"
    assert list(world.blobs("quarantine")) == [report["quarantine"]]
    (row,) = quarantine(world)
    assert (row["_row"], row["_error_code"]) == ("2", "bad_date")
    assert "HireDate" in row["_error"]
    # The phone number stands behind an apostrophe: a spreadsheet would compute it.
    assert {name: row[name] for name in BEN} == BEN | {"HireDate": "01/03/2021", "Phone": "'+44 1"}


async def test_the_report_lists_the_bad_rows(world: World):
    """The report names row, key and codes of what was rejected."""
    report = await world.night([ADA, BEN | {"UserPrincipalName": "nobody", "HireDate": "x"}, CYD])

    (row,) = report["rows"]
    assert (row["row"], row["key"], sorted(row["codes"])) == (2, "E2", ["bad_account", "bad_date"])


async def test_a_mended_quarantine_file_sends_that_person(world: World):
    """The quarantine file, mended and dropped back, sends its people and deletes nobody."""
    report = await world.night([ADA, BEN | {"HireDate": "01/03/2021", "JobTitle": "Principal"}, CYD])
    mended = world.blobs("quarantine")[report["quarantine"]].replace(b"01/03/2021", b"2021-03-01")

    world.wait(3600)
    await world.drop("mended by Kim.csv", mended)
    report = await world.tick() or {}

    assert (report["outcome"], report["updated"], report["deleted"], report["grace"]) == ("completed", 1, 0, 0)
    assert report["export"]["kind"] == "partial"
    assert world.sent("E2")
    assert world.holds("E1", "E2", "E3")
    assert world.title("ben@contoso.com") == "Principal"


async def test_a_correction_that_is_still_wrong_comes_back(world: World):
    """What HR did not mend is quarantined again, without our columns twice."""
    report = await world.night([ADA, BEN | {"HireDate": "01/03/2021"}, CYD])
    first = world.blobs("quarantine").pop(report["quarantine"])
    await world.drop("people-2.csv", first)

    second = await world.tick() or {}

    data = world.blobs("quarantine")[second["quarantine"]]
    assert data.splitlines()[0] == first.splitlines()[0]
    assert second["rejected"] == 1


async def test_the_correction_survives_the_next_going_through(world: World):
    """A correction stays in force when the last export is gone through again."""
    report = await world.night([ADA, BEN | {"HireDate": "01/03/2021", "JobTitle": "Principal"}, CYD])
    mended = world.blobs("quarantine")[report["quarantine"]].replace(b"01/03/2021", b"2021-03-01")
    await world.drop("mended.csv", mended)
    await world.tick()

    await world.application().ask_for_sync(b'{"full": true}')
    report = await world.tick() or {}

    assert report["updated"] == 3
    assert world.title("ben@contoso.com") == "Principal"


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv.gz", ".zip"])
async def test_packed_exports_are_read(world: World, ending: str):
    """Gzipped and zipped exports are exports."""
    report = await world.night([ADA, BEN | {"JobTitle": "Principal"}, CYD], name=f"people{ending}")

    assert report["updated"] == 1
    assert world.title("ben@contoso.com") == "Principal"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
async def test_other_delimiters_are_read(world: World, delimiter: str):
    """The delimiter is HR's choice, and no change of anybody."""
    await world.drop("people-2.csv", an_export(STAFF, delimiter=delimiter))

    report = await world.tick() or {}

    assert report["outcome"] == "unchanged"
    assert report["export"]["delimiter"] == delimiter


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (an_export([]), "empty_file"),
        (b"<html>Sign in to the HR portal</html>", "missing_column"),
        (an_export([{name: cell for name, cell in ADA.items() if name != "EmployeeId"}]), "missing_column"),
        (an_export([{name: cell for name, cell in ADA.items() if name != "UserPrincipalName"}]), "missing_column"),
        (b"EmployeeId,Employee Id,UserPrincipalName\r\nE1,E1,ada@contoso.com\r\n", "duplicate_column"),
        (an_export(STAFF) + b'"E4', "truncated"),
        (b"\xff\xfe\x00\xd8\x00\xd8", "undecodable"),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused(world: World, data: bytes, code: str):
    """A wrong file is refused as a whole: report and log say why, nobody is touched, and the ledger stays."""
    before = (await world.ledger(), dict(world.graph.items))
    await world.drop("people-2.csv", data)

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", code)
    assert report["error"]["message"]
    assert report["export"]["name"] == "people-2.csv"
    assert (await world.ledger(), world.graph.items) == before
    assert world.requests == []


async def test_a_misspelt_column_is_guessed(world: World):
    """The refusal of a missing column names the header that looks like it."""
    row = {("EmployeId" if name == "EmployeeId" else name): cell for name, cell in ADA.items()}
    await world.drop("people-2.csv", [row])

    report = await world.tick() or {}

    assert "did you mean 'EmployeId'?" in report["error"]["message"]


async def test_a_refused_file_is_not_tried_again(world: World):
    """A file refused once makes no further report."""
    await world.drop("people-2.csv", b"")
    await world.tick()

    assert await world.tick() is None
    assert world.blob_requests <= 4


async def test_a_mended_file_under_the_same_name_is_taken(world: World):
    """Another version of a refused file is another file."""
    await world.drop("people-2.csv", b"")
    await world.tick()
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])

    report = await world.tick() or {}

    assert (report["outcome"], report["updated"]) == ("completed", 1)


async def test_other_files_are_nobodys_export(world: World):
    """What does not look like an export by its name is left alone."""
    await world.drop("readme.txt", b"hello")
    await world.drop("people.xlsx", b"PK")

    assert await world.tick() is None


async def test_of_two_exports_the_newer_complete_one_counts(world: World):
    """Two nights' exports at once: the newer says all there is to say."""
    await world.drop("people-1.csv", [ADA, BEN | {"JobTitle": "Old news"}, CYD])
    world.wait(MINUTE)
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "News"}, CYD])

    report = await world.tick() or {}

    assert report["export"]["name"] == "people-2.csv"
    assert world.title("ben@contoso.com") == "News"
    assert await world.tick() is None


async def test_an_older_export_is_not_taken_after_a_newer_one(world: World):
    """A file that was there before the last applied one is history."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Old news"}, CYD])
    world.wait(MINUTE)
    await world.drop("people-1.csv", [ADA, BEN | {"JobTitle": "News"}, CYD])
    await world.settle()

    assert world.title("ben@contoso.com") == "News"


async def test_hr_may_overwrite_one_file_every_night(world: World):
    """Exports need no names of their own: each version of one blob is an export."""
    for title in ("Engineer I", "Engineer II", "Engineer III"):
        report = await world.night([ADA, BEN | {"JobTitle": title}, CYD], name="people.csv")
        assert report["updated"] == 1

    assert world.title("ben@contoso.com") == "Engineer III"
    assert await world.tick() is None


async def test_an_export_may_lie_in_a_folder(world: World):
    """Folders in the container are part of the name, also of the quarantine file's."""
    report = await world.night([ADA, BEN | {"HireDate": "x"}, CYD], name="2026/03/people.csv")

    assert report["export"]["name"] == "2026/03/people.csv"
    assert report["quarantine"] == f"{CONNECTION}/2026/03/people.csv.{report['run']}.rejected.csv"


async def test_an_export_that_is_replaced_while_it_is_read_is_taken_at_the_next_tick(world: World):
    """The version that was listed is the one that is read, or none; the next tick takes the new one."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])
    exports: Any = world.containers.exports
    exports.fail(exports.requests + 2, error=StateChanged("the blob is another version"))

    first = await world.tick() or {}
    second = await world.tick() or {}

    assert (first["outcome"], first["error"]["code"]) == ("failed", "not_ready")
    assert (second["outcome"], second["updated"]) == ("completed", 1)


async def test_two_corrections_are_both_applied(world: World):
    """Partial files are applied one by one, in the order in which they came."""
    await world.drop("b.csv", [BEN | {"JobTitle": "Principal", "_error_code": ""}])
    world.wait(MINUTE)
    await world.drop("a.csv", [BEN | {"JobTitle": "Chief", "_error_code": ""}])
    world.wait(MINUTE)
    await world.drop("c.csv", [CYD | {"JobTitle": "Chief", "_error_code": ""}])

    reports = await world.settle()

    assert [report["export"]["name"] for report in reports] == ["b.csv", "a.csv", "c.csv"]
    assert world.title("ben@contoso.com") == "Chief"
    assert world.title("cyd@contoso.com") == "Chief"
    assert world.holds("E1", "E2", "E3")


async def test_a_bad_file_does_not_take_a_good_correction_with_it(world: World):
    """Of two files at one tick the one that is wrong is refused, by its name; the correction is applied."""
    await world.drop("a.csv", [ADA, BEN, CYD | {"JobTitle": "Chief"}])
    await world.promise("a.csv", sha256="0" * 64)
    world.wait(MINUTE)
    await world.drop("b.csv", [BEN | {"JobTitle": "Chief", "_error_code": ""}])

    first, second = await world.settle()

    assert (first["outcome"], first["export"]["name"]) == ("refused", "a.csv")
    assert (second["outcome"], second["export"]["name"]) == ("completed", "b.csv")
    assert world.title("ben@contoso.com") == "Chief"
    assert world.title("cyd@contoso.com") == "Analyst"


async def test_a_complete_export_outdates_the_corrections_before_it(world: World):
    """What a correction said holds until the next complete export, which says all there is to say."""
    await world.drop("a.csv", [BEN | {"JobTitle": "Chief", "_error_code": ""}])
    await world.tick()

    report = await world.night(STAFF)

    assert report["updated"] == 1
    assert world.title("ben@contoso.com") == "Engineer"


async def test_a_correction_older_than_the_last_export_is_ignored(world: World):
    """A partial file that was there before the complete one is history."""
    await world.drop("a.csv", [BEN | {"JobTitle": "Old news", "_error_code": ""}])
    world.wait(MINUTE)
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "News"}, CYD])

    await world.settle()

    assert world.title("ben@contoso.com") == "News"


async def test_a_correction_dropped_after_an_export_is_applied_after_it(world: World):
    """A complete export and a newer correction at one tick: both count, the correction last."""
    report = await world.night([ADA, BEN | {"HireDate": "01/03/2021", "JobTitle": "Principal"}, CYD])
    mended = world.blobs("quarantine")[report["quarantine"]].replace(b"01/03/2021", b"2021-03-01")
    await world.drop("people-9.csv", [ADA | {"JobTitle": "Chief"}, BEN, CYD])
    world.wait(MINUTE)
    await world.drop("mended.csv", mended)

    await world.settle()

    assert world.title("ada@contoso.com") == "Chief"
    assert world.title("ben@contoso.com") == "Principal"


# --- is it all there? -----------------------------------------------------------------------------------------------


async def test_an_export_waits_until_it_has_settled(world: World):
    """A file younger than EXPORT_SETTLE_SECONDS may still be on its way."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])

    assert await world.tick(after=299) is None
    assert (await world.tick(after=1) or {})["updated"] == 1


async def test_a_done_file_settles_an_export_at_once(world: World):
    """NAME.done says that the upload is over."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])
    await world.drop("people-2.csv.done", b"")

    assert (await world.tick(after=1) or {})["updated"] == 1


async def test_a_done_file_of_an_older_version_settles_nothing(world: World):
    """A marker older than its export speaks of another upload."""
    await world.drop("people-2.csv.done", b"")
    world.wait(2)
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])

    assert await world.tick(after=1) is None


async def test_a_true_manifest_settles_an_export_at_once(world: World):
    """A manifest with the file's sha256 says that the upload is over."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])
    await world.promise("people-2.csv", rows=3)

    assert (await world.tick(after=1) or {})["updated"] == 1


@pytest.mark.parametrize(
    "promised",
    [
        {"sha256": "0" * 64},
        {"rows": 4},
        {"rows": "three"},
        {"sha256": None},
        {"kind": "delta"},
        {"kind": []},
        {"files": "people-3.csv"},
        {"files": ["people-3.csv", "people-3.csv"]},
        {"files": ["../people-3.csv"]},
        {"files": [{"name": "people-3.csv", "sha256": "short"}]},
        {"files": ["notes.txt"]},
    ],
)
async def test_an_export_that_is_not_as_its_manifest_says_is_refused(world: World, promised: dict[str, Any]):
    """Another sha256 or number of rows than promised, or a promise that nobody understands: the file is not taken."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])
    await world.promise("people-2.csv", **promised)

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", "truncated")
    assert world.requests == []


async def test_a_manifest_that_is_no_json_refuses_its_export(world: World):
    """A manifest that cannot be read promises nothing, so the export is not taken."""
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}, CYD])
    await world.drop("people-2.csv.manifest.json", b"rows: 3")

    report = await world.tick() or {}

    assert (report["outcome"], report["error"]["code"]) == ("refused", "truncated")


async def test_a_manifest_of_an_older_version_says_nothing(world: World):
    """A manifest older than its export speaks of another upload: the export settles by age, as without one."""
    await world.drop("people-2.csv", STAFF)
    await world.promise("people-2.csv", rows=3)
    world.wait(MINUTE)
    await world.drop("people-2.csv", [ADA, BEN | {"JobTitle": "Principal"}])

    early = await world.tick(after=1)
    report = await world.tick() or {}

    assert early is None
    assert (report["outcome"], report["updated"], report["grace"]) == ("completed", 1, 1)


async def test_a_manifest_can_make_an_export_partial(world: World):
    """An export that its manifest calls partial deletes nobody."""
    await world.drop("changes.csv", [BEN | {"JobTitle": "Principal"}])
    await world.promise("changes.csv", kind="partial")

    report = await world.tick() or {}
    await world.settle()

    assert (report["updated"], report["grace"]) == (1, 0)
    assert world.holds("E1", "E2", "E3")


# --- wishes and decisions of the operator ---------------------------------------------------------------------------


async def test_a_wish_makes_the_next_tick_run(world: World):
    """POST /sync: the next tick goes through the last export, finds nothing, and says so."""
    await world.application().ask_for_sync()

    report = await world.tick() or {}

    assert (report["outcome"], report["unchanged"]) == ("unchanged", 3)
    assert world.requests == []
    assert await world.tick() is None


async def test_a_wish_for_everyone_sends_everyone(world: World):
    """POST /sync with full: everyone is sent again, once."""
    await world.application().ask_for_sync(b'{"full": true}')

    report = await world.tick() or {}

    assert (report["outcome"], report["updated"], report["created"]) == ("completed", 3, 0)
    assert world.sent("E1", "E2", "E3")
    assert await world.tick() is None


async def test_another_mapping_sends_those_whose_item_changes(world: World):
    """A mapping that shows one thing more re-sends exactly the people who have that thing."""
    await world.map_with(('number = "Phone"', 'number = "DeskNumber"'))

    report = await world.tick() or {}

    assert (report["updated"], report["unchanged"]) == (1, 2)
    assert world.sent("E2")
    assert "personPhones" not in world.profiles()["ben@contoso.com"]


async def test_a_mapping_that_reads_another_comment_sends_nobody(world: World):
    """Text of the mapping that changes no item changes nothing in Graph."""
    await world.map_with(("# no label: a custom property", "# a property of our own"))

    report = await world.tick() or {}

    assert report["outcome"] == "unchanged"
    assert world.writes() == []


async def test_a_wider_pilot_is_planned_at_once():
    """A changed PILOT goes through the last export without a new one."""
    world = await a_world(PILOT="ada@contoso.com")
    await world.night(STAFF)
    assert world.holds("E1")
    world.decide(PILOT="ada@contoso.com,ben@contoso.com")

    report = await world.tick() or {}

    assert report["created"] == 1
    assert world.holds("E1", "E2")


async def test_a_bad_file_does_not_swallow_a_decision():
    """A changed PILOT is planned from the last good export although the newest file is refused."""
    world = await a_world(PILOT="ada@contoso.com")
    await world.night(STAFF)
    world.decide(PILOT="ada@contoso.com,ben@contoso.com")
    await world.drop("people-2.csv", b"")

    reports = await world.settle()

    assert [report["outcome"] for report in reports] == ["refused", "completed"]
    assert world.holds("E1", "E2")


async def test_a_mapping_with_a_property_that_setup_has_not_registered_is_refused(world: World):
    """A plan whose schema is not registered is refused before any PUT, and the sentence says what to do."""
    await world.map_with(('name = "favoriteColor"', 'name = "favouriteColour"'))

    report = await world.tick() or {}

    assert report["outcome"] == "failed"
    assert "run setup" in report["error"]["message"]
    assert world.requests == []


async def test_setup_registers_a_new_property_and_the_next_tick_sends_it(world: World):
    """After setup has added the property, those who have it are sent."""
    await world.map_with(('name = "favoriteColor"', 'name = "favouriteColour"'))
    await world.tick()
    await world.setup()

    await world.settle()

    assert world.profiles()["ada@contoso.com"]["custom"] == {"favouriteColour": "red"}


async def test_before_setup_a_tick_does_nothing():
    """Without a connection an export waits."""
    world = World()
    await world.drop("people.csv", STAFF)

    assert await world.ticked() == "not_ready"
    assert world.requests == []


async def test_an_export_from_before_setup_is_taken_after_it():
    """The first export may be there before the connection is."""
    world = World()
    world.follow(STAFF)
    await world.drop("people.csv", STAFF)
    await world.ticked()
    await world.setup()

    report = await world.tick() or {}

    assert report["created"] == 3
    assert world.profiles()["ada@contoso.com"]["personName"]["displayName"] == "Ada Lovelace"


async def test_many_nights_agree_with_the_last_export():
    """After thirty nights of joiners, movers and leavers Graph holds what the last export says, item by item."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, MIN_DELETE_ALLOWANCE=10)
    rows = people(6)
    for night in range(30):
        rows = [
            row | {"JobTitle": f"Grade {night // 3}"} if index % 3 == night % 3 else row
            for index, row in enumerate(rows)
        ]
        rows = [*rows[1:], a_person(f"J{night}", manager=rows[1]["EmployeeId"])]
        await world.night(rows)
    await world.night(rows)  # whoever was managed by the last leavers is told so
    twin = await a_world()
    twin.graph.users, twin.graph._by_upn = world.graph.users, world.graph._by_upn

    await twin.night(rows, accounts=False)

    assert world.graph.items == twin.graph.items
    assert set(world.graph.items) == {item_of(row["EmployeeId"]) for row in rows}


# --- any life -------------------------------------------------------------------------------------------------------


def _the_next_night(rows: list[Row], dice: random.Random, night: int) -> list[Row]:
    """Return what HR exports next: some join, some leave by word or by absence, some move, marry or change places."""
    keys = [row["EmployeeId"] for row in rows]
    changed: list[Row] = []
    for row in rows:
        match dice.randrange(12):
            case 0:
                continue
            case 1:
                changed.append(row | {"JobTitle": f"Grade {night}"})
            case 2:
                changed.append(row | {"ManagerId": dice.choice([*keys, "nobody", ""])})
            case 3:
                changed.append(row | {"UserPrincipalName": f"{row['EmployeeId'].lower()}.{night}@contoso.com"})
            case 4:
                changed.append(row | {"Status": dice.choice(["Left", "On leave", "Active"])})
            case 5:
                changed.append(row | {"DeskNumber": str(night)})
            case _:
                changed.append(row)
    joiners = [a_person(f"J{night}x{number}", manager=dice.choice(keys)) for number in range(dice.randrange(3))]
    changed += joiners or [a_person(f"J{night}")]
    dice.shuffle(changed)
    return changed


def _with_bad_rows(rows: list[Row], dice: random.Random) -> list[Row]:
    return [row | {"HireDate": "soon"} if dice.randrange(10) == 0 else row for row in rows]


@pytest.mark.once
@pytest.mark.parametrize("seed", range(8))
async def test_whatever_hr_does_graph_ends_as_the_last_export_says(seed: int):
    """After any fortnight Graph holds, byte by byte, what one good export into an empty connection brings.

    There are joiners, movers, leavers, bad rows and late accounts; days are good or bad.
    """
    dice = random.Random(seed)  # noqa: S311
    world = await a_world(LEAVER_GRACE_EXPORTS=seed % 3, MIN_DELETE_ALLOWANCE=1000, MAX_CONCURRENCY=1 + seed % 16)
    rows = people(12)
    for night in range(14):
        rows = _the_next_night(rows, dice, night)
        world.without_account = {row["UserPrincipalName"] for row in rows if row["EmployeeId"] == f"J{night}"}
        if dice.randrange(3) == 0:
            faults = (Failed(503, effect=True), Dropped(effect=True), Throttled(2), Refused(400))
            world.graph.fault_when(lambda _: True, dice.choice(faults), times=2, after=dice.randrange(6))
        exported = _with_bad_rows(rows, dice)
        report = await world.night(exported)
        _adds_up(report, exported)
        for _ in range(dice.randrange(3)):
            await world.tick()
    world.without_account = set()
    world.graph.clear_faults()

    for _ in range(4):
        await world.night(rows)
    last = await world.night(rows)

    assert (last["outcome"], last["unmatched"]) == ("unchanged", 0)
    twin = await a_world()
    twin.graph.users, twin.graph._by_upn = world.graph.users, world.graph._by_upn
    await twin.night(rows, accounts=False)
    assert world.graph.items == twin.graph.items
    assert world.profiles() == twin.profiles()


def _adds_up(report: dict[str, Any], rows: list[Row]) -> None:
    """Check that nobody is lost in the counts."""
    if report["outcome"] not in {"completed", "unchanged"} or report["failed"]:
        return
    accepted = [row for row in rows if not row["HireDate"] or row["Status"] == "Left"]
    leavers = sum(row["Status"] == "Left" for row in accepted)
    sent = report["unchanged"] + report["created"] + report["updated"] + report["unmatched"]
    assert report["people"] == len(accepted) == sent + leavers
    assert report["rejected"] == len(rows) - len(accepted)
