"""B4, B5, B5b, B7: how fast people get into Graph, what that takes of us, and what is left of it on bad nights.

Ours is a whole tick on the first night: an export in genuine Azurite, accounts looked up, items announced in the
journal, sent and settled. Seconds are Graph's: from the arrival of the first item to the answer to the last one.
Processor time is that of our process while items are sent, rendering, journal and pace included.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final

import orjson

from tests.bench import passages, throttled
from tests.bench.company import key_of, object_id_of, upn_of
from tests.bench.lean_graph import lean_graph
from tests.bench.results import Result
from tests.tenant.azurite import azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.bench.lean_graph import LeanGraph, Seen
    from tests.bench.passages import Passed
    from tests.bench.results import Size

    Process = Callable[..., Any]
    """Calls a function with its arguments in a process of its own, and returns what it returns."""

RETRY_AFTER: Final = 1.0
"""Seconds that Graph asks for on the bad night; a tenant asks for ten."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """How much is done: people at each latency, and how often; minutes of the tenant that allows little.

    ``bad_night``: so many people, of whose requests one in so many is throttled, and one in so many fails.
    """

    people: Mapping[float, int]
    repetitions: int
    walkthrough: Mapping[float, int]
    bad_night: int
    throttled_every: int
    failed_every: int
    minutes: float


_SCALES: Final[Mapping[str, _Scale]] = {
    "full": _Scale({0.0: 2000, 0.1: 2000, 0.45: 1500}, 2, {0.0: 100, 0.1: 40, 0.45: 12}, 4000, 500, 1000, 20),
    "short": _Scale({0.0: 200, 0.1: 200, 0.45: 50}, 1, {0.0: 5, 0.1: 3, 0.45: 2}, 300, 300, 300, 1.2),
}
_IN_FLIGHT: Final = {0.0: 16, 0.1: 16, 0.45: 25}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way of bringing people into Graph, as it went: its own numbers, and what Graph saw."""

    people: int
    passed: Passed
    seen: Seen

    @property
    def per_second(self) -> float:
        """Return how many items a second were put, from the arrival of the first to the answer to the last."""
        return self.people / (self.seen.ended - self.seen.began)


def measure(size: Size) -> Iterator[Result]:
    """Yield what ingest comes to at 0, 100 and 450 ms, beside the references, and on nights when Graph refuses."""
    scale = _SCALES[size]
    with lean_graph() as graph, azurite() as storage, a_process(fresh=size == "full") as process:
        bench = _Bench(graph, storage.connection_string, process)
        yield from _at_100_ms(bench, scale)
        yield from _at_450_ms(bench, scale)
        yield from _at_0_ms(bench, scale)
        yield from _bad_night(bench, scale)
        yield from _throttled(process, scale)


def _at_100_ms(bench: _Bench, scale: _Scale) -> Iterator[Result]:
    ours, bare = bench.side_by_side(0.1, scale)
    walked = bench.walkthrough(0.1, scale)
    when, rate, cpu = "100 ms, 16 in flight", _rate(ours), _cpu(ours)
    requests = max(way.seen.requests / way.people for way in ours)
    yield Result("B4", f"{when}: people a second; ideal", rate, "/s", 160, 0.9, "ratio", at_least=True)
    yield Result(
        "B4", f"{when}: people a second; the walkthrough's way", rate, "/s", _walked(walked), 30, "ratio", at_least=True
    )
    yield Result("", f"{when}: people a second; bare loop of SDK PUTs", rate, "/s", _rate(bare))
    yield Result(
        "B4", f"{when}: processor per person sent; bare loop of SDK PUTs", cpu, "ms", _cpu(bare), 1.25, "ratio"
    )
    yield Result("", f"{when}: processor per person sent; the walkthrough's way", cpu, "ms", walked.passed.cpu)
    yield Result("", f"{when}: processor per person, whole night", min(way.passed.cpu_of_all for way in ours), "ms")
    yield Result("B4", f"{when}: requests per person; the walkthrough's way", requests, "", _per_person(walked), 1.05)


def _at_450_ms(bench: _Bench, scale: _Scale) -> Iterator[Result]:
    ours, walked = bench.night(0.45, scale.people[0.45]), bench.walkthrough(0.45, scale)
    when, rate = "450 ms, 25 in flight", ours.per_second
    yield Result("B5", f"{when}: people a second; ideal", rate, "/s", 25 / 0.45, 0.9, "ratio", at_least=True)
    yield Result("B5", f"{when}: most at one time", ours.seen.most, "", None, 25)
    yield Result("", f"{when}: people a second; the walkthrough's way", rate, "/s", _walked(walked))
    yield Result(
        "", f"{when}: processor per person sent; the walkthrough's way", ours.passed.cpu, "ms", walked.passed.cpu
    )
    yield Result("", f"{when}: requests per person", _per_person(ours), "")


def _at_0_ms(bench: _Bench, scale: _Scale) -> Iterator[Result]:
    """Yield what there is without any latency: then one processor of ours is all that limits it."""
    ours, bare = bench.side_by_side(0.0, scale)
    walked = bench.walkthrough(0.0, scale)
    when, rate = "no latency, 16 in flight", _rate(ours)
    yield Result("", f"{when}: people a second; bare loop", rate, "/s", _rate(bare))
    yield Result("", f"{when}: people a second; the walkthrough's way", rate, "/s", _walked(walked))
    yield Result("", f"{when}: processor per person sent; bare loop", _cpu(ours), "ms", _cpu(bare))
    yield Result("", f"{when}: requests per person", _per_person(ours[0]), "")


def _bad_night(bench: _Bench, scale: _Scale) -> Iterator[Result]:
    """Yield B7: some requests are throttled, others fail after their effect, and nothing of it is seen in the items."""
    people = scale.bad_night
    bench.night(0.0, people)
    wanted = bench.graph.items()
    bench.graph.reset(
        latency=0.02,
        users=people,
        throttled_every=scale.throttled_every,
        failed_every=scale.failed_every,
        retry_after=RETRY_AFTER,
    )
    passed = bench.process(passages.a_night, bench.graph.url, bench.storage, people, 16)
    seen = bench.graph.seen()
    hold(seen.throttled > 0 and seen.failed > 0, "nothing went wrong on the bad night")
    _check(passed, people)
    arrived = bench.graph.items()
    other = sum(arrived.get(item_id) != body for item_id, body in wanted.items()) + len(arrived.keys() - wanted.keys())
    hold(not other and not seen.early, f"{other} items are others; {seen.early} requests came during a pause")
    needed = people + seen.lookups
    yield Result("B7", "bad night: items that are missing, or not the same bytes", other, "", None, 0)
    yield Result("B7", "bad night: requests before Retry-After was over", seen.early, "", None, 0)
    above = (seen.requests / needed - 1) * 100
    yield Result(
        "B7",
        "bad night: requests beyond those needed; what went wrong",
        above,
        "%",
        (seen.throttled + seen.failed) / needed * 100,
        1,
    )


def _throttled(process: Process, scale: _Scale) -> Iterator[Result]:
    """Yield B5b: a tenant that allows 25 items a second."""
    night = process(throttled.a_night, scale.minutes)
    yield Result(
        "B5b",
        "25 a second are allowed: items a second after a minute",
        night.per_second,
        "/s",
        25,
        0.9,
        "ratio",
        at_least=True,
    )
    yield Result("B5b", "25 a second are allowed: requests that were answered 429", night.throttled * 100, "%", None, 1)


# --- how it is run ---------------------------------------------------------------------------------------------------


class _Bench:
    """Graph, storage, and a process for each way. What was counted is right, or it raises."""

    def __init__(self, graph: LeanGraph, storage: str, process: Process) -> None:
        self.graph = graph
        self.storage = storage
        self.process = process

    def night(self, latency: float, people: int) -> _Way:
        """Bring people in by a tick of ours, and look at every item that Graph has got."""
        in_flight = _IN_FLIGHT[latency]
        self.graph.reset(latency=latency, users=people)
        passed = self.process(passages.a_night, self.graph.url, self.storage, people, in_flight)
        seen = self.graph.seen()
        _check(passed, people)
        _check_items(self.graph.items(), people)
        hold(seen.puts == people, f"{seen.puts} PUTs for {people} people")
        hold(0 < seen.most <= in_flight, f"{seen.most} requests in flight, {in_flight} allowed")
        return _Way(people, passed, seen)

    def bare(self, latency: float, bodies: Mapping[str, bytes]) -> _Way:
        """Put the same bodies by a loop that does nothing else."""
        self.graph.reset(latency=latency)
        passed = self.process(passages.bare_loop, self.graph.url, bodies, _IN_FLIGHT[latency])
        seen = self.graph.seen()
        hold(seen.puts == len(bodies) and self.graph.items() == bodies, "the bare loop has left something out")
        return _Way(len(bodies), passed, seen)

    def side_by_side(self, latency: float, scale: _Scale) -> tuple[list[_Way], list[_Way]]:
        """Let ours and the bare loop take turns."""
        ours, bare = list[_Way](), list[_Way]()
        for _ in range(scale.repetitions):
            ours.append(self.night(latency, scale.people[latency]))
            bare.append(self.bare(latency, self.graph.items()))
        return ours, bare

    def walkthrough(self, latency: float, scale: _Scale) -> _Way:
        """Go the walkthrough's way, for a few people: it is slow, and no faster for more."""
        people = scale.walkthrough[latency]
        self.graph.reset(latency=latency, users=people + 1)
        passed = self.process(passages.the_walkthrough, self.graph.url, people)
        seen = self.graph.seen()
        hold((seen.puts, seen.pages) == (people + 1, people + 1), "the walkthrough has left somebody out")
        return _Way(people, passed, replace(seen, puts=seen.puts - 1, pages=seen.pages - 1))


@contextmanager
def a_process(*, fresh: bool) -> Iterator[Process]:
    """Give what calls a function in another process: in a new one each time, or (imported once) always the same."""
    most = 1 if fresh else None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=most) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def hold(condition: bool, otherwise: str) -> None:  # noqa: FBT001
    """Raise AssertionError unless it is so."""
    if not condition:
        raise AssertionError(otherwise)


def _check(passed: Passed, people: int) -> None:
    report = passed.report
    counts = {name: report[name] for name in ("people", "created", "failed", "rejected", "unmatched")}
    wanted = {"people": people, "created": people, "failed": 0, "rejected": 0, "unmatched": 0}
    hold(report["outcome"] == "completed" and counts == wanted, f"{report['outcome']}: {counts}")


def _check_items(items: Mapping[str, bytes], people: int) -> None:
    """Hold what Graph has got to who was sent: an item for everybody, with both ids of the account in it."""
    for number in range(people):
        item_id = "u" + hashlib.sha256(f"{passages.CONNECTION}/{key_of(number)}".encode()).hexdigest()[:40]
        properties = orjson.loads(items[item_id])["properties"]
        account = {"userPrincipalName": upn_of(number), "externalDirectoryObjectId": object_id_of(number)}
        hold(orjson.loads(properties["accounts"]) == account, f"the item of person {number} is somebody else's")
    hold(len(items) == people, f"{len(items)} items of {people} people")


def _rate(ways: list[_Way]) -> float:
    """Return the best of the repetitions: whatever else the machine does only makes them worse."""
    return max(way.per_second for way in ways)


def _walked(way: _Way) -> float:
    """Return people per second of the walkthrough's way, the look-up before the first item included."""
    return way.people / way.passed.seconds


def _cpu(ways: list[_Way]) -> float:
    return min(way.passed.cpu for way in ways)


def _per_person(way: _Way) -> float:
    return way.seen.requests / way.people
