"""Which profile source wins: one list for the whole tenant, shared with every other source.

https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from connector.graph.client import Json, Purpose
from connector.graph.profile_sources import PEOPLE_SETTINGS_ROLES

if TYPE_CHECKING:
    from connector.graph.client import GraphClient


class ProfilePropertySettings:
    """The tenant's priority lists. There is deliberately no delete: the global list is not ours to remove."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._all = client.build.admin.people.profile_property_settings

    async def list(self) -> tuple[Json, ...]:
        """Return all settings; the one without a name is the tenant's global one."""
        return await self._client.pages(self._all, _to("read"))

    async def create(self, body: Json) -> None:
        """Create a setting; without a name it is the global one, of which there can be only one."""
        await self._client.send("POST", self._all, _to("create"), body=orjson.dumps(body))

    async def update(self, setting_id: str, body: Json) -> None:
        """Replace the list of a setting.

        https://learn.microsoft.com/graph/api/profilepropertysetting-update
        """
        target = self._all.by_profile_property_setting_id(setting_id)
        await self._client.send("PATCH", target, _to("update"), body=orjson.dumps(body))


def _to(verb: str) -> Purpose:
    return Purpose(f"{verb} the priority of profile sources", PEOPLE_SETTINGS_ROLES, quotable=True)
