"""The Functions app, over HTTP and by its timer, on the local tenant."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.head import ExportMark, Head, dump_head
from connector.settings import Settings
from tests.host.world import FIRST_NIGHT, SECOND_NIGHT, FunctionApp, drop, environment, fresh, schemas_are_registered
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID
from tests.tenant.contoso import ROOT, STATE
from tests.tenant.engines import best_engine
from tests.tenant.graph.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.contoso import Contoso

pytestmark = [pytest.mark.host, pytest.mark.azurite]

ROUTES = {
    ("POST", "setup"),
    ("GET", "setup"),
    ("DELETE", "setup"),
    ("POST", "register"),
    ("POST", "sync"),
    ("GET", "status"),
    ("GET", "runs"),
    ("GET", "runs/{run}"),
    ("POST", "runs/{run}/approve"),
    ("POST", "pause"),
    ("POST", "resume"),
    ("GET", "health"),
}
STEPS = ["connection", "schema", "profile-source", "priority", "settle"]


@pytest.fixture
def unset(world: Contoso, app: FunctionApp) -> Iterator[dict[str, str]]:
    """Let the app work on a connection that nobody has set up; return its settings."""
    settings = fresh(world)
    with app.under(settings):
        yield settings


@pytest.fixture
def ready(app: FunctionApp, unset: dict[str, str]) -> dict[str, str]:
    """Let the app work on a connection that is set up; return its settings."""
    assert app.post("setup").status_code == 200
    return unset


def run_report(app: FunctionApp) -> Any:
    """Return the newest run's report as it is listed."""
    return app.get("runs").json()["runs"][0]


# --- how it presents itself to the host -------------------------------------------------------------------------------


def test_the_host_takes_every_function(app: FunctionApp) -> None:
    """None is refused for its name, route, schedule or parameters; Microsoft's worker runs them where it can be had."""
    assert app.refused == {}
    assert app.engine == best_engine().name


def test_the_routes_are_the_documented_ones(app: FunctionApp) -> None:
    """Method and route, below host.json's prefix; none starts with a word that the host keeps for itself."""
    triggers = [one for all_of in app.bindings.values() for one in all_of if one["type"] == "httpTrigger"]

    assert {(method, one["route"]) for one in triggers for method in one["methods"]} == ROUTES
    assert not [name for name in app.bindings if name.startswith(("admin", "runtime"))]
    assert not [one["route"] for one in triggers if one["route"].startswith(("admin", "runtime"))]


def test_every_http_function_wants_the_function_key(app: FunctionApp) -> None:
    """No route is anonymous in this release."""
    triggers = [one for all_of in app.bindings.values() for one in all_of if one["type"] == "httpTrigger"]

    assert {one["authLevel"] for one in triggers} == {"FUNCTION"}


def test_the_timer_is_monitored_and_follows_the_setting(app: FunctionApp) -> None:
    """A missed occurrence is made up for, and neither a deployment nor a restart fires it."""
    (timer,) = app.bindings["sync_people"]

    assert timer["type"] == "timerTrigger"
    assert timer["schedule"] == "%SYNC_SCHEDULE%"
    assert timer["useMonitor"] is True
    assert timer["runOnStartup"] is False


def test_importing_the_app_reads_no_settings_and_nothing_heavy() -> None:
    """Azure starts the worker before it knows whose app it will be, and a cold start waits for every import."""
    script = dedent("""
        import json, os, sys

        class Watched(type(os.environ)):
            read = set()
            def __getitem__(self, name):
                self.read.add(name)
                return super().__getitem__(name)

        os.environ.__class__ = Watched
        import function_app
        print(json.dumps({"read": sorted(Watched.read), "modules": sorted(sys.modules)}))
    """)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], env=environment({}), cwd=ROOT, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)

    heavy = {
        "azure.identity",
        "azure.storage",
        "azure.keyvault",
        "msgraph_beta",
        "aiohttp",
        "httpx",
        "jinja2",
        "pydantic",
    }

    assert not set(told["read"]) & {name.upper() for name in Settings.model_fields}
    assert not heavy & set(told["modules"])
    assert not [name for name in told["modules"] if name.startswith("connector.")]


@pytest.mark.parametrize(("method", "route"), sorted(ROUTES))
def test_without_the_key_nothing_is_answered(app: FunctionApp, method: str, route: str) -> None:
    """Neither without one nor with a wrong one."""
    target = route.replace("{run}", "20261123T020004Z-1a2b")

    assert app.request(method, target, key=None).status_code == 401
    assert app.request(method, target, key="wrong").status_code == 401


# --- setup ------------------------------------------------------------------------------------------------------------


def test_setup_goes_on_until_all_is_done(app: FunctionApp, world: Contoso, unset: dict[str, str]) -> None:
    """202 with where and when to ask again while the schema is being registered, 200 in the end."""
    world.tenant.graph.schema_seconds = 3600
    try:
        first = app.post("setup")
        second = app.post("setup")
    finally:
        world.tenant.graph.schema_seconds = 0
    schemas_are_registered(world)
    third = app.post("setup")

    for answer in (first, second):
        assert answer.status_code == 202
        assert answer.headers["location"] == "/api/admin/setup"
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["state"] == "in progress"
        assert [step["name"] for step in answer.json()["steps"]] == STEPS
        assert [step["state"] for step in answer.json()["steps"]][:2] == ["done", "in progress"]
    assert third.status_code == 200
    assert third.json()["state"] == "ready"
    assert [step["state"] for step in third.json()["steps"]] == ["done"] * 5
    assert set(world.tenant.graph.connections[unset["CONNECTION_ID"]].authorized) == {ADMIN_CLIENT_ID, INGEST_CLIENT_ID}


def test_looking_at_setup_changes_nothing(app: FunctionApp, world: Contoso, unset: dict[str, str]) -> None:
    """GET answers 200 with the same body whatever the state, and only reads."""
    seen = len(world.tenant.graph.requests)

    view = app.get("setup")

    assert view.status_code == 200
    assert view.json()["state"] == "absent"
    assert [step["name"] for step in view.json()["steps"]] == STEPS
    assert {request.method for request in world.tenant.graph.requests[seen:]} == {"GET"}
    assert unset["CONNECTION_ID"] not in world.tenant.graph.connections


def test_looking_at_setup_shows_when_it_is_ready(app: FunctionApp, ready: dict[str, str]) -> None:
    """The same body that POST answered."""
    assert app.get("setup").json() == app.post("setup").json()
    assert app.get("setup").json()["state"] == "ready"


def test_registering_needs_a_connection(app: FunctionApp, unset: dict[str, str]) -> None:
    """409 with the reason before setup."""
    answer = app.post("register")

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "not_ready"
    assert "run setup first" in answer.json()["error"]["message"]


def test_registering_again_can_move_the_source_to_the_top(
    app: FunctionApp, world: Contoso, ready: dict[str, str]
) -> None:
    """Somebody else's source came in front of ours; only ``priority=first`` changes that."""
    graph = world.tenant.graph
    graph.add_source("other-hr")

    kept = app.post("register")
    order = graph.priorities()
    moved = app.post("register", params={"priority": "first"})

    assert (kept.status_code, moved.status_code) == (200, 200)
    assert order.index("other-hr") < order.index(ready["CONNECTION_ID"])
    assert graph.priorities()[0] == ready["CONNECTION_ID"]
    assert set(graph.priorities()) == set(order)


@pytest.mark.parametrize("target", ["setup", "setup?confirm=", "setup?confirm=somethingelse"])
def test_teardown_needs_the_connections_id(
    app: FunctionApp, world: Contoso, ready: dict[str, str], target: str
) -> None:
    """400 without the right ``confirm``, and all stays."""
    answer = app.delete(target)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"
    assert ready["CONNECTION_ID"] in world.tenant.graph.connections


def test_teardown_goes_on_until_all_is_gone(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """202 while Graph still believes in the priority, then 200; foreign entries stay."""
    graph = world.tenant.graph
    before = [source for source in graph.priorities() if source != ready["CONNECTION_ID"]]
    target = f"setup?confirm={ready['CONNECTION_ID']}"
    graph.priority_lag_seconds = 3600
    try:
        first = app.delete(target)
    finally:
        graph.priority_lag_seconds = 0
    for source in graph.sources.values():
        source.prioritized_until = 0

    second = app.delete(target)
    third = app.delete(target)

    assert first.status_code == 202
    assert first.headers["location"] == "/api/admin/setup"
    assert int(first.headers["retry-after"]) > 0
    assert first.json()["state"] == "in progress"
    assert (second.status_code, second.json()["state"]) == (200, "absent")
    assert third.status_code == 200
    assert ready["CONNECTION_ID"] not in graph.connections
    assert ready["CONNECTION_ID"] not in graph.sources
    assert graph.priorities() == before


def test_a_torn_down_connection_can_be_set_up_anew(app: FunctionApp, ready: dict[str, str]) -> None:
    """With nothing left over from before."""
    app.delete(f"setup?confirm={ready['CONNECTION_ID']}")

    assert app.get("status").json()["connection"]["state"] == "absent"
    assert app.post("setup").status_code == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "setup"), ("GET", "setup"), ("POST", "register"), ("DELETE", "setup?confirm={CONNECTION_ID}")],
)
def test_administration_can_be_switched_off(
    app: FunctionApp, world: Contoso, ready: dict[str, str], method: str, target: str
) -> None:
    """403, and the admin identity is not used at all."""
    seen = len(world.tenant.graph.requests)

    with app.under({"ADMIN_ENABLED": "false"}):
        answer = app.request(method, target.format(**ready))

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "forbidden"
    assert "ADMIN_ENABLED" in answer.json()["error"]["message"]
    assert world.tenant.graph.requests[seen:] == []


def test_graphs_refusal_is_a_bad_gateway(app: FunctionApp, world: Contoso, unset: dict[str, str]) -> None:
    """502 with a sentence that says which identity lacks what."""
    entra = world.tenant.entra
    entra.withdraw(ADMIN_CLIENT_ID, "ExternalConnection.ReadWrite.OwnedBy")
    try:
        answer = app.post("setup")
    finally:
        entra.grant(ADMIN_CLIENT_ID, "ExternalConnection.ReadWrite.OwnedBy")

    assert answer.status_code == 502
    assert "admin" in answer.json()["error"]["message"]
    assert "ExternalConnection.ReadWrite.OwnedBy" in answer.json()["error"]["message"]


# --- syncing ----------------------------------------------------------------------------------------------------------


def test_the_timer_applies_an_export(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """The main job: what HR dropped is in Graph after the tick, and the run can be looked at."""
    drop(world, ready, FIRST_NIGHT)

    error = app.fire("sync_people")

    report = run_report(app)
    whole = app.get(f"runs/{report['run']}")
    status = app.get("status").json()
    assert error is None
    assert len(world.tenant.graph.connections[ready["CONNECTION_ID"]].items) == 23
    assert (report["outcome"], report["trigger"], report["created"], report["unmatched"]) == (
        "completed",
        "timer",
        23,
        0,
    )
    assert whole.status_code == 200
    assert report.items() <= whole.json().items()
    assert status["connection"]["state"] == "ready"
    assert status["ledger"]["items"] == 23
    assert status["last_export"]["name"] == "people.csv"
    assert (status["held"], status["paused"], status["stale"]) == (None, False, False)
    assert [run["run"] for run in status["runs"]] == [report["run"]]
    assert set(status["credentials"]) == {"admin", "ingest"}


def test_before_setup_a_tick_waits(app: FunctionApp, world: Contoso, unset: dict[str, str]) -> None:
    """The timer may well be there first; that is no failure."""
    drop(world, unset, FIRST_NIGHT)

    error = app.fire("sync_people")

    assert error is None
    assert app.get("runs").json() == {"runs": []}


def test_an_idle_tick_leaves_no_report(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Nothing was dropped, so nothing is done or written, and Graph is not asked."""
    seen = len(world.tenant.graph.requests)

    error = app.fire("sync_people")

    assert error is None
    assert app.get("runs").json() == {"runs": []}
    assert world.tenant.graph.requests[seen:] == []


def test_a_failed_run_fails_the_invocation_with_the_cause(
    app: FunctionApp, world: Contoso, ready: dict[str, str]
) -> None:
    """Whoever watches invocations sees it, and the sentence says which identity lacks what."""
    drop(world, ready, FIRST_NIGHT)
    entra = world.tenant.entra
    entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    try:
        error = app.fire("sync_people")
    finally:
        entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")

    report = run_report(app)
    assert error is not None
    assert error["type"] == "ConnectorError"
    assert error["message"] == report["error"]["message"]
    assert "ExternalItem.ReadWrite.OwnedBy" in error["message"]
    assert report["outcome"] == "failed"


def test_a_refused_export_does_not_fail_the_invocation(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """HR's mistake is in report and log; the app works as it should."""
    drop(world, ready, b"Name,Town\nSomebody,Somewhere\n")

    error = app.fire("sync_people")

    assert error is None
    assert run_report(app)["outcome"] == "refused"
    assert run_report(app)["error"]["code"] == "missing_column"


def test_nothing_that_is_logged_is_about_a_person(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Whatever goes well or wrong: no name, UPN, mail, phone or key is in anything the process ever printed."""
    graph = world.tenant.graph
    drop(world, ready, FIRST_NIGHT)
    graph.fault_when(lambda seen: seen.method == "PUT", Refused(400, message="Helena Lindqvist is no good"), times=2)
    app.fire("sync_people")
    drop(world, ready, SECOND_NIGHT)
    app.fire("sync_people")
    app.get(f"runs/{run_report(app)['run']}")
    app.get("status")
    personal = {
        row[column].casefold()
        for night in (FIRST_NIGHT, SECOND_NIGHT)
        for row in csv.DictReader(io.StringIO(night.decode()))
        for column in ("EmployeeId", "UserPrincipalName", "DisplayName", "FirstName", "LastName", "Email", "Phone")
        if row[column]
    }

    log = app.log.read_text().casefold()

    assert '"event": "sync.completed"' in log
    assert '"event": "item.failed"' in log
    assert [value for value in personal if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", log)] == []


@pytest.mark.parametrize(("body", "full"), [(b"", False), (b"{}", False), (b'{"full": true}', True)])
def test_a_sync_can_be_asked_for(
    app: FunctionApp, world: Contoso, ready: dict[str, str], body: bytes, *, full: bool
) -> None:
    """202, and the next tick runs without a new export; with ``full`` it sends everyone again."""
    drop(world, ready, FIRST_NIGHT)
    app.fire("sync_people")

    answer = app.post("sync", content=body)
    app.fire("sync_people")
    app.fire("sync_people")

    runs = app.get("runs").json()["runs"]
    assert answer.status_code == 202
    assert answer.json()["full"] is full
    assert len(runs) == 2
    assert runs[0]["reasons"] == ["request"]
    assert (runs[0]["updated"], runs[0]["unchanged"]) == ((23, 0) if full else (0, 23))


@pytest.mark.parametrize("body", [b"full", b"[]", b'{"full": "yes"}', b'{"everyone": true}', b"\xff"])
def test_a_wish_that_makes_no_sense_is_refused(app: FunctionApp, ready: dict[str, str], body: bytes) -> None:
    """400, and the next tick does nothing."""
    answer = app.post("sync", content=body)

    assert answer.status_code == 400
    assert answer.json() == {"error": {"code": "bad_request", "message": 'the body must be empty or {"full": true}'}}
    assert app.get("status").json()["next_tick"]["work"] == []


def test_as_many_runs_are_listed_as_are_asked_for(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Newest first."""
    drop(world, ready, FIRST_NIGHT)
    app.fire("sync_people")
    app.post("sync")
    app.fire("sync_people")

    every = [run["run"] for run in app.get("runs").json()["runs"]]
    newest = [run["run"] for run in app.get("runs?limit=1").json()["runs"]]

    assert len(every) == 2
    assert every == sorted(every, reverse=True)
    assert newest == every[:1]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1.5"])
def test_a_limit_that_makes_no_sense_is_refused(app: FunctionApp, ready: dict[str, str], limit: str) -> None:
    """400 with what is allowed."""
    answer = app.get("runs", params={"limit": limit})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "limit must be a number from 1 to 100"


@pytest.mark.parametrize("run", ["20261123T020004Z-1a2b", "nonsense", "..%2F..%2Fconnector-state", "%E2%82%AC"])
def test_an_unknown_run_is_not_found(app: FunctionApp, ready: dict[str, str], run: str) -> None:
    """404, whatever it looks like."""
    answer = app.get(f"runs/{run}")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


# --- deciding ---------------------------------------------------------------------------------------------------------

ADA = {"by": "Ada Okafor", "reason": "HR moves"}
STRICT = {"MIN_DELETE_ALLOWANCE": "0", "MAX_DELETE_PERCENT": "0"}


def test_what_is_held_is_released_by_an_approval(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """202 for exactly what waits, and the next tick does it; another hash is 409, another run 404, no hash 400."""
    items = world.tenant.graph.connections[ready["CONNECTION_ID"]].items
    drop(world, ready, FIRST_NIGHT)
    with app.under({**STRICT, "LEAVER_GRACE_EXPORTS": "0"}):
        app.fire("sync_people")
        drop(world, ready, SECOND_NIGHT)
        app.fire("sync_people")
        held = run_report(app)
        body = {"plan": held["plan"], "by": "Ada Okafor"}
        there = len(items)

        wrong = app.post(f"runs/{held['run']}/approve", json={**body, "plan": "sha256:0"})
        unknown = app.post("runs/20200101T000000Z-0001/approve", json=body)
        bad = app.post(f"runs/{held['run']}/approve", json={"plan": held["plan"]})
        approved = app.post(f"runs/{held['run']}/approve", json=body)
        waiting = app.get("status").json()
        error = app.fire("sync_people")
        again = app.post(f"runs/{held['run']}/approve", json=body)

    report = run_report(app)
    assert held["outcome"] == "held"
    assert [answer.status_code for answer in (wrong, unknown, bad, approved, again)] == [409, 404, 400, 202, 409]
    assert approved.json().items() >= {"run": held["run"], **body}.items()
    assert [(each["plan"], each["by"]) for each in waiting["approvals"]] == [(held["plan"], "Ada Okafor")]
    assert waiting["next_tick"]["work"] == ["approval"]
    assert error is None
    assert (report["outcome"], report["deleted"], report["approved"]["by"]) == ("completed", held["held"], "Ada Okafor")
    assert len(items) == there - held["held"]
    assert "Okafor" not in app.log.read_text()


def test_what_cannot_be_used_cannot_be_approved(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """409 that says so."""
    drop(world, ready, b"Name,Town\nSomebody,Somewhere\n")
    app.fire("sync_people")
    refused = run_report(app)

    answer = app.post(f"runs/{refused['run']}/approve", json={"plan": refused["plan"], "by": "Ada Okafor"})

    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "not_approvable"


def test_paused_nothing_is_done_until_it_is_resumed(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Ticks say that they are paused, status says by whom and why; resumed, the next one does what is due."""
    drop(world, ready, FIRST_NIGHT)

    paused = app.post("pause", json=ADA)
    error = app.fire("sync_people")
    status = app.get("status").json()
    runs = app.get("runs").json()["runs"]
    resumed = app.post("resume", json={"by": "Ben Achebe", "reason": "done"})
    app.fire("sync_people")

    assert (paused.status_code, resumed.status_code) == (200, 200)
    assert (paused.json()["paused"], resumed.json()["paused"]) == (True, False)
    assert error is None
    assert runs == []
    assert status["paused"] is True
    assert status["pause"].items() >= ADA.items()
    assert run_report(app)["outcome"] == "completed"
    assert '"event": "sync.paused"' in app.log.read_text()
    assert "HR moves" not in app.log.read_text()


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b'{"by": "Ada"}'])
def test_a_pause_without_a_name_and_a_reason_is_refused(app: FunctionApp, ready: dict[str, str], body: bytes) -> None:
    """400 that names what is missing, and nothing is paused."""
    answer = app.post("pause", content=body)

    assert answer.status_code == 400
    assert app.get("status").json()["paused"] is False


# --- health and settings ----------------------------------------------------------------------------------------------


def checks(answer: Any) -> dict[str, str]:
    """Return each check's status by its name."""
    return {check["name"]: check["status"] for check in answer.json()["checks"]}


def blobs(world: Contoso) -> dict[str, str]:
    """Return every blob in storage with its ETag."""
    with world.storage() as account:
        return {
            f"{container.name}/{blob.name}": blob.etag
            for container in account.list_containers()
            for blob in account.get_container_client(container.name).list_blobs()
        }


def test_before_setup_health_does_not_know_the_connection(app: FunctionApp, unset: dict[str, str]) -> None:
    """That is no failure: everything else is looked at and right."""
    answer = app.get("health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert checks(answer) == {
        "settings": "ok",
        "vault": "ok",
        "admin-roles": "ok",
        "ingest-roles": "ok",
        "containers": "ok",
        "connection": "unknown",
        "ingest-access": "unknown",
        "profile-source": "unknown",
        "priority": "unknown",
        "entra-source": "unknown",
        "export": "unknown",
        "ledger": "ok",
        "sync": "ok",
    }
    assert all(
        set(check) == {"name", "status", "detail", "why", "advice", "findings"} for check in answer.json()["checks"]
    )


def test_after_setup_health_waits_for_the_first_export(app: FunctionApp, ready: dict[str, str]) -> None:
    """Nothing has failed; only an item that was sent can prove that the ingest app is let in."""
    answer = app.get("health")

    assert answer.status_code == 200
    assert {name for name, status in checks(answer).items() if status != "ok"} == {"ingest-access", "export"}
    assert set(checks(answer).values()) == {"ok", "unknown"}


def test_after_the_first_sync_health_is_good(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Genuine storage takes the question whether we may write, and holds nothing more than before."""
    drop(world, ready, FIRST_NIGHT)
    app.fire("sync_people")
    before = blobs(world)

    answer = app.get("health")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert set(checks(answer).values()) == {"ok"}
    assert blobs(world) == before


def test_health_without_the_admin_identity_tells_what_it_saw(app: FunctionApp, ready: dict[str, str]) -> None:
    """Neither its secret nor its token is asked for; what setup saw is told with its age."""
    with app.under({"ADMIN_ENABLED": "false", "ADMIN_CREDENTIAL_NAME": "no-such-secret"}):
        answer = app.get("health")

    (priority,) = (check for check in answer.json()["checks"] if check["name"] == "priority")
    assert answer.status_code == 200
    assert priority["status"] == "ok"
    assert priority["detail"].endswith("ago, since ADMIN_ENABLED is false")


def test_a_missing_role_makes_health_fail(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """503, with the role and the identity that lacks it."""
    entra = world.tenant.entra
    entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")
    try:
        answer = app.get("health")
    finally:
        entra.grant(INGEST_CLIENT_ID, "User.Read.All")

    (failed,) = (check for check in answer.json()["checks"] if check["status"] == "failed")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failed"
    assert failed["name"] == "ingest-roles"
    assert "User.Read" in failed["advice"]


def test_a_missing_container_makes_health_fail(app: FunctionApp, unset: dict[str, str]) -> None:
    """The check names it."""
    with app.under({"QUARANTINE_CONTAINER": "not-there"}):
        answer = app.get("health")

    assert answer.status_code == 503
    assert checks(answer)["containers"] == "failed"
    assert "not-there" in answer.text


def test_health_lists_every_problem_of_the_settings(app: FunctionApp) -> None:
    """All at once, one check each."""
    with app.under({"TENANT_ID": None, "SLICE_SECONDS": "3600", "CONTRACT": "walkthrough", "ADMIN_CLIENT_ID": "me"}):
        answer = app.get("health")

    problems = [check["detail"] for check in answer.json()["checks"]]
    assert answer.status_code == 503
    assert answer.json()["status"] == "failed"
    assert {problem.split(":")[0] for problem in problems} == {
        "TENANT_ID",
        "SLICE_SECONDS",
        "CONTRACT",
        "ADMIN_CLIENT_ID",
    }


def test_health_knows_whether_the_mapping_is_there(app: FunctionApp, ready: dict[str, str]) -> None:
    """It is a setting like any other, though it is a file."""
    with app.under({"MAPPING": "nonsense"}):
        answer = app.get("health")

    (check,) = answer.json()["checks"]
    assert answer.status_code == 503
    assert (check["name"], check["status"]) == ("settings", "failed")
    assert check["detail"] == (
        "MAPPING: there is no mapping 'nonsense'; there are: bamboohr, csv2scim, default, successfactors, tutorial,"
        " workday, or blob:NAME"
    )


def test_health_looks_for_a_mapping_in_a_blob(app: FunctionApp, ready: dict[str, str]) -> None:
    """A mapping of the operator's own that is not where the setting says is told in the same way."""
    with app.under({"MAPPING": "blob:ours.toml"}):
        answer = app.get("health")

    (check,) = (check for check in answer.json()["checks"] if check["status"] == "failed")
    assert answer.status_code == 503
    assert check["detail"] == "MAPPING: there is no blob ours.toml in connector-state"
    assert len(answer.json()["checks"]) > 1


def test_wrong_settings_are_heard_of_in_the_log(app: FunctionApp, ready: dict[str, str]) -> None:
    """The timer fails before anything begins; whoever watches the log for events hears of it."""
    with app.under({"TENANT_ID": None}):
        error = app.fire("sync_people")

    events = [line for line in app.log.read_text().splitlines() if '"sync.failed"' in line]
    assert error is not None
    assert '"configuration"' in events[-1]
    assert "TENANT_ID" in events[-1]


def test_a_priority_that_makes_no_sense_is_bad_input(app: FunctionApp, ready: dict[str, str]) -> None:
    """400 with what is allowed, instead of a wish that is silently not heard."""
    answer = app.post("register", params={"priority": "last"})

    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "priority: allowed are first and keep"


@pytest.mark.parametrize(("method", "route"), sorted(ROUTES - {("GET", "health")}))
def test_with_wrong_settings_everything_is_unavailable(app: FunctionApp, method: str, route: str) -> None:
    """503, with the same list in the envelope of every error."""
    with app.under({"TENANT_ID": None, "SLICE_SECONDS": "3600"}):
        answer = app.request(method, route.replace("{run}", "20261123T020004Z-1a2b"))

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "configuration"
    assert "TENANT_ID" in answer.json()["error"]["message"]
    assert "SLICE_SECONDS" in answer.json()["error"]["message"]


def test_with_wrong_settings_the_timer_fails_with_the_list(app: FunctionApp) -> None:
    """An app that does nothing must be seen to fail."""
    with app.under({"TENANT_ID": None}):
        error = app.fire("sync_people")

    assert error is not None
    assert error["type"] == "ConfigurationError"
    assert "TENANT_ID" in error["message"]


def test_a_mistake_of_ours_is_told_without_what_it_was_about(
    app: FunctionApp, world: Contoso, unset: dict[str, str]
) -> None:
    """500 without a body; the host logs what was raised, so that says where, and nothing of the data."""
    strange = ExportMark("people.csv", "etag", "Ada Lovelace")  # type: ignore[arg-type]
    with world.storage() as account:
        for name, data in (("head.json", dump_head(Head(applied=strange))), ("connection.json", b"{}")):
            account.get_blob_client(STATE, f"{unset['CONNECTION_ID']}/{name}").upload_blob(data)

    drop(world, unset, FIRST_NIGHT)

    answer = app.get("status")
    error = app.fire("sync_people")

    assert (answer.status_code, answer.content) == (500, b"")
    assert error is not None
    assert error["type"] == "InternalError"
    assert error["message"].startswith("internal error: TypeError at ")
    assert "InternalError: internal error: TypeError at " in app.log.read_text()
    assert "Lovelace" not in app.log.read_text()


def test_functions_answer_side_by_side(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """One worker process serves them all, each invocation with connections of its own; a running sync stops none."""
    drop(world, ready, FIRST_NIGHT)
    targets = ["status", "health", "runs", "setup"] * 3
    with ThreadPoolExecutor() as pool:
        answers = pool.map(app.get, targets)
        error = app.fire("sync_people")

    assert [answer.status_code for answer in answers] == [200] * len(targets)
    assert error is None
    assert run_report(app)["created"] == 23


def test_storage_that_does_not_answer_is_unavailable(app: FunctionApp, unset: dict[str, str]) -> None:
    """503 with the container's name and what to check."""
    with app.under({"REPORTS_CONTAINER": "not-there"}):
        answer = app.get("runs")

    assert answer.status_code == 503
    assert "not-there" in answer.json()["error"]["message"]


def test_a_vault_that_does_not_answer_is_told(app: FunctionApp, unset: dict[str, str]) -> None:
    """503 for setup, with the identity whose secret could not be read."""
    with app.under({"KEY_VAULT_URL": "https://localhost:1"}):
        answer = app.post("setup")

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "credential"
    assert "admin identity" in answer.json()["error"]["message"]
