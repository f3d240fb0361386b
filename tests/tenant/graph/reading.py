"""Reading an item's values as profile entities, and what is dropped on the way without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from tests.tenant.graph.entities import AT_MOST, ENTITIES, ONE_OF_EACH_TYPE, read_entity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.graph.state import Json


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something Graph drops without a word: a whole item (``property`` is None), or one property's value."""

    item_id: str
    property: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One item as it is read; ``ignored`` grows by what is dropped of it."""

    item_id: str
    ignored: list[Ignored]

    def ignore(self, name: str | None, reason: str) -> None:
        """Drop a property's value, or (None) the whole item."""
        self.ignored.append(Ignored(self.item_id, name, reason))

    def json(self, name: str, text: str, kind: type, called: str) -> Iterator[Any]:
        """Yield the JSON value in a text when it is of this kind; ``called`` names the kind in the reason."""
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            self.ignore(name, "is not JSON")
            return
        if isinstance(value, kind):
            yield value
        else:
            self.ignore(name, f"is not {called}")

    def entities(self, name: str, label: str, values: list[Json]) -> list[Json]:
        """Return what is left of a property's entities: without wrong fields, empty ones and those beyond the limits.

        https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain]
        """
        read = []
        for value in values:
            entity, reasons = read_entity(ENTITIES[label], value)
            for reason in reasons:
                self.ignore(name, reason)
            if entity:
                read.append(entity)
        taken = _taken(label, read)
        if len(taken) < len(read):
            self.ignore(name, f"only {len(taken)} of {len(read)} are taken")
        return taken


def _taken(label: str, entities: list[Json]) -> list[Json]:
    if label in ONE_OF_EACH_TYPE:
        by_type: dict[str, Json] = {}
        for entity in entities:
            by_type.setdefault(entity.get("type") or entity.get("detail", {}).get("type", ""), entity)
        entities = list(by_type.values())
    return entities[: AT_MOST.get(label)]
