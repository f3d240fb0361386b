"""The pace: how long requests wait, how many are under way, and when they are made again."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from connector.errors import GraphUnavailable, LeaseLost
from connector.graph.pace import OUT_OF_TIME, Answer, Pace, retry_after
from tests.tenant.clock import START, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

OK = Answer(200)
THROTTLED = Answer(429, {"retry-after": "10"})
BROKEN = Answer(503)


def a_pace(clock: VirtualClock, *, max_concurrency: int = 16, **settings) -> Pace:
    return Pace(clock, max_concurrency=max_concurrency, random=lambda: 0.5, **settings)


def script(
    clock: VirtualClock, answers: Sequence[Answer], *, seconds: float = 0.0
) -> tuple[Callable[[], Awaitable[Answer]], list[float]]:
    """Return an attempt that gives these answers in turn, and the moments at which it was made."""
    left, moments = list(answers), list[float]()

    async def attempt() -> Answer:
        moments.append(clock.monotonic())
        await clock.sleep(seconds)
        return left.pop(0)

    return attempt, moments


class Tenant:
    """A stand-in for Graph's throttling: so many requests per second with a bucket, 429 for the rest."""

    def __init__(self, clock: VirtualClock, *, per_second: float, seconds: float, retry_after: float = 10) -> None:
        self.clock, self.per_second, self.seconds = clock, per_second, seconds
        self.answer = Answer(429, {"retry-after": str(retry_after)})
        self.bucket, self.filled = per_second, 0.0
        self.accepted, self.refused = list[float](), list[float]()
        self.in_flight = self.most_in_flight = 0

    async def attempt(self) -> Answer:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        now = self.clock.monotonic()
        self.bucket = min(self.per_second, self.bucket + (now - self.filled) * self.per_second)
        self.filled = now
        served = self.bucket >= 1
        if served:
            self.bucket -= 1
        (self.accepted if served else self.refused).append(now)
        await self.clock.sleep(self.seconds)
        self.in_flight -= 1
        return OK if served else self.answer


async def work(pace: Pace, attempt: Callable[[], Awaitable[Answer]], *, until: float, workers: int = 25) -> None:
    """Keep sending with so many workers until the clock says so."""

    async def worker() -> None:
        while pace._clock.monotonic() < until:
            await pace.run(attempt, repeat=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())


async def test_an_answer_comes_back_as_it_is():
    """What is neither throttling nor a failure is the caller's business, and costs one request."""
    clock = VirtualClock()
    pace = a_pace(clock)
    attempt, _ = script(clock, [Answer(404, {"request-id": "r1"}, b"{}")])

    answer = await pace.run(attempt, repeat=True)

    assert (answer.status, answer.request_id, pace.requests, pace.throttled) == (404, "r1", 1, 0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": format_datetime(START + timedelta(seconds=90), usegmt=True)}, 90.0),
        ({"retry-after": format_datetime(START - timedelta(seconds=90), usegmt=True)}, 0.0),
        (
            {
                "retry-after": format_datetime(START + timedelta(seconds=500), usegmt=True),
                "date": format_datetime(START + timedelta(seconds=480), usegmt=True),
            },
            20.0,
        ),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"x-ms-retry-after-ms": "1500", "retry-after": "2"}, 2.0),
        ({"x-ms-retry-after-ms": "2500", "retry-after": "2"}, 2.5),
        ({}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_the_wait_asked_for_is_read_in_every_form(headers, expected):
    """Seconds, a date compared with the answer's own date, milliseconds; of two the longer; nonsense is none."""
    assert retry_after(headers, now=START) == expected


async def test_a_throttled_request_waits_exactly_as_asked():
    """Retry-After is honoured to the second, and as often as it comes."""
    clock = VirtualClock()
    pace = a_pace(clock)
    attempt, moments = script(clock, [THROTTLED, Answer(429, {"retry-after": "33"}), OK])

    await pace.run(attempt, repeat=True)

    assert moments == [0.0, 10.0, 43.0]
    assert (pace.requests, pace.throttled) == (3, 2)


async def test_a_throttled_create_is_repeated():
    """A 429 means that nothing was done, so even what must not be repeated blindly is made again."""
    clock = VirtualClock()
    attempt, moments = script(clock, [THROTTLED, OK])

    answer = await a_pace(clock).run(attempt, repeat=False)

    assert answer is OK
    assert moments == [0.0, 10.0]


async def test_one_throttled_request_pauses_everybody():
    """Nobody starts a request during a pause, whoever it was that Graph asked to wait."""
    clock = VirtualClock()
    pace = a_pace(clock)
    first, _ = script(clock, [THROTTLED, OK])
    second, moments = script(clock, [OK])

    async def later() -> None:
        await clock.sleep(3)
        await pace.run(second, repeat=True)

    await asyncio.gather(pace.run(first, repeat=True), later())

    assert moments == [10.0]


async def test_a_longer_pause_is_not_shortened_by_a_shorter_one():
    """Of the waits that requests in flight were asked for, the longest counts for all."""
    clock = VirtualClock()
    pace = a_pace(clock)
    long, long_moments = script(clock, [Answer(429, {"retry-after": "60"}), OK], seconds=1)
    short, short_moments = script(clock, [Answer(429, {"retry-after": "5"}), OK], seconds=2)

    await asyncio.gather(pace.run(long, repeat=True), pace.run(short, repeat=True))

    assert (long_moments[1], short_moments[1]) == (61.0, 61.0)


async def test_a_pause_without_a_time_doubles_each_time():
    """Graph that says no time is waited for ever longer, by our own measure."""
    clock = VirtualClock()
    attempt, moments = script(clock, [Answer(429), Answer(429), Answer(429), OK])

    await a_pace(clock).run(attempt, repeat=True)

    assert moments == [0.0, 0.75, 2.25, 5.25]


@pytest.mark.parametrize("failure", [BROKEN, Answer(0), Answer(408), Answer(500), Answer(504), Answer(423)])
async def test_failures_are_repeated_after_growing_waits(failure):
    """5xx, 408, 423 and requests without an answer are made again, six times in all."""
    clock = VirtualClock()
    pace = a_pace(clock)
    attempt, moments = script(clock, [failure] * 6)

    with pytest.raises(GraphUnavailable) as refused:
        await pace.run(attempt, repeat=True)

    assert [later - earlier for earlier, later in pairwise(moments)] == [0.75, 1.5, 3, 6, 12]
    assert refused.value.status == failure.status


async def test_a_failure_with_a_retry_after_waits_at_least_so_long():
    """A 503 that says when to come back is believed."""
    clock = VirtualClock()
    attempt, moments = script(clock, [Answer(503, {"retry-after": "20"}), OK])

    await a_pace(clock).run(attempt, repeat=True)

    assert moments == [0.0, 20.0]


async def test_a_create_of_unknown_outcome_is_not_repeated():
    """Whoever creates must look first, so a failure comes back at once."""
    clock = VirtualClock()
    attempt, moments = script(clock, [BROKEN, OK])

    with pytest.raises(GraphUnavailable) as refused:
        await a_pace(clock).run(attempt, repeat=False)

    assert moments == [0.0]
    assert refused.value.status == 503


async def test_throttling_does_not_use_up_the_tries():
    """A busy tenant is waited for; only failures are counted against a request."""
    clock = VirtualClock()
    attempt, _ = script(clock, [THROTTLED] * 20 + [BROKEN] * 5 + [OK])

    answer = await a_pace(clock).run(attempt, repeat=True)

    assert answer.status == OK.status


@pytest.mark.parametrize(("before", "in_doubt"), [([], False), ([THROTTLED], False), ([BROKEN], True)])
async def test_an_answer_tells_whether_an_earlier_attempt_may_have_taken_effect(before, in_doubt):
    """A 429 did nothing; a 5xx may have."""
    clock = VirtualClock()
    attempt, _ = script(clock, [*before, OK])

    answer = await a_pace(clock).run(attempt, repeat=True)

    assert answer.in_doubt is in_doubt


async def test_endless_throttling_ends():
    """A request that is throttled sixty times over is given up."""
    clock = VirtualClock()
    attempt, moments = script(clock, [THROTTLED] * 100)

    with pytest.raises(GraphUnavailable) as refused:
        await a_pace(clock).run(attempt, repeat=True)

    assert (len(moments), refused.value.code) == (60, "throttled")


async def test_never_more_in_flight_than_allowed():
    """The concurrency is a hard limit, whatever the number of workers."""
    clock = VirtualClock()
    tenant = Tenant(clock, per_second=1000, seconds=0.45)

    await work(a_pace(clock, max_concurrency=5), tenant.attempt, until=60, workers=25)

    assert tenant.most_in_flight == 5


async def test_first_come_first_served():
    """Requests start in the order in which they asked for their turn."""
    clock = VirtualClock()
    pace = a_pace(clock, max_concurrency=2)
    started = list[int]()

    async def numbered(number: int) -> None:
        async def attempt() -> Answer:
            started.append(number)
            await clock.sleep(1 if number % 3 else 5)
            return OK

        await pace.run(attempt, repeat=True)

    await asyncio.gather(*(numbered(number) for number in range(12)))

    assert started == list(range(12))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_cancelled_request_leaves_its_place(order):
    """Cancelling one that waits and one that is under way blocks nobody, in whatever order."""
    clock = VirtualClock()
    pace = a_pace(clock, max_concurrency=1)

    async def attempt() -> Answer:
        await clock.sleep(10)
        return OK

    tasks = [asyncio.create_task(pace.run(attempt, repeat=True)) for _ in range(4)]
    await clock.sleep(1)
    for number in order:
        tasks[number].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [task.cancelled() for task in tasks] == [True, True, False, False]
    assert await pace.run(attempt, repeat=True) is OK


async def test_one_cancelled_as_it_is_let_in_makes_way():
    """A request that is let in and cancelled in the same breath hands its place on."""
    clock = VirtualClock()
    pace = a_pace(clock, max_concurrency=1)
    tasks = list[asyncio.Task[Answer]]()

    async def first() -> Answer:
        tasks.extend(asyncio.create_task(pace.run(others, repeat=True)) for _ in range(2))
        await clock.sleep(1)
        return OK

    async def others() -> Answer:
        return OK

    await pace.run(first, repeat=True)
    tasks[0].cancel()  # the place is free since a moment ago, and tasks[0] has not taken a breath yet
    await asyncio.gather(*tasks, return_exceptions=True)

    assert [task.cancelled() for task in tasks] == [True, False]
    assert await pace.run(others, repeat=True) is OK


async def test_concurrency_halves_once_per_pause_and_comes_back_slowly():
    """Sixteen 429s of one moment are one lesson; fifty good answers give one request back."""
    clock = VirtualClock()
    pace = a_pace(clock)
    attempts = [script(clock, [THROTTLED, OK], seconds=0.1)[0] for _ in range(16)]

    await asyncio.gather(*(pace.run(attempt, repeat=True) for attempt in attempts))

    assert pace.learned["concurrency"] == 8
    good, _ = script(clock, [OK] * 34)
    for _ in range(34):
        await pace.run(good, repeat=True)
    assert pace.learned["concurrency"] == 9


async def test_concurrency_never_halves_to_nothing():
    """However often Graph throttles, one request at a time is made."""
    clock = VirtualClock()
    pace = a_pace(clock, max_concurrency=2)
    attempt, _ = script(clock, [THROTTLED] * 6 + [OK])

    await pace.run(attempt, repeat=True)

    assert pace.learned["concurrency"] == 1


async def test_a_limit_per_second_is_kept():
    """MAX_ITEMS_PER_SECOND spaces the starts of requests evenly."""
    clock = VirtualClock()
    tenant = Tenant(clock, per_second=1000, seconds=0.1)

    await work(a_pace(clock, max_per_second=10), tenant.attempt, until=20)

    gaps = [later - earlier for earlier, later in pairwise(tenant.accepted)]
    assert min(gaps) == pytest.approx(0.1)
    assert 195 <= len([moment for moment in tenant.accepted if moment <= 20]) <= 202


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.45, 1.0])
async def test_an_unknown_limit_is_found_and_used(seconds):
    """A tenant that bears 25 per second gets 90 % of that after a minute, and refuses less than 1 %."""
    clock = VirtualClock()
    tenant = Tenant(clock, per_second=25, seconds=seconds)
    pace = a_pace(clock, max_concurrency=25)

    await work(pace, tenant.attempt, until=1200)

    minutes = [moment for moment in tenant.accepted if 60 <= moment < 1200]
    refused = [moment for moment in tenant.refused if 60 <= moment < 1200]
    ideal = 25 * 1140
    reached = min(ideal, 25 / seconds * 1140)
    assert len(minutes) >= 0.9 * reached
    assert len(refused) <= 0.01 * (len(minutes) + len(refused))


async def test_what_was_learned_is_where_the_next_one_starts():
    """A run that starts from the last one's pace is throttled less than one that starts from nothing."""
    clock = VirtualClock()
    tenant = Tenant(clock, per_second=25, seconds=0.1)
    first = a_pace(clock, max_concurrency=25)
    await work(first, tenant.attempt, until=600)
    tenant.refused.clear()
    second = a_pace(clock, max_concurrency=25, learned=json.loads(json.dumps(first.learned)))

    await work(second, tenant.attempt, until=900)

    assert len(tenant.refused) <= 3
    assert 20 <= second.learned["rate"] <= 27


async def test_a_quiet_run_hands_on_a_little_more():
    """A rate learned on a bad day is left behind night by night."""
    clock = VirtualClock()
    pace = a_pace(clock, learned={"concurrency": 3, "rate": 2.0})
    attempt, _ = script(clock, [OK])

    await pace.run(attempt, repeat=True)

    assert pace.learned["rate"] == pytest.approx(2.1)
    assert pace.learned["concurrency"] == 3


async def test_no_wait_is_begun_that_would_outlast_the_slice():
    """A pause that ends too late fails at once, marked as being out of time, and sends nothing."""
    clock = VirtualClock()
    pace = a_pace(clock)
    pace.give_up_at = 8.0
    attempt, moments = script(clock, [THROTTLED, OK])

    with pytest.raises(GraphUnavailable) as refused:
        await pace.run(attempt, repeat=True)

    assert (refused.value.code, clock.monotonic(), moments) == (OUT_OF_TIME, 0.0, [0.0])


async def test_what_stops_writes_is_asked_before_each_attempt():
    """A lease that is lost during a pause stops the write that waited."""
    clock = VirtualClock()
    attempt, moments = script(clock, [THROTTLED, OK])

    def before() -> None:
        if clock.monotonic() > 5:
            raise LeaseLost("the lease ran out")

    with pytest.raises(LeaseLost):
        await a_pace(clock).run(attempt, repeat=True, before=before)

    assert moments == [0.0]


async def test_one_event_per_pause(caplog):
    """The log tells each pause once, with its length and what was learned."""
    caplog.set_level(logging.INFO, logger="connector")
    clock = VirtualClock()
    pace = a_pace(clock)
    attempts = [script(clock, [THROTTLED, OK], seconds=0.1)[0] for _ in range(5)]

    await asyncio.gather(*(pace.run(attempt, repeat=True) for attempt in attempts))

    events = [json.loads(record.getMessage()) for record in caplog.records]
    assert [(event["event"], event["seconds"], event["concurrency"]) for event in events] == [
        ("graph.throttled", 10.0, 8)
    ]


async def test_seconds_count_while_anything_is_under_way():
    """The time with Graph includes its pauses and leaves out our own."""
    clock = VirtualClock()
    pace = a_pace(clock)
    attempt, _ = script(clock, [THROTTLED, OK], seconds=1)

    await pace.run(attempt, repeat=True)
    await clock.sleep(100)

    assert pace.seconds == pytest.approx(12)
