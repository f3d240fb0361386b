"""A plan carried out against Graph: announced first, bounded, journalled, and stopped in good order."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.apply import FAILED_AT_LEAST, IDENTICAL_FAILURES, OUT_OF_TIME, Applied, apply
from connector.core.plan import IN_DOUBT, TRANSFER_WAITS, Delete, Plan, Progress, Upsert
from connector.errors import (
    ConnectorError,
    GraphDenied,
    GraphError,
    GraphRejected,
    GraphUnavailable,
    LeaseLost,
    StoreUnavailable,
)
from tests.core.people import an_entry
from tests.storage.memory import Killed
from tests.tenant.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def rejected(status: int = 400, code: str = "invalidRequest") -> GraphRejected:
    """Return Graph's refusal of one item."""
    return GraphRejected("Graph refused the item", status=status, code=code)


def unavailable(code: str = "serviceUnavailable") -> GraphUnavailable:
    """Return Graph's answer after all patience."""
    return GraphUnavailable("Graph does not answer", status=503, code=code)


def denied() -> GraphDenied:
    """Return Graph's answer to an identity that lacks something."""
    return GraphDenied("the ingest identity may not write items", status=403)


def item_of(index: int) -> str:
    """Return the item id of the action with this index."""
    return f"u{index}"


def a_plan(upserts: int, deletes: int = 0) -> Plan:
    """Return a plan of so many upserts and deletions; item ids are those of the indices."""
    entries = [an_entry(f"E{index}", item_id=item_of(index)) for index in range(upserts + deletes)]
    puts = [Upsert(entry, row, 0, created=True) for row, entry in enumerate(entries[:upserts], 1)]
    return Plan(actions=(*puts, *(Delete(entry, "left") for entry in entries[upserts:])), changes=())


@dataclass
class MemoryJournal:
    """A journal that knows how many actions are open: announced, and without a recorded outcome."""

    clock: VirtualClock
    seconds: float = 0.0
    fails_at: int = -1
    blocks: int = 0
    announced: set[int] = field(default_factory=set)
    outcomes: dict[int, str] = field(default_factory=dict)
    most_open: int = 0

    async def record(
        self, *, announced: Sequence[int], outcomes: Mapping[int, str], withdrawn: Sequence[int] = ()
    ) -> None:
        await self.clock.sleep(self.seconds)
        self.blocks += 1
        if self.blocks == self.fails_at:
            raise StoreUnavailable("the journal cannot be written")
        self.announced.update(announced)
        self.announced.difference_update(withdrawn)
        self.outcomes.update(outcomes)
        self.most_open = max(self.most_open, len(self.announced - set(self.outcomes)))


@dataclass
class MemoryItems:
    """Graph's items, and what happens to whom: an error by item id, seconds by turn."""

    clock: VirtualClock
    journal: MemoryJournal
    errors: Mapping[str, BaseException] = field(default_factory=dict)
    seconds: Sequence[float] = (1.0,)
    items: dict[str, bytes] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    unannounced: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def put(self, item_id: str, body: bytes) -> None:
        await self._answer(item_id)
        self.items[item_id] = body

    async def delete(self, item_id: str) -> bool:
        await self._answer(item_id)
        self.items.pop(item_id, None)
        return True

    async def _answer(self, item_id: str) -> None:
        if int(item_id[1:]) not in self.journal.announced:
            self.unannounced.append(item_id)
        self.order.append(item_id)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.clock.sleep(self.seconds[len(self.order) % len(self.seconds)])
        except asyncio.CancelledError:
            self.cancelled.append(item_id)
            raise
        finally:
            self.in_flight -= 1
        if item_id in self.errors:
            raise self.errors[item_id]


@dataclass
class Run:
    """One call of `apply` and what it met."""

    plan: Plan
    journal: MemoryJournal
    items: MemoryItems
    rendered: list[int] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)

    def is_late(self) -> bool:
        """Tell whether two seconds are over."""
        return self.items.clock.monotonic() >= 2

    def bodies(self, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Render the wanted upserts, one by one, as they are asked for."""
        for index in indices:
            self.rendered.append(index)
            yield index, f"body of {index}".encode()

    async def apply(
        self,
        *,
        before: Progress | None = None,
        concurrency: int = 4,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Applied:
        """Carry the plan out."""
        return await apply(
            self.plan,
            self.bodies,
            items=self.items,
            journal=self.journal,
            before=before or Progress(),
            concurrency=concurrency,
            stopping=stopping,
            progress=lambda done, of_all: self.told.append((done, of_all)),
        )


def a_run(
    plan: Plan,
    *,
    errors: Mapping[int, BaseException] | None = None,
    seconds: Sequence[float] = (1.0,),
    journal_seconds: float = 0.0,
    journal_fails_at: int = -1,
) -> Run:
    """Return a plan with a journal and a Graph that answers these indices with errors."""
    clock = VirtualClock()
    journal = MemoryJournal(clock, journal_seconds, journal_fails_at)
    by_item = {item_of(index): error for index, error in (errors or {}).items()}
    return Run(plan, journal, MemoryItems(clock, journal, by_item, seconds))


# --- all goes well ---------------------------------------------------------------------------------------------------


async def test_everything_is_done_and_recorded():
    """Every upsert is put with its body, every deletion deleted, every outcome in the journal when it returns."""
    run = a_run(a_plan(upserts=10, deletes=3))
    run.items.items = {item_of(index): b"old" for index in range(13)}

    applied = await run.apply()

    assert run.items.items == {item_of(index): f"body of {index}".encode() for index in range(10)}
    assert run.journal.outcomes == dict.fromkeys(range(13), "")
    assert applied == Applied(Progress(frozenset(range(13)), dict.fromkeys(range(13), "")), finished=True)


async def test_an_empty_plan_is_finished():
    """Without actions nothing is sent and nothing journalled."""
    run = a_run(a_plan(0))

    applied = await run.apply()

    assert applied == Applied(Progress(), finished=True)
    assert run.journal.blocks == 0


@given(
    upserts=st.integers(0, 40),
    deletes=st.integers(0, 10),
    concurrency=st.integers(1, 25),
    seconds=st.lists(st.sampled_from([0.0, 0.1, 1.0, 7.0]), min_size=1, max_size=5),
    journal_seconds=st.sampled_from([0.0, 0.5, 3.0]),
    failing=st.sets(st.integers(0, 49), max_size=10),
)
def test_nothing_is_sent_unannounced_and_little_is_open(
    upserts, deletes, concurrency, seconds, journal_seconds, failing
):
    """However fast Graph and the journal answer: announced before sent, bounded in flight and in doubt, all done."""
    errors: dict[int, BaseException] = {index: rejected(code=f"code{index}") for index in failing}
    run = a_run(a_plan(upserts, deletes), errors=errors, seconds=seconds, journal_seconds=journal_seconds)

    applied = asyncio.run(run.apply(concurrency=concurrency))

    assert applied.finished
    assert run.items.unannounced == []
    assert run.items.most_in_flight <= concurrency
    assert run.journal.most_open <= 2 * concurrency
    assert sorted(run.items.order) == sorted(map(item_of, range(upserts + deletes)))
    assert run.journal.outcomes == {
        index: f"code{index}" if index in failing else "" for index in range(upserts + deletes)
    }
    assert applied.progress.outcomes == run.journal.outcomes


async def test_the_wanted_concurrency_is_reached_and_kept_up():
    """With a journal that is slower than Graph, the workers still do not wait for every block."""
    run = a_run(a_plan(200), seconds=(1.0,), journal_seconds=0.2)

    await run.apply(concurrency=10)

    assert run.items.most_in_flight == 10
    assert run.items.clock.monotonic() < 200 / 10 * 1.0 * 1.7


async def test_the_journal_is_written_in_blocks():
    """Announcements and outcomes travel together; an append for each item would be too many."""
    run = a_run(a_plan(1000), seconds=(1.0,))

    await run.apply(concurrency=16)

    assert run.journal.blocks <= 1000 / 8 + 2


async def test_bodies_are_made_as_they_are_needed():
    """At no moment more bodies are in memory than may be open."""
    run = a_run(a_plan(100))
    ahead = []
    run.items.clock = clock = VirtualClock()

    async def watch() -> None:
        while len(run.items.order) < 100:
            ahead.append(len(run.rendered) - len(run.items.order))
            await clock.sleep(0.5)

    await asyncio.gather(run.apply(concurrency=5), watch())

    assert max(ahead) <= 10


async def test_upserts_come_before_deletions():
    """An account that moved to another key has its new item before the old one goes."""
    run = a_run(a_plan(upserts=9, deletes=9), seconds=(5.0, 0.1, 1.0))

    await run.apply(concurrency=6)

    assert {int(item[1:]) for item in run.items.order[:9]} == set(range(9))


async def test_progress_is_told():
    """A terminal can show how far it is, from what earlier slices did to the end."""
    run = a_run(a_plan(6))

    await run.apply(before=Progress(frozenset({0, 1}), {0: "", 1: ""}))

    assert run.told[-1] == (6, 6)
    assert [done for done, _ in run.told] == sorted(done for done, _ in run.told)
    assert run.told[0][0] >= 2


# --- an earlier slice ------------------------------------------------------------------------------------------------


async def test_what_an_earlier_slice_did_is_not_done_again():
    """What has an outcome is left alone; what is in doubt and what was never announced is done."""
    run = a_run(a_plan(upserts=5, deletes=2))
    before = Progress(frozenset({0, 1, 2}), {0: "", 1: "conflict"})

    applied = await run.apply(before=before)

    assert sorted(run.items.order) == [item_of(index) for index in (2, 3, 4, 5, 6)]
    assert run.rendered == [2, 3, 4]
    assert applied.finished
    assert applied.progress.outcomes == {**dict.fromkeys(range(7), ""), 1: "conflict"}


async def test_a_run_that_an_earlier_slice_finished_does_nothing():
    """Everything has its outcome: no request, no block."""
    run = a_run(a_plan(2))

    applied = await run.apply(before=Progress(frozenset({0, 1}), {0: "", 1: ""}))

    assert applied.finished
    assert (run.items.order, run.journal.blocks) == ([], 0)


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_a_refused_item_is_recorded_and_the_run_goes_on():
    """A 4xx for one item is that item's: its code is the outcome, the others are done."""
    run = a_run(a_plan(upserts=8, deletes=2), errors={3: rejected(), 9: rejected(409, "conflict")})

    applied = await run.apply()

    assert applied.finished
    assert applied.stopped is None
    assert run.journal.outcomes == {**dict.fromkeys(range(10), ""), 3: "invalidRequest", 9: "conflict"}


async def test_an_item_graph_never_answered_for_is_in_doubt():
    """After all patience it is recorded as such: it may have taken effect."""
    run = a_run(a_plan(4), errors={2: unavailable()})

    applied = await run.apply()

    assert applied.finished
    assert run.journal.outcomes[2] == IN_DOUBT


async def test_a_refusal_after_an_attempt_without_answer_is_a_doubt():
    """Graph refused the second attempt; the first may have taken effect all the same."""
    refused = GraphRejected("Graph refused the item", status=409, code="conflict", in_doubt=True)
    run = a_run(a_plan(4), errors={2: refused})

    await run.apply()

    assert run.journal.outcomes[2] == IN_DOUBT


async def test_a_refusal_of_what_an_earlier_slice_announced_is_a_doubt():
    """Nobody knows what became of it then, and that it is refused now tells nothing."""
    run = a_run(a_plan(4), errors={2: rejected(), 3: rejected()})

    await run.apply(before=Progress(frozenset({2}), {}))

    assert run.journal.outcomes == {0: "", 1: "", 2: IN_DOUBT, 3: "invalidRequest"}


async def test_too_many_identical_refusals_in_a_row_stop_the_run():
    """When every item fails alike it is not the items: it stops, and what was not begun is not begun."""
    run = a_run(a_plan(200), errors={index: rejected() for index in range(200)})

    applied = await run.apply(concurrency=1)

    assert isinstance(applied.stopped, GraphError)
    assert applied.stopped.code == "too_many_failed"
    assert "invalidRequest" in applied.stopped.message
    assert len(run.items.order) == IDENTICAL_FAILURES
    assert not applied.finished
    assert len(run.journal.outcomes) == IDENTICAL_FAILURES


@pytest.mark.parametrize(
    "errors",
    [
        {index: rejected() for index in range(IDENTICAL_FAILURES - 1)},
        {index: rejected() for index in range(45) if index % IDENTICAL_FAILURES},
        {index: rejected(code=f"code{index % 2}") for index in range(45)},
    ],
    ids=["one fewer", "a success between", "of two kinds"],
)
async def test_refusals_that_are_not_all_alike_do_not_stop_the_run(errors):
    """A success, or another kind of failure, begins the count anew."""
    run = a_run(a_plan(100), errors=errors)

    applied = await run.apply(concurrency=1)

    assert applied.stopped is None
    assert applied.finished


@pytest.mark.parametrize(
    ("actions", "failures", "stopped"),
    [(60, FAILED_AT_LEAST - 1, False), (60, FAILED_AT_LEAST, True), (1200, 60, False), (1200, 61, True)],
)
async def test_more_than_a_share_of_failed_items_stops_the_run(actions, failures, stopped):
    """More than 5 % of the items, and at least fifty."""
    errors: dict[int, BaseException] = {index: rejected(code=f"code{index % 7}") for index in range(failures)}
    run = a_run(a_plan(actions), errors=errors)

    applied = await run.apply(concurrency=1)

    assert (applied.stopped is not None) is stopped
    assert applied.finished is not stopped or failures == actions
    if applied.stopped is not None:
        assert applied.stopped.code == "too_many_failed"
        assert len(run.items.order) == failures


async def test_failures_of_earlier_slices_count():
    """The share is of the whole run's items, however many slices it takes."""
    before = Progress(frozenset(range(49)), {index: f"code{index % 7}" for index in range(49)})
    run = a_run(a_plan(200), errors={49: rejected()})

    applied = await run.apply(before=before, concurrency=1)

    assert applied.stopped is not None
    assert run.items.order == [item_of(49)]


# --- stops -----------------------------------------------------------------------------------------------------------


async def test_a_denial_stops_the_run_and_what_was_done_is_recorded():
    """401 and 403 are not the item's: nothing more begins, what was under way ends, and the cause is handed on."""
    run = a_run(a_plan(100), errors={10: denied()})

    applied = await run.apply(concurrency=4)

    assert isinstance(applied.stopped, GraphDenied)
    assert not applied.finished
    assert len(run.items.order) < 100
    assert 10 not in applied.progress.outcomes
    assert 10 not in applied.progress.announced
    assert run.journal.outcomes == applied.progress.outcomes
    assert set(run.items.items) == {item_of(index) for index in applied.progress.outcomes}


async def test_a_denial_after_an_attempt_without_answer_stays_announced():
    """The identity lost its role between two attempts: the first of them may have taken effect."""
    lost_role = GraphDenied("the ingest identity may not write items", status=403, in_doubt=True)
    run = a_run(a_plan(100), errors={10: lost_role})

    applied = await run.apply(concurrency=4)

    assert applied.stopped is lost_role
    assert 10 in run.journal.announced - set(run.journal.outcomes)
    assert 10 in applied.progress.announced


async def test_the_doubt_of_an_earlier_slice_is_not_withdrawn():
    """What is announced once more and not sent after all is in doubt as before, denied or out of time."""
    before = Progress(frozenset({2, 3, 5}), {})
    run = a_run(a_plan(20), errors={2: denied()})
    run.journal.announced = {2, 3, 5}

    await run.apply(before=before, concurrency=3)

    assert {2, 3, 5} <= run.journal.announced | set(run.journal.outcomes)
    assert 2 in run.journal.announced - set(run.journal.outcomes)


async def test_a_denied_upsert_lets_no_deletion_begin():
    """When the run stops among the upserts, nobody is deleted."""
    run = a_run(a_plan(upserts=3, deletes=3), errors={2: denied()})

    await run.apply(concurrency=1)

    assert run.items.order == ["u0", "u1", "u2"]


@pytest.mark.parametrize(
    ("error", "deleted", "outcome"),
    [(None, False, ""), (unavailable(), False, TRANSFER_WAITS), (rejected(), True, "")],
)
async def test_an_item_in_whose_place_another_one_was_put_is_not_deleted(error, deleted, outcome):
    """What stands under the id now is somebody else's, or may be; only where the new one was refused it is the old."""
    before, joiner = an_entry("E0", item_id="U0"), an_entry("E1", item_id="u0")
    run = a_run(
        Plan(actions=(Upsert(joiner, 1, 0, created=True, over=("E0",)), Delete(before, "left")), changes=()),
        errors={0: error} if error else {},
    )

    applied = await run.apply()

    assert run.items.order == (["u0", "U0"] if deleted else ["u0"])
    assert applied.progress.outcomes[1] == outcome


async def test_what_an_earlier_slice_put_is_not_deleted_either():
    """The id is known to be another's, whichever slice put the item there."""
    before, joiner = an_entry("E0", item_id="u0"), an_entry("E1", item_id="u0")
    run = a_run(Plan(actions=(Upsert(joiner, 1, 0, created=True, over=("E0",)), Delete(before, "left")), changes=()))

    applied = await run.apply(before=Progress(frozenset({0}), {0: ""}))

    assert run.items.order == []
    assert applied.progress.outcomes == {0: "", 1: ""}


async def test_a_former_item_waits_for_the_new_one():
    """Somebody who was renamed keeps the old item as long as the new one could not be put."""
    new = an_entry("E0", item_id="u0")
    run = a_run(
        Plan(
            actions=(Upsert(new, 1, 0, created=False, moved="u1"), Delete(new.former("u1"), "renamed")),
            changes=(),
        ),
        errors={0: rejected()},
    )

    applied = await run.apply()

    assert run.items.order == ["u0"]
    assert applied.progress.outcomes == {0: "invalidRequest", 1: TRANSFER_WAITS}


async def test_a_lost_lease_is_raised():
    """Whoever lost the lease does nothing more, and what was announced stays in doubt for the next run."""
    run = a_run(a_plan(50), errors={5: LeaseLost("the lease is lost")})

    with pytest.raises(LeaseLost):
        await run.apply(concurrency=2)

    assert len(run.items.order) < 10
    assert 5 not in run.journal.outcomes


@pytest.mark.parametrize("block", [1, 2, 5])
async def test_a_journal_that_cannot_be_written_ends_the_run(block):
    """What cannot be announced is not sent; what is under way is called off."""
    run = a_run(a_plan(100), journal_fails_at=block)

    with pytest.raises(StoreUnavailable):
        await run.apply(concurrency=4)

    assert run.items.in_flight == 0
    assert {int(item[1:]) for item in run.items.order} <= run.journal.announced
    assert len(run.items.order) < 100


async def test_a_slice_that_is_over_takes_no_more_work():
    """What is under way ends and is recorded; the rest is for the next slice."""
    run = a_run(a_plan(upserts=100, deletes=5))
    clock = run.items.clock

    applied = await run.apply(concurrency=4, stopping=lambda: clock.monotonic() >= 3)

    assert not applied.finished
    assert applied.stopped is None
    assert 8 <= len(run.items.order) <= 16
    assert run.journal.outcomes == dict.fromkeys((int(item[1:]) for item in run.items.order), "")


async def test_a_slice_without_time_begins_nothing():
    """When there is no time left from the start, nothing is announced."""
    run = a_run(a_plan(10))

    applied = await run.apply(stopping=lambda: True)

    assert applied == Applied(Progress(), finished=False)
    assert (run.journal.blocks, run.items.order) == (0, [])


async def test_a_request_that_ran_out_of_time_is_left_to_the_next_slice():
    """A pause that Graph demands may be longer than the slice: not a failure, but a partial run."""
    run = a_run(a_plan(20), errors={3: unavailable(OUT_OF_TIME)})

    applied = await run.apply(concurrency=1)

    assert applied.stopped is None
    assert not applied.finished
    assert run.items.order == ["u0", "u1", "u2", "u3"]
    assert applied.progress.outcomes == {0: "", 1: "", 2: ""}


async def test_slices_add_up():
    """A plan carried out in many slices is done once, whatever each slice managed."""
    plan, before, sent = a_plan(upserts=30, deletes=5), Progress(), []
    for _ in itertools.count():
        run = a_run(plan)
        applied = await run.apply(before=before, concurrency=3, stopping=run.is_late)
        sent += run.items.order
        before = applied.progress
        if applied.finished:
            break

    assert sorted(sent) == sorted(map(item_of, range(35)))
    assert before.outcomes == dict.fromkeys(range(35), "")


@pytest.mark.parametrize("victim", [0, 7, 33])
async def test_a_killed_process_leaves_only_what_was_announced_in_doubt(victim):
    """Nothing catches the end of the process; whatever Graph got is announced, and little is open."""
    run = a_run(a_plan(upserts=30, deletes=5), errors={victim: Killed()}, seconds=(1.0, 2.0, 0.3))

    with pytest.raises(Killed):
        await run.apply(concurrency=4)

    assert run.items.in_flight == 0
    assert {int(item[1:]) for item in run.items.order} <= run.journal.announced
    assert len(run.journal.announced - set(run.journal.outcomes)) <= 8
    assert victim not in run.journal.outcomes


async def test_a_mistake_of_ours_ends_the_run():
    """An error that is none of Graph's is raised as it is; what is under way is called off."""
    run = a_run(a_plan(20), errors={2: ZeroDivisionError()}, seconds=(1.0, 50.0))

    with pytest.raises(ZeroDivisionError):
        await run.apply(concurrency=4)

    assert run.items.cancelled
    assert run.items.in_flight == 0


async def test_a_cancelled_run_calls_off_what_is_under_way():
    """When the invocation is cancelled, no request goes on behind its back."""
    run = a_run(a_plan(20), seconds=(1000.0,))
    task = asyncio.create_task(run.apply(concurrency=4))
    await run.items.clock.sleep(500)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert run.items.in_flight == 0
    assert len(run.items.cancelled) == 4


@pytest.mark.parametrize("error", [denied(), StoreUnavailable("x"), LeaseLost("x")])
async def test_whatever_stops_a_run_is_one_of_our_errors(error):
    """The caller tells causes apart by our own tree of errors."""
    run = a_run(a_plan(3), errors={1: error})

    try:
        stopped: ConnectorError | None = (await run.apply(concurrency=1)).stopped
    except ConnectorError as raised:
        stopped = raised

    assert stopped is error
