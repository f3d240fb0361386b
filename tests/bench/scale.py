"""A large company from its first load on: slices, nights, memory and traffic, in virtual time against Graph's limits.

Time passes only where somebody waits, so that hours of writing take minutes. What is told in days is Graph's time and
the timer's; what the connector's own work takes on top is told beside it, in processor seconds. The company of a
hundred thousand is measured with the others. The one of a million takes a quarter of an hour or more and is asked for
by itself::

    python -m tests.bench.scale 1000000
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from tests.bench.company import Churn, Company
from tests.bench.processes import Process, forget_peak, peak_of, serve
from tests.bench.results import FOLDER, Result, Size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.simulated import Simulated

MODULE: Final = "tests.bench.scale"
PER_SECOND: Final = 25
"""What Graph's documentation used to say, and what others have measured about: items per second and connection.

https://learn.microsoft.com/graph/connecting-external-content-connectors-api-overview
"""
RETRY_AFTER: Final = 10
LATENCY: Final = 0.1
CHURN: Final = Churn(changed=0.008, joined=0.001, left=0.001)
NIGHTS: Final = 3
SLICE_SECONDS: Final = 2700
"""The default of the setting."""
TIMER_SECONDS: Final = 15 * 60
"""The schedule of the sample settings."""
DAY: Final = 24 * 3600

Life = dict[str, Any]


def measure(size: Size) -> Iterator[Result]:
    """Yield what a first load and some nights with one percent of churn come to."""
    people, slice_seconds = (600, 12) if size == "short" else (100_000, SLICE_SECONDS)
    yield from results_of(lived(people, slice_seconds=slice_seconds, folder=FOLDER if size == "full" else None))


def lived(people: int, *, slice_seconds: int, folder: Path | None) -> Life:
    """Return a company's first load and its nights, lived in a process of their own; keep it in ``folder``."""
    with Process(MODULE, "simulation", environment=os.environ) as process:
        life: Life = process.ask("live", people=people, slice_seconds=slice_seconds)
    if folder is not None:
        folder.mkdir(exist_ok=True)
        (folder / f"scale-{people}.json").write_text(json.dumps(life, indent=1))
    return life


def results_of(life: Life) -> Iterator[Result]:
    """Yield what a life comes to."""
    people, slices, nights = life["people"], life["slices"], life["nights"]
    who = f"{people:,} people, virtual time"
    load = f"{who}, first load"
    yield Result("", f"{load}: hours; Graph's limit alone", life["seconds"] / 3600, "h", people / PER_SECOND / 3600)
    yield Result("", f"{load}: slices", len(slices), "")
    yield Result("", f"{load}: at work, the rest between slices", 100 * life["writing"] / life["seconds"], "%")
    sent = sum(each["put"] + each["throttled"] for each in slices)
    yield Result("", f"{load}: answered 429", 100 * sum(each["throttled"] for each in slices) / sent, "%")
    seconds = [each["cpu"] for each in slices]
    yield Result(
        "", f"{load}: processor, median slice; how long it writes", statistics.median(seconds), "s", slice_of(life)
    )
    yield Result("", f"{load}: peak memory, last slice; first one", slices[-1]["peak"], "MB", slices[0]["peak"])
    yield from _traffic(load, life["traffic"])
    night = nights[-1]
    churn = f"{who}, a night of 1 % churn"
    yield Result(
        "", f"{churn}: minutes; Graph's limit alone", night["seconds"] / 60, "min", night["writes"] / PER_SECOND / 60
    )
    yield Result("", f"{churn}: Graph requests per change", night["requests"] / night["writes"], "")
    yield Result("", f"{churn}: processor", night["cpu"], "s")
    yield Result("", f"{churn}: peak memory, last night; first one", night["peak"], "MB", nights[0]["peak"])
    yield from _traffic(churn, night["traffic"])


def slice_of(life: Life) -> float:
    """Return how long a slice writes, in seconds, on average."""
    return float(life["writing"] / len(life["slices"]))


def _traffic(what: str, traffic: dict[str, Any]) -> Iterator[Result]:
    """Yield what went to and from the state container; by kinds of blobs the documentation tells it."""
    journal = traffic.get("journal", {"sent": 0, "operations": 0})
    yield Result("", f"{what}: journal written", journal["sent"] / 1e6, "MB")
    yield Result("", f"{what}: journal, blob operations", journal["operations"], "")
    whole = sum(each["sent"] + each["received"] for each in traffic.values())
    yield Result("", f"{what}: storage, all there and back", whole / 1e6, "MB")
    yield Result("", f"{what}: storage, all blob operations", sum(each["operations"] for each in traffic.values()), "")


# --- the simulation ---------------------------------------------------------------------------------------------------


def live(people: int, slice_seconds: int) -> Life:
    """Live through a first load and the nights after it; raise AssertionError where a count is not what it must be."""
    from tests.bench.simulated import in_virtual_time
    from tests.tenant.graph.limits import Limits

    company = Company(people, churn=CHURN)
    # A company of that size lets more people go in a night than the default allows.
    settings = {"SLICE_SECONDS": str(slice_seconds), "MAX_DELETE_COUNT": str(max(500, people // 100))}
    limits = Limits(PER_SECOND, PER_SECOND, PER_SECOND, RETRY_AFTER)

    async def whole(simulated: Simulated) -> Life:
        first = await _load(simulated, company)
        nights = [await _night(simulated, company, night) for night in range(1, NIGHTS + 1)]
        return {"people": people, **first, "nights": nights}

    life: Life = in_virtual_time(whole, latency=LATENCY, limits=limits, settings=settings)
    return life


async def _load(simulated: Simulated, company: Company) -> Life:
    await simulated.drop(company, 0)
    simulated.memory.traffic.clear()
    slices = await _slices(simulated)
    _hold(slices[-1]["report"], created=company.people, failed=0)
    if simulated.graph.put != company.people:
        raise AssertionError(f"{simulated.graph.put} items were put for {company.people} people")
    return {
        "seconds": slices[-1]["ended"] - slices[0]["began"],
        "writing": sum(each["ended"] - each["began"] for each in slices),
        "slices": slices,
        "traffic": _seen(simulated),
    }


async def _night(simulated: Simulated, company: Company, night: int) -> Life:
    clock = simulated.clock
    clock.advance(DAY - clock.monotonic() % DAY)
    counts = company.counts(night)
    writes = counts.created + counts.updated + counts.deleted
    await simulated.drop(company, night)
    simulated.memory.traffic.clear()
    slices = await _slices(simulated)
    _hold(slices[-1]["report"], created=counts.created, updated=counts.updated, deleted=counts.deleted)
    return {
        "seconds": slices[-1]["ended"] - slices[0]["began"],
        "writes": writes,
        "requests": sum(each["requests"] for each in slices),
        "cpu": sum(each["cpu"] for each in slices),
        "peak": max(each["peak"] for each in slices),
        "traffic": _seen(simulated),
    }


async def _slices(simulated: Simulated) -> list[Life]:
    """Let the timer fire until the run has ended; while a slice is at work it does not fire."""
    slices: list[Life] = []
    while not slices or slices[-1]["report"]["outcome"] == "partial":
        if slices:
            simulated.clock.advance(TIMER_SECONDS - simulated.clock.monotonic() % TIMER_SECONDS)
        slices.append(await _slice(simulated))
    return slices


async def _slice(simulated: Simulated) -> Life:
    graph, clock = simulated.graph, simulated.clock
    put, throttled, requests = graph.put, graph.throttled, graph.requests
    forget_peak()
    began, cpu, real = clock.monotonic(), time.process_time(), time.monotonic()
    report = await simulated.tick()
    return {
        "began": began,
        "ended": clock.monotonic(),
        "cpu": time.process_time() - cpu,
        "real": time.monotonic() - real,
        "peak": peak_of(),
        "put": graph.put - put,
        "throttled": graph.throttled - throttled,
        "requests": graph.requests - requests,
        "report": {name: report.get(name) for name in ("outcome", "created", "updated", "deleted", "failed", "error")},
    }


def _seen(simulated: Simulated) -> Life:
    return {kind: asdict(traffic) for kind, traffic in simulated.memory.traffic.items()}


def _hold(report: Life, **counts: int) -> None:
    found = {name: report[name] for name in counts}
    if found != counts:
        raise AssertionError(f"the report says {found} instead of {counts}: {report['error']}")


def main(what: str) -> None:
    """Be the simulation's process; or, given a number of people, let one live and print what it comes to."""
    if what == "simulation":
        logging.getLogger("connector").setLevel(logging.ERROR)
        serve(live=live)
        return
    from rich.console import Console

    from tests.bench.results import table

    Console().print(table(list(results_of(lived(int(what), slice_seconds=SLICE_SECONDS, folder=FOLDER)))))


if __name__ == "__main__":
    main(sys.argv[1])
