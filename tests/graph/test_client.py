"""The client: what is sent, what an answer means, and what an error says about who can mend it."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from azure.core.credentials import AccessToken

from connector.errors import CredentialError, GraphDenied, GraphRejected, GraphUnavailable
from connector.graph.client import Path, Purpose, document, open_graph, roles_in
from connector.graph.items import Items
from connector.graph.pace import Answer, Pace
from tests.beliefs import belief, ours, sources
from tests.graph.opening import BASE_URL, an_item, graph_at, with_connection
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, Tenant, VirtualClock
from tests.tenant.graph.faults import Dropped, Failed, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from connector.graph.client import GraphClient

LOOKING = Purpose("look around", ("Some.Role",), quotable=True)
SOMEWHERE = Path("{+baseurl}/somewhere")


class Credential:
    """Gives numbered tokens, and a new one only after the last was forgotten."""

    def __init__(self, *roles: str) -> None:
        self.roles = roles
        self.number = 1
        self.scopes = set[str]()

    async def get_token(self, *scopes: str, **_) -> AccessToken:
        self.scopes.update(scopes)
        claims = base64.urlsafe_b64encode(json.dumps({"roles": self.roles}).encode()).decode().rstrip("=")
        return AccessToken(f"{self.number}.{claims}.signature", 2**31)

    async def forget_token(self) -> None:
        self.number += 1


@asynccontextmanager
async def graph_with(credential, handle, *, base_url: str = BASE_URL) -> AsyncIterator[GraphClient]:
    pace = Pace(VirtualClock(), max_concurrency=16, random=lambda: 0.5)
    wire = httpx.MockTransport(handle)
    async with open_graph(credential, identity="ingest", base_url=base_url, pace=pace, transport=wire) as graph:
        yield graph


async def test_what_is_sent():
    """Bytes go out as they are, with a token for Graph and an id of our own, to the base address given."""
    requests = list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    credential = Credential()
    async with graph_with(credential, handle, base_url="https://localhost:8443/v1.0/") as graph:
        await Items(graph, "contosohr").put("u1", b'{"id":"u1"}')

    (request,) = requests
    assert str(request.url) == "https://localhost:8443/v1.0/external/connections/contosohr/items/u1"
    assert (request.method, request.content) == ("PUT", b'{"id":"u1"}')
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert request.headers["authorization"].startswith("Bearer 1.")
    assert len(request.headers["client-request-id"]) == 36
    assert credential.scopes == {"https://graph.microsoft.com/.default"}


@belief(
    "National clouds have hosts of their own, and want tokens for these; external connections are in all of "
    "them but the one of 21Vianet.",
    area="tokens",
    mark="certain",
    source=(sources.DEPLOYMENTS, sources.CREATE_CONNECTION),
    ours=(ours.CLOUDS, ours.BASE_URL),
)
async def test_a_national_cloud_gets_tokens_of_its_own():
    """Tokens are for the host of the base address where that is one of Graph's."""
    credential = Credential()
    async with graph_with(
        credential, lambda _: httpx.Response(200), base_url="https://graph.microsoft.us/v1.0"
    ) as graph:
        await graph.send("GET", SOMEWHERE, LOOKING)

    assert credential.scopes == {"https://graph.microsoft.us/.default"}


async def test_no_token_leaves_for_another_host():
    """A page that claims to go on elsewhere gets a request without a token, and no redirect is followed."""
    seen = list[tuple[str, bool]]()

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.host, "authorization" in request.headers))
        if request.url.path.endswith("somewhere"):
            return httpx.Response(200, json={"value": [{}], "@odata.nextLink": "https://evil.example.com/beta/more"})
        return httpx.Response(302, headers={"location": "https://evil.example.com/beta/again"})

    async with graph_with(Credential(), handle) as graph:
        with pytest.raises(GraphRejected):
            await graph.pages(SOMEWHERE, LOOKING)

    assert seen == [("graph.microsoft.com", True), ("evil.example.com", False)]


async def test_pages_are_followed():
    """A collection comes whole, however Graph cuts it."""

    def handle(request: httpx.Request) -> httpx.Response:
        if "skiptoken" in str(request.url):
            return httpx.Response(200, json={"value": [{"id": 2}]})
        link = f"{BASE_URL}/somewhere?$skiptoken=a%20b"
        return httpx.Response(200, json={"value": [{"id": 1}], "@odata.nextLink": link})

    async with graph_with(Credential(), handle) as graph:
        members = await graph.pages(SOMEWHERE, LOOKING)

    assert members == ({"id": 1}, {"id": 2})


async def test_a_refused_token_is_renewed_once():
    """A 401 costs one new token; all requests that met the old one share it."""

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401 if request.headers["authorization"].startswith("Bearer 1.") else 200)

    credential = Credential()
    async with graph_with(credential, handle) as graph:
        answers = await asyncio.gather(*(graph.send("GET", SOMEWHERE, LOOKING) for _ in range(5)))

    assert [answer.status for answer in answers] == [200] * 5
    assert credential.number == 2


async def test_a_token_refused_even_when_new_is_the_end():
    """A second 401 says that the app itself is not welcome, and names the settings that say who it is."""
    async with graph_with(Credential("Some.Role"), lambda _: httpx.Response(401)) as graph:
        with pytest.raises(
            GraphDenied, match=r"ingest identity.*look around.*refused even when new.*TENANT_ID"
        ) as refused:
            await graph.send("GET", SOMEWHERE, LOOKING)

    assert refused.value.status == 401
    assert graph.pace.requests == 2


async def test_a_missing_role_is_named():
    """A 403 without the needed role in the token says which role, of which identity."""
    tenant = Tenant()
    tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    async with graph_at(tenant) as graph:
        with pytest.raises(GraphDenied) as refused:
            await Items(graph, "contosohr").put("u1", b"{}")

    assert "denied the ingest identity to write an item" in refused.value.message
    assert "lacks the app role ExternalItem.ReadWrite.OwnedBy or" in refused.value.message
    assert "(it has: User.Read.All)" in refused.value.message
    assert refused.value.request_id
    assert refused.value.request_id in refused.value.message


async def test_a_connection_that_does_not_list_the_app_is_named():
    """A 403 in spite of the role points at authorizedAppIds."""
    tenant = Tenant()
    async with tenant.client(ADMIN_CLIENT_ID) as admin:
        await admin.post("/external/connections", json={"id": "contosohr", "name": "n", "description": "d"})
    async with graph_at(tenant) as graph:
        with pytest.raises(GraphDenied, match=r"'contosohr'.*INGEST_CLIENT_ID in authorizedAppIds.*setup"):
            await Items(graph, "contosohr").get("u1")


async def test_errors_about_people_never_quote_graph():
    """What Graph says about an item may repeat its content, so only codes and ids are kept."""
    error = {"error": {"code": "BadRequest", "message": "Adele Vance is not valid"}}
    reply = httpx.Response(400, json=error, headers={"request-id": "r1"})
    async with graph_with(Credential(), lambda _: reply) as graph:
        with pytest.raises(GraphRejected) as refused:
            await Items(graph, "contosohr").put("u1", b"{}")

    assert refused.value.message == "Microsoft Graph refused to write an item (HTTP 400, BadRequest, request-id r1)"
    assert (refused.value.code, refused.value.status, refused.value.request_id) == ("BadRequest", 400, "r1")


async def test_errors_about_settings_quote_graph():
    """What Graph says about a connection or a source helps the operator."""
    reply = httpx.Response(400, json={"error": {"code": "BadRequest", "message": "webUrl is required."}})
    async with graph_with(Credential(), lambda _: reply) as graph:
        with pytest.raises(GraphRejected, match=r"refused to look around \(HTTP 400, BadRequest\): webUrl is required"):
            await graph.send("GET", SOMEWHERE, LOOKING)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"no"}', b'{"error":{"code":null}}'])
async def test_an_error_without_graphs_envelope_is_still_an_error(body):
    """Proxies answer in their own words."""
    async with graph_with(Credential(), lambda _: httpx.Response(418, content=body)) as graph:
        with pytest.raises(GraphRejected, match="HTTP 418") as refused:
            await graph.send("GET", SOMEWHERE, LOOKING)

    assert refused.value.code == "rejected"


async def test_an_expected_status_is_an_answer():
    """A caller that knows what 404 means gets it back."""
    async with graph_with(Credential(), lambda _: httpx.Response(404)) as graph:
        answer = await graph.send("GET", SOMEWHERE, LOOKING, expected={404})

    assert answer.status == 404


@pytest.mark.parametrize("fault", [Failed(503), Failed(500, effect=True), Dropped(), Dropped(effect=True)])
async def test_a_write_survives_failures(fault):
    """A PUT whose answer is a failure, or no answer, is made again and leaves one item."""
    tenant = await with_connection()
    tenant.graph.fault_when(lambda seen: seen.method == "PUT", fault, times=3)

    async with graph_at(tenant) as graph:
        await Items(graph, "contosohr").put("u1", an_item("u1"))

    assert list(tenant.graph.items) == ["u1"]
    assert graph.pace.requests == 4


async def test_no_answer_at_all_is_unavailable():
    """When nobody answers six times, the error says so and carries no status."""
    tenant = Tenant()
    tenant.graph.fault_when(lambda _: True, Dropped(), times=None)

    async with graph_at(tenant) as graph:
        with pytest.raises(GraphUnavailable, match="did not answer") as refused:
            await Items(graph, "contosohr").get("u1")

    assert (refused.value.status, graph.pace.requests) == (0, 6)


async def test_a_post_of_unknown_outcome_is_made_once():
    """Creating is not repeated when it may have taken effect."""
    tenant = Tenant()
    tenant.graph.fault_when(lambda _: True, Failed(503, effect=True), times=None)

    async with graph_at(tenant, ADMIN_CLIENT_ID) as graph:
        with pytest.raises(GraphUnavailable):
            await graph.send("POST", Path("{+baseurl}/external/connections"), LOOKING, body=b"{}")

    assert len(tenant.graph.requests) == 1


async def test_no_token_is_the_credentials_own_error():
    """What the vault or Entra has to say reaches the caller as it is, and nothing is sent."""

    class Broken:
        async def get_token(self, *_, **__) -> AccessToken:
            raise CredentialError("the secret of the ingest identity has expired")

    tenant = Tenant()
    async with open_graph(
        Broken(),
        identity="ingest",
        base_url=BASE_URL,
        pace=Pace(tenant.clock, max_concurrency=1),
        transport=tenant.graph.transport(),
    ) as graph:
        with pytest.raises(CredentialError, match="has expired"):
            await Items(graph, "contosohr").get("u1")

    assert tenant.graph.requests == []


async def test_the_roles_of_a_token():
    """Health asks which app roles an identity holds; no request to Graph is needed."""
    tenant = Tenant()
    async with graph_at(tenant) as graph:
        roles = await graph.roles()

    assert roles == ("ExternalItem.ReadWrite.OwnedBy", "User.Read.All")
    assert tenant.graph.requests == []


@pytest.mark.parametrize("token", ["", "opaque", "a.b", "a.!!!.c", "a." + "e30" + ".c", "a.W10.c", "a.MQ.c"])
def test_roles_of_an_unreadable_token_are_none(token):
    """An opaque token explains nothing and breaks nothing."""
    assert roles_in(token) == ()


@pytest.mark.parametrize(("body", "expected"), [(b'{"a":1}', {"a": 1}), (b"", {}), (b"[1]", {}), (b"<html>", {})])
def test_an_answer_that_is_no_object_reads_as_nothing(body, expected):
    """A proxy's page instead of JSON is nothing known."""
    assert document(Answer(200, {}, body)) == expected


async def test_an_answer_that_cannot_be_decoded_is_no_answer():
    """Half a packed answer tells nothing, as a broken connection does: the request is made again."""
    answers = [
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not packed")),
        httpx.Response(200, json={}),
    ]

    async with graph_with(Credential(), lambda _: answers.pop(0)) as graph:
        answer = await graph.send("PUT", SOMEWHERE, LOOKING, body=b"{}")

    assert (answer.status, answer.in_doubt, answers) == (200, True, [])


async def test_refused_requests_in_the_simulator_carry_a_request_id():
    """Graph's own id of a refused request is in the error, for Microsoft's support."""
    tenant = await with_connection()
    tenant.graph.fault_when(lambda _: True, Refused(400), times=1)

    async with graph_at(tenant) as graph:
        with pytest.raises(GraphRejected) as refused:
            await Items(graph, "contosohr").get("u1")

    assert refused.value.request_id


def test_the_sdks_models_are_never_imported():
    """The user models alone are 2,463 modules and seconds of a blocked loop."""
    program = (
        "import asyncio, sys\n"
        "from connector.graph.items import Items\n"
        "from tests.graph.opening import an_item, graph_at, with_connection\n"
        "async def main():\n"
        "    tenant = await with_connection()\n"
        "    async with graph_at(tenant) as graph:\n"
        "        await Items(graph, 'contosohr').put('u1', an_item('u1'))\n"
        "        await Items(graph, 'contosohr').get('u1')\n"
        "asyncio.run(main())\n"
        "print(sum(name.startswith('msgraph_beta.generated.models') for name in sys.modules))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.strip() == "0"
