"""Time as a value that is handed in, so that long scenarios run in virtual time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, date, datetime
from datetime import time as time_of_day
from typing import Protocol


class Clock(Protocol):
    """What the use cases know of time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let other tasks run for so long."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the running event loop."""
        await asyncio.sleep(seconds)


def day_in(timezone: str, now: datetime) -> date:
    """Return which day it is in a time zone, by its IANA name."""
    from zoneinfo import ZoneInfo

    return now.astimezone(ZoneInfo(timezone)).date()


def midnight_in(timezone: str, day: int) -> int:
    """Return when a day (its proleptic ordinal) begins in a time zone, in unix seconds."""
    from zoneinfo import ZoneInfo

    return int(datetime.combine(date.fromordinal(day), time_of_day(), ZoneInfo(timezone)).timestamp())
