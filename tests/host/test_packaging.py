"""The package that is deployed holds everything that the app needs, compiled for good, and little else."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.cold import SITE, Deployed
from tests.host.world import FIRST_NIGHT, drop, fresh
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    from tests.tenant.contoso import Contoso

pytestmark = pytest.mark.once

TOOL = ROOT / "tools" / "package.py"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package, made anew."""
    file = tmp_path_factory.mktemp("package") / "people-connector.zip"
    subprocess.run([sys.executable, str(TOOL), str(file)], check=True, capture_output=True)  # noqa: S603
    return file


@pytest.fixture(scope="module")
def names(package: Path) -> set[str]:
    """Return the names of the package's files."""
    with zipfile.ZipFile(package) as packed:
        return set(packed.namelist())


@pytest.fixture
def deployed(package: Path, tmp_path: Path) -> Deployed:
    """Return the package as it stands where it is deployed; Python may keep there what it has to compile."""
    unpacked = Deployed.unpacked(package, tmp_path)
    kept = {name: value for name, value in unpacked.environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return Deployed(unpacked.folder, unpacked.options, kept)


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """Return the tool, as a module."""
    spec = importlib.util.spec_from_file_location("package", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files_in(folder: Path) -> Mapping[str, int]:
    """Return the files of a folder, with their times."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.contracts("labels")
def test_the_whole_app_runs_from_the_package_and_compiles_nothing(world: Contoso, deployed: Deployed):
    """Setup, a sync, every look and teardown: all of it is there, and Python takes the compiled files as they are."""
    settings = fresh(world)
    drop(world, settings, FIRST_NIGHT)
    before = files_in(deployed.folder)
    teardown = f"DELETE:setup?confirm={settings['CONNECTION_ID']}"

    deployed.costs(
        settings, "app", "POST:setup", "fire", "GET:runs", "GET:status", "POST:register", "GET:health", teardown
    )

    with world.storage() as account:
        (report,) = (
            json.loads(account.get_blob_client("connector-reports", name).download_blob().readall())
            for name in account.get_container_client("connector-reports").list_blob_names(
                name_starts_with=settings["CONNECTION_ID"]
            )
            if name.endswith(".json")
        )
    assert (report["outcome"], report["created"]) == ("completed", 23)
    assert files_in(deployed.folder) == before


def test_a_compiled_file_is_taken_whatever_the_time_of_its_source(deployed: Deployed):
    """A zip rounds times and unpacking may change them; nobody compiles the file again for that."""
    source = deployed.folder / "connector" / "errors.py"
    source.write_text("raise AssertionError('this was compiled anew')\n", encoding="utf-8")

    deployed.costs({}, "import:connector.errors")


def test_the_package_has_what_is_needed_and_not_what_is_not(names: set[str]):
    """Code, mappings, templates and licences are there; samples, tests, settings and builders' files are not."""
    needed = {
        "function_app.py", "host.json", "connector/mappings/default.toml", "connector/pages/report.html.jinja",
        f"{SITE}/azure/functions/__init__.py", f"{SITE}/msgraph_beta/graph_service_client.py",
    }  # fmt: skip
    licences = {name for name in names if "dist-info" in name and "LICENSE" in name}

    assert needed <= names
    assert any("msgraph" in name for name in licences)
    assert {name.partition("/")[0] for name in names} == {
        ".funcignore", ".python_packages", "__pycache__", "connector", "function_app.py", "host.json",
        "requirements.txt",
    }  # fmt: skip
    assert not [name for name in names if name.endswith((".pyi", ".c", "kiota-dom-export.txt"))]
    assert not [name for name in names if "msgraph_beta/generated/models" in name]


def test_every_source_is_compiled(names: set[str]):
    """Each one has its compiled file beside it, under the name that this Python looks for."""
    sources = {name for name in names if name.endswith(".py")}
    compiled = {name for name in names if name.endswith(".pyc")}

    assert {importlib.util.cache_from_source(name) for name in sources} == compiled


def test_the_package_tells_nothing_of_where_it_was_made(package: Path):
    """Neither folders nor the hour: the same environment gives the same bytes."""
    with zipfile.ZipFile(package) as packed:
        entries = packed.infolist()
        traces = [entry.filename for entry in entries if str(ROOT).encode() in packed.read(entry)]

    assert traces == []
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("pydantic==0.0.1", "pydantic is installed in version .*; requirements.txt says 0.0.1"),
        ("no-such-thing==1.0", "no-such-thing is not installed"),
    ],
)
def test_what_is_not_installed_as_required_makes_no_package(tool: Any, tmp_path: Path, line: str, refusal: str):
    """What was tested is what is deployed."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# made up\n{line}\n    # via somebody\n", encoding="utf-8")

    with pytest.raises(tool.PackageError, match=refusal):
        list(tool.installed_files(requirements))


def test_what_is_for_another_system_may_be_absent(tool: Any, tmp_path: Path):
    """Its line says for which."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("no-such-thing==1.0 ; sys_platform == 'win32'\n", encoding="utf-8")

    assert list(tool.installed_files(requirements)) == []
