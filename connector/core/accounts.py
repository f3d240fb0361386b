"""People and their Entra users: who must be looked up, who refers to whom, who is left without an account."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from connector.core.ledger import Entry
    from connector.core.mapping import Person

Match = Literal["userPrincipalName", "mail", "employeeId", "id"]
"""The attributes of an Entra user by which a row can find it."""

UNMATCHED_AGAIN_SECONDS = 24 * 3600
"""How long someone without an account is left alone before Entra is asked again (design §3.8)."""

REFERRED: Final = "\x1e"
"""Begins the key of somebody whom others name by an account instead of a key. In a key of HR's it counts as blank."""

AMBIGUOUS: Final = "bad_account"
"""Why a row is rejected whose ask several Entra users answer (interface §8)."""
SHARED: Final = "duplicate_account"
"""Why the rows of several people are rejected who turn out to have one Entra user (interface §8)."""

LEFT: Final = "left"
"""The code of an entry whose account others name, and which is that of somebody who left."""


@dataclass(frozen=True, slots=True)
class Account:
    """An Entra user, as far as a profile needs it. ``id`` is the object id, ``upn`` Entra's own spelling."""

    id: str
    upn: str
    mail: str | None = None
    enabled: bool = True
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is sent about an account: object id and user principal name."""

    id: str
    upn: str


@dataclass(frozen=True, slots=True)
class Lookups:
    """Which accounts a run asks Entra for: the asks that are ``due``, in the spelling of the export."""

    due: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Entra's answers, by `account_key` of the ask. To what is ``ambiguous`` several users answer.

    Neither ``mail`` nor ``employeeId`` need be unique: https://learn.microsoft.com/graph/api/resources/user
    """

    accounts: Mapping[str, Account] = field(default_factory=dict)
    ambiguous: frozenset[str] = frozenset()

    def __or__(self, other: Found) -> Found:
        """Return the answers of both."""
        return Found({**self.accounts, **other.accounts}, self.ambiguous | other.ambiguous)


def ask(match: Match, text: str) -> str:
    """Return how Entra is asked for a user: a UPN as it is written, anything else with the attribute in front."""
    return text.strip() if match == "userPrincipalName" else f"{match}:{text.strip()}"


def asked_by(ask: str) -> tuple[Match, str]:
    """Return the attribute and the text of what `ask` made. There is no colon in a UPN."""
    name, colon, text = ask.partition(":")
    for match in get_args(Match):
        if colon and name.casefold() == match.casefold():
            return match, text
    return "userPrincipalName", ask


def account_key(ask: str) -> str:
    """Return the form in which two spellings of one ask are equal; Entra compares without case."""
    return ask.strip().casefold()


def referred_key(ask: str) -> str:
    """Return the key of somebody whom others name by this account."""
    return REFERRED + account_key(ask)


def is_referred(key: str) -> bool:
    """Tell whether a key is that of somebody who has no row, and whom others merely name."""
    return key.startswith(REFERRED)


def asked_beside(upn: str, person: Person) -> str:
    """Return what a ledger's entry remembers of the ask beside the UPN: nothing where that is all there was to ask."""
    return "" if account_key(upn) == account_key(person.account) else person.account


def lookups(
    people: Iterable[Person], entries: Mapping[str, Entry], *, now: int, resolve_after: int, everyone: bool = False
) -> Lookups:
    """Choose the accounts to ask Entra for: unknown ones, and those whose last answer is too old.

    An account that was found is asked for again after ``resolve_after`` seconds, one that was not found after a
    day (design §3.8). ``everyone`` asks for all of them.
    """
    due: dict[str, str] = {}
    for person in people:
        if everyone or _is_due(person, entries.get(person.key), now=now, resolve_after=resolve_after):
            due.setdefault(account_key(person.account), person.account)
    return Lookups(due=tuple(due.values()))


def _is_due(person: Person, entry: Entry | None, *, now: int, resolve_after: int) -> bool:
    if entry is None or account_key(entry.asked or entry.upn) != account_key(person.account):
        return True
    if entry.state == "unmatched" and entry.code in {AMBIGUOUS, SHARED}:
        return True  # whoever mends it and drops the row again hears at once whether it is right now
    patience = UNMATCHED_AGAIN_SECONDS if entry.state == "unmatched" else resolve_after
    return entry.resolved + patience <= now


@dataclass(frozen=True, slots=True)
class Matching:
    """The outcome of matching people with Entra users.

    ``known`` maps a person's key to the account that profiles are attached to; ``resolved`` tells when it was
    last confirmed (unix seconds). A key that is in neither has no account: ``unmatched`` says why, or ``contested``,
    which maps those whose row is wrong to the error code (interface §8).
    """

    known: Mapping[str, Known]
    resolved: Mapping[str, int]
    unmatched: Mapping[str, str]
    warnings: Mapping[str, int]
    contested: Mapping[str, str] = field(default_factory=dict)


def match_people(
    people: Iterable[Person],
    entries: Mapping[str, Entry],
    found: Found,
    asked: Collection[str],
    *,
    now: int,
) -> Matching:
    """Attach each person to the account Entra has, or to the one the ledger remembers when Entra was not asked.

    ``asked`` holds the asks that were looked up. A guest has no mailbox of ours and is unmatched; a disabled account is
    sent, with a warning (interface §10).
    """
    asked_keys = {account_key(each) for each in asked}
    known: dict[str, Known] = {}
    resolved: dict[str, int] = {}
    unmatched: dict[str, str] = {}
    contested: dict[str, str] = {}
    warnings = {"account_disabled": 0, "no_mail": 0}
    for person in people:
        wanted = account_key(person.account)
        entry = entries.get(person.key)
        if wanted not in asked_keys:
            if entry is not None:
                resolved[person.key] = entry.resolved
                if entry.user_id and entry.state != "unmatched":
                    known[person.key] = Known(entry.user_id, entry.upn)
                else:
                    unmatched[person.key] = entry.code or "no_account"
            continue
        resolved[person.key] = now
        account = found.accounts.get(wanted)
        if wanted in found.ambiguous and not person.outside:
            contested[person.key] = AMBIGUOUS
        elif account is None or wanted in found.ambiguous:
            unmatched[person.key] = "no_account"
        elif account.guest:
            unmatched[person.key] = "guest"
        else:
            known[person.key] = Known(account.id, account.upn)
            warnings["account_disabled"] += not (account.enabled or person.outside)
            warnings["no_mail"] += not (account.mail or person.outside)
    return Matching(
        known=known,
        resolved=resolved,
        unmatched=unmatched,
        warnings={code: count for code, count in warnings.items() if count},
        contested=contested,
    )


def contest(
    matching: Matching, people: Mapping[str, Person], entries: Mapping[str, Entry], others: Iterable[Entry]
) -> Matching:
    """Return the matching in which nobody has the Entra user of somebody else: all of them are contested.

    A user belongs to whoever is matched with it, to whoever was and is not in the pilot now, and to those ``others``
    whose items stay although the export says nothing of them that can be used.
    """
    owners: dict[str, list[str]] = {}
    for key, person in people.items():
        if person.leaver or person.outside:
            continue
        account = matching.known.get(key)
        if account is None and key not in matching.resolved:
            account = _remembered(entries.get(key), person)
        if account is not None:
            owners.setdefault(account.id, []).append(key)
    taken = {entry.user_id for entry in others}
    shared = {key: SHARED for user, keys in owners.items() if len(keys) > 1 or user in taken for key in keys}
    if not shared:
        return matching
    return replace(
        matching,
        known={key: account for key, account in matching.known.items() if key not in shared},
        unmatched={key: why for key, why in matching.unmatched.items() if key not in shared},
        contested={**shared, **matching.contested},
    )


@dataclass(frozen=True, slots=True)
class Identified:
    """Who they are whom others merely name by an account: ``of`` leads to the key of the person in the export.

    ``left``: those whose account is that of somebody who left. They are nobody's manager any more.
    """

    of: Mapping[str, str] = field(default_factory=dict)
    left: frozenset[str] = frozenset()


def identify(people: Mapping[str, Person], entries: Mapping[str, Entry], known: Mapping[str, Known]) -> Identified:
    """Find the people in the export among those whom others merely name by an account.

    That somebody left is remembered in the ledger (`LEFT`): the leaver's own entry goes, and with it what tells that
    both are one.
    """
    referred = [key for key in people if is_referred(key) and key in known]
    if not referred:
        return Identified()
    owners: dict[str, str] = {}
    leavers: set[str] = set()
    for key, person in people.items():
        if is_referred(key):
            continue
        account = known.get(key) or _last(entries.get(key))
        if person.leaver:
            leavers |= {account_key(person.account), *((account.id,) if account else ())}
        elif account is not None:
            owners.setdefault(account.id, key)
    of: dict[str, str] = {}
    left: set[str] = set()
    for key in referred:
        account, entry = known[key], entries.get(key)
        if account.id in owners:
            of[key] = owners[account.id]
        elif not leavers.isdisjoint({account.id, account_key(account.upn), account_key(ask("id", account.id))}) or (
            entry is not None and entry.code == LEFT and entry.user_id == account.id
        ):
            left.add(key)
    return Identified(of, frozenset(left))


def _remembered(entry: Entry | None, person: Person) -> Known | None:
    """Return the account of somebody's item, if it is the one that the export still asks for.

    That several people claim it does not change whose it was; that Entra did not know it any more does.
    """
    if entry is None or not entry.held or (entry.state == "unmatched" and entry.code not in {AMBIGUOUS, SHARED}):
        return None
    return _last(entry) if account_key(entry.asked or entry.upn) == account_key(person.account) else None


def _last(entry: Entry | None) -> Known | None:
    """Return the last known account."""
    return Known(entry.user_id, entry.upn) if entry is not None and entry.user_id else None


@dataclass(frozen=True, slots=True)
class References:
    """Whom each person's references lead to: one `Known` or None per reference of the mapping, in its order."""

    of: Mapping[str, tuple[Known | None, ...]]
    warnings: Mapping[str, Sequence[str]]

    @property
    def problems(self) -> dict[str, str]:
        """The first thing that is wrong with a person's references, by key."""
        found: dict[str, str] = {}
        for code, keys in self.warnings.items():
            for key in keys:
                found.setdefault(key, code)
        return found


def resolve_references(
    people: Mapping[str, Person],
    entries: Mapping[str, Entry],
    known: Mapping[str, Known],
    *,
    others: Collection[str] = (),
    identified: Identified = Identified(),
    sent: Collection[str] | None = None,
) -> References:
    """Turn references between people (a manager's key, or account) into accounts (design §3.7).

    The ledger's last known account serves when the other person's row is rejected, unmatched, held or in grace.
    Only a key that neither the export (``others``: keys of rejected rows) nor the ledger has is unknown, and an account
    that Entra does not know. Someone who left by status word is nobody's manager any more. References to oneself and
    loops are left out. ``identified`` tells who in the export somebody is whom others name by an account; ``sent`` are
    the keys whose references are wanted: everybody's, unless given.
    """
    world = _World(people, entries, known, others, identified)
    warnings: dict[str, list[str]] = {"manager_unknown": [], "manager_loop": []}
    looped = _looped(world)
    of: dict[str, tuple[Known | None, ...]] = {}
    for person in people.values():
        if sent is not None and person.key not in sent:
            continue
        if not any(person.references):
            of[person.key] = (None,) * len(person.references)
            continue
        accounts: list[Known | None] = []
        for place, reference in enumerate(person.references):
            account, problem = world.referred(reference, person, apart=() if place else looped)
            accounts.append(account)
            if problem and person.key not in warnings[problem][-1:]:
                warnings[problem].append(person.key)
        of[person.key] = tuple(accounts)
    return References(of=of, warnings={code: keys for code, keys in warnings.items() if keys})


@dataclass(frozen=True, slots=True)
class _World:
    """What references are resolved in; the fields are `resolve_references`' arguments."""

    people: Mapping[str, Person]
    entries: Mapping[str, Entry]
    known: Mapping[str, Known]
    others: Collection[str]
    identified: Identified

    def key(self, reference: str) -> str:
        """Return whose key a reference leads to."""
        return self.identified.of.get(reference, reference)

    def referred(self, reference: str, person: Person, *, apart: Collection[str]) -> tuple[Known | None, str | None]:
        """Return the account that a reference leads to, and what is wrong with it; those ``apart`` are in a loop."""
        if not reference or reference in self.identified.left:
            return None, None
        key = self.key(reference)
        if key == person.key or person.key in apart:
            return None, "manager_loop"
        other = self.people.get(key)
        if other is not None and other.leaver:
            return None, None
        if key in self.known:
            return self.known[key], None
        if is_referred(key):
            return None, "manager_unknown"  # of them there is nothing but Entra's word
        entry = self.entries.get(key)
        if entry is not None:
            return _last(entry), None
        if other is None and key not in self.others:
            return None, "manager_unknown"
        return None, None


def _looped(world: _World) -> frozenset[str]:
    """Return the keys that lie on a loop of first references (A's manager is B, B's manager is A).

    Leavers break it, and so do those who are not sent.
    """
    people = world.people
    done: set[str] = set()
    looped: set[str] = set()
    for start in people:
        path: dict[str, None] = {}
        key = start
        while key in people and not people[key].leaver and not people[key].outside:
            if key in done or key in path:
                break
            path[key] = None
            references = people[key].references
            key = world.key(references[0]) if references else ""
        if key in path:
            walk = list(path)
            looped.update(walk[walk.index(key) :])
        done.update(path)
    return frozenset(looped)
