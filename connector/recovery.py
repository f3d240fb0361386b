"""Where our memory is lost: what is left of it is taken up, and the rest is begun anew when somebody asks for it.

Graph has no operation to list items, so nobody can say who else has one. Whoever is in the export is sent again; who is
not known is never deleted; and reports tell what was lost, until a run has gone through everybody (`Head.lost`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from connector.core.head import Head, Lost
from connector.core.ledger import unsure
from connector.core.plan import Progress, fold
from connector.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from connector.core.ledger import Ledger
    from connector.core.plan import Plan
    from connector.storage.state import State

T = TypeVar("T")


async def begin_anew(state: State, head: Head, empty: Ledger) -> Head:
    """Return the head without what cannot be read: the ledger it names, the plan or the journals of its unfinished run.

    What can be read stays: a ledger that is there is not forgotten by a slip of the operator's, and what the unfinished
    run has sent is known by its plan. ``empty`` is a ledger of the connection without entries.

    Raises:
        StoreError: storage is away, or cannot be written; or another release wrote the ledger.
    """
    run = head.run
    ledger = await _if_readable(state.ledger(head.generation)) if head.generation else empty
    told = run is None or await _if_readable(_told(state, run.id, run.epochs)) is not None
    if ledger is not None and told:
        return head
    lost = head.lost or Lost()
    if ledger is None:
        ledger, lost = empty, replace(lost, items=lost.items + head.held_items)
        # It was planned with the ledger that is lost: what it did counts, and the rest is planned again.
        head = replace(head, run=run and replace(run, circumstances=""), held=None, held_items=0, people=0)
    if run is not None and not told:
        ledger, lost = unsure(ledger), replace(lost, run=run.id)
        head = replace(head, run=None)
    ledger = await state.save_ledger(replace(ledger, generation=head.generation + 1))
    return replace(head, generation=ledger.generation, lost=lost)


async def take_up(state: State, empty: Ledger, *, now: int) -> Head | None:
    """Return a head in place of one that is lost, made of the newest ledger and what runs have left; None: of nothing.

    That ledger was true when it was written. What a run has done since is in doubt, as far as its journals tell, and
    what items say is not known. ``empty`` is a ledger of the connection without entries, ``now`` unix seconds.

    Raises:
        StoreError: storage is away, or cannot be written; or another release wrote the ledger.
    """
    newest, runs = await state.newest_ledger(), await state.runs()
    ledger = await _if_readable(state.ledger(newest)) if newest else empty
    if ledger is None:
        return Head(generation=newest, lost=Lost(head=True))
    if not ledger.is_of_the_same(empty):
        ledger = empty
    if not (ledger.generation or runs):
        return None
    lost = Lost(head=True)
    for run, epochs in runs:
        told = await _if_readable(_told(state, run, epochs))
        if told is None:
            lost = replace(lost, run=run)
        else:
            plan, progress = told
            begun = Progress(progress.announced | progress.outcomes.keys())
            ledger = fold(ledger, plan, begun, now=now, whole=False)
    ledger = await state.save_ledger(replace(unsure(ledger), generation=newest + 1))
    return Head(generation=ledger.generation, held_items=ledger.held, people=ledger.people, lost=lost)


async def _told(state: State, run: str, epochs: Sequence[int]) -> tuple[Plan, Progress]:
    plan, _ = await state.plan(run)
    return plan, await state.progress(run, epochs)


async def _if_readable(reading: Awaitable[T]) -> T | None:
    """Return what is read; None when it is lost or damaged.

    Storage that is away has lost nothing, and neither has another release that wrote in its own format.
    """
    try:
        return await reading
    except StoreUnavailable:
        raise
    except StoreError as error:
        if error.code == "ledger_format":
            raise
        return None
