"""Whom a file does not speak of and who matter all the same: the ledger knows them, or others refer to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from connector.core.accounts import asked_by, identify, resolve_references
from connector.core.mapping import Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from connector.core.accounts import Known, References
    from connector.core.ledger import Entry, Ledger
    from connector.core.plan import Population


def present(entries: Iterable[Entry]) -> Iterator[Person]:
    """Yield the people of whom Graph has an item and the last complete export knew."""
    for entry in entries:
        if entry.held and not entry.absent and not entry.is_former:
            account = entry.upn if asked_by(entry.asked)[0] == "userPrincipalName" else entry.asked
            yield Person(entry.key, account, leaver=False, references=entry.references, cells=b"", row=0)


def elsewhere(population: Population, ledger: Ledger) -> Iterator[Entry]:
    """Yield whose item stays as it is: others cannot have their accounts.

    Their row is rejected, or a partial export does not speak of them, or merely to say that they are out of scope.
    """
    for entry in population.attended(ledger):
        person = population.people.get(entry.key)
        if not entry.held or entry.is_former or (person is not None and not person.outside):
            continue
        if entry.key in population.rejected or not (population.complete or entry.absent):
            yield entry


def references_after(
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
        entries = _Without(entries, gone)
        known = {key: account for key, account in known.items() if key not in gone}
    return resolve_references(people, entries, known, others=population.rejected, identified=identified, sent=sent)


class _Without(Mapping[str, "Entry"]):
    """Entries without some: a ledger of a million people is not copied for the few who leave it."""

    def __init__(self, entries: Mapping[str, Entry], gone: Collection[str]) -> None:
        self._entries = entries
        self._gone = gone

    def __getitem__(self, key: str) -> Entry:
        if key in self._gone:
            raise KeyError(key)
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._entries if key not in self._gone)

    def __len__(self) -> int:
        return sum(1 for _ in self)
