"""People and their Entra users: who is looked up, who is matched, who refers to whom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import (
    Found,
    Known,
    Matching,
    References,
    account_key,
    ask,
    asked_by,
    contest,
    identify,
    is_referred,
    lookups,
    match_people,
    referred_key,
    resolve_references,
)
from tests.core.people import DAY, NOW, a_person, an_account, an_entry, an_unmatched, known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.accounts import Account
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


# --- asks -------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(["mail", "employeeId", "id"]), st.text(st.characters(codec="utf-8")).map(str.strip))
def test_an_ask_tells_attribute_and_text(match, text):
    """What was put together is taken apart again, also in the spelling without case."""
    made = ask(match, text)

    assert asked_by(made) == (match, text)
    assert asked_by(account_key(made)) == (match, text.casefold().strip())


def test_a_upn_is_asked_for_as_it_is_written():
    """There is no colon in a UPN, so nothing need stand in front of it."""
    assert ask("userPrincipalName", " Ada@contoso.com ") == "Ada@contoso.com"
    assert asked_by("Ada@contoso.com") == ("userPrincipalName", "Ada@contoso.com")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Contoso.com", "ada@contoso.com "),
        (ask("mail", "Ada@Contoso.com"), ask("mail", " ada@contoso.com")),
        (ask("employeeId", "a-1"), ask("employeeId", "A-1")),
        (ask("id", "00000000-0000-4000-8000-00000000AAAA"), ask("id", "00000000-0000-4000-8000-00000000aaaa")),
    ],
)
def test_two_spellings_of_one_ask_are_equal(one, other):
    """Entra compares without case, whatever the attribute."""
    assert account_key(one) == account_key(other)
    assert referred_key(one) == referred_key(other)


def test_one_text_by_two_attributes_is_two_asks():
    """Somebody's mail may be another's UPN."""
    assert len({account_key(ask(match, "a@contoso.com")) for match in ("userPrincipalName", "mail", "employeeId")}) == 3


def test_no_key_of_hrs_is_that_of_somebody_referred_to():
    """What begins such a key counts as blank, and is taken off a cell."""
    key = referred_key("ada@contoso.com")

    assert is_referred(key)
    assert not is_referred(key.strip())


@pytest.mark.parametrize(
    ("entry", "due"),
    [
        (an_entry(asked="mail:ada@contoso.com"), False),
        (an_entry(asked="mail:ADA@contoso.com"), False),
        (an_entry(asked="mail:former@contoso.com"), True),
        (an_entry(upn="ada@contoso.com"), True),
        (an_unmatched(upn="", asked="mail:ada@contoso.com"), False),
        (an_unmatched(upn="", asked="mail:ada@contoso.com", code="bad_account"), True),
        (an_entry(state="unmatched", asked="mail:ada@contoso.com", code="duplicate_account"), True),
    ],
)
def test_the_ledger_remembers_what_was_asked(entry, due):
    """The same ask is not asked again, another one is, and a contested one each time: somebody may have mended it."""
    assert bool(asked(a_person(account="mail:Ada@contoso.com"), entries=[entry])) is due


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


def test_what_several_users_answer_is_nobodys():
    """The row is wrong, whatever was known before; nobody is chosen."""
    person = a_person(account="mail:shared@contoso.com")

    matching = match_people(
        [person], {"E1": an_entry()}, Found(ambiguous=frozenset({"mail:shared@contoso.com"})), [person.account], now=NOW
    )

    assert (matching.known, matching.unmatched) == ({}, {})
    assert matching.contested == {"E1": "bad_account"}


def test_nobody_is_rejected_who_is_merely_referred_to():
    """Somebody without a row, or out of scope, has no account then; there is nothing to reject."""
    person = a_person(account="mail:shared@contoso.com", outside=True)

    matching = match_people(
        [person], {}, Found(ambiguous=frozenset({"mail:shared@contoso.com"})), [person.account], now=NOW
    )

    assert matching.unmatched == {"E1": "no_account"}
    assert matching.contested == {}


def test_nobody_is_warned_of_somebody_who_is_not_sent():
    """A disabled account of somebody out of scope, or without mail, concerns nobody's profile."""
    person = a_person(outside=True)

    matching = match_people(
        [person], {}, Found({"e1@contoso.com": an_account(enabled=False, mail=None)}), [person.account], now=NOW
    )

    assert matching.known == {"E1": known()}
    assert matching.warnings == {}


# --- one user of several people ---------------------------------------------------------------------------------------


def contested(
    *people: Person, users: dict[str, str], entries: Sequence[Entry] = (), others: Sequence[Entry] = ()
) -> Matching:
    """Return the matching of people who were found to be these users (object ids by key)."""
    matching = Matching(
        known={key: Known(user, f"{user}@contoso.com") for key, user in users.items()},
        resolved=dict.fromkeys(users, NOW),
        unmatched={},
        warnings={},
    )
    return contest(matching, {person.key: person for person in people}, {entry.key: entry for entry in entries}, others)


def test_one_user_of_two_people_is_neithers():
    """Neither may silently win; whoever has a user of their own is not concerned."""
    matching = contested(
        a_person("E1"), a_person("E2"), a_person("E3"), users={"E1": "one", "E2": "one", "E3": "three"}
    )

    assert matching.contested == {"E1": "duplicate_account", "E2": "duplicate_account"}
    assert set(matching.known) == {"E3"}


@pytest.mark.parametrize("other", [a_person("E2", leaver=True), a_person("E2", outside=True)])
def test_a_user_of_somebody_who_is_not_sent_is_free(other):
    """Leavers and those out of scope keep nobody's account from them."""
    matching = contested(a_person("E1"), other, users={"E1": "one", "E2": "one"})

    assert matching.contested == {}


def test_the_user_of_somebodys_item_outside_the_pilot_is_theirs():
    """Whoever was sent, and is neither sent nor looked up now, has the account still."""
    piloted = a_person("E2", account="mail:e2@contoso.com")
    before = an_entry("E2", user_id="one", asked="mail:e2@contoso.com")

    matching = contested(a_person("E1"), piloted, users={"E1": "one"}, entries=[before])
    renamed = contested(a_person("E1"), a_person("E2", account="mail:x"), users={"E1": "one"}, entries=[before])

    tomorrow = contested(
        a_person("E1"),
        piloted,
        users={"E1": "one"},
        entries=[replace(before, state="unmatched", code="duplicate_account")],
    )

    assert matching.contested == {"E1": "duplicate_account", "E2": "duplicate_account"}
    assert tomorrow.contested == matching.contested
    assert renamed.contested == {}


def test_a_user_of_somebody_elsewhere_is_theirs():
    """Somebody of whom a partial export says nothing keeps the account; the row that claims it is wrong."""
    matching = contested(a_person("E1"), users={"E1": "one"}, others=[an_entry("E2", user_id="one")])

    assert matching.contested == {"E1": "duplicate_account"}


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


# --- references by account --------------------------------------------------------------------------------------------

BOSS = "boss@contoso.com"
REFERRED = a_person(referred_key(BOSS), account=BOSS, outside=True, references=())


def refer_by_account(
    *people: Person, accounts: dict[str, str], entries: Sequence[Entry] = (), sent: Sequence[str] | None = None
) -> References:
    """Resolve references among these people and `REFERRED`; ``accounts`` are UPNs by key."""
    everybody = {person.key: person for person in (*people, REFERRED)}
    remembered = {entry.key: entry for entry in entries}
    accounts_known = {key: Known(f"id-{upn}", upn) for key, upn in accounts.items()}
    return resolve_references(
        everybody,
        remembered,
        accounts_known,
        identified=identify(everybody, remembered, accounts_known),
        sent=sent,
    )


def test_a_manager_named_by_account_is_who_entra_says():
    """No row of theirs is needed."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)), accounts={"E1": "e1@contoso.com", REFERRED.key: "Boss@contoso.com"}
    )

    assert references.of["E1"] == (Known("id-Boss@contoso.com", "Boss@contoso.com"),)
    assert not references.warnings


@pytest.mark.parametrize("entries", [(), (an_entry(REFERRED.key, state="unmatched", held=False),)])
def test_a_manager_whose_account_entra_does_not_know_is_unknown(entries):
    """Nothing but Entra speaks for them, so no former answer serves; the person is sent without manager."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)), accounts={"E1": "e1@contoso.com"}, entries=entries
    )

    assert references.of["E1"] == (None,)
    assert references.warnings == {"manager_unknown": ["E1"]}


def test_nobody_who_is_not_sent_is_warned_about():
    """Whom somebody outside the pilot refers to was not looked up, so nobody can say that they are unknown."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)), accounts={"E1": "e1@contoso.com"}, sent=[]
    )

    assert not references.warnings


def test_a_manager_named_by_account_may_be_in_the_export_under_another_ask():
    """Whoever is matched by mail and named by UPN is one person, so a loop through both is one."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)),
        a_person("E9", account="mail:the.boss@contoso.com", references=("E1",)),
        accounts={"E1": "e1@contoso.com", "E9": BOSS, REFERRED.key: BOSS},
    )

    assert references.of["E1"] == references.of["E9"] == (None,)
    assert references.warnings == {"manager_loop": ["E1", "E9"]}


def test_nobody_manages_themselves_under_another_ask():
    """Somebody who is named as their own manager by an account is none."""
    references = refer_by_account(
        a_person("E9", account="mail:the.boss@contoso.com", references=(REFERRED.key,)),
        accounts={"E9": BOSS, REFERRED.key: BOSS},
    )

    assert references.of["E9"] == (None,)
    assert references.warnings == {"manager_loop": ["E9"]}


@pytest.mark.parametrize(
    ("leaver", "entries"),
    [
        (a_person("E9", account="BOSS@contoso.com", leaver=True), ()),
        (a_person("E9", account=f"id:ID-{BOSS}", leaver=True), ()),
        (a_person("E9", account="mail:the.boss@contoso.com", leaver=True), (an_entry("E9", user_id=f"id-{BOSS}"),)),
        (
            a_person("E9", account="mail:the.boss@contoso.com", leaver=True),
            (an_entry(REFERRED.key, user_id=f"id-{BOSS}", state="outside", held=False, code="left"),),
        ),
    ],
    ids=["by UPN", "by id", "by the account of the item", "as was known before the item was gone"],
)
def test_a_leaver_is_nobodys_manager_by_whatever_they_are_named(leaver, entries):
    """Somebody who left is left out, silently, though Entra still has the account."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)),
        leaver,
        accounts={"E1": "e1@contoso.com", REFERRED.key: BOSS},
        entries=entries,
    )

    assert references.of["E1"] == (None,)
    assert not references.warnings


def test_an_account_that_lives_on_under_another_key_is_nobodys_who_left():
    """Somebody rehired under a new key is a manager again, though the old row says that they left."""
    references = refer_by_account(
        a_person("E1", references=(REFERRED.key,)),
        a_person("E9", account=BOSS, leaver=True),
        a_person("N9", account="mail:the.boss@contoso.com"),
        accounts={"E1": "e1@contoso.com", "N9": BOSS, REFERRED.key: BOSS},
        entries=[an_entry(REFERRED.key, user_id=f"id-{BOSS}", state="outside", held=False, code="left")],
    )

    assert references.of["E1"] == (Known(f"id-{BOSS}", BOSS),)


def test_somebody_out_of_scope_is_a_manager_still():
    """A filter of the mapping says who is sent, not who leads whom; nobody is looped through them."""
    references = refer(
        a_person("E1", references=("E9",)), a_person("E9", outside=True, references=("E1",)), accounts=["E1", "E9"]
    )

    assert references.of["E1"] == (known("E9"),)
    assert not references.warnings
