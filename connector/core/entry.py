"""One person in the ledger: what Graph last accepted of them, and what the next run needs to know without asking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["sent", "doubt", "failed", "unmatched", "outside"]
"""sent: Graph accepted the item. doubt: announced, answer never seen. failed: Graph refused it.
unmatched: no Entra user. outside: known (others refer to it), but not to be sent: not in the pilot, or out of scope."""

FORMER = "\x1f"
"""Begins the key of a former item's entry. No person's key does: it counts as blank there and is taken off."""

_RETRY_FIRST_SECONDS = 14 * 60
"""A little less than the fifteen minutes between two ticks, so that the next tick already finds it due."""
_RETRY_MOST_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Entry:
    """One person: what Graph last accepted, and what the next run needs to know without asking.

    ``source`` digests everything the item was made from, ``item`` the body itself (design §3.6). ``held`` says that
    Graph has, or may have, an item under ``item_id``; only then is there something to delete. ``upn`` is Entra's
    spelling when ``user_id`` is known, else HR's, where that is a UPN. ``asked`` is what Entra was asked for
    (`connector.core.accounts.ask`), where that is not ``upn``: the user was found by another attribute, or a UPN was
    not known, and the last known account stays what others refer to. ``fields`` are those of the last row of theirs
    that was taken (`connector.core.mapping.Person`), none where an earlier release took it. Times are unix seconds.
    """

    key: str
    item_id: str
    upn: str
    user_id: str = ""
    source: bytes = b""
    item: bytes = b""
    references: tuple[str, ...] = ()
    state: State = "unmatched"
    held: bool = False
    absent: int = 0
    resolved: int = 0
    sent: int = 0
    failures: int = 0
    retry_at: int = 0
    code: str = ""
    asked: str = ""
    fields: bytes = b""

    @property
    def is_former(self) -> bool:
        """Tell whether this is no person, but an item that somebody had before their item id changed."""
        return self.key.startswith(FORMER)

    @property
    def former_of(self) -> str:
        """Return the key of the person who had this former item: it stands where a person's references do."""
        return self.references[0] if self.is_former and self.references else ""

    def former(self, item_id: str) -> Entry:
        """Return the entry of the item that this person had under ``item_id``: it is still there, to be deleted."""
        return Entry(
            former_key(item_id), item_id, self.upn, self.user_id, references=(self.key,), state="sent", held=True
        )

    def failed(self, code: str, *, now: int) -> Entry:
        """Return the entry after Graph refused its item: sent again later, and later each time."""
        wait = min(_RETRY_FIRST_SECONDS * 2**self.failures, _RETRY_MOST_SECONDS)
        return replace(
            self,
            source=b"",
            item=b"",
            state="failed",
            failures=self.failures + 1,
            retry_at=now + wait,
            code=code,
        )

    def in_doubt(self, *, now: int) -> Entry:
        """Return the entry after a write whose answer was never seen: Graph may hold the old item, the new, or none."""
        return replace(self.failed("in_doubt", now=now), state="doubt", held=True)


def former_key(item_id: str) -> str:
    """Return the key under which a ledger keeps an item whose person has another one now."""
    return FORMER + item_id
