"""A connection's schema and the operations that register it.

https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-patch-schema
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from connector.graph.client import Json, Purpose, document
from connector.graph.connections import CONNECTION_ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connector.graph.client import GraphClient


class Schemas:
    """The schema of one connection."""

    def __init__(self, client: GraphClient, connection_id: str) -> None:
        self._client = client
        self._connection = client.build.external.connections.by_external_connection_id(connection_id)
        self._reading, self._writing = (
            Purpose(f"{verb} the schema of '{connection_id}'", CONNECTION_ROLES, connection_id, quotable=True)
            for verb in ("read", "register")
        )

    async def get(self) -> Json | None:
        """Return the registered schema, or None.

        Without the Prefer header Graph shows new labels as ``unknownFutureValue``.
        https://learn.microsoft.com/graph/best-practices-concept#handling-future-members-in-evolvable-enumerations
        """
        answer = await self._client.send(
            "GET",
            self._connection.schema,
            self._reading,
            headers={"Prefer": "include-unknown-enum-members"},
            expected={404},
        )
        found = {} if answer.status == 404 else document(answer)
        return found if found.get("properties") else None

    async def register(self, body: Json, headers: Mapping[str, str] | None = None) -> str | None:
        """Ask for this schema; return the id of the operation that registers it, if Graph tells it."""
        answer = await self._client.send(
            "PATCH", self._connection.schema, self._writing, body=orjson.dumps(body), headers=headers
        )
        location = answer.headers.get("location", "")
        return location.rstrip("/").rpartition("/operations/")[2].strip("'()") or None

    async def operation(self, operation_id: str) -> Json | None:
        """Return the operation: ``status`` is inprogress, completed or failed (then with ``error``). None: forgotten.

        https://learn.microsoft.com/graph/api/externalconnectors-connectionoperation-get
        """
        target = self._connection.operations.by_connection_operation_id(operation_id)
        answer = await self._client.send("GET", target, self._reading, expected={404})
        return None if answer.status == 404 else document(answer)
