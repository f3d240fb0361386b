"""Every documented code: what a row or a file must look like to get it, from the drop to the quarantine file."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"

MAPPING = """
format = 1
[key]
column = "EmployeeId"
[account]
column = "UserPrincipalName"
[status]
column = "Status"
in_scope = ["Active"]
leaver = ["Left"]
[[property]]
name = "account"
label = "personAccount"
[[property]]
name = "position"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitle" = "Title"
"detail.startMonthYear" = "HireDate"
"detail.layer" = "Layer"
"manager" = { person = "ManagerId", relationship = "manager" }
[[property]]
name = "emails"
label = "personEmails"
fields = { address = { column = "Emails", split = ";" } }
"""

HEADER = "EmployeeId,UserPrincipalName,Title,HireDate,Layer,ManagerId,Emails,Status\n"

ROWS = {
    "missing_key": [",e1@contoso.com,Clerk,,,,,Active"],
    "duplicate_key": ["E1,e1@contoso.com,Clerk,,,,,Active", "E1,e1@contoso.com,Chef,,,,,Active"],
    "missing_account": ["E1,,Clerk,,,,,Active"],
    "bad_account": ["E1,Ada,Clerk,,,,,Active"],
    "duplicate_account": ["E1,e1@contoso.com,Clerk,,,,,Active", "E2,E1@contoso.com,Clerk,,,,,Active"],
    "bad_date": ["E1,e1@contoso.com,Clerk,2021-02-30,,,,Active"],
    "bad_number": ["E1,e1@contoso.com,Clerk,,high,,,Active"],
    "not_allowed": ["E1,e1@contoso.com,Clerk,,,,,Asleep"],
    "too_many": ["E1,e1@contoso.com,Clerk,,,,a@b;c@d;e@f;g@h,Active"],
    "too_long": ["E1,e1@contoso.com," + "x" * 20_001 + ",,,,,Active"],
    "bad_row": ["E1,e1@contoso.com,Clerk,,,,Active"],
    "bad_text": ["E1,e1@contoso.com,Ren\udce9,,,,Zoë@contoso.com,Active"],
}
"""By code, rows that get it, all of them."""

RIGHT = [
    f"P{number},p{number}@contoso.com,Clerk,2021-03-01,3,P1,p{number}@contoso.com,Active" for number in range(1, 26)
]


def _lines(*rows: str, header: str = HEADER) -> bytes:
    return (header + "".join(f"{row}\n" for row in rows)).encode("utf-8", "surrogateescape")


FILES: dict[str, Callable[[], bytes]] = {
    "empty_file": lambda: b"",
    "missing_column": lambda: _lines(*RIGHT, header=HEADER.replace("EmployeeId", "EmployeeNo")),
    "duplicate_column": lambda: _lines(*RIGHT, header=HEADER.replace("Title", "Layer")),
    "undecodable": lambda: bytes(range(256)) * 20,
    "truncated": lambda: _lines(*RIGHT)[:-1],
    "too_many_rejected": lambda: _lines(*RIGHT[:15], *(row.replace("2021-03-01", "soon") for row in RIGHT[15:])),
    "everyone": lambda: _lines(*(row.replace("Active", "Left") for row in RIGHT)),
    "match_rate": lambda: _lines(*(row.replace("@contoso", "@fabrikam") for row in RIGHT)),
    "rekeyed": lambda: _lines(*RIGHT[:15], *(f"Q{row}" for row in RIGHT[15:])),
    "column_emptied": lambda: _lines(*(row.replace("2021-03-01", "") for row in RIGHT)),
    "field_changed": lambda: _lines(*(row.replace("Clerk", "Chef") for row in RIGHT)),
    "cells_changed": lambda: _lines(
        *(row.replace("Clerk", "Chef") for row in RIGHT[:8]),
        *(row.replace(",3,", ",4,") for row in RIGHT[8:16]),
        *RIGHT[16:],
    ),
    "different_export": lambda: _lines(*RIGHT),
    "mapping_change": lambda: _lines(*RIGHT),
}
"""By code, a file that gets it when the 25 people of ``RIGHT`` were applied before; the last but one, when they came in
two files, and the last one, when their titles come from another column since."""


def documented(place: str) -> set[str]:
    """Return the codes that the page says are given, of rows or of files."""
    table = PAGE.read_text().partition(f"<!-- table: {place} -->")[2].partition("<!-- end -->")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_each_documented_code_has_an_example():
    """Those of rows and those of files, and no others."""
    assert documented("rows") == set(ROWS)
    assert documented("files") == set(FILES)


async def _a_world(*rows: str) -> World:
    world = World()
    await world.containers.state.write("mapping.toml", MAPPING.encode())
    world.decide(MAPPING="blob:mapping.toml")
    await world.setup()
    world.follow({"EmployeeId": key, "UserPrincipalName": upn} for key, upn, *_ in (row.split(",") for row in rows))
    return world


async def _night(world: World, data: bytes) -> dict[str, Any]:
    world.wait(24 * 3600)
    await world.drop(f"people-{world.clock.now():%Y-%m-%d}.csv", data)
    report = await world.tick()
    assert report is not None
    return report


@pytest.mark.parametrize("code", ROWS)
async def test_a_row_gets_its_code(code):
    """It lies in the quarantine file under it, its person is not sent, and the others are."""
    good = "P1,p1@contoso.com,Clerk,,,,,Active"
    world = await _a_world(good, "E1,e1@contoso.com")

    report = await _night(world, _lines(good, *ROWS[code]))

    (file,) = world.blobs("quarantine").values()
    rejected = list(csv.DictReader(io.StringIO(file.decode("utf-8-sig", "surrogateescape"), newline="")))
    assert [row["_error_code"] for row in rejected] == [code] * len(ROWS[code])
    assert report["rejected"] == len(ROWS[code])
    assert world.holds("P1")


@pytest.mark.parametrize("code", FILES)
async def test_a_file_gets_its_code(code):
    """The run does nothing, says why under that code, and everybody stays as they were."""
    world = await _a_world(*RIGHT)
    if code == "different_export":
        await world.drop("se/people.csv", _lines(*RIGHT[:12]))
        await world.drop("no/people.csv", _lines(*RIGHT[12:]))
        await world.promise("no/people.csv", files=["se/people.csv"])
        first = await world.tick()
    else:
        first = await _night(world, _lines(*RIGHT))
    assert first is not None
    assert first["outcome"] == "completed"
    before = dict(world.graph.items)
    if code == "mapping_change":
        await world.containers.state.write("mapping.toml", MAPPING.replace('"Title"', '"Layer"').encode())

    report = await _night(world, FILES[code]())

    assert (report["outcome"], report["error"]["code"]) == ("refused", code)
    assert world.graph.items == before
