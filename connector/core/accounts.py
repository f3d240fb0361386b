"""People and their Entra users: who must be looked up, who refers to whom, who is left without an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from connector.core.ledger import Entry
    from connector.core.mapping import Person

UNMATCHED_AGAIN_SECONDS = 24 * 3600
"""How long someone without an account is left alone before Entra is asked again (design §3.8)."""


Match = Literal["userPrincipalName", "mail", "employeeId", "id"]


def ask(match: Match, text: str) -> str:
    """Return how Entra is asked for a user."""
    return text if match == "userPrincipalName" else f"{match}:{text}"


def referred_key(asked: str) -> str:
    """Return the key of somebody who is only referred to."""
    return "\x1e" + asked


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
    """Which accounts a run asks Entra for: those that are ``due``, in the spelling of the export."""

    due: tuple[str, ...]


def account_key(upn: str) -> str:
    """Return the form in which two spellings of one UPN are equal."""
    return upn.strip().casefold()


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
    patience = UNMATCHED_AGAIN_SECONDS if entry.state == "unmatched" else resolve_after
    return entry.resolved + patience <= now


@dataclass(frozen=True, slots=True)
class Matching:
    """The outcome of matching people with Entra users.

    ``known`` maps a person's key to the account that profiles are attached to; ``resolved`` tells when it was
    last confirmed (unix seconds). A key that is in neither has no account: ``unmatched`` says why.
    """

    known: Mapping[str, Known]
    resolved: Mapping[str, int]
    unmatched: Mapping[str, str]
    warnings: Mapping[str, int]


def match_people(
    people: Iterable[Person],
    entries: Mapping[str, Entry],
    found: Mapping[str, Account],
    asked: Collection[str],
    *,
    now: int,
) -> Matching:
    """Attach each person to the account Entra has, or to the one the ledger remembers when Entra was not asked.

    ``found`` maps account keys (`account_key`) to users; ``asked`` holds the UPNs that were looked up. A guest has no
    mailbox of ours and is unmatched; a disabled account is sent, with a warning (interface §10).
    """
    asked_keys = {account_key(upn) for upn in asked}
    known: dict[str, Known] = {}
    resolved: dict[str, int] = {}
    unmatched: dict[str, str] = {}
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
        account = found.get(wanted)
        if account is None:
            unmatched[person.key] = "no_account"
        elif account.guest:
            unmatched[person.key] = "guest"
        else:
            known[person.key] = Known(account.id, account.upn)
            warnings["account_disabled"] += not account.enabled
            warnings["no_mail"] += not account.mail
    return Matching(
        known=known,
        resolved=resolved,
        unmatched=unmatched,
        warnings={code: count for code, count in warnings.items() if count},
    )


@dataclass(frozen=True, slots=True)
class References:
    """Whom each person's references lead to: one `Known` or None per reference of the mapping, in its order."""

    of: Mapping[str, tuple[Known | None, ...]]
    warnings: Mapping[str, Sequence[str]]


def resolve_references(
    people: Mapping[str, Person],
    entries: Mapping[str, Entry],
    known: Mapping[str, Known],
    *,
    others: Collection[str] = (),
) -> References:
    """Turn references between people (a manager's key) into accounts (design §3.7).

    The ledger's last known account serves when the other person's row is rejected, unmatched, held or in grace.
    Only a key that neither the export (``others``: keys of rejected rows) nor the ledger has is unknown. Someone
    who left by status word is nobody's manager any more. References to oneself and loops are left out.
    """
    warnings: dict[str, list[str]] = {"manager_unknown": [], "manager_loop": []}
    looped = _looped(people)
    of: dict[str, tuple[Known | None, ...]] = {}
    for person in people.values():
        if not any(person.references):
            of[person.key] = (None,) * len(person.references)
            continue
        accounts: list[Known | None] = []
        for place, reference in enumerate(person.references):
            apart = () if place else looped
            account, problem = _referred(reference, person, people, entries, known, others, apart)
            accounts.append(account)
            if problem and person.key not in warnings[problem][-1:]:
                warnings[problem].append(person.key)
        of[person.key] = tuple(accounts)
    return References(of=of, warnings={code: keys for code, keys in warnings.items() if keys})


def _referred(
    reference: str,
    person: Person,
    people: Mapping[str, Person],
    entries: Mapping[str, Entry],
    known: Mapping[str, Known],
    others: Collection[str],
    looped: Collection[str],
) -> tuple[Known | None, str | None]:
    if not reference:
        return None, None
    if reference == person.key or person.key in looped:
        return None, "manager_loop"
    other = people.get(reference)
    if other is not None and other.leaver:
        return None, None
    if reference in known:
        return known[reference], None
    entry = entries.get(reference)
    if entry is not None:
        return (Known(entry.user_id, entry.upn) if entry.user_id else None), None
    if other is None and reference not in others:
        return None, "manager_unknown"
    return None, None


def _looped(people: Mapping[str, Person]) -> frozenset[str]:
    """Return the keys that lie on a loop of first references (A's manager is B, B's manager is A); leavers break it."""
    done: set[str] = set()
    looped: set[str] = set()
    for start in people:
        path: dict[str, None] = {}
        key = start
        while key in people and not people[key].leaver and key not in done and key not in path:
            path[key] = None
            references = people[key].references
            key = references[0] if references else ""
        if key in path:
            walk = list(path)
            looped.update(walk[walk.index(key) :])
        done.update(path)
    return frozenset(looped)
