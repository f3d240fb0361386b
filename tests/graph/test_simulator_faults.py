"""What can go wrong between us and Graph, as the simulator plays it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from tests.beliefs import belief, machinery, ours, sources
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant
from tests.tenant.graph import Dropped, Failed, Kill, Killed, Refused, Seen, Throttled

ITEM = {
    "acl": [{"type": "everyone", "value": "everyone", "accessType": "grant"}],
    "properties": {"account": '{"userPrincipalName":"adelev@contoso.com"}'},
}
SCHEMA = [{"name": "account", "type": "string", "labels": ["personAccount"]}]


@pytest.fixture
def tenant():
    """Return a tenant with a connection that is ready."""
    tenant = Tenant()
    tenant.graph.add_connection("contosohr", SCHEMA, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
    return tenant


@pytest.fixture
def put(tenant):
    """Return a function that puts item u<number> as the ingest app and returns the answer."""

    async def put(number=0):
        async with tenant.client(INGEST_CLIENT_ID) as client:
            return await client.put(f"/external/connections/contosohr/items/u{number}", json=ITEM)

    return put


@machinery("notes every request with its sender")
async def test_requests_are_noted_with_their_sender(tenant, put):
    """Method, path and the app's name, in order."""
    await put(1)
    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.get("/users?$top=1")

    assert tenant.graph.requests == [
        Seen("PUT", "/external/connections/contosohr/items/u1", "ingest"),
        ("GET", "/users?$top=1", "admin"),
    ]
    assert tenant.graph.statuses == {200: 1, 403: 1}
    assert tenant.graph.refusals == ["403 GET /users: app 'admin' has none of" + _roles()]


def _roles() -> str:
    return " ['Directory.Read.All', 'User.Read.All', 'User.ReadBasic.All', 'User.ReadWrite.All']"


@belief(
    "A throttled request is a 429 `TooManyRequests` with `Retry-After` in seconds; it has had no effect.",
    area="throttling and errors",
    mark="certain",
    source=(sources.THROTTLING, sources.LIMITS),
    ours=(ours.PAUSE, ours.IDEMPOTENT),
)
async def test_a_throttled_request_says_when_to_come_back(tenant, put):
    """429, Retry-After and Graph's own body; nothing has happened."""
    tenant.graph.throttle(after=1)

    first, second, third = await put(1), await put(2), await put(3)

    assert [first.status_code, second.status_code, third.status_code] == [200, 429, 200]
    assert (second.headers["retry-after"], second.json()["error"]["code"]) == ("10", "TooManyRequests")
    assert set(tenant.graph.items) == {"u1", "u3"}


@belief(
    "`Retry-After` may be an HTTP date, may come with `x-ms-retry-after-ms`, and may be missing.",
    area="throttling and errors",
    mark="likely",
    source=(sources.FIELD_GENERATOR, sources.THROTTLING),
    ours=ours.PAUSE,
)
@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (Throttled(2.5), {"retry-after": "2.5"}),
        (Throttled(datetime(2026, 3, 2, 2, 1, tzinfo=UTC)), {"retry-after": "Mon, 02 Mar 2026 02:01:00 GMT"}),
        (Throttled(None), {}),
        (Throttled(3, retry_after_ms=2500), {"retry-after": "3", "x-ms-retry-after-ms": "2500"}),
    ],
)
async def test_retry_after_has_many_forms(tenant, put, fault, headers):
    """Seconds, an HTTP date, milliseconds beside it, or nothing."""
    tenant.graph.fault(0, fault)

    answer = await put()

    sent = {name: answer.headers[name] for name in ("retry-after", "x-ms-retry-after-ms") if name in answer.headers}
    assert sent == headers


@belief(
    "Graph fails with 408, 500, 502, 503 and 504; whether the request took effect is not said.",
    area="throttling and errors",
    mark="certain",
    source=(sources.ERRORS, sources.CREATE_CONNECTION),
    ours=(ours.REPEATED, ours.IDEMPOTENT, ours.LOOK_FIRST),
)
@belief(
    "Right after a creation a read may be a 404.",
    area="throttling and errors",
    mark="likely",
    source=(sources.FIELD_GENERATOR, sources.FIELD_PROVISIONING),
    ours=(ours.LOOK_FIRST, ours.INCARNATION),
)
@pytest.mark.parametrize(
    ("fault", "status", "stored"),
    [
        (Failed(), 503, False),
        (Failed(500), 500, False),
        (Failed(504, effect=True), 504, True),
        (Failed(408), 408, False),
        (Refused(404, "ItemNotFound"), 404, False),
    ],
)
async def test_a_failure_comes_before_or_after_the_effect(tenant, put, fault, status, stored):
    """A 5xx says nothing about what happened."""
    tenant.graph.fault(0, fault)

    answer = await put()

    assert (answer.status_code, "u0" in tenant.graph.items) == (status, stored)
    assert answer.json()["error"]["innerError"]["request-id"]


@belief(
    "A connection that breaks says nothing about the effect.",
    area="throttling and errors",
    mark="certain",
    source=sources.BEST_PRACTICES,
    ours=(ours.REPEATED, ours.IDEMPOTENT, ours.LOOK_FIRST),
)
@pytest.mark.parametrize(
    ("fault", "error", "stored"),
    [(Dropped(), httpx.ConnectError, False), (Dropped(effect=True), httpx.ReadError, True)],
)
async def test_a_connection_breaks_before_or_after_the_effect(tenant, put, fault, error, stored):
    """The client cannot know."""
    tenant.graph.fault(0, fault)

    with pytest.raises(error):
        await put()

    assert ("u0" in tenant.graph.items) == stored
    assert len(tenant.graph.requests) == 1


@machinery("kills the sender")
async def test_a_killed_process_was_served(tenant, put):
    """No handler of exceptions stops it."""
    tenant.graph.kill_after(1)
    await put(1)

    with pytest.raises(Killed):
        await put(2)

    assert not issubclass(Killed, Exception)
    assert set(tenant.graph.items) == {"u1", "u2"}


@machinery("kills the sender in the middle of a batch")
async def test_a_part_of_a_batch_can_kill_before_its_effect(tenant):
    """The parts before it took effect."""
    tenant.graph.fault_part(1, Kill(effect=False))
    part = {"method": "PUT", "headers": {"content-type": "application/json"}, "body": ITEM}
    parts = [{**part, "id": str(i), "url": f"/external/connections/contosohr/items/u{i}"} for i in range(3)]

    async with tenant.client(INGEST_CLIENT_ID) as client:
        with pytest.raises(Killed):
            await client.post("/$batch", json={"requests": parts})

    assert set(tenant.graph.items) == {"u0"}


@machinery("faults by what is requested")
async def test_faults_are_chosen_by_what_is_requested(tenant, put):
    """A predicate on the request, so many times, or until told to stop."""
    tenant.graph.fault_when(lambda seen: seen.path.endswith("u1"), Failed(), times=2)
    tenant.graph.fault_when(lambda seen: seen.path.endswith("u2"), Failed(500), times=None)

    statuses = [(await put(number)).status_code for number in (0, 1, 1, 1, 2, 2)]
    tenant.graph.clear_faults()
    afterwards = await put(2)

    assert statuses == [200, 503, 503, 200, 500, 500]
    assert afterwards.status_code == 200


@belief(
    "How many requests per second, and how many at once, does Graph take per connection, app and tenant?",
    area="throttling and errors",
    mark="unknown",
    source=(sources.LIMITS, sources.OVERVIEW, sources.FIELD_CONNECTORS),
    ours=(ours.LEARNED, ours.PAUSE),
    either="No number is in the code: the pace starts at `MAX_CONCURRENCY`, obeys every 429, finds the rate that is "
    "just not throttled, and hands it to the next run. The report tells how often it was throttled.",
    proof=(
        "tests/graph/test_pace.py::test_an_unknown_limit_is_found_and_used",
        "tests/flows/test_faults.py::test_graphs_limit_per_connection_is_lived_with",
    ),
)
async def test_items_beyond_the_limit_per_second_are_throttled(tenant, put):
    """The bucket fills with the clock, for each connection."""
    tenant.graph.limit_items(10, retry_after=3)

    at_once = [await put(number) for number in range(12)]
    tenant.clock.advance(0.5)
    later = [await put(number) for number in range(6)]

    assert [answer.status_code for answer in at_once] == [200] * 10 + [429] * 2
    assert at_once[-1].headers["retry-after"] == "3"
    assert [answer.status_code for answer in later] == [200] * 5 + [429]


@belief(
    "25 operations at once per connection was the limit in former pages.",
    area="throttling and errors",
    mark="likely",
    source=sources.OVERVIEW,
    ours=ours.LEARNED,
    either="`MAX_CONCURRENCY` is 16 unless set; beyond any limit the 429s halve it.",
    proof="tests/graph/test_pace.py::test_concurrency_halves_once_per_pause_and_comes_back_slowly",
)
async def test_more_in_flight_than_allowed_is_throttled(tenant, put):
    """25 at a time; the most seen is remembered."""
    tenant.graph.limit_items(1000)
    tenant.graph.latency = 0.45

    answers = await asyncio.gather(*(put(number) for number in range(30)))

    assert sorted(answer.status_code for answer in answers) == [200] * 25 + [429] * 5
    assert (tenant.graph.max_in_flight, tenant.graph.in_flight) == (30, 0)
    assert tenant.clock.monotonic() == pytest.approx(0.45)


@belief(
    "The parts of a batch are throttled one by one; batching raises no limit.",
    area="throttling and errors",
    mark="certain",
    source=(sources.THROTTLING, sources.BATCH),
    ours=(ours.PARTS, ours.SINGLE_ITEMS),
)
@pytest.mark.parametrize("limit", [{"per_second": 5}, {"per_second": 100, "concurrency": 5}])
async def test_the_parts_of_a_batch_count_one_by_one(tenant, limit):
    """Batching does not raise the limit, neither per second nor in flight."""
    tenant.graph.limit_items(**limit)
    part = {"method": "GET"}
    parts = [{**part, "id": str(i), "url": f"/external/connections/contosohr/items/u{i}"} for i in range(7)]

    async with tenant.client(INGEST_CLIENT_ID) as client:
        answer = await client.post("/$batch", json={"requests": parts})

    assert [part["status"] for part in answer.json()["responses"]] == [404] * 5 + [429] * 2


@belief(
    "A lost answer cancels nothing: a registration goes on, a connection is created all the same.",
    area="operations",
    mark="likely",
    source=(sources.CREATE_CONNECTION, sources.FIELD_CONNECTORS),
    ours=(ours.REGISTRATION, ours.LOOK_FIRST),
)
async def test_a_lost_answer_cancels_nothing():
    """Creation and registration both took effect."""
    tenant = Tenant()
    tenant.graph.fault(0, Failed(503, effect=True))
    tenant.graph.fault(1, Dropped(effect=True))
    body = {"id": "contosohr", "name": "HR", "description": "People", "contentCategory": "people"}
    schema = {"baseType": "microsoft.graph.externalItem", "properties": SCHEMA}

    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.post("/external/connections", json=body)
        with pytest.raises(httpx.ReadError):
            await admin.patch("/external/connections/contosohr/schema", json=schema)
        read = await admin.get("/external/connections/contosohr")

    assert read.json()["state"] == "ready"
