"""In what two contracts of people data differ; everything else of Graph is the same under both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

    from tests.tenant.graph.reading import Reading
    from tests.tenant.graph.state import Connection, Item, Json


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract's rules. A ``check_*`` raises the refusal that breaking its rule meets; other texts say why not."""

    version: str
    """The version in addresses that the service makes itself."""
    versions: frozenset[str]
    """The versions under which there is anything."""
    connection_required: tuple[str, ...]
    """Members that a new connection needs besides its id."""
    connection_changeable: frozenset[str]
    """Members that can be given to a new connection, and changed later."""
    connection_fixed: frozenset[str]
    """Members that can be given to a new connection only."""
    category: Callable[[Json], str | None]
    """Return the content category that a new connection's body asks for; None where there are no categories."""
    connection_shown: Callable[[Connection], Json]
    """Return what a connection shows of itself besides the members of every connection."""
    not_of_people: Callable[[Connection], str | None]
    """Say why a connection is none of people, and so reaches no profile."""
    source_members: frozenset[str]
    """Members that a profile source may be given besides its source id."""
    check_registration: Callable[[Mapping[str, str]], None]
    """Hold to what the headers of a schema's registration must carry."""
    property_members: frozenset[str]
    """Members that a property of a schema may have."""
    check_properties: Callable[[list[Json]], None]
    """Hold the well-formed properties of a schema to what people data wants of them."""
    item_id: re.Pattern[str]
    """What item ids look like."""
    check_acl: Callable[[Any], None]
    """Hold an item's access list to the one that people data may have."""
    check_content: Callable[[Connection, Json], None]
    """Hold an item's properties, all of which are in the schema, to what must be among them."""
    read: Callable[[Connection, Item, Reading], Json]
    """Return an item's entities by label, and ``custom``; without ``personAccount`` it is nobody's."""
