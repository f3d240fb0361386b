"""Reading back: which items a run asks Graph for, and whether what it has is what was sent.

Graph answers 200 and says nothing of what becomes of an item afterwards; there is no list of items to compare with.
https://learn.microsoft.com/graph/api/externalconnectors-externalitem-get
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import orjson

from connector.core.ledger import settle
from connector.core.packed import DIGEST, Packed, raw_guid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from connector.core.ledger import Entry, Ledger

Finding = Literal["same", "there", "changed", "vanished", "unread"]
"""same: as sent. there: it exists, and nobody can say what it should be like, since its row is in none of the files.
changed, vanished (404): drift. unread: Graph did not say."""

DRIFT: Final = frozenset({"changed", "vanished"})

ENOUGH: Final = 3
"""One item that is not there may have been deleted by somebody; so many were not."""

ACL: Final = "acl"
"""What stands among the properties that differ when it is who may see the item."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What Graph has of one item. ``properties`` are the names of those that differ; no value is kept."""

    entry: Entry
    finding: Finding
    properties: tuple[str, ...] = ()


def turns(ledger: Ledger, after: str, count: int) -> list[Entry]:
    """Return whose items are asked for: those whose turn comes after ``after`` (`turn_of` of the last one asked).

    They take turns in an order that has nothing to do with the people, and begin anew when all have had theirs; so
    after so many runs everybody has, whoever joins or leaves meanwhile. Only items that Graph certainly took count.
    """
    entries: Iterable[Entry] = ledger.entries.values()
    if isinstance(ledger.entries, Packed):
        packed = ledger.entries
        entries = map(packed.at, _near(packed, after, count))
    certain = (entry for entry in entries if entry.held and entry.state == "sent" and entry.item)
    queue = [(turn_of(entry), entry.key, entry) for entry in certain if not entry.is_former]
    order = sorted(queue, key=lambda each: (each[0] <= after, each[:2]))  # those still to come first
    return [entry for _, _, entry in order[:count]]


def turn_of(entry: Entry) -> str:
    """Return somebody's place in the order of turns: the object id, which is made of nothing that is theirs.

    Of whoever has none that is a GUID it is a digest, since an item id may be made of a UPN.
    """
    raw = raw_guid(entry.user_id) or hashlib.sha256(entry.item_id.encode()).digest()[:DIGEST]
    return raw.hex()


def _near(packed: Packed, after: str, count: int) -> Iterator[int]:
    """Yield the places of whoever may be among the next ones: everybody who is not plain, and some who are."""
    yield from packed.not_plain()
    yield from packed.next_users(bytes.fromhex(after).ljust(DIGEST, b"\xff") if after else b"", count)


def differences(sent: bytes, found: Mapping[str, Any], *, schema: Collection[str]) -> tuple[str, ...]:
    """Return the names of the properties in which an item differs from the body that was sent.

    What Graph may add or write otherwise by itself is no difference: annotations (``@odata…``), empty properties,
    the order of a collection, the spelling of JSON in a string, names that are not in ``schema``, and members of an
    entry of the access list beside type, value and accessType.
    """
    body = orjson.loads(sent)
    mine, theirs = _values(body["properties"]), _values(found.get("properties") or {})
    names = mine.keys() | (theirs.keys() & set(schema))
    differing = sorted(name for name in names if mine.get(name) != theirs.get(name))
    return (*differing, *((ACL,) if _access(body[ACL]) != _access(found.get(ACL) or ()) else ()))


def _values(properties: Mapping[str, Any]) -> dict[str, Any]:
    kept = ((name, value) for name, value in properties.items() if "@odata." not in name)
    return {name: _value(value) for name, value in kept if value not in (None, "", [])}


def _value(value: object) -> object:
    if isinstance(value, list):
        return Counter(orjson.dumps(_value(each), option=orjson.OPT_SORT_KEYS) for each in value)
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def _access(entries: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, ...]]:
    """Return who may see an item; everyone is everyone, whatever stands beside it (a tenant's id, in some answers)."""
    return Counter(
        tuple(
            str(entry.get(name)).casefold()
            for name in ("type", "value", "accessType")
            if (name, str(entry.get("type")).casefold()) != ("value", "everyone")
        )
        for entry in entries
    )


def drifted(ledger: Ledger, found: Iterable[ReadBack], *, now: int) -> Ledger:
    """Return the ledger in which items that Graph has otherwise, or not at all, are in doubt: they are sent again.

    One that has vanished may be there all the same, so it is not forgotten.
    """
    doubts = [
        replace(each.entry.failed(f"item_{each.finding}", now=now), state="doubt")
        for each in found
        if each.finding in DRIFT
    ]
    return settle(ledger, doubts, ()) if doubts else ledger


def is_emptied(found: Iterable[ReadBack], *, before: int) -> bool:
    """Tell whether nothing is left of what Graph took before this run: three items and more, and all have vanished.

    ``before``: unix seconds. What has just been sent may not be there yet.
    """
    older = [each.finding for each in found if each.entry.sent < before and each.finding != "unread"]
    return len(older) >= ENOUGH and set(older) == {"vanished"}


def counts(found: Iterable[ReadBack], *, wanted: int) -> dict[str, int]:
    """Return how many items were to be asked for, and how many of each finding there are."""
    tally = Counter(each.finding for each in found)
    told = {finding: tally[finding] for finding in get_args(Finding) if finding != "unread"}
    return {"asked": wanted, **told, "unread": wanted - sum(told.values())}
