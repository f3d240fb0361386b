"""The external connection itself.

https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from connector.graph.client import Json, Purpose, document

if TYPE_CHECKING:
    from connector.graph.client import GraphClient

CONNECTION_ROLES: Final = ("ExternalConnection.ReadWrite.OwnedBy", "ExternalConnection.ReadWrite.All")


class Connections:
    """The connections this identity made or is authorised for."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._all = client.build.external.connections

    async def get(self, connection_id: str) -> Json | None:
        """Return the connection, or None."""
        target = self._all.by_external_connection_id(connection_id)
        answer = await self._client.send("GET", target, _to("read", connection_id), expected={404})
        return None if answer.status == 404 else document(answer)

    async def create(self, body: Json) -> None:
        """Create the connection that the body describes.

        A failure of Graph's may leave it created all the same: look before calling this again.
        https://learn.microsoft.com/graph/api/externalconnectors-external-post-connections
        """
        await self._client.send("POST", self._all, _to("create", body["id"]), body=orjson.dumps(body))

    async def update(self, connection_id: str, body: Json) -> None:
        """Change configuration, description or name; nothing else can be changed.

        https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-update
        """
        target = self._all.by_external_connection_id(connection_id)
        await self._client.send("PATCH", target, _to("update", connection_id), body=orjson.dumps(body))

    async def delete(self, connection_id: str) -> None:
        """Delete the connection and all its items; one that is not there is as good as deleted.

        https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-delete
        """
        target = self._all.by_external_connection_id(connection_id)
        await self._client.send("DELETE", target, _to("delete", connection_id), expected={404})


def _to(verb: str, connection_id: str) -> Purpose:
    return Purpose(
        f"{verb} the connection '{connection_id}'", CONNECTION_ROLES, connection=connection_id, quotable=True
    )
