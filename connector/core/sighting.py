"""What only the admin identity sees of the tenant: connection, profile source, priority list.

``connection.json`` remembers the last sighting, so that health can tell it, with its age, where ADMIN_ENABLED is false
and nobody may look.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from connector.core.setup import ENTRA_SOURCE_ID, authorized_apps, global_setting, place_of, source_in, source_urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.setup import Registration

Json = dict[str, Any]

REMEMBERED_AGAIN: Final = timedelta(days=1)
"""A sighting that shows nothing new is written down once a day: every write makes the next tick look twice."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The tenant as the admin identity saw it at one moment (ISO 8601, UTC).

    ``state`` and ``category`` are the connection's, in Graph's words; ``apps`` may manage it and its items.
    ``registered``: our profile source is there. ``sources``: how many the tenant-wide priority list names. ``above``:
    the ids of those before ours; None when ours is not listed. ``entra``: Entra's own is listed.
    """

    at: str
    state: str
    category: str
    apps: tuple[str, ...]
    registered: bool
    sources: int
    above: tuple[str, ...] | None
    entra: bool


def sighting(
    connection: Json, source: Json | None, settings: Sequence[Json], *, connection_id: str, now: datetime
) -> Sighting:
    """Return what Graph's answers show: the connection, our profile source (None: there is none), all settings."""
    urls = source_urls(global_setting(settings))
    place = place_of(connection_id, urls)
    return Sighting(
        at=now.isoformat(),
        state=str(connection.get("state") or ""),
        category=str(connection.get("contentCategory") or ""),
        apps=tuple(authorized_apps(connection)),
        registered=source is not None,
        sources=len(urls),
        above=None if place is None else tuple(source_in(url) or "" for url in urls[:place]),
        entra=place_of(ENTRA_SOURCE_ID, urls) is not None,
    )


def recalled(registration: Registration) -> Sighting | None:
    """Return the sighting that ``connection.json`` remembers; None when there is none that this release can read."""
    try:
        found = dict(registration.seen or {})
        above = found["above"]
        datetime.fromisoformat(found["at"])
        return Sighting(**found | {"apps": tuple(found["apps"]), "above": None if above is None else tuple(above)})
    except (KeyError, TypeError, ValueError):
        return None


def noted(registration: Registration, seen: Sighting) -> Registration:
    """Return the registration with a sighting in it, unless it holds one of the last day that shows the same."""
    last = recalled(registration)
    if last is not None and replace(last, at=seen.at) == seen:
        age = datetime.fromisoformat(seen.at) - datetime.fromisoformat(last.at)
        if age < REMEMBERED_AGAIN:
            return registration
    return replace(registration, seen=asdict(seen))
