"""What can go wrong on the way, scripted by request position or by predicate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import orjson

from tests.tenant.graph.replies import error_reply
from tests.tenant.wire import Killed, NoAnswer, Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tenant.graph.seen import Seen


@dataclass(frozen=True, slots=True)
class Throttled:
    """429 with Retry-After in seconds, or as an HTTP date, or without it (None). It has no effect.

    https://learn.microsoft.com/graph/throttling#sample-response [certain]
    """

    retry_after: float | datetime | None = 10
    retry_after_ms: int | None = None
    effect = False

    def reply(self, _: Reply | None) -> Reply:
        """Return Graph's documented answer."""
        inner = {"code": "429", "message": "Please retry after", "status": "429"}
        reply = error_reply(429, "TooManyRequests", "Please retry again later.", inner=inner)
        if isinstance(self.retry_after, datetime):
            reply.headers["retry-after"] = format_datetime(self.retry_after, usegmt=True)
        elif self.retry_after is not None:
            reply.headers["retry-after"] = f"{self.retry_after:g}"
        if self.retry_after_ms is not None:
            reply.headers["x-ms-retry-after-ms"] = str(self.retry_after_ms)
        return reply


@dataclass(frozen=True, slots=True)
class Failed:
    """A 5xx (or 408), before or after the request took effect.

    https://learn.microsoft.com/graph/errors [certain: statuses; likely: that a 5xx may follow the effect]
    """

    status: int = 503
    effect: bool = False

    def reply(self, _: Reply | None) -> Reply:
        """Return the failure."""
        code = {408: "timeout", 500: "InternalServerError", 502: "BadGateway", 503: "ServiceUnavailable"}
        text = "The service could not complete the request."
        return error_reply(self.status, code.get(self.status, "GatewayTimeout"), text)


@dataclass(frozen=True, slots=True)
class Dropped:
    """The connection breaks, before or after the request took effect."""

    effect: bool = False

    def reply(self, _: Reply | None) -> Reply:
        """Break the connection."""
        raise NoAnswer(reached=self.effect)


@dataclass(frozen=True, slots=True)
class Kill:
    """The sending process dies, before or after the request took effect."""

    effect: bool = True

    def reply(self, _: Reply | None) -> Reply:
        """End the sender."""
        raise Killed


@dataclass(frozen=True, slots=True)
class Refused:
    """Any other refusal, for instance a 404 right after a creation. It has no effect."""

    status: int
    code: str = "BadRequest"
    message: str = "The request is malformed or incorrect."
    effect = False

    def reply(self, _: Reply | None) -> Reply:
        """Return the refusal."""
        return error_reply(self.status, self.code, self.message)


@dataclass(frozen=True, slots=True)
class ShortPage:
    """A list ends after its first entry, and says where it goes on: a page may be shorter than it might be.

    https://learn.microsoft.com/graph/paging [certain]
    """

    effect = True

    def reply(self, answer: Reply | None) -> Reply:
        """Return the genuine answer, cut short."""
        content = orjson.loads(answer.body if answer else b"{}")
        content["value"] = content["value"][:1]
        content["@odata.nextLink"] = "https://graph.microsoft.com/beta/users?$skiptoken=1"
        return json_reply(200, content)


@dataclass(frozen=True, slots=True)
class Relinked:
    """A page of a list goes on elsewhere than it should, or nowhere. Graph does not do so; what is between might."""

    link: str | None
    effect = True

    def reply(self, answer: Reply | None) -> Reply:
        """Return the genuine answer with another link."""
        content = orjson.loads(answer.body if answer else b"{}")
        content.pop("@odata.nextLink", None)
        return json_reply(200, content if self.link is None else {**content, "@odata.nextLink": self.link})


@dataclass(frozen=True, slots=True)
class Stalled:
    """The sending process stands still after its request has been served, and reads the answer only later.

    ``meanwhile`` is what the rest of the world does until it goes on.
    """

    meanwhile: Callable[[], None]
    effect = True

    def reply(self, answer: Reply | None) -> Reply:
        """Let the world go on without the sender, then return the genuine answer."""
        self.meanwhile()
        return answer or Reply(500)


Fault = Throttled | Failed | Dropped | Kill | Refused | ShortPage | Relinked | Stalled


@dataclass(slots=True)
class _Condition:
    matches: Callable[[Seen], bool]
    fault: Fault
    times: int | None
    after: int


@dataclass(slots=True)
class FaultScript:
    """Faults by position (an index into the requests seen) and by predicate."""

    positions: dict[int, Fault] = field(default_factory=dict)
    conditions: list[_Condition] = field(default_factory=list)

    def at(self, position: int, fault: Fault) -> None:
        """Let the request at this position meet the fault."""
        self.positions[position] = fault

    def when(self, matches: Callable[[Seen], bool], fault: Fault, *, times: int | None, after: int) -> None:
        """Let matching requests meet the fault: the first ``after`` pass, the next ``times`` (None: all) do not."""
        self.conditions.append(_Condition(matches, fault, times, after))

    def meet(self, position: int, seen: Seen) -> Fault | None:
        """Return the fault that this request meets, and count it."""
        if not self.positions and not self.conditions:
            return None
        fault = self.positions.pop(position, None)
        if fault is not None:
            return fault
        for condition in self.conditions:
            if condition.times == 0 or not condition.matches(seen):
                continue
            if condition.after > 0:
                condition.after -= 1
                continue
            if condition.times is not None:
                condition.times -= 1
            return condition.fault
        return None
