"""Use cases in which somebody decides: approve what waits, pause syncing, let it go on (design §3.16).

None of them writes the head, which is the runs' alone: an approval is left as a request that the next tick takes up,
and a pause is a blob of its own, which every tick's first look sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from connector.core.due import turn_of_refused
from connector.core.head import Approval, moment
from connector.errors import BadRequest, Conflict, NotReady

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.due import Dropped
    from connector.core.head import Head, Refused
    from connector.core.setup import Registration
    from connector.storage.state import State

MAX_WORDS: Final = 200
"""Characters of a name, a hash or a reason."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks to be approved: the hash, and their name."""

    plan: str
    by: str


def read_approval(body: bytes) -> Wish:
    """Read the body of ``POST /runs/{id}/approve``.

    Raises:
        BadRequest: it is something else than ``{"plan": hash, "by": name}``.
    """
    said = _words(body, required=("plan", "by"))
    return Wish(said["plan"], said["by"])


def read_note(body: bytes, *, required: Sequence[str]) -> dict[str, str]:
    """Read the body of ``POST /pause`` or ``POST /resume``: ``by`` and ``reason``, of which some are ``required``.

    Raises:
        BadRequest: it is something else.
    """
    return {"by": "", "reason": "", **_words(body, required=required, allowed=("by", "reason"))}


def _words(body: bytes, *, required: Sequence[str], allowed: Sequence[str] = ()) -> dict[str, str]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    names = tuple(dict.fromkeys((*required, *allowed)))
    wanted = " and ".join(f'"{name}"' for name in required)
    if not isinstance(said, dict) or not set(said) <= set(names):
        raise BadRequest(f"the body must be a JSON object with {wanted}; allowed: {', '.join(names)}")
    for name, value in said.items():
        if not isinstance(value, str) or len(value) > MAX_WORDS or not value.isprintable():
            raise BadRequest(f"{name}: must be text of at most {MAX_WORDS} characters, on one line")
    words = {name: value.strip() for name, value in said.items()}
    for name in required:
        if not words.get(name):
            raise BadRequest(f"{name}: is missing or blank; the body must have {wanted}")
    return words


async def approve(
    state: State,
    wish: Wish,
    *,
    report: Mapping[str, Any],
    settled: Sequence[Dropped],
    circumstances: str,
    name: str,
    now: int,
) -> dict[str, Any]:
    """Leave an approval of what a run held, or refused, for the next tick.

    ``report`` is that run's; ``settled`` and ``circumstances`` are what the next tick will see. ``name`` is what to
    call the request, ``now`` unix seconds. Returns what has been approved, and until when that counts.

    Raises:
        Conflict: nothing waits under that hash now, or no approval can help.
    """
    registration = await state.registration()
    if registration is None or registration.leaving:
        raise NotReady("there is no connection to sync to: run setup first")
    head, _ = await state.head()
    approval = Approval(wish.plan, wish.by, now)
    _refuse_what_does_not_wait(head, registration, wish.plan, report=report)
    if head.held is None or head.held.plan != wish.plan:
        _refuse_what_is_overtaken(turn_of_refused(head, wish.plan, settled, circumstances=circumstances))
    await state.ask_to_release(name, approval)
    return {"run": report["run"], **approval.body(), "expires": approval.expires}


def _refuse_what_does_not_wait(head: Head, registration: Registration, plan: str, *, report: Mapping[str, Any]) -> None:
    if report.get("plan") != plan:
        raise Conflict(
            "this run held or refused nothing under that hash; its report has the right one as plan, if it has any"
        )
    if head.incarnation and head.incarnation != registration.incarnation:
        raise Conflict("the connection is another one since; the next tick plans anew, and its report tells what waits")
    if head.held is not None and head.held.plan == plan:
        if head.held.outdated:
            raise Conflict(
                "an export of some people was applied since; approve what the next run's report says is held"
            )
        return
    refused = _refused(head, plan)
    if refused is None and not _was_stopped_by_guards(report):
        raise _never(report)
    if refused is None:
        raise Conflict(
            "that plan does not wait any more: it was carried out, or something newer has taken its place; status tells"
            " what waits now"
        )
    if not refused.guards:
        raise _never(report)


def _refused(head: Head, plan: str) -> Refused | None:
    return next((each for each in head.refused if each.plan == plan), None)


def _was_stopped_by_guards(report: Mapping[str, Any]) -> bool:
    return report.get("outcome") == "held" or any(guard.get("tripped") for guard in report.get("guards", ()))


def _never(report: Mapping[str, Any]) -> Conflict:
    code = (report.get("error") or {}).get("code", report.get("outcome"))
    return Conflict(
        f"nobody can approve that: {code} is no guard's finding, so no word of anybody's helps. Do what the report"
        " says; as a rule HR mends the file and drops it anew",
        code="not_approvable",
    )


def _refuse_what_is_overtaken(turn: Literal["next", "later", "gone"]) -> None:
    """Refuse to approve an export that the next tick would not take, because it is gone or there is a newer one."""
    if turn == "gone":
        raise Conflict(
            "that export is not there any more, or a newer one has been applied since. If it is still wanted, HR drops"
            " it anew; approve what its new report says"
        )
    if turn == "later":
        raise Conflict(
            "a newer export is there, and the next tick takes that one instead. If it is right, there is nothing to"
            " approve. If this one is the right one, HR removes the newer one; then approve again. If the newer one is"
            " refused as well, approve the one that is right"
        )


async def pause(state: State, note: Mapping[str, str], *, now: float) -> dict[str, Any]:
    """Let ticks do nothing until syncing is resumed; return what status will show. Paused again, the last word counts.

    A run that is under way stops within seconds and goes on afterwards.
    """
    told = {**note, "since": moment(now)}
    await state.pause(told)
    return {"paused": True, "pause": told}


async def resume(state: State, note: Mapping[str, str], *, now: float) -> dict[str, Any]:
    """Let ticks work again. Nothing paused: nothing changes."""
    if await state.paused() is not None:
        await state.resume({**note, "at": moment(now)})
    return {"paused": False, "pause": None}
