"""One run, from an export to a settled ledger, as far as one invocation gets.

::

    input ─▶ reading ─▶ matching ─▶ plan ─▶ guards ─▶ (plan stored, head committed) ─▶ apply ─▶ fold ─▶ head committed

Before the first write to Graph the export is copied and the plan stored; what was sent is journalled. So whatever
kills this process, the next one knows what may have happened (design §3.10).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Protocol

from connector.apply import Items as Writes
from connector.apply import apply
from connector.clock import day_in, midnight_in
from connector.core import guards
from connector.core.accounts import (
    AMBIGUOUS,
    SHARED,
    UNMATCHED_AGAIN_SECONDS,
    Found,
    Known,
    Matching,
    References,
    asked_by,
    contest,
    identify,
    lookups,
    match_people,
    resolve_references,
)
from connector.core.approval import Pending, Word
from connector.core.contracts import Content, contract_of
from connector.core.due import LOOKS_ONLY, passed_over
from connector.core.head import ExportMark, Held, Refused, RunMark, load_mark, moment
from connector.core.ledger import Ledger, due_times
from connector.core.manifest import Manifest
from connector.core.mapping import Fill, Person
from connector.core.plan import (
    IN_DOUBT,
    Delete,
    ItemIds,
    Plan,
    Population,
    Progress,
    Rules,
    Upsert,
    fold,
    hold,
    in_pilot,
    make_plan,
    pilot_waits,
    release,
    sift,
)
from connector.core.population import (
    ExportFile,
    FileRead,
    Reading,
    is_correction,
    read_population,
    rows_of,
    set_aside,
)
from connector.core.quarantine import quarantine_file, quarantine_name
from connector.core.readback import DRIFT, counts, drifted, is_emptied, turn_of, turns
from connector.core.rehearsal import Rehearsal, expected, samples
from connector.core.report import MAX_LISTED, Counts, ListedRow, Report, dump_report, load_report
from connector.core.retention import old_reports
from connector.core.setup import schema_contained
from connector.errors import (
    ConnectorError,
    CredentialError,
    ExportError,
    GraphError,
    LeaseLost,
    NotReady,
    StateChanged,
    StoreError,
)
from connector.events import emit
from connector.offload import offload
from connector.verify import read_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from connector.apply import Applied
    from connector.clock import Clock
    from connector.core.due import Dropped, Work
    from connector.core.guards import Verdict
    from connector.core.head import Approval, Head
    from connector.core.ledger import Entry
    from connector.core.mapping import Mapping as ColumnMapping
    from connector.core.readback import ReadBack
    from connector.core.report import Outcome
    from connector.core.setup import Registration
    from connector.settings import Settings
    from connector.storage.blobs import Container
    from connector.storage.state import Lease, NoLease, State

LOOKUP_SECONDS: Final = 1800
"""How long looking up accounts may wait for Graph: within host.json's functionTimeout, whatever SLICE_SECONDS is."""

WRITING_SECONDS: Final = 10
"""So long every invocation may write, however late it begins: a run whose reading fills its slices would never end."""

KEPT_REFUSALS: Final = 20

LEDGER_MISSING: Final = "ledger_missing"
"""The one failure of our own memory that counts as a refusal: nobody can say what Graph holds (interface §10)."""


class Items(Writes, Protocol):
    """What a run asks of Graph's items."""

    async def get(self, item_id: str) -> Mapping[str, Any] | None:
        """Return an item, or None."""
        ...


class Users(Protocol):
    """What a run asks of Entra."""

    async def find(self, asks: Collection[str]) -> Found:
        """Return the users that exist, by account key, and which asks are ambiguous."""
        ...


class Pace(Protocol):
    """What a run reports about its requests, and what the next one starts from."""

    @property
    def learned(self) -> dict[str, float]:
        """Return what to remember."""
        ...

    @property
    def seconds(self) -> float:
        """Return how long requests were under way."""
        ...

    requests: int
    throttled: int
    give_up_at: float | None


@dataclass(frozen=True, slots=True)
class Ingest:
    """Graph as the ingest identity."""

    users: Users
    items: Items
    pace: Pace


class OpenIngest(Protocol):
    """Opens Graph for one invocation; ``before_write`` is called right before each write and may refuse it."""

    def __call__(
        self, *, learned: Mapping[str, float], before_write: Callable[[], None]
    ) -> AbstractAsyncContextManager[Ingest]:
        """Return the context in which Graph is open."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of a sync, as `connector.wiring` provides them."""

    settings: Settings
    clock: Clock
    state: State
    exports: Container
    reports: Container
    quarantine: Container
    mapping: Callable[[], Awaitable[ColumnMapping]]
    open_ingest: OpenIngest
    page: Callable[[Mapping[str, Any]], bytes]
    progress: Callable[[int, int], None] | None = None


@dataclass(slots=True)
class Standing:
    """Where an invocation stands: the head it may write, and under which lease.

    ``verify``: how many items somebody wants to be read back; None where nobody said so. ``stopped``: the slice was
    ended before its time.
    """

    head: Head
    etag: str
    lease: Lease | NoLease
    registration: Registration
    connection_etag: str
    circumstances: str
    mapping: ColumnMapping
    trigger: str
    stop_at: float
    arriving: Sequence[Dropped] = ()
    verify: int | None = None
    newest: ExportMark | None = None
    ingest: Ingest | None = None
    stopped: bool = False
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def stop(self, now: float) -> None:
        """End the slice (monotonic seconds): whatever is being planned is planned, and nothing more is sent then."""
        if self.ingest is not None and self.ingest.pace.give_up_at == self.stop_at:
            self.ingest.pace.give_up_at = now
        self.stop_at = min(self.stop_at, now)
        self.stopped = True


@dataclass(frozen=True, slots=True)
class Input:
    """The exports a run reads, in order, and their files.

    ``fresh``: the new export among them (the last); None: old ones once more. ``says``: what its manifest says.
    ``today``: the day on which it is decided which rows count; None where none is needed.
    """

    marks: tuple[ExportMark, ...]
    files: tuple[ExportFile, ...]
    fresh: ExportMark | None
    complete: bool
    size: int
    today: date | None = None
    says: Manifest = field(default_factory=Manifest)


@dataclass(frozen=True, slots=True)
class Settles:
    """What a run makes of approvals, by their hashes: those it has ``judged`` count no more when it has ended.

    ``deletes``: the one that let deletions go, "" for none. Those that fail may be tried again under it.
    """

    judged: tuple[str, ...] = ()
    deletes: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A run with its plan: what its actions are made from, and what they will be folded into."""

    report: Report
    chosen: Input
    reading: Reading
    ledger: Ledger
    plan: Plan
    known: Mapping[str, Known]
    references: References
    settles: Settles = field(default_factory=Settles)
    pending: Pending | None = None


class _PlanOutdated(ConnectorError):
    pass


class _CopyMissing(ConnectorError):
    pass


class _Refusal(Exception):  # carries a verdict up to where the run ends
    def __init__(self, code: str, message: str, pending: Pending) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.pending = pending
        self.report: Report | None = None


class Run:
    """One run within one invocation."""

    def __init__(self, services: Services, standing: Standing) -> None:
        self._services = services
        self._at = standing
        self._settings = services.settings
        self._state = services.state
        self._contract = contract_of(services.settings.contract)
        self._reading: ExportMark | None = None
        self._word = Word("", "")
        self._now = int(services.clock.now().timestamp())

    # --- a new run --------------------------------------------------------------------------------------------------

    async def start(self, work: Work) -> Report:
        """Plan and carry out ``work``; return its report. The head is committed by then, unless the lease was lost."""
        # The epoch grows with every lease, so runs of one second still have their order in their names.
        run = f"{self._services.clock.now():%Y%m%dT%H%M%SZ}-{self._at.head.epoch:04x}"
        report = self._report(run, work)
        emit("sync.started", run=run, trigger=self._at.trigger, reasons=work.reasons)
        with TemporaryDirectory(prefix="people-connector-") as folder:
            chosen: Input | None = None
            try:
                chosen = await self._input(work, Path(folder))
                report = replace(report, export=_export_facts(chosen))
                return await self._plan_and_apply(work, chosen, report)
            except ExportError as error:
                return await self._refuse(report, chosen, work, code=error.code, message=error.message, file=error.file)
            except (LeaseLost, StateChanged):
                raise
            except ConnectorError as error:
                return await self._fail(report, error)

    def _report(self, run: str, work: Work) -> Report:
        return Report(
            run=run,
            connection=self._settings.connection_id,
            trigger=self._at.trigger,
            outcome="failed",
            started=moment(self._now),
            reasons=work.reasons,
        )

    async def _input(self, work: Work, folder: Path) -> Input:
        today = self._today()
        if work.kind == "again":
            marks = tuple(mark for mark in (self._at.head.applied, *self._at.head.partials) if mark)
            files = await self._from_copies(marks, folder)
            return Input(marks, files, None, complete=True, size=_size(folder), today=today)
        oldest: Input | None = None
        for number, dropped in enumerate(reversed(work.candidates)):
            place = folder / str(number)
            place.mkdir()
            mark, files = await self._fetch(dropped, place)
            size = _size(place)
            says = dropped.says or Manifest()
            chosen = Input((mark,), files, mark, complete=not mark.partial, size=size, today=today, says=says)
            if not mark.partial:
                return chosen
            oldest = chosen
        if oldest is None:
            raise ExportError("there is no export to read", code="empty_file")
        return oldest

    def _today(self) -> date | None:
        """Return which day it is where HR is, for a mapping whose rows count from one day to another."""
        file = self._at.mapping.file
        return day_in(file.timezone, self._services.clock.now()) if file.effective else None

    async def _fetch(self, dropped: Dropped, folder: Path) -> tuple[ExportMark, tuple[ExportFile, ...]]:
        """Download one version of an export, hold it to its manifest, and tell whether it is partial."""
        self._reading = dropped.mark()
        says = dropped.says or Manifest()
        if says.problem:
            raise ExportError(says.problem, code="truncated")
        files: list[ExportFile] = []
        marks: list[ExportMark] = []
        for number, blob in enumerate((dropped, *dropped.members)):
            path = folder / str(number)
            await self._download(blob, path)
            files.append(_file(blob.name, path, joins=number > 0))
            digest = await offload(path.stat().st_size, partial(_file_digest, path))
            promised = _promised(says, number, blob.name)
            if promised - {digest}:
                raise ExportError(
                    "the file is not the one its manifest names by sha256; upload both again",
                    code="truncated",
                    file=blob.name if dropped.members else "",
                )
            marks.append(replace(self._reading.files[number], sha256=digest, vouched=bool(promised)))
        lead = replace(marks[0], partial=self._is_partial(says, files), rows=says.rows, members=tuple(marks[1:]))
        return lead, tuple(files)

    async def _download(self, blob: Dropped, path: Path) -> None:
        with path.open("wb") as stream:
            try:
                await self._services.exports.download_to(blob.name, stream, if_match=blob.etag)
            except StateChanged as error:
                raise NotReady("the export was replaced while it was read; the next tick takes the new one") from error

    def _is_partial(self, says: Manifest, files: Sequence[ExportFile]) -> bool:
        """Tell whether an export holds some of the people only; a correction does, whatever anybody says."""
        by_name = any(self._at.mapping.is_partial(file.name) for file in files)
        return (says.kind == "partial" if says.kind else by_name) or any(map(is_correction, files))

    async def _from_copies(self, marks: Iterable[ExportMark], folder: Path) -> tuple[ExportFile, ...]:
        files: list[ExportFile] = []
        for mark in marks:
            for file in mark.files:
                path = folder / f"copy-{len(files)}"
                try:
                    with path.open("wb") as stream:
                        await self._state.container.download_to(file.copy, stream)
                except StateChanged as error:
                    raise _CopyMissing(
                        "our copy of the last export is not in the state container any more; the next export mends it",
                        code="copy_missing",
                    ) from error
                files.append(_file(file.name, path, joins=file is not mark))
        return tuple(files)

    async def _read(self, chosen: Input, ledger: Ledger) -> Reading:
        return await offload(
            chosen.size,
            lambda: read_population(
                chosen.files,
                self._at.mapping,
                complete=chosen.complete,
                new=chosen.fresh is not None,
                item_id=self._item_id if self._contract.IDS_FOLLOW_ACCOUNTS else None,
                others=() if chosen.complete else _present(ledger),
                today=chosen.today,
            ),
        )

    # --- deciding ---------------------------------------------------------------------------------------------------

    async def _plan_and_apply(self, work: Work, chosen: Input, report: Report) -> Report:
        try:
            planned = await self._plan(work, chosen, report)
        except _Refusal as refusal:
            return await self._refuse(
                refusal.report or report,
                chosen,
                work,
                code=refusal.code,
                message=refusal.message,
                pending=refusal.pending,
            )
        if planned.pending is not None:
            await self._state.save_pending(planned.pending)
        planned = replace(planned, report=await self._quarantine(planned.report, planned.chosen, planned.reading))
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
                chosen = await self._input(work, Path(folder))
                report = replace(report, export=_export_facts(chosen))
                planned = await self._plan(work, chosen, report, ledger)
            except ExportError as error:
                report = self._refused(report, chosen, code=error.code, message=error.message, file=error.file)
                return Rehearsal(report, unfinished=unfinished)
            except _Refusal as refusal:
                report = self._refused(
                    refusal.report or report,
                    chosen,
                    code=refusal.code,
                    message=refusal.message,
                    pending=refusal.pending,
                )
                return Rehearsal(report, unfinished=unfinished)
        plan = planned.plan
        done = Progress(outcomes=dict.fromkeys(range(len(plan.actions)), ""))
        return Rehearsal(
            self._finished(planned.report, _outcome(plan), plan, done),
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
        ledger, mark = await self._ledger(), self._at.head.run
        if mark is None or mark.incarnation != self._at.registration.incarnation:
            return ledger, ""
        plan, _ = await self._state.plan(mark.id)
        progress = await self._state.progress(mark.id, mark.epochs)
        return fold(ledger, plan, progress, now=self._now, whole=False), mark.id

    async def _plan(self, work: Work, chosen: Input, report: Report, ledger: Ledger | None = None) -> Planned:
        """Read an input and decide what is to be done; nothing is written anywhere.

        ``ledger``: what Graph holds, where the stored one does not say it all.

        Raises:
            ExportError: the files cannot be used.
            _Refusal: a guard on the whole export tripped.
        """
        mapping = self._at.mapping
        if not schema_contained(self._contract.schema(mapping), self._at.registration.schema):
            raise NotReady("the mapping has properties that the registered schema lacks; run setup, which adds them")
        ledger = ledger or await self._ledger()
        reading = await self._read(chosen, ledger)
        _hold_to_manifest(chosen, reading)
        report = self._with_reading(report, reading)
        self._word = await self._what_may_pass(chosen.marks)
        verdicts = [self._rejected_verdict(reading)]
        if chosen.fresh is not None:
            chosen, report = self._compare(chosen, reading, report, verdicts, work)
        if chosen.complete:
            verdicts.append(guards.everyone(reading.population, ledger))
        try:
            self._stop_if_tripped(verdicts)
            rules = self._rules(ledger, full=work.full)
            matching, wanted, rules = await self._match(reading.population, ledger, rules)
            if matching.contested:
                reading = await self._set_aside(reading, chosen, matching)
                report = self._with_reading(report, reading)
                verdicts[0] = self._rejected_verdict(reading)
                self._stop_if_tripped(verdicts)
            report = _with_matching(report, matching, wanted)
            matched = sum(person.key in matching.known for person in wanted)
            rate = guards.match_rate(len(wanted), matched, min_percent=self._settings.min_match_percent)
            verdicts += [rate, *self._change_verdicts(chosen, reading, ledger)]
            self._stop_if_tripped(verdicts)
            # Who is deleted does not depend on what is rendered, but the reverse: they are nobody's manager any more.
            draft = make_plan(reading.population, ledger, matching, {}, {}, rules)
            verdicts.append(guards.rekeyed(draft, ledger))
            self._stop_if_tripped(verdicts, draft)
            decide = self._about_deletions(draft, ledger, verdicts)
            gone = _deleted(decide(draft))
            references = _references(
                reading.population, ledger, matching.known, gone, sent={person.key for person in wanted}
            )
            report = _with_warnings(report, {code: len(keys) for code, keys in references.warnings.items()})
            sources = sift(reading.population, ledger, matching, references, rules)
            rendered = await offload(
                chosen.size,
                lambda: self._digests(chosen, reading.population, sources, matching.known, references, rules.ids),
            )
            plan = make_plan(reading.population, ledger, matching, sources, rendered, rules)
            verdicts.append(self._mapping_verdict(plan, ledger))
            self._stop_if_tripped(verdicts, plan)
        except _Refusal as refusal:
            refusal.report = replace(report, guards=tuple(map(asdict, verdicts)))
            raise
        plan = decide(plan)
        report = replace(self._with_approvals(report), guards=tuple(map(asdict, verdicts)))
        pending = self._word.pending(actions=plan.held) if plan.held else None
        report = replace(report, plan=pending.digest if pending else None)
        settles = Settles(tuple(each.plan for each in self._at.head.approvals), self._word.deletes)
        chosen = _as_released(chosen, verdicts, mapping)
        return Planned(report, chosen, reading, ledger, plan, matching.known, references, settles, pending)

    def _compare(
        self, chosen: Input, reading: Reading, report: Report, verdicts: list[Verdict], work: Work
    ) -> tuple[Input, Report]:
        """Hold a new export to the last applied one; return it with how it was read, and the report with the rest."""
        last = self._at.head.applied if chosen.complete else None
        _hold_to_last(chosen, last, reading)
        if last is not None and last.members:
            verdicts.append(guards.one_of_a_set(len(last.files), alone=bool(chosen.says.files)))
        verdicts += _name_verdict(chosen, last)
        report = _with_changes(report, last, reading)
        report = _with_older(report, chosen, (*work.candidates, *self._at.arriving))
        return _as_read(chosen, reading), report

    def _about_deletions(self, draft: Plan, ledger: Ledger, verdicts: list[Verdict]) -> Callable[[Plan], Plan]:
        """Return what becomes of a plan's deletions: they are as they are, held, or released by an approval."""
        verdict = self._deletion_verdict(draft, ledger)
        decide = hold if verdict.tripped else _as_planned
        waiting = self._word.pending(actions=decide(draft).held)
        if self._word.lets_delete(waiting):
            verdict, decide = replace(verdict, released=verdict.tripped), release
        verdicts.append(verdict)
        return decide

    async def _what_may_pass(self, marks: Sequence[ExportMark]) -> Word:
        """Return what approvals let this run do with these exports."""
        mapping, approvals = self._at.mapping.digest, self._at.head.approvals
        counting = tuple(each for each in approvals if not each.has_expired(self._now))
        found = {each.plan: await self._state.pending(each.plan) for each in counting}
        return Word(
            marks[-1].digest,
            mapping,
            frozenset(name for mark in marks if mark.released_under == mapping for name in mark.released),
            counting,
            {plan: pending for plan, pending in found.items() if pending is not None},
        )

    def _with_approvals(self, report: Report, *, about: Collection[str] | None = None) -> Report:
        """Return the report with who let this run do what it does, and with the approvals that came to nothing.

        ``about`` are the hashes that this run has to do with; None: all.
        """
        unused = [
            each
            for each in self._at.head.approvals
            if not each.used and each not in self._word.used and (about is None or each.plan in about)
        ]
        expired = sum(each.has_expired(self._now) for each in unused)
        report = _with_warnings(report, {"approval_expired": expired, "approval_outdated": len(unused) - expired})
        return replace(report, approved=self._word.used[-1].body()) if self._word.used else report

    async def _set_aside(self, reading: Reading, chosen: Input, matching: Matching) -> Reading:
        contested = matching.contested
        return await offload(chosen.size, lambda: set_aside(reading, chosen.files, self._at.mapping, contested))

    def _rejected_verdict(self, reading: Reading) -> Verdict:
        return guards.rejected_rows(
            reading.rows, len(reading.rejections), max_percent=self._settings.max_reject_percent
        )

    def _change_verdicts(self, chosen: Input, reading: Reading, ledger: Ledger) -> Iterator[Verdict]:
        """Yield what is said of how an export differs from what was taken before; the most telling comes first."""
        if chosen.complete and chosen.fresh is not None:
            applied = self._at.head.applied
            yield guards.emptied(applied.fill if applied else Fill(), reading.fill)
        found = guards.changes(reading.population, ledger, self._at.mapping.columns)
        yield guards.changed_field(found, max_percent=self._settings.max_change_percent)
        yield guards.changed_cells(found, max_percent=self._settings.max_change_percent)

    def _mapping_verdict(self, plan: Plan, ledger: Ledger) -> Verdict:
        before = self._at.head.mapping
        changed = before not in {"", self._at.mapping.digest}
        return guards.rewritten(plan, ledger, changed=changed, max_percent=self._settings.max_change_percent)

    def _mapping_after(self, chosen: Input) -> str:
        """Return the mapping under which everybody will have been judged; a partial export is about a few only."""
        return self._at.mapping.digest if chosen.complete else self._at.head.mapping

    def _deletion_verdict(self, plan: Plan, ledger: Ledger) -> Verdict:
        limit = guards.DeletionLimit(
            self._settings.max_delete_percent, self._settings.max_delete_count, self._settings.min_delete_allowance
        )
        return guards.deletions(plan, ledger, self._at.head.deletions, limit, self._now)

    def _stop_if_tripped(self, verdicts: list[Verdict], plan: Plan | None = None) -> None:
        """Refuse the export for what guards found, unless somebody has approved just that."""
        refused = self._word.judge(verdicts, plan.actions if plan else ())
        if refused is not None:
            verdict, pending = refused
            message = f"{verdict.name}: found {verdict.found}; allowed: {verdict.limit}"
            raise _Refusal(verdict.code, message, pending)

    def _item_id(self, key: str, upn: str) -> str:
        return self._contract.item_id(self._settings.connection_id, key=key, upn=upn)

    def _rules(self, ledger: Ledger, *, full: bool) -> Rules:
        sender = f"{self._at.mapping.digest}/{self._contract.NAME}/{self._contract.RENDERER}".encode()
        return Rules(
            now=self._now,
            grace=self._settings.leaver_grace_exports,
            resolve_after=int(self._settings.resolve_after_days * 86400),
            sender=sender,
            in_pilot=in_pilot(self._settings.pilot),
            ids=ItemIds.of_ledger(ledger, self._item_id, following=self._contract.IDS_FOLLOW_ACCOUNTS),
            full=full,
        )

    async def _ledger(self) -> Ledger:
        """Return the ledger, or an empty one for a connection that is not the one it belongs to (design §3.13)."""
        empty = Ledger(
            connection=self._settings.connection_id,
            tenant=self._settings.tenant_id,
            contract=self._settings.contract,
            incarnation=self._at.registration.incarnation,
            generation=self._at.head.generation,
        )
        if not empty.generation:
            return empty
        ledger = await self._state.ledger(empty.generation)
        return ledger if ledger.is_of_the_same(empty) else empty

    async def _match(
        self, population: Population, ledger: Ledger, rules: Rules
    ) -> tuple[Matching, list[Person], Rules]:
        """Find the accounts of everybody who is sent, and of those they refer to.

        Returns who is to be sent as well, and the rules: a pilot of UPNs may need Entra to say who is in it.
        """
        people = population.people
        here = [person for person in people.values() if not (person.leaver or person.outside)]
        waiting = {person.key: person for person in here if pilot_waits(self._settings.pilot, person)}
        found, asked = await self._look_up(waiting.values(), ledger, rules)
        known = match_people(waiting.values(), ledger.entries, found, asked, now=rules.now).known
        rules = replace(rules, in_pilot=in_pilot(self._settings.pilot, known))
        wanted = {person.key: person for person in here if rules.in_pilot(person)}
        keys = {reference for person in wanted.values() for reference in person.references}.difference(wanted, waiting)
        others = {key: people[key] for key in people if key in keys and not people[key].leaver}
        everybody = {**waiting, **wanted, **others}
        rest = [person for key, person in everybody.items() if key not in waiting]
        further, also = await self._look_up(rest, ledger, rules)
        matching = match_people(everybody.values(), ledger.entries, found | further, (*asked, *also), now=rules.now)
        matching = contest(matching, people, ledger.entries, _elsewhere(population, ledger))
        return matching, [person for key, person in wanted.items() if key not in matching.contested], rules

    async def _look_up(self, people: Iterable[Person], ledger: Ledger, rules: Rules) -> tuple[Found, tuple[str, ...]]:
        """Ask Entra for those of these people who are due; return its answers, and what was asked."""
        due = lookups(people, ledger.entries, now=rules.now, resolve_after=rules.resolve_after, everyone=rules.full).due
        return (await (await self._graph()).users.find(due) if due else Found()), due

    async def _graph(self) -> Ingest:
        """Open Graph when it is first needed: a night without changes needs neither vault nor token."""
        if self._at.ingest is None:
            opened = self._services.open_ingest(learned=self._at.head.pace, before_write=self._at.lease.check)
            self._at.ingest = await self._at.stack.enter_async_context(opened)
            self._at.ingest.pace.give_up_at = self._services.clock.monotonic() + LOOKUP_SECONDS
        return self._at.ingest

    # --- rendering --------------------------------------------------------------------------------------------------

    def _digests(
        self,
        chosen: Input,
        population: Population,
        sources: Mapping[str, bytes],
        known: Mapping[str, Known],
        references: References,
        ids: ItemIds,
    ) -> dict[str, bytes]:
        wanted = {_place(population, key): (key, ids.of(key, known[key].upn)) for key in sources}
        return {key: _item_digest(body) for key, body in self._bodies(chosen, wanted, known, references)}

    def _bodies(
        self,
        chosen: Input,
        wanted: Mapping[tuple[int, int], tuple[str, str]],
        known: Mapping[str, Known],
        references: References,
    ) -> Iterator[tuple[str, bytes]]:
        """Yield (key, body of the item) in the files' order; ``wanted``: (key, item id) by (file, row)."""
        for number, row, cells, bound in rows_of(chosen.files, self._at.mapping, wanted.keys(), today=chosen.today):
            key, item_id = wanted[number, row]
            filled = bound.entities(cells, known[key], references.of[key])
            content = Content(item_id, self._settings.connection_id, known[key], self._at.mapping, filled)
            yield key, self._contract.item(content)

    # --- doing ------------------------------------------------------------------------------------------------------

    async def _carry_out(self, work: Work, planned: Planned) -> Report:
        planned = replace(planned, chosen=await self._keep_copies(planned.chosen, planned.report.run))
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
        await self._commit(replace(self._at.head, run=mark, incarnation=incarnation, mapping=mapping))
        return await self._apply(planned, Progress())

    async def _apply(self, planned: Planned, before: Progress) -> Report:
        ingest = await self._graph()
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
        lost = await self._lost(planned, applied)
        if lost is not None:
            return await self._stop(planned, _doubting(planned.plan, applied), lost)
        if applied.stopped is not None:
            return await self._stop(planned, applied.progress, applied.stopped)
        if applied.finished:
            return await self._settle(planned, applied.progress)
        report = self._finished(planned.report, "partial", planned.plan, applied.progress)
        await self._publish(report)
        head, mark = self._at.head, self._at.head.run
        run = mark and replace(mark, graph=dict(report.graph))
        await self._commit(replace(head, run=run, pace=ingest.pace.learned, last_run=report.run))
        return await self._end(report)

    async def _lost(self, planned: Planned, applied: Applied) -> GraphError | None:
        """Say so when Graph's refusals mean that the connection, or what was in it, is gone.

        One item that is not there may have been deleted by somebody, and one that is refused may be a bad one. So some
        are asked for that Graph took from us.
        """
        actions, outcomes = planned.plan.actions, applied.progress.outcomes
        upserts = {index: action.after for index, action in enumerate(actions) if isinstance(action, Upsert)}
        arrived = {entry.item_id: None for index, entry in upserts.items() if outcomes.get(index) == ""}
        unknown = applied.lost & upserts.keys()
        refused = not arrived and any(outcomes.get(index, "") not in {"", IN_DOUBT} for index in upserts)
        if not (applied.lost or refused):
            return None
        gone = {action.entry.item_id for action in actions if isinstance(action, Delete)}
        taken = [
            entry.item_id
            for entry in planned.ledger.entries.values()
            if entry.state == "sent" and entry.held and entry.item_id not in gone
        ]
        if (unknown or (refused and taken)) and await self._holds_none((*arrived, *taken)):
            return GraphError(
                f"Microsoft Graph takes no items for the connection {self._settings.connection_id!r}, and has none of"
                " those asked for that it took from us: the connection was deleted, or made anew by somebody else, or"
                " does not list the app of INGEST_CLIENT_ID in authorizedAppIds. Run setup, which mends all three; a"
                " new connection is filled with everyone",
                status=404,
                code="connection_missing",
            )
        others = [item_id for item_id in taken if item_id not in arrived]
        run = self._at.head.run
        if run is not None and run.full and arrived:
            return None  # everyone who can be sent has just been; who cannot has nothing there, now as before
        if not unknown and applied.lost and others and await self._holds_none(others):
            await self._state.ask(f"{planned.report.run}-emptied", full=True, by="sync")
            return GraphError(
                "Microsoft Graph holds none of the items asked for that it took from us (HTTP 404): the connection was"
                " emptied, or deleted and made anew by somebody else. The next tick sends everyone again",
                status=404,
                code="connection_emptied",
            )
        return None

    async def _holds_none(self, item_ids: Sequence[str]) -> bool:
        """Tell whether Graph has none of some of these items: the first, the last, and the one in the middle."""
        some = dict.fromkeys(item_ids[place] for place in (0, len(item_ids) // 2, -1) if item_ids)
        try:
            for item_id in some:
                if await (await self._graph()).items.get(item_id) is not None:
                    return False
        except (CredentialError, GraphError):
            return False  # nobody can say; the run ends as it would have
        return True

    def _requests(self, planned: Planned, indices: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the bodies of the given upserts; each is held to the digest the ledger will remember."""
        upserts: dict[str, tuple[int, Upsert]] = {}
        for index in indices:
            action = planned.plan.actions[index]
            if isinstance(action, Upsert):
                upserts[action.after.key] = index, action
        places = {(action.file, action.row): (key, action.after.item_id) for key, (_, action) in upserts.items()}
        for key, body in self._bodies(planned.chosen, places, planned.known, planned.references):
            index, action = upserts[key]
            if _item_digest(body) != action.after.item:
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
            ledger = await self._ledger()
        except StoreError as error:
            return await self._fail(report, error)
        if not self._may_resume(mark, work):
            await self._supersede(mark, report, ledger, plan, before)
            return None
        emit("sync.started", run=mark.id, trigger=self._at.trigger, reasons=work.reasons)
        epochs = (*mark.epochs, self._at.head.epoch)
        await self._commit(replace(self._at.head, run=replace(mark, epochs=epochs)))
        with TemporaryDirectory(prefix="people-connector-") as folder:
            try:
                marks = tuple(map(load_mark, facts["marks"]))
                files = await self._from_copies(marks, Path(folder))
                fresh = marks[-1] if facts["fresh"] else None
                # Rendered as on the day of the plan, whatever day it is by now.
                today = date.fromisoformat(facts["today"]) if facts.get("today") else self._today()
                chosen = Input(marks, files, fresh, facts["complete"], _size(Path(folder)), today)
                reading = await self._read(chosen, ledger)
                people = reading.population.without(_contested_by(plan))
                known = _known_by(plan, ledger)
                references = _references(people, ledger, known, _deleted(plan))
                settles = _load_settles(facts.get("settles", {}))
                planned = Planned(report, chosen, reading, ledger, plan, known, references, settles)
                return await self._apply(planned, before)
            except (_PlanOutdated, _CopyMissing):
                await self._supersede(mark, report, ledger, plan, await self._state.progress(mark.id, epochs))
                return None
            except (LeaseLost, StateChanged):
                raise
            except ConnectorError as error:
                return await self._fail(report, error)

    def _may_resume(self, mark: RunMark, work: Work) -> bool:
        """A run goes on only where it would still do the same (design §3.11)."""
        same = mark.circumstances == self._at.circumstances and (mark.full or not work.full)
        same = same and mark.incarnation == self._at.registration.incarnation
        newer = any(
            (dropped.modified, dropped.name) > (mark.export.modified, mark.export.name) if mark.export else True
            for dropped in work.candidates
        )
        return same and not newer

    async def _supersede(self, mark: RunMark, report: Report, ledger: Ledger, plan: Plan, progress: Progress) -> None:
        """Fold what an unfinished run did and end it; the ledger of another incarnation stays as it is, void."""
        if mark.incarnation == self._at.registration.incarnation:
            ledger = fold(ledger, plan, progress, now=self._now, whole=False)
            ledger = await self._state.save_ledger(ledger)
        report = self._finished(report, "superseded", plan, progress)
        await self._publish(report)
        await self._conclude(
            replace(
                self._at.head,
                run=None,
                generation=ledger.generation,
                deletions=self._deletions(report),
                last_run=report.run,
            )
        )
        await self._end(report)

    # --- ending -----------------------------------------------------------------------------------------------------

    async def _settle(self, planned: Planned, progress: Progress) -> Report:
        """Fold what was done into the ledger and make the head tell it."""
        chosen, plan, ledger = planned.chosen, planned.plan, planned.ledger
        if plan.actions or plan.changes or plan.forgotten or not self._at.head.generation:
            ledger = fold(ledger, plan, progress, now=self._now, whole=True)
        report, found = await self._read_back(planned, ledger)
        report = self._finished(report, _outcome(plan), plan, progress)
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
        told = not plan.held or (head.held is not None and head.held.plan == report.plan)
        quiet = told and not plan.actions and set(report.reasons) <= LOOKS_ONLY
        if not quiet:
            await self._publish(report)
        await self._conclude(
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
                deletions=self._deletions(report),
                due=due_times(
                    ledger,
                    resolve_after=int(self._settings.resolve_after_days * 86400),
                    unmatched_after=UNMATCHED_AGAIN_SECONDS,
                    turn=self._turn(planned),
                ),
                circumstances=self._at.circumstances,
                mapping=self._mapping_after(chosen),
                failures=0,
                retry_at=0,
                failed_export=("", ""),
                last_run=head.last_run if quiet else report.run,
            )
        )
        if quiet:
            emit("sync.tick", **report.numbers())
            return report
        return await self._end(report)

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
        ingest = await self._graph()
        ingest.pace.give_up_at = self._at.stop_at
        contract, mapping = self._contract, self._at.mapping
        found = await read_back(
            entries,
            await offload(planned.chosen.size, lambda: self._sent(planned, entries)),
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
        report = _with_warnings(report, {code: numbers[finding] for code, finding in told.items()})
        return replace(report, verified=numbers, drifted_people=tuple(drift[:MAX_LISTED])), found

    def _sent(self, planned: Planned, entries: Iterable[Entry]) -> dict[str, bytes]:
        """Return what Graph took of these people, by key: of those whose row still makes the body that was sent."""
        population, known, references = planned.reading.population, planned.known, planned.references
        here = {entry.key: entry for entry in entries if entry.key in population.people and entry.key in known}
        wanted = {_place(population, key): (key, each.item_id) for key, each in here.items() if key in references.of}
        bodies = self._bodies(planned.chosen, wanted, known, references)
        return {key: body for key, body in bodies if _item_digest(body) == here[key].item}

    def _logged_as(self, item_id: str) -> str:
        return _digest_of_id(item_id) if self._contract.IDS_FOLLOW_ACCOUNTS else item_id

    def _turn(self, planned: Planned) -> int:
        """Return when the first row begins or ceases to count: of a partial export and of what it is laid over."""
        before = self._at.head.due.turn if not planned.chosen.complete else 0
        if planned.reading.turn is None:
            return before
        turn = midnight_in(self._at.mapping.file.timezone, planned.reading.turn)
        return min(before, turn) if before else turn

    async def _refuse(
        self,
        report: Report,
        chosen: Input | None,
        work: Work,
        *,
        code: str,
        message: str,
        file: str = "",
        pending: Pending | None = None,
    ) -> Report:
        """End a run whose export cannot be used: nothing is done, the ledger stays, and HR hears why.

        ``pending`` is what an approval would release; None where none can.
        """
        if pending is not None:
            await self._state.save_pending(pending)
        report = self._refused(report, chosen, code=code, message=message, file=file, pending=pending)
        refused = self._export_of(chosen)
        refusals, judged = self._at.head.refused, self._at.head.approved
        if refused is not None:
            members = tuple((file.name, file.etag) for file in refused.members)
            refusal = Refused(
                refused.name,
                refused.etag,
                self._at.circumstances,
                code,
                refused.manifest,
                members,
                report.plan or "",
                pending.guards if pending else (),
                report.run,
            )
            same = [each for each in refusals if _is_again(each, refusal)]
            if work.kind != "again":
                judged = judged.intersection(each.plan for each in same)
            refusals = (*(each for each in refusals if each not in same), refusal)[-KEPT_REFUSALS:]
        self._word.used.clear()
        report = self._with_approvals(report, about=judged)
        await self._publish(report)
        approvals = tuple(each for each in self._at.head.approvals if each.plan not in judged)
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
            )
        await self._commit(head)
        return await self._end(report)

    def _refused(
        self,
        report: Report,
        chosen: Input | None,
        *,
        code: str,
        message: str,
        file: str = "",
        pending: Pending | None = None,
    ) -> Report:
        refused = self._export_of(chosen)
        pending = pending or Pending(refused.digest if refused else "", self._at.mapping.digest)
        return replace(
            report,
            outcome="refused",
            error={"code": code, "message": message, **({"file": file} if file else {})},
            plan=pending.digest,
            export=report.export or ({**_UNREAD, "name": refused.name, "etag": refused.etag} if refused else None),
            finished=self._finish_time(),
            graph=self._graph_numbers(report),
        )

    def _export_of(self, chosen: Input | None) -> ExportMark | None:
        """Return the export that a refusal is about."""
        return (chosen.fresh if chosen else self._reading) or self._at.head.applied

    async def _stop(self, planned: Planned, progress: Progress, error: ConnectorError) -> Report:
        """End a run that Graph does not let go on: what was done is folded, and a later tick tries again."""
        report = replace(planned.report, error={"code": error.code, "message": error.message})
        report = self._finished(report, "failed", planned.plan, progress)
        ledger = fold(planned.ledger, planned.plan, progress, now=self._now, whole=False)
        ledger = await self._state.save_ledger(ledger)
        await self._publish(report)
        head = self._failed_head()
        await self._conclude(
            replace(
                head,
                run=None,
                generation=ledger.generation,
                held_items=ledger.held,
                people=ledger.people,
                incarnation=self._at.registration.incarnation,
                deletions=self._deletions(report),
                last_run=report.run,
            )
        )
        return await self._end(report)

    async def _fail(self, report: Report, error: ConnectorError) -> Report:
        """End an invocation that could not go on. A run whose plan is stored stays unfinished and is resumed later."""
        report = replace(report, error={"code": error.code, "message": error.message})
        outcome: Outcome = "refused" if error.code == LEDGER_MISSING else "failed"
        if outcome == "refused":
            digest = str((report.export or {}).get("sha256", ""))
            report = replace(report, plan=Pending(digest, self._at.mapping.digest).digest)
        report = self._finished(report, outcome, None, None)
        await self._publish(report)
        await self._commit(replace(self._failed_head(), last_run=report.run))
        return await self._end(report)

    def _failed_head(self) -> Head:
        """Return the head after a run that could not go on.

        What it was about is no change any more when it is tried again, so that it is tried less and less often.
        """
        return replace(
            self._at.head.failed(self._at.newest, now=self._now),
            circumstances=self._at.circumstances,
            incarnation=self._at.registration.incarnation,
            connection_etag=self._at.connection_etag,
        )

    def _finished(self, report: Report, outcome: Outcome, plan: Plan | None, progress: Progress | None) -> Report:
        if plan is not None:
            report = _with_outcomes(report, plan, progress or Progress())
        return replace(report, outcome=outcome, finished=self._finish_time(), graph=self._graph_numbers(report))

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

    def _deletions(self, report: Report) -> tuple[tuple[int, int], ...]:
        recent = tuple(entry for entry in self._at.head.deletions if entry[0] > self._now - guards.DAY)
        deleted = report.counts.deleted - report.counts.transferred
        return (*recent, (self._now, deleted)) if deleted > 0 else recent

    async def _commit(self, head: Head) -> None:
        self._at.etag = await self._state.commit(head, etag=self._at.etag, lease=self._at.lease)
        self._at.head = head

    async def _conclude(self, head: Head) -> None:
        """Commit the head that ends a run, and delete what it does not refer to any more.

        What cannot be deleted now stays for the next time: never a hole, and no reason to call the run a failure.
        """
        leftovers = await self._state.leftovers(head)
        await self._commit(head)
        with suppress(StoreError):
            await self._state.forget(leftovers)

    async def _publish(self, report: Report) -> None:
        """Store the report, before the head moves on: what was done is told even if this process dies now."""
        name = f"{report.connection}/{report.run}.json"
        await self._services.reports.write(name, dump_report(report), content_type="application/json")

    async def _end(self, report: Report) -> Report:
        """Log the outcome and make the page for people, when all else is safe: no run waits for either."""
        emit(f"sync.{report.outcome}", **report.numbers())  # type: ignore[arg-type]
        page = self._services.page(report.body())
        name = f"{report.connection}/{report.run}.html"
        with suppress(StoreError):
            await self._services.reports.write(name, page, content_type="text/html; charset=utf-8")
            await self._forget_old_reports()
        return report

    async def _forget_old_reports(self) -> None:
        """Delete the reports of runs long past."""
        reports = self._services.reports
        listing = await reports.list(f"{self._settings.connection_id}/")
        for name in old_reports((info.name for info in listing.blobs), self._at.head):
            await reports.delete(name)

    async def _keep_copies(self, chosen: Input, run: str) -> Input:
        """Keep our own copy of a new export, so that what it says can be read again whatever HR does with the file."""
        if chosen.fresh is None:
            return chosen
        known = [file for mark in (self._at.head.applied, *self._at.head.partials) if mark for file in mark.files]
        marks: list[ExportMark] = []
        for number, (mark, file) in enumerate(zip(chosen.fresh.files, chosen.files, strict=True)):
            name = mark.name.rsplit("/", 1)[-1]
            same = (
                each.copy
                for each in known
                if each.sha256 == mark.sha256 and each.copy and _packing(each.name) == _packing(name)
            )
            copy = next(same, None)
            if copy is None:
                with file.open() as stream:
                    # Files of two folders may have one name.
                    copy = await self._state.save_copy(run, f"{number}-{name}" if number else name, stream)  # type: ignore[arg-type]
            marks.append(replace(mark, copy=copy))
        fresh = replace(marks[0], members=tuple(marks[1:]))
        return replace(chosen, fresh=fresh, marks=(*chosen.marks[:-1], fresh))

    async def _quarantine(self, report: Report, chosen: Input, reading: Reading) -> Report:
        """Give HR the rejected rows of a new export, those of every file in a file of its own."""
        if chosen.fresh is None:
            return report
        names: list[str] = []
        for file in reading.files:
            if file.rejections:
                name = quarantine_name(self._settings.connection_id, file.name, report.run)
                data = quarantine_file(file.header, file.rejections, delimiter=file.delimiter, encoding=file.encoding)
                await self._services.quarantine.write(name, data, content_type="text/csv")
                names.append(name)
        return replace(report, quarantine=names[0], quarantines=tuple(names)) if names else report

    def _with_reading(self, report: Report, reading: Reading) -> Report:
        several = len(reading.files) > 1
        rejected = ((file.name if several else "", each) for file in reading.files for each in file.rejections)
        listed = tuple(
            ListedRow(
                rejection.row,
                rejection.key,
                tuple(dict.fromkeys(problem.code for problem in rejection.problems)),
                "; ".join(problem.message for problem in rejection.problems),
                file,
            )
            for file, rejection in islice(rejected, MAX_LISTED)
        )
        counts = replace(
            report.counts,
            people=reading.population.in_scope,
            rejected=len(reading.rejections),
            out_of_scope=reading.population.out_of_scope,
        )
        report = replace(report, export={**(report.export or {}), **reading.facts}, counts=counts, rows=listed)
        missing = len(reading.facts["missing_columns"])
        return _with_warnings(report, {"missing_columns": missing, "unreadable_keys": reading.population.unreadable})


def _digest_of_id(item_id: str) -> str:
    """Return what the log calls an item whose id is made of somebody's UPN (interface §10)."""
    return hashlib.sha256(item_id.encode()).hexdigest()[:40]


def _outcome(plan: Plan) -> Outcome:
    """Return the outcome of a run that has carried out its plan."""
    return "held" if plan.held else "completed" if plan.actions else "unchanged"


def _counted(counts: Counts, plan: Plan, progress: Progress) -> Counts:
    created = updated = deleted = failed = transferred = 0
    for index, outcome in progress.outcomes.items():
        action = plan.actions[index]
        if _is_former(action):
            continue
        if outcome:
            failed += 1
        elif isinstance(action, Upsert):
            created += action.created
            updated += not action.created
        else:
            deleted += 1
            transferred += action.reason == "transferred"
    return replace(
        counts,
        people=plan.people,
        unchanged=plan.unchanged,
        unmatched=plan.unmatched,
        created=created,
        updated=updated,
        deleted=deleted,
        held=len(plan.held),
        failed=failed,
        grace=plan.grace,
        transferred=transferred,
        out_of_scope=plan.out_of_scope,
    )


def _known_by(plan: Plan, ledger: Ledger) -> dict[str, Known]:
    """Return the accounts a stored plan was made with: they are in its entries, or unchanged in the ledger."""
    entries = dict(ledger.entries)
    entries.update((entry.key, entry) for entry in plan.changes)
    entries.update((action.after.key, action.after) for action in plan.actions if isinstance(action, Upsert))
    entries.update((entry.key, entry) for entry in _deleted_entries(plan) if entry.state == "outside")
    return {
        key: Known(entry.user_id, entry.upn)
        for key, entry in entries.items()
        if entry.user_id and entry.state != "unmatched"
    }


def _contested_by(plan: Plan) -> list[str]:
    """Return the people whose rows a stored plan was made without, because of what Entra had answered."""
    entries = (*plan.changes, *_deleted_entries(plan))
    return [entry.key for entry in entries if entry.state == "unmatched" and entry.code in {AMBIGUOUS, SHARED}]


def _doubting(plan: Plan, applied: Applied) -> Progress:
    """Return how far a run got whose deletions may have met a closed door: they are done again once it is open.

    Who may not see a connection might be told 404 as well; an item that is forgotten stays in profiles for good.
    """
    doubts = {index: IN_DOUBT for index in applied.lost if isinstance(plan.actions[index], Delete)}
    return replace(applied.progress, outcomes={**applied.progress.outcomes, **doubts})


def _present(ledger: Ledger) -> Iterator[Person]:
    """Yield the people of whom Graph has an item and the last complete export knew."""
    for entry in ledger.entries.values():
        if entry.held and not entry.absent and not entry.is_former:
            account = entry.upn if asked_by(entry.asked)[0] == "userPrincipalName" else entry.asked
            yield Person(entry.key, account, leaver=False, references=entry.references, cells=b"", row=0)


def _elsewhere(population: Population, ledger: Ledger) -> Iterator[Entry]:
    """Yield whose item stays as it is: others cannot have their accounts.

    Their row is rejected, or a partial export does not speak of them, or merely to say that they are out of scope.
    """
    for entry in ledger.entries.values():
        person = population.people.get(entry.key)
        if not entry.held or entry.is_former or (person is not None and not person.outside):
            continue
        if entry.key in population.rejected or not (population.complete or entry.absent):
            yield entry


def _deleted(plan: Plan) -> frozenset[str]:
    """Return whom the ledger does not know any more when a plan's items are deleted."""
    return frozenset(entry.key for entry in _deleted_entries(plan) if entry.state != "outside")


def _deleted_entries(plan: Plan) -> Iterator[Entry]:
    return (action.entry for action in plan.actions if isinstance(action, Delete))


def _references(
    population: Population,
    ledger: Ledger,
    known: Mapping[str, Known],
    gone: Collection[str],
    *,
    sent: Collection[str] | None = None,
) -> References:
    """Resolve references as they will be when this run is over: whoever it deletes is in no ledger then.

    Otherwise the reports of somebody who is deleted tonight would be sent again tomorrow, without a change in HR.
    """
    people, entries = population.people, ledger.entries
    identified = identify(people, entries, known)
    if gone:
        entries = {key: entry for key, entry in entries.items() if key not in gone}
        known = {key: account for key, account in known.items() if key not in gone}
    return resolve_references(people, entries, known, others=population.rejected, identified=identified, sent=sent)


def _place(population: Population, key: str) -> tuple[int, int]:
    return population.files.get(key, 0), population.people[key].row


def _with_outcomes(report: Report, plan: Plan, progress: Progress) -> Report:
    """Return the report with the counts of a plan as far as it got, and with whom they are about."""
    unhappy = [(plan.actions[index], outcome) for index, outcome in progress.outcomes.items() if outcome]
    kept = sum(_is_former(action) for action, _ in unhappy)
    failed = (
        (action.after.key if isinstance(action, Upsert) else action.entry.key, outcome)
        for action, outcome in unhappy
        if not _is_former(action)
    )
    return replace(
        _with_warnings(report, {"former_item_kept": kept}),
        counts=_counted(report.counts, plan, progress),
        held_people=_listed((delete.entry.key, delete.reason) for delete in plan.held),
        missing_people=_listed((key, "absent") for key in plan.missing),
        failed_people=_listed(failed),
    )


def _is_former(action: Upsert | Delete) -> bool:
    """Tell whether an action only clears up after a renaming: the person counts by the new item."""
    return isinstance(action, Delete) and action.reason == "renamed"


def _listed(people: Iterable[tuple[str, str]]) -> tuple[dict[str, str], ...]:
    return tuple({"key": key, "reason": reason} for key, reason in islice(people, MAX_LISTED))


def _with_matching(report: Report, matching: Matching, wanted: Iterable[Person]) -> Report:
    listed = _listed(
        (person.key, matching.unmatched[person.key]) for person in wanted if person.key in matching.unmatched
    )
    return _with_warnings(replace(report, unmatched_people=listed), matching.warnings)


def _with_warnings(report: Report, warnings: Mapping[str, int]) -> Report:
    added = {code: count for code, count in warnings.items() if count}
    return replace(report, warnings={**report.warnings, **added})


def _export_facts(chosen: Input) -> dict[str, Any]:
    mark = chosen.marks[-1]
    kind = "partial" if mark.partial else "complete"
    return {
        **_UNREAD,
        "name": mark.name,
        "etag": mark.etag,
        "sha256": mark.sha256,
        "kind": kind,
        "new": chosen.fresh is not None,
    }


_UNREAD: Final = {"name": None, "etag": None, "rows": None, "encoding": None, "delimiter": None}
"""The facts of an export before it has been read: they are in every report, so that programs find them."""


def _file(name: str, path: Path, *, joins: bool) -> ExportFile:
    return ExportFile(name, lambda: path.open("rb"), joins)


def _promised(says: Manifest, number: int, name: str) -> set[str]:
    """Return the digests by which a manifest names a file."""
    listed = {each.name: each.sha256 for each in says.files}
    return {says.sha256 if number == 0 else "", listed.get(name, "")} - {""}


def _hold_to_manifest(chosen: Input, reading: Reading) -> None:
    says = chosen.says
    if says.rows and says.rows != reading.rows:
        found = f"the file has {reading.rows}" if len(reading.files) == 1 else f"its files have {reading.rows}"
        raise ExportError(f"the manifest promises {says.rows} rows; {found}", code="truncated")
    for listed, file in zip(says.files, reading.files, strict=False):
        if listed.rows and listed.rows != file.rows:
            raise ExportError(
                f"the manifest promises {listed.rows} rows of the file; it has {file.rows}",
                code="truncated",
                file=file.name,
            )


def _hold_to_last(chosen: Input, last: ExportMark | None, reading: Reading) -> None:
    """Refuse an export that cannot be the whole population, as the last applied one was.

    The end of a last line is missing that was there the last time, so it was cut off. A manifest vouches for it.
    """
    if last is None or chosen.fresh is None:
        return
    for mark, before, file in zip(chosen.fresh.files, last.files, reading.files, strict=False):
        if before.final_newline and not file.facts["final_newline"] and not mark.vouched:
            raise ExportError(
                "its last line does not end in a line break, as the last export's did: it was cut off. If it is whole,"
                " upload it with a manifest",
                code="truncated",
                file=file.name if chosen.fresh.members else "",
            )


def _name_verdict(chosen: Input, last: ExportMark | None) -> Iterator[Verdict]:
    if last is not None:
        names = [file.name for file in chosen.files]
        yield guards.same_name(names, [file.name for file in last.files], vouched=len(chosen.says.files) == 1)


def _with_changes(report: Report, last: ExportMark | None, reading: Reading) -> Report:
    """Return the report with a warning for everything about the files that was otherwise in the last applied export.

    Files of a set are compared with those that stood in their place; the report says of each what changed.
    """
    changed = [_changes(before, file) for before, file in zip(last.files if last else (), reading.files, strict=False)]
    warnings = Counter(change for changes in changed for change in changes)
    if len(reading.files) > 1 and warnings:
        export = report.export or {}
        changed += [[]] * (len(reading.files) - len(changed))
        files = [{**file, "changes": changes} for file, changes in zip(export["files"], changed, strict=True)]
        report = replace(report, export={**export, "files": files})
    return _with_warnings(report, warnings)


def _with_older(report: Report, chosen: Input, others: Iterable[Dropped]) -> Report:
    """Return the report with a warning for the exports that are passed over, since a newer one is complete."""
    older = passed_over(chosen.fresh, others) if chosen.fresh and chosen.complete else []
    if not older:
        return report
    report = replace(report, export={**(report.export or {}), "passed_over": older[:MAX_LISTED]})
    return _with_warnings(report, {"older_export": len(older)})


def _changes(before: ExportMark, file: FileRead) -> list[str]:
    if not before.encoding:
        return []
    facts = file.facts
    changed = {
        "encoding_changed": before.encoding != facts["encoding"],
        "delimiter_changed": before.delimiter != facts["delimiter"],
        "skipped_lines_changed": before.skipped != facts["skipped"],
    }
    return [change for change, found in changed.items() if found]


def _as_read(chosen: Input, reading: Reading) -> Input:
    """Return the input whose newest mark tells how it was read, for the next export to be compared with."""
    names = ("encoding", "delimiter", "skipped", "final_newline")
    lead, *members = (
        replace(mark, **{name: file.facts[name] for name in names})
        for mark, file in zip(chosen.marks[-1].files, reading.files, strict=True)
    )
    mark = replace(lead, members=tuple(members), fill=guards.to_remember(reading.fill))
    return replace(chosen, marks=(*chosen.marks[:-1], mark), fresh=mark)


def _is_of(refused: Refused, marks: Iterable[ExportMark]) -> bool:
    """Tell whether a refusal is of one of these exports, which have been applied by now, if under other settings."""
    return (refused.name, refused.etag) in {(mark.name, mark.etag) for mark in marks}


def _as_planned(plan: Plan) -> Plan:
    return plan


def _load_settles(raw: Mapping[str, Any]) -> Settles:
    return Settles(tuple(raw.get("judged", ())), raw.get("deletes", ""))


def _as_released(chosen: Input, verdicts: Iterable[Verdict], mapping: ColumnMapping) -> Input:
    """Return the input whose newest mark tells which guards were released for it: it will be gone through again."""
    released = tuple(verdict.name for verdict in verdicts if verdict.code and verdict.released)
    if not released:
        return chosen
    mark = replace(chosen.marks[-1], released=released, released_under=mapping.digest)
    return replace(chosen, marks=(*chosen.marks[:-1], mark), fresh=chosen.fresh and mark)


def _is_again(earlier: Refused, refused: Refused) -> bool:
    """Tell whether the same version of an export was refused before, under the same settings and mapping."""
    return replace(earlier, plan="", guards=(), run="", code="") == replace(
        refused, plan="", guards=(), run="", code=""
    )


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


def _packing(name: str) -> str:
    return name.rsplit(".", 1)[-1].casefold()


def _item_digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
