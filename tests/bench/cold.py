"""Cold start: what a worker that nothing has warmed needs until it answers, what it loads, and what is deployed.

Every measurement is a fresh process (``fresh.py``) that runs the deployed package, unpacked, with its own compiled
files, against the local tenant and Azurite in other processes. It sees nothing of the environment it is measured from.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from tests.bench.company import Company
from tests.bench.results import FOLDER, ROOT, Result
from tests.host.world import environment
from tests.tenant.contoso import EXPORTS, contoso

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from tests.bench.results import Size
    from tests.tenant.contoso import Contoso

FRESH: Final = Path(__file__).with_name("fresh.py")
SITE: Final = ".python_packages/lib/site-packages"
MOST_SECONDS: Final = 120

MOST_MODULES: Final = 1599
MOST_BYTES: Final = 130e6
MOST_TIMES: Final = 3.0

REFERENCE: Final = ("import:azure.functions,azure.identity",)
FIRST_ANSWERS: Final = {
    "GET /runs, the cheapest": ("app", "GET:runs"),
    "GET /status": ("app", "GET:status"),
    "GET /health, the dearest": ("app", "GET:health"),
    "a tick with nothing to do": ("app", "fire"),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fresh process had cost when a step was done: seconds, processor seconds, modules, peak bytes."""

    step: str
    status: int | None
    seconds: float
    cpu: float
    modules: int
    peak: int


def measure(size: Size) -> Iterator[Result]:
    """Yield what is deployed, what setup and a sync load, and how long first answers take."""
    people, times = (1000, 7) if size == "full" else (100, 1)
    with TemporaryDirectory(prefix="people-connector-") as folder:
        deployed = Deployed.from_tree(Path(folder))
        if size == "full":  # making the package takes longer than everything else does in short
            file = yield from package()
            deployed = Deployed.unpacked(file, Path(folder))
        with tenant(people) as world:
            yield from night(deployed, world, people)
            yield from first_answers(deployed, world, times)


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where the app stands, and how a Python is started on it: ``options``, and what its environment has."""

    folder: Path
    options: tuple[str, ...]
    environment: Mapping[str, str]

    @classmethod
    def unpacked(cls, package: Path, folder: Path) -> Deployed:
        """Unpack a package as the host does; beside it a process sees the standard library alone."""
        with zipfile.ZipFile(package) as packed:
            packed.extractall(folder)
        path = f"{folder}{os.pathsep}{folder / SITE}"
        return cls(folder, ("-S", "-P"), {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})

    @classmethod
    def from_tree(cls, folder: Path) -> Deployed:
        """Return the app as it stands here; processes work in ``folder``."""
        return cls(folder, ("-P",), environment({}))

    def run(self, settings: Mapping[str, str], *command: str) -> str:
        """Run Python in a fresh process to its end, and return what it printed."""
        done = subprocess.run(  # noqa: S603
            [sys.executable, *self.options, *command],
            env={**self.environment, **settings},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{command}: {done.stderr[-2000:]}")
        return done.stdout

    def costs(self, settings: Mapping[str, str], *steps: str) -> list[Cost]:
        """Do steps in one fresh process; every HTTP call must be answered 200."""
        costs = [Cost(**json.loads(line)) for line in self.run(settings, str(FRESH), *steps).splitlines()]
        if [each.step for each in costs] != list(steps) or {each.status for each in costs} - {None, 200}:
            raise AssertionError(f"a fresh worker did not do as asked: {costs}")
        return costs


@contextmanager
def tenant(people: int) -> Iterator[Contoso]:
    """Run a tenant whose Entra knows everybody, and whose storage has their first export."""
    with contoso(same_process=False, schema_seconds=0, settle_seconds=0) as world, TemporaryDirectory() as folder:
        export = Path(folder) / "people.csv"
        Company(people).write(export)
        world.follow(export.read_bytes())
        with world.storage() as account:
            account.get_blob_client(EXPORTS, export.name).upload_blob(export.read_bytes())
        yield world


def night(deployed: Deployed, world: Contoso, people: int) -> Iterator[Result]:
    """Yield what a process has loaded, and how much memory it took, after setup and a sync of everybody."""
    app, setup, sync = deployed.costs(world.settings, "app", "POST:setup", "fire")
    sent = len(world.tenant.graph.items)
    if sent != people:
        raise AssertionError(f"Graph has {sent} people of {people}")
    yield Result("", "modules of a worker that has done nothing yet", app.modules, "")
    yield Result("", "modules after setup", setup.modules, "")
    yield Result("B8", "modules after setup and a sync", sync.modules, "", limit=MOST_MODULES)
    yield Result("B8", f"peak memory of setup and a sync of {people:,}", sync.peak / 1e6, "MB", limit=MOST_BYTES / 1e6)


def first_answers(deployed: Deployed, world: Contoso, times: int) -> Iterator[Result]:
    """Yield how long fresh workers take until their first answer, beside what imports alone take; by turns.

    From the first line that a process runs; the interpreter's own start, which both have, is in neither.
    """
    kinds = {"": REFERENCE, **FIRST_ANSWERS}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    modules: dict[str, int] = {}
    for number in range(times + 1):
        for name, steps in kinds.items():
            last = deployed.costs(world.settings, *steps)[-1]
            modules[name] = last.modules
            if number or times == 1:  # the first turn is for the caches of the disk
                seconds[name].append(last.seconds)
    reference = median(seconds.pop(""))
    for name, measured in seconds.items():
        bar = name == "GET /status"
        yield Result(
            "B9" if bar else "",
            f"fresh worker: {name}",
            median(measured),
            "s",
            reference,
            limit=MOST_TIMES if bar else None,
            judged="ratio",
        )
    yield Result("", "modules after a tick with nothing to do", modules["a tick with nothing to do"], "")


def package() -> Generator[Result, None, Path]:
    """Yield what the package that is deployed comes to, beside all that its requirements bring; return the file."""
    file = FOLDER / "people-connector.zip"
    tool = [sys.executable, str(ROOT / "tools" / "package.py"), "--json", str(file)]
    sources, whole = (
        json.loads(subprocess.run([*tool, *more], capture_output=True, check=True, timeout=MOST_SECONDS).stdout)  # noqa: S603
        for more in (["--sources-only"], [])
    )
    brought = (whole["bytes"] + whole["left_out_bytes"]) / 1e6
    yield Result("", "our own part of the package", whole["own_bytes"] / 1e6, "MB")
    yield Result("", "the package unpacked, without compiled files; all there is", whole["bytes"] / 1e6, "MB", brought)
    yield Result("", "the package zipped; the same without compiled files", *_zipped(whole, sources))
    return file


def _zipped(whole: Mapping[str, Any], sources: Mapping[str, Any]) -> tuple[float, str, float]:
    return whole["zip_bytes"] / 1e6, "MB", sources["zip_bytes"] / 1e6
