"""What a night plans: who is sent, who is deleted, who is left alone; and what becomes of a plan half done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.accounts import Account, Known, ask, referred_key
from connector.core.approval import action_lines
from connector.core.ledger import due_times
from connector.core.plan import (
    IN_DOUBT,
    TRANSFER_WAITS,
    Delete,
    Population,
    Progress,
    Upsert,
    fold,
    hold,
    in_pilot,
    pilot_waits,
)
from tests.core.nights import Night, Tenant, a_night, changed, everything
from tests.core.people import DAY, NOW, a_ledger, a_person, an_entry

if TYPE_CHECKING:
    from connector.core.ledger import Ledger
    from connector.core.mapping import Person

ADA = a_person("E1", references=("E9",))
BOSS = a_person("E9")


def known_people(*people, **rules) -> Ledger:
    """Return the ledger after a night on which all of these people were sent."""
    return a_night(*people, **rules).after


def adds_up(night: Night) -> bool:
    """Tell whether everybody accepted is counted exactly once (interface, report)."""
    plan = night.plan
    counted = plan.unchanged + len(night.upserts) + plan.unmatched + plan.outside + plan.leavers
    return plan.people == counted


# --- who is sent ------------------------------------------------------------------------------------------------------


def test_everybody_new_is_created():
    """On the first night everybody with an account is sent, and what is sent is remembered."""
    night = a_night(ADA, BOSS)

    assert night.upserts == {"E1": True, "E9": True}
    entry = night.after.entries["E1"]
    assert (entry.state, entry.held, entry.sent, entry.item_id) == ("sent", True, NOW, "uE1")
    assert (entry.user_id, entry.upn, entry.references) == ("id-e1@contoso.com", "e1@contoso.com", ("E9",))
    assert adds_up(night)


def test_an_unchanged_export_plans_nothing():
    """Nobody is rendered, asked for, sent or noted; everybody is counted as unchanged."""
    night = a_night(ADA, BOSS, ledger=known_people(ADA, BOSS), now=NOW + 6 * DAY)

    assert night.plan.actions == ()
    assert night.plan.changes == ()
    assert night.rendered == frozenset()
    assert night.asked == ()
    assert night.plan.unchanged == 2


def test_a_mover_alone_is_sent():
    """A changed cell sends that person and nobody else."""
    night = a_night(replace(ADA, cells=b"a new title"), BOSS, ledger=known_people(ADA, BOSS))

    assert night.upserts == {"E1": False}
    assert night.plan.unchanged == 1


def test_a_joiner_alone_is_sent():
    """A new key is created; the others are left alone."""
    assert a_night(ADA, BOSS, ledger=known_people(BOSS)).upserts == {"E1": True}


def test_a_renamed_account_keeps_its_item():
    """A new UPN is looked up, and the same item is put again."""
    before = changed(known_people(ADA, BOSS), "E1", item_id="what it was called")

    night = a_night(replace(ADA, account="ada.l@contoso.com"), BOSS, ledger=before)

    assert night.asked == ("ada.l@contoso.com",)
    assert night.upserts == {"E1": False}
    assert night.deletes == {}
    assert night.after.entries["E1"].item_id == "what it was called"


def test_a_managers_new_account_sends_the_reports():
    """Whoever refers to somebody carries their account, so it is sent anew with it; others are not."""
    other = a_person("E5")

    night = a_night(ADA, replace(BOSS, account="boss@contoso.com"), other, ledger=known_people(ADA, BOSS, other))

    assert set(night.upserts) == {"E1", "E9"}


def test_a_new_spelling_in_entra_is_no_change_until_it_is_looked_up():
    """Entra's own spelling is what is sent; when the lookup brings another one, the item follows."""
    spelt = {"e9@contoso.com": Account(id="id-e9@contoso.com", upn="E9@Contoso.com", mail="x")}

    night = a_night(ADA, BOSS, ledger=known_people(ADA, BOSS), accounts=spelt, now=NOW + 7 * DAY)

    assert set(night.upserts) == {"E1", "E9"}


def test_what_renders_alike_is_not_sent():
    """When the source changed and the item did not, nothing is sent, and next time nothing is rendered either."""
    ledger = known_people(ADA, BOSS, render=lambda *_: b"the same")

    night = a_night(ADA, BOSS, ledger=ledger, sender=b"a new release", render=lambda *_: b"the same", now=NOW + DAY)

    assert night.rendered == {"E1", "E9"}
    assert night.plan.actions == ()
    assert night.plan.unchanged == 2
    assert night.after.entries["E1"].sent == NOW
    again = a_night(ADA, BOSS, ledger=night.after, sender=b"a new release", render=lambda *_: b"the same")
    assert again.rendered == frozenset()


def test_a_new_mapping_sends_whose_item_changes():
    """A changed mapping renders everyone and sends those whose item comes out differently."""

    def new_release(person, account, references):
        return b"another" if person.key == "E1" else everything(person, account, references)

    night = a_night(ADA, BOSS, ledger=known_people(ADA, BOSS), sender=b"new mapping", render=new_release)

    assert night.rendered == {"E1", "E9"}
    assert night.upserts == {"E1": False}


def test_a_full_run_sends_everyone():
    """Asked for everything, everyone is looked up and sent, changed or not."""
    night = a_night(ADA, BOSS, ledger=known_people(ADA, BOSS), full=True)

    assert night.upserts == {"E1": False, "E9": False}
    assert set(night.asked) == {"e1@contoso.com", "e9@contoso.com"}


@pytest.mark.parametrize("state", ["failed", "doubt"])
def test_who_failed_or_is_in_doubt_is_sent_again(state):
    """Whatever the digests say, Graph may hold something else; what Graph may hold is an update, else a creation."""
    ledger = known_people(ADA, BOSS)

    held = a_night(ADA, BOSS, ledger=changed(ledger, "E1", state=state))
    not_held = a_night(ADA, BOSS, ledger=changed(ledger, "E1", state=state, held=False))

    assert held.upserts == {"E1": False}
    assert not_held.upserts == {"E1": True}


# --- who is not sent --------------------------------------------------------------------------------------------------


def test_somebody_without_account_is_unmatched():
    """Nothing is sent, the reason is noted, and Entra is not asked again on the same day."""
    night = a_night(ADA, BOSS, missing=["e1@contoso.com"])

    assert set(night.upserts) == {"E9"}
    assert night.plan.unmatched == 1
    entry = night.after.entries["E1"]
    assert (entry.state, entry.held, entry.code) == ("unmatched", False, "no_account")
    assert a_night(ADA, BOSS, ledger=night.after).asked == ()
    assert a_night(ADA, BOSS, ledger=night.after, now=NOW + DAY).upserts == {"E1": True}


def test_an_account_that_vanishes_takes_no_profile_away():
    """Somebody whose account is not found any more stays as sent, and is sent again when it comes back."""
    ledger = known_people(ADA, BOSS)

    gone = a_night(ADA, BOSS, ledger=ledger, missing=["e1@contoso.com"], now=NOW + 7 * DAY)

    assert gone.plan.actions == ()
    assert (gone.after.entries["E1"].state, gone.after.entries["E1"].held) == ("unmatched", True)
    assert a_night(ADA, BOSS, ledger=gone.after, now=NOW + 8 * DAY).upserts == {"E1": False}


def test_a_manager_whom_hr_renames_first_keeps_the_last_known_account():
    """While Entra does not know the new UPN, the reports keep the account they were sent with, and nothing is sent."""
    ledger = known_people(ADA, BOSS)
    renamed = replace(BOSS, account="boss@contoso.com")

    night = a_night(ADA, renamed, ledger=ledger, missing=["boss@contoso.com"])
    next_night = a_night(ADA, renamed, ledger=night.after)
    in_the_end = a_night(ADA, renamed, ledger=night.after, now=NOW + DAY)

    assert night.plan.actions == ()
    assert (next_night.plan.actions, next_night.asked) == ((), ())
    assert next_night.references.of["E1"] == (Known("id-e9@contoso.com", "e9@contoso.com"),)
    assert set(in_the_end.upserts) == {"E1", "E9"}


def test_a_leaver_with_a_status_word_is_deleted_at_once():
    """The grace delays absence only, never a status word."""
    night = a_night(replace(ADA, leaver=True), BOSS, ledger=known_people(ADA, BOSS), grace=5)

    assert night.deletes == {"E1": "left"}
    assert "E1" not in night.after.entries
    assert adds_up(night)


def test_a_leaver_of_whom_nothing_was_sent_is_forgotten():
    """Without an item there is nothing to delete; a leaver nobody knew is nobody."""
    unmatched = a_night(ADA, BOSS, missing=["e1@contoso.com"]).after

    known = a_night(replace(ADA, leaver=True), BOSS, ledger=unmatched)
    stranger = a_night(replace(ADA, leaver=True), BOSS, ledger=known_people(BOSS))

    assert (known.plan.actions, "E1" in known.after.entries) == ((), False)
    assert (stranger.plan.actions, stranger.plan.changes) == ((), ())
    assert known.plan.leavers == stranger.plan.leavers == 1


def test_a_rehire_under_a_new_key_has_the_new_item_first():
    """The old key left, the new one has its account: the new item is put, the old one deleted."""
    rehired = a_person("E2", account=ADA.account)

    night = a_night(replace(ADA, leaver=True), rehired, BOSS, ledger=known_people(ADA, BOSS))

    assert (night.upserts, night.deletes) == ({"E2": True}, {"E1": "left"})


@pytest.mark.parametrize("grace", [0, 1, 2, 5])
def test_absence_acts_after_the_grace(grace):
    """Absent from one complete export and from as many further ones as the grace says, and not before."""
    ledger = known_people(ADA, BOSS)
    for _ in range(grace):
        night = a_night(BOSS, ledger=ledger, grace=grace)
        assert (night.plan.actions, night.plan.grace) == ((), 1)
        ledger = night.after

    last = a_night(BOSS, ledger=ledger, grace=grace)

    assert last.deletes == {"E1": "absent"}
    assert last.plan.grace == 0
    assert set(last.after.entries) == {"E9"}


def test_going_through_the_same_export_again_counts_no_absence():
    """Only a further export is a further absence."""
    once = a_night(BOSS, ledger=known_people(ADA, BOSS)).after

    again = a_night(BOSS, ledger=once, new=False)

    assert again.plan.actions == ()
    assert again.plan.grace == 1
    assert again.after.entries["E1"].absent == 1


def test_whoever_returns_within_the_grace_is_present_again():
    """One appearance ends the absence, and nothing is sent for it; the count begins anew."""
    away = a_night(BOSS, ledger=known_people(ADA, BOSS)).after

    back = a_night(ADA, BOSS, ledger=away)

    assert back.plan.actions == ()
    assert back.after.entries["E1"].absent == 0
    assert a_night(BOSS, ledger=back.after).deletes == {}


def test_a_rejected_row_leaves_its_person_as_is():
    """Neither sent nor deleted, nor a step nearer to it, however often."""
    ledger = a_night(BOSS, ledger=known_people(ADA, BOSS)).after
    for _ in range(3):
        night = a_night(BOSS, ledger=ledger, rejected=["E1"])
        assert night.plan.actions == ()
        ledger = night.after

    assert ledger.entries["E1"].absent == 0
    assert ledger.entries["E1"].held


@pytest.mark.parametrize(
    ("overdue", "put_off"),
    [
        ({"state": "failed", "retry_at": NOW}, {"retry_at": NOW + DAY}),
        ({"state": "doubt", "retry_at": NOW - 1}, {"retry_at": NOW + DAY}),
        ({"state": "failed", "retry_at": NOW + 1}, {"retry_at": NOW + 1}),
        ({"state": "unmatched", "resolved": NOW - DAY}, {"resolved": NOW}),
        ({"state": "sent", "resolved": NOW - 7 * DAY}, {"resolved": NOW}),
        ({"state": "sent", "resolved": NOW - 6 * DAY}, {"resolved": NOW - 6 * DAY}),
    ],
)
@pytest.mark.parametrize("why", [{"rejected": ["E1"]}, {"complete": False}])
def test_what_is_due_of_somebody_left_aside_is_put_off(overdue, put_off, why):
    """A run can do nothing for them, and would be due again at every tick for as long as the row stays as it is."""
    ledger = changed(known_people(ADA, BOSS), "E1", **overdue)

    after = a_night(BOSS, ledger=ledger, **why).after.entries["E1"]

    assert {name: getattr(after, name) for name in put_off} == put_off


@pytest.mark.parametrize("overdue", [{"state": "failed", "retry_at": NOW}, {"resolved": NOW - 7 * DAY}])
@pytest.mark.parametrize(
    ("people", "absent", "unreadable"),
    [
        pytest.param((BOSS, replace(ADA, leaver=True)), 0, 0, id="left"),
        pytest.param((BOSS,), 2, 0, id="absent"),
        pytest.param((BOSS,), 2, 1, id="unproven"),
        pytest.param((BOSS, a_person("E5", account=ADA.account)), 0, 0, id="transferred"),
    ],
)
def test_a_held_deletion_is_not_due_at_every_tick(overdue, people, absent, unreadable):
    """It waits for a human, perhaps for weeks; until then there is nothing to try again or to look up every time."""
    ledger = changed(known_people(ADA, BOSS), "E1", absent=absent, **overdue)
    night = a_night(*people, ledger=ledger, unreadable=unreadable)

    held = hold(night.plan)
    done = dict.fromkeys(range(len(held.actions)), "")
    after = fold(ledger, held, Progress(frozenset(done), done), now=NOW, whole=True)

    assert [delete.entry.key for delete in held.held] == ["E1"]
    due = due_times(after, resolve_after=7 * DAY, unmatched_after=DAY)
    assert all(moment == 0 or moment > NOW for moment in (due.failed, due.unmatched, due.accounts))


def test_unreadable_rows_stop_absence():
    """A row whose key cannot be read may be the absent person's: nobody comes nearer to being deleted."""
    away = a_night(BOSS, ledger=known_people(ADA, BOSS)).after

    night = a_night(BOSS, ledger=away, unreadable=1)

    assert night.deletes == {}
    assert night.after.entries["E1"].absent == 1
    assert night.plan.held == ()


def test_unreadable_rows_hold_the_absences_that_were_due():
    """Deletions that a former night held stay held while a row is unreadable."""
    overdue = changed(known_people(ADA, BOSS), "E1", absent=2)

    night = a_night(BOSS, ledger=overdue, unreadable=1)

    assert night.deletes == {}
    assert [delete.entry.key for delete in night.plan.held] == ["E1"]


def test_unreadable_rows_let_nobody_be_forgotten():
    """Somebody of whom nothing was sent may be the unreadable row; others go on referring to their account."""
    ledger = a_ledger(an_entry("E9", state="outside", held=False), *known_people(ADA).entries.values())

    night = a_night(ADA, ledger=ledger, unreadable=1)

    assert "E9" in night.after.entries
    assert "E9" not in a_night(ADA, ledger=ledger).after.entries


def test_unreadable_rows_do_not_stop_a_status_word():
    """Somebody who left by status word is deleted whatever the other rows are."""
    assert a_night(replace(ADA, leaver=True), BOSS, ledger=known_people(ADA, BOSS), unreadable=1).deletes == {
        "E1": "left"
    }


def test_a_partial_export_deletes_nobody():
    """Whoever is not in a partial export is not absent; status words act all the same."""
    ledger = known_people(ADA, BOSS, a_person("E5"))

    night = a_night(replace(BOSS, leaver=True), ledger=ledger, complete=False, grace=0)

    assert night.deletes == {"E9": "left"}
    assert night.plan.grace == 0
    assert night.after.entries["E1"] == ledger.entries["E1"]


@pytest.mark.parametrize("row", [(), (replace(ADA, outside=True),)], ids=["no row", "out of scope"])
def test_somebody_missing_who_turns_up_under_a_new_key_is_a_transfer_even_in_a_partial_export(row):
    """Whoever was not in the last complete export, and now has another key, does not stay on the card twice."""
    rekeyed = a_person("N1", account=ADA.account)
    missing = a_night(BOSS, ledger=known_people(ADA, BOSS)).after

    night = a_night(rekeyed, *row, ledger=missing, complete=False)

    assert (night.upserts, night.deletes) == ({"N1": True}, {"E1": "transferred"})


def test_an_account_under_a_new_key_is_a_transfer():
    """The new item is put, the old one deleted at once, and nobody counts as a leaver."""
    rekeyed = a_person("N1", account=ADA.account)

    night = a_night(rekeyed, BOSS, ledger=known_people(ADA, BOSS), grace=5)

    assert (night.upserts, night.deletes) == ({"N1": True}, {"E1": "transferred"})
    assert night.plan.transferred == 1
    assert isinstance(night.plan.actions[0], Upsert)
    assert isinstance(night.plan.actions[-1], Delete)


def test_a_transfer_needs_the_old_key_to_be_absent():
    """When the old key is rejected rather than absent, nothing proves the transfer."""
    rekeyed = a_person("N1", account=ADA.account)

    assert a_night(rekeyed, BOSS, ledger=known_people(ADA, BOSS), rejected=["E1"]).deletes == {}


# --- pilot ------------------------------------------------------------------------------------------------------------


def test_only_the_pilot_is_sent():
    """Others are counted as out of scope; a manager outside the pilot is looked up for the sake of the reports."""
    night = a_night(ADA, BOSS, a_person("E5"), pilot=["E1@contoso.com"])

    assert night.upserts == {"E1": True}
    assert set(night.asked) == {"e1@contoso.com", "e9@contoso.com"}
    assert night.plan.outside == 2
    assert adds_up(night)


@pytest.mark.parametrize("missing", [[], ["e9@contoso.com"]])
def test_a_manager_outside_the_pilot_is_not_looked_up_every_night(missing):
    """Whether found or not, the answer is remembered, so that an unchanged export makes no request."""
    pilot = ["e1@contoso.com"]
    first = a_night(ADA, BOSS, pilot=pilot, missing=missing)

    night = a_night(ADA, BOSS, ledger=first.after, pilot=pilot)

    assert (night.asked, night.plan.actions, night.plan.changes) == ((), (), ())


def test_a_renamed_manager_outside_the_pilot_is_looked_up_once():
    """The reports are sent with the new account, once; then it is known."""
    pilot = ["e1@contoso.com"]
    renamed = replace(BOSS, account="boss@contoso.com")

    night = a_night(ADA, renamed, ledger=a_night(ADA, BOSS, pilot=pilot).after, pilot=pilot)
    next_night = a_night(ADA, renamed, ledger=night.after, pilot=pilot)

    assert (night.asked, night.upserts) == (("boss@contoso.com",), {"E1": False})
    assert (next_night.asked, next_night.plan.actions) == ((), ())


def test_a_narrower_pilot_takes_nobodys_profile_away():
    """Whoever falls out of the pilot is neither sent nor deleted; who comes back is sent if something changed."""
    ledger = known_people(ADA, BOSS)

    out = a_night(replace(ADA, cells=b"new title"), BOSS, ledger=ledger, pilot=["e9@contoso.com"])
    back = a_night(replace(ADA, cells=b"new title"), BOSS, ledger=out.after)
    back_unchanged = a_night(ADA, BOSS, ledger=out.after)

    assert out.plan.actions == ()
    assert back.upserts == {"E1": False}
    assert back_unchanged.plan.actions == ()


def test_a_leaver_outside_the_pilot_is_deleted_all_the_same():
    """What was sent once is taken back when the person leaves."""
    night = a_night(replace(ADA, leaver=True), BOSS, ledger=known_people(ADA, BOSS), pilot=["e9@contoso.com"])

    assert night.deletes == {"E1": "left"}


def test_a_percentage_is_stable_by_key():
    """A share of everybody, about as large as asked for; a larger share contains a smaller one, whatever the UPN."""
    people = [a_person(f"E{number}", account=f"{number}@x") for number in range(2000)]

    five, twenty = in_pilot(["5%"]), in_pilot(["20%"])

    assert 60 <= sum(map(five, people)) <= 140
    assert 320 <= sum(map(twenty, people)) <= 480
    assert all(twenty(person) for person in people if five(person))
    assert all(five(replace(person, account="other@x")) == five(person) for person in people)
    assert all(map(in_pilot(["100%"]), people))


def test_a_pilot_of_upns_is_judged_by_the_upn_entra_gave():
    """HR's export has no UPN where people are matched by something else; whoever Entra does not know is not in it."""
    ann, bob = a_person("E1", account=ask("mail", "ann@x.com")), a_person("E2", account=ask("mail", "bob@x.com"))
    pilot = ["Ann@contoso.com"]
    accounts = {"E1": Known("id-1", "ann@contoso.com"), "E2": Known("id-2", "bob@contoso.com")}

    before, after = in_pilot(pilot), in_pilot(pilot, accounts)

    assert [pilot_waits(pilot, person) for person in (ann, bob, ADA)] == [True, True, False]
    assert not any(map(before, (ann, bob)))
    assert [after(person) for person in (ann, bob)] == [True, False]
    assert not pilot_waits(["5%"], ann)
    assert not pilot_waits([], ann)


# --- out of scope -----------------------------------------------------------------------------------------------------

AWAY = a_person("E5", outside=True)


def test_whoever_is_out_of_scope_is_not_sent_counted_or_looked_up():
    """The mapping leaves the row out: it is none of the people, and nobody asks Entra about it."""
    night = a_night(ADA, BOSS, AWAY)

    assert (set(night.upserts), set(night.asked)) == ({"E1", "E9"}, {"e1@contoso.com", "e9@contoso.com"})
    assert (night.plan.people, night.plan.out_of_scope) == (2, 1)
    assert "E5" not in night.after.entries
    assert adds_up(night)


@pytest.mark.parametrize("grace", [0, 1, 2])
def test_falling_out_of_scope_is_as_good_as_being_absent(grace):
    """Complete exports count, grace included; then the item is deleted as absent."""
    ledger = known_people(ADA, BOSS, replace(AWAY, outside=False))
    for _ in range(grace):
        night = a_night(ADA, BOSS, AWAY, ledger=ledger, grace=grace)
        assert (night.deletes, night.plan.missing) == ({}, ("E5",))
        assert a_night(ADA, BOSS, AWAY, ledger=night.after, grace=grace, new=False).after == replace(
            night.after, generation=night.after.generation + 1
        )
        ledger = night.after

    last = a_night(ADA, BOSS, AWAY, ledger=ledger, grace=grace)

    assert last.deletes == {"E5": "absent"}
    assert "E5" not in last.after.entries


def test_a_partial_export_takes_nobody_out_of_scope():
    """It says nothing about who is absent, so nothing about who is as good as that."""
    ledger = known_people(ADA, BOSS, replace(AWAY, outside=False))

    night = a_night(AWAY, ledger=ledger, grace=0, complete=False)

    assert (night.plan.actions, night.plan.missing) == ((), ())
    assert night.after.entries == ledger.entries


def test_unreadable_rows_keep_those_out_of_scope_as_they_keep_the_absent():
    """An unreadable row may be theirs, and in scope."""
    ledger = known_people(ADA, BOSS, replace(AWAY, outside=False))

    night = a_night(ADA, BOSS, AWAY, ledger=ledger, grace=0, unreadable=1)

    assert night.deletes == {}
    assert night.after.entries["E5"].absent == 0


def test_whoever_comes_back_into_scope_in_time_is_unchanged():
    """Nothing was deleted, so nothing need be sent; the absences are forgotten."""
    ledger = known_people(ADA, BOSS, replace(AWAY, outside=False))
    night = a_night(ADA, BOSS, AWAY, ledger=ledger)

    back = a_night(ADA, BOSS, replace(AWAY, outside=False), ledger=night.after)

    assert back.plan.actions == ()
    assert back.after.entries["E5"].absent == 0


def test_the_account_of_somebody_out_of_scope_is_free():
    """Under another key in scope it is a transfer, as from somebody absent."""
    ledger = known_people(ADA, BOSS, replace(AWAY, outside=False))

    night = a_night(ADA, BOSS, AWAY, a_person("N5", account=AWAY.account), ledger=ledger, grace=5)

    assert (night.upserts, night.deletes) == ({"N5": True}, {"E5": "transferred"})


@pytest.mark.parametrize("missing", [(), ("e9@contoso.com",)])
def test_a_manager_out_of_scope_is_looked_up_once(missing):
    """For the sake of the reports; found or not, an unchanged export then asks and changes nothing."""
    boss = replace(BOSS, outside=True)

    night = a_night(ADA, boss, missing=missing)
    again = a_night(ADA, boss, ledger=night.after)

    assert night.upserts == {"E1": True}
    assert night.references.of["E1"] == ((None,) if missing else (Known("id-e9@contoso.com", "e9@contoso.com"),))
    assert (night.after.entries["E9"].state, night.after.entries["E9"].held) == (
        "unmatched" if missing else "outside",
        False,
    )
    assert (again.asked, again.plan.actions, again.plan.changes) == ((), (), ())


def test_a_manager_who_falls_out_of_scope_stays_the_manager():
    """The item goes after the grace; the reports are not sent again, then or later."""
    boss = replace(BOSS, outside=True)
    ledger = known_people(ADA, BOSS)
    for expected in ({}, {"E9": "absent"}, {}, {}):
        night = a_night(ADA, boss, ledger=ledger)

        assert (night.upserts, night.deletes, night.asked) == ({}, expected, ())
        assert night.references.of["E1"] == (Known("id-e9@contoso.com", "e9@contoso.com"),)
        ledger = night.after
    assert (ledger.entries["E9"].state, ledger.entries["E9"].held) == ("outside", False)


def test_somebody_out_of_scope_whose_removal_is_held_or_refused_is_removed_later():
    """The item counts as there until Graph has confirmed the deletion."""
    boss = replace(BOSS, outside=True)
    due = a_night(ADA, boss, ledger=changed(known_people(ADA, BOSS), "E9", absent=1))

    held = fold(due.ledger, hold(due.plan), Progress(), now=NOW, whole=True)
    refused = due.folded({0: "badRequest"})

    assert all(a_night(ADA, boss, ledger=ledger).deletes == {"E9": "absent"} for ledger in (held, refused))


def test_a_leaver_who_was_known_outside_is_forgotten():
    """A status word ends it, whatever was known for the sake of others."""
    once = a_night(ADA, replace(BOSS, outside=True), ledger=known_people(ADA, BOSS), grace=0)
    left = replace(BOSS, leaver=True)

    assert once.after.entries["E9"].state == "outside"
    assert "E9" not in a_night(ADA, left, ledger=once.after).after.entries
    held = changed(once.after, "E9", held=True)
    assert "E9" not in a_night(ADA, left, ledger=held).after.entries
    assert "E9" not in a_night(ADA, ledger=held, grace=0).after.entries


# --- whom others name by an account -----------------------------------------------------------------------------------

NAMED = a_person(referred_key("boss@contoso.com"), account="boss@contoso.com", outside=True, references=())
REPORT = a_person("E1", references=(NAMED.key,))


def test_whom_others_name_is_known_and_counts_as_nobody():
    """The account serves the reports; no item, none of the people, and the next night asks nothing."""
    night = a_night(REPORT, NAMED)
    again = a_night(REPORT, NAMED, ledger=night.after)

    assert night.references.of["E1"] == (Known("id-boss@contoso.com", "boss@contoso.com"),)
    assert (set(night.upserts), night.plan.people, night.plan.out_of_scope) == ({"E1"}, 1, 0)
    assert night.after.people == night.after.held == 1
    assert (again.asked, again.plan.actions, again.plan.changes) == ((), (), ())


def test_whom_nobody_names_any_more_is_forgotten():
    """By a complete export; a partial one does not know."""
    ledger = a_night(REPORT, NAMED).after

    complete = a_night(replace(REPORT, references=("",)), ledger=ledger)
    partial = a_night(BOSS, ledger=ledger, complete=False)

    assert NAMED.key not in complete.after.entries
    assert NAMED.key in partial.after.entries


def test_whom_entra_does_not_know_is_asked_for_daily_and_sent_when_there():
    """Until then the reports are sent without a manager, with a warning each night."""
    first = a_night(REPORT, NAMED, missing=[NAMED.account])

    same_day = a_night(REPORT, NAMED, ledger=first.after, missing=[NAMED.account])
    next_day = a_night(REPORT, NAMED, ledger=same_day.after, now=NOW + DAY)

    assert first.references.warnings == same_day.references.warnings == {"manager_unknown": ["E1"]}
    assert (same_day.asked, same_day.plan.actions) == ((), ())
    assert due_times(first.after, resolve_after=7 * DAY, unmatched_after=DAY).unmatched == NOW + DAY
    assert (next_day.asked, next_day.upserts) == ((NAMED.account,), {"E1": False})


def test_that_the_named_one_left_is_remembered():
    """The leaver's entry goes with the item; the reports are sent without manager once, and stay so."""
    boss = a_person("E9", account=ask("mail", "boss@x.com"))
    accounts = {"mail:boss@x.com": Account("id-boss@contoso.com", "boss@contoso.com", "boss@x.com")}
    before = a_night(REPORT, boss, NAMED, accounts=accounts).after

    leaves = a_night(REPORT, replace(boss, leaver=True), NAMED, ledger=before)
    later = a_night(REPORT, replace(boss, leaver=True), NAMED, ledger=leaves.after)
    refreshed = a_night(REPORT, replace(boss, leaver=True), NAMED, ledger=later.after, now=NOW + 8 * DAY)

    assert (leaves.upserts, leaves.deletes) == ({"E1": False}, {"E9": "left"})
    assert leaves.references.of["E1"] == (None,)
    assert (later.asked, later.plan.actions, later.plan.changes) == ((), (), ())
    assert refreshed.plan.actions == ()


# --- asks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("match", ["mail", "employeeId", "id"])
def test_an_unchanged_night_asks_nothing_whatever_people_are_matched_by(match):
    """The ledger remembers the ask where it is not the UPN that Entra gave."""
    person = a_person("E1", account=ask(match, "E1-Text"))
    night = a_night(person)

    again = a_night(person, ledger=night.after)
    unmatched = a_night(person, missing=[person.account.casefold()])
    unmatched_again = a_night(person, ledger=unmatched.after)

    assert (night.after.entries["E1"].upn, night.after.entries["E1"].asked) == ("e1-text@entra.example", person.account)
    assert (again.asked, again.plan.actions, again.plan.changes) == ((), (), ())
    assert (unmatched.after.entries["E1"].upn, unmatched.after.entries["E1"].asked) == ("", person.account)
    assert (unmatched_again.asked, unmatched_again.plan.changes) == ((), ())


def test_a_upn_is_remembered_once():
    """Entra's spelling is enough to know what was asked for."""
    assert a_night(replace(ADA, account="E1@Contoso.com")).after.entries["E1"].asked == ""


def test_another_ask_for_the_same_user_sends_nothing():
    """A new mail address in HR and in Entra is no new account; it is asked for once."""
    before = a_night(a_person(account="mail:ann@x.com")).after
    married = a_person(account="mail:ann.b@x.com")
    accounts = {"mail:ann.b@x.com": Account("id-ann@entra.example", "ann@entra.example", "ann.b@x.com")}

    night = a_night(married, ledger=before, accounts=accounts)
    again = a_night(married, ledger=night.after)

    assert (night.asked, night.plan.actions) == (("mail:ann.b@x.com",), ())
    assert (again.asked, again.plan.changes) == ((), ())


# --- contested accounts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ledger", [a_ledger(), known_people(ADA, BOSS)], ids=["new", "sent before"])
def test_whose_account_is_ambiguous_is_left_as_they_are(ledger):
    """Neither sent nor deleted, nor one of the people: the row is rejected; others refer to the last known account."""
    ambiguous = replace(ADA, account="mail:shared@x.com")
    report = a_person("E2", references=("E1",))
    sent_before = "E1" in ledger.entries

    night = a_night(ambiguous, BOSS, report, ledger=ledger, ambiguous=["mail:shared@x.com"])
    same = a_night(ambiguous, BOSS, report, ledger=night.after, ambiguous=["mail:shared@x.com"])

    entry = night.after.entries["E1"]
    assert "E1" not in {*night.upserts, *night.deletes}
    assert (night.plan.people, night.plan.unmatched) == (2, 0)
    assert (entry.state, entry.code, entry.held) == ("unmatched", "bad_account", sent_before)
    assert night.references.of["E2"] == ((Known("id-e1@contoso.com", "e1@contoso.com"),) if sent_before else (None,))
    assert (same.asked, same.plan.actions) == (("mail:shared@x.com",), ())


def test_an_account_that_is_no_longer_ambiguous_is_sent_at_once():
    """Entra is asked with each export, so that whoever mended it need not wait."""
    ambiguous = replace(ADA, account="mail:shared@x.com")
    before = a_night(ambiguous, BOSS, ambiguous=["mail:shared@x.com"]).after

    night = a_night(ambiguous, BOSS, ledger=before)

    assert night.upserts == {"E1": True}
    assert night.after.entries["E1"].code == ""


def test_two_people_with_one_user_are_both_left_as_they_are():
    """Neither wins, tonight or tomorrow, until one of them has a user of their own."""
    one, two = a_person("E1", account="mail:a@x.com"), a_person("E2", account="mail:b@x.com")
    accounts = dict.fromkeys(("mail:a@x.com", "mail:b@x.com"), Account("id-one", "one@contoso.com"))
    before = a_night(one, accounts=accounts).after

    night = a_night(one, two, ledger=before, accounts=accounts)
    tomorrow = a_night(one, two, ledger=night.after, accounts=accounts)
    mended = a_night(one, replace(two, account="mail:c@x.com"), ledger=tomorrow.after, accounts=accounts)

    for each in (night, tomorrow):
        assert each.plan.actions == ()
        assert each.matching.contested == {"E1": "duplicate_account", "E2": "duplicate_account"}
    assert mended.upserts == {"E1": False, "E2": True}


# --- holding ----------------------------------------------------------------------------------------------------------


LOST = replace(ADA, account="lost@contoso.com")


def moved(*people: Person, ledger: Ledger, **rules: Any) -> Night:
    """Plan the night on which Entra's user of E1 has become that of the joiner N1."""
    accounts = {"new@contoso.com": Account("id-e1@contoso.com", "new@contoso.com")}
    return a_night(a_person("N1", account="new@contoso.com"), *people, ledger=ledger, accounts=accounts, **rules)


@pytest.mark.parametrize("answer", ["missing", "ambiguous"])
def test_an_item_on_the_card_of_somebody_else_goes(answer):
    """Whose user has become another person's leaves nothing on that one's card: no leaver, but a transfer."""
    night = moved(LOST, BOSS, ledger=known_people(ADA, BOSS), **{answer: [LOST.account]})
    again = moved(LOST, BOSS, ledger=night.after, **{answer: [LOST.account]})

    assert (night.upserts, night.deletes) == ({"N1": True}, {"E1": "transferred"})
    assert again.plan.actions == ()
    assert night.plan.transferred == 1


def test_an_item_outside_the_pilot_goes_from_the_card_of_somebody_else_too():
    """A narrower pilot takes nobody's profile away; this one is not theirs any more. As a manager they stay known."""
    report = a_person("E2", references=("E1",))
    ledger = known_people(ADA, report)
    pilot = ["new@contoso.com", "e2@contoso.com"]

    unknown = moved(LOST, report, ledger=ledger, pilot=pilot, missing=[LOST.account])
    another = moved(LOST, report, ledger=ledger, pilot=pilot)

    assert unknown.deletes == {"E1": "transferred"}
    assert (another.upserts, another.deletes) == ({"N1": True, "E2": False}, {"E1": "transferred"})
    assert another.references.of["E2"] == (Known("id-lost@contoso.com", "lost@contoso.com"),)
    assert moved(LOST, report, ledger=another.after, pilot=pilot).plan.actions == ()


def test_held_deletions_wait_while_upserts_go_on():
    """Holding a plan keeps its upserts and moves every deletion aside, absences counted."""
    ledger = changed(known_people(ADA, BOSS, a_person("E5"), a_person("E6")), "E6", absent=1)
    night = a_night(replace(ADA, leaver=True), BOSS, a_person("E7"), ledger=ledger, grace=1)

    plan = hold(night.plan)

    assert set(night.deletes) == {"E1", "E6"}
    assert [action.after.key for action in plan.actions if isinstance(action, Upsert)] == ["E7"]
    assert not any(isinstance(action, Delete) for action in plan.actions)
    assert {delete.entry.key for delete in plan.held} == {"E1", "E6"}
    after = fold(ledger, plan, Progress(frozenset({0}), {0: ""}), now=NOW, whole=True)
    assert {"E1", "E6", "E7"} < set(after.entries)
    assert after.entries["E6"].absent == 2


def test_what_was_held_is_held_again_when_planned_again():
    """The same export planned again holds the same deletions under the same hash, without further absences."""
    ledger = changed(known_people(ADA, BOSS, a_person("E5")), "E5", absent=1)
    first = hold(a_night(replace(ADA, leaver=True), BOSS, ledger=ledger).plan)
    after = fold(ledger, first, Progress(), now=NOW, whole=True)

    second = hold(a_night(replace(ADA, leaver=True), BOSS, ledger=after, new=False).plan)

    assert action_lines(second.held) == action_lines(first.held)
    assert {delete.entry.absent for delete in second.held} == {0, 2}


def test_who_returns_is_held_no_longer():
    """Somebody whose deletion waited and who is in the next export stays."""
    ledger = changed(known_people(ADA, BOSS), "E1", absent=1)
    held = hold(a_night(BOSS, ledger=ledger).plan)
    after = fold(ledger, held, Progress(), now=NOW, whole=True)

    night = a_night(ADA, BOSS, ledger=after)

    assert (night.plan.actions, night.plan.held) == ((), ())


# --- what became of it ------------------------------------------------------------------------------------------------


def test_progress_tells_what_is_left():
    """What has an outcome is done; what was announced without one is done again."""
    night = a_night(ADA, BOSS, a_person("E5"))

    progress = Progress(frozenset({0, 1}), {0: ""})

    assert list(progress.remaining(night.plan)) == [1, 2]
    assert not progress.is_complete(night.plan)
    assert Progress(frozenset({0, 1, 2}), {0: "", 1: "badRequest", 2: ""}).is_complete(night.plan)


def test_a_refused_item_is_noted_with_its_code_and_tried_later():
    """Graph's 4xx for one item: not held when it was new, due in about a quarter of an hour, then later and later."""
    night = a_night(ADA, BOSS)
    index = list(night.upserts).index("E1")

    first = night.folded({index: "invalidRequest", 1 - index: ""})
    second_night = a_night(ADA, BOSS, ledger=first)
    second = second_night.folded({0: "invalidRequest"})

    entry = first.entries["E1"]
    assert (entry.state, entry.held, entry.code, entry.failures) == ("failed", False, "invalidRequest", 1)
    assert 0 < entry.retry_at - NOW <= 15 * 60
    assert second_night.upserts == {"E1": True}
    assert second.entries["E1"].retry_at - NOW == 2 * (entry.retry_at - NOW)


def test_a_refused_update_leaves_the_item_held():
    """The former item is still there, so it will be deleted when its person leaves."""
    night = a_night(replace(ADA, cells=b"new"), BOSS, ledger=known_people(ADA, BOSS))

    after = night.folded({0: "invalidRequest"})

    assert after.entries["E1"].held
    assert a_night(replace(ADA, leaver=True), BOSS, ledger=after).deletes == {"E1": "left"}


@pytest.mark.parametrize("outcomes", [{}, {0: IN_DOUBT}])
def test_what_is_in_doubt_is_held(outcomes):
    """An announced write without an answer may have taken effect: the item counts as Graph's, and is sent again."""
    night = a_night(ADA)

    after = night.folded(outcomes, announced=[0], whole=False)

    assert (after.entries["E1"].state, after.entries["E1"].held) == ("doubt", True)
    assert a_night(ADA, ledger=after).upserts == {"E1": False}
    assert a_night(replace(ADA, leaver=True), ledger=after).deletes == {"E1": "left"}


def test_a_deletion_in_doubt_is_done_again():
    """The entry stays until Graph has confirmed; the person may also come back."""
    night = a_night(replace(ADA, leaver=True), BOSS, ledger=known_people(ADA, BOSS))

    after = night.folded({0: IN_DOUBT})

    assert after.entries["E1"].held
    assert a_night(replace(ADA, leaver=True), BOSS, ledger=after).deletes == {"E1": "left"}
    assert a_night(ADA, BOSS, ledger=after).upserts == {"E1": False}


def test_a_deletion_that_failed_is_done_again_without_a_new_export():
    """An absent person whose deletion Graph refused is deleted when the same export is gone through once more."""
    ledger = changed(known_people(ADA, BOSS), "E1", absent=1)
    failed = a_night(BOSS, ledger=ledger).folded({0: "conflict"})

    assert a_night(BOSS, ledger=failed, new=False).deletes == {"E1": "absent"}


def test_what_was_not_announced_did_not_happen():
    """A plan of which nothing was announced leaves the ledger as it was."""
    night = a_night(replace(ADA, cells=b"new"), a_person("E5"), ledger=known_people(ADA, BOSS))

    assert night.folded({}, whole=False).entries == night.ledger.entries


def test_a_run_that_did_not_end_counts_no_absence():
    """Its export is planned again, and the absence is counted then, once."""
    ledger = known_people(ADA, BOSS)
    night = a_night(BOSS, a_person("E5"), ledger=ledger)

    stopped = night.folded({0: ""}, whole=False)

    assert stopped.entries["E1"].absent == 0
    assert stopped.entries["E5"].state == "sent"
    assert a_night(BOSS, a_person("E5"), ledger=stopped).after.entries["E1"].absent == 1


def test_a_deletion_that_did_not_end_counts_no_absence():
    """A deletion in doubt leaves the count as it was: the same export, planned again, comes to the same."""
    ledger = changed(known_people(ADA, BOSS), "E1", absent=1)
    night = a_night(BOSS, ledger=ledger)

    stopped = night.folded({}, announced=[0], whole=False)

    assert night.deletes == {"E1": "absent"}
    assert stopped.entries["E1"].absent == 1
    assert a_night(BOSS, ledger=stopped).deletes == {"E1": "absent"}


def test_a_run_that_did_not_end_forgets_nobody():
    """Whom the plan would have forgotten stays known until a whole run says so."""
    unmatched = a_night(ADA, BOSS, missing=["e1@contoso.com"]).after
    night = a_night(replace(ADA, leaver=True), a_person("E5"), BOSS, ledger=unmatched)

    assert "E1" in night.folded({0: ""}, whole=False).entries
    assert "E1" not in night.after.entries


def test_each_fold_is_a_new_generation():
    """Ledgers are written once: what comes out has the next number and belongs to the same connection."""
    night = a_night(ADA, ledger=a_ledger(generation=41))

    assert night.after.generation == 42
    assert night.after.is_of_the_same(night.ledger)


# --- item ids that follow the account --------------------------------------------------------------------------------


def renamed_people(*people: Person) -> Ledger:
    """Return the ledger after a night on which these people got items whose ids are their UPNs."""
    return a_night(*people, following=True).after


def test_a_new_upn_is_a_new_item_and_the_former_one_goes():
    """Put new, delete old, one person updated; nobody counts as deleted."""
    night = a_night(replace(ADA, account="ada.l@contoso.com"), BOSS, ledger=renamed_people(ADA, BOSS), following=True)

    assert night.upserts == {"E1": False}
    assert [(a.entry.item_id, a.reason) for a in night.plan.actions if isinstance(a, Delete)] == [
        ("e1@contoso.com", "renamed")
    ]
    assert (night.plan.deletes, night.plan.unchanged) == (0, 1)
    assert {entry.item_id for entry in night.after.entries.values()} == {"ada.l@contoso.com", "e9@contoso.com"}
    assert adds_up(night)


def test_the_former_item_is_known_until_it_is_gone():
    """A run that ended after the new item was put leaves the old one to the next, whatever export comes then."""
    ada = replace(ADA, account="ada.l@contoso.com")
    night = a_night(ada, BOSS, ledger=renamed_people(ADA, BOSS), following=True)

    stopped = night.folded({0: ""}, announced=[0], whole=False)

    assert (stopped.people, stopped.held) == (2, 3)
    for export in ({"complete": False}, {"rejected": ["E1"]}, {"unreadable": 1}):
        people = () if "rejected" in export else (ada, BOSS)
        later = a_night(*people, ledger=stopped, following=True, **export)
        assert {action.entry.item_id: action.reason for action in later.plan.actions if isinstance(action, Delete)} == {
            "e1@contoso.com": "renamed"
        }


def test_a_refused_new_item_leaves_the_old_one():
    """Graph still holds the item of before, under its id; next time both are tried again."""
    night = a_night(replace(ADA, account="ada.l@contoso.com"), BOSS, ledger=renamed_people(ADA, BOSS), following=True)

    ledger = night.folded({0: "BadRequest", 1: TRANSFER_WAITS})

    entry = ledger.entries["E1"]
    assert (entry.item_id, entry.held, entry.state, ledger.held) == ("e1@contoso.com", True, "failed", 2)
    again = a_night(replace(ADA, account="ada.l@contoso.com"), BOSS, ledger=ledger, following=True)
    assert (again.upserts, len(again.plan.actions)) == ({"E1": False}, 2)


def test_a_new_item_in_doubt_keeps_both():
    """Graph may hold one, the other or both: neither is forgotten, and the old one waits for the new."""
    ada = replace(ADA, account="ada.l@contoso.com")
    night = a_night(ada, BOSS, ledger=renamed_people(ADA, BOSS), following=True)

    ledger = night.folded({0: IN_DOUBT, 1: TRANSFER_WAITS})

    assert ledger.held == 3
    away = a_night(BOSS, rejected=["E1"], ledger=ledger, following=True)
    assert away.plan.actions == ()
    assert away.after.held == 3
    assert len(a_night(ada, BOSS, ledger=away.after, following=True).plan.actions) == 2


def test_held_deletions_do_not_hold_a_former_item():
    """The limit on deletions is about people; somebody's former item beside the new one would show them twice."""
    night = a_night(replace(ADA, account="ada.l@contoso.com"), BOSS, ledger=renamed_people(ADA, BOSS), following=True)

    held = hold(night.plan)

    assert held.actions == night.plan.actions
    assert held.held == ()


def test_another_spelling_in_entra_keeps_the_items_id():
    """Whether Graph tells upper and lower case apart in ids is unknown: the id stays as it was put."""
    spelt = {"e1@contoso.com": Account(id="id-e1@contoso.com", upn="E1@Contoso.com", mail="x")}

    night = a_night(ADA, BOSS, ledger=renamed_people(ADA, BOSS), accounts=spelt, now=NOW + 7 * DAY, following=True)

    assert night.upserts == {"E1": False}
    assert len(night.plan.actions) == 1
    assert night.after.entries["E1"].item_id == "e1@contoso.com"


def test_a_upn_that_passes_to_somebody_else_takes_nobodys_item_away():
    """The joiner's item is put where the leaver's was; what then stands there is the joiner's, and stays."""
    joiner = a_person("E5", account=ADA.account)
    before, tenant = renamed_people(ADA, BOSS), Tenant()
    tenant.items = {entry.item_id: entry.item for entry in before.entries.values()}

    night = a_night(replace(ADA, leaver=True), joiner, BOSS, ledger=before, following=True)
    tenant.take(night)
    later = a_night(joiner, BOSS, ledger=night.after, following=True)
    tenant.take(later)

    assert set(tenant.items) == {"e1@contoso.com", "e9@contoso.com"}
    assert tenant.items["e1@contoso.com"] == night.after.entries["E5"].item
    assert set(later.after.entries) == {"E5", "E9"}


def test_two_people_who_swap_their_upns_keep_one_item_each():
    """Both ids get the other's item, and neither is deleted; done again, there is nothing to do."""
    ann, bob = a_person("E1", account="a@contoso.com"), a_person("E2", account="b@contoso.com")
    before, tenant = renamed_people(ann, bob), Tenant()
    swapped = replace(ann, account="b@contoso.com"), replace(bob, account="a@contoso.com")

    night = a_night(*swapped, ledger=before, following=True)
    tenant.take(night)

    assert night.upserts == {"E1": False, "E2": False}
    assert tenant.items == {entry.item_id: entry.item for entry in night.after.entries.values() if entry.held}
    assert night.after.entries["E1"].item_id == "b@contoso.com"
    assert a_night(*swapped, ledger=night.after, following=True).plan.actions == ()


def test_whose_item_was_overwritten_is_sent_again():
    """Somebody left aside that night whose id went to another is not taken for unchanged when they come back."""
    other = a_person("E5", account=ADA.account)
    night = a_night(other, BOSS, rejected=["E1"], ledger=renamed_people(ADA, BOSS), following=True)

    later = a_night(ADA, replace(other, account="e5@contoso.com"), BOSS, ledger=night.after, following=True)

    assert not night.after.entries["E1"].held
    assert later.upserts == {"E1": True, "E5": False}


# --- laws -------------------------------------------------------------------------------------------------------------

KEYS = ("E1", "E2", "E3", "E4")
ROLES = ("absent", "engineer", "director", "leaver", "rejected", "unmatched")

_MANAGERS = st.fixed_dictionaries(dict.fromkeys(KEYS, st.sampled_from(["", *KEYS, "E5"])))
_NIGHT = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(KEYS, st.sampled_from(ROLES))),
    _MANAGERS,
    st.permutations(KEYS),
    st.integers(0, 3).map(lambda drawn: drawn == 3),
)


def told(
    drawn, ledger: Ledger, *, now: int, new: bool = True, pilot=(), grace: int = 1, following: bool = False
) -> Night:
    """Plan the night that was drawn: everybody's role, manager and account, and whether a row was unreadable."""
    roles, managers, accounts, unreadable = drawn
    people = [
        a_person(
            key,
            account=f"{account.lower()}@contoso.com",
            cells=roles[key].encode(),
            references=(managers[key],),
            leaver=roles[key] == "leaver",
        )
        for key, account in zip(KEYS, accounts, strict=True)
        if roles[key] not in {"absent", "rejected"}
    ]
    return a_night(
        *people,
        ledger=ledger,
        missing=[person.account for person in people if roles[person.key] == "unmatched"],
        rejected=[key for key in KEYS if roles[key] == "rejected"],
        unreadable=int(unreadable),
        now=now,
        new=new,
        pilot=pilot,
        grace=grace,
        following=following,
    )


@given(
    nights=st.lists(_NIGHT, min_size=1, max_size=5),
    pilot=st.sampled_from([(), ("e1@contoso.com", "e2@contoso.com")]),
    grace=st.integers(0, 2),
    following=st.booleans(),
)
def test_whatever_happens_everybody_adds_up_and_then_nothing_is_left_to_do(nights, pilot, grace, following):
    """Every night counts everybody once, ends with Graph holding what the ledger says, and done again plans nothing.

    But for the reports of somebody deleted that night: until then the last known account served as their manager.
    """
    ledger, tenant = a_ledger(), Tenant()
    for number, drawn in enumerate(nights):
        night = told(drawn, ledger, now=NOW + number * DAY, pilot=pilot, grace=grace, following=following)
        tenant.take(night)
        again = told(
            drawn, night.after, now=NOW + number * DAY, new=False, pilot=pilot, grace=grace, following=following
        )
        tenant.take(again)
        ledger = again.after
        once_more = told(
            drawn, ledger, now=NOW + number * DAY, new=False, pilot=pilot, grace=grace, following=following
        )

        gone = {*night.deletes, *night.plan.forgotten}
        assert adds_up(night)
        assert again.deletes == {}
        assert all(drawn[1][key] in gone for key in again.upserts)
        assert tenant.items == {entry.item_id: entry.item for entry in ledger.entries.values() if entry.held}
        assert (once_more.plan.actions, once_more.plan.changes, once_more.plan.forgotten) == ((), (), ())
        assert (once_more.asked, once_more.rendered) == ((), frozenset())


_FATES = st.sampled_from(["never", "lost before", "lost after", "accepted", "refused", "doubt before", "doubt after"])


@given(
    before=_NIGHT,
    crashed=_NIGHT,
    after=_NIGHT,
    fates=st.lists(_FATES, min_size=12, max_size=12),
    following=st.booleans(),
)
def test_whatever_a_crash_leaves_behind_is_known_and_mended(before, crashed, after, fates, following):
    """After any half-done run every item Graph holds is in the ledger, and the next whole run makes Graph right."""
    tenant = Tenant()
    first = told(before, a_ledger(), now=NOW, following=following)
    tenant.take(first)
    night = told(crashed, first.after, now=NOW + DAY, following=following)
    outcomes, announced = _fates(night, fates)
    tenant.take(
        night, [index for index, each in announced.items() if each in {"lost after", "accepted", "doubt after"}]
    )

    ledger = night.folded(outcomes, announced, whole=False)

    assert set(tenant.items) <= {entry.item_id for entry in ledger.entries.values() if entry.held}
    last = told(after, ledger, now=NOW + 2 * DAY, following=following)
    tenant.take(last)
    known = [entry for entry in last.after.entries.values() if entry.held]
    assert set(tenant.items) <= {entry.item_id for entry in known}
    sent = {entry.item_id: entry.item for entry in known if entry.state == "sent" and entry.item}
    assert {item_id: tenant.items.get(item_id) for item_id in sent} == sent
    fresh = told(after, a_ledger(), now=NOW + 2 * DAY, following=following)
    assert set(fresh.upserts) <= {entry.key for entry in known if entry.state == "sent"}


def _fates(night: Night, drawn: list[str]) -> tuple[dict[int, str], dict[int, str]]:
    """Return the outcomes of a crashed night's actions, and what became of each that was announced.

    As `connector.apply` has it: no deletion before every upsert has its outcome, none of an id that was put, and none
    of an account whose new item is not there.
    """
    codes = {"accepted": "", "refused": "invalidRequest", "doubt before": IN_DOUBT, "doubt after": IN_DOUBT}
    outcomes: dict[int, str] = {}
    announced: dict[int, str] = {}
    put: dict[str, str] = {}
    lacking: set[str] = set()
    for index, (action, fate) in enumerate(zip(night.plan.actions, drawn, strict=False)):
        if isinstance(action, Delete):
            if len(night.upserts) > len(outcomes) and index >= len(night.upserts):
                break
            entry = action.entry
            waits = put.get(entry.item_id) == IN_DOUBT or (
                entry.user_id in lacking and action.reason in {"transferred", "renamed"}
            )
            if fate != "never" and (waits or entry.item_id in put):
                announced[index], outcomes[index] = "skipped", TRANSFER_WAITS if waits else ""
                continue
        if fate != "never":
            announced[index] = fate
        if fate in codes:
            outcomes[index] = codes[fate]
        if isinstance(action, Upsert) and codes.get(fate) in {"", IN_DOUBT}:
            put[action.after.item_id] = codes[fate]
        if isinstance(action, Upsert) and codes.get(fate):
            lacking.add(action.after.user_id)
    return outcomes, announced


@given(night=_NIGHT, further=st.integers(1, 3), grace=st.integers(0, 2))
def test_exports_without_somebody_take_them_out_of_graph_after_the_grace(night, further, grace):
    """Whoever is absent often enough is gone, and nobody else is."""
    settled = told(night, a_ledger(), now=NOW, grace=grace).after
    ledger = settled
    for _ in range(further):
        ledger = a_night(ledger=ledger, grace=grace).after

    held = {key for key, entry in settled.entries.items() if entry.held}
    assert {key for key, entry in ledger.entries.items() if entry.held} == (held if further <= grace else set())


def test_a_population_is_complete_and_new_unless_said_otherwise():
    """A population without further knowledge is one whole, readable, new export."""
    population = Population({"E1": ADA})

    assert (population.complete, population.new, population.unreadable, population.rejected) == (
        True,
        True,
        0,
        frozenset(),
    )
