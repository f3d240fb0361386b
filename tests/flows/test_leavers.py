"""Who leaves, how soon, and who is never deleted by mistake."""

from __future__ import annotations

from typing import Any

import pytest

from tests.flows.world import DAY, TICK, World, a_person, a_world, an_export, people

ADA = a_person("E1", "ada@contoso.com")
BEN = a_person("E2", "ben@contoso.com", manager="E1")
CYD = a_person("E3", "cyd@contoso.com", manager="E1")
STAFF = [ADA, BEN, CYD]


async def a_company(count: int, **settings: object) -> World:
    """Return a world in which Graph holds so many people, P1 and so on."""
    world = await a_world(**settings)
    report = await world.night(people(count))
    assert report["created"] == count
    return world


def guard(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in report["guards"] if each["name"] == name)


# --- by status word -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["Terminated", "Left", "Inactive", "Former", "TERMINATED", " left "])
async def test_a_status_word_deletes_at_once(word: str):
    """A leaver's item goes the same night; the grace is for absence only."""
    world = await a_world(LEAVER_GRACE_EXPORTS=5)
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD | {"Status": word}])

    assert (report["outcome"], report["deleted"], report["unchanged"]) == ("completed", 1, 2)
    assert world.holds("E1", "E2")
    assert "personCurrentPosition" not in world.profiles()["cyd@contoso.com"]


async def test_a_leaver_who_stays_in_the_export_is_left_alone():
    """A leaver's row on later nights deletes nobody again and asks Graph nothing."""
    world = await a_world()
    await world.night(STAFF)
    await world.night([ADA, BEN, CYD | {"Status": "Left"}])

    report = await world.night([ADA, BEN, CYD | {"Status": "Left"}])

    assert (report["outcome"], report["deleted"]) == ("unchanged", 0)
    assert world.requests == []


async def test_a_leaver_from_before_our_time_is_nothing_to_do():
    """Somebody who had left before the first export is neither looked up nor sent."""
    world = await a_world()

    report = await world.night([ADA, CYD | {"Status": "Left", "UserPrincipalName": ""}])

    assert (report["created"], report["deleted"], report["people"], report["rejected"]) == (1, 0, 2, 0)
    assert world.holds("E1")


async def test_a_leaver_who_comes_back_is_created_again():
    """Rehired under the old key, the person has an item and a profile again."""
    world = await a_world()
    await world.night(STAFF)
    await world.night([ADA, BEN, CYD | {"Status": "Left"}])

    report = await world.night(STAFF)

    assert report["created"] == 1
    assert world.title("cyd@contoso.com") == "Clerk"


async def test_an_unknown_status_word_rejects_the_row():
    """A word that is neither in scope nor a leaver's may mean anything: the person stays."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD | {"Status": "Sabbatical"}])

    assert report["rows"][0]["codes"] == ["not_allowed"]
    assert world.holds("E1", "E2", "E3")


async def test_whoever_left_manages_nobody_any_more():
    """The reports of a leaver are sent without manager."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA | {"Status": "Left"}, BEN, CYD])

    assert (report["deleted"], report["updated"]) == (1, 2)
    assert world.manager("ben@contoso.com") is None


# --- by absence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0, 1, 2])
async def test_absence_acts_after_the_grace(grace: int):
    """Somebody absent is deleted by the export after LEAVER_GRACE_EXPORTS further ones, not sooner."""
    world = await a_world(LEAVER_GRACE_EXPORTS=grace)
    await world.night(STAFF)

    for _ in range(grace):
        report = await world.night([ADA, BEN])
        assert (report["grace"], report["deleted"]) == (1, 0)
        assert world.holds("E1", "E2", "E3")
    report = await world.night([ADA, BEN])

    assert (report["grace"], report["deleted"]) == (0, 1)
    assert world.holds("E1", "E2")


async def test_whoever_returns_within_the_grace_was_never_away():
    """A return within the grace sends nothing, and the next absence counts from the beginning."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN])

    back = await world.night(STAFF)
    away = await world.night([ADA, BEN])

    assert (back["outcome"], back["unchanged"]) == ("unchanged", 3)
    assert (away["grace"], away["deleted"]) == (1, 0)


async def test_the_same_file_twice_is_not_two_absences():
    """Only a further export counts: going through the last one again brings nobody nearer to deletion."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN])

    for _ in range(3):
        await world.application().ask_for_sync(b'{"full": true}')
        await world.tick()

    assert world.holds("E1", "E2", "E3")
    assert (await world.ledger()).entries["E3"].absent == 1


async def test_two_exports_at_one_tick_are_one_absence():
    """A complete export that was passed over says nothing about anybody."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.drop("people-1.csv", [ADA, BEN])
    world.wait(1)
    await world.drop("people-2.csv", [ADA, BEN])

    await world.settle()

    assert world.holds("E1", "E2", "E3")


async def test_a_manager_in_grace_still_manages():
    """Within the grace the reports keep their manager, and are not sent."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)

    report = await world.night([BEN, CYD])

    assert report["outcome"] == "unchanged"
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_the_reports_of_an_absent_manager_end_up_without():
    """Once the manager is deleted, the reports are sent without."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)
    await world.night([BEN, CYD])

    await world.night([BEN, CYD])

    assert world.holds("E2", "E3")
    assert world.manager("ben@contoso.com") is None


async def test_unreadable_keys_hold_absence():
    """A row without a readable key may be the absent person's: nobody is deleted for being absent."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD | {"EmployeeId": ""}])

    assert (report["rejected"], report["deleted"]) == (1, 0)
    assert report["warnings"]["unreadable_keys"] == 1
    assert world.holds("E1", "E2", "E3")


async def test_unreadable_keys_count_no_absence():
    """A night with an unreadable key brings nobody nearer to deletion either."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN, CYD | {"EmployeeId": ""}])

    report = await world.night([ADA, BEN])

    assert (report["grace"], report["deleted"]) == (1, 0)


async def test_unreadable_keys_do_not_hold_a_status_word():
    """Somebody whose own row says that they left is deleted whatever the other rows are."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA, BEN | {"Status": "Left"}, CYD | {"EmployeeId": ""}])

    assert report["deleted"] == 1
    assert world.holds("E1", "E3")


# --- the deletion limit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("staff", "settings", "limit"),
    [
        (10, {}, 3),  # 5 % of 10 is less than the allowance
        (100, {}, 5),  # 5 % of 100
        (99, {}, 4),  # a part of a person is nobody
        (100, {"MAX_DELETE_PERCENT": 50, "MAX_DELETE_COUNT": 20}, 20),
        (10, {"MIN_DELETE_ALLOWANCE": 0}, 0),
        (100, {"MAX_DELETE_PERCENT": 0, "MIN_DELETE_ALLOWANCE": 2}, 2),
    ],
)
async def test_the_deletion_limit(staff: int, settings: dict[str, int], limit: int):
    """So many deletions are carried out, one more holds them all."""
    world = await a_company(staff, LEAVER_GRACE_EXPORTS=0, **settings)
    rows = people(staff)

    below = await world.night(rows[limit:])
    world_of_more = await a_company(staff, LEAVER_GRACE_EXPORTS=0, **settings)
    above = await world_of_more.night(rows[limit + 1 :])

    assert (below["deleted"], below["held"]) == (limit, 0)
    assert below["outcome"] == ("completed" if limit else "unchanged")
    assert (above["outcome"], above["deleted"], above["held"]) == ("held", 0, limit + 1)
    assert guard(above, "deletions")["tripped"]
    assert len(world_of_more.graph.items) == staff


async def test_above_the_limit_everything_else_goes_on():
    """A held run does its upserts, deletes nobody, and names the plan that waits."""
    world = await a_company(30, LEAVER_GRACE_EXPORTS=0)
    rows = people(30)
    rows[29] |= {"JobTitle": "Chief"}

    report = await world.night([*rows[10:], a_person("J1")])

    assert (report["outcome"], report["held"], report["deleted"]) == ("held", 10, 0)
    assert (report["updated"], report["created"]) == (1, 1)
    assert report["plan"].startswith("sha256:")
    assert len(world.graph.items) == 31
    assert world.title("p30@contoso.com") == "Chief"


async def test_status_words_count_against_the_limit_too():
    """An export in which everybody of a department has left is held as absence is."""
    world = await a_company(10)
    rows = people(10)

    report = await world.night([*(row | {"Status": "Left"} for row in rows[:4]), *rows[4:]])

    assert (report["outcome"], report["held"]) == ("held", 4)
    assert len(world.graph.items) == 10


async def test_the_limit_counts_the_last_day():
    """Deletions of the last 24 hours count: a mistake in instalments is held as one in one piece is."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    rows = people(20)
    await world.night(rows[2:])
    await world.drop("people-12.csv", rows[4:])

    report = await world.tick() or {}

    assert (report["outcome"], report["held"], report["deleted"]) == ("held", 2, 0)
    assert len(world.graph.items) == 18


async def test_after_a_day_the_limit_is_fresh():
    """What was deleted more than 24 hours ago does not count any more."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    rows = people(20)
    await world.night(rows[3:])

    report = await world.night(rows[6:])

    assert (report["outcome"], report["deleted"]) == ("completed", 3)


async def test_what_is_held_stays_held():
    """The same absences on the next night are held under their own hash again, and nobody is deleted."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    rows = people(20)
    await world.night(rows[5:])

    report = await world.night(rows[5:])

    assert (report["outcome"], report["held"]) == ("held", 5)
    assert len(world.graph.items) == 20


async def test_held_deletions_make_one_report_not_one_per_tick():
    """A tick between two exports finds nothing new to say about what is held."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    await world.night(people(20)[5:])

    assert await world.tick() is None


async def test_held_deletions_end_when_the_people_return():
    """An export in which everybody is back leaves nothing held."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    await world.night(people(20)[5:])

    report = await world.night(people(20))

    assert (report["outcome"], report["held"], report.get("plan")) == ("unchanged", 0, None)
    assert (await world.head()).held is None


async def test_a_higher_limit_releases_what_was_held():
    """When the operator raises the limit, the next tick carries the deletions out."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    await world.night(people(20)[5:])
    world.decide(MIN_DELETE_ALLOWANCE=5)

    report = await world.tick() or {}

    assert (report["outcome"], report["deleted"]) == ("completed", 5)
    assert len(world.graph.items) == 15


async def test_the_same_held_set_has_the_same_hash():
    """Planned again from the same inputs, what is held keeps its hash."""
    world = await a_company(20, LEAVER_GRACE_EXPORTS=0)
    first = await world.night(people(20)[5:])
    await world.application().ask_for_sync()

    second = await world.tick() or {}

    assert second["held"] == 5
    assert second["plan"] == first["plan"]


# --- exports that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0, 1])
@pytest.mark.parametrize("staff", [3, 25])
async def test_an_export_of_other_people_is_refused(staff: int, grace: int):
    """An export with entirely different keys would remove everyone: refused by the guard, never held."""
    world = await a_company(staff, LEAVER_GRACE_EXPORTS=grace)
    others = [a_person(f"X{number}") for number in range(staff)]

    report = await world.night(others)

    assert (report["outcome"], report["error"]["code"]) == ("refused", "everyone")
    assert guard(report, "everyone")["tripped"]
    assert report["plan"].startswith("sha256:")
    assert world.holds(*(row["EmployeeId"] for row in people(staff)))
    assert world.writes() == []


async def test_an_export_in_which_everybody_has_left_is_refused():
    """Status words for everybody are a mistake of the export's, not the end of the company."""
    world = await a_company(5)

    report = await world.night([row | {"Status": "Left"} for row in people(5)])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "everyone")
    assert len(world.graph.items) == 5


async def test_a_refused_export_changes_nothing():
    """Refused means: no write to Graph, no new ledger, no absence counted."""
    world = await a_company(5, LEAVER_GRACE_EXPORTS=1)
    before = await world.ledger()

    await world.night([a_person("X1")])

    assert await world.ledger() == before
    assert world.writes() == []


async def test_the_next_good_export_goes_on():
    """After a refused export the next one is judged by itself."""
    world = await a_company(5, LEAVER_GRACE_EXPORTS=0)
    await world.night([a_person("X1")])

    report = await world.night(people(5)[1:])

    assert (report["outcome"], report["deleted"]) == ("completed", 1)


async def test_too_many_rejected_rows_refuse_the_export():
    """From 20 rows up, more than MAX_REJECT_PERCENT bad rows mean another format."""
    world = await a_company(20)
    rows = [row | {"HireDate": "1/2/21"} if index < 5 else row for index, row in enumerate(people(20))]

    report = await world.night(rows)

    assert (report["outcome"], report["error"]["code"], report["rejected"]) == ("refused", "too_many_rejected", 5)
    assert world.requests == []


async def test_a_stricter_limit_judges_the_last_export_once():
    """The last export, judged again under stricter settings, is refused in one report, not at every tick."""
    world = await a_company(20)
    await world.night([row | {"HireDate": "1/2/21"} if index < 4 else row for index, row in enumerate(people(20))])
    world.decide(MAX_REJECT_PERCENT=10)

    report = await world.tick() or {}
    later = [await world.tick() for _ in range(100)]

    assert (report["outcome"], report["error"]["code"]) == ("refused", "too_many_rejected")
    assert later == [None] * 100
    assert len(world.graph.items) == 20


@pytest.mark.parametrize(("rows", "bad"), [(20, 4), (19, 19)])
async def test_fewer_rejected_rows_do_not(rows: int, bad: int):
    """At the limit, or in a small file, bad rows are only left aside."""
    world = await a_company(rows)

    report = await world.night([row | {"HireDate": "1/2/21"} if n < bad else row for n, row in enumerate(people(rows))])

    assert (report["outcome"], report["rejected"]) == ("unchanged", bad)
    assert len(world.graph.items) == rows


@pytest.mark.parametrize(
    ("staff", "known", "outcome"), [(20, 9, "refused"), (20, 10, "completed"), (19, 1, "completed")]
)
async def test_too_few_accounts_refuse_the_export(staff: int, known: int, outcome: str):
    """From 20 people up, fewer accounts than MIN_MATCH_PERCENT mean a wrong column or a renamed tenant."""
    world = await a_world()
    world.follow(people(known))

    report = await world.night(people(staff), accounts=False)

    assert report["outcome"] == outcome
    if outcome == "refused":
        assert report["error"]["code"] == "match_rate"
        assert world.graph.items == {}


async def test_a_renumbered_hr_system_is_refused():
    """More than a few accounts under new keys mean that HR has renumbered everybody: refused."""
    world = await a_company(20)
    rows = [row | {"EmployeeId": f"N{number}"} for number, row in enumerate(people(20))]

    report = await world.night([*rows[:19], people(20)[19]])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "rekeyed")
    assert world.holds(*(row["EmployeeId"] for row in people(20)))


async def test_a_few_accounts_may_have_another_key():
    """Five are rehires, six in a small company mean a renumbered HR system; nothing is held, nobody is a leaver."""
    rows = people(20)
    moved = [row | {"EmployeeId": f"N{number}"} for number, row in enumerate(rows)]
    five, six = await a_company(20), await a_company(20)

    taken = await five.night([*moved[:5], *rows[5:]])
    refused = await six.night([*moved[:6], *rows[6:]])

    assert (taken["outcome"], taken["transferred"], taken["created"], taken["held"]) == ("completed", 5, 5, 0)
    assert len(five.graph.items) == 20
    assert (refused["outcome"], refused["error"]["code"]) == ("refused", "rekeyed")
    assert guard(refused, "rekeyed")["found"].startswith("6")
    assert six.holds(*(row["EmployeeId"] for row in rows))


# --- transfers ------------------------------------------------------------------------------------------------------


async def test_an_account_under_a_new_key_is_transferred():
    """Somebody with a new key and the old account gets the new item, and the old one goes, at once."""
    world = await a_world(LEAVER_GRACE_EXPORTS=5)
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD | {"EmployeeId": "E9", "JobTitle": "Analyst"}])

    assert (report["created"], report["deleted"], report["transferred"]) == (1, 1, 1)
    assert world.holds("E1", "E2", "E9")
    assert world.title("cyd@contoso.com") == "Analyst"


async def test_outside_the_pilot_nothing_is_transferred():
    """A manager outside the pilot gets another key: the new one is not sent, so the old item stays."""
    world = await a_world()
    await world.night([a_person("E1", "ada@contoso.com"), a_person("E2", "ben@contoso.com", manager="E1")])
    world.decide(PILOT="ben@contoso.com")

    report = await world.night([a_person("N1", "ada@contoso.com"), a_person("E2", "ben@contoso.com", manager="N1")])

    assert (report["deleted"], report["transferred"], report["grace"]) == (0, 0, 1)
    assert world.holds("E1", "E2")


async def test_a_transfer_is_no_leaver():
    """Transfers do not count against the deletion limit."""
    world = await a_company(10, MIN_DELETE_ALLOWANCE=0, MAX_DELETE_PERCENT=0)
    rows = people(10)

    report = await world.night([rows[0] | {"EmployeeId": "N1"}, *rows[1:]])

    assert (report["outcome"], report["held"], report["transferred"]) == ("completed", 0, 1)


async def test_an_account_of_two_active_people_is_nobodys():
    """Two active keys for one account are both rejected, and whoever has it keeps it."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)

    report = await world.night([*STAFF, CYD | {"EmployeeId": "E9"}])

    assert report["rejected"] == 2
    assert {row["codes"][0] for row in report["rows"]} == {"duplicate_account"}
    assert world.holds("E1", "E2", "E3")


async def test_a_rehired_person_may_have_left_under_the_old_key():
    """A leaver's row and an active row for one account are no contradiction."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD | {"Status": "Left"}, CYD | {"EmployeeId": "E9"}])

    assert (report["rejected"], report["created"], report["deleted"]) == (0, 1, 1)
    assert world.holds("E1", "E2", "E9")
    assert world.title("cyd@contoso.com") == "Clerk"


async def test_a_key_twice_rejects_both_rows():
    """Which of two rows for one key is right cannot be told."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)

    report = await world.night([ADA, BEN, CYD, CYD | {"UserPrincipalName": "dan@contoso.com"}], accounts=False)

    assert [row["codes"] for row in report["rows"]] == [["duplicate_key"], ["duplicate_key"]]
    assert world.holds("E1", "E2", "E3")


# --- partial files --------------------------------------------------------------------------------------------------


async def test_a_correction_deletes_nobody_who_is_not_in_it():
    """A corrected quarantine file is partial: absence from it means nothing."""
    world = await a_world(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)
    correction = an_export([BEN | {"JobTitle": "Chief", "_error_code": "bad_date"}])

    await world.drop("corrected.csv", correction)
    report = await world.tick() or {}

    assert (report["outcome"], report["updated"], report["deleted"], report["grace"]) == ("completed", 1, 0, 0)
    assert world.holds("E1", "E2", "E3")


async def test_a_leaver_in_a_correction_is_deleted():
    """A status word in a partial file is proof."""
    world = await a_world()
    await world.night(STAFF)

    await world.drop("corrected.csv", an_export([BEN | {"Status": "Left", "_error_code": "bad_date"}]))
    report = await world.tick() or {}

    assert report["deleted"] == 1
    assert world.holds("E1", "E3")


async def test_a_partial_export_takes_nobodys_account():
    """Somebody with the account of a person it says nothing about is quarantined: which key is right cannot be told."""
    world = await a_world()
    await world.night(STAFF)
    stranger = a_person("N1", "cyd@contoso.com", title="Stranger") | {"_error_code": "bad_date"}
    await world.drop("corrected.csv", an_export([BEN | {"JobTitle": "Chief", "_error_code": "bad_date"}, stranger]))

    report = await world.tick() or {}
    complete = await world.night(STAFF)

    assert [(row["key"], row["codes"]) for row in report["rows"]] == [("N1", ["duplicate_account"])]
    assert (report["updated"], report["rejected"]) == (1, 1)
    assert [name for name in world.blobs("quarantine") if "corrected.csv" in name]
    assert world.title("cyd@contoso.com") == CYD["JobTitle"]
    assert (complete["deleted"], complete["transferred"]) == (0, 0)
    assert world.holds("E1", "E2", "E3")


async def test_who_was_missing_already_may_have_another_key_in_a_partial_export():
    """The last complete export no longer has the old key, so the new one is taken, and the old item goes in time."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN])
    again = a_person("N3", "cyd@contoso.com", title="Clerk") | {"_error_code": "bad_date"}
    await world.drop("corrected.csv", an_export([again]))

    report = await world.tick() or {}
    await world.night([ADA, BEN, a_person("N3", "cyd@contoso.com", title="Clerk")])
    await world.settle()

    assert (report["created"], report["rejected"]) == (1, 0)
    assert world.title("cyd@contoso.com") == "Clerk"
    assert len(world.graph.items) == 3


async def test_absence_goes_on_counting_past_a_correction():
    """A partial file between two complete ones neither adds to an absence nor ends it."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN])
    await world.drop("corrected.csv", an_export([BEN | {"JobTitle": "Chief", "_error_code": "bad_date"}]))
    await world.tick()
    held_still = set(world.graph.items)

    await world.night([ADA, BEN])

    assert world.item_of("E3") in held_still
    assert world.holds("E1", "E2")


async def test_nobody_is_deleted_while_nothing_is_exported():
    """A month without an export deletes nobody, whatever was in grace."""
    world = await a_world(LEAVER_GRACE_EXPORTS=1)
    await world.night(STAFF)
    await world.night([ADA, BEN])

    for _ in range(30):
        await world.tick(after=DAY - TICK)

    assert world.holds("E1", "E2", "E3")
