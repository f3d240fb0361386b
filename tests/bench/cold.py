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
from typing import TYPE_CHECKING, Final

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

UNCOMPILED: Final = "GET /status, had nothing been compiled"
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
    if size == "short":  # making the package takes longer than all that follows
        with TemporaryDirectory(prefix="people-connector-") as folder, tenant(100) as world:
            deployed = Deployed.from_tree(Path(folder))
            yield from night(deployed, world, 100)
            yield from first_answers({name: (deployed, steps) for name, steps in FIRST_ANSWERS.items()}, world, 1)
        return
    files = yield from packages()
    with TemporaryDirectory(prefix="people-connector-") as folder, tenant(1000) as world:
        deployed, sources = (Deployed.unpacked(file, Path(folder, file.stem)) for file in files)
        yield from night(deployed, world, 1000)
        kinds = {name: (deployed, steps) for name, steps in FIRST_ANSWERS.items()}
        yield from first_answers({**kinds, UNCOMPILED: (sources, FIRST_ANSWERS["GET /status"])}, world, 7)


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


def first_answers(
    kinds: Mapping[str, tuple[Deployed, tuple[str, ...]]], world: Contoso, times: int
) -> Iterator[Result]:
    """Yield how long fresh workers take until their first answer, beside what imports alone take; by turns.

    From the first line that a process runs; the interpreter's own start, which both have, is in neither.
    """
    deployed, _ = kinds["GET /status"]
    costs: dict[str, list[Cost]] = {}
    for _ in range(times + 1):
        for name, (where, steps) in {"": (deployed, REFERENCE), **kinds}.items():
            costs.setdefault(name, []).append(where.costs(world.settings, *steps)[-1])
    # The first turn is for the caches of the disk.
    seconds = {name: median(cost.seconds for cost in measured[1:]) for name, measured in costs.items()}
    reference = seconds.pop("")
    for name, measured in seconds.items():
        bar = name == "GET /status"
        yield Result(
            "B9" if bar else "",
            f"fresh worker: {name}",
            measured,
            "s",
            reference,
            limit=MOST_TIMES if bar else None,
            judged="ratio",
        )
    yield Result("", "modules after a tick with nothing to do", costs["a tick with nothing to do"][0].modules, "")


def packages() -> Generator[Result, None, tuple[Path, Path]]:
    """Yield what the package that is deployed comes to, beside all that its requirements bring.

    Return its file, and that of the same package without compiled files.
    """
    files = FOLDER / "people-connector.zip", FOLDER / "people-connector-sources.zip"
    tool = [sys.executable, str(ROOT / "tools" / "package.py"), "--json"]
    whole, sources = (
        json.loads(subprocess.run([*tool, *more], capture_output=True, check=True, timeout=MOST_SECONDS).stdout)  # noqa: S603
        for more in ([str(files[0])], [str(files[1]), "--sources-only"])
    )
    brought = (whole["bytes"] + whole["left_out_bytes"]) / 1e6
    yield Result("", "our own part of the package", whole["own_bytes"] / 1e6, "MB")
    yield Result("", "the package unpacked, without compiled files; all there is", whole["bytes"] / 1e6, "MB", brought)
    zipped = whole["zip_bytes"] / 1e6
    yield Result("", "the package zipped; without compiled files", zipped, "MB", sources["zip_bytes"] / 1e6)
    return files
