"""README and docs say what the code does: their tables are parsed and compared with it."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, Any, get_args

import pytest

from connector.core.health import CheckName
from connector.core.report import Outcome
from connector.core.sensitive import Category, sensitive
from connector.events import EventName
from connector.pages.words import FAULTS, WARNINGS
from connector.settings import _NOT_IN_THIS_RELEASE, Settings
from tests.reference import tables as reference
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = ROOT / "README.md"
MAPPING = ROOT / "docs" / "mapping.md"
OPERATIONS = ROOT / "docs" / "operations.md"
DOCS = sorted([README, *(ROOT / "docs").rglob("*.md"), ROOT / "samples" / "README.md"])

NOT_OF_OURS = {
    "FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage",  # the host's own
    "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
}  # fmt: skip
"""In the sample for the host, and to lead to the local tenant; no settings of the connector's."""

Row = list[str]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _tables(path: Path) -> Iterator[tuple[Row, list[Row]]]:
    """Yield the head and the rows of each table of a page."""
    table: list[Row] = []
    for line in (*_lines(path), ""):
        if line.startswith("|"):
            table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif table:
            yield table[0], table[2:]
            table = []


def _table(path: Path, first: str) -> list[Row]:
    """Return the rows of all tables whose first column has this head."""
    rows = [row for head, rows in _tables(path) if head[0] == first for row in rows]
    assert rows, f"{path.name} has no table of {first}"
    return rows


def _code(cell: str) -> str:
    """Return the first code span of a cell."""
    found = re.search(r"`([^`]+)`", cell)
    assert found, f"no code span in {cell!r}"
    return found[1]


def _first_column(path: Path, first: str) -> list[str]:
    return [_code(row[0]) for row in _table(path, first)]


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them, and those that it sets itself."""
    headings = (line.lstrip("#").strip() for line in _lines(path) if line.startswith("#"))
    own = re.findall(r'<a id="([^"]+)">', path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.casefold()).replace(" ", "-") for heading in headings} | {*own}


# --- settings -------------------------------------------------------------------------------------------------------


def test_the_settings_table_is_the_settings() -> None:
    """A setting that is added to the code is explained, once, in the README; one that is gone is gone there too."""
    told = _first_column(README, "setting")

    assert sorted(told) == sorted({*(name.upper() for name in Settings.model_fields), "SYNC_SCHEDULE"})


def test_the_settings_table_and_the_sample_name_the_same() -> None:
    """What the sample shows beside them is the host's own, or leads to the local tenant."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))["Values"]

    assert set(_first_column(README, "setting")) == set(sample) - NOT_OF_OURS


def _shown(default: Any) -> str:
    """Return a default as an app setting would say it."""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default)


def test_the_defaults_in_the_table_are_the_codes() -> None:
    """An operator may rely on the README and leave a setting out."""
    cells = {_code(name): default for name, _, default in _table(README, "setting")}

    for name, field in Settings.model_fields.items():
        cell = cells[name.upper()]
        if field.is_required():
            assert cell == "required", name
        elif field.default is None or field.default == ():
            assert cell.startswith("none"), name
        else:
            assert cell == f"`{_shown(field.default)}`", name
    assert cells["SYNC_SCHEDULE"] == "required by the host"


def test_the_readme_names_the_settings_of_later_releases() -> None:
    """What is refused as not yet implemented is told beforehand."""
    sentence = next(
        paragraph for paragraph in README.read_text().split("\n\n") if "belong to later releases" in paragraph
    )

    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == set(_NOT_IN_THIS_RELEASE)


# --- two doors ------------------------------------------------------------------------------------------------------


def _routes() -> set[str]:
    """Return method and path of each HTTP function, read off ``function_app.py`` without importing it."""
    tree = ast.parse((ROOT / "function_app.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "route":
            methods = next(ast.literal_eval(keyword.value) for keyword in node.keywords if keyword.arg == "methods")
            found |= {f"{method} /{ast.literal_eval(node.args[0])}" for method in methods}
    return found


def test_the_http_table_is_the_routes() -> None:
    """Each request that is answered is in the table, and no other."""
    told = _first_column(README, "request")

    assert sorted(told) == sorted(_routes())


def _commands() -> dict[str, Any]:
    """Return every command by its name; one of a group stands behind the group's."""
    from typer.main import get_command

    from connector.__main__ import app

    top: dict[str, Any] = getattr(get_command(app), "commands")  # noqa: B009 - a group's; typed as any command
    groups = {name: command.commands for name, command in top.items() if hasattr(command, "commands")}
    below = {f"{group} {name}": command for group, inner in groups.items() for name, command in inner.items()}
    return {name: command for name, command in top.items() if name not in groups} | below


def test_the_command_table_is_the_commands() -> None:
    """Each command of the command line is in the table, and no other."""
    assert sorted(_first_column(README, "command")) == sorted(_commands())


def test_the_options_in_the_command_table_exist() -> None:
    """Each option that the table names is one of its command's."""
    commands = _commands()
    told = {_code(row[0]): set(re.findall(r"`(--[a-z-]+)", row[1])) for row in _table(README, "command")}

    for name, options in told.items():
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert options <= known, name


def test_the_exit_codes_are_the_command_lines() -> None:
    """Scripts rely on them."""
    from connector import __main__ as command_line

    codes = [int(row[0]) for row in _table(README, "exit code")]

    assert codes == [
        command_line.DONE, command_line.FAILED, command_line.USAGE, command_line.HELD,
        command_line.NOT_READY, command_line.INTERRUPTED,
    ]  # fmt: skip


# --- sensitive columns ----------------------------------------------------------------------------------------------


def test_the_table_of_sensitive_columns_is_what_a_mapping_is_refused_for() -> None:
    """Each kind is in the table, and each column beside it is taken for it."""
    rows = _table(MAPPING, "looks like")

    assert [row[0] for row in rows] == list(get_args(Category))
    for kind, columns in rows:
        assert {sensitive(column) for column in re.findall(r"`([^`]+)`", columns)} == {kind}


def test_the_columns_that_are_told_to_be_harmless_are() -> None:
    """The sentence below the table names those that one could take for others."""
    told = next(line for line in _lines(MAPPING) if line.startswith("Not so `"))

    assert {sensitive(column) for column in re.findall(r"`([^`]+)`", told)} == {None}


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [README, OPERATIONS], ids=lambda page: page.name)
def test_the_events_are_the_codes(page: Path) -> None:
    """Alerts are built on events: each is explained, in the README and in the runbook."""
    assert sorted(_first_column(page, "event")) == sorted(get_args(EventName))


def test_the_outcomes_are_the_codes() -> None:
    """The runbook has a line for each outcome."""
    assert sorted(_first_column(OPERATIONS, "outcome")) == sorted(get_args(Outcome))


def test_the_checks_are_the_codes() -> None:
    """The runbook has a line for each check of health, or one for two of a kind."""
    told = [name for row in _table(OPERATIONS, "check") for name in re.findall(r"`([^`]+)`", row[0])]

    assert sorted(told) == sorted(get_args(CheckName))


def _calls(*names: str) -> Iterator[ast.Call]:
    """Yield the calls of these names anywhere in the connector."""
    for path in sorted((ROOT / "connector").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield node


def _argument(call: ast.Call, *, position: int, name: str) -> str:
    """Return an argument that must be a literal, so that it can be found without running the code."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == name]
    argument = given[0] if given else call.args[position] if position < len(call.args) else ast.Constant("")
    value = ast.literal_eval(argument)
    assert isinstance(value, str)
    return value


def _guards() -> dict[str, str]:
    """Return what each guard refuses with; "" of the one that holds deletions."""
    return {
        _argument(call, position=0, name="name"): _argument(call, position=4, name="code") for call in _calls("Verdict")
    }


def _refused_with() -> set[str]:
    """Return each code that a file can be refused with."""
    files = {_argument(call, position=1, name="code") for call in _calls("ExportError")}
    return (files | set(_guards().values())) - {""}


def _codes(path: Path, first: str) -> dict[str, Row]:
    """Return the rows of a table by the codes in their first cell, of which there may be several."""
    return {code: row for row in _table(path, first) for code in re.findall(r"`([^`]+)`", row[0])}


def test_the_error_codes_are_the_codes() -> None:
    """Each code that a row or a file can be refused with stands in the reference with what to do, and no other."""
    rows = {_argument(call, position=0, name="code") for call in _calls("Problem")}

    told = [_code(row[0]) for row in _table(MAPPING, "code")]

    assert sorted(told) == sorted(rows | _refused_with())


@pytest.mark.parametrize("page", [MAPPING, OPERATIONS], ids=lambda page: page.name)
def test_the_warnings_are_the_codes(page: Path) -> None:
    """The report page, the reference and the runbook know the same warnings."""
    assert sorted(_codes(page, "warning")) == sorted(WARNINGS)


def test_the_guards_are_the_codes() -> None:
    """The runbook has a line for each guard, with the code that it refuses with."""
    told = {_code(row[0]): re.findall(r"`([^`]+)`", row[1]) for row in _table(OPERATIONS, "guard")}

    assert told == {name: [code] if code else [] for name, code in _guards().items()}


def test_the_runbook_has_what_a_file_is_refused_with() -> None:
    """Each code has a line, and a mark where a guard's finding stands behind it, which somebody may approve."""
    told = _codes(OPERATIONS, "refused with")

    assert sorted(told) == sorted(_refused_with())
    assert {code for code, row in told.items() if "✎" in row[0]} == set(_guards().values()) - {""}


def test_the_runbook_has_what_a_run_fails_with() -> None:
    """Each code that a report has words for has a line: here, or among those of files."""
    assert sorted(_codes(OPERATIONS, "failed with")) == sorted(set(FAULTS) - _refused_with())


@pytest.mark.parametrize("first", ["refused with", "failed with"])
def test_runbook_and_report_send_to_the_same_people(first: str) -> None:
    """HR and IT read one and the same page of a report; the runbook must not say otherwise."""
    called = {"HR": "HR", "Operator": "IT", "By itself": "nobody"}

    assert [code for code, row in _codes(OPERATIONS, first).items() if called[FAULTS[code].who] not in row[-1]] == []


@pytest.mark.parametrize("first", ["outcome", "refused with", "failed with", "warning"])
def test_each_line_of_the_runbook_says_what_to_do_and_who_can(first: str) -> None:
    """An operator finds an answer in each cell, the last of which is a person."""
    tables = [(head, rows) for head, rows in _tables(OPERATIONS) if head[0] == first]

    assert [head[-1] for head, _ in tables] == ["who"]
    assert [row[0] for head, rows in tables for row in rows if len(row) != len(head) or not all(row)] == []


def _shell(path: Path) -> list[str]:
    """Return the lines of a page that are to be pasted into a shell."""
    return "\n".join(re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)).splitlines()


@pytest.mark.parametrize("page", [README, OPERATIONS, MAPPING], ids=lambda page: page.name)
def test_what_is_pasted_names_commands_and_options_that_exist(page: Path) -> None:
    """Of ``python -m connector``, under its own name or as the function ``connector``."""
    commands = _commands()
    told = [found[1] for line in _shell(page) if (found := re.match(r"(?:\S*python -m )?connector ([a-z].*)", line))]

    for line in told:
        words = line.split("#")[0].split()
        name = next(name for name in (" ".join(words[:2]), words[0]) if name in commands)
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
    assert told


@pytest.mark.parametrize("page", [README, OPERATIONS], ids=lambda page: page.name)
def test_what_is_pasted_asks_for_routes_that_exist(page: Path) -> None:
    """Each ``curl`` names a method and an address that the function app has."""
    asked = set()
    for line in (line for line in _shell(page) if "$URL/" in line):
        method = found[1] if (found := re.search(r"-X ([A-Z]+)", line)) else "GET"
        path = re.search(r'"\$URL/([^"?]+)', line)
        assert path, line
        asked.add(f"{method} /{path[1].replace('$RUN', '{run}')}")

    assert asked
    assert asked <= _routes()


def test_the_reference_tables_are_the_models() -> None:
    """What the code goes by and what the page says of mappings is the same; `make reference` writes it."""
    text = MAPPING.read_text(encoding="utf-8")

    assert reference.page(text) == text


def test_the_architecture_names_each_module() -> None:
    """Whoever looks for a module of the connector finds where it stands among the others."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [path.stem for path in (ROOT / "connector").glob("*.py") if path.stem != "__init__"]

    assert [name for name in modules if not re.search(rf"\b{name}\b", text)] == []


# --- what is pointed at ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_points_at_is_there(page: Path) -> None:
    """Links within the repository lead somewhere, and files that are named exist."""
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    files = re.findall(r"`((?:connector|docs|samples|tests|tools)/[\w/.-]*)`", text)

    for link in links:
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), link
        assert not anchor or anchor in _anchors(there), link
    assert [file for file in files if not (ROOT / file).exists()] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_make_targets_that_exist(page: Path) -> None:
    """Whatever ``make`` is said to do, the Makefile has."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    commands = [
        *re.findall(r"`([^`\n]+)`", text),
        *"\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines(),
    ]
    told = {found[1] for command in commands if (found := re.match(r"make ([a-z]+)", command))}

    assert told <= targets


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_speaks_of_no_machine(page: Path) -> None:
    """No host of a package registry, no absolute path: what is written holds on every machine."""
    registry = re.compile(r"\b(?:pypi|pythonhosted|npmjs|yarnpkg)\.(?:org|com)\b")
    machine = re.compile(r"(?<![\w.:/}])/(?:home|root|Users|tmp|work|usr|opt|var|etc|mnt)\b")

    assert [line for line in _lines(page) if registry.search(line) or machine.search(line)] == []
