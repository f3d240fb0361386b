"""A plan's actions against Graph: announced first, journalled as they end, under one pace.

The journal always knows more than Graph does: an index is announced, durably, before its request is sent. What was
announced and has no recorded outcome is *in doubt* and done again (PUT and DELETE are idempotent). At most
twice ``concurrency`` indices are open at any time, so one crash causes at most that many needless writes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from connector.core.plan import IN_DOUBT, TRANSFER_WAITS, Delete, Progress, Upsert
from connector.errors import (
    ConnectorError,
    CredentialError,
    GraphDenied,
    GraphError,
    GraphRejected,
    GraphUnavailable,
    StoreError,
)
from connector.events import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from connector.core.plan import Plan

IDENTICAL_FAILURES: Final = 20
"""So many 4xx of one kind in a row mean that it is not the items (design §3.13)."""
FAILED_PERCENT: Final = 5
FAILED_AT_LEAST: Final = 50
OUT_OF_TIME: Final = "out_of_time"


class Items(Protocol):
    """What this module asks of Graph."""

    async def put(self, item_id: str, body: bytes) -> None:
        """Create or replace an item."""
        ...

    async def delete(self, item_id: str) -> bool:
        """Delete an item and return True; one that is not there is deleted, and False."""
        ...


class Journal(Protocol):
    """Where announcements and outcomes are kept."""

    async def record(
        self, *, announced: Sequence[int], outcomes: Mapping[int, str], withdrawn: Sequence[int] = ()
    ) -> None:
        """Append one block, durably. ``withdrawn`` were announced, and have certainly had no effect."""
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """How far it went. ``stopped``: why the run cannot go on. ``finished``: nothing is left to do.

    ``lost``: the actions that Graph answered with 404, as if there were no such connection or no such item.
    """

    progress: Progress
    finished: bool
    stopped: ConnectorError | None = None
    lost: frozenset[int] = frozenset()


async def apply(
    plan: Plan,
    bodies: Callable[[Sequence[int]], Iterable[tuple[int, bytes]]],
    *,
    items: Items,
    journal: Journal,
    before: Progress,
    concurrency: int,
    stopping: Callable[[], bool],
    progress: Callable[[int, int], None] | None = None,
    logged_as: Callable[[str], str] = str,
) -> Applied:
    """Carry out what is left of a plan: all upserts, then all deletions.

    ``before`` is what earlier slices did, ``stopping`` tells when no further work is taken, ``bodies`` yields the
    given upserts with what to send, in the plan's order, made as they are asked for. ``progress`` is told (done,
    of all). ``logged_as`` returns what an item id is called in the log.

    Raises:
        StoreError: the journal could not be written, or the lease is lost: nothing more may be done.
    """
    left = sorted(before.remaining(plan))
    upserts = [index for index in left if isinstance(plan.actions[index], Upsert)]
    deletes = [index for index in left if isinstance(plan.actions[index], Delete)]
    work = _Work(plan, items, journal, before, concurrency, stopping, progress, logged_as)
    failed = [plan.actions[index] for index, outcome in before.outcomes.items() if outcome]
    work.failed = len(failed)
    work.without_item = {action.after.user_id for action in failed if isinstance(action, Upsert)}
    for index, outcome in before.outcomes.items():
        work.note_put(index, outcome)
    # A transferred account has its new item before the old one goes, so the two phases do not overlap.
    for phase in (bodies(upserts), ((index, None) for index in deletes)):
        if not await work.carry_out(phase):
            break
    if isinstance(work.stopped, StoreError):
        raise work.stopped
    done = Progress(before.announced | work.announced, {**before.outcomes, **work.outcomes})
    return Applied(done, finished=done.is_complete(plan), stopped=work.stopped, lost=frozenset(work.lost))


@dataclass(slots=True)
class _Work:
    plan: Plan
    items: Items
    journal: Journal
    before: Progress
    concurrency: int
    stopping: Callable[[], bool]
    tell: Callable[[int, int], None] | None
    logged_as: Callable[[str], str]
    announced: set[int] = field(default_factory=set)
    outcomes: dict[int, str] = field(default_factory=dict)
    stopped: ConnectorError | None = None
    broken: BaseException | None = None
    out_of_time: bool = False
    queue: deque[tuple[int, bytes | None]] = field(default_factory=deque)
    unrecorded: dict[int, str] = field(default_factory=dict)
    denied: list[int] = field(default_factory=list)
    without_item: set[str] = field(default_factory=set)
    put: dict[str, str] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    open: int = 0
    running: int = 0
    streak: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    async def carry_out(self, requests: Iterable[tuple[int, bytes | None]]) -> bool:
        """Work through one phase; tell whether the next one may begin."""
        changed = asyncio.Event()
        waiting = iter(requests)
        exhausted = False
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                changed.clear()
                if not exhausted and not self._must_stop() and self._has_room():
                    exhausted = await self._announce(waiting)
                elif self.unrecorded and (exhausted or self._must_stop()) and not self.running and not self.queue:
                    await self._record(())
                self._start(tasks, changed)
                if not self.running and (self._must_stop() or (exhausted and not self.queue and not self.unrecorded)):
                    break
                if self.running:
                    await changed.wait()
                self._raise_what_broke()
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        # What an earlier slice announced, too, may have taken effect then: that doubt is not ours to withdraw.
        untouched = (*self.denied, *(index for index, _ in self.queue))
        withdrawn = [index for index in untouched if index not in self.before.announced]
        self.queue.clear()
        if self.unrecorded or withdrawn:
            self.announced.difference_update(withdrawn)
            await self._record((), withdrawn)
        return exhausted and not self._must_stop()

    def _raise_what_broke(self) -> None:
        """Let what is no refusal of Graph's (a kill, a mistake of ours) end the whole work."""
        if self.broken is not None:
            raise self.broken

    def _must_stop(self) -> bool:
        return self.stopped is not None or self.out_of_time or self.stopping()

    def _has_room(self) -> bool:
        """Tell whether a block is worth writing: half the workers' next round is missing and may be announced."""
        after_recording = self.open - len(self.unrecorded)
        return (
            len(self.queue) < self.concurrency and 2 * self.concurrency - after_recording >= self.concurrency // 2 + 1
        )

    async def _announce(self, waiting: Iterator[tuple[int, bytes | None]]) -> bool:
        room = 2 * self.concurrency - (self.open - len(self.unrecorded))
        taken = list(islice(waiting, room))
        if taken or self.unrecorded:
            await self._record([index for index, _ in taken])
        self.queue.extend(taken)
        self.open += len(taken)
        self.announced.update(index for index, _ in taken)
        return len(taken) < room

    async def _record(self, announced: Sequence[int], withdrawn: Sequence[int] = ()) -> None:
        outcomes, self.unrecorded = self.unrecorded, {}
        await self.journal.record(announced=announced, outcomes=outcomes, withdrawn=withdrawn)
        self.open -= len(outcomes) + len(withdrawn)

    def _start(self, tasks: set[asyncio.Task[None]], changed: asyncio.Event) -> None:
        while self.queue and self.running < self.concurrency and not self._must_stop():
            index, body = self.queue.popleft()
            self.running += 1
            task = asyncio.create_task(self._do(index, body))
            tasks.add(task)
            task.add_done_callback(lambda done: self._ended(done, tasks, changed))

    def _ended(self, task: asyncio.Task[None], tasks: set[asyncio.Task[None]], changed: asyncio.Event) -> None:
        tasks.discard(task)
        self.running -= 1
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ConnectorError):
            self.stopped = self.stopped or error
        elif error is not None:
            self.broken = self.broken or error
        changed.set()
        if self.tell is not None:
            self.tell(len(self.before.outcomes) + len(self.outcomes), len(self.plan.actions))

    async def _do(self, index: int, body: bytes | None) -> None:
        action = self.plan.actions[index]
        if isinstance(action, Delete) and (outcome := self._without_request(action)) is not None:
            self._settle(index, outcome, None)
            return
        try:
            if isinstance(action, Upsert):
                await self.items.put(action.after.item_id, body or b"")
            elif not await self.items.delete(action.entry.item_id) and index not in self.before.announced:
                self.lost.add(index)
        except (GraphDenied, CredentialError) as error:
            if not error.in_doubt:
                self.denied.append(index)
            raise
        except GraphUnavailable as error:
            if error.code == OUT_OF_TIME:
                self.out_of_time = True
                return
            self._settle(index, IN_DOUBT, error)
        except GraphRejected as error:
            in_doubt = error.in_doubt or index in self.before.announced
            self._settle(index, IN_DOUBT if in_doubt else error.code, error)
        else:
            self._settle(index, "", None)

    def _without_request(self, action: Delete) -> str | None:
        """Return the outcome of a deletion that must not be sent; None: it may be.

        Where somebody else has the item's id now, their item is in its place, or may be; and an account that was to
        get another item keeps the old one until it has.
        """
        put = self.put.get(action.entry.item_id.casefold())
        if put is not None:
            return put and TRANSFER_WAITS
        waits = action.reason in {"transferred", "renamed"} and action.entry.user_id in self.without_item
        return TRANSFER_WAITS if waits else None

    def note_put(self, index: int, outcome: str) -> None:
        """Remember which ids have, or may have, a new item: "" is certain, anything else is in doubt."""
        action = self.plan.actions[index]
        if isinstance(action, Upsert) and outcome in {"", IN_DOUBT}:
            self.put[action.after.item_id.casefold()] = outcome

    def _settle(self, index: int, outcome: str, error: GraphError | None) -> None:
        self.outcomes[index] = self.unrecorded[index] = outcome
        self.note_put(index, outcome)
        if error is None:
            self.streak.clear()
            return
        action = self.plan.actions[index]
        item = action.after.item_id if isinstance(action, Upsert) else action.entry.item_id
        if isinstance(action, Upsert):
            self.without_item.add(action.after.user_id)
            if error.status == 404:
                self.lost.add(index)
        emit(
            "item.failed", item=self.logged_as(item), status=error.status, code=error.code, request_id=error.request_id
        )
        self.failed += 1
        kind = f"{error.status} {error.code}"
        if kind not in self.streak:
            self.streak.clear()
        self.streak[kind] += 1
        if self.streak[kind] >= IDENTICAL_FAILURES:
            self.stopped = GraphError(
                f"{IDENTICAL_FAILURES} items in a row failed alike (HTTP {error.status}, {error.code}); it is not the"
                f" items. The last answer: {error.message}",
                status=error.status,
                code="too_many_failed",
            )
        elif self.failed >= FAILED_AT_LEAST and self.failed * 100 > len(self.plan.actions) * FAILED_PERCENT:
            self.stopped = GraphError(
                f"{self.failed} of {len(self.plan.actions)} items failed; that is too many to go on",
                status=error.status,
                code="too_many_failed",
            )
