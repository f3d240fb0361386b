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


# --- check ------------------------------------------------------------------------------------------------------------

MAPPING = """\
format = 1
[key]
column = "Id"
[account]
template = "{Login}@contoso.com"
[status]
column = "Status"
in_scope = ["Active"]
on_leave = ["On leave"]
leaver = ["Left"]
[[scope]]
column = "Type"
is = ["Employee"]
[[property]]
name = "accounts"
label = "personAccount"
[[property]]
name = "position"
label = "personCurrentPosition"
[property.fields]
"detail.jobTitle" = "Title"
"detail.startMonthYear" = { column = "Hired", dates = ["DD.MM.YYYY"] }
isCurrent = { constant = true }
manager = { person = "Boss", relationship = "manager" }
"""

FIRST = """\
Staff of Contoso;;;;;;
Id;Login;Status;Type;Title;Hired;Boss;Shoe
1;ada;Active;Employee;Engineer;01.03.2021;2;38
2;bob;On leave;Employee;Manager;;77;
3;cat;Left;Employee;;;;
4;dan;Active;Contractor;;;;
5;eve;Active;Employee;Clerk;2021-03-01;;
"""

SECOND = """\
Id,Login,Status,Type,Title,Hired,Boss
6,fay,Active,Employee,Nurse,,1
"""


def _written(folder: Path, **texts: str) -> list[str]:
    """Write files; return their paths."""
    paths = []
    for name, text in texts.items():
        path = folder / name.replace("_", ".")
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    return paths


def test_check_says_what_a_mapping_makes(tmp_path: Path) -> None:
    """Without files it is the mapping alone: the properties, their labels and types, and what fills each field."""
    [mapping] = _written(tmp_path, m_toml=MAPPING)

    told = command({}, "mapping", "check", mapping)

    assert (told.code, told.err) == (DONE, "")
    assert "position  personCurrentPosition string" in told.out
    assert "manager, by key in [Boss]" in told.out
    assert "The mapping is right." in told.out


def test_check_tells_every_mistake_by_line(tmp_path: Path) -> None:
    """A wrong mapping is exit code 2; all that is wrong is told at once, in the order of the file."""
    wrong = MAPPING.replace("Id", "", 1).replace("[account]", "[acount]").replace("detail.jobTitle", "detail.jobTitel")
    [mapping] = _written(tmp_path, m_toml=wrong)

    told = command({}, "mapping", "check", mapping)
    as_json = command({}, "mapping", "check", mapping, "--json")

    assert (told.code, as_json.code) == (USAGE, USAGE)
    assert [line.split(": ")[1] for line in told.err.splitlines()] == ["line 3", "line 4", "line 21"]
    assert "did you mean detail.jobTitle?" in told.err
    assert json.loads(as_json.out)["error"]["problems"] == told.err.splitlines()


def test_check_reads_files_as_a_sync_does(tmp_path: Path) -> None:
    """Several files are one population; everybody is counted once, as what they are, and a profile is as it is sent."""
    mapping, first, second = _written(tmp_path, m_toml=MAPPING, a_csv=FIRST, b_csv=SECOND)

    told = command({}, "mapping", "check", mapping, first, second, "--json", "--people", "1")

    body = json.loads(told.out)
    counts = {"rows": 6, "in_scope": 3, "on_leave": 1, "leavers": 1, "out_of_scope": 1, "rejected": 1}
    assert told.code == DONE
    assert {name: body["counts"][name] for name in counts} == counts
    assert [(file["encoding"], file["delimiter"], file["skipped"]) for file in body["files"]] == [
        ("utf-8", ";", 1),
        ("utf-8", ",", 0),
    ]
    assert body["files"][0]["ignored_columns"] == ["Shoe"]
    assert body["references"] == {"in_files": 2, "rejected": 0, "missing": 1, "by_account_only": 0}
    [rejected] = body["rejected"]
    assert (rejected["code"], rejected["rows"], rejected["first"][0]["row"]) == ("bad_date", 1, 5)
    [person] = body["people"]
    assert person["account"] == {"userPrincipalName": "ada@contoso.com"}
    assert person["properties"] == {
        "position": {
            "detail": {"jobTitle": "Engineer", "startMonthYear": "2021-03-01"},
            "isCurrent": True,
            "manager": {"relationship": "manager", "userPrincipalName": "bob@contoso.com"},
        }
    }


def test_check_shows_people_on_a_terminal(tmp_path: Path) -> None:
    """What an operator reads: how the file was read, how many of what, why rows are rejected, and the first people."""
    mapping, first = _written(tmp_path, m_toml=MAPPING, a_csv=FIRST)

    told = command({}, "mapping", "check", mapping, first)

    assert (told.code, told.err) == (DONE, "")
    for text in (
        "utf-8, semicolon",
        "1 (line 1): neither header nor data",
        "Hired is not a date such as",
        "1  ada@contoso.com  userPrincipalName, a.csv row 1",
        "2  bob@contoso.com  userPrincipalName, a.csv row 2, on leave",
        "1 of 5 rows rejected (20.0 %)",
        "the files can be used",
    ):
        assert text in told.out


def test_check_refuses_what_a_sync_refuses(tmp_path: Path) -> None:
    """A file without the key's column, and one of which too many rows are wrong, are exit code 1, with the code."""
    rows = "".join(f"{key},u{key},Active,Employee,,nonsense,\n" for key in range(30))
    mapping, good, other, bad = _written(
        tmp_path, m_toml=MAPPING, a_csv=FIRST, b_csv="Ids,Login\n1,ada\n", c_csv=SECOND.splitlines()[0] + "\n" + rows
    )

    missing = command({}, "mapping", "check", mapping, good, other, "--json")
    rejected = command({}, "mapping", "check", mapping, bad)

    assert (missing.code, rejected.code) == (FAILED, FAILED)
    error = json.loads(missing.out)["error"]
    assert error["code"] == "missing_column"
    assert error["message"].startswith("b.csv: the column Id is missing; did you mean 'Ids'?")
    assert "too_many_rejected: rejected: found 30 of 30 rows" in rejected.out
    assert "MAX_REJECT_PERCENT=100" in rejected.out
    assert "MAX_REJECT_PERCENT" not in missing.out


def test_check_says_that_a_manager_stands_in_a_rejected_row(tmp_path: Path) -> None:
    """Whoever reports to somebody whose row is wrong has no manager on the first night, and the operator hears why."""
    rows = FIRST.replace("01.03.2021;2;38", "01.03.2021;5;38")
    mapping, first = _written(tmp_path, m_toml=MAPPING, a_csv=rows)

    told = command({}, "mapping", "check", mapping, first)

    assert "  1  managers and others stand in rejected rows: left out, unless known before" in told.out.splitlines()


def test_check_names_the_share_that_a_sync_would_have_to_take(tmp_path: Path) -> None:
    """The advice is the lowest whole limit under which the same files pass."""
    rows = "".join(f"{key},u{key},Active,Employee,,{'nonsense' * (key < 10)},\n" for key in range(30))
    mapping, bad = _written(tmp_path, m_toml=MAPPING, c_csv=SECOND.splitlines()[0] + "\n" + rows)

    told = command({}, "mapping", "check", mapping, bad, "--json")

    error = json.loads(told.out)["error"]
    assert (told.code, error["code"]) == (FAILED, "too_many_rejected")
    assert error["advice"].endswith("MAX_REJECT_PERCENT=34")


def test_check_fills_no_line_with_spaces(tmp_path: Path) -> None:
    """In a pipe or a file, where lines are as long as they need be, none ends in the spaces of a table."""
    mapping, first = _written(tmp_path, m_toml=MAPPING, a_csv=FIRST)

    told = command({"COLUMNS": "300"}, "mapping", "check", mapping, first)

    assert [line for line in told.out.splitlines() if line != line.rstrip()] == []


def test_check_tells_apart_what_is_cleared_and_what_is_left_out(tmp_path: Path) -> None:
    """A blank cell that clears is shown as such, of a custom property as of a field."""
    custom = '[[property]]\nname = "shoe"\ndescription = "Size"\nvalue = { column = "Shoe", blank = "clear" }\n'
    mapping, first = _written(tmp_path, m_toml=MAPPING + custom, a_csv=FIRST.replace(";2;38", ";2;"))

    told = command({}, "mapping", "check", mapping, first, "--people", "1")

    assert "[Shoe], blank clears" in told.out
    assert [line.split(maxsplit=1)[1] for line in told.out.splitlines() if line.startswith("  shoe")] == ['"" (clears)']


def test_check_takes_a_contract_and_a_day(tmp_path: Path) -> None:
    """The other contract refuses another match; the day decides which rows count."""
    effective = MAPPING + '[effective]\nfrom = "From"\n'
    dated = "Id,Login,Status,Type,From\n1,ada,Active,Employee,2030-01-01\n"
    plain, mapping, file = _written(
        tmp_path, p_toml=MAPPING.replace("template", 'match = "mail"\ntemplate'), m_toml=effective, a_csv=dated
    )

    preview = command({}, "mapping", "check", plain, "--contract", "preview")
    unknown = command({}, "mapping", "check", plain, "--contract", "other")
    before, after = (
        json.loads(command({}, "mapping", "check", mapping, file, "--json", "--today", day).out)["counts"]["in_scope"]
        for day in ("2029-12-31", "2030-01-01")
    )

    assert (preview.code, unknown.code) == (USAGE, USAGE)
    assert "userPrincipalName" in preview.err
    assert (before, after) == (0, 1)


def test_check_calls_properties_what_the_contract_calls_them() -> None:
    """In the contract preview a label decides a property's name, and each is a collection."""
    asked = ("mapping", "check", "connector/mappings/default.toml", "samples/people-2026-11-20.csv", "--json")

    labels = json.loads(command({}, *asked).out)
    preview = json.loads(command({}, *asked, "--contract", "preview").out)

    assert [part["name"] for part in labels["mapping"]["properties"]][:3] == ["accounts", "name", "positions"]
    assert [part["name"] for part in preview["mapping"]["properties"]][:3] == ["accounts", "names", "positions"]
    assert {part["type"] for part in preview["mapping"]["properties"]} == {"string"}
    assert "name" not in preview["people"][0]["properties"]
    assert preview["people"][0]["properties"]["names"] == [labels["people"][0]["properties"]["name"]]


def test_check_writes_the_quarantine_file(tmp_path: Path) -> None:
    """HR gets the rejected rows in the file's own columns, and what is there already stays."""
    mapping, first = _written(tmp_path, m_toml=MAPPING, a_csv=FIRST)
    out = tmp_path / "rejected.csv"

    told = command({}, "mapping", "check", mapping, first, "--quarantine", str(out))
    again = command({}, "mapping", "check", mapping, first, "--quarantine", str(out))

    lines = out.read_text("utf-8-sig").splitlines()
    assert (told.code, again.code) == (DONE, USAGE)
    assert lines[0] == "Id;Login;Status;Type;Title;Hired;Boss;Shoe;_row;_error_code;_error"
    assert lines[1].startswith("5;eve;Active;Employee;Clerk;2021-03-01;;;5;bad_date;")
    assert len(lines) == 2
    assert "cannot be written" in again.err


def test_check_says_what_is_not_there(tmp_path: Path) -> None:
    """A mapping or a file that does not exist is bad usage."""
    [mapping] = _written(tmp_path, m_toml=MAPPING)

    assert command({}, "mapping", "check", str(tmp_path / "none.toml")).code == USAGE
    assert command({}, "mapping", "check", mapping, str(tmp_path / "none.csv")).code == USAGE
