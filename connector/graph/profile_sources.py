"""Profile sources: who may contribute to the profiles of the tenant.

https://learn.microsoft.com/graph/api/resources/profilesource
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from connector.graph.client import Json, Purpose

if TYPE_CHECKING:
    from connector.graph.client import GraphClient

PEOPLE_SETTINGS_ROLES: Final = ("PeopleSettings.ReadWrite.All",)


class ProfileSources:
    """The tenant's profile sources, Microsoft's own among them."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client
        self._all = client.build.admin.people.profile_sources

    async def get(self, source_id: str) -> Json | None:
        """Return the source with this ``sourceId``, or None."""
        wanted = source_id.casefold()
        sources = await self._client.pages(self._all, _to("read"))
        return next((source for source in sources if str(source.get("sourceId", "")).casefold() == wanted), None)

    async def create(self, body: Json) -> None:
        """Register a source; look before calling this again after a failure.

        https://learn.microsoft.com/graph/api/peopleadminsettings-post-profilesources
        """
        await self._client.send("POST", self._all, _to("register"), body=orjson.dumps(body))

    async def update(self, source_id: str, body: Json) -> None:
        """Change what can be changed; ``sourceId`` cannot.

        https://learn.microsoft.com/graph/api/profilesource-update
        """
        target = self._client.build.admin.people.profile_sources_with_source_id(source_id)
        await self._client.send("PATCH", target, _to("update"), body=orjson.dumps(body))

    async def delete(self, source_id: str) -> None:
        """Remove the source; one that is not there is as good as removed.

        https://learn.microsoft.com/graph/api/profilesource-delete

        Raises:
            GraphRejected: 400 while a priority list still names it.
        """
        target = self._client.build.admin.people.profile_sources_with_source_id(source_id)
        await self._client.send("DELETE", target, _to("remove"), expected={404})


def _to(verb: str) -> Purpose:
    return Purpose(f"{verb} the profile source", PEOPLE_SETTINGS_ROLES, quotable=True)
