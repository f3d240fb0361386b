"""Reading and planning: what a night costs in which hardly anything has changed, beside reading the file alone.

The measured process is a fresh one and holds nothing but the connector, wired as in production; a tick before the
measured one found nothing to do, so that libraries are imported and connections made (a cold one is told beside it).
Storage is Azurite, Graph the simulated tenant; each is another process. The reference, a bare loop over the same file,
has a process of its own as well, and takes turns with ours.

What the connector remembers is of a first night with the same people, in which Graph took everybody. It was spent in
virtual time (`tests.bench.simulated`) and is kept from one measurement to the next, as long as the code is the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.bench.company import Churn, Company
from tests.bench.processes import Process
from tests.bench.results import FOLDER, ROOT, Result, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from azure.storage.blob import BlobServiceClient, ContainerClient

ROLES: Final = "tests.bench.roles"
UNCHANGED_LIMIT: Final = 4
CHANGED: Final = Churn(changed=0.01)

Measured = dict[str, Any]


def measure(size: Size) -> Iterator[Result]:
    """Yield B1 and B2, and beside them what changes and a first load cost."""
    if size == "short":
        with _contoso(300) as place:
            yield from _unchanged(place, "B1", repetitions=1, memory=150)
            yield from _changed(place)
            yield from _first(place)
        return
    with _contoso(100_000) as place:
        yield from _unchanged(place, "B1", repetitions=3, memory=150)
        yield from _storage(place)
        yield from _cold(place)
        yield from _changed(place)
        yield from _first(place)
    with _contoso(1_000_000) as place:
        yield from _unchanged(place, "B2", repetitions=1, memory=400)
        yield from _storage(place)


def _unchanged(place: _Place, bar: str, *, repetitions: int, memory: int) -> Iterator[Result]:
    people, who = place.people, place.who
    nights = [place.unchanged(night) for night in range(1, repetitions + 1)]
    ours = _best([each.ours for each in nights])
    bare = _best([each.bare for each in nights])
    most = max(each.ours["peak"] for each in nights)
    whole = f"{who}, unchanged: from blob to report; bare loop"
    yield Result(bar, whole, ours["seconds"], "s", bare["seconds"], UNCHANGED_LIMIT, "ratio")
    yield Result("", f"{who}, unchanged: the same, processor; bare loop", ours["cpu"], "s", bare["cpu"])
    yield Result("", f"{who}, unchanged: rows; bare loop", people / ours["seconds"], "/s", people / bare["seconds"])
    yield Result(bar, f"{who}, unchanged: Graph requests", sum(each.requests for each in nights), "", limit=0)
    yield Result(bar, f"{who}, unchanged: peak memory; bare loop", most, "MB", nights[0].bare["peak"], limit=memory)


def _storage(place: _Place) -> Iterator[Result]:
    """Yield what of an unchanged night is storage: the same requests with nothing in between."""
    with place.process("storage") as process:
        took = process.ask("both", name=place.newest)
    yield Result("", f"{place.who}, unchanged: download alone", took["download"], "s")
    yield Result("", f"{place.who}, unchanged: our copy alone", took["copy"], "s")


def _cold(place: _Place) -> Iterator[Result]:
    night = place.unchanged(4, cold=True)
    what = f"{place.who}, unchanged: from a process's start; bare loop"
    yield Result("", what, night.ours["seconds"], "s", night.bare["seconds"])


def _changed(place: _Place) -> Iterator[Result]:
    people, who = place.people, place.who
    company = Company(people, churn=CHANGED)
    counts = company.counts(1)
    place.tenant.ask("await_put")
    night = place.night(company, 1)
    planned = place.tenant.ask("first_put") - night.ours["began"]
    _hold(night.ours["report"], updated=counts.updated, unchanged=people - counts.updated)
    yield Result("", f"{who}, 1 % changed: until the first PUT; bare loop", planned, "s", night.bare["seconds"])
    yield Result(
        "", f"{who}, 1 % changed: until all is sent; bare loop", night.ours["seconds"], "s", night.bare["seconds"]
    )
    yield Result("", f"{who}, 1 % changed: Graph requests; people", night.requests, "", counts.updated)
    yield Result("", f"{who}, 1 % changed: peak memory", night.ours["peak"], "MB")


def _first(place: _Place) -> Iterator[Result]:
    night = place.first()
    what = f"{place.who}, first load"
    yield Result("", f"{what}: until the first PUT; bare loop", night.ours["seconds"], "s", night.bare["seconds"])
    yield Result("", f"{what}: peak memory by then", night.ours["peak"], "MB")


# --- the measurements -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Night:
    """One export, read by us and by the bare loop: ``seconds``, ``cpu``, ``peak``, and our report."""

    ours: Measured
    bare: Measured
    requests: int = 0


@dataclass(slots=True)
class _Place:
    """Contoso, whose storage and tenant are processes of their own."""

    people: int
    tenant: Process
    environment: dict[str, str]
    account: BlobServiceClient
    folder: Path
    dropped: int = 0
    newest: str = ""

    @property
    def who(self) -> str:
        """Return whose measurements these are."""
        return f"{self.people:,} people"

    def process(self, role: str) -> Process:
        """Return a fresh process that is wired to this place."""
        return Process(ROLES, role, environment=self.environment)

    def remember(self, folder: Path) -> None:
        """Give the connector a memory, in place of the one it has."""
        from tests.tenant.contoso import STATE

        container = self._emptied(STATE)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                with path.open("rb") as stream:
                    container.upload_blob(path.relative_to(folder).as_posix(), stream)

    def unchanged(self, night: int, *, cold: bool = False) -> _Night:
        """Spend a night in which nothing has changed that anybody reads."""
        done = self.night(Company(self.people), night, cold=cold)
        _hold(done.ours["report"], outcome="unchanged", unchanged=self.people)
        return done

    def night(self, company: Company, night: int, *, cold: bool = False) -> _Night:
        """Let HR drop an export; read it with the bare loop, then let the timer fire.

        It has fired before, without anything to do, unless the process is to be ``cold``: then its start counts.
        """
        self.clear()
        if cold:
            bare = self.bare(self.drop(company, night))
            with self.process("connector") as connector:
                ours = connector.ask("tick")
            return _Night({**ours, "seconds": ours["ended"] - connector.began}, bare)
        with self.process("connector") as connector:
            _hold(connector.ask("tick")["report"], outcome=None)
            bare = self.bare(self.drop(company, night))
            before = self.tenant.ask("seen")["requests"]
            ours = connector.ask("tick")
            return _Night(ours, bare, self.tenant.ask("seen")["requests"] - before)

    def first(self) -> _Night:
        """Let the connector begin with everybody; its process ends when the first item arrives."""
        from tests.bench.simulated import CONNECTION, registration

        memory = self.folder / "nothing" / CONNECTION
        memory.mkdir(parents=True)
        (memory / "connection.json").write_bytes(registration().to_json())
        self.remember(memory.parent)
        self.clear()
        with self.process("connector") as connector:
            connector.ask("tick")
            bare = self.bare(self.drop(Company(self.people), 0))
            self.tenant.ask("await_put")
            began = time.monotonic()
            connector.tell("tick")
            arrived = self.tenant.ask("first_put")
            peak = connector.peak()
            connector.kill()
        return _Night({"seconds": arrived - began, "peak": peak}, bare)

    def drop(self, company: Company, night: int) -> Path:
        """Put a night's export into the container, and return it as a file."""
        from tests.tenant.contoso import EXPORTS

        path = self.folder / "export.csv"
        company.write(path, night=night)
        container = self.account.get_container_client(EXPORTS)
        self.dropped += 1
        self.newest = f"people-{datetime.now(UTC):%Y-%m-%d}-{self.dropped:02}.csv"
        with path.open("rb") as stream:
            container.upload_blob(self.newest, stream, max_concurrency=2)
        return path

    def clear(self) -> None:
        """Let HR take its exports back."""
        from tests.tenant.contoso import EXPORTS

        self._emptied(EXPORTS)

    def _emptied(self, container: str) -> ContainerClient:
        client = self.account.get_container_client(container)
        for name in list(client.list_blob_names()):
            client.delete_blob(name)
        return client

    def bare(self, path: Path) -> Measured:
        """Read a file with the bare loop."""
        with self.process("bare") as process:
            read: Measured = process.ask("read", path=str(path))
        if read["rows"] != self.people:
            raise AssertionError(f"the bare loop has read {read['rows']} rows of {self.people}")
        return read


@contextmanager
def _contoso(people: int) -> Iterator[_Place]:
    """Run Contoso until the block ends; the connector remembers a first night in which everybody was sent."""
    from tempfile import TemporaryDirectory

    from tests.tenant.contoso import storage

    known = prepared(people)
    with (
        TemporaryDirectory(prefix="people-connector-bench-") as folder,
        Process(ROLES, "tenant", environment=os.environ) as tenant,
    ):
        settings = tenant.ask("open", people=people)
        with storage(settings) as account:
            place = _Place(people, tenant, {**os.environ, **settings}, account, Path(folder))
            place.remember(known)
            yield place


def _best(measured: list[Measured]) -> Measured:
    """Return the best of several measurements: whatever else the machine did made the others worse."""
    return {name: min(each[name] for each in measured) for name in ("seconds", "cpu")}


def _hold(report: Mapping[str, Any], **counts: Any) -> None:
    """Raise AssertionError unless a report says this."""
    found = {name: report.get(name) for name in counts}
    if found != counts:
        raise AssertionError(f"the report says {found} instead of {counts}: {report.get('error')}")


# --- what the connector remembers -------------------------------------------------------------------------------------


def prepared(people: int) -> Path:
    """Return the folder with the connector's memory after a first night with so many people, made where there is none.

    A day later it is made anew: accounts that were looked up long ago would be due.
    """
    name = f"{people}-{_digest_of_the_code()}-{datetime.now(UTC):%Y%m%d}"
    folder = FOLDER / "prepared" / name
    if not folder.exists():
        for old in folder.parent.glob(f"{people}-*"):
            shutil.rmtree(old)
        subprocess.run([sys.executable, "-m", "tests.bench.reading", str(people), str(folder)], cwd=ROOT, check=True)  # noqa: S603
    return folder


def _digest_of_the_code() -> str:
    digest = hashlib.blake2b(digest_size=8)
    connector = (path for path in (ROOT / "connector").rglob("*") if path.suffix in {".py", ".toml"})
    ours = (Path(__file__).with_name(name) for name in ("company.py", "simulated.py"))
    for path in sorted([*connector, *ours]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def prepare(people: int, folder: Path) -> None:
    """Spend a first night in virtual time, two hours ago, and keep what the connector remembers of it."""
    from tests.bench.simulated import Simulated, in_virtual_time

    async def night(simulated: Simulated) -> None:
        await simulated.drop(Company(people), 0)
        _hold(await simulated.tick(), outcome="completed", created=people)
        simulated.memory.keep(folder.with_name("unfinished"))

    in_virtual_time(night, start=datetime.now(UTC) - timedelta(hours=2))
    folder.with_name("unfinished").rename(folder)


if __name__ == "__main__":
    prepare(int(sys.argv[1]), Path(sys.argv[2]))
