"""People who are matched with their Entra users by something else than the UPN, which HR hardly ever has."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.flows import world as worlds
from tests.flows.world import DAY, Row, a_person, people

# Under the contract preview an item's id is made of the UPN, so nothing else can be matched by there. Worlds are named
# through their module, so that these tests run under the contract labels only.

VALUES = {
    "mail": "E{}.Mail@Contoso.com",
    "employeeId": "a-E{}",
    "id": "00000000-0000-4000-8000-00000000AAA{}",
}
"""What HR might write, by the attribute that people are matched by."""


async def a_world(match: str = "mail", column: str = "Email", **settings: object) -> worlds.World:
    """Return a world in which setup is done, and people are matched by a column of theirs."""
    world = worlds.World()
    world.decide(**settings)
    await world.map_with(
        (
            'column = "UserPrincipalName"\nmatch = "userPrincipalName"',
            f'column = "{column}"\nmatch = "{match}"',
        )
    )
    await world.setup()
    return world


def somebody(key: str, mail: str = "", **cells: str) -> Row:
    """Return a row without a UPN."""
    return a_person(key, **cells) | {"UserPrincipalName": "", "Email": mail or f"{key.lower()}@mail.com"}


def it_makes(world: worlds.World, *rows: Row) -> None:
    """Let IT make the users of these people, with their mail, and UPNs that HR does not know."""
    for row in rows:
        world.graph.add_user(upn_of(row["EmployeeId"]), mail=row["Email"])


def upn_of(key: str) -> str:
    return f"{key.lower()}.upn@contoso.com"


def quarantined(world: worlds.World) -> list[Row]:
    """Return the rows of the only quarantine file."""
    (data,) = world.blobs("quarantine").values()
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


ADA, BEN, CYD = somebody("E1", title="Director"), somebody("E2", manager="E1"), somebody("E3", manager="E1")
STAFF = [ADA, BEN, CYD]


# --- by what --------------------------------------------------------------------------------------------------------


def add_user_by(world: worlds.World, match: str, row: dict[str, str]) -> None:
    """Give Entra a user who has the value by which a row's person is matched."""
    attributes: dict[str, Any] = {match: row["Phone"].lower()}
    world.graph.add_user(upn_of(row["EmployeeId"]), **attributes)


@pytest.mark.parametrize("match", VALUES)
async def test_people_are_matched_by_an_attribute_of_their_user(match: str):
    """The profile is that of whom Entra has under the value, in any case; managers are sent with Entra's UPN."""
    world = await a_world(match, "Phone")
    rows = [row | {"Phone": VALUES[match].format(row["EmployeeId"][1:])} for row in STAFF]
    for row in rows:
        add_user_by(world, match, row)

    report = await world.night(rows, accounts=False)

    assert (report["created"], report["unmatched"], report["rejected"]) == (3, 0, 0)
    assert world.title(upn_of("E1")) == "Director"
    assert world.manager(upn_of("E2")) == upn_of("E1")


@pytest.mark.parametrize("match", VALUES)
async def test_an_export_without_changes_asks_nothing(match: str):
    """Whatever people are matched by, the ledger remembers what was asked: no request, and no token either."""
    world = await a_world(match, "Phone")
    rows = [row | {"Phone": VALUES[match].format(row["EmployeeId"][1:])} for row in STAFF]
    for row in rows[:2]:
        add_user_by(world, match, row)
    await world.night(rows, accounts=False)
    await world.drop("people-12.csv", rows)

    report = await world.tick() or {}

    assert (report["outcome"], report["unchanged"], report["unmatched"]) == ("unchanged", 2, 1)
    assert (world.requests, world.token_requests) == ([], 0)


async def test_an_account_made_of_columns_is_found():
    """A template makes a UPN of what HR has."""
    world = worlds.World()
    await world.map_with(('column = "UserPrincipalName"', 'template = "{EmployeeId}@contoso.com"'))
    await world.setup()
    world.graph.add_user("e1@contoso.com")

    report = await world.night([ADA], accounts=False)

    assert report["created"] == 1
    assert world.title("e1@contoso.com") == "Director"


async def test_guests_are_unmatched_and_disabled_users_are_sent():
    """As with UPNs: a guest has no mailbox of ours, and a disabled account is a warning."""
    world = await a_world()
    world.graph.add_user(upn_of("E1"), mail=ADA["Email"], guest=True)
    world.graph.add_user(upn_of("E2"), mail=BEN["Email"], enabled=False)

    report = await world.night([ADA, BEN], accounts=False)

    assert report["unmatched_people"] == [{"key": "E1", "reason": "guest"}]
    assert (report["created"], report["warnings"]["account_disabled"]) == (1, 1)


async def test_a_new_mail_address_of_the_same_user_is_no_new_account():
    """Somebody marries; HR and IT write the new address, and nothing but that is sent."""
    world = await a_world()
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)
    user = world.graph.user_by_upn(upn_of("E2"))
    assert user is not None
    user.mail = "ben.new@mail.com"

    report = await world.night([ADA, BEN | {"Email": "ben.new@mail.com"}, CYD], accounts=False)

    assert (report["updated"], report["created"], report["deleted"]) == (1, 0, 0)
    assert (world.lookups, world.sent("E2")) == (1, True)


async def test_a_refresh_notices_a_new_upn():
    """IT renames somebody: HR's mail address leads to the new name at the refresh, without a new export."""
    world = await a_world(RESOLVE_AFTER_DAYS=3)
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)
    ada = world.graph.user_by_upn(upn_of("E1"))
    assert ada is not None
    world.graph.rename_user(ada.id, "ada.new@contoso.com")

    await world.tick(after=4 * DAY)

    assert world.manager(upn_of("E2")) == "ada.new@contoso.com"


# --- several users --------------------------------------------------------------------------------------------------


async def test_what_leads_to_several_users_is_rejected():
    """Nobody is chosen: the row is in the quarantine with all its cells, and HR reads why; the others are sent."""
    world = await a_world()
    it_makes(world, *STAFF)
    world.graph.add_user("shared@contoso.com", mail=BEN["Email"])

    report = await world.night(STAFF, accounts=False)

    assert (report["outcome"], report["created"], report["rejected"], report["people"]) == ("completed", 2, 1, 2)
    (row,) = report["rows"]
    assert (row["row"], row["key"], row["codes"]) == (2, "E2", ["bad_account"])
    assert "Email" in row["message"]
    assert BEN["Email"] not in row["message"]
    (kept,) = quarantined(world)
    assert {name: kept[name] for name in BEN} == BEN
    assert (kept["_row"], kept["_error_code"], kept["_error"]) == ("2", "bad_account", row["message"])
    assert report["unmatched_people"] == []
    assert world.holds("E1", "E3")


async def test_whoever_was_sent_before_stays():
    """A second user with the same mail deletes nobody and changes nothing; reports keep their manager."""
    world = await a_world(RESOLVE_AFTER_DAYS=3, LEAVER_GRACE_EXPORTS=0)
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)
    world.graph.add_user("shared@contoso.com", mail=ADA["Email"])
    world.wait(4 * DAY)

    report = await world.night([ADA | {"JobTitle": "Chief"}, BEN | {"JobTitle": "Senior"}, CYD], accounts=False)

    assert (report["rejected"], report["deleted"], report["updated"]) == (1, 0, 1)
    assert world.holds("E1", "E2", "E3")
    assert world.title(upn_of("E1")) == "Director"
    assert world.manager(upn_of("E2")) == upn_of("E1")


async def test_an_ambiguous_row_is_rejected_every_night():
    """Also when nothing has changed: it does not become right by being seen twice, and stays a thing to mend."""
    world = await a_world()
    it_makes(world, *STAFF)
    world.graph.add_user("shared@contoso.com", mail=BEN["Email"])
    await world.night(STAFF, accounts=False)

    report = await world.night(STAFF, accounts=False)

    assert (report["outcome"], report["rejected"], report["unchanged"]) == ("unchanged", 1, 2)
    assert world.writes() == []


async def test_a_row_whose_user_it_mended_is_sent_when_dropped_again():
    """IT takes the address from the other user, HR drops the quarantine file back: both in one morning."""
    world = await a_world()
    it_makes(world, *STAFF)
    other = world.graph.add_user("shared@contoso.com", mail=BEN["Email"])
    await world.night(STAFF, accounts=False)
    world.graph.users[other].mail = None
    (data,) = world.blobs("quarantine").values()
    await world.drop("mended.csv", data)

    report = await world.tick() or {}

    assert (report["created"], report["rejected"]) == (1, 0)
    assert world.holds("E1", "E2", "E3")
    assert world.manager(upn_of("E2")) == upn_of("E1")


async def test_a_row_whose_user_it_mended_is_sent_a_day_later_by_itself():
    """Entra is asked again daily, as for everybody without an account, and nobody hears of it until it helps."""
    world = await a_world()
    it_makes(world, *STAFF)
    other = world.graph.add_user("shared@contoso.com", mail=BEN["Email"])
    await world.night(STAFF, accounts=False)
    reports = set(world.blobs("reports"))
    in_vain = await world.tick(after=DAY)
    world.graph.users[other].mail = None

    early = await world.tick()
    report = await world.tick(after=DAY) or {}

    assert in_vain is not None
    assert early is None
    assert len(set(world.blobs("reports")) - reports) == 2  # the last one, as JSON and as a page
    assert (report["created"], report["rejected"]) == (1, 0)


async def test_ambiguous_rows_count_for_the_guard():
    """More rejected rows than MAX_REJECT_PERCENT allows, for whatever reason, refuse the export; nobody is sent."""
    world = await a_world(MAX_REJECT_PERCENT=20)
    rows = [somebody(f"P{number}") for number in range(20)]
    it_makes(world, *rows)
    for row in rows[:5]:
        world.graph.add_user(f"other.{row['EmployeeId']}@contoso.com", mail=row["Email"])

    report = await world.night(rows, accounts=False)

    assert (report["outcome"], report["error"]["code"], report["rejected"]) == ("refused", "too_many_rejected", 5)
    assert world.holds()


# --- one user of several people -------------------------------------------------------------------------------------


async def test_one_user_of_two_people_is_neithers():
    """Somebody's user has got the address of another row: both are rejected, and what was sent stays."""
    world = await a_world()
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)
    user = world.graph.user_by_upn(upn_of("E2"))
    assert user is not None
    user.mail = "joiner@mail.com"
    joiner = somebody("E4", "joiner@mail.com")

    report = await world.night([ADA, BEN | {"JobTitle": "Chief"}, CYD, joiner], accounts=False)

    assert (report["rejected"], report["created"], report["deleted"]) == (2, 0, 0)
    assert [(row["key"], row["codes"]) for row in report["rows"]] == [
        ("E2", ["duplicate_account"]),
        ("E4", ["duplicate_account"]),
    ]
    assert [row["EmployeeId"] for row in quarantined(world)] == ["E2", "E4"]
    assert world.holds("E1", "E2", "E3")
    assert world.title(upn_of("E2")) == "Clerk"


async def test_a_user_of_somebody_elsewhere_is_theirs():
    """A partial export gives somebody the user of a person of whom it says nothing: its row is rejected."""
    world = await a_world()
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)
    user = world.graph.user_by_upn(upn_of("E2"))
    assert user is not None
    user.mail = "joiner@mail.com"
    await world.drop("joiners.csv", [somebody("E4", "joiner@mail.com")])
    await world.promise("joiners.csv", kind="partial")

    report = await world.tick() or {}

    assert (report["rejected"], report["created"]) == (1, 0)
    assert report["rows"][0]["codes"] == ["duplicate_account"]
    assert world.holds("E1", "E2", "E3")


async def test_an_account_that_moves_to_another_key_is_still_a_transfer():
    """The old key is absent: no leaver, and no contest either, though both are matched by mail."""
    world = await a_world()
    it_makes(world, *STAFF)
    await world.night(STAFF, accounts=False)

    report = await world.night([ADA, somebody("N2", BEN["Email"], manager="E1"), CYD], accounts=False)

    assert (report["created"], report["transferred"], report["rejected"]) == (1, 1, 0)
    assert world.holds("E1", "N2", "E3")


# --- the pilot ------------------------------------------------------------------------------------------------------


async def test_a_pilot_is_judged_by_the_upn_that_entra_has():
    """PILOT lists UPNs, and HR's export has none: everybody is looked up once, and those of the list are sent."""
    world = await a_world(PILOT=f"{upn_of('E2').upper()},nobody@contoso.com")
    it_makes(world, *STAFF)

    report = await world.night(STAFF, accounts=False)
    await world.drop("people-12.csv", STAFF)
    noon = await world.tick() or {}

    assert (report["created"], report["people"], report["unmatched"]) == (1, 3, 0)
    assert world.holds("E2")
    assert world.manager(upn_of("E2")) == upn_of("E1")
    assert (noon["outcome"], world.requests) == ("unchanged", [])


async def test_a_pilot_by_percentage_looks_up_those_who_are_in_it():
    """A share needs nobody's UPN, so nobody else is asked for."""
    world = await a_world(PILOT="10%")
    rows = [row | {"Email": row["UserPrincipalName"]} for row in people(100)]
    world.follow(rows)

    report = await world.night(rows)

    assert 0 < report["created"] < 40
    assert world.lookups == -(-report["created"] // 15)


# --- slices ---------------------------------------------------------------------------------------------------------


async def test_each_slice_renders_what_was_planned():
    """With contested managers, and people who report to them, a run in many slices keeps its name to the end."""
    world = await a_world(SLICE_SECONDS=1, MAX_CONCURRENCY=1)
    bosses = [somebody(f"B{number}") for number in range(3)]
    it_makes(world, *bosses)
    await world.night(bosses, accounts=False)
    await world.settle()
    world.graph.add_user("shared@contoso.com", mail="b0.new@mail.com")
    world.graph.add_user("shared2@contoso.com", mail="b0.new@mail.com")
    rows = [
        bosses[0] | {"Email": "b0.new@mail.com", "ManagerId": "R3"},  # ambiguous by now; a loop, if it were sent
        *bosses[1:],
        *(somebody(f"R{number}", manager=f"B{number % 3}") for number in range(6)),
    ]
    it_makes(world, *rows[3:])
    world.graph.latency = 0.7
    await world.drop("people.csv", rows)

    reports = await world.settle()

    assert len(reports) >= 3
    assert len({report["run"] for report in reports}) == 1
    assert (reports[-1]["outcome"], reports[-1]["created"], reports[-1]["rejected"]) == ("completed", 6, 1)
    assert [world.manager(upn_of(f"R{number}")) for number in range(6)] == [upn_of(f"B{n % 3}") for n in range(6)]
    assert json.dumps(reports[-1]["rows"]).count("bad_account") == 1
