"""One run, from an export to a settled ledger, as far as one invocation gets.

::

    input ─▶ reading ─▶ matching ─▶ plan ─▶ guards ─▶ (plan stored, head committed) ─▶ apply ─▶ fold ─▶ head committed

Before the first write to Graph the export is copied and the plan stored; what was sent is journalled. So whatever
kills this process, the next one knows what may have happened (design §3.10).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from connector.apply import apply
from connector.clock import midnight_in
from connector.core import guards
from connector.core.accounts import UNMATCHED_AGAIN_SECONDS
from connector.core.due import LOOKS_ONLY
from connector.core.head import Held, RunMark, load_mark, moment
from connector.core.ledger import due_times
from connector.core.plan import Delete, Progress, Upsert, fold
from connector.core.readback import DRIFT, counts, drifted, is_emptied, turn_of, turns
from connector.core.rehearsal import Rehearsal, expected, samples
from connector.core.rendering import item_digest
from connector.core.report import MAX_LISTED, Report, load_report
from connector.core.reporting import outcome_of, with_warnings
from connector.core.resume import doubting, may_resume, newer_exports
from connector.ending import Ending
from connector.errors import ConnectorError, ExportError, LeaseLost, StateChanged
from connector.events import emit
from connector.intake import CopyMissing, Input, Intake, size_of
from connector.offload import offload
from connector.planning import Planner, Refusal, Settles
from connector.verify import CONNECTION_EMPTIED, connection_lost, read_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from connector.apply import Applied
    from connector.core.due import Work
    from connector.core.head import Approval, ExportMark, Refused
    from connector.core.ledger import Ledger
    from connector.core.plan import Plan
    from connector.core.readback import ReadBack
    from connector.errors import GraphError
    from connector.planning import Planned
    from connector.services import Ingest, Services, Standing

WRITING_SECONDS: Final = 10
"""So long every invocation may write, however late it begins: a run whose reading fills its slices would never end."""


class _PlanOutdated(ConnectorError):
    pass


class Run:
    """One run within one invocation."""

    def __init__(self, services: Services, standing: Standing) -> None:
        self._services = services
        self._at = standing
        self._settings = services.settings
        self._state = services.state
        self._intake = Intake(services, standing)
        self._planner = Planner(services, standing, self._intake)
        self._ending = Ending(services, standing)
        self._now = int(services.clock.now().timestamp())

    async def start(self, work: Work) -> Report:
        """Plan and carry out ``work``; return its report. The head is committed by then, unless the lease was lost."""
        # The epoch grows with every lease, so runs of one second still have their order in their names.
        run = f"{self._services.clock.now():%Y%m%dT%H%M%SZ}-{self._at.head.epoch:04x}"
        report = self._report(run, work)
        emit("sync.started", run=run, trigger=self._at.trigger, reasons=work.reasons)
        with TemporaryDirectory(prefix="people-connector-") as folder:
            chosen: Input | None = None
            try:
                chosen = await self._intake.choose(work, Path(folder))
                if chosen.fresh is None:
                    work = replace(work, kind="again", candidates=())
                report = replace(report, export=chosen.facts)
                return await self._plan_and_apply(work, chosen, report)
            except ExportError as error:
                return await self._ending.refuse(
                    report,
                    self._export_of(chosen),
                    work,
                    code=error.code,
                    message=error.message,
                    file=error.file,
                    used=self._planner.word.used,
                )
            except (LeaseLost, StateChanged):
                raise
            except ConnectorError as error:
                return await self._ending.fail(report, error)

    def _report(self, run: str, work: Work) -> Report:
        lost = self._at.head.lost
        report = Report(
            run=run,
            connection=self._settings.connection_id,
            trigger=self._at.trigger,
            outcome="failed",
            started=moment(self._now),
            reasons=work.reasons,
        )
        return with_warnings(report, lost.warnings()) if lost else report

    async def _plan_and_apply(self, work: Work, chosen: Input, report: Report) -> Report:
        try:
            planned = await self._planner.plan(work, chosen, report)
        except Refusal as refusal:
            return await self._ending.refuse(
                refusal.report or report,
                self._export_of(chosen),
                work,
                code=refusal.code,
                message=refusal.message,
                pending=refusal.pending,
                used=self._planner.word.used,
            )
        self._at.lease.check()  # or copies and quarantine files would be left that are of no run
        if planned.pending is not None:
            await self._state.save_pending(planned.pending)
        planned = replace(
            planned, report=await self._intake.quarantine(planned.report, planned.chosen, planned.reading)
        )
        return await self._carry_out(work, planned)

    async def rehearse(self, work: Work, *, limit: int) -> Rehearsal:
        """Plan ``work`` and tell what would be done. Writes nothing: neither blobs nor to Graph.

        An unfinished run counts as far as its journal says. ``limit``: how many people to name of each kind.

        Raises:
            ConnectorError: nothing can be planned: our state, the credentials, Entra.
        """
        report = self._report("", work)
        ledger, unfinished = await self._ledger_so_far()
        with TemporaryDirectory(prefix="people-connector-") as folder:
            chosen: Input | None = None
            try:
                chosen = await self._intake.choose(work, Path(folder))
                report = replace(report, export=chosen.facts)
                planned = await self._planner.plan(work, chosen, report, ledger)
            except ExportError as error:
                report = self._ending.refused(
                    report,
                    self._export_of(chosen),
                    work,
                    code=error.code,
                    message=error.message,
                    file=error.file,
                    used=self._planner.word.used,
                )
                return Rehearsal(report, unfinished=unfinished)
            except Refusal as refusal:
                report = self._ending.refused(
                    refusal.report or report,
                    self._export_of(chosen),
                    work,
                    code=refusal.code,
                    message=refusal.message,
                    pending=refusal.pending,
                    used=self._planner.word.used,
                )
                return Rehearsal(report, unfinished=unfinished)
        plan = planned.plan
        done = Progress(outcomes=dict.fromkeys(range(len(plan.actions)), ""))
        return Rehearsal(
            self._ending.finished(planned.report, outcome_of(plan), plan, done),
            samples(plan, ledger, limit=limit),
            expected(
                plan,
                self._at.head.pace,
                ceiling=self._settings.max_items_per_second,
                slice_seconds=self._settings.slice_seconds,
            ),
            unfinished,
        )

    async def _ledger_so_far(self) -> tuple[Ledger, str]:
        """Return what Graph holds by all that is known now, and the name of the unfinished run that is in it."""
        ledger, mark = await self._planner.ledger(), self._at.head.run
        if mark is None or mark.incarnation != self._at.registration.incarnation:
            return ledger, ""
        plan, _ = await self._state.plan(mark.id)
        progress = await self._state.progress(mark.id, mark.epochs)
        return fold(ledger, plan, progress, now=self._now, whole=False), mark.id

    def _mapping_after(self, chosen: Input) -> str:
        """Return the mapping under which everybody will have been judged; a partial export is about a few only."""
        return self._at.mapping.digest if chosen.complete else self._at.head.mapping

    async def _carry_out(self, work: Work, planned: Planned) -> Report:
        planned = replace(planned, chosen=await self._intake.keep_copies(planned.chosen, planned.report.run))
        run, chosen, plan = planned.report.run, planned.chosen, planned.plan
        if not plan.actions:
            return await self._settle(planned, Progress())
        facts = {
            "report": asdict(planned.report),
            "marks": [asdict(mark) for mark in chosen.marks],
            "complete": chosen.complete,
            "fresh": chosen.fresh is not None,
            "today": chosen.today and chosen.today.isoformat(),
            "settles": asdict(planned.settles),
        }
        await self._state.save_plan(run, plan, facts)
        mark = RunMark(
            id=run,
            epochs=(self._at.head.epoch,),
            export=chosen.fresh,
            circumstances=self._at.circumstances,
            incarnation=self._at.registration.incarnation,
            full=work.full,
        )
        # The guards let the mapping pass. A run that ends early leaves a rest, which is no change of the mapping's.
        mapping, incarnation = self._mapping_after(chosen), self._at.registration.incarnation
        await self._ending.commit(replace(self._at.head, run=mark, incarnation=incarnation, mapping=mapping))
        return await self._apply(planned, Progress())

    async def _apply(self, planned: Planned, before: Progress) -> Report:
        ingest = await self._services.graph(self._at)
        # Only writing is cut off by the slice: a plan that was never finished would be begun anew for ever.
        least = self._services.clock.monotonic() + min(WRITING_SECONDS, self._settings.slice_seconds)
        if not self._at.stopped:
            self._at.stop_at = max(self._at.stop_at, least)
        ingest.pace.give_up_at = self._at.stop_at
        applied = await apply(
            planned.plan,
            lambda indices: self._requests(planned, indices),
            items=ingest.items,
            journal=self._state.journal(planned.report.run, self._at.head.epoch),
            before=before,
            concurrency=self._settings.max_concurrency,
            stopping=lambda: self._services.clock.monotonic() >= self._at.stop_at,
            progress=self._services.progress,
            logged_as=self._logged_as,
        )
        if isinstance(applied.stopped, LeaseLost):
            raise applied.stopped
        lost = await self._lost(planned, applied, ingest)
        if lost is not None:
            return await self._ending.stop(planned, doubting(planned.plan, applied.progress, applied.lost), lost)
        if applied.stopped is not None:
            return await self._ending.stop(planned, applied.progress, applied.stopped)
        if applied.finished:
            return await self._settle(planned, applied.progress)
        report = self._ending.finished(planned.report, "partial", planned.plan, applied.progress)
        await self._ending.publish(report)
        head, mark = self._at.head, self._at.head.run
        run = mark and replace(mark, graph=dict(report.graph))
        await self._ending.commit(replace(head, run=run, pace=ingest.pace.learned, last_run=report.run))
        return await self._ending.end(report)

    async def _lost(self, planned: Planned, applied: Applied, ingest: Ingest) -> GraphError | None:
        """Say so when Graph's refusals mean that the connection, or what was in it, is gone."""
        mark = self._at.head.run
        lost = await connection_lost(
            planned.plan,
            planned.ledger,
            applied.progress,
            applied.lost,
            items=ingest.items,
            connection=self._settings.connection_id,
            everyone=mark is not None and mark.full,
        )
        if lost is not None and lost.code == CONNECTION_EMPTIED:
            await self._state.ask(f"{planned.report.run}-emptied", full=True, by="sync")
        return lost

    def _requests(self, planned: Planned, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the bodies of the given upserts; each is held to the digest the ledger will remember."""
        upserts: dict[str, tuple[int, Upsert]] = {}
        for index in indices:
            action = planned.plan.actions[index]
            if isinstance(action, Upsert):
                upserts[action.after.key] = index, action
        places = {(action.file, action.row): (key, action.after.item_id) for key, (_, action) in upserts.items()}
        for key, body in self._planner.rendering(planned).bodies(places):
            index, action = upserts[key]
            if item_digest(body) != action.after.item:
                raise _PlanOutdated(
                    "the stored plan does not render as it did; it is planned again", code="plan_outdated"
                )
            yield index, body

    async def resume(self, mark: RunMark, work: Work) -> Report | None:
        """Go on with an unfinished run; None when it was superseded: it is folded, and a new plan is needed."""
        report = self._report(mark.id, work)
        try:
            plan, facts = await self._state.plan(mark.id)
            before = await self._state.progress(mark.id, mark.epochs)
            report = load_report(facts["report"])
            report = replace(report, slices=len(mark.epochs) + 1, trigger=self._at.trigger)
            report = replace(report, graph=mark.graph or report.graph)
            ledger = await self._planner.ledger()
            goes_on = await self._may_resume(mark, work)
        except ConnectorError as error:
            return await self._ending.fail(report, error)
        if not goes_on:
            await self._supersede(mark, report, ledger, plan, before)
            return None
        emit("sync.started", run=mark.id, trigger=self._at.trigger, reasons=work.reasons)
        epochs = (*mark.epochs, self._at.head.epoch)
        await self._ending.commit(replace(self._at.head, run=replace(mark, epochs=epochs)))
        with TemporaryDirectory(prefix="people-connector-") as folder:
            try:
                marks = tuple(map(load_mark, facts["marks"]))
                files = await self._intake.from_copies(marks, Path(folder))
                fresh = marks[-1] if facts["fresh"] else None
                # Rendered as on the day of the plan, whatever day it is by now.
                today = date.fromisoformat(facts["today"]) if facts.get("today") else self._intake.today()
                chosen = Input(marks, files, fresh, facts["complete"], size_of(Path(folder)), today)
                settles = _load_settles(facts.get("settles", {}))
                planned = await self._planner.again(report, chosen, plan, ledger, settles=settles, full=mark.full)
                return await self._apply(planned, before)
            except (_PlanOutdated, CopyMissing):
                await self._supersede(mark, report, ledger, plan, await self._state.progress(mark.id, epochs))
                return None
            except (LeaseLost, StateChanged):
                raise
            except ConnectorError as error:
                return await self._ending.fail(report, error)

    async def _may_resume(self, mark: RunMark, work: Work) -> bool:
        at = self._at
        if not may_resume(mark, work, circumstances=at.circumstances, incarnation=at.registration.incarnation):
            return False
        for export in newer_exports(mark, work):
            if await self._intake.is_complete(export):
                return False
        return True

    async def _supersede(self, mark: RunMark, report: Report, ledger: Ledger, plan: Plan, progress: Progress) -> None:
        """Fold what an unfinished run did and end it; the ledger of another incarnation stays as it is, void."""
        if mark.incarnation == self._at.registration.incarnation:
            ledger = fold(ledger, plan, progress, now=self._now, whole=False)
            ledger = await self._state.save_ledger(ledger)
        report = self._ending.finished(report, "superseded", plan, progress)
        await self._ending.publish(report)
        await self._ending.conclude(
            replace(
                self._at.head,
                run=None,
                generation=ledger.generation,
                deletions=self._ending.deletions(report),
                last_run=report.run,
            )
        )
        await self._ending.end(report)

    async def _settle(self, planned: Planned, progress: Progress) -> Report:
        """Fold what was done into the ledger and make the head tell it."""
        chosen, plan, ledger = planned.chosen, planned.plan, planned.ledger
        if plan.actions or plan.changes or plan.forgotten or not self._at.head.generation:
            ledger = fold(ledger, plan, progress, now=self._now, whole=True)
        report, found = await self._read_back(planned, ledger)
        report = self._ending.finished(report, outcome_of(plan), plan, progress)
        ledger = drifted(ledger, found, now=self._now)
        if ledger is not planned.ledger:
            ledger = await self._state.save_ledger(ledger)
        head = self._at.head
        if found:
            head = replace(head, verified=turn_of(found[-1].entry))
        if chosen.fresh is not None and chosen.complete:
            head = replace(head, applied=chosen.fresh, previous=head.applied, partials=())
        elif chosen.fresh is not None:
            # One whose manifest came anew is laid over the others once more, not twice.
            earlier = (
                mark for mark in head.partials if (mark.name, mark.etag) != (chosen.fresh.name, chosen.fresh.etag)
            )
            head = replace(head, partials=(*earlier, chosen.fresh))
        else:
            # Gone through again, perhaps under a mapping that reads other columns.
            applied = replace(chosen.marks[0], fill=guards.to_remember(planned.reading.fill))
            head = replace(head, applied=applied, partials=chosen.marks[1:])
        if chosen.complete:
            head = replace(head, lost=None)
        told = not plan.held or (head.held is not None and head.held.plan == report.plan)
        quiet = told and not plan.actions and set(report.reasons) <= LOOKS_ONLY
        if not quiet:
            await self._ending.publish(report)
        await self._ending.conclude(
            replace(
                head,
                incarnation=self._at.registration.incarnation,
                connection_etag=self._at.connection_etag,
                generation=ledger.generation,
                held_items=ledger.held,
                people=ledger.people,
                run=None,
                refused=tuple(each for each in head.refused if not _is_of(each, chosen.marks)),
                held=_held(planned, head.held, quiet=quiet),
                approvals=_left(head.approvals, planned, progress),
                pace=self._at.ingest.pace.learned if self._at.ingest else head.pace,
                deletions=self._ending.deletions(report),
                due=due_times(
                    ledger,
                    resolve_after=int(self._settings.resolve_after_days * 86400),
                    unmatched_after=UNMATCHED_AGAIN_SECONDS,
                    turn=self._turn(planned),
                ),
                circumstances=self._at.circumstances,
                mapping=self._mapping_after(chosen),
                covered=self._covered_after(chosen),
                failures=0,
                retry_at=0,
                failed_export=("", ""),
                tried=(),
                last_run=head.last_run if quiet else report.run,
            )
        )
        if quiet:
            emit("sync.tick", **report.numbers())
            return report
        return await self._ending.end(report)

    def _covered_after(self, chosen: Input) -> tuple[str, str]:
        """Return for what everybody will have been gone through; a partial export leaves the rest as they were."""
        if not chosen.complete:
            return self._at.head.covered
        return self._at.circumstances, self._at.registration.incarnation

    async def _read_back(self, planned: Planned, ledger: Ledger) -> tuple[Report, Sequence[ReadBack]]:
        """Ask Graph for some of the items that it should have by now; return the report with what was found.

        A run that only tries again what drifted does not look further: what Graph keeps otherwise than it was sent, for
        whatever reason, would be sent for ever.
        """
        report, wanted = planned.report, self._at.verify
        if wanted is None:
            wanted = 0 if set(report.reasons) <= LOOKS_ONLY else self._settings.verify_items
        entries = turns(ledger, self._at.head.verified, wanted)
        if not entries:
            return report, ()
        planned = await self._planner.with_people(planned, [entry.key for entry in entries])
        ingest = await self._services.graph(self._at)
        ingest.pace.give_up_at = self._at.stop_at
        contract, mapping = self._services.contract, self._at.mapping
        found = await read_back(
            entries,
            await offload(planned.chosen.size, lambda: self._planner.rendering(planned).sent(entries)),
            items=ingest.items,
            schema=[part["name"] for part in contract.schema(mapping)["properties"]],
            concurrency=self._settings.max_concurrency,
        )
        for each in found:
            if each.finding in DRIFT:
                emit(
                    "item.drifted",
                    item=self._logged_as(each.entry.item_id),
                    found=each.finding,
                    properties=each.properties,
                )
        if is_emptied(found, before=self._now):
            await self._state.ask(f"{report.run}-emptied", full=True, by="sync")
        numbers = counts(found, wanted=len(entries))
        drift = [
            {"key": each.entry.key, "item": each.entry.item_id, "reason": each.finding, "properties": each.properties}
            for each in found
            if each.finding in DRIFT
        ]
        told = {"item_changed": "changed", "item_vanished": "vanished", "not_read_back": "unread"}
        report = with_warnings(report, {code: numbers[finding] for code, finding in told.items()})
        return replace(report, verified=numbers, drifted_people=tuple(drift[:MAX_LISTED])), found

    def _logged_as(self, item_id: str) -> str:
        return _digest_of_id(item_id) if self._services.contract.IDS_FOLLOW_ACCOUNTS else item_id

    def _turn(self, planned: Planned) -> int:
        """Return when the first row begins or ceases to count: of a partial export and of what it is laid over."""
        before = self._at.head.due.turn if not planned.chosen.complete else 0
        if planned.reading.turn is None:
            return before
        turn = midnight_in(self._at.mapping.file.timezone, planned.reading.turn)
        return min(before, turn) if before else turn

    def _export_of(self, chosen: Input | None) -> ExportMark | None:
        """Return the export that a refusal is about."""
        return (chosen.fresh if chosen else self._intake.begun) or self._at.head.applied


def _digest_of_id(item_id: str) -> str:
    """Return what the log calls an item whose id is made of somebody's UPN (interface §10)."""
    return hashlib.sha256(item_id.encode()).hexdigest()[:40]


def _is_of(refused: Refused, marks: Iterable[ExportMark]) -> bool:
    """Tell whether a refusal is of one of these exports, which have been applied by now, if under other settings."""
    return (refused.name, refused.etag) in {(mark.name, mark.etag) for mark in marks}


def _load_settles(raw: Mapping[str, Any]) -> Settles:
    return Settles(tuple(raw.get("judged", ())), raw.get("deletes", ""))


def _held(planned: Planned, before: Held | None, *, quiet: bool) -> Held | None:
    """Return what waits after a run. An export of some people only tells nothing of those who waited before."""
    report, held = planned.report, planned.plan.held
    if planned.chosen.fresh is not None and not planned.chosen.complete and before is not None:
        return replace(before, outdated=True)
    if not held or not report.plan:
        return None
    # A run that nobody hears of leaves it to the one whose report tells of them.
    return Held(report.plan, len(held), before.run if quiet and before else report.run)


def _left(approvals: Iterable[Approval], planned: Planned, progress: Progress) -> tuple[Approval, ...]:
    """Return the approvals that still count after a run: those it has not judged, and the one it could not finish."""
    settles, actions = planned.settles, planned.plan.actions
    failed = any(outcome and isinstance(actions[index], Delete) for index, outcome in progress.outcomes.items())
    later = (each for each in approvals if each.plan not in settles.judged)
    unfinished = (replace(each, used=True) for each in approvals if failed and each.plan == settles.deletes)
    return (*later, *unfinished)
