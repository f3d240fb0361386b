"""A million entries in columns: a mapping like any other, whose entries come into being when they are asked for.

A column holds one field of everybody, sorted by key. Columns are unpacked when they are first needed, so a night in
which nothing changed never sees keys or UPNs; what a change makes of them are copies of the stretches between changes.
Most people fit the columns. What is odd about an entry (a digest of another length, an object id that is no GUID, the
fields of another mapping) stands as JSON in the column ``odd``, so any entry at all comes back as it was.
"""

from __future__ import annotations

import base64
import re
import struct
import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import ItemsView, Mapping, ValuesView
from dataclasses import replace
from functools import cached_property
from heapq import nsmallest
from itertools import accumulate, chain, compress, count
from operator import add
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import orjson

from connector.core.accounts import account_key, is_referred
from connector.core.entry import FORMER, Entry, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    MakeId = Callable[[str, str], str]

DIGEST: Final = 16
"""Bytes of a digest, and of an object id."""

_STATES: Final = get_args(State)
_APART: Final = 8
"""Added to a state: the entry is no person's, but that of a former item, or of somebody whom others merely name."""

_USER, _SOURCE, _ITEM, _FIELDS, _HELD, _MADE, _ODD_FIELDS, _ODD = (1 << bit for bit in range(8))
"""An entry's shape: what stands in its columns, that Graph holds its item, that the item id is as the contract makes
it of key and UPN, and what stands in ``odd``."""
_WHOLE: Final = _USER | _SOURCE | _ITEM | _FIELDS | _HELD

_BYTES: Final = ("plain", "shape", "state", "code", "absent", "failures")
_TIMES: Final = ("resolved", "sent", "retry_at")
_DIGESTS: Final = {"source": _SOURCE, "item": _ITEM}
_TEXTS: Final = ("key", "upn", "references", "asked", "item_id", "odd")
_WIDTHS: Final = {
    **dict.fromkeys(_BYTES, 1),
    **dict.fromkeys(_TIMES, 4),
    "source": DIGEST,
    "item": DIGEST,
    "user": DIGEST,
}

_END, _ESCAPE, _NEXT = b"\x00", b"\x01", b"\x02"
"""Ends a text; begins one of these three within it; ends each of several within one. Texts keep their order by this."""
_NOTHING: Final = bytes(DIGEST)
_MOST: Final = 255
_LAST: Final = 2**32 - 1
_KNOWN: Final = 20_000
"""Entries that are kept in case somebody asks again."""
_BLOCK: Final = 4096
"""Entries that a scan looks at together."""

_GUID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BLOCK_OF_DIGESTS: Final = struct.Struct(f"{DIGEST}s" * _BLOCK)


class Kind(NamedTuple):
    """What the fields of most entries have in common: the bytes that tell of which columns they are, and how many."""

    mark: bytes = b""
    width: int = 0


class _Lazy(dict[str, Any]):
    """What is made when it is first asked for."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Any:
        made = self[name] = self._make(name)
        return made


class Packed(Mapping[str, Entry]):
    """Entries by key, in the order of keys. An entry is made anew each time it is asked for.

    ``column`` returns a column by its name (`columns_of`), ``codes`` are the codes that the entries' numbers stand for,
    ``item_id`` makes an item id of key and UPN; without it, all of them are stored.
    """

    def __init__(
        self,
        size: int,
        column: Callable[[str], bytes],
        *,
        kind: Kind,
        codes: Sequence[str],
        item_id: MakeId | None,
    ) -> None:
        self.kind = kind
        self.codes = tuple(codes)
        self.item_id = item_id
        self._size = size
        self._column = column
        self._columns = _Lazy(column)
        self._starts = _Lazy(lambda name: _starts(self._columns[name], size))
        self._times = _Lazy(lambda name: _integers(column(name)))
        # Who was asked for, for a while: it is rarely for the last time.
        self._known: dict[int, Entry] = {}
        self._places: dict[str, int] = {}

    # --- a mapping --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return how many entries there are."""
        return self._size

    def __getitem__(self, key: str) -> Entry:
        """Return somebody's entry."""
        index = self.index(key)
        if index < 0:
            raise KeyError(key)
        return self.at(index)

    def __contains__(self, key: object) -> bool:
        """Tell whether there is an entry of this key, without making it."""
        return isinstance(key, str) and self.index(key) >= 0

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in their order."""
        for start in range(0, self._size, _BLOCK):
            yield from map(_text, self._values("key", start, start + _BLOCK))

    def values(self) -> ValuesView[Entry]:
        """Return the entries, made one at a time."""
        return _Values(self)

    def items(self) -> ItemsView[str, Entry]:
        """Return keys and entries, made one at a time."""
        return _Items(self)

    # --- by place ---------------------------------------------------------------------------------------------------

    def index(self, key: str) -> int:
        """Return the place of somebody's entry, -1 where there is none."""
        known = self._places.get(key)
        if known is not None:
            return known
        place, there = self._spot(key)
        if len(self._places) >= _KNOWN:
            self._places.clear()
        self._places[key] = found = place if there else -1
        return found

    def key_at(self, index: int) -> str:
        """Return the key of the entry at a place."""
        return _text(self._piece("key", index))

    def at(self, index: int) -> Entry:
        """Return the entry at a place."""
        entry = self._known.get(index)
        if entry is None:
            entry = self._made(index)
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[index] = entry
        return entry

    def _made(self, index: int) -> Entry:
        columns, times = self._columns, self._times
        shape = columns["shape"][index]
        key, upn = self.key_at(index), _text(self._piece("upn", index))
        made = self.item_id(key, upn) if shape & _MADE and self.item_id else _text(self._piece("item_id", index))
        place, width = slice(index * DIGEST, index * DIGEST + DIGEST), self.kind.width
        entry = Entry(
            key=key,
            item_id=made,
            upn=upn,
            user_id=_guid(columns["user"][place]) if shape & _USER else "",
            source=columns["source"][place] if shape & _SOURCE else b"",
            item=columns["item"][place] if shape & _ITEM else b"",
            references=_several(self._piece("references", index)),
            state=_STATES[columns["state"][index] & ~_APART],
            held=bool(shape & _HELD),
            absent=columns["absent"][index],
            resolved=times["resolved"][index],
            sent=times["sent"][index],
            failures=columns["failures"][index],
            retry_at=times["retry_at"][index],
            code=self.codes[columns["code"][index]],
            asked=_text(self._piece("asked", index)),
            fields=self.kind.mark + self._cells[index * width : index * width + width] if shape & _FIELDS else b"",
        )
        return _with(entry, orjson.loads(self._piece("odd", index))) if shape & (_ODD | _ODD_FIELDS) else entry

    # --- columns ----------------------------------------------------------------------------------------------------

    @property
    def plain(self) -> bytes:
        """One byte per entry, 1 where nothing need be decided about it.

        It was sent and is held, was in the last export, waits for nothing, and all of it stands in the columns: both
        digests, an object id, the fields of the kind that most have. It is a person's, no former item's, and not that
        of somebody whom others merely name.
        """
        return bytes(self._columns["plain"])

    @property
    def sources(self) -> bytes:
        """Everybody's source digest, 16 bytes each; zeros where there is none."""
        return bytes(self._columns["source"])

    @property
    def users(self) -> bytes:
        """Everybody's object id, 16 bytes each; zeros where there is none, or one that is no GUID."""
        return bytes(self._columns["user"])

    @property
    def resolved(self) -> Sequence[int]:
        """When everybody's account was last confirmed, in unix seconds; what does not fit 32 bits is 0."""
        times: array[int] = self._times["resolved"]
        return times

    @property
    def held(self) -> int:
        """How many entries have an item that Graph holds."""
        return self._having(_HELD)

    @property
    def people(self) -> int:
        """How many entries are people's: not of former items, and not of those whom others merely name."""
        return sum(self._columns["state"].count(state) for state in range(_APART))

    @property
    def with_fields(self) -> int:
        """How many entries know the fields of a row."""
        return self._having(_FIELDS) + self._having(_ODD_FIELDS)

    def not_plain(self) -> Iterator[int]:
        """Yield the places of the entries that are not `plain`."""
        return _places(self.plain, 0)

    def blanks(self, chosen: bytes) -> tuple[bytes, list[int]]:
        """Return the mark of the common fields, and how many of the ``chosen`` have a blank cell in each column.

        ``chosen`` has one byte per entry, not 0 where it counts. Whoever has other fields, or none, is blank nowhere.
        """
        shape = self._columns["shape"]
        having = shape.translate(bytes(bool(each & _FIELDS) for each in range(256)))
        wanted = _both(chosen.translate(b"\x00" + b"\x01" * 255), having) if chosen.count(0) else having
        others = wanted.count(0)
        columns = (self._cells[place :: self.kind.width] for place in range(self.kind.width))
        if others > self._size // 4:
            return self.kind.mark, [bytes(compress(column, wanted)).count(0) for column in columns]
        places = list(_places(wanted, 0))
        return self.kind.mark, [column.count(0) - sum(not column[place] for place in places) for column in columns]

    # --- scans ------------------------------------------------------------------------------------------------------

    def with_keys(self, keys: Collection[str]) -> list[int]:
        """Return the places of these people's entries, as far as there are any, in their order."""
        if len(keys) * 32 < self._size:
            return sorted(place for place in map(self.index, set(keys)) if place >= 0)
        return list(self._equal("key", {_raw(key) for key in keys}))

    def referring_to(self, keys: Collection[str]) -> Iterator[int]:
        """Yield the places of those who refer to one of these keys."""
        wanted = {_raw(key) + _NEXT for key in keys}
        for start in range(0, self._size, _BLOCK) if wanted else ():
            values = self._values("references", start, start + _BLOCK)
            block = self._block("references", start, start + _BLOCK)
            if block.count(_NEXT) > block.count(_NEXT + _END):  # somebody has several
                for place, value in enumerate(values, start):
                    if not wanted.isdisjoint(each + _NEXT for each in value.split(_NEXT)[:-1]):
                        yield place
            elif not wanted.isdisjoint(values):
                yield from (place for place, value in enumerate(values, start) if value in wanted)

    def asking(self, asks: Collection[str]) -> Iterator[int]:
        """Yield the places of those who were last asked for by one of these account keys (`account_key`)."""
        wanted = set(asks)
        for start in range(0, self._size, _BLOCK) if wanted else ():
            stop = min(start + _BLOCK, self._size)
            keys = self._account_keys("upn", start, stop)
            if len(self._block("asked", start, stop)) > stop - start:
                keys = [asked or upn for asked, upn in zip(self._account_keys("asked", start, stop), keys, strict=True)]
            if not wanted.isdisjoint(keys):
                yield from (place for place, key in enumerate(keys, start) if key in wanted)

    def with_users(self, user_ids: Collection[str]) -> Iterator[int]:
        """Yield the places of those who have one of these object ids."""
        yield from self._with_raw_users({raw_guid(user_id) for user_id in user_ids} - {b"", _NOTHING})
        users, shape = self._columns["user"], self._columns["shape"]
        others = {user_id for user_id in user_ids if user_id and raw_guid(user_id) in {b"", _NOTHING}}
        for place, each in enumerate(shape) if others else ():
            odd = each & (_USER | _ODD) == _ODD or users[place * DIGEST : place * DIGEST + DIGEST] == _NOTHING
            if odd and self.at(place).user_id in others:
                yield place

    def next_users(self, after: bytes, count: int) -> Iterator[int]:
        """Yield the places of so many plain entries: those whose object ids come next ``after`` 16 bytes, round again.

        Entries that are not plain may be among them where they have the object id of one that is.
        """
        found: list[bytes] = []
        for is_next in (after.__lt__, after.__ge__):
            users = chain.from_iterable(struct.iter_unpack(f"{DIGEST}s", self.users))
            found += nsmallest(count - len(found), filter(is_next, compress(users, self.plain)))
        yield from self._with_raw_users(set(found))

    # --- changes ----------------------------------------------------------------------------------------------------

    def changed(self, changes: Mapping[str, Entry | None]) -> Packed:
        """Return these entries with the changes put in their place, and those forgotten whose change is None."""
        spots = [(key, *self._spot(key)) for key in sorted(changes)]
        kind = self._kind_with(changes, frozenset(place for _, place, there in spots if there))
        if kind != self.kind:
            return _in_order(self._merged(changes), kind, (), self.item_id)
        added = (entry for key, _, _ in spots if (entry := changes[key]) is not None)
        patch = _in_order(added, kind, self.codes, self.item_id)
        runs: list[tuple[bool, int, int]] = []
        at = taken = 0
        for key, place, there in spots:
            if place > at:
                runs.append((False, at, place))
            if changes[key] is not None:
                runs.append((True, taken, taken + 1))
                taken += 1
            at = place + there
        runs.append((False, at, self._size))
        size = sum(stop - start for _, start, stop in runs)

        def column(name: str) -> bytes:
            return _spliced(name, (self.whole(name), len(self)), (patch.whole(name), len(patch)), runs)

        return Packed(size, column, kind=kind, codes=patch.codes, item_id=self.item_id)

    def without_digests(self) -> Packed:
        """Return the same entries, of which nobody knows what they were made from, or what their items say."""
        odd = self._columns["shape"].translate(bytes(bool(each & _ODD) for each in range(256)))
        entries = map(self.at, _places(odd, 1))
        rest = self.changed({entry.key: replace(entry, source=b"", item=b"") for entry in entries})
        cleared = bytes(each & ~(_SOURCE | _ITEM) for each in range(256))

        def column(name: str) -> bytes:
            whole = rest.whole(name)
            if name in {"plain", *_DIGESTS}:
                return bytes(len(whole))
            return whole.translate(cleared) if name == "shape" else whole

        return Packed(len(rest), column, kind=rest.kind, codes=rest.codes, item_id=rest.item_id)

    def repacked(self, item_id: MakeId | None) -> Packed:
        """Return the same entries, with item ids stored that are not as ``item_id`` makes them."""
        return _in_order(self.values(), self.kind, (), item_id)

    def whole(self, name: str) -> bytes:
        """Return a column, kept only where it was needed before."""
        if name in self._columns:
            return bytes(self._columns[name])
        return _to_bytes(self._times[name]) if name in self._times else self._column(name)

    # --- within -----------------------------------------------------------------------------------------------------

    def _spot(self, key: str) -> tuple[int, bool]:
        """Return where a key stands, or would; and whether it does."""
        raw = _raw(key)
        place = bisect_left(range(self._size), raw, key=lambda place: self._piece("key", place))
        return place, place < self._size and self._piece("key", place) == raw

    def _merged(self, changes: Mapping[str, Entry | None]) -> Iterator[Entry]:
        """Yield the entries as `changed` returns them."""
        at = 0
        for key in sorted(changes):
            place, there = self._spot(key)
            yield from map(self.at, range(at, place))
            if (entry := changes[key]) is not None:
                yield entry
            at = place + there
        yield from map(self.at, range(at, self._size))

    def _piece(self, name: str, index: int) -> bytes:
        starts = self._starts[name]
        piece: bytes = self._columns[name][starts[index] : starts[index + 1] - 1]
        return piece

    def _block(self, name: str, start: int, stop: int) -> bytes:
        """Return the texts from one place to before another, each with its end."""
        starts = self._starts[name]
        block: bytes = self._columns[name][starts[start] : starts[min(stop, self._size)]]
        return block

    def _values(self, name: str, start: int, stop: int) -> list[bytes]:
        return self._block(name, start, stop).split(_END)[:-1]

    def _account_keys(self, name: str, start: int, stop: int) -> list[str]:
        block = self._block(name, start, stop)
        if _ESCAPE in block:
            return [account_key(_text(value)) for value in block.split(_END)[:-1]]
        return [value.strip() for value in block.decode().casefold().split("\x00")[:-1]]

    def _equal(self, name: str, wanted: set[bytes]) -> Iterator[int]:
        for start in range(0, self._size, _BLOCK) if wanted else ():
            values = self._values(name, start, start + _BLOCK)
            if not wanted.isdisjoint(values):
                yield from (place for place, value in enumerate(values, start) if value in wanted)

    def _with_raw_users(self, wanted: set[bytes]) -> Iterator[int]:
        users = self._columns["user"]
        for start in range(0, self._size, _BLOCK) if wanted else ():
            found = _digests(users, start, min(start + _BLOCK, self._size))
            if not wanted.isdisjoint(found):
                yield from (place for place, user in enumerate(found, start) if user in wanted)

    @cached_property
    def _cells(self) -> bytearray:
        """Everybody's common fields without their mark, one person's after another's."""
        width = self.kind.width
        cells = bytearray(self._size * width)
        for place, name in enumerate(_field_names(self.kind)):
            cells[place::width] = self._column(name)
        return cells

    def _having(self, bit: int) -> int:
        shape = self._columns["shape"]
        return sum(shape.count(each) for each in range(256) if each & bit)

    def _kind_with(self, changes: Mapping[str, Entry | None], replaced: Collection[int]) -> Kind:
        """Return the kind of fields that most entries have when the changes have been put in their place."""
        kinds = Counter(kind_of(entry.fields) for entry in changes.values() if entry is not None)
        kinds[self.kind] += self._having(_FIELDS) - sum(
            bool(self._columns["shape"][place] & _FIELDS) for place in replaced
        )
        if 2 * kinds[self.kind] < kinds.total() + self._having(_ODD_FIELDS):
            odd = self._columns["shape"].translate(bytes(bool(each & _ODD_FIELDS) for each in range(256)))
            kinds.update(kind_of(self.at(place).fields) for place in _places(odd, 1) if place not in replaced)
        best = _commonest(kinds)
        return best if kinds[best] > kinds[self.kind] else self.kind


class _Values(ValuesView[Entry]):
    def __init__(self, packed: Packed) -> None:
        super().__init__(packed)
        self._packed = packed

    def __iter__(self) -> Iterator[Entry]:
        return map(self._packed._made, range(len(self._packed)))  # noqa: SLF001 - its view


class _Items(ItemsView[str, Entry]):
    def __init__(self, packed: Packed) -> None:
        super().__init__(packed)
        self._packed = packed

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return ((entry.key, entry) for entry in self._packed.values())


def pack(entries: Iterable[Entry], *, item_id: MakeId | None = None) -> Packed:
    """Return entries of different keys, in any order, as columns.

    ``item_id`` makes an item id of key and UPN; it need not be stored where it is that.
    """
    order = sorted(entries, key=lambda entry: entry.key)
    kind = _commonest(Counter(kind_of(entry.fields) for entry in order if entry.fields))
    return _in_order(order, kind, (), item_id)


def column_names(kind: Kind) -> list[str]:
    """Return the names of all columns, those that an ordinary night needs first."""
    return [*_WIDTHS, *_field_names(kind), *_TEXTS]


def kind_of(fields: bytes) -> Kind:
    """Return what somebody's fields have in common with those of others under the same mapping."""
    from connector.core.mapping.person import KIND

    return Kind(fields[:KIND], len(fields) - KIND) if len(fields) >= KIND else Kind()


def _commonest(kinds: Mapping[Kind, int]) -> Kind:
    return max(sorted(kinds.keys() - {Kind()}), key=kinds.__getitem__, default=Kind())


def _field_names(kind: Kind) -> list[str]:
    return [f"field{place}" for place in range(kind.width)]


def _in_order(entries: Iterable[Entry], kind: Kind, codes: Iterable[str], item_id: MakeId | None) -> Packed:
    """Pack entries that come in the order of their keys; ``codes`` are those whose numbers are taken."""
    rows = _Rows(kind, codes, item_id)
    for entry in entries:
        rows.add(entry)
    columns = {name: bytes(column) for name, column in rows.columns.items()}
    return Packed(len(columns["shape"]), columns.__getitem__, kind=kind, codes=tuple(rows.codes), item_id=item_id)


class _Rows:
    """Columns in the making."""

    def __init__(self, kind: Kind, codes: Iterable[str], item_id: MakeId | None) -> None:
        self.columns = {name: bytearray() for name in column_names(kind)}
        self.codes = {code: number for number, code in enumerate(dict.fromkeys(("", *codes)))}
        self._kind = kind
        self._item_id = item_id
        self._fields = [self.columns[name] for name in _field_names(kind)]
        self._blank = bytes(kind.width)

    def add(self, entry: Entry) -> None:
        """Add an entry behind those of smaller keys."""
        columns = self.columns
        odd: dict[str, Any] = {}
        apart = entry.key.startswith(FORMER) or is_referred(entry.key)
        shape = self._user(entry, odd) | self._digests(entry, odd) | self._cells(entry, odd)
        shape |= _HELD if entry.held else 0
        made = self._item_id is not None and self._item_id(entry.key, entry.upn) == entry.item_id
        shape |= _MADE if made else 0
        waits = self._numbers(entry, odd)
        plain = entry.state == "sent" and shape & _WHOLE == _WHOLE and not (waits or odd or apart)
        shape |= _ODD if odd.keys() - {"fields"} else 0
        columns["plain"].append(plain)
        columns["shape"].append(shape)
        columns["state"].append(_STATES.index(entry.state) | (_APART if apart else 0))
        columns["key"] += _raw(entry.key) + _END
        columns["upn"] += _raw(entry.upn) + _END
        columns["references"] += b"".join(_raw(each) + _NEXT for each in entry.references) + _END
        columns["asked"] += _raw(entry.asked) + _END
        columns["item_id"] += _END if made else _raw(entry.item_id) + _END
        columns["odd"] += orjson.dumps(odd) + _END if odd else _END

    def _user(self, entry: Entry, odd: dict[str, Any]) -> int:
        raw = raw_guid(entry.user_id)
        self.columns["user"] += raw or _NOTHING
        if entry.user_id and not raw:
            odd["user_id"] = entry.user_id
        return _USER if raw else 0

    def _digests(self, entry: Entry, odd: dict[str, Any]) -> int:
        shape = 0
        for name, bit in _DIGESTS.items():
            digest: bytes = getattr(entry, name)
            fits = len(digest) == DIGEST
            self.columns[name] += digest if fits else _NOTHING
            if fits:
                shape |= bit
            elif digest:
                odd[name] = base64.b64encode(digest).decode()
        return shape

    def _cells(self, entry: Entry, odd: dict[str, Any]) -> int:
        fits = bool(self._kind.mark) and entry.fields[: len(self._kind.mark)] == self._kind.mark
        cells = entry.fields[len(self._kind.mark) :] if fits else self._blank
        fits = fits and len(cells) == self._kind.width
        for column, cell in zip(self._fields, cells if fits else self._blank, strict=True):
            column.append(cell)
        if fits:
            return _FIELDS
        if entry.fields:
            odd["fields"] = base64.b64encode(entry.fields).decode()
        return _ODD_FIELDS if entry.fields else 0

    def _numbers(self, entry: Entry, odd: dict[str, Any]) -> bool:
        """Add what is counted and when what was; tell whether anything but two of the times is not 0."""
        columns = self.columns
        for name in ("absent", "failures", *_TIMES):
            number: int = getattr(entry, name)
            size = _WIDTHS[name]
            fits = 0 <= number <= (_MOST if size == 1 else _LAST)
            columns[name] += (number if fits else 0).to_bytes(size, "little")
            if not fits:
                odd[name] = number
        if len(self.codes) <= _MOST:
            self.codes.setdefault(entry.code, len(self.codes))
        columns["code"].append(self.codes.get(entry.code, 0))
        if entry.code not in self.codes:
            odd["code"] = entry.code
        return bool(entry.absent or entry.failures or entry.retry_at or entry.code)


def _with(entry: Entry, odd: dict[str, Any]) -> Entry:
    """Return an entry with what is odd about it."""
    digests = {name: base64.b64decode(odd[name]) for name in (*_DIGESTS, "fields") if name in odd}
    return replace(entry, **{**odd, **digests})


def _spliced(name: str, old: tuple[bytes, int], new: tuple[bytes, int], runs: Iterable[tuple[bool, int, int]]) -> bytes:
    """Return a column made of stretches of an old and of a new one."""
    columns = memoryview(old[0]), memoryview(new[0])
    if name in _TEXTS:
        starts = _starts(*old), _starts(*new)
        return b"".join(columns[is_new][starts[is_new][start] : starts[is_new][stop]] for is_new, start, stop in runs)
    width = _WIDTHS.get(name, 1)
    return b"".join(columns[is_new][start * width : stop * width] for is_new, start, stop in runs)


def _starts(column: bytes, size: int) -> Sequence[int]:
    """Return where each of the texts in a column begins, and where the last one ends."""
    if len(column) == size:
        return range(size + 1)  # nothing but ends
    starts = array("I", (0,))
    at = 0
    while at < len(column):
        stop = column.find(_END, min(at + (1 << 16), len(column) - 1)) + 1
        lengths = map(len, column[at : stop - 1].split(_END))
        starts.extend(map(add, accumulate(lengths), count(at + 1)))
        at = stop
    return starts


def _integers(column: bytes) -> array[int]:
    numbers = array("I", column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _to_bytes(numbers: array[int]) -> bytes:
    return b"".join(each.to_bytes(4, "little") for each in numbers) if sys.byteorder == "big" else numbers.tobytes()


def _places(marks: bytes, mark: int) -> Iterator[int]:
    """Yield where this byte stands."""
    place = marks.find(mark)
    while place >= 0:
        yield place
        place = marks.find(mark, place + 1)


def _both(one: bytes, other: bytes) -> bytes:
    """Return where both of two rows of marks, each 0 or 1, have one."""
    return (int.from_bytes(one, "little") & int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _digests(column: bytes, start: int, stop: int) -> Sequence[bytes]:
    if stop - start == _BLOCK:
        return _BLOCK_OF_DIGESTS.unpack_from(column, start * DIGEST)
    return [column[place * DIGEST : place * DIGEST + DIGEST] for place in range(start, stop)]


def raw_guid(text: str) -> bytes:
    """Return the 16 bytes of an object id, none of what is not one in the spelling that Graph has for it."""
    return bytes.fromhex(text.replace("-", "")) if _GUID.fullmatch(text) else b""


def _guid(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _raw(text: str) -> bytes:
    """Return a text as it stands in a column, without its end; raw texts have the order of texts."""
    raw = text.encode()
    if _END in raw or _ESCAPE in raw or _NEXT in raw:
        raw = raw.replace(_ESCAPE, b"\x01\x04").replace(_END, b"\x01\x03").replace(_NEXT, b"\x01\x05")
    return raw


def _text(raw: bytes) -> str:
    if _ESCAPE in raw:
        raw = raw.replace(b"\x01\x05", _NEXT).replace(b"\x01\x03", _END).replace(b"\x01\x04", _ESCAPE)
    return raw.decode()


def _several(raw: bytes) -> tuple[str, ...]:
    return tuple(map(_text, raw.split(_NEXT)[:-1])) if raw else ()
