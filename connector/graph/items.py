"""External items: one per person.

https://learn.microsoft.com/graph/api/externalconnectors-externalconnection-put-items
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from connector.graph.client import Address, Json, Purpose, document

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.graph.client import GraphClient

ITEM_ROLES: Final = ("ExternalItem.ReadWrite.OwnedBy", "ExternalItem.ReadWrite.All")


def _allow() -> None:
    """Let every write pass."""


class Items:
    """The items of one connection. Errors about them never quote Graph: its text may repeat what was sent."""

    def __init__(self, client: GraphClient, connection_id: str, *, before_write: Callable[[], None] = _allow) -> None:
        """``before_write`` is called right before each attempt of a write and stops it by raising."""
        self._client = client
        # Filling the SDK's template, and three times for each request at that, takes a sixth of what a PUT takes.
        self._items = client.address(client.build.external.connections.by_external_connection_id(connection_id).items)
        self._before_write = before_write
        self._writing = Purpose("write an item", ITEM_ROLES, connection=connection_id)
        self._deleting = Purpose("delete an item", ITEM_ROLES, connection=connection_id)
        self._reading = Purpose("read an item", ITEM_ROLES, connection=connection_id)

    async def put(self, item_id: str, body: bytes) -> None:
        """Create the item or replace all its properties. 200 means accepted, not that a profile has changed."""
        target = self._item(item_id)
        await self._client.send("PUT", target, self._writing, body=body, before=self._before_write)

    async def delete(self, item_id: str) -> bool:
        """Delete the item and return True; one that is not there is as good as deleted, and False.

        After an attempt without answer a 404 is what that one has done.
        """
        target = self._item(item_id)
        answer = await self._client.send("DELETE", target, self._deleting, expected={404}, before=self._before_write)
        return answer.status != 404 or answer.in_doubt

    async def get(self, item_id: str) -> Json | None:
        """Return the item as Graph holds it, or None."""
        target = self._item(item_id)
        answer = await self._client.send("GET", target, self._reading, expected={404})
        return None if answer.status == 404 else document(answer)

    def _item(self, item_id: str) -> Address:
        return Address(f"{self._items}/{quote(item_id, safe='')}")
