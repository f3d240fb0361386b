"""B6: finding the Entra users of people whom nobody knows yet, and of those the ledger knows.

Ours is `connector.graph.users` at 100 ms: by name in batches where the tenant is large, by reading all users where that
takes fewer requests. Beside it stands what one after another takes, the walkthrough's way: a request for each, and the
latency of each without any work; that is reckoned, not measured.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from tests.bench import passages
from tests.bench.company import Churn, Company
from tests.bench.ingest import a_process, hold
from tests.bench.lean_graph import lean_graph
from tests.bench.results import Result
from tests.tenant.azurite import azurite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.ingest import Process
    from tests.bench.lean_graph import LeanGraph
    from tests.bench.passages import Resolved
    from tests.bench.results import Size

LATENCY: Final = 0.1
_UNKNOWN: Final[Mapping[str, tuple[int, ...]]] = {"full": (100, 10_000, 100_000), "short": (100, 6_000)}
_SWEPT: Final[Mapping[str, tuple[int, int]]] = {"full": (100_000, 300_000), "short": (6_000, 18_000)}
_KNOWN: Final[Mapping[str, int]] = {"full": 1000, "short": 200}


def measure(size: Size) -> Iterator[Result]:
    """Yield requests and seconds of resolving unknown people, and the requests for those who are known."""
    with lean_graph() as graph, a_process(fresh=size == "full") as process:
        for people in _UNKNOWN[size]:
            yield from _unknown(graph, process, people)
        yield from _swept(graph, process, *_SWEPT[size])
        yield from _known(graph, process, _KNOWN[size])


def _unknown(graph: LeanGraph, process: Process, people: int) -> Iterator[Result]:
    """Yield what resolving so many takes in a tenant that is ten times as large, and in one that is hardly larger."""
    batches, asked = ceil(people / 300), people > 5000
    _, requests, seconds = _resolve(graph, process, people, users=10 * people)
    hold(requests == batches + asked, f"{requests} requests for {people} people in batches")
    limit = 36 if people == 10_000 else None
    yield Result("B6" if limit else "", f"{people:,} unknown people: requests; one by one", requests, "", people, limit)
    yield Result("", f"{people:,} unknown people: until all are found; one by one", seconds, "s", people * LATENCY)
    if asked:
        users = people + people // 10
        _, requests, seconds = _resolve(graph, process, people, users=users)
        hold(requests == 1 + ceil(users / 999), f"{requests} requests for a sweep of {users} users")
        yield Result("", f"{people:,} of {users:,} users: requests; batches", requests, "", batches)
        yield Result(
            "", f"{people:,} of {users:,} users: until all are found; one by one", seconds, "s", people * LATENCY
        )


def _swept(graph: LeanGraph, process: Process, people: int, users: int) -> Iterator[Result]:
    """Yield that a sweep keeps nothing of those who were not asked for."""
    few, _, _ = _resolve(graph, process, people, users=people)
    many, requests, seconds = _resolve(graph, process, people, users=users)
    hold(requests == 1 + ceil(users / 999), f"{requests} requests for a sweep of {users} users")
    who = f"{people:,} of {users:,} users"
    yield Result("", f"{who}: peak memory; of {people:,}", many.peak, "MB", few.peak)
    yield Result("", f"{who}: until all are found; one by one", seconds, "s", people * LATENCY)


def _resolve(graph: LeanGraph, process: Process, people: int, *, users: int) -> tuple[Resolved, int, float]:
    graph.reset(latency=LATENCY, users=users)
    resolved = process(passages.resolve, graph.url, people)
    hold(resolved.right == people, f"{people - resolved.right} of {people} people were not found, or are somebody else")
    return resolved, graph.seen().requests, resolved.seconds


def _known(graph: LeanGraph, process: Process, people: int) -> Iterator[Result]:
    """Yield what a night asks for of those whom the ledger knows, and for each of those who changed."""
    changed = Company(people, churn=Churn(changed=0.1)).counts(1).updated
    with azurite() as storage:
        graph.reset(users=people)
        run = process(passages.a_night, graph.url, storage.connection_string, people, 16).run
        graph.reset(users=people)
        night = process(passages.a_night, graph.url, storage.connection_string, people, 16, run)
    seen = graph.seen()
    hold(
        night.report["updated"] == changed, f"{night.report['updated']} people were updated, and {changed} had changed"
    )
    yield Result(
        "B6", "people in the ledger: requests to look them up", seen.lookups + seen.pages + seen.counts, "", None, 0
    )
    yield Result(
        "B4",
        "some have changed: requests per changed person; the walkthrough's way",
        seen.requests / changed,
        "",
        2,
        1.05,
    )
