"""What a run will do about its input: read, matched, judged by guards, planned. Nothing is written anywhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from connector.core import guards
from connector.core.accounts import Found, Known, contest, lookups, match_people
from connector.core.approval import Pending, Word, with_approvals
from connector.core.ledger import Ledger
from connector.core.mapping import Fill
from connector.core.others import elsewhere, references_after
from connector.core.packed import Packed
from connector.core.plan import (
    ItemIds,
    Plan,
    Rules,
    Upsert,
    deleted,
    hold,
    in_pilot,
    make_plan,
    pilot_waits,
    release,
    sift,
)
from connector.core.rendering import Rendering
from connector.core.reporting import with_changes, with_matching, with_older, with_reading, with_warnings
from connector.core.resume import contested_by, known_by
from connector.core.setup import schema_contained
from connector.core.unaltered import Remembered
from connector.errors import NotReady
from connector.intake import as_read, hold_to_last, hold_to_manifest
from connector.offload import offload

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from connector.core.accounts import Matching, References
    from connector.core.due import Work
    from connector.core.guards import Verdict
    from connector.core.head import ExportMark
    from connector.core.mapping import Mapping as ColumnMapping
    from connector.core.mapping import Person
    from connector.core.plan import Action, Population
    from connector.core.population import Reading
    from connector.core.report import Report
    from connector.intake import Input, Intake
    from connector.services import Services, Standing


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


class Refusal(Exception):
    """A guard does not let the whole export pass.

    ``code`` and ``message`` are for the report, which is ``report`` as far as it had come; ``pending`` is what an
    approval would release.
    """

    def __init__(self, code: str, message: str, pending: Pending) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.pending = pending
        self.report: Report | None = None


class Planner:
    """Makes the plan of one run. ``word``: what approvals let it do."""

    def __init__(self, services: Services, standing: Standing, intake: Intake) -> None:
        self._services = services
        self._at = standing
        self._settings = services.settings
        self._intake = intake
        self._now = int(services.clock.now().timestamp())
        self._resolve_after = int(services.settings.resolve_after_days * 86400)
        self._found = Found()
        self._asked: dict[str, None] = {}
        self.word = Word("", "")

    async def plan(self, work: Work, chosen: Input, report: Report, ledger: Ledger | None = None) -> Planned:
        """Read an input and decide what is to be done; nothing is written anywhere.

        ``ledger``: what Graph holds, where the stored one does not say it all.

        Raises:
            ExportError: the files cannot be used.
            Refusal: a guard on the whole export tripped.
        """
        mapping = self._at.mapping
        if not schema_contained(self._services.contract.schema(mapping), self._at.registration.schema):
            raise NotReady("the mapping has properties that the registered schema lacks; run setup, which adds them")
        ledger = ledger or await self.ledger()
        reading = await self._read(chosen, ledger, full=work.full)
        hold_to_manifest(chosen, reading)
        report = with_reading(report, reading)
        self.word = await self._what_may_pass(chosen.marks)
        verdicts = [self._rejected_verdict(reading)]
        if chosen.fresh is not None:
            chosen, report = self._compare(chosen, reading, report, verdicts)
        verdicts += self._everyone_verdict(reading.population, ledger)
        changes = [*self._change_verdicts(chosen, reading, ledger)]
        try:
            if any(verdict.refuses for verdict in verdicts):
                # Another file than it should be: all is told of it that can be without asking Entra who its people are.
                verdicts += changes
                changes = []
                self._stop_if_tripped(verdicts)
            rules = self._rules(ledger, full=work.full)
            reading, matching, wanted, rules = await self._matched_with_all(chosen, reading, ledger, rules)
            if matching.contested:
                reading = await self._intake.set_aside(reading, chosen, matching)
                report = with_reading(report, reading)
                verdicts[0] = self._rejected_verdict(reading)
            report = with_matching(report, matching, wanted)
            verdicts += [self._match_verdict(reading.population, matching, wanted), *changes]
            # Who is deleted does not depend on what is rendered, but the reverse: they are nobody's manager any more.
            draft = make_plan(reading.population, ledger, matching, {}, {}, rules)
            verdicts.append(guards.rekeyed(draft, ledger))
            decide = self._about_deletions(draft, ledger, verdicts)
            gone = deleted(decide(draft))
            references = references_after(
                reading.population, ledger, matching.known, gone, sent={person.key for person in wanted}
            )
            report = with_warnings(report, {code: len(keys) for code, keys in references.warnings.items()})
            plan = await self._with_items(chosen, reading, ledger, matching, references, rules)
            verdicts.append(self._mapping_verdict(plan, ledger))
            self._stop_if_tripped(verdicts, guards.about(plan, ledger))
        except Refusal as refusal:
            self.word.take_back()
            refusal.report = replace(report, guards=tuple(map(asdict, verdicts)))
            raise
        plan = decide(plan)
        report = with_older(report, chosen.fresh, (*work.candidates, *self._at.arriving))
        report = with_approvals(report, self._at.head.approvals, used=self.word.used, now=self._now)
        report = replace(report, guards=tuple(map(asdict, verdicts)))
        pending = self.word.pending(actions=plan.held) if plan.held else None
        report = replace(report, plan=pending.digest if pending else None)
        settles = Settles(tuple(each.plan for each in self._at.head.approvals), self.word.deletes)
        chosen = _as_released(chosen, verdicts, mapping)
        return Planned(report, chosen, reading, ledger, plan, matching.known, references, settles, pending)

    async def _with_items(
        self,
        chosen: Input,
        reading: Reading,
        ledger: Ledger,
        matching: Matching,
        references: References,
        rules: Rules,
    ) -> Plan:
        """Return the plan, for which those are rendered of whom something has changed."""
        population = reading.population
        sources = sift(population, ledger, matching, references, rules)
        rendering = self._rendering(chosen, reading, matching.known, references)
        rendered = await offload(chosen.size, lambda: rendering.digests(sources, rules.ids))
        return make_plan(population, ledger, matching, sources, rendered, rules, problems=references.problems)

    async def again(
        self, report: Report, chosen: Input, plan: Plan, ledger: Ledger, *, settles: Settles, full: bool
    ) -> Planned:
        """Return a stored plan with what its items are made from: what was read and known when it was made.

        ``full``: it is about everybody, so nobody need be recognised.
        """
        reading = await self._read(chosen, ledger, full=full)
        upserts = [action.after.key for action in plan.actions if isinstance(action, Upsert)]
        reading = await self._awaken(reading, chosen, upserts)
        people = reading.population.without(contested_by(plan))
        known = known_by(plan, ledger)
        references = references_after(people, ledger, known, deleted(plan))
        return Planned(report, chosen, reading, ledger, plan, known, references, settles)

    async def with_people(self, planned: Planned, keys: Collection[str]) -> Planned:
        """Return the same with what the items of these people are made from, though nothing is done about them."""
        reading = await self._awaken(planned.reading, planned.chosen, keys)
        if reading is planned.reading:
            return planned
        population, known = reading.population, dict(planned.known)
        for key in population.people.keys() - known.keys():
            entry = planned.ledger.entries.get(key)
            if entry is not None and entry.user_id and entry.state != "unmatched":
                known[key] = Known(entry.user_id, entry.upn)
        references = references_after(population, planned.ledger, known, deleted(planned.plan))
        return replace(planned, reading=reading, known=known, references=references)

    async def _read(self, chosen: Input, ledger: Ledger, *, full: bool) -> Reading:
        """Return whom an input speaks of; of those nothing has changed about, unless all are wanted, their number."""
        remembered: Remembered | None = None
        # In a pilot hardly anybody is sent. Where ids are made of accounts, somebody's may become anybody else's.
        everybody = full or bool(self._settings.pilot) or self._services.contract.IDS_FOLLOW_ACCOUNTS
        if isinstance(ledger.entries, Packed) and not everybody:
            remembered = Remembered(ledger.entries, self._now - self._resolve_after)
        return await self._intake.read(chosen, ledger, self._sender(), remembered)

    async def _awaken(self, reading: Reading, chosen: Input, keys: Collection[str]) -> Reading:
        unaltered = reading.population.unaltered
        return await self._intake.awaken(reading, chosen, unaltered.find(keys)) if unaltered else reading

    def rendering(self, planned: Planned) -> Rendering:
        """Return what makes the items of a plan."""
        return self._rendering(planned.chosen, planned.reading, planned.known, planned.references)

    def _rendering(
        self, chosen: Input, reading: Reading, known: Mapping[str, Known], references: References
    ) -> Rendering:
        return Rendering(
            self._services.contract,
            self._settings.connection_id,
            self._at.mapping,
            chosen.files,
            chosen.today,
            reading.population,
            known,
            references,
            reading.kept,
        )

    async def ledger(self) -> Ledger:
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
        ledger = await self._services.state.ledger(empty.generation)
        return ledger if ledger.is_of_the_same(empty) else empty

    def _compare(
        self, chosen: Input, reading: Reading, report: Report, verdicts: list[Verdict]
    ) -> tuple[Input, Report]:
        """Hold a new export to the last applied one; return it with how it was read, and the report with the rest."""
        last = self._at.head.applied if chosen.complete else None
        hold_to_last(chosen, last, reading)
        if last is not None and last.members:
            verdicts.append(guards.one_of_a_set(len(last.files), alone=bool(chosen.says.files)))
        verdicts += _name_verdict(chosen, last)
        report = with_changes(report, last, reading)
        return as_read(chosen, reading), report

    def _about_deletions(self, draft: Plan, ledger: Ledger, verdicts: list[Verdict]) -> Callable[[Plan], Plan]:
        """Return what becomes of a plan's deletions: they are as they are, held, or released by an approval."""
        verdict = self._deletion_verdict(draft, ledger)
        decide = hold if verdict.tripped else _as_planned
        waiting = self.word.pending(actions=decide(draft).held)
        if self.word.lets_delete(waiting):
            verdict, decide = replace(verdict, released=verdict.tripped), release
        verdicts.append(verdict)
        return decide

    async def _what_may_pass(self, marks: Sequence[ExportMark]) -> Word:
        """Return what approvals let this run do with these exports."""
        mapping, approvals = self._at.mapping.digest, self._at.head.approvals
        counting = tuple(each for each in approvals if not each.has_expired(self._now))
        found = {each.plan: await self._services.state.pending(each.plan) for each in counting}
        return Word(
            marks[-1].digest,
            mapping,
            frozenset(name for mark in marks if mark.released_under == mapping for name in mark.released),
            counting,
            {plan: pending for plan, pending in found.items() if pending is not None},
        )

    def _rejected_verdict(self, reading: Reading) -> Verdict:
        return guards.rejected_rows(
            reading.rows, len(reading.rejections), max_percent=self._settings.max_reject_percent
        )

    def _match_verdict(self, population: Population, matching: Matching, wanted: Sequence[Person]) -> Verdict:
        matched = sum(person.key in matching.known for person in wanted)
        alone = population.left_alone  # they have their accounts
        return guards.match_rate(len(wanted) + alone, matched + alone, min_percent=self._settings.min_match_percent)

    def _everyone_verdict(self, population: Population, ledger: Ledger) -> Iterator[Verdict]:
        """Yield whether anybody stays, of a complete export.

        A ledger that was begun anew knows few of those whom Graph holds, and they may all have left.
        """
        lost = self._at.head.lost
        if population.complete and not (lost is not None and lost.items):
            yield guards.everyone(population, ledger)

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

    def _deletion_verdict(self, plan: Plan, ledger: Ledger) -> Verdict:
        limit = guards.DeletionLimit(
            self._settings.max_delete_percent, self._settings.max_delete_count, self._settings.min_delete_allowance
        )
        return guards.deletions(plan, ledger, self._at.head.deletions, limit, self._now)

    def _stop_if_tripped(self, verdicts: list[Verdict], about: Mapping[str, Collection[Action]] | None = None) -> None:
        """Refuse the export for all that guards found, unless somebody has approved just that."""
        refused = self.word.judge(verdicts, about)
        if refused is not None:
            refusing, pending = refused
            found = (f"{each.name}: found {each.found}; allowed: {each.limit}" for each in refusing)
            raise Refusal(refusing[0].code, ". ".join(found), pending)

    def _rules(self, ledger: Ledger, *, full: bool) -> Rules:
        return Rules(
            now=self._now,
            grace=self._settings.leaver_grace_exports,
            resolve_after=self._resolve_after,
            sender=self._sender(),
            in_pilot=in_pilot(self._settings.pilot),
            ids=ItemIds.of_ledger(
                ledger, self._services.item_id, following=self._services.contract.IDS_FOLLOW_ACCOUNTS
            ),
            full=full,
        )

    def _sender(self) -> bytes:
        """Return what, beside cells and accounts, items are made by."""
        return f"{self._at.mapping.digest}/{self._services.contract.NAME}/{self._services.contract.RENDERER}".encode()

    async def _matched_with_all(
        self, chosen: Input, reading: Reading, ledger: Ledger, rules: Rules
    ) -> tuple[Reading, Matching, list[Person], Rules]:
        """Find accounts (`_match`); whoever was left alone and has one that somebody else turns out to have is read."""
        matching, wanted, rules = await self._match(reading.population, ledger, rules)
        unaltered = reading.population.unaltered
        concerned = unaltered.with_users({account.id for account in matching.known.values()}) if unaltered else None
        if concerned:
            reading = await self._intake.awaken(reading, chosen, concerned)
            matching, wanted, rules = await self._match(reading.population, ledger, rules)
        return reading, matching, wanted, rules

    async def _match(
        self, population: Population, ledger: Ledger, rules: Rules
    ) -> tuple[Matching, list[Person], Rules]:
        """Find the accounts of everybody who is sent, and of those they refer to.

        Returns who is to be sent as well, and the rules: a pilot of UPNs may need Entra to say who is in it.
        """
        people = population.people
        here = [person for person in people.values() if not (person.leaver or person.outside)]
        waiting = {person.key: person for person in here if pilot_waits(self._settings.pilot, person)}
        await self._look_up(waiting.values(), ledger, rules)
        known = self._matched(waiting.values(), ledger, rules).known
        rules = replace(rules, in_pilot=in_pilot(self._settings.pilot, known))
        wanted = {person.key: person for person in here if rules.in_pilot(person)}
        keys = {reference for person in wanted.values() for reference in person.references}.difference(wanted, waiting)
        others = {key: people[key] for key in people if key in keys and not people[key].leaver}
        everybody = {**waiting, **wanted, **others}
        await self._look_up([person for key, person in everybody.items() if key not in waiting], ledger, rules)
        matching = self._matched(everybody.values(), ledger, rules)
        matching = contest(matching, people, ledger.entries, elsewhere(population, ledger))
        return matching, [person for key, person in wanted.items() if key not in matching.contested], rules

    def _matched(self, people: Iterable[Person], ledger: Ledger, rules: Rules) -> Matching:
        return match_people(people, ledger.entries, self._found, self._asked, now=rules.now)

    async def _look_up(self, people: Iterable[Person], ledger: Ledger, rules: Rules) -> None:
        """Ask Entra for those of these people who are due, unless this run has asked for them before."""
        due = lookups(people, ledger.entries, now=rules.now, resolve_after=rules.resolve_after, everyone=rules.full).due
        new = [ask for ask in due if ask not in self._asked]
        if new:
            self._found |= await (await self._services.graph(self._at)).users.find(new)
            self._asked |= dict.fromkeys(new)


def _name_verdict(chosen: Input, last: ExportMark | None) -> Iterator[Verdict]:
    if last is not None:
        names = [file.name for file in chosen.files]
        yield guards.same_name(names, [file.name for file in last.files], vouched=len(chosen.says.files) == 1)


def _as_planned(plan: Plan) -> Plan:
    return plan


def _as_released(chosen: Input, verdicts: Iterable[Verdict], mapping: ColumnMapping) -> Input:
    """Return the input whose newest mark tells which guards were released for it: it will be gone through again."""
    released = tuple(verdict.name for verdict in verdicts if verdict.code and verdict.released)
    if not released:
        return chosen
    mark = replace(chosen.marks[-1], released=released, released_under=mapping.digest)
    return replace(chosen, marks=(*chosen.marks[:-1], mark), fresh=chosen.fresh and mark)
