"""What the operator sees: status, the list of runs, and one run."""

from __future__ import annotations

import pytest

from connector.errors import BadRequest, NotFound
from tests.flows.world import DAY, KILLED, TICK, World, a_person, a_world, people
from tests.tenant.graph.faults import Kill

STAFF = [a_person("E1", title="Director"), a_person("E2", manager="E1")]


@pytest.fixture
async def world() -> World:
    """Return a world after its first night."""
    world = await a_world()
    await world.night(STAFF)
    return world


async def test_the_body_of_status(world: World):
    """GET /status has the members of interface §10, and numbers that are true."""
    body = await world.application().status()

    assert body["connection"]["id"] == "contosohr"
    assert body["connection"]["state"] == "ready"
    assert body["ledger"]["people"] == 2
    assert body["last_export"]["name"] == "people-2026-03-03.csv"
    assert body["held"] is None
    assert body["paused"] is False
    assert body["stale"] is False
    assert [run["outcome"] for run in body["runs"]] == ["completed"]
    assert body["next_tick"]["schedule"] == "0 */15 * * * *"
    assert body["next_tick"]["work"] == []
    assert body["credentials"].keys() == {"admin", "ingest"}


async def test_before_setup_status_answers():
    """Without a connection status says so instead of failing."""
    body = await World().application().status()

    assert body["connection"]["state"] == "absent"
    assert body["ledger"]["people"] == 0
    assert body["last_export"] is None
    assert body["runs"] == []


async def test_status_changes_nothing(world: World):
    """Looking writes no blob and asks Graph nothing."""
    before = [world.blobs(name) for name in ("state", "reports")]

    await world.application().status()

    assert [world.blobs(name) for name in ("state", "reports")] == before
    assert world.requests == []


async def test_status_tells_what_the_next_tick_will_do(world: World):
    """An export that has settled, and a wish, are named as the work of the next tick."""
    await world.drop("people-12.csv", STAFF)
    uploading = (await world.application().status())["next_tick"]["work"]
    world.wait(TICK)
    settled = (await world.application().status())["next_tick"]["work"]

    await world.application().ask_for_sync()
    await world.tick()

    assert uploading == []
    assert settled == ["new export"]
    assert (await world.application().status())["next_tick"]["work"] == []


async def test_a_failed_run_waits_unless_somebody_asks():
    """Until then the next try has a time; what the next tick does anyway waits for none."""
    world = await a_world()
    world.no_token = "the vault does not answer"
    await world.night(STAFF)

    waiting = (await world.application().status())["next_tick"]
    await world.application().ask_for_sync()
    asked = (await world.application().status())["next_tick"]

    assert waiting["work"] == []
    assert waiting["not_before"] is not None
    assert asked["work"] == ["new export"]
    assert asked["not_before"] is None


async def test_status_tells_what_is_held():
    """Held deletions stand there with their number and the hash an approval must name."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(people(20))
    report = await world.night(people(20)[5:])

    held = (await world.application().status())["held"]

    assert (held["plan"], held["deletions"]) == (report["plan"], 5)


async def test_status_tells_that_the_last_export_is_stale(world: World):
    """More than STALE_AFTER_HOURS after the last applied export it is stale."""
    world.wait(2 * DAY)

    assert (await world.application().status())["stale"] is True


async def test_status_during_a_teardown(world: World):
    """While the connection is being torn down syncing is paused."""
    world.graph.priority_lag_seconds = 3600
    await world.application().teardown(confirm="contosohr")

    body = await world.application().status()

    assert body["paused"] is True
    assert body["connection"]["state"] == "leaving"


async def test_status_tells_of_an_unfinished_run(world: World):
    """A run whose process died is work for the next tick."""
    world.wait(DAY)
    await world.drop("people-2.csv", [STAFF[0] | {"JobTitle": "Chief"}, STAFF[1]])
    world.graph.fault(len(world.graph.requests), Kill())
    with pytest.raises(KILLED):
        await world.tick()

    body = await world.application().status()

    assert body["next_tick"]["work"][0] == "unfinished run"


async def test_status_tells_how_long_the_secrets_live(world: World):
    """A secret that ends within 21 days is expiring."""
    fine = (await world.application().status())["credentials"]["ingest"]
    world.vault.days = 20

    soon = (await world.application().status())["credentials"]["ingest"]

    assert (fine["expiring"], soon["expiring"]) == (False, True)
    assert soon["expires"].startswith("2026-03-23")


async def test_a_vault_that_is_down_does_not_take_status_down(world: World):
    """When the vault does not answer, the rest of status does."""
    world.vault.down = "the vault does not answer"

    body = await world.application().status()

    assert body["credentials"]["ingest"] == {"error": "the vault does not answer"}
    assert body["ledger"]["people"] == 2


async def test_an_admin_identity_that_is_switched_off_is_not_read(world: World):
    """With ADMIN_ENABLED false status leaves the admin secret alone."""
    world.decide(ADMIN_ENABLED="false")

    body = await world.application().status()

    assert body["credentials"]["admin"] == {"enabled": False}


# --- runs -----------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first(world: World):
    """GET /runs lists the reports, the newest first, as many as are asked for."""
    for title in ("Chief", "President", "Emeritus"):
        await world.night([STAFF[0] | {"JobTitle": title}, STAFF[1]])

    everything = (await world.application().runs())["runs"]
    two = (await world.application().runs("2"))["runs"]

    assert [run["created"] for run in everything] == [0, 0, 0, 2]
    assert [run["run"] for run in everything] == sorted((run["run"] for run in everything), reverse=True)
    assert two == everything[:2]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1000", "", "٣"])
async def test_a_limit_that_makes_no_sense_is_refused(world: World, limit: str):
    """The number of runs is a number from 1 to 100."""
    with pytest.raises(BadRequest, match="from 1 to 100"):
        await world.application().runs(limit)


async def test_one_run_is_told_whole(world: World):
    """GET /runs/{id} is the report as it was written, lists of rows included."""
    report = await world.night([STAFF[0], STAFF[1] | {"HireDate": "x"}])

    assert await world.application().run_report(report["run"]) == report


@pytest.mark.parametrize("run", ["20260303T021600Z-ffff", "../contosohr/head", "", "x"])
async def test_a_run_that_is_not_there_is_not_found(world: World, run: str):
    """An unknown id is 404, whatever it looks like."""
    with pytest.raises(NotFound):
        await world.application().run_report(run)


@pytest.mark.parametrize("body", [b"[]", b"full", b'{"full": "yes"}', b'{"all": true}', b"\xff", b'{"full": 1}'])
async def test_a_wish_that_makes_no_sense_is_refused(world: World, body: bytes):
    """The body of POST /sync is empty or {"full": true}; nothing else becomes a run."""
    with pytest.raises(BadRequest):
        await world.application().ask_for_sync(body)

    assert await world.tick() is None
