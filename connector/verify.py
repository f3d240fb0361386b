"""Asking Graph for items that it took from us, and comparing them with what was sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from connector.core.readback import ReadBack, differences
from connector.errors import CredentialError, GraphDenied, GraphError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from connector.core.ledger import Entry

OUT_OF_TIME: Final = "out_of_time"
FAILURES: Final = 3
"""So many items that Graph does not answer for mean that it is not the items: the rest is left for another run."""


class Items(Protocol):
    """What this module asks of Graph."""

    async def get(self, item_id: str) -> Mapping[str, Any] | None:
        """Return an item, or None."""
        ...


async def read_back(
    entries: Sequence[Entry],
    bodies: Mapping[str, bytes],
    *,
    items: Items,
    schema: Collection[str],
    concurrency: int,
) -> list[ReadBack]:
    """Return what Graph has of these people's items, in their order, as far as it could be asked.

    ``bodies``: what was sent, by key, of those of whom it is known; of others only whether an item is there.
    ``schema``: the names of the registered properties. Nothing that goes wrong here is an error: no run fails for
    having looked.
    """
    gate = asyncio.Semaphore(concurrency)
    failures = 0

    async def ask(entry: Entry) -> ReadBack | None:
        nonlocal failures
        async with gate:
            if failures >= FAILURES:
                return None
            try:
                item = await items.get(entry.item_id)
            except (GraphDenied, CredentialError):
                failures = FAILURES
                return None
            except GraphError as error:
                failures = FAILURES if error.code == OUT_OF_TIME else failures + 1
                return None if error.code == OUT_OF_TIME else ReadBack(entry, "unread")
        if item is None:
            return ReadBack(entry, "vanished")
        if entry.key not in bodies:
            return ReadBack(entry, "there")
        properties = differences(bodies[entry.key], item, schema=schema)
        return ReadBack(entry, "changed" if properties else "same", properties)

    return [found for found in await asyncio.gather(*map(ask, entries)) if found is not None]
