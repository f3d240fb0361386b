"""The ledger: what it takes to store, to open, to look at and to fold, beside lines of JSON with an object each.

The lines are what the ledger was before there were columns, written here as they were then. Either has fresh processes
of its own, and they take turns. People are made up so that packing them is no easier than it is in the world: names of
twenty thousand families, keys with gaps, managers anywhere, object ids and digests of which nothing can be told.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import io
import os
import statistics
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from connector.apply import apply
from connector.core.ledger import (
    Entry,
    Ledger,
    due_times,
    dump_entry,
    dump_ledger,
    load_entry,
    load_ledger,
    read_lines,
    settle,
    write_lines,
)
from connector.core.packed import Packed
from connector.core.plan import Plan, Progress, Upsert
from connector.storage.state import State
from tests.bench.company import MAPPED, Company, object_id_of
from tests.bench.processes import Process, forget_peak, peak_of, serve
from tests.bench.results import Result, Size
from tests.bench.simulated import DiskContainer
from tests.tenant.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MODULE: Final = "tests.bench.ledger"
CONNECTION: Final = "contosohr"
STORED: Final = 100
"""Megabytes, of a million bytes each, that a million people may take."""
CHANGED: Final = 0.01
CHANGES: Final = 200
"""How many a run sends of which it is told what it writes meanwhile, whatever the number of people."""
DAY: Final = 24 * 3600
NOW: Final = 1_790_000_000

Measured = dict[str, Any]


def measure(size: Size) -> Iterator[Result]:
    """Yield B3, and beside it what time and memory the ledger takes."""
    people, fewer, repetitions = (300, 30, 1) if size == "short" else (1_000_000, 1_000, 2)
    with TemporaryDirectory(prefix="people-connector-bench-") as folder:
        less = Path(folder) / "fewer"
        less.mkdir()
        with _process("make") as process:
            process.ask("make", people=fewer, folder=str(less))
            stored = process.ask("make", people=people, folder=folder)
        batches = [asyncio.run(_written(each)) for each in (Path(folder), less)]
        turns = [(_turn("columns", folder, people), _turn("lines", folder, people)) for _ in range(repetitions)]
    who = f"{people:,} people: the ledger"
    columns, lines = stored["columns"] / 1e6, stored["lines"] / 1e6
    yield Result("B3", f"{who}, stored", columns, "MB", lines, limit=STORED)
    yield Result("", f"{who}, for each of them", stored["columns"] / people, "bytes", stored["lines"] / people)
    for name, (what, unit) in _TOLD.items():
        ours, reference = (statistics.median(turn[which][name] for turn in turns) for which in (0, 1))
        yield Result("", f"{who}, {what}", ours, unit, reference)
    what = f"{people:,} people beside {fewer:,}: what a batch of changes writes"
    yield Result("B3", what, batches[0], "bytes", batches[1], 1, "ratio")


_TOLD: Final = {
    "load": ("fetched and checked", "s"),
    "look": ("what an unchanged night asks of it", "s"),
    "looked": ("memory until then", "MB"),
    "find": ("1 % of the people found by key", "s"),
    "fold": ("1 % changed, folded and stored", "s"),
    "folded": ("memory of folding", "MB"),
}


def _turn(role: str, folder: str, people: int) -> Measured:
    """Let a fresh process do all that a night does with its ledger."""
    with _process(role) as process:
        done: Measured = process.ask("night", folder=folder)
    changes = round(people * CHANGED)
    expected = {"people": people, "held": people, "found": changes - changes // 2, "after": people + changes // 2}
    counted = {name: done[name] for name in expected}
    if counted != expected:
        raise AssertionError(f"{role}: {counted} instead of {expected}")
    return done


def _process(role: str) -> Process:
    return Process(MODULE, role, environment=os.environ)


# --- people -----------------------------------------------------------------------------------------------------------

_SYLLABLES: Final = (
    "ba", "der", "ek", "fo", "gan", "hei", "ist", "jo", "kov", "lin", "ma", "nor", "os", "pe", "ric", "san", "tor",
    "ul", "vi", "wen", "zu",
)  # fmt: skip
_GIVEN: Final = 1_000
_FAMILIES: Final = 20_000


def entries(numbers: Iterable[int], people: int) -> Iterator[Entry]:
    """Yield the entries of some of so many people, whose items Graph took on one of the last sixty nights."""
    company = Company(people)
    for number in numbers:
        key, dice = _key(number), _dice("person", number)
        given, family = _name(dice % _GIVEN, 2), _name(_GIVEN + dice // _GIVEN % _FAMILIES, 3)
        upn = f"{given}.{family}{dice >> 57 if dice % 10 < 3 else ''}@contoso.com"
        manager = _key(_dice("manager", number) % max(people // 10, 1) * 10)
        row = dict(zip(MAPPED, company.row(number), strict=False))
        row |= {"EmployeeId": key, "UserPrincipalName": upn, "Email": upn, "ManagerId": manager}
        row |= {"FirstName": given, "LastName": family, "DisplayName": f"{given} {family}"}
        yield Entry(
            key=key,
            item_id="u" + hashlib.sha256(f"{CONNECTION}/{key}".encode()).hexdigest()[:40],
            upn=upn,
            user_id=object_id_of(number),
            source=_digest("source", number),
            item=_digest("item", number),
            references=(manager,),
            state="sent",
            held=True,
            resolved=NOW - dice % 7 * DAY,
            sent=NOW - dice % 60 * DAY,
            fields=b"kind" + bytes(zlib.crc32(cell.encode()) % 255 + 1 if cell else 0 for cell in row.values()),
        )


def changed(people: int) -> list[Entry]:
    """Return one in a hundred, wherever they stand: half of them were there, half have joined."""
    count = round(people * CHANGED)
    old = (number * people // count for number in range(count - count // 2))
    new = range(people, people + count // 2)
    return [replace(each, source=_digest("new", 1)) for each in entries((*old, *new), people)]


def _key(number: int) -> str:
    return f"{number * 7 + _dice('key', number) % 7:08}"


def _name(number: int, syllables: int) -> str:
    dice = _dice("name", number)
    return "".join(_SYLLABLES[(dice >> 8 * place) % len(_SYLLABLES)] for place in range(syllables))


def _dice(what: str, number: int) -> int:
    return int.from_bytes(_digest(what, number)[:8], "big")


def _digest(what: str, number: int) -> bytes:
    return hashlib.blake2b(f"{what} {number}".encode(), digest_size=16).digest()


# --- the processes ----------------------------------------------------------------------------------------------------


class _Watch:
    """Seconds between one stop and the next, and the most memory by then."""

    def __init__(self) -> None:
        self.told: Measured = {}
        self.begin()

    def begin(self) -> None:
        """Begin with what follows, and forget what memory was needed before."""
        gc.collect()
        forget_peak()
        self._began = time.perf_counter()

    def stop(self, seconds: str, memory: str = "") -> None:
        """Note what it took since the last time."""
        self.told[seconds] = time.perf_counter() - self._began
        if memory:
            self.told[memory] = peak_of()
        self._began = time.perf_counter()


def columns_role() -> None:
    """Be the connector: the ledger in columns, from a container of files and back."""

    async def night(folder: str) -> Measured:
        container = await _container(Path(folder))
        state, watch = State(container, CONNECTION), _Watch()
        ledger = await state.ledger(1)
        watch.stop("load")
        watch.told |= _look(ledger)
        watch.stop("look", "looked")
        changes = _find(ledger, watch)
        saved = await state.save_ledger(settle(ledger, changes, ()))
        watch.stop("fold", "folded")
        return {**watch.told, "after": len(saved.entries)}

    serve(night=lambda folder: asyncio.run(night(folder)))


async def _container(folder: Path) -> DiskContainer:
    """Return a container of files in which the ledger is."""
    container = DiskContainer(VirtualClock(), folder)
    with (folder / "columns").open("rb") as stream:
        await container.upload_from(f"{CONNECTION}/ledger/00000001.columns", stream)
    return container


def lines_role() -> None:
    """Be the reference: gzipped lines of JSON, an object for everybody in a dict that is copied to be changed."""

    def night(folder: str) -> Measured:
        watch = _Watch()
        header, rows = read_lines((Path(folder) / "lines").read_bytes())
        known = {entry.key: entry for entry in map(load_entry, rows)}
        ledger = Ledger(CONNECTION, "contoso", "labels", "one", header["generation"], known)
        watch.stop("load")
        watch.told |= _look(ledger)
        watch.stop("look", "looked")
        changes = _find(ledger, watch)
        after = settle(ledger, changes, ())
        (Path(folder) / "again").write_bytes(as_lines(after))
        watch.stop("fold", "folded")
        return {**watch.told, "after": len(after.entries)}

    serve(night=night)


def make_role() -> None:
    """Be the one who makes both ledgers, of the same people."""

    def make(people: int, folder: str) -> Measured:
        known = {entry.key: entry for entry in entries(range(people), people)}
        ledger = Ledger(CONNECTION, "contoso", "labels", "one", 1, known)
        stored = {"columns": dump_ledger(ledger), "lines": as_lines(ledger)}
        if load_ledger(stored["columns"]).entries != known:
            raise AssertionError("entries are others when they are read again")
        for name, data in stored.items():
            (Path(folder) / name).write_bytes(data)
        return {name: len(data) for name, data in stored.items()}

    serve(make=make)


def as_lines(ledger: Ledger) -> bytes:
    """Return a ledger as it was stored before there were columns."""
    buffer = io.BytesIO()
    header = {"format": 2, "generation": ledger.generation, "people": len(ledger.entries)}
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as stream:
        write_lines(stream, header, (dump_entry(entry) for entry in ledger.entries.values()))
    return buffer.getvalue()


def _look(ledger: Ledger) -> Measured:
    """Ask what every night asks: how many there are, what is due, what rows are known by, whose cells are blank."""
    due = due_times(ledger, resolve_after=7 * DAY, unmatched_after=DAY).accounts
    told = {"held": ledger.held, "people": ledger.people, "due": due}
    if isinstance(ledger.entries, Packed):
        packed = ledger.entries
        told["sources"] = len(packed.sources)
        told["plain"] = packed.plain.count(1)
        told["blank"] = sum(packed.blanks(packed.plain)[1])
    else:
        told["sources"] = sum(len(entry.source) for entry in ledger.entries.values())
        told["blank"] = sum(entry.fields[4:].count(0) for entry in ledger.entries.values())
    return told


def _find(ledger: Ledger, watch: _Watch) -> list[Entry]:
    """Return the changes of a night, of which it is known then whether they are about somebody who was there."""
    changes = changed(len(ledger.entries))
    watch.begin()
    watch.told["found"] = sum(ledger.entries.get(entry.key) is not None for entry in changes)
    watch.stop("find")
    return changes


# --- the journal ------------------------------------------------------------------------------------------------------


class _Accepting:
    """Graph, where nothing is ever refused."""

    async def put(self, item_id: str, body: bytes) -> None:
        """Take an item."""

    async def delete(self, item_id: str) -> bool:  # noqa: ARG002 - a plan of puts alone
        """Delete an item."""
        return True


async def _written(folder: Path) -> float:
    """Return the bytes a run stores for each batch that it announces, of 20 changes or so all over the ledger."""
    container = await _container(folder)
    state = State(container, CONNECTION)
    entries = (await state.ledger(1)).entries
    assert isinstance(entries, Packed)
    places = (number * len(entries) // CHANGES for number in range(CHANGES))
    actions = [Upsert(entries.at(place), place + 1, 0, created=False) for place in places]
    before = sum(each.sent for each in container.traffic.values())
    applied = await apply(
        Plan(actions=tuple(actions), changes=()),
        lambda indices: ((index, b"{}") for index in indices),
        items=_Accepting(),
        journal=state.journal("run", 1),
        before=Progress(),
        concurrency=16,
        stopping=lambda: False,
    )
    if not applied.finished:
        raise AssertionError("not everybody was sent")
    sent = sum(each.sent for each in container.traffic.values()) - before
    return sent / container.traffic["journal"].operations


if __name__ == "__main__":
    {"columns": columns_role, "lines": lines_role, "make": make_role}[sys.argv[1]]()
