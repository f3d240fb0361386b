"""Asking Graph for items that it took from us: are they there, and as they were sent?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from connector.core.ledger import scattered
from connector.core.plan import IN_DOUBT, Delete, Upsert
from connector.core.readback import ReadBack, differences
from connector.errors import CredentialError, GraphDenied, GraphError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from connector.core.ledger import Entry, Ledger
    from connector.core.plan import Plan, Progress

OUT_OF_TIME: Final = "out_of_time"
CONNECTION_EMPTIED: Final = "connection_emptied"
"""The code of the error that says that somebody took away what we had sent: everyone is sent again."""

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


async def connection_lost(
    plan: Plan,
    ledger: Ledger,
    progress: Progress,
    lost: Collection[int],
    *,
    items: Items,
    connection: str,
    everyone: bool,
) -> GraphError | None:
    """Return an error when Graph's refusals mean that the connection, or what was in it, is gone.

    ``lost`` are the actions that Graph answered with 404. One item that is not there may have been deleted by somebody,
    and one that is refused may be a bad one, so some are asked for that Graph took from us. ``everyone``: the run sends
    all that there is. The error's code is ``connection_missing``, or `CONNECTION_EMPTIED`.
    """
    actions, outcomes = plan.actions, progress.outcomes
    upserts = {index: action.after for index, action in enumerate(actions) if isinstance(action, Upsert)}
    arrived = {entry.item_id: None for index, entry in upserts.items() if outcomes.get(index) == ""}
    unknown = upserts.keys() & set(lost)
    refused = not arrived and any(outcomes.get(index, "") not in {"", IN_DOUBT} for index in upserts)
    if not (lost or refused):
        return None
    gone = {action.entry.item_id for action in actions if isinstance(action, Delete)}
    taken = scattered(ledger, apart=gone)
    if (unknown or (refused and taken)) and await _holds_none((*arrived, *taken), items):
        return GraphError(
            f"Microsoft Graph takes no items for the connection {connection!r}, and has none of those asked for that it"
            " took from us: the connection was deleted, or made anew by somebody else, or does not list the app of"
            " INGEST_CLIENT_ID in authorizedAppIds. Run setup, which mends all three; a new connection is filled with"
            " everyone",
            status=404,
            code="connection_missing",
        )
    if everyone and arrived:
        return None  # everyone who can be sent has just been; who cannot has nothing there, now as before
    others = scattered(ledger, apart=gone | arrived.keys())
    if not unknown and lost and others and await _holds_none(others, items):
        return GraphError(
            "Microsoft Graph holds none of the items asked for that it took from us (HTTP 404): the connection was"
            " emptied, or deleted and made anew by somebody else. The next tick sends everyone again",
            status=404,
            code=CONNECTION_EMPTIED,
        )
    return None


async def _holds_none(item_ids: Sequence[str], items: Items) -> bool:
    """Tell whether Graph has none of some of these items: the first, the last, and the one in the middle."""
    some = dict.fromkeys(item_ids[place] for place in (0, len(item_ids) // 2, -1) if item_ids)
    try:
        for item_id in some:
            if await items.get(item_id) is not None:
                return False
    except (CredentialError, GraphError):
        return False  # nobody can say; the run ends as it would have
    return True
