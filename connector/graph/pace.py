"""The one place where requests to Microsoft Graph wait, and the only one that repeats them.

https://learn.microsoft.com/graph/throttling

Rules, all of them deterministic given the clock and the random numbers handed in:

* At most ``max_concurrency`` requests are in flight, first come, first served.
* A 429 pauses everyone for exactly what Graph asks, never less. It halves the concurrency once per pause; every
  ``_CLEAN_STREAK`` answers without a 429 give one request back. It lowers the rate too, see :class:`_Rate`.
* 5xx, 408, 423 and requests without an answer are repeated after a jittered, doubling wait, up to ``_TRIES`` times, and
  only if repeating is harmless. 429s do not count as tries: Graph did nothing; ``_THROTTLES`` bounds them.
* ``give_up_at`` (monotonic seconds): a wait that would end later is not begun. The request then fails with
  :class:`GraphUnavailable`, code ``out_of_time``; an earlier attempt may have taken effect, as with any failure.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import random as _system_random
from typing import TYPE_CHECKING, Final

from connector.errors import GraphUnavailable
from connector.events import emit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from connector.clock import Clock

OUT_OF_TIME: Final = "out_of_time"
"""``code`` of the GraphUnavailable that means: not now, the slice is over; not that Graph failed."""

_TRIES = 6
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 32.0
_THROTTLES = 60
_CLEAN_STREAK = 50
_TRANSIENT = frozenset({0, 408, 423, 500, 502, 503, 504, 507, 509})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status (0: no answer at all), headers with lower-case names, undecoded body.

    ``in_doubt``: an attempt before this one failed without saying whether it took effect.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    in_doubt: bool = False

    @property
    def request_id(self) -> str | None:
        """Return Graph's own id of the request, which Microsoft's support asks for."""
        return self.headers.get("request-id")


def is_final(answer: Answer) -> bool:
    """Tell whether an answer says what became of its request; a 5xx or none at all leaves it open."""
    return answer.status not in _TRANSIENT


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Return the seconds Graph asks to wait, or None if it does not say.

    Read from ``x-ms-retry-after-ms`` and ``Retry-After`` (seconds, or an HTTP date, which is compared with the answer's
    own ``Date`` where there is one); where both are given, the longer counts.
    """
    waits = [_seconds(headers.get("retry-after"), server_now=_date(headers.get("date")) or now)]
    milliseconds = _number(headers.get("x-ms-retry-after-ms"))
    waits.append(None if milliseconds is None else milliseconds / 1000)
    return max((wait for wait in waits if wait is not None), default=None)


def _seconds(value: str | None, *, server_now: datetime) -> float | None:
    number = _number(value)
    if number is not None:
        return number
    date = _date(value)
    return None if date is None else max(0.0, (date - server_now).total_seconds())


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value or "")
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


class Pace:
    """How fast we may go. One per invocation and identity; what it learns is handed to the next one."""

    def __init__(
        self,
        clock: Clock,
        *,
        max_concurrency: int,
        max_per_second: float | None = None,
        learned: Mapping[str, float] | None = None,
        random: Callable[[], float] = _system_random,
    ) -> None:
        """Start at what was ``learned`` before (see the property), or else at full concurrency and no rate."""
        self.give_up_at: float | None = None
        """Monotonic seconds after which no wait may end; None: patience is unlimited."""
        self.requests = 0
        self.throttled = 0
        self._clock = clock
        self._random = random
        self._gate = _Gate(max_concurrency, start=_whole((learned or {}).get("concurrency"), max_concurrency))
        self._rate = _Rate(ceiling=max_per_second, learned=(learned or {}).get("rate"))
        self._resume_at = -math.inf
        self._clean = 0
        self._unasked = 0
        self._busy = 0
        self._busy_since = 0.0
        self._busy_seconds = 0.0

    @property
    def learned(self) -> dict[str, float]:
        """Return what the next Pace should start from: plain JSON, to be stored."""
        rate = self._rate.learned
        return {"concurrency": self._gate.limit} | ({} if rate is None else {"rate": rate})

    @property
    def seconds(self) -> float:
        """Return for how long there was at least one request under way or waiting for its turn."""
        return self._busy_seconds + (self._clock.monotonic() - self._busy_since if self._busy else 0.0)

    def asked(self, answer: Answer) -> float | None:
        """Return the seconds an answer asks everybody to wait; None: it does not say."""
        return retry_after(answer.headers, now=self._clock.now())

    async def run(
        self,
        attempt: Callable[[], Awaitable[Answer]],
        *,
        repeat: bool,
        before: Callable[[], None] | None = None,
        rated: bool = True,
    ) -> Answer:
        """Make the request when its turn comes, again where that helps, and return the answer that counts.

        ``repeat`` says that a request whose outcome is unknown may be made again; otherwise only a 429 is. ``before``
        is called right before each attempt and may stop it by raising. ``rated=False`` leaves the rate out of it, as
        for requests to another service of Graph's than the one whose rate is learned; pauses hold for all.

        Raises:
            GraphUnavailable: 429, 5xx or no answer after all patience, or (``out_of_time``) no patience left.
        """
        with self._timed():
            tries = throttles = 0
            while True:
                async with self._gate.turn():
                    await self._wait_for_the_pace(rated=rated)
                    if before is not None:
                        before()
                    sent = self._clock.monotonic()
                    answer = await attempt()
                    self.requests += 1
                if answer.status == 429:
                    throttles += 1
                    self._throttle(answer, sent=sent, rated=rated)
                    if throttles >= _THROTTLES:
                        raise _unavailable(answer, f"throttled the same request {throttles} times")
                    continue
                if is_final(answer):
                    self._succeed()
                    return replace(answer, in_doubt=True) if tries else answer
                tries += 1
                if not repeat or tries >= _TRIES:
                    raise _unavailable(answer, f"failed {tries} times" if repeat else "failed")
                await self._wait(self._backoff(answer, tries))

    @contextmanager
    def _timed(self) -> Iterator[None]:
        if not self._busy:
            self._busy_since = self._clock.monotonic()
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._busy_seconds += self._clock.monotonic() - self._busy_since

    async def _wait_for_the_pace(self, *, rated: bool) -> None:
        """Wait out the common pause, then for a place in the rate; a pause that begins meanwhile starts this over."""
        while True:
            now = self._clock.monotonic()
            if now < self._resume_at:
                await self._wait(self._resume_at - now)
                continue
            place = self._rate.place(now) if rated else now
            if place > now:
                await self._wait(place - now)
            if self._clock.monotonic() >= self._resume_at:
                return

    async def _wait(self, seconds: float) -> None:
        if self.give_up_at is not None and self._clock.monotonic() + seconds > self.give_up_at:
            raise GraphUnavailable(
                "Microsoft Graph wants us to wait longer than this invocation lasts; the next one goes on",
                status=0,
                code=OUT_OF_TIME,
            )
        await self._clock.sleep(seconds)

    def _throttle(self, answer: Answer, *, sent: float, rated: bool) -> None:
        self.throttled += 1
        now = self._clock.monotonic()
        new_pause = sent >= self._resume_at
        if new_pause:
            self._unasked += 1
            self._gate.limit = max(1, self._gate.limit // 2)
        asked = self.asked(answer)
        pause = self._jittered(self._unasked) if asked is None else asked
        self._clean = 0
        self._resume_at = max(self._resume_at, now + pause)
        self._rate.throttled(now, resume_at=self._resume_at, lower=new_pause and rated)
        if new_pause:
            emit("graph.throttled", seconds=round(pause, 3), **self.learned)

    def _succeed(self) -> None:
        self._unasked = 0
        self._clean += 1
        if self._clean >= _CLEAN_STREAK:
            self._clean = 0
            self._gate.grow()

    def _backoff(self, answer: Answer, tries: int) -> float:
        asked = self.asked(answer)
        return self._jittered(tries) if asked is None else max(asked, self._jittered(tries))

    def _jittered(self, tries: int) -> float:
        """Return a wait that doubles with every try, of which the second half is left to chance."""
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** (tries - 1))
        return wait * (0.5 + 0.5 * self._random())


class _Gate:
    """Lets at most ``limit`` in, in the order of their coming; the limit may change meanwhile."""

    def __init__(self, most: int, *, start: int) -> None:
        self.limit = max(1, min(most, start))
        self._most = most
        self._inside = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        await self._enter()
        try:
            yield
        finally:
            self._inside -= 1
            self._admit()

    def grow(self) -> None:
        self.limit = min(self._most, self.limit + 1)
        self._admit()

    async def _enter(self) -> None:
        if not self._queue and self._inside < self.limit:
            self._inside += 1
            return
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if not ticket.cancelled():  # it was let in and cancelled in the same breath: the place goes to the next one
                self._inside -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        while self._queue and self._inside < self.limit:
            ticket = self._queue.popleft()
            if not ticket.done():
                self._inside += 1
                ticket.set_result(None)


class _Rate:
    """Requests per second that Graph seems to bear: none until it throttles, then searched for from below.

    A pause soon after the last one means that we are far too fast: half of what we did. A later one means that we
    are just above: a little less, then in small steps up to just below where it was. Probing beyond begins only after
    ``_PLATEAU`` quiet seconds, because every probe that fails costs everyone a pause.
    """

    _SOON = 10.0
    _STEP = 5.0
    _PLATEAU = 600.0
    _PROBE = 30.0
    _SLOWEST = 0.5

    def __init__(self, *, ceiling: float | None, learned: float | None) -> None:
        self._ceiling = ceiling
        self._found = learned
        self._too_fast = None if learned is None else learned / 0.97
        self._next = -math.inf
        self._resumed = -math.inf
        self._raised = -math.inf
        self._starts: deque[float] = deque(maxlen=64)
        self._ever_throttled = False
        self._in_a_row = 0

    @property
    def learned(self) -> float | None:
        """Return the rate to start from next time: 5 % more after a run without a single 429."""
        if self._found is None:
            return None
        return round(self._found if self._ever_throttled else self._found * 1.05, 3)

    def place(self, now: float) -> float:
        """Return when the next request may start, and count it as started then."""
        if self._raised == -math.inf:
            self._resumed = self._raised = now
        self._rise(now)
        limits = [limit for limit in (self._ceiling, self._found) if limit is not None]
        place = max(now, self._next)
        if limits:
            self._next = place + 1 / min(limits)
        self._starts.append(place)
        return place

    def throttled(self, now: float, *, resume_at: float, lower: bool) -> None:
        self._next = resume_at
        if lower:
            self._lower(now)
        self._resumed = self._raised = resume_at
        self._starts.clear()

    def _lower(self, now: float) -> None:
        self._ever_throttled = True
        soon = now - self._resumed < self._SOON
        self._in_a_row = self._in_a_row + 1 if soon else 1
        measured = self._measured(now)
        if measured is None:
            return
        soon = soon or self._found is None
        self._too_fast = max(measured, self._SLOWEST)
        self._found = max(self._SLOWEST, measured * (0.5 if soon else 0.92))

    def _measured(self, now: float) -> float | None:
        """Return how fast requests were started before this pause.

        A few starts say little (None), unless one pause follows the other: then the limit itself is only a few.
        """
        starts = [start for start in self._starts if start <= now]
        enough = 8 if self._in_a_row < 3 else 1
        if len(starts) < enough or now <= starts[0]:
            return self._found
        did = len(starts) / (now - starts[0])
        return did if self._found is None else min(did, self._found)

    def _rise(self, now: float) -> None:
        if self._found is None or self._too_fast is None:
            return
        target = 0.97 * self._too_fast
        if self._found < target * 0.999:
            if now - self._raised >= self._STEP:
                self._found += (target - self._found) * 0.25
                self._raised = now
        elif now - self._resumed >= self._PLATEAU and now - self._raised >= self._PROBE:
            self._found *= 1.01
            self._too_fast = self._found / 0.97
            self._raised = now


def _whole(value: float | None, otherwise: int) -> int:
    return otherwise if value is None else int(value)


def _unavailable(answer: Answer, did: str) -> GraphUnavailable:
    found = "did not answer" if answer.status == 0 else f"answered HTTP {answer.status}"
    trace = f"; request-id {answer.request_id}" if answer.request_id else ""
    return GraphUnavailable(
        f"Microsoft Graph {found} ({did}{trace}); try again later",
        status=answer.status,
        code="throttled" if answer.status == 429 else "unavailable",
        request_id=answer.request_id,
    )
