"""Entra users, looked up by an attribute of theirs.

What is asked travels in the bodies of ``$batch`` requests, never in a logged URL: up to 20 parts of up to 15 asks.
Where that would take more requests than reading all users of the tenant, all users are read: see :mod:`.sweep`.
https://learn.microsoft.com/graph/json-batching
https://learn.microsoft.com/graph/api/user-list
"""

from __future__ import annotations

import asyncio
import codecs
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

import orjson

from connector.core.accounts import account_key, asked_by
from connector.errors import GraphRejected, GraphUnavailable
from connector.graph.client import Path, Purpose, document, following
from connector.graph.pace import Answer
from connector.graph.sweep import PAGE, SWEPT_ABOVE, Gathered, is_cheaper, pages_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from connector.core.accounts import Found, Match
    from connector.graph.client import GraphClient, Json, Target

USER_ROLES: Final = ("User.Read.All", "Directory.Read.All", "User.ReadWrite.All", "Directory.ReadWrite.All")

_PARTS = 20
_NAMES = 15
"""Graph refuses more than 15 alternatives in one filter: "Too many child clauses"."""

_OBJECT_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""Graph refuses a filter for an object id of another form, and all that is in it."""

_LONGEST: Final = 1024
"""Characters of an ask. No user has an attribute that is longer; such a filter makes an address that Graph refuses."""

_IN_FLIGHT = 4
_SELECT = "id,userPrincipalName,mail,accountEnabled,userType"
_BATCH = Path("{+baseurl}/$batch")
_COUNT = Path("{+baseurl}/users/$count")
_PAGE = "{+baseurl}/users?$select={+selected}&$top={+size}"
_LOOKING = Purpose("look up users", USER_ROLES)


_T = TypeVar("_T")


class Users:
    """The users of the tenant. Errors about them never quote Graph: its text may repeat the filter."""

    def __init__(self, client: GraphClient, *, swept_above: int = SWEPT_ABOVE) -> None:
        """``swept_above``: with more asks than that, it is asked whether reading all users is cheaper."""
        self._client = client
        self._swept_above = swept_above

    async def find(self, asks: Collection[str]) -> Found:
        """Return who answers these asks (`connector.core.accounts.ask`), and to which of them several users do.

        Parts that Graph throttles, fails or forgets are asked for again, alone. An ask that Graph cannot even read
        (400) is nobody's, nor is an object id that is no GUID, or a text that is too long. ``userPrincipalName``,
        ``mail``, ``employeeId`` and ``id`` may all be filtered with ``in``:
        https://learn.microsoft.com/graph/api/resources/user

        Raises:
            GraphDenied, GraphUnavailable: as :meth:`GraphClient.send`.
            GraphRejected: Graph accepts no filter at all, whatever the ask.
        """
        names = _names(asks)
        swept = await self._sweep(names)
        if swept is None:
            return await self._filter(names, of=names)
        # Whoever was made, or moved from one page to another, meanwhile: nobody is unmatched by a list alone.
        return swept.found() | await self._filter(swept.left(), of=names)

    async def _sweep(self, names: _Names) -> Gathered | None:
        """Return who of all users answers the asks; None: that takes more requests, or not all users came."""
        asks = _count(names)
        users = await self._number() if asks > self._swept_above else None
        if users is None or not is_cheaper(asks=asks, users=users, asks_per_request=_PARTS * _NAMES):
            return None
        gathered, came = Gathered(names), 0
        target: Target | None = Path(_PAGE, {"selected": _selected(names), "size": PAGE})
        pages = 2 * pages_of(users)  # a page may be shorter than it might be, but a list that goes on and on is none
        try:
            while target is not None and pages:
                page = document(await self._client.send("GET", target, _LOOKING, headers=_POLITE, rated=False))
                gathered.take(page.get("value", ()))
                came += len(page.get("value", ()))
                target, pages = following(page), pages - 1
        except (GraphRejected, GraphUnavailable):
            return None
        # How many there are is told by an index that lags behind a little.
        return gathered if target is None and came >= 0.99 * users else None

    async def _number(self) -> int | None:
        """Return how many users the tenant has, as far as its index knows; None when Graph does not say.

        https://learn.microsoft.com/graph/aad-advanced-queries
        """
        headers = {**_POLITE, "ConsistencyLevel": "eventual", "Accept": "text/plain"}
        try:
            answer = await self._client.send("GET", _COUNT, _LOOKING, headers=headers, rated=False)
        except GraphRejected:
            return None
        number = answer.body.removeprefix(codecs.BOM_UTF8).strip()
        return int(number) if number.isdigit() else None

    async def _filter(self, names: _Names, *, of: _Names) -> Found:
        """Return who answers the asks, asking for them by filters; ``of`` are all asks, with those answered before."""
        answers = await self._ask(part for match, texts in names.items() for part in _filters(match, texts, _NAMES))
        apart = [part for answer in answers if not answer.whole for part in _filters(*answer.part, 1)]
        singles = await self._ask(apart)
        unreadable = [answer for answer in singles if not answer.read]
        if unreadable and len(unreadable) == _count(of):
            raise GraphRejected(
                "Microsoft Graph refused to look up users (HTTP 400 for every single one)", status=400, code="rejected"
            )
        gathered = Gathered(names)
        for answer in (*(answer for answer in answers if answer.whole), *singles):
            gathered.take(answer.users)
            if answer.more:
                gathered.doubt(answer.part[0], answer.part[1][0])
        return gathered.found()

    async def _ask(self, parts: Iterable[_Part]) -> list[_Answered]:
        """Return what Graph answered to each filter."""
        gate = asyncio.Semaphore(_IN_FLIGHT)

        async def send(batch: _Batch) -> None:
            async with gate:
                await self._client.run(batch.attempt, _LOOKING, repeat=True, rated=False)

        batches = [_Batch(self._client, some) for some in _chunks(parts, _PARTS)]
        try:
            async with asyncio.TaskGroup() as group:
                for batch in batches:
                    group.create_task(send(batch))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None  # one reason to stop is enough, and callers know it by its type
        return [answer for batch in batches for answer in batch.answers]


_Names: TypeAlias = "Mapping[Match, Sequence[str]]"
"""The asks by attribute."""


def _names(asks: Collection[str]) -> _Names:
    """Return what is asked for by each attribute, each once, in one order whatever the order of the asks."""
    names: dict[Match, list[str]] = {}
    for each in sorted({account_key(each): each for each in asks}.values()):
        match, text = asked_by(each.strip())
        if 0 < len(text) <= _LONGEST and (match != "id" or _OBJECT_ID.fullmatch(text)):
            names.setdefault(match, []).append(text)
    return names


def _count(names: _Names) -> int:
    return sum(map(len, names.values()))


def _selected(names: Iterable[Match]) -> str:
    """Return what to read of users to match them by these attributes."""
    return ",".join(dict.fromkeys((*_SELECT.split(","), *names)))


_Part: TypeAlias = "tuple[Match, tuple[str, ...]]"
"""One filter: the attribute, and the values it may have."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """What Graph answered to a filter: its users; ``more`` when they are more than a page; not ``read``: 400."""

    part: _Part
    users: Sequence[Json] = ()
    more: bool = False
    read: bool = True

    @property
    def whole(self) -> bool:
        """Tell whether this is all there is to the filter's asks. If not, they are asked one by one."""
        return self.read and not self.more


class _Batch:
    """One ``$batch`` of filters; each attempt sends those parts that have no final answer yet."""

    def __init__(self, client: GraphClient, parts: Sequence[_Part]) -> None:
        self.answers: list[_Answered] = []
        self._client = client
        self._open = {str(number): part for number, part in enumerate(parts)}

    async def attempt(self) -> Answer:
        """Return 200 when every part has its answer, else the answer of the part that has most to say."""
        body = orjson.dumps({"requests": [_request(number, part) for number, part in self._open.items()]})
        return await self._client.attempt("POST", _BATCH, body=body, headers=_POLITE, read=self._harvest)

    def _harvest(self, outer: Answer) -> Answer:
        if outer.status != 200:
            return outer
        answered = {str(part.get("id")): part for part in document(outer).get("responses", ())}
        left: list[Answer] = []
        for number, part in list(self._open.items()):
            answer = _part_answer(answered.get(number), of=outer)
            if answer.status == 200:
                body = document(answer)
                self.answers.append(_Answered(part, body.get("value", ()), more="@odata.nextLink" in body))
            elif answer.status == 400:
                self.answers.append(_Answered(part, read=False))
            else:
                left.append(answer)
                continue
            del self._open[number]
        return max(left, key=lambda answer: _gravity(answer, self._client.pace.asked(answer)), default=outer)


_POLITE: Final = {"x-ms-throttle-priority": "low"}
"""Under pressure Graph serves people before us. https://learn.microsoft.com/graph/throttling-limits"""


def _request(number: str, part: _Part) -> Json:
    match, texts = part
    condition = f"{match} in (" + ",".join("'" + text.replace("'", "''") + "'" for text in texts) + ")"
    url = f"/users?$select={_selected((match,))}&$filter=" + quote(condition, safe="'(),@")
    return {"id": number, "method": "GET", "url": url, "headers": _POLITE}


def _filters(match: Match, texts: Iterable[str], size: int) -> list[_Part]:
    return [(match, some) for some in _chunks(texts, size)]


def _part_answer(part: Json | None, *, of: Answer) -> Answer:
    """Return a part as an answer of its own, of the same moment; a part that is missing has failed."""
    if part is None:
        return Answer(503)
    date = {name: value for name, value in of.headers.items() if name == "date"}
    headers = date | {str(name).lower(): str(value) for name, value in (part.get("headers") or {}).items()}
    return Answer(int(part.get("status") or 503), headers, orjson.dumps(part.get("body")))


def _gravity(answer: Answer, wait: float | None) -> tuple[bool, bool, float]:
    """Order what is left of a batch: refusals first, then throttling with the longest wait, then failures."""
    refused = 400 <= answer.status < 500 and answer.status not in {408, 423, 429}
    return refused, answer.status == 429, wait or 0.0


def _chunks(values: Iterable[_T], size: int) -> list[tuple[_T, ...]]:
    iterator: Iterator[Any] = iter(values)
    return list(iter(lambda: tuple(islice(iterator, size)), ()))
