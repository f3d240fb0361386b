"""A night on a tenant that allows 25 items a second, in virtual time: how much of that is used."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.bench import passages
from tests.bench.company import object_id_of, upn_of
from tests.storage.memory import MemoryContainer
from tests.tenant import Tenant, VirtualClock
from tests.tenant.clock import AtOnce

if TYPE_CHECKING:
    from connector.clock import Clock

PER_SECOND = 25
RETRY_AFTER = 10
LATENCY = 0.45


@dataclass(frozen=True, slots=True)
class Night:
    """What Graph took: items a second after the first minute, and the share of all requests that it answered 429."""

    per_second: float
    throttled: float


@dataclass(slots=True)
class _Log(httpx.AsyncBaseTransport):
    """The wire to Graph, which notes when each item was taken."""

    wire: httpx.AsyncBaseTransport
    clock: Clock
    taken: list[float] = field(default_factory=list)
    requests: int = 0
    throttled: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        answer = await self.wire.handle_async_request(request)
        self.throttled += answer.status_code == 429
        if request.method == "PUT" and answer.status_code == 200:
            self.taken.append(self.clock.monotonic())
        return answer


def a_night(minutes: float) -> Night:
    """Send as many people as the tenant allows in so many minutes."""
    return asyncio.run(_a_night(minutes))


async def _a_night(minutes: float) -> Night:
    from connector.wiring import Containers

    asyncio.get_running_loop().set_default_executor(AtOnce())
    clock, people = VirtualClock(), int(PER_SECOND * 60 * minutes)
    tenant = Tenant(clock=clock, latency=LATENCY)
    for number in range(people):
        tenant.graph.add_user(upn_of(number), id=object_id_of(number))
    tenant.graph.limit_items(PER_SECOND, burst=PER_SECOND, retry_after=RETRY_AFTER)
    exports, state, reports, quarantine = (MemoryContainer(clock) for _ in range(4))
    containers = Containers(exports=exports, state=state, reports=reports, quarantine=quarantine)
    log = _Log(tenant.graph.transport(), clock)
    passed = await passages.passage(tenant, containers, people=people, concurrency=16, wire=log)
    if (passed.report["outcome"], len(tenant.graph.items)) != ("completed", people):
        raise AssertionError(f"{passed.report['outcome']}: {len(tenant.graph.items)} of {people} items")
    begun = log.taken[0] + 60
    counted = [moment for moment in log.taken if begun <= moment]
    return Night(len(counted) / (counted[-1] - begun), log.throttled / log.requests)
