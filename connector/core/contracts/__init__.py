"""How a person becomes an external item: one module per contract, which differ in nothing but this.

``labels`` is what Microsoft documents today, ``preview`` what its first walkthrough had (docs/decisions/0007). A
connection keeps the contract it was set up under; whatever is specific to one stands in its module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from connector.core.contracts import labels, preview

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dict

    from connector.core.accounts import Known
    from connector.core.mapping import Mapping, PropertyPart

ContractName = Literal["labels", "preview"]


@dataclass(frozen=True, slots=True)
class Content:
    """What an item is made of. ``filled``: by the names of the mapping's properties (`BoundMapping.entities`)."""

    item_id: str
    connection_id: str
    account: Known
    mapping: Mapping
    filled: Dict[str, dict[str, Any] | list[dict[str, Any]] | str]


class Contract(Protocol):
    """What everything else needs to know of a contract."""

    @property
    def NAME(self) -> ContractName:  # noqa: N802 - a module's constants, here and below
        """Return the value of CONTRACT that asks for it."""
        ...

    @property
    def RENDERER(self) -> int:  # noqa: N802
        """Return the renderer's version: when it grows, everyone is rendered again (design §3.6)."""
        ...

    @property
    def CATEGORY(self) -> str | None:  # noqa: N802
        """Return the content category that marks a people connection, if there is such a mark."""
        ...

    @property
    def VERSION(self) -> str:  # noqa: N802
        """Return the version of Graph whose addresses the priority list names."""
        ...

    @property
    def SOURCE_KIND(self) -> str | None:  # noqa: N802
        """Return the ``kind`` that a profile source of ours bears, if it bears one."""
        ...

    @property
    def SCHEMA_HEADERS(self) -> Dict[str, str]:  # noqa: N802
        """Return what the request that registers the schema carries besides."""
        ...

    @property
    def MARKS(self) -> frozenset[str]:  # noqa: N802
        """Return the properties by which a schema shows that it is one of people, where the category does not."""
        ...

    @property
    def IDS_FOLLOW_ACCOUNTS(self) -> bool:  # noqa: N802
        """Tell whether an item id is made of the account, so that a new UPN is a new item and an id personal data."""
        ...

    def item_id(self, connection_id: str, *, key: str, upn: str) -> str:
        """Return the id of a person's item."""
        ...

    def problems(self, mapping: Mapping) -> Iterator[str]:
        """Say what of a mapping cannot be had under this contract."""
        ...

    def schema(self, mapping: Mapping) -> dict[str, Any]:
        """Return the schema that a mapping's items need, as the body of the PATCH."""
        ...

    def name_of(self, part: PropertyPart) -> str:
        """Return what a property of the mapping is called in schema and items."""
        ...

    def properties_of(self, mapping: Mapping, filled: Dict[str, Any]) -> Dict[str, Any]:
        """Return what an item says of a person, by its names there, before it is written as JSON in strings."""
        ...

    def item(self, content: Content) -> bytes:
        """Return the body of a person's PUT, byte for byte the same for the same content."""
        ...


def contract_of(name: ContractName) -> Contract:
    """Return the contract that CONTRACT names."""
    return _CONTRACTS[name]


_CONTRACTS: Final[dict[ContractName, Contract]] = {"labels": labels, "preview": preview}
