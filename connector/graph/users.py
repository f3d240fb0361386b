"""Entra users, looked up by user principal name.

Names travel in the bodies of ``$batch`` requests, never in a logged URL: up to 20 parts of up to 15 names.
https://learn.microsoft.com/graph/json-batching
https://learn.microsoft.com/graph/api/user-list
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import orjson

from connector.core.accounts import Account, account_key
from connector.errors import GraphRejected
from connector.graph.client import Path, Purpose, document
from connector.graph.pace import Answer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from connector.graph.client import GraphClient, Json

USER_ROLES: Final = ("User.Read.All", "Directory.Read.All", "User.ReadWrite.All", "Directory.ReadWrite.All")

_PARTS = 20
_NAMES = 15
"""Graph refuses more than 15 alternatives in one filter: "Too many child clauses"."""

_IN_FLIGHT = 4
_SELECT = "id,userPrincipalName,mail,accountEnabled,userType"
_BATCH = Path("{+baseurl}/$batch")
_LOOKING = Purpose("look up users", USER_ROLES)

_Names = tuple[str, ...]
_T = TypeVar("_T")


class Users:
    """The users of the tenant. Errors about them never quote Graph: its text may repeat the filter."""

    def __init__(self, client: GraphClient) -> None:
        self._client = client

    async def by_upn(self, upns: Collection[str]) -> dict[str, Account]:
        """Return the accounts that exist, by :func:`account_key` of their user principal name.

        Parts that Graph throttles, fails or forgets are asked for again, alone. A name that Graph cannot even read
        (400) is nobody's.

        Raises:
            GraphDenied, GraphUnavailable: as :meth:`GraphClient.send`.
            GraphRejected: Graph accepts no filter at all, whatever the name.
        """
        names = sorted({account_key(upn): upn.strip() for upn in upns if upn.strip()}.values())
        found, unread = await self._ask(_chunks(names, _NAMES))
        alone, unreadable = await self._ask([(name,) for chunk in unread for name in chunk])
        if unreadable and not found and not alone and len(unreadable) == len(names):
            raise GraphRejected(
                "Microsoft Graph refused to look up users (HTTP 400 for every single one)", status=400, code="rejected"
            )
        accounts = [_account(user) for user in (*found, *alone)]
        wanted = {account_key(name) for name in names}
        return {key: account for account in accounts if (key := account_key(account.upn)) in wanted}

    async def _ask(self, filters: Iterable[_Names]) -> tuple[list[Json], list[_Names]]:
        """Return the users found, and the filters that Graph answered with 400."""
        gate = asyncio.Semaphore(_IN_FLIGHT)

        async def ask(batch: _Batch) -> None:
            async with gate:
                await self._client.run(batch.attempt, _LOOKING, repeat=True, rated=False)

        batches = [_Batch(self._client, parts) for parts in _chunks(filters, _PARTS)]
        try:
            async with asyncio.TaskGroup() as group:
                for batch in batches:
                    group.create_task(ask(batch))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # one reason to stop is enough, and callers know it by its type
        return [user for batch in batches for user in batch.users], [part for batch in batches for part in batch.unread]


class _Batch:
    """One ``$batch`` of filters; each attempt sends those parts that have no final answer yet."""

    def __init__(self, client: GraphClient, filters: Sequence[_Names]) -> None:
        self.users: list[Json] = []
        self.unread: list[_Names] = []
        self._client = client
        self._open = {str(number): names for number, names in enumerate(filters)}

    async def attempt(self) -> Answer:
        """Return 200 when every part has its answer, else the answer of the part that has most to say."""
        body = orjson.dumps({"requests": [_part(number, names) for number, names in self._open.items()]})
        return await self._client.attempt("POST", _BATCH, body=body, headers=_POLITE, read=self._harvest)

    def _harvest(self, outer: Answer) -> Answer:
        if outer.status != 200:
            return outer
        answered = {str(part.get("id")): part for part in document(outer).get("responses", ())}
        left: list[Answer] = []
        for number, names in list(self._open.items()):
            part = _part_answer(answered.get(number))
            if part.status == 200:
                self.users += document(part).get("value", ())
            elif part.status == 400:
                self.unread.append(names)
            else:
                left.append(part)
                continue
            del self._open[number]
        return max(left, key=_gravity, default=outer)


_POLITE: Final = {"x-ms-throttle-priority": "low"}
"""Under pressure Graph serves people before us. https://learn.microsoft.com/graph/throttling-limits"""


def _part(number: str, names: _Names) -> Json:
    condition = "userPrincipalName in (" + ",".join("'" + name.replace("'", "''") + "'" for name in names) + ")"
    url = f"/users?$select={_SELECT}&$filter=" + quote(condition, safe="'(),@")
    return {"id": number, "method": "GET", "url": url, "headers": _POLITE}


def _part_answer(part: Json | None) -> Answer:
    """Return a part as an answer of its own; a part that is missing has failed."""
    if part is None:
        return Answer(503)
    headers = {str(name).lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    return Answer(int(part.get("status") or 503), headers, orjson.dumps(part.get("body")))


def _gravity(answer: Answer) -> tuple[bool, bool, float]:
    """Order what is left of a batch: refusals first, then throttling with the longest wait, then failures."""
    wait = answer.headers.get("retry-after", "0")
    refused = 400 <= answer.status < 500 and answer.status not in {408, 423, 429}
    return refused, answer.status == 429, float(wait) if wait.replace(".", "", 1).isdigit() else 0.0


def _account(user: Json) -> Account:
    return Account(
        id=user["id"],
        upn=user["userPrincipalName"],
        mail=user.get("mail") or None,
        enabled=user.get("accountEnabled") is not False,
        guest=str(user.get("userType") or "").casefold() == "guest",
    )


def _chunks(values: Iterable[_T], size: int) -> list[tuple[_T, ...]]:
    iterator: Iterator[Any] = iter(values)
    return list(iter(lambda: tuple(islice(iterator, size)), ()))
