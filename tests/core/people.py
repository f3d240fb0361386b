"""People, entries and ledgers to test with: each takes only what a test is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from connector.core.accounts import Account, Known
from connector.core.ledger import Entry, Ledger
from connector.core.mapping import Person

NOW = 1_800_000_000
DAY = 24 * 3600


def a_person(key: str = "E1", **changed: Any) -> Person:
    """Return somebody in scope whose account is named after the key."""
    person = Person(
        key=key,
        account=f"{key.lower()}@contoso.com",
        leaver=False,
        references=("",),
        cells=b"cells of " + key.encode(),
        row=1,
    )
    return replace(person, **changed)


def an_account(key: str = "E1", **changed: Any) -> Account:
    """Return the Entra user of the person with this key."""
    account = Account(id=f"id-{key}", upn=f"{key.lower()}@contoso.com", mail=f"{key.lower()}@contoso.com")
    return replace(account, **changed)


def known(key: str = "E1") -> Known:
    """Return what is sent about that user."""
    return Known(id=f"id-{key}", upn=f"{key.lower()}@contoso.com")


def an_entry(key: str = "E1", **changed: Any) -> Entry:
    """Return the entry of somebody whose item Graph accepted and whose account was looked up just now."""
    entry = Entry(
        key=key,
        item_id=f"u{key}",
        upn=f"{key.lower()}@contoso.com",
        user_id=f"id-{key}",
        source=b"source of " + key.encode(),
        item=b"item of " + key.encode(),
        references=("",),
        state="sent",
        held=True,
        resolved=NOW,
        sent=NOW,
    )
    return replace(entry, **changed)


def an_unmatched(key: str = "E1", **changed: Any) -> Entry:
    """Return the entry of somebody without account, of whom nothing was ever sent."""
    entry = Entry(
        key=key,
        item_id=f"u{key}",
        upn=f"{key.lower()}@contoso.com",
        references=("",),
        state="unmatched",
        resolved=NOW,
        code="no_account",
    )
    return replace(entry, **changed)


def a_ledger(*entries: Entry, **changed: Any) -> Ledger:
    """Return a ledger of these entries."""
    ledger = Ledger(
        connection="contosohr",
        tenant="contoso",
        contract="labels",
        incarnation="one",
        generation=1,
        entries={entry.key: entry for entry in entries},
    )
    return replace(ledger, **changed)
