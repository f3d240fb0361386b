"""Virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.tenant.clock import START, VirtualClock


async def test_sleep_takes_virtual_time_only():
    """A day passes at once."""
    clock = VirtualClock()

    await clock.sleep(86_400)

    assert clock.monotonic() == 86_400
    assert clock.now() == START + timedelta(days=1)


async def test_sleepers_wake_in_the_order_of_their_deadlines():
    """Equal ones in the order of their calls; each sees the time it asked for."""
    clock = VirtualClock()
    woken = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    await asyncio.gather(sleeper("c", 3), sleeper("a", 1), sleeper("b", 1), sleeper("zero", 0))

    assert woken == [("zero", 0), ("a", 1), ("b", 1), ("c", 3)]


async def test_time_stands_still_while_anyone_has_work():
    """A task that keeps yielding is not overtaken."""
    clock = VirtualClock()
    sleeper = asyncio.create_task(clock.sleep(1))

    for _ in range(100):
        await asyncio.sleep(0)
    during = clock.monotonic()
    await sleeper

    assert (during, clock.monotonic()) == (0, 1)


async def test_a_cancelled_sleeper_does_not_move_time():
    """A renewal that was called off leaves no trace."""
    clock = VirtualClock()
    renewal = asyncio.create_task(clock.sleep(1000))
    await asyncio.sleep(0)

    renewal.cancel()
    await asyncio.gather(renewal, return_exceptions=True)
    await clock.sleep(1)

    assert clock.monotonic() == 1


async def test_advance_wakes_whoever_is_due():
    """Tests can move time themselves."""
    clock = VirtualClock()
    woken = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (5, 1, 50)]
    await asyncio.sleep(0)
    clock.advance(10)
    await asyncio.sleep(0)

    assert woken == [1, 5]
    for task in tasks:
        task.cancel()


def test_a_clock_outlives_its_event_loop():
    """A scenario of several nights is several asyncio.run; a sleeper left behind by one does not disturb the next."""
    clock = VirtualClock()

    async def night() -> None:
        left_behind = asyncio.create_task(clock.sleep(9))
        await clock.sleep(5)
        left_behind.cancel()

    asyncio.run(night())
    asyncio.run(night())

    assert clock.monotonic() == 10


async def test_with_patience_threads_get_their_turn_before_time_leaps():
    """Genuine sockets and threads are invisible to the loop until they report."""
    clock = VirtualClock(patience=0.05)
    sleeper = asyncio.create_task(clock.sleep(10))

    await asyncio.to_thread(lambda: None)
    during = clock.monotonic()
    await sleeper

    assert (during, clock.monotonic()) == (0, 10)


async def test_two_clocks_share_a_loop():
    """Clocks do not wait for each other: each leaps as if the other were not there."""
    one, other = VirtualClock(), VirtualClock()

    await asyncio.wait_for(asyncio.gather(one.sleep(60), other.sleep(3600)), timeout=5)

    assert (one.monotonic(), other.monotonic()) == (60, 3600)
