"""People about whom nothing need be decided: their row is as it was taken last, and so is all it leads to.

Of a hundred thousand people, a night changes a few hundred. So that the others cost little more than reading their row,
they are never made into objects: a row whose digest the ledger knows is noted by its number, and that is all. Whoever
might be concerned by what changed about somebody else is *woken*: their row is read after all. Waking somebody for
nothing costs a few microseconds; what must never happen is that somebody sleeps on who would have come out otherwise.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from connector.core.accounts import account_key, is_referred, referred_key
from connector.core.mapping import CELLS_DIGEST, SEPARATOR, Fill, Person, cells_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from connector.core.ledger import Entry
    from connector.core.mapping import BoundMapping, Rejection
    from connector.core.packed import Packed

_ROW_BITS: Final = 40
"""A place is the number of a file, shifted so far, and the number of a row, which counts from 1."""
_ROW: Final = (1 << _ROW_BITS) - 1


@dataclass(frozen=True, slots=True)
class Remembered:
    """What rows are held to: a ledger's entries. Whose account was confirmed by ``due`` (unix seconds) is looked up."""

    entries: Packed
    due: int


class Recognition:
    """Notes whose rows are recognised while files are read.

    ``places``: where each entry's row stands, 0 while it has not been seen.
    """

    def __init__(self, remembered: Remembered) -> None:
        self.entries = remembered.entries
        self.places = array("Q", bytes(8 * len(self.entries)))
        self.last = 0
        self.turn: int | None = None
        self.dormant = _dormant(remembered)
        digests = struct.iter_unpack(f"{CELLS_DIGEST}s{16 - CELLS_DIGEST}x", self.entries.sources)
        if self.dormant.count(1) == len(self.dormant):
            self._index = {digest: index for index, (digest,) in enumerate(digests)}
        else:
            dormant = self.dormant
            self._index = {digest: index for index, (digest,) in enumerate(digests) if dormant[index]}

    def of(self, bound: BoundMapping, file: int) -> Callable[[list[str], int], bool]:
        """Return what recognises the rows of a file, by its number among all.

        ``last`` is the number of the last such row then, and ``turn`` the next day (its ordinal) on which one of them
        ceases to count.
        """
        pop, places, pick, salt = self._index.pop, self.places, bound.pick, bound.salt
        base = file << _ROW_BITS
        self.last, self.turn = 0, None

        def recognise(cells: list[str], number: int) -> bool:
            try:
                picked = pick(cells)
                text = SEPARATOR.join(picked)
                index = pop(cells_digest(text.encode(), salt), None)
                if index is None:
                    stripped = SEPARATOR.join([cell.strip() for cell in picked])
                    index = pop(cells_digest(stripped.encode(), salt), None) if stripped != text else None
            except UnicodeEncodeError:
                return False
            if index is None:
                return False
            places[index] = base | number
            self.last = number
            return True

        def recognise_today(cells: list[str], number: int) -> bool:
            if not (bound.counts_today(cells) and recognise(cells, number)):
                return False
            for turn in bound.turns(cells):
                self.turn = min(turn, self.turn or turn)
            return True

        return recognise if bound.days is None else recognise_today

    def unaltered(self, rows: Collection[Person | Rejection], *, complete: bool) -> Unaltered:
        """Return who is left alone when these rows, the others of the files, are decided about.

        ``complete``: whoever is not in the files is absent, and so decided about.
        """
        self._index = {}
        quiet = bytes(map(bool, self.places)) if complete else self.dormant
        found = Unaltered(self.entries, quiet, self.places)
        return found.without(found.concerned(rows))


def _dormant(remembered: Remembered) -> bytes:
    """Return a byte per entry: 1 of those about whom the ledger itself gives no reason to decide."""
    plain, resolved = remembered.entries.plain, remembered.entries.resolved
    if not resolved or min(resolved) > remembered.due:
        return plain
    return bytes([known and moment > remembered.due for known, moment in zip(plain, resolved, strict=True)])


@dataclass(frozen=True)
class Unaltered:
    """Those who are left alone, among the entries of a ledger.

    ``quiet`` has a byte per entry, 1 of those; ``places`` is where the row of each stands that was recognised. Of a
    partial export, whoever it does not speak of is quiet and has no place.
    """

    entries: Packed
    quiet: bytes
    places: array[int]

    @property
    def all(self) -> int:
        """How many they are."""
        return self.quiet.count(1)

    @cached_property
    def seen(self) -> bytes:
        """A byte per entry, 1 of those who are left alone and in the files."""
        return bytes([quiet and place > 0 for quiet, place in zip(self.quiet, self.places, strict=True)])

    @cached_property
    def rows(self) -> int:
        """How many of them are in the files."""
        return self.seen.count(1)

    def attended(self) -> Iterator[Entry]:
        """Yield the entries of everybody else."""
        at = -1
        while (at := self.quiet.find(0, at + 1)) >= 0:
            yield self.entries.at(at)

    def find(self, keys: Collection[str]) -> frozenset[int]:
        """Return the indices of those of these people who are left alone."""
        return frozenset(index for index in self.entries.with_keys(keys) if self.quiet[index])

    def with_users(self, users: Collection[str]) -> frozenset[int]:
        """Return the indices of those who are left alone and have one of these Entra users (object ids)."""
        return (
            frozenset(index for index in self.entries.with_users(users) if self.quiet[index]) if users else frozenset()
        )

    def fill(self, columns: Sequence[str]) -> Fill:
        """Return how filled the mapping's columns are among those of them who are in the files."""
        seen = self.seen
        _, blanks = self.entries.blanks(seen)
        people = seen.count(1)
        return Fill(people, {column: people - blank for column, blank in zip(columns, blanks, strict=True)})

    def place(self, index: int) -> tuple[int, int] | None:
        """Return in which file and row somebody stands; None when in none."""
        place = self.places[index]
        return (place >> _ROW_BITS, place & _ROW) if place else None

    def without(self, woken: Iterable[int]) -> Unaltered:
        """Return those who are left alone when these indices are not."""
        quiet = bytearray(self.quiet)
        for index in woken:
            quiet[index] = 0
        return replace(self, quiet=bytes(quiet))

    def concerned(self, rows: Collection[Person | Rejection]) -> frozenset[int]:
        """Return the indices of those who may come out otherwise because of these rows, and of whom nobody sees.

        They have the key, the ask or the Entra user of somebody who is decided about, refer to such a person, or are
        above somebody in the line of managers whose own manager may have changed, which might make it a loop.
        """
        keys = {row.key for row in rows if row.key}
        asks = {account_key(row.account) for row in rows if isinstance(row, Person)}
        prefix = referred_key("")
        for row in rows:
            if isinstance(row, Person):
                asks |= {other.removeprefix(prefix) for other in row.references if is_referred(other)}
        concerned = set(self.entries.with_keys(keys))
        users = set()
        for entry in self.attended():
            keys.add(entry.key)
            users.add(entry.user_id)
        asks.discard("")
        users.discard("")
        if keys:
            concerned |= {*self.entries.referring_to(keys), *self.entries.asking(asks), *self.entries.with_users(users)}
        quiet = self.quiet
        found = {index for index in concerned if quiet[index]}
        return frozenset(found | self._above(rows, found))

    def _above(self, rows: Iterable[Person | Rejection], woken: Collection[int]) -> set[int]:
        """Return whom the lines of managers lead to that may have changed: a loop is a line that ends in itself."""
        people = [row for row in rows if isinstance(row, Person) and row.references and not row.leaver]
        owners = {account_key(person.account): person.key for person in people}
        for index in woken:
            entry = self.entries.at(index)
            owners.setdefault(account_key(entry.asked or entry.upn), entry.key)
        first: dict[str, set[str]] = {}
        for person in people:
            reference = person.references[0]
            if is_referred(reference):
                reference = owners.get(reference.removeprefix(referred_key("")), reference)
            first.setdefault(person.key, set()).add(reference)
        before = {entry.key: entry for entry in map(self.entries.at, self.entries.with_keys(first.keys()))}
        ahead = {
            reference
            for key, references in first.items()
            for reference in references
            if key not in before or not _leads_to(before[key], reference)
        }
        found: set[int] = set()
        met: set[str] = {""}
        while ahead := ahead - met:
            met |= ahead
            indices = {*self.entries.with_keys(ahead)}
            found |= {index for index in indices if self.quiet[index]}
            ahead = {other for key in ahead for other in first.get(key, ())}
            ahead |= {other for index in indices for other in self.entries.at(index).references[:1]}
        return found


def _leads_to(entry: Entry, reference: str) -> bool:
    """Tell whether somebody was sent with this reference, and without anything to say about it."""
    return entry.references[:1] == (reference,) and entry.state == "sent" and not entry.code
