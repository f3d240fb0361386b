"""Profile sources and the tenant's priority list: ours comes and goes, everybody else's stays."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.beliefs import belief, ours, sources
from tests.live.site import SETTINGS, SOURCES

if TYPE_CHECKING:
    import httpx

    from tests.live.site import Site

ENTRA = "4ce763dd-9214-4eff-af7c-da491cc3782d"
_SOURCE_URL = re.compile(r"https://[^/]+/(?:v1\.0|beta)/admin/people/profileSources\(sourceId='([^']+)'\)")


def a_source(site: Site, **members: Any) -> dict[str, Any]:
    """Return the body of our profile source."""
    web_url = "https://example.com/people-connector-test"
    return {"sourceId": site.name, "displayName": site.name, "kind": "Connector", "webUrl": web_url} | members


def of_ours(site: Site) -> str:
    """Return the address of our profile source, by the connection's id."""
    return f"{SOURCES}(sourceId='{site.name}')"


def source_ids(urls: list[str]) -> list[str]:
    """Return the ids that a list names."""
    return [match[1] for url in urls if (match := _SOURCE_URL.fullmatch(url))]


@pytest.fixture(scope="module")
def source(site: Site, ready: str) -> httpx.Response:
    """Return the answer to the registration of our source."""
    answer = site.register(a_source(site))
    assert answer.status_code == 201, answer.text
    site.until(lambda: site.admin.send("GET", of_ours(site)), lambda read: read.status_code == 200)
    return answer


@belief(
    "`POST .../profileSources` registers a source: 201 with an id of the service's own. Its `sourceId` is the "
    "connection's id, and finds it too.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.CREATE_SOURCE, sources.GET_SOURCE, sources.SOURCE_SETTINGS, sources.BUILD),
    ours=ours.SOURCE,
)
@belief(
    "Requests about people settings carry `Content-Type: application/json; charset=utf-8`.",
    area="profile sources and priority",
    mark="certain",
    source=sources.CREATE_SOURCE,
    ours=ours.UTF8,
)
@belief(
    "`kind` is free text; some tenants want one.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.PROFILE_SOURCE, sources.FIELD_PROVISIONING),
    ours=ours.SOURCE,
)
@belief(
    "A second source with the same `sourceId` is a 409.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.FIELD_GENERATOR, sources.FIELD_PROVISIONING),
    ours=ours.LOOK_FIRST,
)
@belief(
    "The list of sources has Microsoft's own among them, with the same ids in every tenant: Entra's is "
    "`4ce763dd-9214-4eff-af7c-da491cc3782d`.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.LIST_SOURCES, sources.PEOPLE_SOURCES),
    ours=(ours.SOURCE, ours.PRIORITY_CREATED, ours.SEEN),
)
def test_a_source_is_registered_once_and_found_by_both_its_ids(site: Site, source: httpx.Response):
    """The connection's id as the key, or the service's own."""
    again = site.register(a_source(site))

    by_source_id = site.admin.send("GET", of_ours(site)).json()
    by_id = site.admin.send("GET", f"{SOURCES}/{source.json()['id']}").json()
    listed = [found["sourceId"] for found in site.admin.send("GET", SOURCES).json()["value"]]
    assert again.status_code == 409
    assert by_source_id["id"] == by_id["id"] == source.json()["id"]
    assert {ENTRA, site.name} <= set(listed)


@belief(
    "A source needs a `sourceId`, a name and an https address.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.PROFILE_SOURCE, sources.BUILD),
    ours=ours.SOURCE,
)
@pytest.mark.parametrize("change", [{"sourceId": None}, {"displayName": ""}, {"colour": "blue"}], ids=str)
def test_a_source_that_breaks_a_rule_is_refused(site: Site, change):
    """Nothing is registered."""
    answer = site.register(a_source(site, **change))

    assert answer.status_code == 400


@belief(
    "A source can be changed, but for its `sourceId`.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.UPDATE_SOURCE, sources.SOURCE_SETTINGS),
    ours=ours.SOURCE,
)
def test_a_source_changes_but_for_its_source_id(site: Site, source: httpx.Response):
    """Its sourceId is for good."""
    changed = site.admin.send("PATCH", of_ours(site), {"displayName": "Changed"})
    other = site.admin.send("PATCH", of_ours(site), {"sourceId": f"{site.name}o"})

    read = site.admin.send("GET", of_ours(site)).json()
    assert changed.status_code == 200
    assert (read["sourceId"], read["displayName"]) == (site.name, "Changed")
    assert other.status_code == 400


@belief(
    "The tenant's own setting is the one without a name; there is at most one. It lists addresses of sources, first "
    "wins.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.PRIORITY, sources.LIST_SETTINGS),
    ours=(ours.PRIORITY, ours.PRIORITY_CREATED, ours.SEEN),
)
def test_the_tenants_list_is_the_nameless_setting(site: Site):
    """Read only; every entry names a source in the form that we know."""
    settings = site.admin.send("GET", SETTINGS).json()["value"]

    nameless = [setting for setting in settings if not setting.get("name")]
    urls = [url for setting in nameless for url in setting["prioritizedSourceUrls"]]
    assert len(nameless) <= 1
    assert len(source_ids(urls)) == len(urls)


@belief(
    "`PATCH` of the list replaces it, and answers 200 with what the list is then; addresses of `/beta` and `/v1.0` are "
    "equivalent.",
    area="profile sources and priority",
    mark="certain",
    source=(sources.UPDATE_SETTING, sources.PRIORITY),
    ours=ours.PRIORITY,
)
@belief(
    "The service keeps Entra's source in the list: left out, it is added again.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.UPDATE_SETTING, sources.CREATE_SETTING),
    ours=(ours.PRIORITY, ours.TEARDOWN, ours.SEEN),
)
@belief(
    "A source that a list names cannot be deleted: 400.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.FIELD_PROVISIONING, sources.DELETE_SOURCE),
    ours=ours.TEARDOWN,
)
def test_a_listed_source_cannot_be_deleted(site: Site, source: httpx.Response):
    """Ours is added to the end of the list for a moment; everybody else's entries stay as they were."""
    setting = site.priorities()
    if setting is None or not site.may_write_priority:
        pytest.skip("writes the tenant's priority list: set LIVE_PRIORITY=write, in a tenant that has one")
    before = setting["prioritizedSourceUrls"]
    url = f"https://graph.microsoft.com/beta/admin/people/profileSources(sourceId='{site.name}')"

    written = site.prioritize([*before, url])
    refused = site.admin.send("DELETE", of_ours(site))
    site.restore_priorities()

    after = site.priorities()
    assert (written.status_code, refused.status_code) == (200, 400)
    assert source_ids(written.json()["prioritizedSourceUrls"]) == [*source_ids(before), site.name]
    assert after is not None
    assert after["prioritizedSourceUrls"] == before


@belief(
    "A source that no list names is deleted: 204; one that is not there is a 404. Right after it left the list, Graph "
    "may still refuse.",
    area="profile sources and priority",
    mark="likely",
    source=(sources.DELETE_SOURCE, sources.FIELD_PROVISIONING),
    ours=ours.TEARDOWN,
)
def test_a_source_is_deleted(site: Site, source: httpx.Response):
    """Gone; a second deletion finds nothing."""
    deleted = site.until(
        lambda: site.admin.send("DELETE", of_ours(site)), lambda answer: answer.status_code != 400, seconds=120
    )

    again = site.until(lambda: site.admin.send("DELETE", of_ours(site)), lambda answer: answer.status_code == 404)
    assert (deleted.status_code, again.status_code) == (204, 404)
