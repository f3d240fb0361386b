"""Use case that only looks: where the sync stands, and what its runs did."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from connector.core.due import turn_of_refused, unmet_exports, work_due
from connector.core.head import moment
from connector.core.report import listed
from connector.errors import BadRequest, ConnectorError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from connector.clock import Clock
    from connector.core.due import Dropped, Request, Waiting
    from connector.core.head import ExportMark, Head
    from connector.core.setup import Registration
    from connector.graph.client import Identity
    from connector.settings import Settings
    from connector.storage.blobs import Container
    from connector.storage.state import State

MOST_RUNS: Final = 100
_RUN: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,12}")


class SecretState(Protocol):
    """What status tells about a secret."""

    @property
    def expires(self) -> datetime | None:
        """Return when it ends; None if the vault does not say."""
        ...

    @property
    def expiring(self) -> bool:
        """Tell whether that is soon, or has been."""
        ...


class Secrets(Protocol):
    """The vault, as far as status goes."""

    async def credential_state(self, identity: Identity) -> SecretState:
        """Return the state of one identity's secret."""
        ...


async def status(
    *,
    settings: Settings,
    clock: Clock,
    state: State,
    reports: Container,
    secrets: Secrets,
    settled: Sequence[Dropped],
    waiting: Sequence[Waiting],
    circumstances: str,
    schedule: str | None,
) -> dict[str, Any]:
    """Return the body of ``GET /status`` (interface §3).

    ``settled``: the exports that are wholly uploaded, whatever became of them; ``waiting``: sets of files that are not
    whole yet.
    """
    requests = await state.requests()
    head = with_approvals((await state.head())[0], requests)
    registration = await state.registration()
    now = clock.now()
    paused = await state.paused()
    leaving = registration is not None and registration.leaving
    work = work_due(
        head,
        unmet_exports(head, settled, circumstances=circumstances),
        requests,
        now=int(now.timestamp()),
        circumstances=circumstances,
        incarnation=registration.incarnation if registration else head.incarnation,
    )
    return {
        "connection": _connection(settings, registration, now),
        "ledger": _ledger(head, registration),
        "last_export": _export(head.applied),
        "last_seen": _export(settled[-1].mark()) if settled else None,
        "waiting": [asdict(each) for each in waiting],
        "held": {"plan": head.held.plan, "deletions": head.held.deletions, "run": head.held.run} if head.held else None,
        "refused": _refused(head, settled, circumstances=circumstances),
        "approvals": [{**each.body(), "expires": each.expires} for each in head.approvals if not each.used],
        "paused": leaving or paused is not None,
        "pause": {"by": "", "reason": "a teardown has begun", "since": None} if leaving and paused is None else paused,
        "resumed": await state.resumed(),
        "stale": head.is_stale(now.timestamp(), hours=settings.stale_after_hours),
        "next_tick": {
            "schedule": schedule,
            "work": list(work.reasons) if work else [],
            "not_before": moment(head.retry_at) if head.retry_at and not work else None,
        },
        "credentials": {identity: await _secret(secrets, identity, settings) for identity in _IDENTITIES},
        "runs": (await runs(reports, settings.connection_id, limit=10))["runs"],
    }


def with_approvals(head: Head, requests: Sequence[Request]) -> Head:
    """Return the head as the next tick will have it: with the approvals that wait among the requests."""
    return head.adopt(request.approval for request in requests if request.approval)


_IDENTITIES: Final[tuple[Identity, ...]] = ("admin", "ingest")


def _ledger(head: Head, registration: Registration | None) -> dict[str, Any]:
    """Return what is remembered of this connection; of one that is gone, nothing counts any more."""
    ours = registration is not None and registration.incarnation == head.incarnation
    return {
        "people": head.people if ours else 0,
        "items": head.held_items if ours else 0,
        "generation": head.generation,
    }


def _connection(settings: Settings, registration: Registration | None, now: datetime) -> dict[str, Any]:
    body: dict[str, Any] = {"id": settings.connection_id, "contract": settings.contract}
    if registration is None:
        return {**body, "state": "absent"}
    ready = registration.ready(now)
    return {
        **body,
        "state": "leaving" if registration.leaving else "ready" if ready else "in progress",
        "incarnation": registration.incarnation,
        "ready_since": registration.ready_since,
        "settled": registration.settled,
    }


def _refused(head: Head, settled: Sequence[Dropped], *, circumstances: str) -> dict[str, Any] | None:
    """Return the last refused export that waits for an approval or a mended one; None when none does any more."""
    waiting = (
        each
        for each in reversed(head.refused)
        if each.guards and turn_of_refused(head, each.plan, settled, circumstances=circumstances) == "next"
    )
    refused = next(waiting, None)
    if refused is None:
        return None
    return {
        "plan": refused.plan,
        "export": refused.name,
        "code": refused.code,
        "guards": list(refused.guards),
        "run": refused.run,
    }


def _export(mark: ExportMark | None) -> dict[str, Any] | None:
    if mark is None:
        return None
    body = {"name": mark.name, "etag": mark.etag, "modified": moment(mark.modified), "sha256": mark.sha256}
    return {**body, "files": [file.name for file in mark.files]} if mark.members else body


async def _secret(secrets: Secrets, identity: Identity, settings: Settings) -> dict[str, Any]:
    if identity == "admin" and not settings.admin_enabled:
        return {"enabled": False}
    try:
        found = await secrets.credential_state(identity)
    except ConnectorError as error:
        return {"error": error.message}
    return {"expires": found.expires and found.expires.isoformat(), "expiring": found.expiring}


def wants_everyone(body: bytes) -> bool:
    """Read the body of ``POST /sync``: empty, or a JSON object with ``full``.

    Raises:
        BadRequest: it is something else.
    """
    try:
        wish = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError:
        wish = None
    if not isinstance(wish, dict) or not isinstance(wish.get("full", False), bool) or wish.keys() - {"full"}:
        raise BadRequest('the body must be empty or {"full": true}')
    return bool(wish.get("full", False))


def number_of_runs(limit: str | None) -> int:
    """Read the parameter ``limit``; 20 when there is none.

    Raises:
        BadRequest: it is no number, or out of bounds.
    """
    if limit is None:
        return 20
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit) <= MOST_RUNS:
        raise BadRequest(f"limit must be a number from 1 to {MOST_RUNS}")
    return int(limit)


async def runs(reports: Container, connection_id: str, *, limit: int) -> dict[str, Any]:
    """Return the body of ``GET /runs``: the newest reports first, without their lists of people and rows."""
    listing = await reports.list(f"{connection_id}/")
    names = sorted((info.name for info in listing.blobs if info.name.endswith(".json")), reverse=True)
    blobs = [await reports.read(name) for name in names[: min(limit, MOST_RUNS)]]
    return {"runs": [listed(_report(blob.info.name, blob.data)) for blob in blobs if blob]}


async def run_report(reports: Container, connection_id: str, run: str) -> Mapping[str, Any]:
    """Return one run's report.

    Raises:
        NotFound: there is no such run.
    """
    blob = await reports.read(f"{connection_id}/{run}.json") if _RUN.fullmatch(run) else None
    if blob is None:
        raise NotFound("there is no such run; the list of runs shows those there are")
    return _report(blob.info.name, blob.data)


def _report(name: str, data: bytes) -> Mapping[str, Any]:
    """Return a stored report; of one that is damaged, that much: it must not hide the others."""
    run = name.rpartition("/")[2].removesuffix(".json")
    try:
        report = orjson.loads(data)
    except orjson.JSONDecodeError:
        report = None
    if isinstance(report, dict):
        return report
    return {"run": run, "error": {"code": "report_corrupt", "message": "the stored report cannot be read"}}
