"""One set of rules, two places: the simulated Graph on loopback, always; a genuine tenant, when asked (``-m live``)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.simulated import simulated
from tests.live.site import SCHEMA, Site, announcement, missing, open_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

_OBSERVED = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Say what is missing for a visit that was asked for; leave one out that was not."""
    lacking = missing(os.environ)
    live = [item for item in items if item.get_closest_marker("live")]
    if not live or not lacking:
        return
    if "live" in config.option.markexpr:
        raise pytest.UsageError(f"a live run needs {', '.join(lacking)}; docs/graph.md says what they are")
    config.hook.pytest_deselected(items=live)
    items[:] = [item for item in items if item not in live]


def pytest_report_collectionfinish(items: list[pytest.Item]) -> list[str]:
    """Announce what will be done to a tenant."""
    visiting = any(item.get_closest_marker("live") for item in items) and not missing(os.environ)
    return announcement(os.environ) if visiting else []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what a tenant answered where nobody knows what it answers."""
    for line in config.stash.get(_OBSERVED, []):
        terminalreporter.write_line(f"observed: {line}")


@pytest.fixture(
    scope="session",
    params=["simulated", pytest.param("tenant", marks=[pytest.mark.live, pytest.mark.enable_socket])],
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Return a visit; when the last rule is checked, nothing of it is left."""
    if request.param == "simulated":
        with simulated() as environment:
            visit = open_site(environment)
            yield visit
            visit.leave()
        return
    visit = open_site(os.environ)
    request.config.stash[_OBSERVED] = visit.observed
    try:
        yield visit
    finally:
        visit.leave()


@pytest.fixture(scope="session")
def draft(site: Site) -> httpx.Response:
    """Return the answer to the creation of a connection for the admin app alone; it never gets a schema."""
    alone = {"configuration": {"authorizedAppIds": [site.admin_id]}}
    created = site.create(site.connection("d", **alone))
    assert created.status_code == 201, created.text
    return site.until(lambda: site.admin.send("GET", site.path("d")), lambda answer: answer.status_code == 200)


@pytest.fixture(scope="session")
def created(site: Site) -> httpx.Response:
    """Return the answer to the creation of the connection that the items go into."""
    answer = site.create(site.connection())
    assert answer.status_code == 201, answer.text
    site.until(lambda: site.admin.send("GET", site.path()), lambda read: read.status_code == 200)
    return answer


@pytest.fixture(scope="session")
def registration(site: Site, created: httpx.Response) -> list[httpx.Response]:
    """Return what was seen of a registration: the PATCH, operation and connection then, another PATCH, and the end."""
    begun = site.admin.send("PATCH", site.path(rest="/schema"), SCHEMA)
    assert begun.status_code == 202, begun.text
    operation = begun.headers["location"]
    during = site.admin.send("GET", operation)
    meanwhile = site.admin.send("GET", site.path())
    second = site.admin.send("PATCH", site.path(rest="/schema"), SCHEMA)
    ended = site.registered(operation)
    return [begun, during, meanwhile, second, ended]


@pytest.fixture(scope="session")
def ready(site: Site, registration: list[httpx.Response]) -> str:
    """Return the address of a connection that takes items."""
    look = site.until(
        lambda: site.admin.send("GET", site.path()),
        lambda answer: answer.json().get("state") == "ready",
        seconds=site.patience,
    )
    assert look.json()["state"] == "ready", registration[-1].text
    return site.path()
