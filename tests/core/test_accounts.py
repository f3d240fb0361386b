"""People and their Entra users: who is looked up, who is matched, who refers to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import Found, Known, References, account_key, lookups, match_people, resolve_references
from tests.core.people import DAY, NOW, a_person, an_account, an_entry, an_unmatched, known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.accounts import Account, Matching
    from connector.core.ledger import Entry
    from connector.core.mapping import Person

WEEK = 7 * DAY


def asked(*people: Person, entries: Sequence[Entry] = (), now: int = NOW, everyone: bool = False) -> tuple[str, ...]:
    """Return the accounts that are looked up for these people."""
    known_entries = {entry.key: entry for entry in entries}
    return lookups(people, known_entries, now=now, resolve_after=WEEK, everyone=everyone).due


def match(person: Person, *found: Account, entry: Entry | None = None, ask: bool = True) -> Matching:
    """Return the outcome of matching one person."""
    entries = {entry.key: entry} if entry else {}
    accounts = {account_key(account.upn): account for account in found}
    return match_people([person], entries, Found(accounts), [person.account] if ask else [], now=NOW)


# --- lookups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "now", "due"),
    [
        (None, NOW, True),
        (an_entry(), NOW + WEEK - 1, False),
        (an_entry(), NOW + WEEK, True),
        (an_entry(upn="E1@CONTOSO.COM"), NOW, False),
        (an_entry(upn="former@contoso.com"), NOW, True),
        (an_entry(state="failed"), NOW + DAY, False),
        (an_entry(state="doubt"), NOW + DAY, False),
        (an_unmatched(), NOW + DAY - 1, False),
        (an_unmatched(), NOW + DAY, True),
        (an_unmatched(upn="former@contoso.com"), NOW, True),
        (an_entry(state="outside", held=False), NOW + WEEK - 1, False),
        (an_entry(state="outside", held=False), NOW + WEEK, True),
        (an_entry(state="unmatched", asked="e1@contoso.com", upn="former@contoso.com"), NOW + DAY - 1, False),
        (an_entry(state="unmatched", asked="former@contoso.com"), NOW, True),
    ],
)
def test_entra_is_asked_only_when_it_is_due(entry, now, due):
    """Unknown and changed accounts at once, known ones after RESOLVE_AFTER_DAYS, missing ones after a day."""
    assert bool(asked(a_person(), entries=[entry] if entry else [], now=now)) is due


def test_everyone_is_asked_for_when_everyone_is_wanted():
    """A full run asks for all accounts, due or not."""
    assert asked(a_person(), entries=[an_entry()], everyone=True) == ("e1@contoso.com",)


def test_an_account_is_asked_for_once():
    """Two spellings of one account are one lookup, in the spelling that comes first."""
    people = (a_person("E1", account="Ada@contoso.com"), a_person("E2", account="ADA@contoso.com "), a_person("E3"))

    assert asked(*people) == ("Ada@contoso.com", "e3@contoso.com")


@given(st.text())
def test_the_form_of_an_account_is_stable(upn):
    """Bringing a UPN into its form twice changes nothing more."""
    assert account_key(account_key(upn)) == account_key(upn)


# --- matching ---------------------------------------------------------------------------------------------------------


def test_a_found_account_is_taken_in_entras_spelling():
    """Accounts are compared without case; what is sent is what Entra says."""
    matching = match(a_person(account="ADA@Contoso.com"), an_account(upn="Ada@contoso.com"))

    assert matching.known == {"E1": Known(id="id-E1", upn="Ada@contoso.com")}
    assert matching.resolved == {"E1": NOW}
    assert not matching.unmatched
    assert not matching.warnings


@pytest.mark.parametrize(
    ("found", "why"), [((), "no_account"), ((an_account(guest=True),), "guest"), ((an_account("E2"),), "no_account")]
)
def test_without_a_user_of_ours_a_person_is_unmatched(found, why):
    """Nobody found, or a guest: nothing to attach a profile to."""
    matching = match(a_person(), *found)

    assert not matching.known
    assert matching.unmatched == {"E1": why}
    assert matching.resolved == {"E1": NOW}


@pytest.mark.parametrize(
    ("account", "warnings"),
    [
        (an_account(enabled=False), {"account_disabled": 1}),
        (an_account(mail=None), {"no_mail": 1}),
        (an_account(mail=""), {"no_mail": 1}),
        (an_account(enabled=False, mail=None), {"account_disabled": 1, "no_mail": 1}),
    ],
)
def test_an_odd_account_is_sent_with_a_warning(account, warnings):
    """Disabled accounts and accounts without mail are matched all the same, and counted."""
    matching = match(a_person(), account)

    assert matching.known == {"E1": known()}
    assert matching.warnings == warnings


def test_who_was_not_asked_for_is_what_the_ledger_remembers():
    """Between two lookups the ledger's account and its age stand."""
    matching = match(a_person(), entry=an_entry(resolved=NOW - 5), ask=False)

    assert matching.known == {"E1": known()}
    assert matching.resolved == {"E1": NOW - 5}


@pytest.mark.parametrize("entry", [an_unmatched(code="guest"), an_entry(state="unmatched", code="guest")])
def test_who_was_unmatched_stays_so_until_asked_again(entry):
    """Between two lookups somebody without account has none, for the same reason, whatever was sent before."""
    matching = match(a_person(), entry=entry, ask=False)

    assert not matching.known
    assert matching.unmatched == {"E1": "guest"}


def test_an_account_that_vanished_is_unmatched_though_the_ledger_knows_it():
    """Entra's answer counts for more than what we remember."""
    assert match(a_person(), entry=an_entry()).unmatched == {"E1": "no_account"}


# --- references -------------------------------------------------------------------------------------------------------


def refer(
    *people: Person, entries: Sequence[Entry] = (), accounts: Sequence[str] | None = None, others: Sequence[str] = ()
) -> References:
    """Resolve the references of these people; all who are in scope have accounts unless ``accounts`` says which."""
    found = [person.key for person in people if not person.leaver] if accounts is None else accounts
    return resolve_references(
        {person.key: person for person in people},
        {entry.key: entry for entry in entries},
        {key: known(key) for key in found},
        others=others,
    )


def test_a_manager_in_the_export_is_resolved():
    """A reference leads to the account of the other person's row."""
    references = refer(a_person("E1", references=("E9",)), a_person("E9"))

    assert references.of == {"E1": (known("E9"),), "E9": (None,)}
    assert not references.warnings


def test_a_managers_account_of_today_counts_for_more_than_the_ledgers():
    """When both are known, the account that was just matched is taken."""
    entry = an_entry("E9", user_id="id-old", upn="old@contoso.com")

    assert refer(a_person("E1", references=("E9",)), a_person("E9"), entries=[entry]).of["E1"] == (known("E9"),)


@pytest.mark.parametrize(
    "situation",
    [
        {"entries": [an_entry("E9")], "others": ["E9"]},
        {"entries": [an_entry("E9", absent=1)]},
        {"entries": [an_entry("E9", absent=5, state="failed")]},
        {"entries": [an_entry("E9", state="doubt")]},
        {"entries": [an_entry("E9", state="outside", held=False)]},
        {"entries": [an_entry("E9", state="unmatched")]},
    ],
    ids=["rejected", "in grace", "held", "in doubt", "out of the pilot", "unmatched"],
)
def test_a_manager_who_is_not_accepted_today_is_resolved_through_the_ledger(situation):
    """The last known account serves while a row is rejected, a person is in grace, held, unmatched or not piloted."""
    references = refer(a_person("E1", references=("E9",)), **situation)

    assert references.of["E1"] == (known("E9"),)
    assert not references.warnings


def test_an_unmatched_manager_in_the_export_is_resolved_through_the_ledger():
    """Somebody whose account vanished keeps, as a manager, the last known one."""
    references = refer(
        a_person("E1", references=("E9",)), a_person("E9"), entries=[an_entry("E9", state="unmatched")], accounts=["E1"]
    )

    assert references.of["E1"] == (known("E9"),)


@pytest.mark.parametrize(
    "situation",
    [
        {"entries": [an_unmatched("E9")]},
        {"others": ["E9"]},
    ],
    ids=["never matched", "rejected and never sent"],
)
def test_a_manager_without_any_account_is_left_out_silently(situation):
    """Somebody the export or the ledger knows, but Entra never did, is no unknown manager."""
    references = refer(a_person("E1", references=("E9",)), **situation)

    assert references.of["E1"] == (None,)
    assert not references.warnings


def test_a_manager_nobody_knows_is_a_warning():
    """Only a key that neither the export nor the ledger has is unknown; the person is sent without manager."""
    references = refer(a_person("E1", references=("E9",)), a_person("E2", references=("E9",)))

    assert references.of == {"E1": (None,), "E2": (None,)}
    assert references.warnings == {"manager_unknown": ["E1", "E2"]}


def test_a_leaver_is_nobodys_manager():
    """Whoever left by status word is left out, though the ledger still knows the account."""
    references = refer(a_person("E1", references=("E9",)), a_person("E9", leaver=True), entries=[an_entry("E9")])

    assert references.of["E1"] == (None,)
    assert not references.warnings


@pytest.mark.parametrize(
    ("managers", "looped"),
    [
        ({"A": "A"}, "A"),
        ({"A": "B", "B": "A"}, "AB"),
        ({"A": "B", "B": "C", "C": "A"}, "ABC"),
        ({"A": "B", "B": "C", "C": "B", "D": "A"}, "BC"),
        ({"A": "B", "B": "", "C": "B"}, ""),
        ({"A": "A", "B": "A"}, "A"),
    ],
)
def test_loops_are_left_out_with_a_warning(managers, looped):
    """Whoever lies on a loop of managers is sent without one; whoever merely leads into it keeps theirs."""
    references = refer(*(a_person(key, references=(manager,)) for key, manager in managers.items()))

    expected: dict[str, Any] = {
        key: (known(manager) if manager and key not in looped else None,) for key, manager in managers.items()
    }
    assert references.of == expected
    assert sorted(references.warnings.get("manager_loop", ())) == sorted(looped)


def test_colleagues_are_no_loop():
    """Only the first reference is a manager: others stay when it goes round, and several unknown ones warn once."""
    references = refer(
        a_person("A", references=("B", "B", "X", "Y")),
        a_person("B", references=("A", "A")),
        a_person("C", references=("", "D")),
        a_person("D", references=("", "C")),
    )

    assert references.of == {
        "A": (None, known("B"), None, None),
        "B": (None, known("A")),
        "C": (None, known("D")),
        "D": (None, known("C")),
    }
    assert {code: sorted(keys) for code, keys in references.warnings.items()} == {
        "manager_loop": ["A", "B"],
        "manager_unknown": ["A"],
    }


def test_a_leaver_breaks_a_loop():
    """Somebody who left leads nowhere, so no loop goes through them, and nobody is warned of one."""
    references = refer(a_person("A", references=("B",)), a_person("B", references=("A",), leaver=True))

    assert references.of["A"] == (None,)
    assert not references.warnings


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.sampled_from(["", *"ABCDEFG"]), max_size=6))
def test_every_reference_has_an_answer_and_none_leads_round(managers):
    """One answer per reference, and whoever follows the answers comes to an end."""
    references = refer(*(a_person(key, references=(manager,)) for key, manager in managers.items()))

    assert {key: len(answer) for key, answer in references.of.items()} == dict.fromkeys(managers, 1)
    next_one = {key: answer[0].id.removeprefix("id-") for key, answer in references.of.items() if answer[0]}
    for start in next_one:
        key, steps = start, 0
        while key in next_one and steps <= len(managers):
            key, steps = next_one[key], steps + 1
        assert steps <= len(managers)
