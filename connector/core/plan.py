"""What a run will do: people and the ledger in, actions out. Nothing has happened yet.

The planning has two steps, because rendering an item costs more than knowing that nothing changed: `sift` finds the
people whose sources changed, the caller renders those, and `make_plan` compares what would be sent with what Graph
last accepted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from connector.core.accounts import (
    LEFT,
    UNMATCHED_AGAIN_SECONDS,
    account_key,
    asked_beside,
    asked_by,
    identify,
    is_referred,
)
from connector.core.ledger import Entry, Ledger, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from connector.core.accounts import Known, Matching, References
    from connector.core.mapping import Person
    from connector.core.unaltered import Unaltered

DAY: Final = 24 * 3600

IN_DOUBT: Final = "in_doubt"
"""The outcome of a write that Graph failed to answer for good: it may have taken effect, or not."""

TRANSFER_WAITS: Final = "transfer_waits"
"""The outcome of a deletion that was not tried: the account's new item could not be put, so the old one stays."""

Reason = Literal["left", "absent", "transferred", "renamed"]
"""transferred: the account has an item under another person's key. renamed: under another item id of the same person.
Neither takes anything away from anybody."""


@dataclass(frozen=True, slots=True)
class Upsert:
    """Put a person's item. ``after`` is the entry once Graph accepted it; ``file`` and ``row`` lead to the cells.

    ``moved`` is the id of the item that the person has had, where it is another than the new one. ``over`` are the keys
    of others whose item has stood where this one will.
    """

    after: Entry
    row: int
    file: int
    created: bool
    moved: str = ""
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a person's item. ``entry`` is what stays in the ledger until Graph has confirmed it."""

    entry: Entry
    reason: Reason


Action = Upsert | Delete

_NO_PROBLEMS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody the export speaks of: accepted people by key, in the file's order, and whom the rejected rows concern.

    ``unaltered`` are those about whom nothing need be decided (None: nobody is); they are not among ``people``.

    ``files`` tells in which file a key's row stands (0 when there is one). ``complete``: whoever is not in it is
    absent. ``unreadable`` rows may be anybody's: with one of them, absence proves nothing (design §3.15).
    ``contested`` are people whose rows turned out to be wrong when Entra had answered: they are among the rejected.
    """

    people: Mapping[str, Person]
    rejected: frozenset[str] = frozenset()
    unreadable: int = 0
    complete: bool = True
    new: bool = True
    files: Mapping[str, int] = field(default_factory=dict)
    contested: Mapping[str, Person] = field(default_factory=dict)
    unaltered: Unaltered | None = None

    def without(self, keys: Collection[str]) -> Population:
        """Return the population in which these people are contested."""
        contested = {key: self.people[key] for key in keys if key in self.people}
        if not contested:
            return self
        return replace(
            self,
            people={key: person for key, person in self.people.items() if key not in contested},
            rejected=self.rejected | contested.keys(),
            contested=contested,
        )

    @property
    def in_scope(self) -> int:
        """How many people it is about, leavers included: not those who are out of scope, or merely referred to."""
        return sum(not person.outside for person in self.people.values()) + self.left_alone

    @property
    def left_alone(self) -> int:
        """How many people it is about of whom nothing need be decided."""
        return self.unaltered.rows if self.unaltered else 0

    def attended(self, ledger: Ledger) -> Iterable[Entry]:
        """Return the entries of everybody about whom something need be decided."""
        return self.unaltered.attended() if self.unaltered else ledger.entries.values()

    @property
    def out_of_scope(self) -> int:
        """How many people the mapping leaves out."""
        return sum(person.outside and not is_referred(person.key) for person in self.people.values())


@dataclass(frozen=True, slots=True)
class ItemIds:
    """Which item is whose. ``made`` makes an id of key and UPN; ``following``: it changes with the UPN.

    An id that Graph has, or may have, keeps the spelling it was put under, whoever has it next: whether Graph tells
    upper and lower case apart in an item id is not documented, and so it need not matter.
    """

    made: Callable[[str, str], str]
    following: bool
    entries: Mapping[str, Entry]
    _spelt: Mapping[str, str]

    @classmethod
    def of_ledger(cls, ledger: Ledger, made: Callable[[str, str], str], *, following: bool) -> ItemIds:
        """Return the ids of those the ledger knows, and of whoever joins them."""
        held = (entry.item_id for entry in ledger.entries.values() if entry.held) if following else ()
        return cls(made, following, ledger.entries, {item_id.casefold(): item_id for item_id in held})

    def of(self, key: str, upn: str) -> str:
        """Return the id of a person's item."""
        entry = self.entries.get(key)
        if entry is not None and not self.following:
            return entry.item_id
        made = self.made(key, upn)
        return self._spelt.get(made.casefold(), made)


@dataclass(frozen=True, slots=True)
class Rules:
    """The run's circumstances. ``now`` in unix seconds; ``sender`` digests the mapping and the contract's renderer."""

    now: int
    grace: int
    resolve_after: int
    sender: bytes
    in_pilot: Callable[[Person], bool]
    ids: ItemIds
    full: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. ``changes`` and ``forgotten`` go into the ledger whatever happens to the actions.

    ``held`` are deletions that wait for a human, ``missing`` the keys of those in grace. The counts are people;
    ``outside`` are in scope but not in the pilot.
    """

    actions: tuple[Action, ...]
    changes: tuple[Entry, ...]
    forgotten: tuple[str, ...] = ()
    held: tuple[Delete, ...] = ()
    people: int = 0
    unchanged: int = 0
    unmatched: int = 0
    grace: int = 0
    missing: tuple[str, ...] = ()
    outside: int = 0
    leavers: int = 0
    out_of_scope: int = 0

    @property
    def deletes(self) -> int:
        """How many people's items are deleted; the former item of somebody who was renamed is none of them."""
        return sum(isinstance(action, Delete) and action.reason != "renamed" for action in self.actions)

    @property
    def transferred(self) -> int:
        """How many of the deletions are accounts that live on under another key."""
        return sum(isinstance(action, Delete) and action.reason == "transferred" for action in self.actions)


def in_pilot(pilot: Collection[str], known: Mapping[str, Known] | None = None) -> Callable[[Person], bool]:
    """Return the test for PILOT: listed UPNs, or a share of everybody that is stable by key.

    Whoever is matched by another attribute than the UPN is in it by the UPN that Entra gave (``known``, by key).
    """
    if not pilot:
        return lambda _: True
    if share := _share(pilot):
        limit = float(share) / 100 * 2**32
        return lambda person: int.from_bytes(hashlib.sha256(person.key.encode()).digest()[:4], "big") < limit
    upns = {account_key(upn) for upn in pilot}
    accounts = known or {}

    def is_listed(person: Person) -> bool:
        if not pilot_waits(pilot, person):
            return account_key(person.account) in upns
        return person.key in accounts and account_key(accounts[person.key].upn) in upns

    return is_listed


def pilot_waits(pilot: Collection[str], person: Person) -> bool:
    """Tell whether only Entra can say if somebody is in the pilot: it lists UPNs, and HR's export does not."""
    return bool(pilot) and not _share(pilot) and asked_by(person.account)[0] != "userPrincipalName"


def _share(pilot: Collection[str]) -> str:
    first = next(iter(pilot))
    return first[:-1] if first.endswith("%") else ""


def source_digest(person: Person, account: Known, references: Iterable[Known | None], rules: Rules) -> bytes:
    """Digest everything a person's item is made from (design §3.6): equal means nothing to render.

    It begins with the row's own digest, by which somebody is recognised without more (`connector.core.unaltered`).
    """
    digest = hashlib.blake2b(rules.sender, digest_size=8)
    for known in (account, *references):
        digest.update(f"\x1f{known.id}\x1f{known.upn}".encode() if known else b"\x1e")
    return person.cells + digest.digest()


def sift(
    population: Population, ledger: Ledger, matching: Matching, references: References, rules: Rules
) -> dict[str, bytes]:
    """Return the people whose item must be rendered, with their source digest: whoever is not as last accepted."""
    changed: dict[str, bytes] = {}
    for person in population.people.values():
        account = matching.known.get(person.key)
        if person.leaver or person.outside or account is None or not rules.in_pilot(person):
            continue
        digest = source_digest(person, account, references.of[person.key], rules)
        entry = ledger.entries.get(person.key)
        if rules.full or entry is None or entry.state != "sent" or not entry.held or entry.source != digest:
            changed[person.key] = digest
    return changed


def make_plan(
    population: Population,
    ledger: Ledger,
    matching: Matching,
    sources: Mapping[str, bytes],
    rendered: Mapping[str, bytes],
    rules: Rules,
    *,
    problems: Mapping[str, str] = _NO_PROBLEMS,
) -> Plan:
    """Compare what HR says with what Graph holds.

    ``sources`` is `sift`'s answer, ``rendered`` the digest of each of those people's item, ``problems`` what is wrong
    with people's references, by key (`References.problems`): it is said of them every night.
    """
    tally = _Tally()
    taken = {
        matching.known[key].id
        for key, person in population.people.items()
        # Whoever is not sent has no new item in the old one's place.
        if key in matching.known and not person.outside and rules.in_pilot(person)
    }
    left = identify(population.people, ledger.entries, matching.known).left
    for person in population.people.values():
        entry = ledger.entries.get(person.key)
        if person.leaver:
            _leaver(tally, entry, rules)
        elif person.outside:
            _out_of_scope(tally, population, person, entry, matching, taken, left, rules)
        elif not rules.in_pilot(person):
            _outside(tally, person, entry, matching, taken, rules)
        elif person.key not in matching.known:
            tally.unmatched += 1
            _unmatched(tally, person, entry, matching, taken, rules)
        elif person.key in sources:
            after = _sent(person, entry, matching, sources[person.key], rendered[person.key], rules)
            after = replace(after, code=problems.get(person.key, ""))
            _changed(tally, population, person, entry, after, rules)
        else:
            _unchanged(tally, person, entry, matching, problems.get(person.key, ""))
    for person in population.contested.values():
        _unmatched(tally, person, ledger.entries.get(person.key), matching, taken, rules)
    _not_there(tally, population, ledger, taken, rules)
    if rules.ids.following:
        _clear_up(tally, ledger, rules)
    return Plan(
        actions=(*tally.upserts, *tally.deletes),
        changes=tuple(tally.changes),
        forgotten=tuple(tally.forgotten),
        held=tuple(tally.unproven),
        people=population.in_scope,
        unchanged=tally.unchanged + population.left_alone,
        unmatched=tally.unmatched,
        grace=len(tally.missing),
        missing=tuple(tally.missing),
        outside=tally.outside,
        leavers=tally.leavers,
        out_of_scope=population.out_of_scope,
    )


@dataclass(slots=True)
class _Tally:
    upserts: list[Upsert] = field(default_factory=list)
    deletes: list[Delete] = field(default_factory=list)
    unproven: list[Delete] = field(default_factory=list)
    changes: list[Entry] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    unchanged: int = 0
    unmatched: int = 0
    missing: list[str] = field(default_factory=list)
    outside: int = 0
    leavers: int = 0

    def change(self, before: Entry | None, after: Entry) -> None:
        if before != after:
            self.changes.append(after)


def _leaver(tally: _Tally, entry: Entry | None, rules: Rules) -> None:
    tally.leavers += 1
    if entry is None:
        return
    if entry.held:
        tally.deletes.append(_deletion(entry, "left", rules))
    else:
        tally.forgotten.append(entry.key)


def _outside(
    tally: _Tally, person: Person, entry: Entry | None, matching: Matching, taken: Collection[str], rules: Rules
) -> None:
    """Whoever is not in the pilot is not sent, and not deleted either: narrowing PILOT takes nobody's profile away."""
    tally.outside += 1
    known = matching.known.get(person.key)
    if known is not None:  # somebody refers to them, so their account was looked up
        before = entry or Entry(person.key, rules.ids.of(person.key, known.upn), known.upn)
        after = _found(before, person, matching)
    elif person.key in matching.unmatched:
        after = _without_account(person, entry, matching, rules)
    elif entry is not None:
        after = entry
    else:
        return
    _stays(tally, entry, replace(after, absent=0, fields=person.fields), taken, rules, known=known is not None)


def _stays(
    tally: _Tally, before: Entry | None, after: Entry, taken: Collection[str], rules: Rules, *, known: bool
) -> None:
    """Leave somebody's item as it is, unless its Entra user is another person's now: it is on that one's card.

    Who is ``known`` stays so without an item, because others refer to them.
    """
    if before is not None and before.held and before.user_id in taken:
        tally.deletes.append(_deletion(after, "transferred", rules, stays=known))
    else:
        tally.change(before, _rested(after, rules))


def _found(before: Entry, person: Person, matching: Matching) -> Entry:
    """Return the entry of somebody who is not sent, but looked up for the sake of others, with the account."""
    known = matching.known[person.key]
    if before.state == "unmatched":
        before = replace(before, state="outside", code="")
    return replace(
        before,
        upn=known.upn,
        user_id=known.id,
        asked=asked_beside(known.upn, person),
        resolved=matching.resolved[person.key],
    )


def _out_of_scope(
    tally: _Tally,
    population: Population,
    person: Person,
    entry: Entry | None,
    matching: Matching,
    taken: Collection[str],
    left: Collection[str],
    rules: Rules,
) -> None:
    """Whoever is known, but out of scope, is as good as absent; who is referred to stays known, and nothing more."""
    known = matching.known.get(person.key)
    after = entry
    if known is not None:
        item_id = "" if is_referred(person.key) else rules.ids.of(person.key, known.upn)
        after = _found(entry or Entry(person.key, item_id, known.upn), person, matching)
        if after.state == "outside":
            after = replace(after, code=LEFT if person.key in left else "")
    elif person.key in matching.unmatched:
        after = replace(_without_account(person, entry, matching, rules), absent=entry.absent if entry else 0)
    if after is None:
        return
    if after.held and (population.complete or _moved_on(after, taken)):
        _missing(tally, population, entry, after, taken, rules, stays=known is not None)
    elif after.held or not population.complete or population.unreadable:
        tally.change(entry, _rested(after, rules))
    elif known is not None or person.key in matching.unmatched:
        tally.change(entry, _rested(replace(after, absent=0), rules))
    else:
        tally.forgotten.append(person.key)


def _unmatched(
    tally: _Tally, person: Person, entry: Entry | None, matching: Matching, taken: Collection[str], rules: Rules
) -> None:
    """Nothing is sent for somebody without account; what was sent before stays, and so does the last known account."""
    _stays(tally, entry, _without_account(person, entry, matching, rules), taken, rules, known=False)


def _without_account(person: Person, entry: Entry | None, matching: Matching, rules: Rules) -> Entry:
    asked_upn = person.account if asked_by(person.account)[0] == "userPrincipalName" else ""
    item_id = "" if is_referred(person.key) else rules.ids.of(person.key, asked_upn)
    before = entry or Entry(person.key, item_id, asked_upn)
    upn = before.upn if before.user_id else asked_upn
    why = matching.contested.get(person.key) or matching.unmatched.get(person.key, "no_account")
    return replace(
        before,
        upn=upn,
        asked=asked_beside(upn, person),
        state="unmatched",
        source=b"",
        absent=0,
        resolved=matching.resolved.get(person.key, rules.now),
        references=person.references,
        code=why,
        fields=person.fields or before.fields,
    )


def _sent(person: Person, entry: Entry | None, matching: Matching, source: bytes, item: bytes, rules: Rules) -> Entry:
    """Return the entry of somebody whose item Graph has accepted."""
    known = matching.known[person.key]
    return Entry(
        key=person.key,
        item_id=rules.ids.of(person.key, known.upn),
        upn=known.upn,
        user_id=known.id,
        source=source,
        item=item,
        references=person.references,
        state="sent",
        held=True,
        resolved=matching.resolved[person.key],
        sent=entry.sent if entry else 0,
        asked=asked_beside(known.upn, person),
        fields=person.fields,
    )


def _changed(
    tally: _Tally, population: Population, person: Person, entry: Entry | None, after: Entry, rules: Rules
) -> None:
    moved = entry.item_id if entry and entry.held and entry.item_id != after.item_id else ""
    if entry and entry.held and entry.state == "sent" and entry.item == after.item and not moved and not rules.full:
        tally.unchanged += 1
        tally.change(entry, after)
    else:
        created = entry is None or not entry.held
        tally.upserts.append(Upsert(after, person.row, population.files.get(person.key, 0), created, moved))


def _unchanged(tally: _Tally, person: Person, entry: Entry | None, matching: Matching, problem: str) -> None:
    tally.unchanged += 1
    known, resolved = matching.known[person.key], matching.resolved[person.key]
    asked = asked_beside(known.upn, person)
    if entry is None:
        return
    told = (entry.resolved, entry.upn, entry.asked, entry.fields, entry.code)
    if entry.absent or told != (resolved, known.upn, asked, person.fields, problem):
        after = replace(entry, upn=known.upn, user_id=known.id, asked=asked, absent=0, resolved=resolved)
        tally.change(entry, replace(after, fields=person.fields, code=problem))


def _not_there(tally: _Tally, population: Population, ledger: Ledger, taken: Collection[str], rules: Rules) -> None:
    """Deal with those the ledger knows and the export does not accept: rejected rows, and the absent."""
    for entry in population.attended(ledger):
        key = entry.key
        if key in population.people or key in population.contested:
            continue
        if entry.is_former:
            tally.deletes.append(Delete(entry, "renamed"))
        elif key in population.rejected:
            tally.change(entry, _rested(replace(entry, absent=0), rules))
        elif not population.complete and not _moved_on(entry, taken):
            tally.change(entry, _rested(entry, rules))
        elif entry.held:
            _missing(tally, population, entry, entry, taken, rules)
        elif population.unreadable:
            tally.change(entry, _rested(entry, rules))
        else:
            tally.forgotten.append(key)


def _moved_on(entry: Entry, taken: Collection[str]) -> bool:
    """Tell whether somebody who was missing from the last complete export has turned up under another key."""
    return entry.held and bool(entry.absent) and entry.user_id in taken


def _missing(
    tally: _Tally,
    population: Population,
    before: Entry | None,
    entry: Entry,
    taken: Collection[str],
    rules: Rules,
    *,
    stays: bool = False,
) -> None:
    """Deal with somebody of whom Graph has an item, and the exports nothing to send (design §3.15).

    ``before`` is the ledger's entry, ``entry`` the same with what is new about the account. Who ``stays`` is known
    when the item is gone, because others refer to them.
    """
    if entry.user_id in taken:
        tally.deletes.append(_deletion(entry, "transferred", rules, stays=stays))
    elif population.unreadable:
        _without_proof(tally, before, entry, rules, stays=stays)
    else:
        _absent(tally, before, entry, population, rules, stays=stays)


def _deletion(entry: Entry, reason: Reason, rules: Rules, *, stays: bool = False) -> Delete:
    """Return a deletion; its entry's state says what becomes of it: "outside" stays in the ledger without an item."""
    if stays or entry.state == "outside":
        entry = replace(entry, state="outside" if stays else "sent")
    return Delete(_rested(entry, rules), reason)


def _clear_up(tally: _Tally, ledger: Ledger, rules: Rules) -> None:
    """Let those who are renamed leave no item behind, and nobody lose one that was somebody else's before.

    An id that is made of the account may pass from one person to another: who has it now put the item that is there,
    so that the other's entry is forgotten instead. Who is to get it now may yet fail; `connector.apply` looks then.
    """
    holders: dict[str, list[str]] = {}
    for entry in ledger.entries.values():
        if entry.held:
            holders.setdefault(entry.item_id.casefold(), []).append(entry.key)
    tally.upserts = [_over(upsert, holders) for upsert in tally.upserts]
    leaving = {delete.entry.key for delete in tally.deletes}
    stay = {item_id: set(keys) - leaving for item_id, keys in holders.items()}
    moving = {upsert.moved.casefold(): upsert for upsert in tally.upserts if upsert.moved}
    moving = {item_id: upsert for item_id, upsert in moving.items() if stay[item_id] == {upsert.after.key}}
    sent = {upsert.after.key: upsert.after for upsert in tally.upserts}
    deletes, tally.deletes = tally.deletes, []
    for delete in deletes:
        item_id = delete.entry.item_id.casefold()
        if delete.entry.is_former and item_id in moving:
            continue  # who had the id last leaves it now: see below
        if stay[item_id]:
            tally.forgotten.append(delete.entry.key)
        elif delete.entry.is_former:
            _former(tally, delete.entry, sent, ledger, rules)
        else:
            tally.deletes.append(delete)
    tally.deletes += (Delete(upsert.after.former(upsert.moved), "renamed") for upsert in moving.values())


def _over(upsert: Upsert, holders: Mapping[str, Sequence[str]]) -> Upsert:
    keys = holders.get(upsert.after.item_id.casefold(), ())
    over = tuple(key for key in keys if key != upsert.after.key)
    return replace(upsert, over=over) if over else upsert


def _former(tally: _Tally, entry: Entry, sent: Mapping[str, Entry], ledger: Ledger, rules: Rules) -> None:
    """Delete a former item, unless its person may have no other one: the last was refused, overwritten or in doubt."""
    person, after = ledger.entries.get(entry.former_of), sent.get(entry.former_of)
    if after is not None:
        tally.deletes.append(Delete(replace(entry, user_id=after.user_id), "renamed"))  # it may be another account now
    elif person is not None and not (person.held and person.item):
        tally.changes.append(replace(entry, state="failed", retry_at=rules.now + DAY))
    else:
        tally.deletes.append(Delete(entry, "renamed"))


def _absent(
    tally: _Tally, before: Entry | None, entry: Entry, population: Population, rules: Rules, *, stays: bool
) -> None:
    """Absence acts after the grace; only a further export counts as a further absence (design §3.15)."""
    after = replace(entry, absent=entry.absent + 1) if population.new else entry
    if after.absent > rules.grace:
        tally.deletes.append(_deletion(after, "absent", rules, stays=stays))
    else:
        tally.missing.append(entry.key)
        tally.change(before, _rested(after, rules))


def _without_proof(tally: _Tally, before: Entry | None, entry: Entry, rules: Rules, *, stays: bool) -> None:
    """An unreadable row may be this person's: nobody is deleted for being absent, nor a step nearer to it."""
    if entry.absent > rules.grace:
        tally.unproven.append(_deletion(entry, "absent", rules, stays=stays))
    elif entry.absent:
        tally.missing.append(entry.key)
    tally.change(before, _rested(entry, rules))


def _rested(entry: Entry, rules: Rules) -> Entry:
    """Return an entry that this run could do nothing about, with what is overdue put off by a day.

    Otherwise it would be due again at every tick, for as long as the row stays as it is, or its deletion is held.
    Everyone is sent again where nobody knows what Graph has: whoever is not sent now is sent when they are back.
    """
    if rules.full and entry.state == "sent":
        entry = replace(entry, source=b"", item=b"")
    if entry.state in {"failed", "doubt"} and entry.retry_at <= rules.now:
        entry = replace(entry, retry_at=rules.now + DAY)
    patience = UNMATCHED_AGAIN_SECONDS if entry.state == "unmatched" else rules.resolve_after
    if entry.resolved + patience <= rules.now and not entry.absent:
        entry = replace(entry, resolved=rules.now)
    return entry


def hold(plan: Plan) -> Plan:
    """Return the plan with every deletion held: upserts go on, nobody is deleted (design §3.16).

    The absences stay counted, so that the deletions are due as soon as they are released. Whoever was renamed has a new
    item, and the former one goes.
    """
    deletes = [action for action in plan.actions if isinstance(action, Delete) and action.reason != "renamed"]
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if isinstance(action, Upsert) or action.reason == "renamed"),
        changes=(*plan.changes, *(delete.entry for delete in deletes)),
        held=(*plan.held, *deletes),
    )


def release(plan: Plan) -> Plan:
    """Return the plan with everything that would be held among its actions: somebody has approved it."""
    return replace(plan, actions=(*plan.actions, *plan.held), held=())


# --- what became of it ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """What the journal says of a plan's actions, by their index: announced, and the outcomes heard ("": accepted)."""

    announced: frozenset[int] = frozenset()
    outcomes: Mapping[int, str] = field(default_factory=dict)

    def remaining(self, plan: Plan) -> Iterator[int]:
        """Yield the indices that are still to be done, those in doubt included."""
        return (index for index in range(len(plan.actions)) if index not in self.outcomes)

    def is_complete(self, plan: Plan) -> bool:
        """Tell whether every action has its outcome."""
        return next(self.remaining(plan), None) is None


def fold(ledger: Ledger, plan: Plan, progress: Progress, *, now: int, whole: bool) -> Ledger:
    """Return the next generation of the ledger: each action as far as it got; of a ``whole`` run, the plan's changes.

    A run that stopped early leaves its export to be planned again, so what the plan would have changed besides the
    actions (an absence counted, say) is dropped: it will be counted then, once.
    """
    changes: list[Entry] = list(plan.changes) if whole else []
    gone: list[str] = list(plan.forgotten) if whole else []
    for index, action in enumerate(plan.actions):
        outcome = progress.outcomes.get(index)
        if outcome is None and index not in progress.announced:
            continue
        match action:
            case Upsert():
                changes += _put(action, ledger.entries.get(action.after.key), outcome, now=now)
            case Delete(entry=entry) if outcome == "" and entry.state == "outside":
                changes.append(replace(entry, held=False, source=b"", item=b"", absent=0))
            case Delete(entry=entry) if outcome == "":
                gone.append(entry.key)
            case Delete(entry=entry, reason="renamed") if outcome == TRANSFER_WAITS and entry.key not in ledger.entries:
                pass  # the new item may not be there; if it is, the entry of the old one came with it above
            case Delete(entry=entry):
                base = entry if whole else ledger.entries.get(entry.key, entry)
                changes.append(_unsettled(base, outcome, now=now))
    return _without_overwritten(settle(ledger, changes, gone), plan, progress)


def _without_overwritten(ledger: Ledger, plan: Plan, progress: Progress) -> Ledger:
    """Return the ledger in which nobody holds an item in whose place another person's has been put."""
    entries: dict[str, Entry] = {}
    for index, action in enumerate(plan.actions):
        outcome = progress.outcomes.get(index, IN_DOUBT if index in progress.announced else None)
        if not isinstance(action, Upsert) or outcome not in {"", IN_DOUBT}:
            continue
        for entry in filter(None, map(ledger.entries.get, action.over)):
            if entry.item_id.casefold() == action.after.item_id.casefold():
                entries[entry.key] = replace(entry, source=b"", item=b"", held=entry.held and outcome == IN_DOUBT)
    if not entries:
        return ledger
    entries = {**ledger.entries, **entries}  # a former item is nothing but an item
    return replace(ledger, entries={key: each for key, each in entries.items() if each.held or not each.is_former})


def _put(upsert: Upsert, before: Entry | None, outcome: str | None, *, now: int) -> list[Entry]:
    """Return what a PUT leaves: the person's entry, and that of the item they had before, if it has another id."""
    after, moved = upsert.after, upsert.moved
    former = [after.former(moved)] if moved else []
    if outcome == "":
        return [replace(after, sent=now), *former]
    base = replace(after, held=before.held, failures=before.failures) if before else replace(after, held=False)
    if outcome is None or outcome == IN_DOUBT:
        return [base.in_doubt(now=now), *former]
    # It was refused for good: what Graph has is the item of before.
    return [(replace(base, item_id=moved) if moved else base).failed(outcome, now=now)]


def _unsettled(entry: Entry, outcome: str | None, *, now: int) -> Entry:
    if outcome is None or outcome == IN_DOUBT:
        return entry.in_doubt(now=now)
    return entry.failed(outcome, now=now)


def deleted(plan: Plan) -> frozenset[str]:
    """Return whom the ledger does not know any more when a plan's items are deleted."""
    return frozenset(entry.key for entry in deleted_entries(plan) if entry.state != "outside")


def deleted_entries(plan: Plan) -> Iterator[Entry]:
    """Yield the entries of the items that a plan deletes."""
    return (action.entry for action in plan.actions if isinstance(action, Delete))
