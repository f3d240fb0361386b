"""What ``make demo`` tells under each contract: which exports are dropped, and what must come of every one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.tenant.graph.contracts import ContractName


@dataclass(frozen=True, slots=True)
class Night:
    """One night: which sample is dropped under which name, and what must come of it; counts not named must be 0."""

    sample: str
    name: str
    title: str
    outcome: str
    counts: Mapping[str, int]
    changed: frozenset[str]
    """Keys of everyone whose item is created, updated or deleted, as HR has them now."""
    items: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Items that are shown, by their ids, and what Graph must hold there to the letter."""


@dataclass(frozen=True, slots=True)
class Story:
    """Some nights, and how to tell people and their values apart. Paths are those of an item's values."""

    about: str
    """What is under test, in half a sentence."""
    nights: tuple[Night, ...]
    rejected: str
    """Somebody whose row is rejected in every night with a bad row."""
    key: str
    """The path of HR's key."""
    name: str
    """The path of what people are called."""
    named: str
    """The column of what people are called."""
    words: Mapping[str, str]
    """Differences worth telling, by their paths; the rest (ids, the mail address) goes along with these."""
    shown: tuple[str, ...]
    """Whose profiles are shown, by the keys that HR knew them by at first."""
    lines: tuple[str, ...]
    """Which lines of them."""
    ends: tuple[tuple[str, str, str], ...]
    """What must stand in these profiles in the end: whose, which line, what."""


_LABELS: Final = Story(
    about="",
    nights=(
        Night(
            sample="people-2026-11-20.csv",
            name="people-2026-11-20.csv",
            title="the first export: everyone is new",
            outcome="completed",
            counts={"created": 23},
            changed=frozenset(f"C{number}" for number in range(1001, 1024)),
        ),
        Night(
            sample="people-2026-11-21.csv",
            name="people-2026-11-21.csv",
            title="joiners, movers, leavers, a bad row",
            outcome="completed",
            counts={
                "created": 1,
                "updated": 7,
                "deleted": 1,
                "unchanged": 13,
                "unmatched": 1,
                "rejected": 1,
                "grace": 1,
            },
            changed=frozenset({"C1025", "C1006", "C1008", "C1002", "C1003", "C1004", "C1005", "C1007", "C1013"}),
        ),
        Night(
            sample="people-2026-11-22.csv",
            name="people-2026-11-22.csv",
            title="the same people again, in another order",
            outcome="completed",
            counts={"deleted": 1, "unchanged": 21, "unmatched": 1, "rejected": 1},
            changed=frozenset({"C1009"}),
        ),
        Night(
            sample="people-2026-11-22.csv",
            name="people-2026-11-23.csv",
            title="and once more",
            outcome="unchanged",
            counts={"unchanged": 21, "unmatched": 1, "rejected": 1},
            changed=frozenset(),
        ),
    ),
    rejected="C1015",
    key="positions.detail.employeeId",
    name="name.displayName",
    named="DisplayName",
    words={
        "name.displayName": "name",
        "positions.detail.jobTitle": "title",
        "positions.manager.userPrincipalName": "manager",
        "accounts.userPrincipalName": "UPN, same item",
    },
    # A new title, a new UPN, and a report of the manager with a new UPN.
    shown=("C1006", "C1008", "C1005"),
    lines=("name", "title", "department", "office", "manager", "skills", "colour"),
    ends=(
        ("C1006", "title", "Senior Data Engineer"),
        ("C1008", "name", "Zofia Wiśniewska"),
        ("C1005", "manager", "miguelangel.perez"),
    ),
)

_ALEX: Final = "f0c14352-442c-5fff-aa85-c75acc2df828"
"""The object id that the local Entra gives Alex; everything else of the item is the walkthrough's."""

_PREVIEW: Final = Story(
    about="under the contract of Microsoft's first walkthrough (June 2025), with its two people, and more",
    nights=(
        Night(
            sample="tutorial-2026-11-20.csv",
            name="tutorial-2026-11-20.csv",
            title="the walkthrough's two people",
            outcome="completed",
            counts={"created": 2},
            changed=frozenset({"alexw@contoso.com", "luisg@contoso.com"}),
            items={
                "alexw_at_contoso_dot_com": {
                    "id": "alexw_at_contoso_dot_com",
                    "acl": [{"accessType": "grant", "type": "everyone", "value": "EVERYONE"}],
                    "properties": {
                        "connectionId": "contosohrconnector1",
                        "externalId": "alexw_at_contoso_dot_com",
                        "oid": _ALEX,
                        "accounts": '[{"userPrincipalName":"alexw@contoso.com",'
                        f'"externalDirectoryObjectId":"{_ALEX}"}}]',
                        "positions": '[{"detail":{"jobTitle":"Software Engineer",'
                        '"company":{"department":"Engineering"}},"isCurrent":true}]',
                        "favoriteColor": "Blue",
                    },
                }
            },
        ),
        Night(
            sample="tutorial-2026-11-21.csv",
            name="tutorial-2026-11-21.csv",
            title="joiners, a mover, a bad row, somebody without an account",
            outcome="completed",
            counts={"created": 2, "updated": 1, "unchanged": 1, "unmatched": 1, "rejected": 1},
            changed=frozenset({"alexw@contoso.com", "asa.strand@contoso.com", "tom.okafor@contoso.com"}),
        ),
        Night(
            sample="tutorial-2026-11-22.csv",
            name="tutorial-2026-11-22.csv",
            title="a new UPN, the bad row mended, somebody missing",
            outcome="completed",
            counts={"created": 2, "transferred": 1, "deleted": 1, "unchanged": 2, "unmatched": 1, "grace": 1},
            changed=frozenset({"luis.garcia@contoso.com", "ines.moreau@contoso.com"}),
        ),
        Night(
            sample="tutorial-2026-11-23.csv",
            name="tutorial-2026-11-23.csv",
            title="the same people again, in another order",
            outcome="completed",
            counts={"deleted": 1, "unchanged": 4, "unmatched": 1},
            changed=frozenset({"tom.okafor@contoso.com"}),
        ),
        Night(
            sample="tutorial-2026-11-23.csv",
            name="tutorial-2026-11-24.csv",
            title="and once more",
            outcome="unchanged",
            counts={"unchanged": 4, "unmatched": 1},
            changed=frozenset(),
        ),
    ),
    rejected="ines.moreau@contoso.com",
    key="accounts.userPrincipalName",
    name="accounts.userPrincipalName",
    named="UPN",
    words={
        "positions.detail.jobTitle": "title",
        "positions.detail.company.department": "department",
        "favoriteColor": "colour",
        "accounts.userPrincipalName": "UPN, new item",
    },
    shown=("alexw@contoso.com", "luisg@contoso.com", "asa.strand@contoso.com"),
    lines=("UPN", "title", "department", "colour"),
    ends=(
        ("alexw@contoso.com", "title", "Senior Software Engineer"),
        ("alexw@contoso.com", "department", "Engineering"),
        ("alexw@contoso.com", "colour", "Blue"),
        ("luisg@contoso.com", "UPN", "luis.garcia"),
        ("luisg@contoso.com", "title", "Marketing Manager"),
        ("luisg@contoso.com", "colour", "Green"),
        ("asa.strand@contoso.com", "colour", "Grön"),
    ),
)

STORIES: Final[dict[ContractName, Story]] = {"labels": _LABELS, "preview": _PREVIEW}
