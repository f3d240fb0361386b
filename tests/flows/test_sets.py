"""Exports that are in several files: taken together or not at all, whatever comes first and whatever dies."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.flows.world import CONNECTION, DAY, KILLED, Report, Row, World, a_person, a_world, an_export
from tests.tenant.graph.faults import Kill

pytestmark = [pytest.mark.anyio, pytest.mark.contracts("labels")]

ADA = a_person("E1", title="Director")
BEN = a_person("E2", manager="E1")
CYD = a_person("C1", manager="E1")
DAN = a_person("I1", manager="C1")

FILES = {"employees.csv": [ADA, BEN], "contractors.csv": [CYD], "interns.csv": [DAN]}
"""One population in three files; the manifest stands beside the first."""
LEAD, *MEMBERS = FILES
HUGE = 30 * DAY
"""Settling takes so long that only markers say that an upload is over."""


def digest(world: World, name: str) -> str:
    """Return the SHA-256 of a file that HR has dropped."""
    return hashlib.sha256(world.blobs("exports")[name]).hexdigest()


async def drop(world: World, files: dict[str, list[Row]], *, listed: list[Any] | None = None, **manifest: Any) -> None:
    """Drop a set and then its manifest, which lists the members unless it lists something else."""
    for name, rows in files.items():
        world.follow(rows)
        await world.drop(name, rows)
    await world.promise(LEAD, files=listed or MEMBERS, **manifest)


async def applied(files: dict[str, list[Row]] | None = None, **settings: object) -> World:
    """Return a world in which a set has been applied."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0, **settings)
    world.wait(DAY)
    await drop(world, files or FILES)
    (report,) = await world.settle()
    assert report["outcome"] == "completed"
    return world


async def again(world: World, **changed: list[Row]) -> Report:
    """Drop the set a day later with some files changed, and return the report of the run that takes it."""
    world.wait(DAY)
    await drop(world, FILES | {f"{name}.csv": rows for name, rows in changed.items()})
    return await world.tick() or {}


# --- one population ---------------------------------------------------------------------------------------------------


async def test_files_of_one_manifest_are_one_population():
    """Everybody of every file is sent, references lead across files, and the report tells of each file."""
    world = await a_world()
    await drop(world, FILES, rows=4)

    report = await world.tick() or {}
    later = await world.tick()

    assert (report["outcome"], report["people"], report["created"]) == ("completed", 4, 4)
    assert world.manager("c1@contoso.com") == "e1@contoso.com"
    assert world.manager("i1@contoso.com") == "c1@contoso.com"
    export = report["export"]
    assert (export["name"], export["rows"], export["kind"]) == (LEAD, 4, "complete")
    assert [(file["name"], file["rows"], file["encoding"]) for file in export["files"]] == [
        ("employees.csv", 2, "utf-8"),
        ("contractors.csv", 1, "utf-8"),
        ("interns.csv", 1, "utf-8"),
    ]
    assert later is None


async def test_a_tick_after_a_set_asks_as_little_as_ever():
    """Once a set is applied, its manifest is not read again: an idle tick makes four blob requests at most."""
    world = await applied()

    report = await world.tick()

    assert report is None
    assert world.blob_requests <= 4
    assert world.requests == []


async def test_whoever_is_in_no_file_any_more_is_absent():
    """A set is as complete as a single file: who left it is deleted, who moved between its files is not."""
    world = await applied()

    report = await again(world, contractors=[DAN], interns=[a_person("I2")])

    assert (report["outcome"], report["deleted"], report["created"], report["failed"]) == ("completed", 1, 1, 0)
    assert world.holds("E1", "E2", "I1", "I2")


async def test_a_partial_set_deletes_nobody():
    """A manifest's kind holds for all its files."""
    world = await applied()
    world.wait(DAY)
    rows = {"employees.csv": [ADA | {"JobTitle": "Chief"}], "contractors.csv": [a_person("C2")], "interns.csv": [DAN]}
    await drop(world, rows, kind="partial")

    report = await world.tick() or {}

    assert (report["export"]["kind"], report["updated"], report["created"], report["deleted"]) == ("partial", 1, 1, 0)
    assert world.holds("E1", "E2", "C1", "C2", "I1")


async def test_a_correction_of_one_file_comes_back():
    """The rejected rows of each file come back in a file of their own; one of them, mended, is a partial export."""
    world = await applied()
    bad = {"contractors": [CYD | {"HireDate": "soon", "JobTitle": "Chief"}], "interns": [DAN | {"HireDate": "later"}]}

    report = await again(world, **bad)
    names = [f"{CONNECTION}/{name}.csv.{report['run']}.rejected.csv" for name in bad]
    mended = world.blobs("quarantine")[names[0]].replace(b"soon", b"2021-03-01")
    await world.drop("mended.csv", mended)
    correction = await world.tick() or {}

    assert (report["quarantine"], report["quarantines"]) == (names[0], names)
    assert [(row["file"], row["row"], row["key"]) for row in report["rows"]] == [
        ("contractors.csv", 1, "C1"),
        ("interns.csv", 1, "I1"),
    ]
    assert (correction["outcome"], correction["updated"], correction["deleted"]) == ("completed", 1, 0)
    assert world.title("c1@contoso.com") == "Chief"
    assert world.holds("E1", "E2", "C1", "I1")


async def test_files_of_two_looks_give_back_two_looks():
    """Each file's rejected rows have its own columns, delimiter and encoding."""
    world = await a_world()
    world.follow([ADA, CYD])
    await world.drop("employees.csv", an_export([ADA, BEN | {"HireDate": "soon"}]))
    rows = [{"EmployeeId": "C1", "UserPrincipalName": "c1@contoso.com", "JobTitle": "Ingénieur", "HireDate": "soon"}]
    await world.drop("contractors.csv", an_export(rows, delimiter=";").decode().encode("utf-16"))
    await world.promise(LEAD, files=["contractors.csv"])

    report = await world.tick() or {}

    first, second = (world.blobs("quarantine")[name] for name in report["quarantines"])
    assert first.decode("utf-8-sig").startswith("EmployeeId,UserPrincipalName,DisplayName")
    header, row, _ = second.decode("utf-16").split("\r\n")
    assert header == "EmployeeId;UserPrincipalName;JobTitle;HireDate;_row;_error_code;_error"
    assert row.startswith("C1;c1@contoso.com;Ingénieur;soon;1;bad_date;")


async def test_a_key_in_two_files_is_right_in_neither():
    """Files of a set are of equal rank: rows of one key that differ are all rejected; the same row twice is one."""
    world = await a_world()
    rows = {
        "employees.csv": [ADA, BEN],
        "contractors.csv": [BEN | {"JobTitle": "Advisor"}, CYD],
        "interns.csv": [CYD],
    }
    await drop(world, rows)

    report = await world.tick() or {}

    assert [(row["file"], row["key"], row["codes"]) for row in report["rows"]] == [
        ("employees.csv", "E2", ["duplicate_key"]),
        ("contractors.csv", "E2", ["duplicate_key"]),
    ]
    assert (report["people"], report["export"]["identical_rows"]) == (2, 1)
    assert world.holds("E1", "C1")


async def test_a_change_of_look_is_a_warning_by_file():
    """A file is compared with the one that stood in its place in the last set; the report says which changed."""
    world = await applied()
    world.wait(DAY)
    await drop(world, FILES)
    await world.drop("interns.csv", an_export([DAN], delimiter=";"))
    await world.promise(LEAD, files=MEMBERS)

    report = await world.tick() or {}

    assert report["warnings"]["delimiter_changed"] == 1
    assert [file["changes"] for file in report["export"]["files"]] == [[], [], ["delimiter_changed"]]


async def test_names_may_come_from_several_folders():
    """A name without a folder stands beside the manifest; files of one name in two folders are kept apart."""
    world = await a_world()
    world.follow([ADA, BEN, CYD])
    await world.drop("no/people.csv", [ADA])
    await world.drop("no/more.csv", [BEN])
    await world.drop("se/people.csv", [CYD])
    await world.promise("no/people.csv", files=["more.csv", "se/people.csv"])

    await world.settle()
    await world.application().ask_for_sync()
    report = await world.tick() or {}

    assert world.holds("E1", "E2", "C1")
    assert (report["outcome"], report["unchanged"]) == ("unchanged", 3)


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_a_set_is_taken_with_its_manifest_whatever_came_first(order: tuple[int, ...]):
    """Files may be uploaded in any order, a tick between them: nothing is taken before the manifest is there."""
    world = await a_world(EXPORT_SETTLE_SECONDS=HUGE)
    states = []
    for place in order:
        name = list(FILES)[place]
        world.follow(FILES[name])
        await world.drop(name, FILES[name])
        states.append(await world.ticked())
    files = [{"name": name, "sha256": digest(world, name)} for name in MEMBERS]

    await world.promise(LEAD, files=files)
    reports = await world.settle()

    assert states == ["idle"] * 3
    assert [report["created"] for report in reports] == [4]


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["contractors.csv.done", "interns.csv.done", "manifest"]))
)
async def test_a_set_waits_for_the_marker_of_each_file(order: tuple[str, ...]):
    """Files that the manifest does not vouch for wait for their own markers; until then none is taken alone."""
    world = await a_world(EXPORT_SETTLE_SECONDS=HUGE)
    for name, rows in FILES.items():
        world.follow(rows)
        await world.drop(name, rows)
    await world.promise(LEAD, files=MEMBERS)
    created = []

    for name in order:
        if name == "manifest":
            await world.promise(LEAD, files=MEMBERS)
        else:
            await world.drop(name, b"")
        report = await world.tick()
        created.append(report["created"] if report else 0)

    done = max(order.index("contractors.csv.done"), order.index("interns.csv.done"))
    assert [bool(each) for each in created] == [place == done for place in range(3)]
    assert sum(created) == 4


async def test_a_file_that_is_missing_is_waited_for(caplog: pytest.LogCaptureFixture):
    """Without it no run, no report, a line in the log; once it is there, and the manifest anew, all are taken."""
    world = await a_world()
    world.follow([ADA, BEN, CYD, DAN])
    await world.drop("employees.csv", FILES["employees.csv"])
    await world.drop("interns.csv", FILES["interns.csv"])
    await world.promise(LEAD, files=MEMBERS)
    caplog.set_level(logging.INFO, "connector")

    states = [await world.ticked() for _ in range(3)]
    lines = [json.loads(record.getMessage()) for record in caplog.records if "sync.tick" in record.message]
    status = await world.application().status()
    checks = (await world.application().health())["checks"]
    nothing = not world.graph.items and not world.blobs("reports")
    await world.drop("contractors.csv", [CYD])
    await world.promise(LEAD, files=MEMBERS)
    (report,) = await world.settle()

    assert states == ["idle"] * 3
    assert nothing
    assert [(line["waiting_for"], line["missing"]) for line in lines] == [("files of a set", 1)] * 3
    assert "employees" not in str(lines)
    (waiting,) = status["waiting"]
    assert (waiting["name"], waiting["missing"]) == (LEAD, ("contractors.csv",))
    (export,) = (check for check in checks if check["name"] == "export")
    assert "it waits for contractors.csv" in export["detail"]
    assert report["created"] == 4


async def test_a_file_that_changes_after_the_manifest_is_waited_for():
    """The manifest speaks of another upload then: the set waits for a new one, and no file passes for everybody."""
    world = await applied()
    world.wait(DAY)
    await drop(world, FILES)
    world.wait(1)
    await world.drop("interns.csv", [DAN | {"JobTitle": "Chief"}])

    states = [await world.ticked() for _ in range(3)]
    status = await world.application().status()
    await world.promise(LEAD, files=MEMBERS)
    (report,) = await world.settle()

    assert states == ["idle"] * 3
    assert status["waiting"][0]["newer"] == ("interns.csv",)
    assert (report["outcome"], report["updated"], report["deleted"]) == ("completed", 1, 0)


async def test_each_file_is_held_to_what_the_manifest_says_of_it():
    """A file that is not the one named by sha256, or has other rows than promised, refuses the set by its name."""
    world = await applied()

    errors = []
    for said in ({"sha256": "0" * 64}, {"rows": 5}):
        world.wait(DAY)
        await drop(world, FILES, listed=["contractors.csv", {"name": "interns.csv", **said}])
        report = await world.tick() or {}
        errors.append((report["outcome"], report["error"]["code"], report["error"]["file"]))
        assert await world.tick() is None
        assert world.blob_requests <= 4

    assert errors == [("refused", "truncated", "interns.csv")] * 2
    assert world.holds("E1", "E2", "C1", "I1")


async def test_a_refused_set_is_taken_with_a_mended_manifest():
    """Whoever mends the manifest need not upload the files again."""
    world = await a_world()
    await drop(world, FILES, rows=5)
    first = await world.tick() or {}
    world.wait(DAY)

    await world.promise(LEAD, files=MEMBERS, rows=4)
    second = await world.tick() or {}

    assert (first["outcome"], first["error"]["code"]) == ("refused", "truncated")
    assert (second["outcome"], second["created"]) == ("completed", 4)


async def test_a_file_that_was_forgotten_is_added_by_a_new_manifest():
    """A set whose manifest lists one more file now is another set, and is taken once more, without another upload."""
    world = await applied()
    world.wait(DAY)
    world.follow([a_person("T1")])
    await world.drop("trainees.csv", [a_person("T1")])
    refused = await world.tick() or {}

    await world.promise(LEAD, files=[*MEMBERS, "trainees.csv"])
    (report,) = await world.settle()

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "different_export")
    assert (report["outcome"], report["created"], report["unchanged"]) == ("completed", 1, 4)


async def test_a_file_is_taken_out_by_a_new_manifest():
    """A set is none the older for having lost its newest file: who was in it is absent."""
    world = await applied()
    world.wait(DAY)
    await world.containers.exports.delete("interns.csv")

    await world.promise(LEAD, files=["contractors.csv"])
    (report,) = await world.settle()

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert world.holds("E1", "E2", "C1")


# --- a file alone -----------------------------------------------------------------------------------------------------


async def test_a_single_file_does_not_pass_for_a_set():
    """After a set, a complete file without a manifest is refused: it would make everybody else absent."""
    world = await applied()

    report = await world.night([ADA, BEN], name="people.csv", accounts=False)
    later = await world.tick()

    assert (report["outcome"], report["error"]["code"]) == ("refused", "different_export")
    assert "3 files" in report["error"]["message"]
    assert later is None
    assert world.holds("E1", "E2", "C1", "I1")


async def test_a_manifest_can_say_that_one_file_is_everybody_now():
    """Listed alone, a file is the whole population from then on."""
    world = await applied()
    await world.drop("people.csv", [ADA, BEN, CYD])
    await world.promise("people.csv", files=["people.csv"])

    report = await world.tick() or {}
    next_one = await world.night([ADA, BEN, CYD], name="people.csv")

    assert (report["outcome"], report["deleted"]) == ("completed", 1)
    assert next_one["outcome"] == "unchanged"


async def test_a_clean_up_of_manifests_changes_nothing():
    """HR may delete the manifest of a set that was applied, or all its files."""
    world = await applied()

    await world.containers.exports.delete(f"{LEAD}.manifest.json")
    without = await world.tick()
    for name in FILES:
        await world.containers.exports.delete(name)
    empty = await world.tick()

    assert (without, empty) == (None, None)
    assert world.holds("E1", "E2", "C1", "I1")


# --- dying ------------------------------------------------------------------------------------------------------------


SECOND = FILES | {"contractors.csv": [CYD | {"JobTitle": "Chief"}], "interns.csv": [a_person("I2", manager="C1")]}
"""A mover in one file; in another a leaver by absence, and a joiner."""
CONTAINERS = ("exports", "state", "reports", "quarantine")


async def before() -> World:
    """Return a world with a set applied, in which HR has just dropped the next one."""
    world = await applied()
    world.wait(DAY)
    await drop(world, SECOND)
    return world


@pytest.mark.once
async def test_a_set_survives_a_death_at_each_request():
    """Wherever the process dies, in Graph or in storage, the next ones end as if it had not, with all copies."""
    world = await before()
    begun = {name: getattr(world.containers, name).requests for name in CONTAINERS}
    seen = len(world.graph.requests)
    await world.tick()
    deaths = {name: getattr(world.containers, name).requests - begun[name] for name in CONTAINERS}
    deaths["graph"] = len(world.graph.requests) - seen
    items = dict(world.graph.items)
    assert deaths["graph"] > 2
    assert deaths["exports"] == 5  # the listing, the manifest, and each file once
    for place, position in [(place, position) for place, count in deaths.items() for position in range(count)]:
        world = await before()
        if place == "graph":
            world.graph.fault(len(world.graph.requests) + position, Kill())
        else:
            blobs = getattr(world.containers, place)
            blobs.kill(blobs.requests + position + 1)
        with suppress(*KILLED):
            await world.tick()
        world.graph.clear_faults()
        for name in CONTAINERS:
            getattr(world.containers, name).mend()

        await world.settle()

        where = f"{place} {position}"
        head = await world.head()
        assert world.graph.items == items, where
        assert head.run is None, where
        assert head.applied is not None, where
        copies = {name for name in world.blobs("state") if "/exports/" in name}
        assert copies >= {file.copy for file in head.applied.files}, where


# --- files that others made -------------------------------------------------------------------------------------------

SAMPLES = Path(__file__).parents[1] / "hr_samples"
WORKERS = b"""
format = 1
[key]
column = "WorkerID"
[account]
template = "{UserID}@contoso.com"
[status]
column = "WorkerStatus"
in_scope = ["Active"]
leaver = ["Inactive"]
[[property]]
name = "accounts"
label = "personAccount"
[[property]]
name = "positions"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitle" = "JobTitle"
"detail.company.department" = "Department"
manager = { person = "ManagerID", relationship = "manager" }
"""


async def test_three_files_of_a_real_system_are_one_population():
    """Worker ids that overlap under different names are nobody's; everybody else is there, whichever file has them."""
    world = await a_world(MAX_REJECT_PERCENT=100)
    await world.containers.state.write("workers.toml", WORKERS)
    world.decide(MAPPING="blob:workers.toml")
    names = [f"msft_csv2scim_{kind}.csv" for kind in ("employees", "contractors", "interns")]
    rows: dict[str, list[dict[str, str]]] = {}
    for name in names:
        data = (SAMPLES / name).read_bytes()
        await world.drop(name, data)
        for row in csv.DictReader(io.StringIO(data.decode())):
            rows.setdefault(row["WorkerID"], []).append(row)
    for upn in {f"{row['UserID']}@contoso.com" for several in rows.values() for row in several}:
        world.graph.add_user(upn)
    await world.promise(names[0], files=names[1:], rows=1000)

    report = await world.tick() or {}

    left = {key for key, several in rows.items() if all(row["WorkerStatus"] == "Inactive" for row in several)}
    alone = {key for key, several in rows.items() if len(several) == 1} - left
    apart = rows.keys() - left - alone
    assert (len(left), len(alone), len(apart)) != (0, 0, 0)
    assert (report["outcome"], report["export"]["rows"]) == ("completed", 1000)
    assert (report["people"], report["created"]) == (len(left | alone), len(alone))
    assert report["rejected"] == sum(len(rows[key]) for key in apart)
    assert {code for row in report["rows"] for code in row["codes"]} == {"duplicate_key"}
    assert len(report["quarantines"]) == 3
    titles = {f"{rows[key][0]['UserID']}@contoso.com": rows[key][0]["JobTitle"] for key in alone}
    positions = {upn: profile.get("personCurrentPosition") for upn, profile in world.profiles().items()}
    found = {upn: position["detail"]["jobTitle"] for upn, position in positions.items() if position}
    assert found == titles
