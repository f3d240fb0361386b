"""What we believe Graph holds. There is no operation to list items, so this is the only memory of them.

https://learn.microsoft.com/graph/api/resources/externalconnectors-externalitem (methods: no list)

A ledger is an immutable blob; a run makes the next generation by folding its journal into the last one.
"""

from __future__ import annotations

import base64
import gzip
import io
import zlib
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any, Literal

import orjson

from connector.core.accounts import is_referred
from connector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FORMAT = 2
"""Version of the file. A reader that meets a later one refuses it instead of guessing."""
EARLIER = 1
"""The version whose entries have no fields; it is read as well."""

State = Literal["sent", "doubt", "failed", "unmatched", "outside"]
"""sent: Graph accepted the item. doubt: announced, answer never seen. failed: Graph refused it.
unmatched: no Entra user. outside: known (others refer to it), but not to be sent: not in the pilot, or out of scope."""

_FORMER = "\x1f"
"""Begins the key of a former item's entry. No person's key does: it counts as blank there and is taken off."""

_RETRY_FIRST_SECONDS = 14 * 60
"""A little less than the fifteen minutes between two ticks, so that the next tick already finds it due."""
_RETRY_MOST_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Entry:
    """One person: what Graph last accepted, and what the next run needs to know without asking.

    ``source`` digests everything the item was made from, ``item`` the body itself (design §3.6). ``held`` says that
    Graph has, or may have, an item under ``item_id``; only then is there something to delete. ``upn`` is Entra's
    spelling when ``user_id`` is known, else HR's, where that is a UPN. ``asked`` is what Entra was asked for
    (`connector.core.accounts.ask`), where that is not ``upn``: the user was found by another attribute, or a UPN was
    not known, and the last known account stays what others refer to. ``fields`` are those of the last row of theirs
    that was taken (`connector.core.mapping.Person`), none where an earlier release took it. Times are unix seconds.
    """

    key: str
    item_id: str
    upn: str
    user_id: str = ""
    source: bytes = b""
    item: bytes = b""
    references: tuple[str, ...] = ()
    state: State = "unmatched"
    held: bool = False
    absent: int = 0
    resolved: int = 0
    sent: int = 0
    failures: int = 0
    retry_at: int = 0
    code: str = ""
    asked: str = ""
    fields: bytes = b""

    @property
    def is_former(self) -> bool:
        """Tell whether this is no person, but an item that somebody had before their item id changed."""
        return self.key.startswith(_FORMER)

    @property
    def former_of(self) -> str:
        """Return the key of the person who had this former item: it stands where a person's references do."""
        return self.references[0] if self.is_former and self.references else ""

    def former(self, item_id: str) -> Entry:
        """Return the entry of the item that this person had under ``item_id``: it is still there, to be deleted."""
        return Entry(
            former_key(item_id), item_id, self.upn, self.user_id, references=(self.key,), state="sent", held=True
        )

    def failed(self, code: str, *, now: int) -> Entry:
        """Return the entry after Graph refused its item: sent again later, and later each time."""
        wait = min(_RETRY_FIRST_SECONDS * 2**self.failures, _RETRY_MOST_SECONDS)
        return replace(
            self,
            source=b"",
            item=b"",
            state="failed",
            failures=self.failures + 1,
            retry_at=now + wait,
            code=code,
        )

    def in_doubt(self, *, now: int) -> Entry:
        """Return the entry after a write whose answer was never seen: Graph may hold the old item, the new, or none."""
        return replace(self.failed("in_doubt", now=now), state="doubt", held=True)


def former_key(item_id: str) -> str:
    """Return the key under which a ledger keeps an item whose person has another one now."""
    return _FORMER + item_id


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
        return sum(entry.held for entry in self.entries.values())

    @property
    def people(self) -> int:
        """How many people it knows, without those whom others merely name by an account."""
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
    for entry in ledger.entries.values():
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
    entries = dict(ledger.entries)
    for entry in changes:
        entries[entry.key] = entry
    for key in gone:
        entries.pop(key, None)
    return replace(ledger, generation=ledger.generation + 1, entries=entries)


def unsure(ledger: Ledger) -> Ledger:
    """Return the ledger in which nobody knows what items say, only that they are there: everyone is sent again."""
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
    """Return a ledger as gzipped JSON lines: a header, then one line per person."""
    header = {
        "format": FORMAT,
        "connection": ledger.connection,
        "tenant": ledger.tenant,
        "contract": ledger.contract,
        "incarnation": ledger.incarnation,
        "generation": ledger.generation,
        "people": len(ledger.entries),
    }
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as lines:
        write_lines(lines, header, (dump_entry(entry) for entry in ledger.entries.values()))
    return buffer.getvalue()


def load_ledger(data: bytes) -> Ledger:
    """Read a ledger.

    Raises:
        StoreError: ``ledger_corrupt`` when it is not whole, ``ledger_format`` when it is of another version.
    """
    try:
        header, rows = read_lines(data)
        owner = _owner(header)
        entries = {entry.key: entry for entry in map(load_entry, rows)}
        if len(entries) != header["people"]:
            raise StoreError("the ledger does not hold as many people as its header says", code="ledger_corrupt")
        return replace(owner, entries=entries)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the ledger cannot be read ({type(error).__name__})", code="ledger_corrupt") from error


def sample(data: bytes, *, most: int) -> tuple[Ledger, tuple[str, ...]]:
    """Return whose ledger it is, without its entries, and the ids of some items that Graph certainly holds.

    The others are counted, not read: that tells whether it is whole, and costs little.

    Raises:
        StoreError: as `load_ledger`, as far as that shows.
    """
    try:
        lines = gzip.GzipFile(fileobj=io.BytesIO(data), mode="rb")
        header = orjson.loads(lines.readline())
        owner = _owner(header)
        items: list[str] = []
        people = 0
        for line in lines:
            people += 1
            if len(items) < most:
                entry = load_entry(orjson.loads(line))
                items += [entry.item_id] if entry.held and entry.state == "sent" else []
        if people != header["people"]:
            raise StoreError("the ledger does not hold as many people as its header says", code="ledger_corrupt")
        return owner, tuple(items)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the ledger cannot be read ({type(error).__name__})", code="ledger_corrupt") from error


def _owner(header: Mapping[str, Any]) -> Ledger:
    """Return the ledger that a header begins, without its entries."""
    if header["format"] not in {EARLIER, FORMAT}:
        raise StoreError(f"the ledger has format {header['format']}; this release reads {FORMAT}", code="ledger_format")
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
