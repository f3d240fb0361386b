"""The walkthrough's way: for each person a look-up of the user, then a PUT, one after another, in the SDK's models.

Statement by statement what the walkthrough's ``sync`` command does, in Python instead of C#.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data (its first form)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from azure.core.credentials_async import AsyncTokenCredential
    from msgraph_beta import GraphServiceClient

CONNECTOR_ID = "contosohr"


class Person(NamedTuple):
    """One of the people that the walkthrough has in an array."""

    upn: str
    department: str
    position: str
    favorite_color: str


def open_service(credential: AsyncTokenCredential, base_url: str) -> GraphServiceClient:
    """Return the SDK's client as it comes: default middleware, the answers parsed into models."""
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph_beta import GraphRequestAdapter, GraphServiceClient

    provider = AzureIdentityAuthenticationProvider(
        credential, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=["localhost"]
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = base_url
    return GraphServiceClient(request_adapter=adapter)


async def sync(service: GraphServiceClient, people: Iterable[Person], done: Callable[[], None]) -> None:
    """Add or update people one by one; ``done`` is called after each."""
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from msgraph_beta.generated.models.external_connectors.access_type import AccessType
    from msgraph_beta.generated.models.external_connectors.acl import Acl
    from msgraph_beta.generated.models.external_connectors.acl_type import AclType
    from msgraph_beta.generated.models.external_connectors.external_item import ExternalItem
    from msgraph_beta.generated.models.external_connectors.properties import Properties
    from msgraph_beta.generated.users.users_request_builder import UsersRequestBuilder

    for person in people:
        identifier = person.upn.replace("@", "_at_").replace(".", "_dot_")
        query = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(filter=f"userPrincipalName eq '{person.upn}'")
        users = await service.users.get(RequestConfiguration(query_parameters=query))
        user = users.value[0] if users and users.value else None
        if user is None or user.id is None:
            raise LookupError("a user does not have an OID")
        accounts = [{"userPrincipalName": person.upn, "externalDirectoryObjectId": user.id}]
        detail = {"jobTitle": person.position, "company": {"department": person.department}}
        item = ExternalItem(
            id=identifier,
            acl=[Acl(access_type=AccessType.Grant, type=AclType.Everyone, value="EVERYONE")],
            properties=Properties(
                additional_data={
                    "connectionId": CONNECTOR_ID,
                    "externalId": identifier,
                    "oid": user.id,
                    "accounts": json.dumps(accounts),
                    "positions": json.dumps([{"detail": detail, "isCurrent": True}]),
                    "favoriteColor": person.favorite_color,
                }
            ),
        )
        items = service.external.connections.by_external_connection_id(CONNECTOR_ID).items
        await items.by_external_item_id(identifier).put(item)
        done()
