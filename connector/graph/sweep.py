"""Reading all users of a tenant, where that takes fewer requests than asking for those who are wanted.

https://learn.microsoft.com/graph/api/user-list
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from connector.core.accounts import Account, Found, account_key, ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connector.core.accounts import Match
    from connector.graph.client import Json

SWEPT_ABOVE: Final = 5000
"""So many asks are looked up by filters, however small the tenant: it takes seconds, once in the life of a ledger."""

PAGE: Final = 999
"""The most users that Graph puts on a page."""


def is_cheaper(*, asks: int, users: int, asks_per_request: int) -> bool:
    """Tell whether reading all ``users`` of a tenant takes no more requests than the ``asks`` do.

    The question how many users there are counts for the sweep, so a tenant may have about 3.3 times as many users as
    there are asks, of which 300 travel in a request. Where both take as many, the sweep it is: a page costs one of
    Graph's resource units, and so does every part of a batch. https://learn.microsoft.com/graph/throttling-limits
    """
    return pages_of(users) + 1 <= ceil(asks / asks_per_request)


def pages_of(users: int) -> int:
    """Return how many pages so many users fill."""
    return ceil(users / PAGE)


class Gathered:
    """Who of all users that are handed over answers the asks; of nobody else anything is kept."""

    def __init__(self, names: Mapping[Match, Sequence[str]]) -> None:
        """``names``: what is asked for by each attribute."""
        self._wanted = {
            match: {text.casefold(): account_key(ask(match, text)) for text in texts} for match, texts in names.items()
        }
        self._accounts: dict[str, Account] = {}
        self._ambiguous: set[str] = set()

    def take(self, users: Iterable[Json]) -> None:
        """Note which asks these users answer."""
        for user in users:
            for match, keys in self._wanted.items():
                key = keys.get((user.get(match) or "").casefold())
                if key is not None and self._accounts.setdefault(key, account := _account(user)).id != account.id:
                    self._ambiguous.add(key)

    def doubt(self, match: Match, text: str) -> None:
        """Note that more users than were handed over answer this ask."""
        self._ambiguous.add(account_key(ask(match, text)))

    def found(self) -> Found:
        """Return who answers what, and which asks several users answer."""
        known = {key: account for key, account in self._accounts.items() if key not in self._ambiguous}
        return Found(known, frozenset(self._ambiguous))

    def left(self) -> dict[Match, list[str]]:
        """Return what nobody has answered yet, by attribute."""
        unanswered = {
            match: [text for text, key in keys.items() if key not in self._accounts and key not in self._ambiguous]
            for match, keys in self._wanted.items()
        }
        return {match: texts for match, texts in unanswered.items() if texts}


def _account(user: Json) -> Account:
    return Account(
        id=user["id"],
        upn=user["userPrincipalName"],
        mail=user.get("mail") or None,
        enabled=user.get("accountEnabled") is not False,
        guest=str(user.get("userType") or "").casefold() == "guest",
    )
