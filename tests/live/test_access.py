"""Who may do what: tokens, roles, authorisation, and what Graph says to whoever may not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.beliefs import belief, ours, sources
from tests.live.site import CONNECTIONS, SETTINGS, SOURCES

if TYPE_CHECKING:
    import httpx

    from tests.live.site import Site


@belief(
    "A token names the app's consented permissions by their values, in the claim `roles`.",
    area="tokens",
    mark="certain",
    source=sources.TOKENS,
    ours=(ours.DENIED, ours.TWO_APPS, ours.ROLES),
)
@belief(
    "Which app role id has `PeopleSettings.ReadWrite.All`?",
    area="tokens",
    mark="unknown",
    source=sources.NOWHERE,
    ours=(ours.DENIED, ours.ROLES),
    either="The role is only ever compared by its value, which is what a token holds; no id of a role is in the code. "
    "Whoever grants it finds it in the portal by that name.",
    proof=(
        "tests/graph/test_client.py::test_the_roles_of_a_token",
        "tests/graph/test_client.py::test_a_missing_role_is_named",
    ),
)
def test_a_token_says_what_its_app_may_do(site: Site):
    """Roles are in the token, by name."""
    admin, ingest = site.admin.roles, site.ingest.roles

    assert admin & {"ExternalConnection.ReadWrite.OwnedBy", "ExternalConnection.ReadWrite.All"}
    assert "PeopleSettings.ReadWrite.All" in admin
    assert ingest & {"ExternalItem.ReadWrite.OwnedBy", "ExternalItem.ReadWrite.All"}
    assert "User.Read.All" in ingest


@belief(
    "A request without a token is answered 401 `InvalidAuthenticationToken`.",
    area="tokens",
    mark="certain",
    source=sources.AUTH_ERRORS,
    ours=ours.RENEWED,
)
@belief(
    "Every answer carries `request-id`, and repeats the `client-request-id` it was sent; errors repeat both in "
    "`error.innerError`.",
    area="throttling and errors",
    mark="certain",
    source=(sources.BEST_PRACTICES, sources.ERRORS),
    ours=ours.REQUEST_IDS,
)
def test_a_request_without_a_token_is_401(site: Site):
    """Graph asks everyone who they are, and its errors carry the ids that support asks for."""
    headers = {"client-request-id": "11111111-1111-4111-8111-111111111111"}

    answer = site.admin.send("GET", CONNECTIONS, headers=headers, token="none")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "InvalidAuthenticationToken")
    assert error["innerError"]["client-request-id"] == headers["client-request-id"]
    assert error["innerError"]["request-id"] == answer.headers["request-id"]


@belief(
    "A token that was altered is a 401, like none at all.",
    area="tokens",
    mark="certain",
    source=sources.AUTH_ERRORS,
    ours=ours.RENEWED,
)
def test_an_altered_token_is_401(site: Site):
    """Tokens are signed."""
    answer = site.admin.send("GET", CONNECTIONS, token=site.admin.token[:-6] + "AAAAAA")

    assert answer.status_code == 401


@belief(
    "Setup needs `ExternalConnection.ReadWrite.OwnedBy` for connections and schemas and `PeopleSettings.ReadWrite.All` "
    "for profile sources and their priority; an app without them meets 403.",
    area="tokens",
    mark="certain",
    source=(sources.CREATE_CONNECTION, sources.CREATE_SOURCE, sources.PERMISSIONS),
    ours=(ours.TWO_APPS, ours.DENIED),
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", CONNECTIONS), ("GET", SOURCES), ("PATCH", f"{SETTINGS}/00000000-0000-0000-0000-0000000000ff")],
)
def test_the_ingest_app_lacks_the_permissions_for_setup(site: Site, method, path):
    """Each operation asks for its own application permission."""
    answer = site.ingest.send(method, path, None if method == "GET" else {})

    assert answer.status_code == 403


@belief(
    "Items need `ExternalItem.ReadWrite.OwnedBy`, users `User.Read.All`; the permissions for setup reach neither.",
    area="tokens",
    mark="certain",
    source=(sources.PUT_ITEM, sources.LIST_USERS, sources.PERMISSIONS),
    ours=(ours.TWO_APPS, ours.DENIED),
)
def test_the_admin_app_lacks_the_permissions_for_items_and_users(site: Site, draft: httpx.Response):
    """The permissions for setup do not reach items or people."""
    item = site.admin.send("GET", site.path("d", "/items/nobody"))
    users = site.admin.send("GET", "/users?$top=1&$select=id")

    assert (item.status_code, users.status_code) == (403, 403)


@belief(
    "An app that the connection does not list in `authorizedAppIds` meets 403 at its items.",
    area="connections",
    mark="likely",
    source=(sources.MANAGE_CONNECTIONS, sources.FIELD_TWO_APPS, sources.FIELD_CONNECTORS),
    ours=(ours.CREATION, ours.HEALTH, ours.DENIED),
)
@belief(
    "Might such an app be told 404, as if there was nothing?",
    area="connections",
    mark="unknown",
    source=(sources.GET_ITEM, sources.AUTH_ERRORS),
    ours=ours.HEALTH,
    either="A 404 proves nothing to health: it asks for items that Graph took from us, and only one that it can read "
    "shows that the app is authorised; without any the answer is `unknown`.",
    proof="tests/flows/test_doctor.py::test_after_setup_only_an_item_can_prove_the_rest",
)
def test_an_app_that_the_connection_does_not_list_is_403(site: Site, draft: httpx.Response):
    """Having the role is not enough."""
    answer = site.ingest.send("GET", site.path("d", "/items/nobody"))

    assert answer.status_code == 403


@belief(
    "An item that is not there is a 404 for an app that the connection lists.",
    area="items",
    mark="likely",
    source=(sources.GET_ITEM, sources.FIELD_CONNECTORS),
    ours=(ours.DELETED, ours.GONE),
)
@belief(
    "May a second app with `ExternalItem.ReadWrite.OwnedBy` ingest into a people connection that lists it?",
    area="connections",
    mark="unknown",
    source=(sources.CONNECTION, sources.FIELD_TWO_APPS),
    ours=(ours.TWO_APPS, ours.DENIED),
    either="The resource's page says so of every connection, reports confirm it for ordinary ones. Should people "
    "connections differ, health fails at the 403 before the first night, and a run stops at its first item and says "
    "what is missing; `ExternalItem.ReadWrite.All` is then the way out.",
    proof=(
        "tests/graph/test_client.py::test_a_connection_that_does_not_list_the_app_is_named",
        "tests/flows/test_doctor.py::test_a_refusal_is_a_failure_before_any_item_is_known",
        "tests/flows/test_faults.py::test_a_403_stops_the_run_and_says_who_lacks_what",
    ),
)
def test_an_item_that_is_not_there_is_404_for_an_app_that_is_listed(site: Site, ready: str):
    """Read access, and an address without anything."""
    answer = site.ingest.send("GET", f"{ready}/items/nobody")

    assert answer.status_code == 404
