"""Files as HR systems write them, from the drop to the profile, and back through the quarantine."""

from __future__ import annotations

import pytest

from tests.flows.world import Report, World, a_person, a_world, an_export

pytestmark = pytest.mark.anyio

ZOE = a_person("E1", "zoe@contoso.com", DisplayName="Zoë Müller", JobTitle="Ingénieur", Phone="+49 1")
BEN = a_person("E2", "ben@contoso.com")
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "windows-1252"]


async def taken(world: World, name: str, data: bytes) -> Report:
    """Drop a file and return the report of the tick that takes it."""
    await world.drop(name, data)
    return await world.tick() or {}


async def a_staffed_world() -> World:
    """Return a world whose accounts and first export are there."""
    world = await a_world()
    await world.night([ZOE, BEN], name="people-1.csv")
    return world


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_file_in_any_encoding_gives_the_same_profiles(encoding: str):
    """Nothing changes when the same people come in another encoding; the report says how the file was read."""
    world = await a_staffed_world()

    report = await taken(world, "people-2.csv", an_export([ZOE, BEN], delimiter=";").decode().encode(encoding))

    assert (report["outcome"], report["rejected"]) == ("unchanged", 0)
    export = report["export"]
    assert (export["encoding"], export["delimiter"]) == (encoding.removesuffix("-sig"), ";")
    assert world.title("zoe@contoso.com") == "Ingénieur"


async def test_titles_and_totals_are_counted_and_a_change_is_a_warning():
    """Lines around the table are listed by number; a file of another look than the last one is a warning."""
    world = await a_staffed_world()
    text = an_export([ZOE, BEN], delimiter=";").decode()

    data = f"Worker Report - as of 09/01/2026\r\n\r\n{text}Total;2\r\nPage 1 of 1\r\n".encode("windows-1252")
    first = await taken(world, "people-2.csv", data)
    again = await taken(world, "people-3.csv", data.replace(b"09/01", b"09/02"))

    export = first["export"]
    assert (export["rows"], export["skipped"], export["skipped_lines"]) == (2, 3, [1, 6, 7])
    changed = {"encoding_changed": 1, "delimiter_changed": 1, "skipped_lines_changed": 1}
    assert changed.items() <= first["warnings"].items()
    assert not changed.keys() & again["warnings"].keys()


async def test_a_file_without_its_last_line_break_is_taken_for_cut_off():
    """The last export ended in a line break, so this one was cut; nothing is done. A manifest says that it is whole."""
    world = await a_staffed_world()
    data = an_export([ZOE, BEN | {"JobTitle": "Principal"}]).rstrip()

    refused = await taken(world, "people-2.csv", data[:-3])
    title = world.title("ben@contoso.com")
    await world.drop("people-3.csv", data)
    await world.promise("people-3.csv", rows=2)
    done = await world.tick() or {}

    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "truncated")
    assert title == BEN.get("JobTitle")
    assert done["updated"] == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_mended_row_comes_back_in_every_encoding(encoding: str):
    """The quarantine file has the input's encoding; mended and dropped back, it reaches the profile unharmed."""
    world = await a_staffed_world()
    bad = ZOE | {"HireDate": "01/03/2021", "JobTitle": "=Zoë"}
    await taken(world, "people-2.csv", an_export([bad, BEN], delimiter="\t").decode().encode(encoding))
    (file,) = world.blobs("quarantine").values()

    mended = read_as(file, encoding).replace("01/03/2021", "2021-03-01")
    await taken(world, "mended.csv", mended.encode(encoding))

    assert "'=Zoë" in mended
    assert world.title("zoe@contoso.com") == "=Zoë"


async def test_a_name_of_the_mapping_makes_an_export_partial():
    """A file whose name the mapping calls partial deletes nobody; a manifest's kind has the last word."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.map_with(("[key]  ", '[file]\npartial = ["*DELTA*.csv"]\n\n[key]  '))
    await world.night([ZOE, BEN], name="people-1.csv")

    delta = await taken(world, "people-delta-1.csv", an_export([BEN | {"JobTitle": "Chief"}]))
    held = world.holds("E1", "E2")
    await world.drop("people-delta-2.csv", [BEN])
    await world.promise("people-delta-2.csv", kind="complete", files=["people-delta-2.csv"])
    whole = await world.tick() or {}

    assert (delta["export"]["kind"], delta["updated"], delta["deleted"]) == ("partial", 1, 0)
    assert held
    assert (whole["export"]["kind"], whole["deleted"]) == ("complete", 1)


async def test_one_name_of_several_files_makes_them_partial():
    """A set that holds a partial file cannot be everybody, if its manifest does not say so."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.map_with(("[key]  ", '[file]\npartial = ["*delta*.csv"]\n\n[key]  '))
    await world.night([ZOE, BEN], name="people-1.csv")
    await world.drop("delta-people.csv", [BEN | {"JobTitle": "Chief"}])
    await world.drop("chiefs.csv", [BEN | {"EmployeeId": "E9", "UserPrincipalName": "e9@contoso.com"}])
    await world.promise("chiefs.csv", files=["delta-people.csv"])

    report = await world.tick() or {}

    assert (report["export"]["kind"], report["updated"], report["deleted"]) == ("partial", 1, 0)
    assert world.holds("E1", "E2")


def read_as(data: bytes, encoding: str) -> str:
    """Return a file's text, as an editor would show it."""
    return data.decode("utf-8-sig" if encoding.startswith("utf-8") else encoding).removeprefix("\ufeff")
