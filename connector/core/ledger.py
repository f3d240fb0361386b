"""What we believe Graph holds. There is no operation to list items, so this is the only memory of them.

https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem (methods: no list)

A ledger is an immutable blob; a run makes the next generation by folding its journal into the last one.
"""

from __future__ import annotations

import base64
import functools
import gzip
import io
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import compress, islice
from typing import IO, TYPE_CHECKING, Any, Final, get_args

import orjson

from connector.core.accounts import is_referred
from connector.core.columns import corrupt, open_columns, write_columns
from connector.core.entry import Entry, State, former_key
from connector.core.packed import Kind, Packed, column_names, pack
from connector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from connector.core.columns import Read
    from connector.core.packed import MakeId

__all__ = [
    "DueTimes",
    "Entry",
    "Ledger",
    "State",
    "due_times",
    "dump_entry",
    "dump_ledger",
    "former_key",
    "load_entry",
    "load_ledger",
    "open_ledger",
    "read_lines",
    "sample",
    "scattered",
    "settle",
    "unsure",
    "write_ledger",
    "write_lines",
]

FORMAT: Final = 3
"""Version of the file. A reader that meets a later one refuses it instead of guessing."""
LINES: Final = frozenset({1, 2})
"""The versions that are gzipped JSON lines. The first one's entries have no fields. Both are read as well."""

_NAME: Final = b"ledger "
_MAGIC: Final = _NAME + b"%d\n" % FORMAT
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Entries by person's key, for one incarnation of one connection in one tenant under one contract."""

    connection: str
    tenant: str
    contract: str
    incarnation: str
    generation: int = 0
    entries: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """How many items Graph holds, as far as we know."""
        if isinstance(self.entries, Packed):
            return self.entries.held
        return sum(entry.held for entry in self.entries.values())

    @property
    def people(self) -> int:
        """How many people it knows, without those whom others merely name by an account."""
        if isinstance(self.entries, Packed):
            return self.entries.people
        return sum(not (entry.is_former or is_referred(entry.key)) for entry in self.entries.values())

    def is_of_the_same(self, other: Ledger) -> bool:
        """Tell whether both are the memory of one and the same connection. If not, it is void (design §3.13)."""
        mine = (self.connection, self.tenant, self.contract, self.incarnation)
        return mine == (other.connection, other.tenant, other.contract, other.incarnation)


@dataclass(frozen=True, slots=True)
class DueTimes:
    """When something wants attention without a new export, in unix seconds; 0: never.

    ``turn`` is about the export: when the first of its rows begins or ceases to count.
    """

    failed: int = 0
    unmatched: int = 0
    accounts: int = 0
    turn: int = 0


def due_times(ledger: Ledger, *, resolve_after: int, unmatched_after: int, turn: int = 0) -> DueTimes:
    """Return the earliest moments at which failed items, unmatched people and known accounts are due, and ``turn``."""
    failed = unmatched = accounts = 0
    entries: Iterable[Entry] = ledger.entries.values()
    if isinstance(ledger.entries, Packed):
        # Of those who are plain nothing is due but that their accounts are asked for again.
        plain = ledger.entries
        first = min(compress(plain.resolved, plain.plain), default=None)
        accounts = 0 if first is None else first + resolve_after
        entries = map(plain.at, plain.not_plain())
    for entry in entries:
        if entry.state in {"failed", "doubt"}:
            failed = _earlier(failed, entry.retry_at)
        elif entry.is_former:
            failed = _earlier(failed, 1)  # the run that put the new item did not get to it
        if entry.absent or entry.is_former or entry.state == "outside":
            continue
        if entry.state == "unmatched":
            unmatched = _earlier(unmatched, entry.resolved + unmatched_after)
        elif entry.user_id:
            accounts = _earlier(accounts, entry.resolved + resolve_after)
    return DueTimes(failed=failed, unmatched=unmatched, accounts=accounts, turn=turn)


def _earlier(one: int, other: int) -> int:
    return min(one, other) if one else other


def settle(ledger: Ledger, changes: Iterable[Entry], gone: Iterable[str]) -> Ledger:
    """Return the next generation: ``changes`` put in place, the keys in ``gone`` forgotten."""
    changed: dict[str, Entry | None] = {entry.key: entry for entry in changes}
    changed.update(dict.fromkeys(gone))
    generation = ledger.generation + 1
    if isinstance(ledger.entries, Packed):
        return replace(ledger, generation=generation, entries=ledger.entries.changed(changed))
    entries = {**ledger.entries, **changed}
    return replace(
        ledger,
        generation=generation,
        entries={key: entry for key, entry in entries.items() if entry is not None},
    )


def unsure(ledger: Ledger) -> Ledger:
    """Return the ledger in which nobody knows what items say, only that they are there: everyone is sent again."""
    if isinstance(ledger.entries, Packed):
        return replace(ledger, entries=ledger.entries.without_digests())
    return replace(ledger, entries={key: replace(entry, source=b"", item=b"") for key, entry in ledger.entries.items()})


def dump_entry(entry: Entry) -> list[Any]:
    """Return an entry as the JSON array that ledgers and plans store."""
    return [
        entry.key,
        entry.item_id,
        entry.upn,
        entry.user_id,
        _text(entry.source),
        _text(entry.item),
        list(entry.references),
        entry.state,
        int(entry.held),
        entry.absent,
        entry.resolved,
        entry.sent,
        entry.failures,
        entry.retry_at,
        entry.code,
        entry.asked,
        _text(entry.fields),
    ]


def load_entry(row: list[Any]) -> Entry:
    """Read what `dump_entry` made; an earlier release's has no fields."""
    key, item_id, upn, user_id, source, item, references, state, held, *rest = row
    absent, resolved, sent, failures, retry_at, code, asked, *fields = rest
    return Entry(
        key=key,
        item_id=item_id,
        upn=upn,
        user_id=user_id,
        source=_bytes(source),
        item=_bytes(item),
        references=tuple(references),
        state=state,
        held=bool(held),
        absent=absent,
        resolved=resolved,
        sent=sent,
        failures=failures,
        retry_at=retry_at,
        code=code,
        asked=asked,
        fields=_bytes(*fields) if fields else b"",
    )


def dump_ledger(ledger: Ledger) -> bytes:
    """Return a ledger as `write_ledger` writes it."""
    buffer = io.BytesIO()
    write_ledger(ledger, buffer.write)
    return buffer.getvalue()


def write_ledger(ledger: Ledger, write: Callable[[bytes], object]) -> None:
    """Write a ledger in columns (`connector.core.packed`), one of them in memory at a time.

    Item ids are not among them where they are as the contract makes them.
    """
    item_id, entries = _item_ids(ledger.connection, ledger.contract), ledger.entries
    if not isinstance(entries, Packed):
        entries = pack(entries.values(), item_id=item_id)
    elif entries.item_id is not item_id:
        entries = entries.repacked(item_id)
    facts = {
        "connection": ledger.connection,
        "tenant": ledger.tenant,
        "contract": ledger.contract,
        "incarnation": ledger.incarnation,
        "generation": ledger.generation,
        "people": len(entries),
        "codes": entries.codes,
        "kind": _text(entries.kind.mark),
        "cells": entries.kind.width,
        "item_id": _example(item_id),
    }
    write_columns(write, _MAGIC, facts, ((name, entries.whole(name)) for name in column_names(entries.kind)))


def load_ledger(data: bytes) -> Ledger:
    """Read a ledger of this release or of an earlier one.

    Raises:
        StoreError: ``ledger_corrupt`` when it is not whole, ``ledger_format`` when it is of another version.
    """
    if data.startswith(_GZIP):
        return _of_lines(data)
    return open_ledger(lambda start, size: data[start : start + size], len(data))


def open_ledger(read: Read, size: int) -> Ledger:
    """Check a ledger of ``size`` bytes and return it; its columns are read when they are first needed.

    Raises:
        StoreError: as `load_ledger`.
    """
    with _understood():
        begins = read(0, min(size, len(_MAGIC) + 8))
        if begins.startswith(_GZIP):
            return _of_lines(read(0, size))
        version = begins.removeprefix(_NAME).partition(b"\n")[0]
        if begins.startswith(_NAME) and version.isdigit() and int(version) != FORMAT:
            raise _other_format(int(version))
        columns = open_columns(read, size, _MAGIC)
        facts = columns.facts
        item_id = _item_ids(facts["connection"], facts["contract"])
        if facts["item_id"] != _example(item_id):
            raise StoreError("the ledger's item ids are not made as this release makes them", code="ledger_format")
        entries = Packed(
            facts["people"],
            columns.column,
            kind=Kind(_bytes(facts["kind"]), facts["cells"]),
            codes=facts["codes"],
            item_id=item_id,
        )
        return replace(_owner(facts), entries=entries)


def sample(ledger: Ledger, *, most: int) -> tuple[str, ...]:
    """Return the ids of some items that Graph certainly holds; no more entries are looked at than that takes."""
    certain = (entry.item_id for entry in ledger.entries.values() if entry.held and entry.state == "sent")
    return tuple(islice(certain, most))


def scattered(ledger: Ledger, *, apart: Collection[str] = ()) -> list[str]:
    """Return the ids of three items, or fewer, that Graph certainly holds: at both ends and in the middle of the keys.

    None of those ``apart`` is among them. Of a ledger in columns, hardly more entries than these are made.
    """
    entries = ledger.entries
    at = entries.at if isinstance(entries, Packed) else list(entries.values()).__getitem__
    size = len(entries)
    found: dict[str, None] = {}
    for places in (range(size), range(size // 2, size), range(size - 1, -1, -1)):
        some = (entry.item_id for entry in map(at, places) if entry.held and entry.state == "sent")
        found.update(dict.fromkeys(islice((item_id for item_id in some if item_id not in apart), 1)))
    return list(found)


@functools.lru_cache(maxsize=8)
def _item_ids(connection: str, contract: str) -> MakeId | None:
    """Return how a contract makes an item id of key and UPN; None of a contract that this release does not know.

    The same function for the same connection, so that it tells whether entries were packed with it.
    """
    from connector.core.contracts import ContractName, contract_of

    names: tuple[ContractName, ...] = get_args(ContractName)
    for name in names:
        if name == contract:
            made = contract_of(name).item_id
            return lambda key, upn: made(connection, key=key, upn=upn)
    return None


def _example(item_id: MakeId | None) -> str:
    """Return an item id by which a release tells whether another one makes them as it does itself."""
    return item_id("key", "name@example.com") if item_id else ""


def _of_lines(data: bytes) -> Ledger:
    """Read a ledger that an earlier release wrote: a header, then one line per person."""
    with _understood():
        header, rows = read_lines(data)
        if header["format"] not in LINES:
            raise _other_format(header["format"])
        owner = _owner(header)
        entries = {entry.key: entry for entry in map(load_entry, rows)}
        if len(entries) != header["people"]:
            raise corrupt("does not hold as many people as its header says")
        return replace(owner, entries=pack(entries.values(), item_id=_item_ids(owner.connection, owner.contract)))


@contextmanager
def _understood() -> Iterator[None]:
    """Let what is not whole be refused as such, in whatever way that shows."""
    try:
        yield
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"the ledger cannot be read ({type(error).__name__})", code="ledger_corrupt") from error


def _other_format(version: object) -> StoreError:
    return StoreError(f"the ledger has format {version}; this release reads {FORMAT}", code="ledger_format")


def _owner(header: Mapping[str, Any]) -> Ledger:
    """Return the ledger that a header tells of, without its entries."""
    return Ledger(
        connection=header["connection"],
        tenant=header["tenant"],
        contract=header["contract"],
        incarnation=header["incarnation"],
        generation=header["generation"],
    )


def write_lines(stream: IO[bytes] | gzip.GzipFile, header: Mapping[str, Any], rows: Iterable[Any]) -> None:
    """Write a header and rows as JSON lines."""
    stream.write(orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE))
    for row in rows:
        stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def read_lines(data: bytes) -> tuple[dict[str, Any], Iterator[Any]]:
    """Return the header and an iterator over the rows of gzipped JSON lines."""
    lines = gzip.GzipFile(fileobj=io.BytesIO(data), mode="rb")
    header = orjson.loads(lines.readline())
    return header, (orjson.loads(line) for line in lines)


def _text(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii").rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
