"""A live run from beginning to end, against the simulated tenant as if it were a genuine one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.simulated import a_tenant, simulated
from tests.live.site import REQUIRED, LeftBehind, open_site
from tests.tenant import TENANT_ID, Tenant
from tests.tenant.contoso import ROOT
from tests.tenant.graph import ENTRA_SOURCE, Failed, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.once


def pytest_run(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, with nothing of ours in its environment but what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LIVE_", "COV_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=120
    )


OTHERWISE = {
    "merges_authorized_app_ids": True,
    "takes_second_registration": True,
    "shows_empty_schemas": True,
    "merges_schemas": True,
    "masks_new_labels": False,
    "priority_lag_seconds": 0.2,
    "id_reuse_seconds": 300,
}
"""The other answers to what nobody knows, and times that pass."""


@pytest.fixture(scope="module", params=[{}, OTHERWISE], ids=["as simulated", "otherwise"])
def visit(request: pytest.FixtureRequest) -> tuple[Tenant, str]:
    """Return a tenant and what a live run that went well has said there."""
    tenant = a_tenant()
    for name, answer in request.param.items():
        assert hasattr(tenant.graph, name)
        setattr(tenant.graph, name, answer)
    with simulated(tenant) as environment:
        done = pytest_run("-m", "live", "tests/live", environment=environment)
    assert done.returncode == 0, done.stdout
    return tenant, done.stdout


def test_a_live_run_checks_every_rule_and_leaves_nothing_behind(visit: tuple[Tenant, str]):
    """It says beforehand what it will do and afterwards what it observed; the tenant is as it was (`simulated`)."""
    tenant, said = visit

    assert "skipped" not in said
    assert f"tests/live works in the tenant {TENANT_ID}" in said
    happens = "is merged into" if tenant.graph.merges_authorized_app_ids else "replaces"
    assert f"observed: a shorter authorizedAppIds {happens} the list" in said
    assert any(seen.method == "PUT" and "/livetest" in seen.path for seen in tenant.graph.requests)


def test_a_live_run_touches_nothing_of_others(visit: tuple[Tenant, str]):
    """Every write is to what carries the name of the visit, but for the priority list, which is restored."""
    tenant, _ = visit

    writes = [seen for seen in tenant.graph.requests if seen.method in {"PUT", "PATCH", "DELETE"}]
    done = [seen for seen in writes if "livetest" not in seen.path and seen.identity == "admin"]
    assert {seen.path.rpartition("/")[0] for seen in done} == {"/admin/people/profilePropertySettings"}


def test_a_live_run_that_goes_wrong_leaves_nothing_behind():
    """Rules fail while Graph takes no items; connections, source and priority list are as before all the same."""
    tenant = a_tenant()
    tenant.graph.fault_when(lambda seen: seen.method == "PUT", Failed(500), times=None)

    with simulated(tenant) as environment:
        environment["LIVE_PATIENCE"] = "1"
        done = pytest_run(
            "-m", "live", "tests/live/test_items.py", "tests/live/test_people.py", "-k", "read or deleted",
            environment=environment,
        )  # fmt: skip

    assert done.returncode == 1
    assert "failed" in done.stdout
    assert any(seen.method == "POST" and seen.path.endswith("/profileSources") for seen in tenant.graph.requests)


def test_a_live_run_without_its_settings_says_what_is_missing():
    """Nothing is tried with half of them."""
    environment = dict.fromkeys(REQUIRED[:3], "x")

    done = pytest_run("-m", "live", "tests/live/test_items.py", environment=environment)

    assert done.returncode != 0
    assert f"a live run needs {', '.join(REQUIRED[3:])}" in done.stdout + done.stderr


def test_nobody_visits_a_tenant_without_asking():
    """The rules for a tenant are deselected, also with its settings in the environment."""
    done = pytest_run("tests/live/test_items.py", "--collect-only", environment=dict.fromkeys(REQUIRED, "x"))

    assert done.returncode == 0, done.stdout
    assert "[simulated" in done.stdout
    assert "[tenant" not in done.stdout


def test_leaving_restores_the_priority_list_and_removes_what_was_made():
    """Whatever happened in between: a visit that ends right after it wrote leaves the tenant as it was."""
    tenant = a_tenant()

    with simulated(tenant) as environment:
        site = open_site(environment)
        site.create(site.connection())
        site.register({"sourceId": site.name, "displayName": site.name, "webUrl": "https://example.com"})
        url = f"https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId='{site.name}')"
        written = site.prioritize([url])
        during = tenant.graph.priorities()
        site.leave()

    assert written.status_code == 200
    assert during == [site.name, ENTRA_SOURCE]
    assert tenant.graph.priorities() == ["theirs", "bamboohr1", ENTRA_SOURCE]


def test_what_cannot_be_removed_is_named():
    """Everything else is removed all the same."""
    tenant = a_tenant()

    with simulated(tenant) as environment:
        site = open_site(environment)
        site.create(site.connection("a"))
        site.create(site.connection("b"))
        tenant.graph.fault_when(
            lambda seen: seen == ("DELETE", f"/external/connections/{site.name}a", "admin"), Refused(403)
        )
        with pytest.raises(LeftBehind, match=rf"DELETE /external/connections/{site.name}a ") as left:
            site.leave()
        remaining = list(tenant.graph.connections)
        tenant.graph.connections.clear()

    assert remaining == [f"{site.name}a"]
    assert f"{site.name}b" not in str(left.value)


def test_no_token_leaves_for_another_host():
    """An address from an answer is followed on Graph's host only."""
    with simulated() as environment:
        site = open_site(environment)

        with pytest.raises(ValueError, match="example"):
            site.admin.send("GET", "https://example.com/v1.0/users")
        site.leave()
