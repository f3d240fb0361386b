"""One night's planning without storage or Graph: people in, plan out, and what Graph would hold afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from connector.core.accounts import (
    Account,
    Found,
    Known,
    Matching,
    References,
    account_key,
    asked_by,
    contest,
    identify,
    lookups,
    match_people,
)
from connector.core.accounts import resolve_references as resolve
from connector.core.plan import (
    Delete,
    ItemIds,
    Plan,
    Population,
    Progress,
    Rules,
    Upsert,
    fold,
    in_pilot,
    make_plan,
    sift,
)
from tests.core.people import DAY, NOW, a_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from connector.core.ledger import Ledger
    from connector.core.mapping import Person


def everything(person: Person, account: Known, references: Sequence[Known | None]) -> bytes:
    """Return the digest of an item that shows all of a person's sources."""
    return hashlib.blake2b(repr((person.cells, account, references)).encode(), digest_size=16).digest()


@dataclass(frozen=True)
class Night:
    """What was planned, what had to be rendered for it, and what the ledger is when all of it went well."""

    plan: Plan
    ledger: Ledger
    rendered: frozenset[str]
    asked: tuple[str, ...]
    matching: Matching
    references: References
    now: int

    @property
    def upserts(self) -> dict[str, bool]:
        """Return who is sent, and whether that creates their item."""
        return {action.after.key: action.created for action in self.plan.actions if isinstance(action, Upsert)}

    @property
    def deletes(self) -> dict[str, str]:
        """Return whose item is deleted, and why."""
        return {action.entry.key: action.reason for action in self.plan.actions if isinstance(action, Delete)}

    def folded(self, outcomes: Mapping[int, str], announced: Collection[int] = (), *, whole: bool = True) -> Ledger:
        """Return the ledger when the plan came to this."""
        progress = Progress(frozenset(announced) | frozenset(outcomes), outcomes)
        return fold(self.ledger, self.plan, progress, now=self.now, whole=whole)

    @property
    def after(self) -> Ledger:
        """Return the ledger when Graph accepted everything."""
        return self.folded(dict.fromkeys(range(len(self.plan.actions)), ""))


def a_night(  # noqa: PLR0913 - a night has many circumstances; a test names its own
    *people: Person,
    ledger: Ledger | None = None,
    missing: Collection[str] = (),
    accounts: Mapping[str, Account] | None = None,
    ambiguous: Collection[str] = (),
    rejected: Collection[str] = (),
    unreadable: int = 0,
    complete: bool = True,
    new: bool = True,
    now: int = NOW,
    grace: int = 1,
    pilot: Sequence[str] = (),
    full: bool = False,
    sender: bytes = b"mapping and renderer",
    following: bool = False,
    render: Callable[[Person, Known, Sequence[Known | None]], bytes] = everything,
) -> Night:
    """Plan one night.

    Entra has every account that is asked for, with an id made from the UPN, but for those in ``missing``;
    ``accounts`` says otherwise for some, and several users answer what is ``ambiguous``. ``following``: item ids are
    UPNs, as under the contract preview.
    """
    before = ledger or a_ledger()
    population = Population({person.key: person for person in people}, frozenset(rejected), unreadable, complete, new)
    rules = Rules(
        now=now,
        grace=grace,
        resolve_after=7 * DAY,
        sender=sender,
        in_pilot=in_pilot(pilot),
        ids=ItemIds.of_ledger(
            before, (lambda _, upn: upn) if following else (lambda key, _: f"u{key}"), following=following
        ),
        full=full,
    )
    here = [person for person in people if not (person.leaver or person.outside)]
    wanted = [person for person in here if rules.in_pilot(person)]
    referred = {reference for person in wanted for reference in person.references}
    others = [person for person in people if person.key in referred and not person.leaver and person not in wanted]
    asked = lookups((*wanted, *others), before.entries, now=now, resolve_after=7 * DAY, everyone=full).due
    found = {account_key(each): an_answer(each) for each in asked}
    found = {key: account for key, account in found.items() if key not in missing}
    found |= {key: account for key, account in (accounts or {}).items() if key in map(account_key, asked)}
    answers = Found(found, frozenset(ambiguous))
    matching = match_people((*wanted, *others), before.entries, answers, asked, now=now)
    matching = contest(matching, population.people, before.entries, ())
    population = population.without(matching.contested.keys())
    references = resolve(
        population.people,
        before.entries,
        matching.known,
        others=population.rejected,
        identified=identify(population.people, before.entries, matching.known),
        sent={person.key for person in wanted},
    )
    sources = sift(population, before, matching, references, rules)
    rendered = {key: render(population.people[key], matching.known[key], references.of[key]) for key in sources}
    plan = make_plan(population, before, matching, sources, rendered, rules)
    return Night(plan, before, frozenset(rendered), asked, matching, references, now)


def an_answer(ask: str) -> Account:
    """Return the Entra user who answers an ask: one whose UPN, where something else was asked for, ends like this."""
    match, text = asked_by(ask)
    upn = text if match == "userPrincipalName" else f"{text.partition('@')[0].casefold()}@entra.example"
    return Account(id=f"id-{account_key(upn)}", upn=upn, mail=upn)


@dataclass
class Tenant:
    """What Graph holds: item id → digest of the item."""

    items: dict[str, bytes] = field(default_factory=dict)

    def take(self, night: Night, indices: Collection[int] | None = None) -> None:
        """Carry out these actions of a plan, or all of them; an id that was put just now is not deleted."""
        put = set()
        for index, action in enumerate(night.plan.actions):
            if indices is not None and index not in indices:
                continue
            if isinstance(action, Upsert):
                self.items[action.after.item_id] = action.after.item
                put.add(action.after.item_id.casefold())
            elif action.entry.item_id.casefold() not in put:
                self.items.pop(action.entry.item_id, None)


def changed(ledger: Ledger, key: str, **values: Any) -> Ledger:
    """Return the ledger with one person's entry changed."""
    return replace(ledger, entries={**ledger.entries, key: replace(ledger.entries[key], **values)})
