"""How a run ends, or one slice of it: reports are stored before the head moves on, and the rest comes after."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connector.core import guards
from connector.core.approval import Pending, left_of, with_approvals
from connector.core.due import with_refusal
from connector.core.head import Refused, moment
from connector.core.plan import Progress, fold
from connector.core.report import dump_report
from connector.core.reporting import with_outcomes
from connector.core.retention import old_reports
from connector.errors import StoreError
from connector.events import emit
from connector.intake import UNREAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connector.core.due import Work
    from connector.core.head import Approval, ExportMark, Head
    from connector.core.plan import Plan
    from connector.core.report import Outcome, Report
    from connector.errors import ConnectorError
    from connector.planning import Planned
    from connector.services import Services, Standing


def is_about_the_ledger(code: str) -> bool:
    """Tell whether a failure of our own memory counts as a refusal: nobody can say what Graph holds (interface §10)."""
    return code.startswith("ledger_")


class Ending:
    """Ends what one invocation does of a run, and is the only one to commit the head meanwhile."""

    def __init__(self, services: Services, standing: Standing) -> None:
        self._services = services
        self._at = standing
        self._settings = services.settings
        self._state = services.state
        self._now = int(services.clock.now().timestamp())

    async def commit(self, head: Head) -> None:
        """Make this the head. Raises `StateChanged` or `LeaseLost` when somebody else has taken over."""
        self._at.etag = await self._state.commit(head, etag=self._at.etag, lease=self._at.lease)
        self._at.head = head

    async def conclude(self, head: Head) -> None:
        """Commit the head that ends a run, and delete what it does not refer to any more.

        What cannot be deleted now stays for the next time: never a hole, and no reason to call the run a failure.
        """
        leftovers = await self._state.leftovers(head)
        await self.commit(head)
        with suppress(StoreError):
            await self._state.forget(leftovers, lease=self._at.lease)

    async def publish(self, report: Report) -> None:
        """Store the report, before the head moves on: what was done is told even if this process dies now.

        Raises:
            LeaseLost: whoever has taken over tells of the same run, and knows more.
        """
        self._at.lease.check()
        name = f"{report.connection}/{report.run}.json"
        await self._services.reports.write(name, dump_report(report), content_type="application/json")

    async def end(self, report: Report) -> Report:
        """Log the outcome and make the page for people, when all else is safe: no run waits for either."""
        emit(f"sync.{report.outcome}", **report.numbers())  # type: ignore[arg-type]
        page = self._services.page(report.body())
        name = f"{report.connection}/{report.run}.html"
        with suppress(StoreError):
            self._at.lease.check()
            await self._services.reports.write(name, page, content_type="text/html; charset=utf-8")
            await self._forget_old_reports()
        return report

    async def _forget_old_reports(self) -> None:
        """Delete the reports of runs long past."""
        reports = self._services.reports
        listing = await reports.list(f"{self._settings.connection_id}/")
        for name in old_reports((info.name for info in listing.blobs), self._at.head):
            await reports.delete(name)

    def finished(self, report: Report, outcome: Outcome, plan: Plan | None, progress: Progress | None) -> Report:
        """Return the report with its outcome, and with the counts of ``plan`` as far as ``progress`` says."""
        if plan is not None:
            report = with_outcomes(report, plan, progress or Progress())
        return replace(report, outcome=outcome, finished=self._finish_time(), graph=self._graph_numbers(report))

    async def refuse(
        self,
        report: Report,
        refused: ExportMark | None,
        work: Work,
        *,
        code: str,
        message: str,
        file: str = "",
        pending: Pending | None = None,
        used: Sequence[Approval] = (),
    ) -> Report:
        """End a run whose export cannot be used: nothing is done, the ledger stays, and HR hears why.

        ``refused`` is the export in question, as far as there is one; ``pending`` what an approval would release, None
        where none can. ``used`` are approvals that have let some of it pass: they go on doing so as long as they count.
        """
        if pending is not None:
            await self._state.save_pending(pending)
        report = self.refused(report, refused, work, code=code, message=message, file=file, pending=pending, used=used)
        await self.publish(report)
        refusals, judged = self._at.head.refused, self._judged(refused, work)
        if refused is not None:
            refusal = Refused(
                refused.name,
                refused.etag,
                self._at.circumstances,
                code,
                refused.manifest,
                tuple((file.name, file.etag) for file in refused.members),
                report.plan or "",
                pending.guards if pending else (),
                report.run,
                refused.modified,
            )
            refusals = with_refusal(self._at.head, refusal)
        approvals = left_of(self._at.head.approvals, judged=judged, used=used, now=self._now)
        head = replace(
            self._at.head, refused=refusals, approvals=approvals, last_run=report.run, failures=0, retry_at=0
        )
        if work.kind == "again":
            # Only now has what changed been carried as far as it goes: a bad new file leaves it to the last good one.
            head = replace(
                head,
                circumstances=self._at.circumstances,
                incarnation=self._at.registration.incarnation,
                connection_etag=self._at.connection_etag,
                covered=(self._at.circumstances, self._at.registration.incarnation),
            )
        await self.commit(head)
        return await self.end(report)

    def refused(
        self,
        report: Report,
        refused: ExportMark | None,
        work: Work,
        *,
        code: str,
        message: str,
        file: str = "",
        pending: Pending | None = None,
        used: Sequence[Approval] = (),
    ) -> Report:
        """Return the report of a refusal, with what became of approvals. The arguments are those of `refuse`."""
        judged = self._judged(refused, work)
        report = with_approvals(report, self._at.head.approvals, used=used, now=self._now, about=judged)
        pending = pending or Pending(refused.digest if refused else "", self._at.mapping.digest)
        return replace(
            report,
            outcome="refused",
            error={"code": code, "message": message, **({"file": file} if file else {})},
            plan=pending.digest,
            export=report.export or ({**UNREAD, "name": refused.name, "etag": refused.etag} if refused else None),
            finished=self._finish_time(),
            graph=self._graph_numbers(report),
        )

    def _judged(self, refused: ExportMark | None, work: Work) -> frozenset[str]:
        """Return the hashes of the approvals that a refusal has to do with: those of this file, or all if it is old."""
        head = self._at.head
        if refused is None or work.kind == "again":
            return head.approved
        members = tuple((file.name, file.etag) for file in refused.members)
        version = (refused.name, refused.etag, refused.manifest, members)
        same = (each for each in head.refused if (each.name, each.etag, each.manifest, each.members) == version)
        return head.approved.intersection(each.plan for each in same)

    async def stop(self, planned: Planned, progress: Progress, error: ConnectorError) -> Report:
        """End a run that Graph does not let go on: what was done is folded, and a later tick tries again."""
        report = replace(planned.report, error={"code": error.code, "message": error.message})
        report = self.finished(report, "failed", planned.plan, progress)
        ledger = fold(planned.ledger, planned.plan, progress, now=self._now, whole=False)
        ledger = await self._state.save_ledger(ledger)
        await self.publish(report)
        head = self._failed_head()
        await self.conclude(
            replace(
                head,
                run=None,
                generation=ledger.generation,
                held_items=ledger.held,
                people=ledger.people,
                incarnation=self._at.registration.incarnation,
                deletions=self.deletions(report),
                last_run=report.run,
            )
        )
        return await self.end(report)

    async def fail(self, report: Report, error: ConnectorError) -> Report:
        """End an invocation that could not go on. A run whose plan is stored stays unfinished and is resumed later."""
        report = replace(report, error={"code": error.code, "message": error.message})
        outcome: Outcome = "refused" if is_about_the_ledger(error.code) else "failed"
        if outcome == "refused":
            digest = str((report.export or {}).get("sha256", ""))
            report = replace(report, plan=Pending(digest, self._at.mapping.digest).digest)
        report = self.finished(report, outcome, None, None)
        await self.publish(report)
        await self.commit(replace(self._failed_head(), last_run=report.run))
        return await self.end(report)

    def _failed_head(self) -> Head:
        """Return the head after a run that could not go on.

        What it was about is no change any more when it is tried again, so that it is tried less and less often.
        """
        return replace(
            self._at.head.failed(self._at.newest, now=self._now, tried=self._at.wishes),
            circumstances=self._at.circumstances,
            incarnation=self._at.registration.incarnation,
            connection_etag=self._at.connection_etag,
        )

    def deletions(self, report: Report) -> tuple[tuple[int, int], ...]:
        """Return the deletions of the last 24 hours, these among them: (unix seconds, how many) of each run."""
        recent = tuple(entry for entry in self._at.head.deletions if entry[0] > self._now - guards.DAY)
        deleted = report.counts.deleted - report.counts.transferred
        return (*recent, (self._now, deleted)) if deleted > 0 else recent

    def _finish_time(self) -> str:
        return moment(self._services.clock.now().timestamp())

    def _graph_numbers(self, report: Report) -> Mapping[str, Any]:
        """Return the report's numbers, which are those of former slices, with this invocation's added."""
        if self._at.ingest is None:
            return report.graph
        pace, before = self._at.ingest.pace, report.graph
        return {
            "requests": before["requests"] + pace.requests,
            "throttled": before["throttled"] + pace.throttled,
            "seconds": round(before["seconds"] + pace.seconds, 3),
        }
