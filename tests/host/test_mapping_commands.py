"""``python -m connector mapping``: making and checking mappings, offline, each command in a process of its own."""

from __future__ import annotations

import gzip
import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from connector.core.mapping import load_mapping
from tests.host.world import command
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.host

DONE, FAILED, USAGE = 0, 1, 2
SAMPLE = ROOT / "tests" / "hr_samples" / "evolveum_simulation_hr_250.csv"


# --- suggest ----------------------------------------------------------------------------------------------------------


def test_suggest_prints_a_mapping_without_any_settings() -> None:
    """What stands on standard output is the mapping and nothing else."""
    told = command({}, "mapping", "suggest", str(SAMPLE))

    assert (told.code, told.err) == (DONE, "")
    mapping = load_mapping("suggested", told.out.encode())
    assert mapping.columns == ("empNo", "firstName", "lastName", "department", "phone")


def test_suggest_reads_packed_files(tmp_path: Path) -> None:
    """What the sync takes, suggest takes: the mapping is the same but for the file's name."""
    packed, zipped = tmp_path / "people.csv.gz", tmp_path / "people.zip"
    packed.write_bytes(gzip.compress(SAMPLE.read_bytes()))
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(SAMPLE, "people.csv")

    told = [command({}, "mapping", "suggest", str(path)) for path in (SAMPLE, packed, zipped)]

    plain = [one.out.replace(path.name, "FILE") for one, path in zip(told, (SAMPLE, packed, zipped), strict=True)]
    assert [one.code for one in told] == [DONE, DONE, DONE]
    assert "format = 1" in plain[0]
    assert plain[0] == plain[1] == plain[2]


def test_suggest_writes_a_file_once(tmp_path: Path) -> None:
    """A mapping that somebody has worked on is not written over by accident."""
    out = tmp_path / "ours.toml"

    first = command({}, "mapping", "suggest", str(SAMPLE), "--out", str(out))
    written = out.read_bytes()
    out.write_text("mine", encoding="utf-8")
    second = command({}, "mapping", "suggest", str(SAMPLE), "--out", str(out))
    kept = out.read_text(encoding="utf-8")
    third = command({}, "mapping", "suggest", str(SAMPLE), "--out", str(out), "--force")

    assert (first.code, second.code, third.code) == (DONE, USAGE, DONE)
    assert f"mapping check {out}" in first.out
    assert load_mapping("ours", written).columns
    assert kept == "mine"
    assert "--force" in second.err
    assert out.read_bytes() == written


def test_suggest_says_what_a_file_lacks(tmp_path: Path) -> None:
    """Without a key there is no mapping, and nothing of the cells is told."""
    file = tmp_path / "people.csv"
    file.write_text("Department,First Name\nSales,Ann\nSales,Ann\n", encoding="utf-8")

    told = command({}, "mapping", "suggest", str(file), "--json")

    assert told.code == USAGE
    error = json.loads(told.out)["error"]
    assert error["code"] == "bad_request"
    assert "no column can be the person's key" in error["message"]
    assert "Ann" not in told.out


@pytest.mark.parametrize(("content", "code"), [(None, USAGE), (b"", FAILED), (b"\x01\xff\x02" * 400, FAILED)])
def test_suggest_says_why_a_file_cannot_be_read(tmp_path: Path, content: bytes | None, code: int) -> None:
    """One sentence, without a traceback."""
    file = tmp_path / "people.csv"
    if content is not None:
        file.write_bytes(content)

    told = command({}, "mapping", "suggest", str(file))

    assert (told.code, told.out) == (code, "")
    assert told.err
    assert "Traceback" not in told.err


def test_suggest_finds_the_header_behind_title_lines(tmp_path: Path) -> None:
    """Reports of Workday begin with a title and a blank line."""
    file = tmp_path / "report.csv"
    rows = [
        "Worker Report - as of 09/01/2026",
        "",
        "Employee ID,Worker,Business Title",
        "1,Ana Ruiz (1),Buyer",
        "2,Bo Li (2),",
    ]
    file.write_text("\n".join(rows), encoding="utf-8")

    told = command({}, "mapping", "suggest", str(file))

    assert load_mapping("suggested", told.out.encode()).columns == ("Employee ID", "Worker", "Business Title")
