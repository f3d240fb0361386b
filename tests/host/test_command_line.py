"""The command line, each command in a process of its own, on the local tenant."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from connector.core.head import ExportMark, Head, dump_head
from tests.host.world import (
    FIRST_NIGHT,
    SECOND_NIGHT,
    FunctionApp,
    command,
    drop,
    environment,
    fresh,
    schemas_are_registered,
)
from tests.tenant import INGEST_CLIENT_ID
from tests.tenant.contoso import ROOT, STATE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tenant.contoso import Contoso

pytestmark = [pytest.mark.host, pytest.mark.azurite, pytest.mark.contracts("labels")]

both_contracts = pytest.mark.contracts("labels", "preview")
"""What the command line does is the same under either contract; so these are the tests of what it shows of one."""

DONE, FAILED, USAGE, HELD, NOT_READY, INTERRUPTED = 0, 1, 2, 3, 4, 130
COMMANDS = ["setup", "register", "teardown", "sync", "status", "runs", "approve", "pause", "resume", "doctor"]
GROUPS = ["mapping"]
REQUIRED = {
    "teardown": ("--confirm", "x"),
    "approve": ("20261123T020004Z-1a2b", "--plan", "sha256:0", "--by", "Ada Okafor"),
    "pause": ("--by", "Ada Okafor", "--reason", "audit"),
    "resume": ("--by", "Ada Okafor"),
}
"""What some commands cannot do without."""


@pytest.fixture
def unset(world: Contoso) -> dict[str, str]:
    """Return the settings of a connection that nobody has set up."""
    return fresh(world)


@pytest.fixture
def ready(app: FunctionApp, unset: dict[str, str]) -> dict[str, str]:
    """Return the settings of a connection that is set up."""
    with app.under(unset):
        assert app.post("setup").status_code == 200
    return unset


def get(app: FunctionApp, settings: dict[str, str], target: str) -> Any:
    """Return what the function app answers under the same settings."""
    with app.under(settings):
        return app.get(target).json()


def synced(app: FunctionApp, world: Contoso, settings: dict[str, str]) -> str:
    """Let the timer apply the first night's export, and return the run."""
    drop(world, settings, FIRST_NIGHT)
    with app.under(settings):
        assert app.fire("sync_people") is None
        run: str = app.get("runs").json()["runs"][0]["run"]
    return run


# --- setup ------------------------------------------------------------------------------------------------------------


@both_contracts
def test_setup_waits_until_all_is_done(world: Contoso, unset: dict[str, str]) -> None:
    """One line per step, exit code 0; a second time it finds everything done."""
    first = command(unset, "setup")
    second = command(unset, "setup", "--json")

    steps = ["connection", "schema", "profile-source", "priority", "settle"]
    assert (first.code, first.err) == (DONE, "")
    assert [line.split()[:2] for line in first.out.splitlines()] == [["✓", step] for step in steps]
    assert unset["CONNECTION_ID"] in world.tenant.graph.connections
    assert (second.code, second.json()["state"]) == (DONE, "ready")


def test_setup_asks_again_until_the_registration_has_settled(unset: dict[str, str]) -> None:
    """It waits as long as it is told to; in a pipe each step is told once."""
    told = command({**unset, "REGISTRATION_SETTLE_SECONDS": "1"}, "setup")

    assert told.code == DONE
    assert [line.split()[1] for line in told.out.splitlines()][-1] == "settle"
    assert told.out.count("\n") == 5


def test_setup_without_waiting_is_not_ready_yet(app: FunctionApp, world: Contoso, unset: dict[str, str]) -> None:
    """Exit code 4 after one step, with the body that HTTP answers."""
    world.tenant.graph.schema_seconds = 3600
    try:
        told = command(unset, "setup", "--no-wait")
        as_json = command(unset, "setup", "--no-wait", "--json")
    finally:
        world.tenant.graph.schema_seconds = 0

    assert told.code == as_json.code == NOT_READY
    assert [line.split()[:2] for line in told.out.splitlines()][:2] == [["✓", "connection"], ["…", "schema"]]
    assert as_json.json() == get(app, unset, "setup")
    schemas_are_registered(world)
    assert command(unset, "setup", "--no-wait").code == DONE


def test_registering_before_setup_is_not_ready(unset: dict[str, str]) -> None:
    """Exit code 4, and one sentence on standard error."""
    told = command(unset, "register")

    assert (told.code, told.out) == (NOT_READY, "")
    assert told.err.count("\n") == 1
    assert "run setup first" in told.err


def test_registering_can_move_the_source_to_the_top(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """With ``--priority first``, as over HTTP."""
    world.tenant.graph.add_source("other-hr")

    told = command(ready, "register", "--priority", "first", "--json")

    assert told.code == DONE
    assert told.json() == get(app, ready, "setup")
    assert world.tenant.graph.priorities()[0] == ready["CONNECTION_ID"]


def test_a_priority_that_makes_no_sense_is_bad_usage(ready: dict[str, str]) -> None:
    """Exit code 2 with what is allowed."""
    told = command(ready, "register", "--priority", "last")

    assert told.code == USAGE
    assert told.err == "priority: allowed are first and keep\n"


@both_contracts
def test_teardown_removes_what_setup_made(world: Contoso, ready: dict[str, str]) -> None:
    """Only under the connection's id; exit code 2 otherwise."""
    without = command(ready, "teardown")
    wrong = command(ready, "teardown", "--confirm", "something")
    kept = ready["CONNECTION_ID"] in world.tenant.graph.connections

    right = command(ready, "teardown", "--confirm", ready["CONNECTION_ID"])

    assert (without.code, wrong.code, right.code) == (USAGE, USAGE, DONE)
    assert "--confirm" in without.err
    assert ready["CONNECTION_ID"] in wrong.err
    assert kept
    assert [line.split() for line in right.out.splitlines()] == [
        ["✓", "priority", "removed"],
        ["✓", "profile-source", "removed"],
        ["✓", "connection", "removed"],
    ]
    assert ready["CONNECTION_ID"] not in world.tenant.graph.connections


def test_teardown_without_waiting_is_not_ready_yet(world: Contoso, ready: dict[str, str]) -> None:
    """Exit code 4 while Graph still believes in the priority."""
    graph = world.tenant.graph
    graph.priority_lag_seconds = 3600
    try:
        told = command(ready, "teardown", "--confirm", ready["CONNECTION_ID"], "--no-wait", "--json")
    finally:
        graph.priority_lag_seconds = 0

    assert (told.code, told.json()["state"]) == (NOT_READY, "in progress")


def test_administration_can_be_switched_off(ready: dict[str, str]) -> None:
    """A decision of the operator's, so the command fails and says so."""
    told = command({**ready, "ADMIN_ENABLED": "false"}, "setup")

    assert (told.code, told.out) == (FAILED, "")
    assert "ADMIN_ENABLED" in told.err


# --- syncing ----------------------------------------------------------------------------------------------------------


def test_sync_before_setup_is_not_ready(unset: dict[str, str]) -> None:
    """Exit code 4 and what to do."""
    told = command(unset, "sync")
    as_json = command(unset, "sync", "--json")

    assert told.code == as_json.code == NOT_READY
    assert told.out == "Setup has not finished: run `python -m connector setup`.\n"
    assert as_json.json() == {"state": "not_ready"}


def test_sync_without_an_export_has_nothing_to_do(ready: dict[str, str]) -> None:
    """Exit code 0."""
    told = command(ready, "sync")

    assert (told.code, told.out) == (DONE, "Nothing is due.\n")


@both_contracts
def test_sync_prints_the_runs_report(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """With ``--json`` the report itself, for people its numbers; nothing but log events on standard error."""
    drop(world, ready, FIRST_NIGHT)
    first = command(ready, "sync", "--json")
    drop(world, ready, SECOND_NIGHT)
    second = command(ready, "sync")

    run = first.json()["run"]
    assert (first.code, first.err, second.code, second.err) == (DONE, "", DONE, "")
    assert first.json() == get(app, ready, f"runs/{run}")
    assert (first.json()["outcome"], first.json()["trigger"], first.json()["created"]) == ("completed", "cli", 23)
    lines = dict(line.split(maxsplit=1) for line in second.out.splitlines()[1:])
    assert second.out.splitlines()[0].endswith(": completed")
    assert {name: lines[name].strip() for name in ("created", "updated", "deleted", "rejected", "grace")} == {
        "created": "1",
        "updated": "7",
        "deleted": "1",
        "rejected": "1",
        "grace": "1",
    }


def test_sync_runs_now_whatever_is_due(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Whoever says sync wants one: without a new export it is ``unchanged``, with ``--full`` everyone is sent again."""
    synced(app, world, ready)

    again = command(ready, "sync", "--json")
    full = command(ready, "sync", "--full", "--json")

    assert (again.code, again.json()["outcome"], again.json()["graph"]["requests"]) == (DONE, "unchanged", 0)
    assert (full.code, full.json()["outcome"], full.json()["updated"]) == (DONE, "completed", 23)


@both_contracts
def test_items_are_read_back_on_request(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """As many as are asked for; what drifted is told, and sent again by the next run."""
    synced(app, world, ready)
    items = world.tenant.graph.connections[ready["CONNECTION_ID"]].items
    items.pop(next(iter(items)))

    told = command(ready, "sync", "--verify", "100", "--json")
    mended = command(ready, "sync")
    shown = command(ready, "sync", "--verify", "5")
    senseless = command(ready, "sync", "--verify", "0")

    assert (told.code, told.json()["verified"]["same"], told.json()["verified"]["vanished"]) == (DONE, 22, 1)
    assert "updated" in mended.out
    assert "read back 5 asked, 5 same" in " ".join(shown.out.split())
    assert len(items) == 23
    assert senseless.code == USAGE


def test_a_failed_run_does_not_wait_for_its_turn(world: Contoso, ready: dict[str, str]) -> None:
    """Exit code 1 and the cause; once that is mended, sync goes on at once, however long ticks would wait."""
    drop(world, ready, FIRST_NIGHT)
    entra = world.tenant.entra
    entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    try:
        failed = command(ready, "sync")
    finally:
        entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")

    mended = command(ready, "sync", "--json")

    assert failed.code == FAILED
    assert failed.out.splitlines()[0].endswith(": failed")
    assert "ExternalItem.ReadWrite.OwnedBy" in failed.out
    assert (mended.code, mended.json()["outcome"]) == (DONE, "completed")
    assert len(world.tenant.graph.connections[ready["CONNECTION_ID"]].items) == 23


def test_held_deletions_have_an_exit_code_of_their_own(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """3: the upserts are done, and somebody has to decide about the rest."""
    synced(app, world, ready)
    drop(world, ready, SECOND_NIGHT)

    told = command({**ready, "MIN_DELETE_ALLOWANCE": "0", "MAX_DELETE_PERCENT": "0"}, "sync")

    assert told.code == HELD
    assert told.out.splitlines()[0].endswith(": held")
    assert "deletions: found 1 planned" in told.out
    (advice,) = [
        line for line in told.out.splitlines() if line.startswith("To approve it: python -m connector approve 20")
    ]
    assert " --plan sha256:" in advice
    assert advice.endswith(' --by "YOUR NAME"')
    assert "1 deletions under sha256:" in command(ready, "status").out


@both_contracts
def test_held_deletions_are_approved_at_the_command_line(
    app: FunctionApp, world: Contoso, ready: dict[str, str]
) -> None:
    """The command of the report's page, then a sync, which names who approved it; a hash that waits no more fails."""
    synced(app, world, ready)
    drop(world, ready, SECOND_NIGHT)
    strict = {**ready, "MIN_DELETE_ALLOWANCE": "0", "MAX_DELETE_PERCENT": "0"}
    held = command(strict, "sync", "--json").json()
    words = ("approve", held["run"], "--plan", held["plan"], "--by", "Ada Okafor")

    approved = command(strict, *words)
    report = command(strict, "sync", "--json")
    shown = command(strict, "runs", report.json()["run"])
    again = command(strict, *words, "--json")

    assert held["outcome"] == "held"
    assert approved.code == DONE
    assert "connector sync" in approved.out
    assert (report.code, report.json()["outcome"]) == (DONE, "completed")
    assert report.json()["approved"]["by"] == "Ada Okafor"
    assert "deletions (approved): found 1 planned" in shown.out
    assert (again.code, again.json()["error"]["code"]) == (FAILED, "conflict")


def test_a_pause_holds_until_it_is_resumed(world: Contoso, ready: dict[str, str]) -> None:
    """Sync does nothing and says so (exit code 4), status shows by whom and why."""
    drop(world, ready, FIRST_NIGHT)

    paused = command(ready, "pause", "--by", "Ada Okafor", "--reason", "HR moves")
    nothing = command(ready, "sync")
    status = command(ready, "status")
    resumed = command(ready, "resume", "--by", "Ben Achebe", "--json")
    report = command(ready, "sync", "--json")

    assert (paused.code, nothing.code, resumed.code) == (DONE, NOT_READY, DONE)
    assert "paused" in nothing.out
    assert "HR moves: by Ada Okafor since" in status.out
    assert resumed.json()["paused"] is False
    assert report.json()["outcome"] == "completed"


def test_a_refused_export_is_a_failure(world: Contoso, ready: dict[str, str]) -> None:
    """Exit code 1, and the file's mistake in a sentence; a name in brackets is shown as it is."""
    drop(world, ready, b"Name,Town\nSomebody,Somewhere\n", "people[1] :x:.csv")

    told = command(ready, "sync")

    assert told.code == FAILED
    assert "missing_column: " in told.out
    assert "people[1] :x:.csv" in told.out


def lose_the_ledger(world: Contoso, settings: dict[str, str]) -> None:
    """Cut the connection's newest ledger in half."""
    with world.storage() as account:
        container = account.get_container_client(STATE)
        name = max(container.list_blob_names(name_starts_with=f"{settings['CONNECTION_ID']}/ledger/"))
        whole = container.download_blob(name).readall()
        container.upload_blob(name, whole[: len(whole) // 2], overwrite=True)


def test_a_lost_ledger_is_begun_anew_at_the_command_line(
    app: FunctionApp, world: Contoso, ready: dict[str, str]
) -> None:
    """Timer and command refuse and say what to do, health fails; done, the loss is told in words."""
    synced(app, world, ready)
    items = world.tenant.graph.connections[ready["CONNECTION_ID"]].items
    before = len(items)
    lose_the_ledger(world, ready)
    drop(world, ready, SECOND_NIGHT, "people2.csv")

    with app.under(ready):
        error = app.fire("sync_people")
        refused = app.get("runs").json()["runs"][0]
        health = app.get("health")
    told = command(ready, "sync")
    plan = command(ready, "sync", "--dry-run")
    rebuilt = command(ready, "sync", "--full", "--rebuild")
    after = len(items)
    good = command(ready, "sync", "--json")

    assert error is None
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "ledger_missing")
    assert health.status_code == 503
    assert (told.code, plan.code) == (FAILED, FAILED)
    for answer in (told.out, plan.out + plan.err):
        assert "sync --full --rebuild" in re.sub(r"\s+", " ", answer)
    assert rebuilt.code == DONE
    assert f"the last count was {before}" in re.sub(r"\s+", " ", rebuilt.out)
    assert after >= before
    assert (good.code, good.json()["deleted"]) == (DONE, 0)


def test_while_another_process_works_a_second_one_ends_quietly(
    app: FunctionApp, world: Contoso, ready: dict[str, str]
) -> None:
    """Timer and command do nothing and say so: `sync.tick` in the log, exit code 4, no report, nothing sent."""
    synced(app, world, ready)
    drop(world, ready, SECOND_NIGHT, "people2.csv")
    with world.storage() as account, app.under(ready):
        lease = account.get_blob_client(STATE, f"{ready['CONNECTION_ID']}/head.json").acquire_lease(60)
        before = len(world.tenant.graph.requests)

        told = command(ready, "sync", "--json")
        words = command(ready, "sync")
        error = app.fire("sync_people")
        runs = app.get("runs").json()["runs"]
        sent = len(world.tenant.graph.requests) - before
        lease.release()
        again = app.fire("sync_people")
        report = app.get("runs").json()["runs"][0]

    assert (told.code, told.json()) == (NOT_READY, {"state": "busy"})
    assert (words.code, len(words.out.strip().splitlines())) == (NOT_READY, 1)
    assert (error, again) == (None, None)
    assert (len(runs), sent) == (1, 0)
    assert '"waiting_for": "another run"' in app.log.read_text()
    assert report["outcome"] == "completed"


def test_one_slice_may_leave_the_rest(world: Contoso, ready: dict[str, str]) -> None:
    """Exit code 4 with ``--slice``; without it sync goes on until the run ends."""
    drop(world, ready, FIRST_NIGHT)
    graph = world.tenant.graph
    graph.latency = 0.6  # times 23 is more than a slice, and a slice is much more than it takes to begin
    try:
        slow = {**ready, "SLICE_SECONDS": "6", "MAX_CONCURRENCY": "1"}
        slice_ = command(slow, "sync", "--slice", "--json")
        there = len(graph.connections[ready["CONNECTION_ID"]].items)
    finally:
        graph.latency = 0
    rest = command(ready, "sync", "--json")

    assert (slice_.code, slice_.json()["outcome"]) == (NOT_READY, "partial")
    assert 0 < there < 23
    assert (rest.code, rest.json()["outcome"]) == (DONE, "completed")
    assert (rest.json()["run"], rest.json()["created"], rest.json()["slices"]) == (slice_.json()["run"], 23, 2)


def test_sync_goes_on_until_the_run_ends(world: Contoso, ready: dict[str, str]) -> None:
    """However many slices that takes."""
    drop(world, ready, FIRST_NIGHT)
    graph = world.tenant.graph
    graph.latency = 0.1
    try:
        told = command({**ready, "SLICE_SECONDS": "1", "MAX_CONCURRENCY": "1"}, "sync", "--json")
    finally:
        graph.latency = 0

    assert (told.code, told.json()["outcome"], told.json()["created"]) == (DONE, "completed", 23)
    assert told.json()["slices"] > 1


@both_contracts
def test_a_dry_run_tells_and_does_nothing(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """The plan for people and as JSON; no run, no item, no lease, so that another sync may be at work meanwhile."""
    idle = command(ready, "sync", "--dry-run")
    drop(world, ready, FIRST_NIGHT)

    told = command(ready, "sync", "--dry-run", "--limit", "2")
    as_json = command(ready, "sync", "--dry-run", "--json")

    assert (idle.code, idle.out) == (DONE, "Nothing is due.\n")
    assert (told.code, told.err) == (DONE, "")
    lines = [line.split() for line in told.out.splitlines()]
    assert told.out.startswith("Dry run, which has written nothing: completed")
    assert ["created", "23"] in lines
    assert len([line for line in lines if line[:1] == ["create"]]) == 2
    assert "Expected  23 writes, about 1 s at 25 per second (usual)" in told.out
    assert (as_json.code, as_json.json()["dry_run"], as_json.json()["created"]) == (DONE, True, 23)
    assert len(as_json.json()["samples"]) == 10
    assert world.tenant.graph.connections[ready["CONNECTION_ID"]].items == {}
    assert get(app, ready, "runs") == {"runs": []}


def test_a_dry_run_writes_nothing_anywhere(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Not to storage, where every blob keeps its version; not to the vault; and Graph is only asked for accounts."""
    synced(app, world, ready)
    drop(world, ready, SECOND_NIGHT)
    tenant = world.tenant
    before, graph, vault = blobs(world), len(tenant.graph.requests), len(tenant.vault.requests)

    told = command(ready, "sync", "--dry-run", "--full", "--verbose", "--json")

    assert told.code == DONE
    assert told.json()["updated"] > 0
    assert blobs(world) == before
    assert {method for method, _ in tenant.vault.requests[vault:]} <= {"GET"}
    assert {(each.method, each.path) for each in tenant.graph.requests[graph:]} == {("POST", "/$batch")}
    assert not [each["key"] for each in told.json()["samples"] if each["key"] in told.err]


def blobs(world: Contoso) -> dict[tuple[str, str], tuple[str, str]]:
    """Return every blob of the storage account, with its version and who has leased it."""
    with world.storage() as account:
        return {
            (container.name, blob.name): (str(blob.etag), str(blob.lease.state))
            for container in account.list_containers()
            for blob in account.get_container_client(container.name).list_blobs()
        }


def test_a_dry_run_has_the_exit_code_of_its_outcome(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """3 when deletions would be held, 1 when the export would be refused, 4 before setup, 2 for what makes no sense."""
    synced(app, world, ready)
    drop(world, ready, SECOND_NIGHT)
    held = command({**ready, "MIN_DELETE_ALLOWANCE": "0", "MAX_DELETE_PERCENT": "0"}, "sync", "--dry-run")
    drop(world, ready, b"Name,Town\nSomebody,Somewhere\n")
    refused = command(ready, "sync", "--dry-run")
    unknown = command(fresh(world), "sync", "--dry-run", "--json")
    senseless = command(ready, "sync", "--dry-run", "--slice")

    assert [each.code for each in (held, refused, unknown, senseless)] == [HELD, FAILED, NOT_READY, USAGE]
    assert "✗ deletions" in held.out
    assert "missing_column: " in refused.out
    assert unknown.json() == {"state": "not_ready"}
    assert "--dry-run" in senseless.err


def test_an_interrupted_sync_goes_on_where_it_was(world: Contoso, ready: dict[str, str]) -> None:
    """Ctrl-C ends it in order, without a traceback; the lease is given back, and the next sync sends the rest."""
    drop(world, ready, FIRST_NIGHT)
    graph = world.tenant.graph
    items = graph.connections[ready["CONNECTION_ID"]].items
    graph.latency = 0.2
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, graph, "latency", 0)
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "connector", "sync"],
                env=environment({**ready, "MAX_CONCURRENCY": "1"}),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        while not items:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"it ended with {process.wait(0.02)} before it had sent anything")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        there = len(items)

    rest = command(ready, "sync", "--json")

    assert (process.returncode, out) == (INTERRUPTED, "")
    assert err == "Interrupted. What was done is remembered; the same command goes on.\n"
    assert 0 < there < 23
    assert (rest.code, rest.json()["outcome"], rest.json()["created"]) == (DONE, "completed", 23)
    assert len(items) == 23


# --- looking ----------------------------------------------------------------------------------------------------------


@both_contracts
def test_what_is_looked_at_is_what_http_answers(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """``--json`` prints the same bodies."""
    run = synced(app, world, ready)

    assert command(ready, "status", "--json").json() == get(app, ready, "status")
    assert command(ready, "runs", "--json").json() == get(app, ready, "runs")
    assert command(ready, "runs", run, "--json").json() == get(app, ready, f"runs/{run}")
    assert command(ready, "doctor", "--json").json() == get(app, ready, "health")


def test_status_is_told_in_lines(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """Whole lines, however wide: whoever reads in a pipe wants them so."""
    run = synced(app, world, ready)

    told = command(ready, "status")

    lines = [line.rstrip() for line in told.out.splitlines()]
    assert (told.code, told.err) == (DONE, "")
    assert lines[0] == f"connection     {ready['CONNECTION_ID']}: ready"
    assert lines[1] == "ledger         23 people, 23 items in Graph"
    assert lines[2].startswith("last export    people.csv, ")
    assert lines[3] == "next tick      nothing due"
    assert lines[-1] == f"run            {run}: completed"


def test_runs_are_listed_newest_first(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """As many as are asked for; one of them in whole by its name."""
    none = command(ready, "runs")
    run = synced(app, world, ready)
    command(ready, "sync")

    every = command(ready, "runs")
    newest = command(ready, "runs", "--limit", "1")
    one = command(ready, "runs", run)
    unknown = command(ready, "runs", "20261123T020004Z-1a2b")

    assert none.out == "There are no runs yet.\n"
    assert [line.split()[1] for line in every.out.splitlines()] == ["outcome", "unchanged", "completed"]
    assert every.out.splitlines()[2].split()[0] == run
    assert newest.out.splitlines() == every.out.splitlines()[:2]
    assert one.out.splitlines()[0] == f"Run {run}: completed"
    assert (unknown.code, unknown.out) == (FAILED, "")
    assert "no such run" in unknown.err


def test_doctor_says_what_is_wrong(world: Contoso, unset: dict[str, str]) -> None:
    """Exit code 1 when a check has failed, with advice; before setup an unknown connection is no failure."""
    good = command(unset, "doctor")
    entra = world.tenant.entra
    entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")
    try:
        bad = command(unset, "doctor")
    finally:
        entra.grant(INGEST_CLIENT_ID, "User.Read.All")

    assert good.code == DONE
    assert good.out.splitlines()[0] == "Health: degraded"
    assert "? connection" in good.out
    assert bad.code == FAILED
    assert bad.out.splitlines()[0] == "Health: failed"
    assert "✗ ingest-roles" in bad.out
    assert "· it cannot look people up in Entra" in bad.out
    assert "→ grant User.Read" in bad.out


def test_doctor_looks_on_when_the_mapping_is_wrong(ready: dict[str, str]) -> None:
    """A mapping is a setting, so the exit code is 2; everything else is still looked at."""
    told = command({**ready, "MAPPING": "blob:ours.toml"}, "doctor", "--json")

    failed = [check["name"] for check in told.json()["checks"] if check["status"] == "failed"]
    assert (told.code, failed) == (USAGE, ["settings"])
    assert len(told.json()["checks"]) > 1


# --- settings, usage, errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "doctor"])
def test_every_problem_of_the_settings_is_told(unset: dict[str, str], name: str) -> None:
    """On standard error, one line each, exit code 2; nothing on standard output."""
    wrong = {**unset, "TENANT_ID": "", "SLICE_SECONDS": "3600", "CONTRACT": "walkthrough"}

    told = command(wrong, name, *REQUIRED.get(name, ()))

    assert (told.code, told.out) == (USAGE, "")
    assert {line.split(":")[0] for line in told.err.splitlines()} == {"TENANT_ID", "SLICE_SECONDS", "CONTRACT"}


def test_doctor_lists_the_problems_of_the_settings(unset: dict[str, str]) -> None:
    """As checks, exit code 2."""
    told = command({**unset, "TENANT_ID": "", "SLICE_SECONDS": "3600"}, "doctor", "--json")

    assert told.code == USAGE
    assert [check["detail"].split(":")[0] for check in told.json()["checks"]] == ["TENANT_ID", "SLICE_SECONDS"]


def test_with_json_errors_are_json_too(unset: dict[str, str]) -> None:
    """The body that HTTP would answer, on standard output alone."""
    told = command({**unset, "TENANT_ID": ""}, "status", "--json")

    assert (told.code, told.err) == (USAGE, "")
    assert told.json()["error"]["code"] == "configuration"
    assert told.json()["error"]["message"].startswith("TENANT_ID: ")


@pytest.mark.parametrize("before", [True, False])
def test_a_settings_file_takes_the_place_of_the_environment(
    ready: dict[str, str], tmp_path: Path, *, before: bool
) -> None:
    """Before or after the command; its certificates count even where the machine has others, and relative to here."""
    shutil.copy(ready["SSL_CERT_FILE"], tmp_path / "ca.pem")
    values = {**ready, "SSL_CERT_FILE": "ca.pem", "REQUESTS_CA_BUNDLE": "ca.pem"}
    (tmp_path / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))
    machine = {"SSL_CERT_FILE": "/etc/ssl/cert.pem", "REQUESTS_CA_BUNDLE": "/etc/ssl/cert.pem"}
    option = ["--settings", "local.settings.json"]

    told = command(machine, *(option if before else []), "setup", *([] if before else option), "--json", cwd=tmp_path)

    assert (told.code, told.err) == (DONE, "")
    assert told.json()["state"] == "ready"


def test_the_environment_has_the_last_word_on_settings(ready: dict[str, str], tmp_path: Path) -> None:
    """One setting can be changed for one command, as with Core Tools; an empty one changes nothing."""
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {**ready, "ADMIN_ENABLED": "true"}}))

    changed = command({"ADMIN_ENABLED": "false"}, "setup", "--settings", str(file))
    unchanged = command({"ADMIN_ENABLED": ""}, "setup", "--settings", str(file))

    assert (changed.code, unchanged.code) == (FAILED, DONE)


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"Values": []}', '{"Values": "x"}', "\x00"])
def test_a_settings_file_that_is_none_is_bad_usage(tmp_path: Path, content: str | None) -> None:
    """Exit code 2 and the file's name."""
    file = tmp_path / "local.settings.json"
    if content is not None:
        file.write_text(content)

    told = command({}, "status", "--settings", str(file))

    assert (told.code, told.out) == (USAGE, "")
    assert str(file) in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["sync", "--nonsense"], ["runs", "--limit", "0"], ["runs", "--limit", "many"]]
)
def test_bad_usage_has_its_exit_code(unset: dict[str, str], arguments: list[str]) -> None:
    """2, with how it is used, and without a traceback."""
    told = command(unset, *arguments)

    assert (told.code, told.out) == (USAGE, "")
    assert told.err.startswith("Usage: ")
    assert "Traceback" not in told.err


def test_help_names_every_command() -> None:
    """Without any settings."""
    told = command({}, "--help")

    assert told.code == DONE
    assert [line.split()[0] for line in told.out.split("Commands:")[1].splitlines() if line] == COMMANDS + GROUPS
    assert "..." not in told.out.split("Commands:")[1]


def test_verbose_prints_the_log_events(world: Contoso, ready: dict[str, str]) -> None:
    """One JSON object per line on standard error, beside the answer on standard output."""
    drop(world, ready, FIRST_NIGHT)

    told = command(ready, "sync", "--verbose", "--json")

    events = [json.loads(line)["event"] for line in told.err.splitlines()]
    assert told.code == DONE
    assert events == ["sync.started", "sync.completed"]
    assert told.json()["outcome"] == "completed"


def test_what_cannot_be_reached_is_told_in_a_sentence(unset: dict[str, str]) -> None:
    """Exit code 1, whatever is down: storage or the vault."""
    storage = command({**unset, "STATE_CONTAINER": "not-there"}, "status")
    vault = command({**unset, "KEY_VAULT_URL": "https://localhost:1"}, "setup")

    assert (storage.code, storage.out, vault.code, vault.out) == (FAILED, "", FAILED, "")
    assert "not-there" in storage.err
    assert "vault" in vault.err
    assert storage.err.count("\n") == vault.err.count("\n") == 1


def test_a_mistake_of_ours_is_told_without_what_it_was_about(world: Contoso, unset: dict[str, str]) -> None:
    """Exit code 1, its kind and its place; only ``--verbose`` shows the traceback, whose text may hold anything."""
    strange = ExportMark("people.csv", "etag", "Ada Lovelace")  # type: ignore[arg-type]
    with world.storage() as account:
        name = f"{unset['CONNECTION_ID']}/head.json"
        account.get_blob_client(STATE, name).upload_blob(dump_head(Head(applied=strange)))

    told = command(unset, "status")
    as_json = command(unset, "status", "--json")
    verbose = command(unset, "status", "--verbose")

    assert (told.code, told.out, as_json.code, verbose.code) == (FAILED, "", FAILED, FAILED)
    assert re.fullmatch(r"internal error: TypeError at [\w.]+:\d+ .*\n", told.err)
    assert as_json.json()["error"]["code"] == "internal"
    assert "Traceback" in verbose.err


def on_a_terminal(settings: dict[str, str], *arguments: str, columns: int) -> tuple[int, str]:
    """Run a command on a terminal of this width; return its exit code and all that the terminal was sent."""
    own, its = pty.openpty()
    shown = bytearray()
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "connector", *arguments],
        env=environment({**settings, "TERM": "xterm", "COLUMNS": str(columns)}),
        cwd=ROOT,
        stdout=its,
        stderr=its,
    ) as process:
        os.close(its)
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes there any more
            while piece := os.read(own, 4096):
                shown += piece
    os.close(own)
    return process.returncode, shown.decode()


def test_on_a_terminal_a_bar_moves(world: Contoso, ready: dict[str, str]) -> None:
    """While items are sent; what stays is the report, in lines no wider than the terminal."""
    drop(world, ready, FIRST_NIGHT)

    code, text = on_a_terminal(ready, "sync", columns=60)

    assert code == DONE
    assert "Reading and comparing" in text
    assert "Sending" in text
    assert "23/23" in text
    assert "completed" in text


def test_a_narrow_terminal_shows_whole_names_of_runs(app: FunctionApp, world: Contoso, ready: dict[str, str]) -> None:
    """`runs RUN` wants the name as it is listed."""
    run = synced(app, world, ready)

    code, text = on_a_terminal(ready, "runs", columns=80)

    assert code == DONE
    assert run in text
    assert "completed" in text
    assert "…" not in text
