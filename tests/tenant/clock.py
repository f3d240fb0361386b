"""Time that passes only when everybody waits: minutes of pacing and hours of runs in milliseconds."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
"""A Monday night, when the exports arrive."""


class VirtualClock:
    """A clock (``connector.clock.Clock``) whose time leaps to the next sleeper when no task has anything left to do.

    Sleepers wake in the order of their deadlines, equal deadlines in the order of their calls. One event loop at a
    time; a clock may outlive its loop, so one scenario can span several ``asyncio.run``. Several clocks may share a
    loop, each with a time of its own.

    Args:
        start: the moment ``now()`` begins with, aware.
        patience: real seconds that the loop must have been idle before time leaps. Zero suits tests whose doubles are
            all in process; with genuine sockets or threads (Azurite, loopback) give them a few hundredths.
    """

    def __init__(self, start: datetime = START, *, patience: float = 0.0) -> None:
        self._start = start
        self._elapsed = 0.0
        self._patience = patience
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._watched: asyncio.AbstractEventLoop | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> VirtualClock:
        """Return a clock of the same time; whoever sleeps does so in the original's world only."""
        twin = VirtualClock(self._start, patience=self._patience)
        twin._elapsed = self._elapsed
        memo[id(self)] = twin
        return twin

    def now(self) -> datetime:
        """Return the virtual moment, aware."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once; whoever slept until then or earlier becomes ready, earliest first."""
        self._leap_to(self._elapsed + seconds)

    @contextmanager
    def stopped_loop(self) -> Iterator[None]:
        """Give the time to another loop, while this one stands still; its sleepers wake when it goes on, however late.

        This is what a process knows of being stopped by its host: nothing, until it runs again.
        """
        sleepers, watched = self._sleepers, self._watched
        self._sleepers, self._watched = [], None
        try:
            yield
        finally:
            self._sleepers, self._watched = sleepers, watched

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has advanced by so many seconds; without seconds, only let the others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        self._watch(loop)
        await woken

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._watched is not loop:
            self._watched = loop
            loop.call_soon(self._leap_when_idle, loop, 0)

    def _leap_when_idle(self, loop: Any, idle_rounds: int) -> None:
        """Leap once nothing is ready in two rounds: the first round's select may still have brought something in."""
        if not all(map(_only_watches, loop._ready)):  # asyncio tells nobody officially whether anything is left to do
            loop.call_soon(self._leap_when_idle, loop, 0)
        elif idle_rounds == 0:
            loop.call_later(self._patience, self._leap_when_idle, loop, 1)
        else:
            self._wake_next(loop)

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._sleepers and (self._sleepers[0][2].done() or self._sleepers[0][2].get_loop() is not loop):
            heapq.heappop(self._sleepers)
        if self._sleepers:
            self._leap_to(self._sleepers[0][0])
        self._watched = None
        if self._sleepers:
            self._watch(loop)

    def _leap_to(self, moment: float) -> None:
        self._elapsed = max(self._elapsed, moment)
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)


def _only_watches(handle: Any) -> bool:
    """Tell whether a callback is only another clock that waits for the loop to be idle, as one does."""
    return getattr(handle._callback, "__func__", None) is VirtualClock._leap_when_idle


class AtOnce(ThreadPoolExecutor):
    """Threads whose work is done before anybody can wait for it: virtual time would leap meanwhile."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        """Do the work, and return what came of it."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **options))
        except Exception as error:  # noqa: BLE001
            done.set_exception(error)
        return done
