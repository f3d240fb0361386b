"""From the rows of an input to the bodies of items, as far as they are wanted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.core.contracts import Content
from connector.core.population import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from connector.core.accounts import Known, References
    from connector.core.contracts import Contract
    from connector.core.ledger import Entry
    from connector.core.mapping import Mapping as ColumnMapping
    from connector.core.plan import ItemIds, Population
    from connector.core.population import ExportFile, Kept


@dataclass(frozen=True, slots=True)
class Rendering:
    """What items are made of: rows of files under a mapping, on one day, and whom accounts and references lead to."""

    contract: Contract
    connection: str
    mapping: ColumnMapping
    files: Sequence[ExportFile]
    today: date | None
    population: Population
    known: Mapping[str, Known]
    references: References
    kept: Kept

    def bodies(self, wanted: Mapping[tuple[int, int], tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
        """Yield (key, body of the item) in the files' order; ``wanted``: (key, item id) by (file, row)."""
        rows = rows_of(self.files, self.mapping, wanted.keys(), today=self.today, kept=self.kept)
        for number, row, cells, bound in rows:
            key, item_id = wanted[number, row]
            filled = bound.entities(cells, self.known[key], self.references.of[key])
            yield key, self.contract.item(Content(item_id, self.connection, self.known[key], self.mapping, filled))

    def digests(self, keys: Iterable[str], ids: ItemIds) -> dict[str, bytes]:
        """Return by key what would be sent of these people, as digests."""
        wanted = {self.place(key): (key, ids.of(key, self.known[key].upn)) for key in keys}
        return {key: item_digest(body) for key, body in self.bodies(wanted)}

    def sent(self, entries: Iterable[Entry]) -> dict[str, bytes]:
        """Return by key what Graph took of these people: of those whose row still makes the body that was sent."""
        here = {
            entry.key: entry for entry in entries if entry.key in self.population.people and entry.key in self.known
        }
        wanted = {self.place(key): (key, each.item_id) for key, each in here.items() if key in self.references.of}
        return {key: body for key, body in self.bodies(wanted) if item_digest(body) == here[key].item}

    def place(self, key: str) -> tuple[int, int]:
        """Return where a person's row stands: number of the file, number of the row."""
        return self.population.files.get(key, 0), self.population.people[key].row


def item_digest(body: bytes) -> bytes:
    """Return the digest by which the ledger remembers what Graph accepted."""
    return hashlib.blake2b(body, digest_size=16).digest()
