"""A small world, every pair of exports, and every request to Graph and to storage at which a process can die.

``make exhaustive`` tries every death with every pair. Otherwise every death of a night is tried with one of the exports
that may come after it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from tests.flows.deaths import CONTAINERS, EXHAUSTIVE, Death, deaths, die_once, is_at_rest, needless
from tests.flows.world import DAY, Row, World, a_person, a_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BOSS = a_person("E1", title="Director")
MOVER = a_person("E2", manager="E1")
LEAVER = a_person("E3", manager="E1")
CLERK = a_person("E4", manager="E2")
JOINER = a_person("E5", manager="E2")
FIRST = [BOSS, MOVER, LEAVER, CLERK]

CHANGED = [BOSS, MOVER | {"JobTitle": "Chief"}, CLERK | {"HireDate": "soon"}, JOINER]
"""A mover, a leaver by absence, a rejected row, a joiner."""
CHANGED_MORE = [
    BOSS | {"JobTitle": "President"},
    LEAVER,
    CLERK | {"JobTitle": "Cook"},
    a_person("E6", manager="E5"),
]
"""Against the export before: the leaver is back, the mover and the joiner are gone, and there is another joiner."""
RENAMED = [
    BOSS | {"UserPrincipalName": "chief@contoso.com", "Email": "chief@contoso.com"},
    MOVER | {"Status": "Left"},
    LEAVER | {"HireDate": "soon", "ManagerId": ""},
    CLERK | {"ManagerId": "E1"},
    JOINER | {"ManagerId": "E1"},
]
"""A manager with a new UPN, a leaver by status, whose report has another manager; a rejected row, a joiner."""
MENDED = [CLERK | {"JobTitle": "Baker", "_error_code": "bad_date"}, JOINER | {"_error_code": ""}]
"""A correction of two rows: nobody else is absent."""

NIGHTS: dict[str, list[Row]] = {"changed": CHANGED, "changed more": CHANGED_MORE, "renamed": RENAMED}
"""What HR dropped before the process that dies."""
LATER: dict[str, list[Row] | None] = {
    "nothing": None,
    "the first": FIRST,
    "changed": CHANGED,
    "changed more": CHANGED_MORE,
    "renamed": RENAMED,
    "mended": MENDED,
}
"""What HR drops before the next one."""
PAIRS = [(night, later) for night in NIGHTS for later in LATER if night != later]


async def before(night: str, **settings: object) -> World:
    """Return a world after the first night, in which HR has just dropped the next export."""
    world = await a_world(**{"LEAVER_GRACE_EXPORTS": 0, **settings})
    await world.night(FIRST)
    world.wait(DAY)
    await hr_drops(world, NIGHTS[night])
    return world


async def hr_drops(world: World, rows: Sequence[Row] | None) -> None:
    """Let HR drop an export, if it does."""
    if rows:
        world.follow(rows)
        await world.drop(f"people-{world.clock.now():%Y-%m-%d-%H%M}.csv", rows)


async def as_hr_says(world: World, later: str) -> list[dict[str, Any]]:
    """Return what Graph holds when nobody dies: all goes well twice, or the later export is the only one."""
    both, one = deepcopy(world), deepcopy(world)
    await both.settle()
    await hr_drops(both, LATER[later])
    await both.settle()
    if later not in {"nothing", "mended"}:
        await one.containers.exports.delete(max(one.blobs("exports")))
    await hr_drops(one, LATER[later])
    await one.settle()
    return [dict(both.graph.items), dict(one.graph.items)]


async def is_survived(world: World, doubts: Counter[str], later: str, wanted: list[dict[str, Any]], since: int) -> None:
    """Let HR drop the later export and the next processes work: Graph is as HR says, and nothing is left over.

    ``doubts`` are the items in doubt after the deaths, who may be written once more.
    """
    await hr_drops(world, LATER[later])

    await world.settle()

    items = world.graph.items
    for item_id in {*items, *wanted[0], *wanted[1]}:
        # Whose row is rejected keeps what was sent of them last, by whichever run that was.
        assert items.get(item_id) in [each.get(item_id) for each in wanted], item_id
    assert Counter(needless(world, since)) <= doubts
    assert await world.tick() is None
    assert await is_at_rest(world)


def chosen(everything: list[Death], number: int, *, of: int) -> list[Death]:
    """Return the deaths that are tried in this case: all of them, or every so many; the other cases try the rest."""
    return everything if EXHAUSTIVE else everything[number % of :: of]


@pytest.mark.parametrize(("night", "later"), PAIRS)
async def test_a_death_anywhere_is_survived(night: str, later: str, contract: str):
    """Killed at any request, with or without a newer export, the next ticks end as HR says and send nothing twice."""
    for concurrency in (1, 16) if EXHAUSTIVE else (1,):
        world = await before(night, MAX_CONCURRENCY=concurrency)
        wanted = await as_hr_says(world, later)

        for death in chosen(await deaths(world), PAIRS.index((night, later)), of=len(LATER) - 1):
            twin = deepcopy(world)
            doubts = await die_once(twin, death)
            with told(death):
                since = len(twin.served)
                await is_survived(twin, doubts, later, wanted, since)
                # Where ids follow UPNs, the one who was renamed may have got their former name back meanwhile.
                renamed = contract == "preview" and night == "renamed"
                assert len(needless(twin, since)) <= 2 * concurrency + renamed


STAGES = {"sending": "PUT external", "folding": "write ledger"}
"""Where the first of two processes dies, by the kind of its request."""
SECONDS = ["nothing", "the first", "changed more", "mended"]


@pytest.mark.parametrize("later", SECONDS)
@pytest.mark.parametrize("stage", STAGES)
async def test_a_death_of_the_next_process_is_survived(stage: str, later: str):
    """The process that takes over from a dead one dies itself, wherever that is: the third one ends as HR says."""
    world = await before("changed", MAX_CONCURRENCY=1)
    wanted = await as_hr_says(world, later)
    first = [death for death in await deaths(world) if death.kind == STAGES[stage] and death.after_effect][-1]
    doubts = await die_once(world, first)
    since = len(world.served)
    await hr_drops(world, LATER[later])

    case = [*STAGES].index(stage) * len(SECONDS) + SECONDS.index(later)
    for death in chosen(await deaths(world), case, of=len(SECONDS) * len(STAGES)):
        twin = deepcopy(world)
        further = await die_once(twin, death)
        with told(death):
            await is_survived(twin, doubts + further, "nothing", wanted, since)


FEW = 60
"""So many pairs of deaths are tried, unless all are."""


async def test_any_two_deaths_in_a_row_are_survived():
    """Whoever takes over from a dead process may die as well, wherever both of them do: the third ends as HR says."""
    world = await before("changed", MAX_CONCURRENCY=1)
    wanted = await as_hr_says(world, "nothing")
    left: dict[bytes, tuple[Death, World, Counter[str]]] = {}
    for death in await deaths(world):
        twin = deepcopy(world)
        doubts = await die_once(twin, death)
        left.setdefault(what_is_left(twin), (death, twin, doubts))

    pairs = [(first, second) for first in left.values() for second in await deaths(first[1])]
    for (death, twin, doubts), second in pairs if EXHAUSTIVE else pairs[:: len(pairs) // FEW]:
        third = deepcopy(twin)
        further = await die_once(third, second)
        with told(death), told(second):
            await is_survived(third, doubts + further, "nothing", wanted, len(twin.served))


def what_is_left(world: World) -> bytes:
    """Return a digest of all that is stored: what two deaths leave alike, the next process does alike."""
    stored = [world.blobs(name) for name in CONTAINERS]
    return hashlib.sha256(repr((stored, dict(world.graph.items))).encode()).digest()


async def test_no_kind_of_request_is_left_out():
    """Among the places at which processes die is all that a run does: reading, copying, planning, sending, folding."""
    kinds = {death.kind for night in NIGHTS for death in await deaths(await before(night))}

    assert kinds >= {
        *("acquire_lease head.json", "read head.json", "write head.json", "release_lease head.json"),
        *("list exports ", "download_to exports csv", "download_to ledger", "POST $batch", "write quarantine csv"),
        *("write exports", "write runs/plan.jsonl.gz", "create runs", "append runs", "PUT external", "DELETE external"),
        *("write ledger", "write reports json", "list ", "delete runs/plan.jsonl.gz", "write reports html"),
    }


@contextmanager
def told(death: Death) -> Iterator[None]:
    """Let a failure name the death that it is about."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{death}: {error}") from error
