"""Use case: one tick. Is anything due? Then one run, as far as this invocation gets.

Without work a tick makes at most four blob requests and opens neither vault nor Graph (design §3.8).
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

import orjson

from connector.core.contracts import contract_of
from connector.core.due import Dropped, Request, Waiting, Work, unmet_exports, work_due
from connector.core.ledger import Ledger
from connector.errors import Busy, ConnectorError, NotReady, StoreError
from connector.events import emit
from connector.exports import exports_there
from connector.recovery import begin_anew, take_up
from connector.services import Services, Standing
from connector.storage.state import NoLease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from connector.core.head import Head
    from connector.core.mapping import Mapping
    from connector.core.rehearsal import Rehearsal
    from connector.core.report import Report
    from connector.core.setup import Registration
    from connector.settings import Settings
    from connector.storage.state import Lease, Look

__all__ = ["Rehearsed", "Seen", "Services", "Tick", "look_around", "rehearse", "tick"]

SAMPLES: Final = 10
"""People that a dry run names of each kind of action, unless told otherwise."""

WATCH_SECONDS: Final = 15
"""How often a run looks whether somebody has paused syncing: as often as it renews its lease."""

_DECISIVE = (
    "leaver_grace_exports",
    "max_change_percent",
    "max_delete_count",
    "max_delete_percent",
    "max_reject_percent",
    "min_delete_allowance",
    "min_match_percent",
    "pilot",
)
"""Settings that decide what is sent or deleted. When one changes, the last export is gone through again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick came to. ``report`` is there when it ran."""

    state: Literal["ran", "idle", "busy", "paused", "not_ready"]
    report: Report | None = None


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a dry run came to: a rehearsal, or why there is none."""

    state: Literal["planned", "idle", "paused", "not_ready"]
    rehearsal: Rehearsal | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tick looks at: the exports that are wholly uploaded, the mapping, and a digest of what else decides.

    ``waiting`` are sets of files that are not whole yet, ``arriving`` exports that may not be.
    """

    settled: Sequence[Dropped]
    mapping: Mapping
    circumstances: str
    waiting: Sequence[Waiting] = ()
    arriving: Sequence[Dropped] = ()


async def tick(services: Services, *, trigger: str, request: Request | None = None) -> Tick:
    """Look whether there is work, and do one slice of it.

    ``trigger`` is what the report says (``timer``, ``cli``); ``request`` is a wish of the caller's own, beside those
    that were left in the state container.

    Raises:
        ConfigurationError: the mapping is wrong.
        StoreError: state or exports cannot be read, or another run took over in the middle.
    """
    started = services.clock.monotonic()
    try:
        return await _tick(services, trigger, request, stop_at=started + services.settings.slice_seconds)
    except ConnectorError as error:
        # The last line of a run that could not even begin names the cause; the invocation fails with it.
        emit("sync.failed", trigger=trigger, error={"code": error.code, "message": error.message})
        raise
    except Exception as error:
        # A mistake of ours. Its text may hold anything, so the log gets its name; the invocation fails with it.
        emit("sync.failed", trigger=trigger, error={"code": "internal", "message": type(error).__name__})
        raise


async def _tick(services: Services, trigger: str, request: Request | None, *, stop_at: float) -> Tick:
    look = await services.state.look()
    if look.paused:
        return await _paused(services, trigger)
    if not look.connection:
        emit("sync.tick", trigger=trigger, waiting_for="setup")
        return Tick("not_ready")
    head, _ = await services.state.head()
    seen = await look_around(services, head)
    left_over = look.runs and head.run is None
    due = _work(services, head, seen, look, request, known=head.incarnation) is not None
    if not (due or look.requests or left_over):
        _tell_if_stale(services, head)
        emit("sync.tick", trigger=trigger, work=None, **_waits(seen.waiting))
        return Tick("idle")
    try:
        async with services.state.lease(services.clock, broken=look.broken) as lease:
            return await _under_lease(services, lease, look, seen, trigger, request, stop_at)
    except Busy:
        emit("sync.tick", trigger=trigger, waiting_for="another run")
        return Tick("busy")


async def rehearse(services: Services, *, full: bool = False, limit: int = SAMPLES) -> Rehearsed:
    """Tell what a run would do now, whatever is due, and write nothing: no lease, no head, no report, no quarantine.

    Reads exports, mapping and our state, looks accounts up, and takes a run that is under way for unfinished.
    ``full``: as if everyone were to be sent again. ``limit``: how many people to name of each kind of action.

    Raises:
        ConfigurationError: the mapping is wrong.
        NotReady: state and settings are not of one connection.
        ConnectorError: something that a plan needs cannot be read or asked.
    """
    look = await services.state.look()
    head, etag = await services.state.head()
    waiting = await services.state.requests() if look.requests else []
    head = head.adopt(each.approval for each in waiting if each.approval)
    registration = await services.state.registration()
    if registration is not None and registration.leaving:
        return Rehearsed("paused")
    if registration is None or not registration.ready(services.clock.now()):
        return Rehearsed("not_ready")
    _refuse_other_connection(services.settings, registration)
    if not head.epoch and await services.state.newest_ledger():
        raise NotReady("head.json is lost; the next tick makes a new one of the newest ledger, so rehearse after that")
    seen = await look_around(services, head)
    work = work_due(
        replace(head, run=None),
        unmet_exports(head, seen.settled, circumstances=seen.circumstances),
        [*waiting, Request("dry-run", full=full or bool(head.run and head.run.full))],
        now=int(services.clock.now().timestamp()),
        circumstances=seen.circumstances,
        incarnation=registration.incarnation,
    )
    if work is None:
        return Rehearsed("idle")
    async with AsyncExitStack() as stack:
        standing = Standing(
            head=head,
            etag=etag,
            lease=NoLease(),
            registration=registration,
            connection_etag=look.connection,
            circumstances=seen.circumstances,
            mapping=seen.mapping,
            trigger="dry-run",
            stop_at=services.clock.monotonic() + services.settings.slice_seconds,
            arriving=seen.arriving,
            stack=stack,
        )
        from connector.run import Run

        return Rehearsed("planned", await Run(services, standing).rehearse(work, limit=limit))


async def _paused(services: Services, trigger: str) -> Tick:
    """Do nothing but say so; that a pause has been forgotten shows in how old everything is."""
    emit("sync.paused", trigger=trigger, waiting_for="resume")
    head, _ = await services.state.head()
    _tell_if_stale(services, head)
    return Tick("paused")


async def look_around(services: Services, head: Head) -> Seen:
    """Read what decides whether there is work, besides our own state: exports and mapping.

    What the exports' manifests say is read only when there is an export that ``head`` does not know.
    """
    mapping = await services.mapping()
    decisive = circumstances(services.settings, mapping)
    there = await exports_there(services.exports, services.settings, head, circumstances=decisive)
    return Seen(there.settled, mapping, decisive, there.waiting, there.arriving)


def _waits(waiting: Sequence[Waiting]) -> dict[str, object]:
    """Return what a log line says about sets that are not whole: how many, and files; their names are HR's."""
    if not waiting:
        return {}
    files = {
        reason: sum(len(getattr(each, reason)) for each in waiting)
        for reason in ("missing", "uploading", "newer", "elsewhere")
    }
    what = "manifests" if all(each.wants_manifest for each in waiting) else "files of a set"
    return {"waiting_for": what, "sets": len(waiting), **files}


def circumstances(settings: Settings, mapping: Mapping) -> str:
    """Digest whatever decides over items besides the export: settings, mapping, and our own renderer."""
    decisive = {name: getattr(settings, name) for name in _DECISIVE}
    contract = contract_of(settings.contract)
    text = orjson.dumps([decisive, mapping.digest, contract.NAME, contract.RENDERER], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _work(
    services: Services, head: Head, seen: Seen, look: Look, request: Request | None, *, known: str
) -> Work | None:
    """Decide before the lease. A connection that changed since is work by its ETag alone."""
    incarnation = known if look.connection == head.connection_etag else f"changed: {look.connection}"
    return work_due(
        head,
        unmet_exports(head, seen.settled, circumstances=seen.circumstances),
        [request] if request else [],
        now=int(services.clock.now().timestamp()),
        circumstances=seen.circumstances,
        incarnation=incarnation,
    )


async def _under_lease(
    services: Services,
    lease: Lease,
    look: Look,
    seen: Seen,
    trigger: str,
    request: Request | None,
    stop_at: float,
) -> Tick:
    head, etag = await services.state.head()
    registration = await services.state.registration()
    if registration is not None and registration.leaving:
        emit("sync.paused", trigger=trigger, waiting_for="teardown")
        return Tick("paused")
    if registration is None or not registration.ready(services.clock.now()):
        emit("sync.tick", trigger=trigger, waiting_for="setup")
        return Tick("not_ready")
    _refuse_other_connection(services.settings, registration)
    left = await services.state.requests() if look.requests else []
    requests = [*left, *([request] if request else ())]
    empty = _empty_ledger(services.settings, registration)
    if not head.epoch:  # nobody has ever worked here; or head.json was lost
        head = await take_up(services.state, empty, now=int(services.clock.now().timestamp())) or head
    head = replace(head, epoch=head.epoch + 1).adopt(each.approval for each in left if each.approval)
    if any(each.rebuild for each in requests):
        head = await begin_anew(services.state, head, empty)
    etag = await services.state.commit(head, etag=etag, lease=lease)
    # From here on the head knows them. They must be gone before they are used, or they would be given once more.
    await services.state.forget_requests(each for each in left if each.approval)
    async with AsyncExitStack() as stack:
        standing = Standing(
            head=head,
            etag=etag,
            lease=lease,
            registration=registration,
            connection_etag=look.connection,
            circumstances=seen.circumstances,
            mapping=seen.mapping,
            trigger=trigger,
            stop_at=stop_at,
            arriving=seen.arriving,
            wishes=tuple(each.name for each in left if not each.approval),
            verify=max((each.verify for each in requests if each.verify is not None), default=None),
            stack=stack,
        )
        async with _stopped_by_a_pause(services, standing):
            report = await _carry_out(services, standing, seen, requests)
        waits = standing.head.retry_at > services.clock.now().timestamp()  # for a run that failed, and is tried again
        if (report is None and not waits) or (report is not None and _answers(report, standing.head)):
            await services.state.forget_requests(each for each in left if not each.approval)
        if report is None:
            await _see_to_the_rest(services, standing, look)
    _tell_if_stale(services, standing.head)  # as it is after the run: an export that was taken is not stale any more
    if report is None:
        emit("sync.tick", trigger=trigger, work=None, **_waits(seen.waiting))
        return Tick("idle")
    return Tick("ran", report)


async def _see_to_the_rest(services: Services, standing: Standing, look: Look) -> None:
    """Do what needs no run: remember a connection that is still the same, tidy up after a process that died of it."""
    head, state = standing.head, services.state
    # Setup wrote connection.json anew without changing whose it is: remember that we have seen it.
    known = replace(head, connection_etag=look.connection, incarnation=standing.registration.incarnation)
    left_over = await state.leftovers(known) if look.runs and head.run is None else []
    if left_over or known != head:
        standing.etag = await state.commit(known, etag=standing.etag, lease=standing.lease)
        standing.head = known
        with suppress(StoreError):
            await state.forget(left_over, lease=standing.lease)


@asynccontextmanager
async def _stopped_by_a_pause(services: Services, standing: Standing) -> AsyncIterator[None]:
    """Let the run inside stop before long once somebody pauses syncing, or begins a teardown.

    Whoever pauses has seen something go wrong, and a slice may last 45 minutes: its end is too late. So no further
    write is begun, what is under way is finished and journalled, and the run goes on when syncing is resumed.
    """
    watching = asyncio.create_task(_watch(services, standing))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(services: Services, standing: Standing) -> None:
    while True:
        await services.clock.sleep(WATCH_SECONDS)
        with suppress(StoreError):  # storage that is away for a moment says nothing about pauses
            if await _is_stopped(services, standing):
                standing.stop(services.clock.monotonic())
                return


async def _is_stopped(services: Services, standing: Standing) -> bool:
    look = await services.state.look()
    if look.paused or look.connection == standing.connection_etag:
        return look.paused
    registration = await services.state.registration()
    return registration is None or registration.leaving


async def _carry_out(services: Services, standing: Standing, seen: Seen, requests: Sequence[Request]) -> Report | None:
    """Do what is due and return its report; None when nothing is. A superseded run gives way to the next at once."""
    while True:
        unmet = unmet_exports(standing.head, seen.settled, circumstances=seen.circumstances)
        standing.newest = unmet[-1].mark() if unmet else None
        work = work_due(
            standing.head,
            unmet,
            requests,
            now=int(services.clock.now().timestamp()),
            circumstances=seen.circumstances,
            incarnation=standing.registration.incarnation,
        )
        if work is None:
            return None
        from connector.run import Run  # with all that plans and writes: most ticks find nothing to do

        run = Run(services, standing)
        unfinished = standing.head.run
        report = await (run.resume(unfinished, work) if unfinished else run.start(work))
        if report is not None:
            return report


def _answers(report: Report, head: Head) -> bool:
    """Tell whether what was asked for has been done, or never can be.

    A new file that is refused is no answer as long as there is an older export to do it with.
    """
    from connector.ending import is_about_the_ledger

    if report.outcome == "refused" and report.error is not None:
        new = bool(report.export and report.export.get("new")) and not is_about_the_ledger(report.error["code"])
        return not (new and head.applied is not None)
    return report.outcome not in {"partial", "failed"}


def _empty_ledger(settings: Settings, registration: Registration) -> Ledger:
    return Ledger(settings.connection_id, settings.tenant_id, settings.contract, registration.incarnation)


def _refuse_other_connection(settings: Settings, registration: Registration) -> None:
    """Hold state and settings to each other: what was set up elsewhere or otherwise says nothing about this one."""
    there = (registration.tenant_id, registration.connection_id)
    if there != (settings.tenant_id, settings.connection_id):
        raise NotReady(
            "connection.json in the state container is of another tenant or of another connection than TENANT_ID and"
            " CONNECTION_ID name; put the settings right, or run setup: everyone is sent again then, and nobody is"
            " deleted"
        )
    if registration.contract != settings.contract:
        raise NotReady(
            f"the connection was set up under the contract '{registration.contract}', CONTRACT is"
            f" '{settings.contract}'; use a new CONNECTION_ID, or tear this one down first"
        )


def _tell_if_stale(services: Services, head: Head) -> None:
    now = services.clock.now().timestamp()
    if head.applied is not None and head.is_stale(now, hours=services.settings.stale_after_hours):
        emit("sync.stale", hours=round((now - head.applied.modified) / 3600, 1))
