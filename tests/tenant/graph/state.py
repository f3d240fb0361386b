"""What the simulated Graph remembers: plain values in plain dicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

ENTRA_SOURCE = "4ce763dd-9214-4eff-af7c-da491cc3782d"
"""The profile source of Entra's own values, present in every tenant.
https://learn.microsoft.com/graph/people-data-sources [certain]"""

GLOBAL_SETTING = "00000000-0000-0000-0000-000000000001"
"""The id of the tenant-wide property setting in the documentation's examples."""


@dataclass(slots=True)
class User:
    """An Entra user, with the values that Entra itself contributes to the profile."""

    id: str
    upn: str
    mail: str | None
    enabled: bool
    guest: bool
    mailbox: bool
    attributes: Json = field(default_factory=dict)


@dataclass(slots=True)
class Item:
    """An external item as it was last put, and when (monotonic seconds)."""

    id: str
    body: Json
    put_at: float


@dataclass(slots=True)
class Operation:
    """A schema registration under way."""

    id: str
    due: float
    properties: list[Json]
    error: str | None = None
    settled: bool = False


@dataclass(slots=True)
class Connection:
    """An external connection with its schema, its operations and its items."""

    id: str
    name: str
    description: str | None
    category: str | None
    owner: str
    authorized: list[str]
    schema: list[Json] | None = None
    types: dict[str, str] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    ended: Literal["limitExceeded", "obsolete"] | None = None
    """What a ready connection has become."""

    @property
    def state(self) -> str:
        """Return draft until a schema is in, then ready, or what has become of it."""
        return self.ended or ("draft" if self.schema is None else "ready")

    def settle(self, now: float) -> None:
        """Let schema operations whose time has come take effect."""
        for operation in self.operations.values():
            if operation.settled or operation.due > now:
                continue
            operation.settled = True
            if operation.error is None:
                self.schema = operation.properties
                self.types = {prop["name"]: prop["type"] for prop in operation.properties}

    def registering(self, now: float) -> bool:
        """Tell whether a schema registration has not ended yet."""
        return any(operation.due > now for operation in self.operations.values())


@dataclass(slots=True)
class ProfileSource:
    """A profile source; ``registered_at`` in monotonic seconds."""

    id: str
    source_id: str
    content: Json
    registered_at: float = -math.inf
    prioritized_until: float = -math.inf


@dataclass(slots=True)
class PropertySetting:
    """A profile property setting; the one without a name is the tenant's."""

    id: str
    name: str | None
    display_name: str | None
    urls: list[str]
