"""What the stored plan of an unfinished run still tells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from connector.core.accounts import Known
from connector.core.ledger import dump_ledger, load_ledger
from connector.core.plan import Delete, Plan, Upsert
from connector.core.resume import known_by
from tests.core.entries import SEVERAL
from tests.core.people import a_ledger, an_entry, an_unmatched


def a_plan(**parts: object) -> Plan:
    """Return a plan of nothing but these parts."""
    return replace(Plan(actions=(), changes=()), **parts)  # type: ignore[arg-type]


@given(SEVERAL)
def test_accounts_are_those_of_the_ledger(entries):
    """Of everybody whose account is known, whether the ledger is in columns or not."""
    ledger = a_ledger(*entries.values())
    expected = {
        key: Known(entry.user_id, entry.upn)
        for key, entry in entries.items()
        if entry.user_id and entry.state != "unmatched"
    }

    for each in (ledger, load_ledger(dump_ledger(ledger))):
        known = known_by(a_plan(), each)
        assert dict(known) == expected
        assert len(known) == len(expected)
        assert {key: known[key] for key in expected} == expected
        assert not any(key in known for key in entries.keys() - expected.keys())


@pytest.mark.parametrize(
    "parts",
    [
        {"changes": (an_entry("E1", user_id="new"),)},
        {"actions": (Upsert(an_entry("E1", user_id="new"), 1, 0, created=False),)},
        {"actions": (Delete(an_entry("E1", user_id="new", state="outside"), "absent"),)},
    ],
)
def test_what_the_plan_found_out_counts_before_the_ledger(parts):
    """Entra was asked when the plan was made; the ledger is older."""
    known = known_by(a_plan(**parts), a_ledger(an_entry("E1"), an_entry("E2")))

    assert dict(known) == {"E1": Known("new", "e1@contoso.com"), "E2": Known("id-E2", "e2@contoso.com")}
    assert known.get("E1") == Known("new", "e1@contoso.com")


def test_whoever_lost_their_account_has_none():
    """What the plan found out may be that there is none any more."""
    known = known_by(a_plan(changes=(an_unmatched("E1"),)), a_ledger(an_entry("E1")))

    assert dict(known) == {}
    assert known.get("E1") is None
