"""Every place at which the process of a night can die, and what may be left over when the next one is done."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Final, NamedTuple

from connector.core.plan import Upsert
from tests.flows.world import CONNECTION, KILLED, World
from tests.tenant.graph.faults import Kill

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

EXHAUSTIVE: Final = os.environ.get("EXHAUSTIVE", "") not in {"", "0"}
"""Every case of the long tests is tried, instead of some of each kind (``make exhaustive``)."""

CONTAINERS: Final = ("exports", "state", "reports", "quarantine")


class Death(NamedTuple):
    """Where the process of a night dies: at which request to which place, before or after it takes effect.

    ``kind`` says what the request does.
    """

    place: str
    position: int
    after_effect: bool
    kind: str

    def __str__(self) -> str:
        """Return what a failing test shows."""
        return f"{self.place} {self.position} ({self.kind}), {'after' if self.after_effect else 'before'}"


def begun(world: World) -> dict[str, int]:
    """Return how many requests each place has seen."""
    counts = {name: len(getattr(world.containers, name).seen) for name in CONTAINERS}
    return {**counts, "graph": len(world.graph.requests)}


async def a_tick(world: World) -> object:
    """Be the process that the timer starts."""
    return await world.tick()


async def deaths(world: World, process: Callable[[World], Awaitable[object]] = a_tick) -> list[Death]:
    """Return every place at which the next ``process`` can die. The world stays as it is."""
    twin = deepcopy(world)
    before = begun(twin)
    await process(twin)
    return list(_since(twin, before))


def _since(world: World, before: dict[str, int]) -> Iterator[Death]:
    for place in CONTAINERS:
        for position, seen in enumerate(getattr(world.containers, place).seen[before[place] :]):
            for after_effect in (False, True):
                yield Death(place, position, after_effect, _kind(place, seen))
    for position, request in enumerate(world.graph.requests[before["graph"] :]):
        for after_effect in (False, True):
            yield Death("graph", position, after_effect, f"{request.method} {request.path.split('/')[1]}")


def _kind(place: str, seen: str) -> str:
    """Return what a request to storage does, without the names of connections, runs and files."""
    operation, _, name = seen.partition(" ")
    if place != "state":
        return f"{operation} {place} {name.rpartition('.')[2]}"
    name = name.removeprefix(f"{CONNECTION}/")
    return f"{operation} {re.sub(r'/[^/]*[0-9][^/]*', '', name)}"


def let_it_die(world: World, death: Death) -> None:
    """Let the next process die there."""
    if death.place == "graph":
        world.graph.fault(len(world.graph.requests) + death.position, Kill(effect=death.after_effect))
    else:
        blobs = getattr(world.containers, death.place)
        blobs.kill(blobs.requests + death.position + 1, after_effect=death.after_effect)


def nobody_dies_any_more(world: World) -> None:
    """Forget every death and fault that has not happened yet."""
    world.graph.clear_faults()
    for name in CONTAINERS:
        getattr(world.containers, name).mend()


async def die_once(world: World, death: Death, process: Callable[[World], Awaitable[object]] = a_tick) -> Counter[str]:
    """Let one process die there; return the items that were announced by then and have no recorded outcome."""
    let_it_die(world, death)
    with suppress(*KILLED):
        await process(world)
    nobody_dies_any_more(world)
    return await in_doubt(world)


async def in_doubt(world: World) -> Counter[str]:
    """Return the items that the unfinished run has announced and of which no outcome is recorded.

    Where ids follow UPNs, whoever it renames has two items until the former one is cleared up; if they get their former
    name back meanwhile, that item is sent once more.
    """
    run = (await world.head()).run
    if run is None:
        return Counter()
    plan, _ = await world.state.plan(run.id)
    progress = await world.state.progress(run.id, run.epochs)
    announced = [plan.actions[index] for index in progress.announced - progress.outcomes.keys()]
    former = {action.moved for action in plan.actions if isinstance(action, Upsert) and action.moved}
    in_doubt = (action.after.item_id if isinstance(action, Upsert) else action.entry.item_id for action in announced)
    return Counter({*former, *in_doubt})


def needless(world: World, since: int) -> list[str]:
    """Return the items that were written since then without becoming others."""
    return [write.item_id for write in world.served[since:] if not write.changed]


async def is_at_rest(world: World) -> bool:
    """Tell whether no run is unfinished, nothing is left of one, and nobody holds the lease."""
    head = await world.head()
    names = world.blobs("state")
    nothing_left = await world.state.leftovers(head) == [] and not any("/requests/" in name for name in names)
    return head.run is None and nothing_left and not await world.state.is_running()
