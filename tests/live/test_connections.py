"""Connections: made, read, changed, refused, removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.beliefs import belief, ours, sources
from tests.live.site import CONNECTIONS

if TYPE_CHECKING:
    import httpx

    from tests.live.site import Site


@belief(
    "`POST /external/connections` answers 201 with the connection in state `draft`.",
    area="connections",
    mark="certain",
    source=(sources.CREATE_CONNECTION, sources.CONNECTION),
    ours=ours.CREATION,
)
@belief(
    "`contentCategory: people` makes it a connection of people; it and `configuration.authorizedAppIds` read back as "
    "they were asked for.",
    area="connections",
    mark="certain",
    source=(sources.BUILD, sources.CONNECTION),
    ours=(ours.CREATION, ours.READ_BACK),
)
def test_a_connection_is_created_as_a_draft_and_reads_back_as_asked(site: Site, created: httpx.Response):
    """Its contentCategory and both apps are there."""
    read = site.admin.send("GET", site.path())

    assert created.json()["state"] == "draft"
    assert read.json()["contentCategory"] == "people"
    assert set(read.json()["configuration"]["authorizedAppIds"]) == {site.admin_id, site.ingest_id}


@belief(
    "The service lists the app that creates a connection in its `authorizedAppIds`.",
    area="connections",
    mark="likely",
    source=sources.CREATE_CONNECTION,
    ours=ours.CREATION,
)
def test_the_creator_is_authorised_without_asking(site: Site, draft: httpx.Response):
    """The service adds the calling app's id."""
    assert site.admin_id in draft.json()["configuration"]["authorizedAppIds"]


@belief(
    "An app lists the connections that it created or that list it.",
    area="connections",
    mark="certain",
    source=(sources.LIST_CONNECTIONS, sources.MANAGE_CONNECTIONS),
    ours=ours.TWO_APPS,
)
def test_ones_own_connections_are_listed(site: Site, created: httpx.Response):
    """Ours is among them."""
    url, found = CONNECTIONS, set()
    while url:
        page = site.admin.send("GET", url).json()
        found |= {connection["id"] for connection in page["value"]}
        url = page.get("@odata.nextLink")

    assert site.name in found


@belief(
    "An id is 3 to 32 letters and digits, does not begin with Microsoft, and is none of the reserved words; a name has "
    "at most 128 characters; name and description are required; categories and app ids are checked.",
    area="connections",
    mark="certain",
    source=(sources.CONNECTION, sources.CREATE_CONNECTION),
    ours=ours.ID_CHECK,
)
@belief(
    "What breaks a rule meets a 400 that does not say which one (`InvalidRequest`).",
    area="connections",
    mark="likely",
    source=(sources.FIELD_PROVISIONING, sources.FIELD_CONNECTORS),
    ours=ours.ID_CHECK,
)
@pytest.mark.parametrize(
    "change",
    [
        {"id": "live-test"},
        {"id": "lt"},
        {"id": "livetest" * 5},
        {"id": "MicrosoftLivetest"},
        {"id": "SharePoint"},
        {"name": ""},
        {"name": "x" * 129},
        {"contentCategory": "persons"},
        {"configuration": {"authorizedAppIds": ["not a guid"]}},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_a_connection_that_breaks_a_rule_meets_a_400(site: Site, change):
    """Nothing is created."""
    answer = site.create(site.connection("x") | change)

    assert answer.status_code == 400


@belief(
    "Ids are unique in a tenant: the second creation is a 409.",
    area="connections",
    mark="likely",
    source=(sources.CREATE_CONNECTION, sources.FIELD_GENERATOR),
    ours=ours.LOOK_FIRST,
)
def test_the_second_connection_with_an_id_is_409(site: Site, created: httpx.Response):
    """Also with the same body."""
    answer = site.create(site.connection())

    assert answer.status_code == 409


@belief(
    "`PATCH` changes name, description and configuration, and answers 204.",
    area="connections",
    mark="certain",
    source=sources.UPDATE_CONNECTION,
    ours=ours.UNION_OF_APPS,
)
def test_a_connection_is_renamed(site: Site, draft: httpx.Response):
    """204, and the new name reads back."""
    name = f"Renamed {site.name}"

    answer = site.admin.send("PATCH", site.path("d"), {"name": name})

    read = site.until(lambda: site.admin.send("GET", site.path("d")), lambda found: found.json().get("name") == name)
    assert answer.status_code == 204
    assert read.json()["name"] == name


@belief(
    "Does `PATCH` of `authorizedAppIds` add to the list or replace it, and does the creator always stay?",
    area="connections",
    mark="unknown",
    source=sources.UPDATE_CONNECTION,
    ours=ours.UNION_OF_APPS,
    either="We send everything that is listed and what is lacking, ourselves among it, and read the list back.",
    proof="tests/flows/test_either_answer.py::test_apps_are_added_whatever_a_patch_of_the_list_means",
)
def test_what_a_shorter_list_of_apps_does(site: Site, created: httpx.Response):
    """Either ours is the only app left, or both stay; sending both always ends with both."""
    both = {"configuration": {"authorizedAppIds": [site.admin_id, site.ingest_id]}}

    shorter = site.admin.send("PATCH", site.path(), {"configuration": {"authorizedAppIds": [site.admin_id]}})
    left = set(site.admin.send("GET", site.path()).json()["configuration"]["authorizedAppIds"])
    site.note(f"a shorter authorizedAppIds {'replaces' if site.ingest_id not in left else 'is merged into'} the list")
    longer = site.admin.send("PATCH", site.path(), both)

    read = site.until(
        lambda: set(site.admin.send("GET", site.path()).json()["configuration"]["authorizedAppIds"]),
        lambda found: found == {site.admin_id, site.ingest_id},
    )
    assert (shorter.status_code, longer.status_code) == (204, 204)
    assert site.admin_id in left
    assert read == {site.admin_id, site.ingest_id}


@belief(
    "Can `contentCategory` be changed by `PATCH`?",
    area="connections",
    mark="unknown",
    source=sources.UPDATE_CONNECTION,
    ours=(ours.FOREIGN, ours.READ_BACK),
    either="We never try: a connection of another category is refused with words, ours or not, and the way out is "
    "another `CONNECTION_ID` or teardown. Both work whether or not Graph would allow the change.",
    proof=(
        "tests/flows/test_provision.py::test_a_tenant_that_ignores_the_category_is_found_out",
        "tests/flows/test_provision.py::test_somebody_elses_connection_is_refused",
    ),
)
def test_what_a_patch_of_the_content_category_does(site: Site, draft: httpx.Response):
    """Refused, or taken; never half of it."""
    answer = site.admin.send("PATCH", site.path("d"), {"contentCategory": "crm"})

    read = site.admin.send("GET", site.path("d")).json()["contentCategory"]
    site.note(f"a PATCH of contentCategory is answered {answer.status_code}, and it reads back as {read}")
    assert read == "people" or (answer.is_success and read == "crm")


@belief(
    "A connection that is not there is a 404.",
    area="connections",
    mark="likely",
    source=(sources.GET_CONNECTION, sources.FIELD_GENERATOR),
    ours=(ours.STEPS, ours.TEARDOWN, ours.GONE),
)
@belief(
    "`DELETE` of a connection answers 204, and removes its items with it.",
    area="connections",
    mark="certain",
    source=sources.DELETE_CONNECTION,
    ours=(ours.TEARDOWN, ours.GONE),
)
def test_a_connection_is_deleted(site: Site):
    """Gone; a second deletion finds nothing."""
    assert site.create(site.connection("g")).status_code == 201
    site.until(lambda: site.admin.send("GET", site.path("g")), lambda answer: answer.status_code == 200)

    deleted = site.admin.send("DELETE", site.path("g"))

    read = site.until(lambda: site.admin.send("GET", site.path("g")), lambda answer: answer.status_code == 404)
    again = site.admin.send("DELETE", site.path("g"))
    assert (deleted.status_code, read.status_code, again.status_code) == (204, 404, 404)
