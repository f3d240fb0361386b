"""People and their Entra users: who is looked up, who is not sent, who refers to whom."""

from __future__ import annotations

import pytest

from tests.flows.world import DAY, TICK, Report, World, a_person, a_world, people
from tests.tenant.graph.faults import Refused

ADA = a_person("E1", "ada@contoso.com", title="Director")
BEN = a_person("E2", "ben@contoso.com", manager="E1")
CYD = a_person("E3", "cyd@contoso.com", manager="E1")
STAFF = [ADA, BEN, CYD]


def account(world: World, upn: str) -> str:
    """Return the object id of a user."""
    user = world.graph.user_by_upn(upn)
    assert user is not None
    return user.id


# --- without an account ---------------------------------------------------------------------------------------------


async def test_somebody_without_an_account_is_not_sent():
    """HR was faster than IT: counted, listed with key and reason, not sent."""
    world = await a_world()
    world.without_account = {"cyd@contoso.com"}

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["unmatched"]) == ("completed", 2, 1)
    assert report["unmatched_people"] == [{"key": "E3", "reason": "no_account"}]
    assert world.holds("E1", "E2")


async def test_whoever_is_unmatched_is_left_alone_for_a_day():
    """Between two days Entra is not asked again, not even by another export."""
    world = await a_world()
    world.without_account = {"cyd@contoso.com"}
    await world.night(STAFF)
    world.without_account = set()
    world.follow(STAFF)
    await world.drop("people-12.csv", STAFF)

    report = await world.tick() or {}

    assert (report["outcome"], report["unmatched"]) == ("unchanged", 1)
    assert world.requests == []


async def test_an_account_that_appears_is_sent_after_a_day():
    """A day later the tick asks again, without a new export, and sends whoever has an account by then."""
    world = await a_world()
    world.without_account = {"cyd@contoso.com"}
    await world.night(STAFF)
    world.without_account = set()
    world.follow(STAFF)

    report = await world.tick(after=DAY) or {}

    assert (report["outcome"], report["created"], report["unmatched"]) == ("completed", 1, 0)
    assert world.sent("E3")
    assert world.manager("cyd@contoso.com") == "ada@contoso.com"


async def test_a_look_up_that_finds_nobody_makes_no_report():
    """A tick that only looks up people who are due, in vain, says nothing about it and asks again a day later."""
    world = await a_world()
    world.without_account = {"cyd@contoso.com"}
    await world.night(STAFF)
    reports = set(world.blobs("reports"))

    await world.tick(after=DAY)
    asked = world.lookups
    await world.tick()

    assert asked == 1
    assert world.requests == []
    assert set(world.blobs("reports")) == reports


async def test_the_joiner_of_the_next_export_is_asked_for_alone():
    """A new export looks up the people it brings, not those who are known."""
    world = await a_world()
    await world.night(people(40))

    await world.night([*people(40), a_person("J1")])

    assert world.lookups == 1
    assert world.sent("J1")


async def test_a_guest_is_unmatched():
    """A guest has no mailbox of ours."""
    world = await a_world()
    world.graph.add_user("cyd@contoso.com", guest=True)

    report = await world.night(STAFF)

    assert report["unmatched_people"] == [{"key": "E3", "reason": "guest"}]
    assert world.holds("E1", "E2")


async def test_a_disabled_account_is_sent_with_a_warning():
    """A disabled account has a profile still."""
    world = await a_world()
    world.graph.add_user("cyd@contoso.com", enabled=False)

    report = await world.night(STAFF)

    assert (report["created"], report["warnings"]["account_disabled"]) == (3, 1)
    assert world.holds("E1", "E2", "E3")


async def test_an_account_without_mail_is_a_warning():
    """Without an address there may be no mailbox, and so no profile."""
    world = await a_world()
    world.graph.add_user("cyd@contoso.com", mail=None)

    report = await world.night(STAFF)

    assert (report["created"], report["warnings"]["no_mail"]) == (3, 1)


async def test_whoever_loses_the_account_keeps_the_item():
    """Somebody who was sent and is unmatched now is not deleted: HR still knows the person."""
    world = await a_world()
    await world.night(STAFF)
    renamed = CYD | {"UserPrincipalName": "cyd.new@contoso.com"}

    report = await world.night([ADA, BEN, renamed], accounts=False)

    assert (report["unmatched"], report["deleted"]) == (1, 0)
    assert world.holds("E1", "E2", "E3")


# --- how they are asked for -----------------------------------------------------------------------------------------


async def test_a_user_who_becomes_somebody_else_shows_only_them():
    """IT gives somebody's user to a joiner: first both are rejected, then only the joiner's data are on the card."""
    world = await a_world()
    await world.night(STAFF)
    world.graph.rename_user(account(world, "ben@contoso.com"), "dee@contoso.com")
    dee = a_person("E4", "dee@contoso.com", title="Pilot")
    world.without_account = {"ben@contoso.com"}

    first = await world.night([*STAFF, dee])
    second = await world.night([*STAFF, dee])

    assert [row["codes"] for row in first["rows"]] == [["duplicate_account"], ["duplicate_account"]]
    assert (second["created"], second["transferred"], second["unmatched"]) == (1, 1, 1)
    assert world.holds("E1", "E3", "E4")
    assert world.title("dee@contoso.com") == "Pilot"


async def test_a_user_of_somebody_whose_row_is_wrong_is_theirs():
    """Somebody's row is rejected and their item stays, so a new key with their user is rejected too."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA, BEN | {"HireDate": "soon"}, CYD, BEN | {"EmployeeId": "N2"}])

    assert sorted((row["key"], *row["codes"]) for row in report["rows"]) == [
        ("E2", "bad_date"),
        ("N2", "duplicate_account"),
    ]
    assert world.holds("E1", "E2", "E3")


async def test_a_thousand_people_are_looked_up_in_four_requests():
    """Twenty filters of fifteen names to a batch: 1,000 new people cost 4 requests before the first item."""
    world = await a_world()

    await world.night(people(1000))

    batches = [request for request in world.requests if request.path.startswith("/$batch")]
    assert len(batches) == 4
    assert world.lookups == 67
    assert len(world.graph.items) == 1000
    assert len(world.requests) == 1004


async def test_upns_are_compared_without_case():
    """HR's spelling of a UPN need not be Entra's; the item carries Entra's."""
    world = await a_world()
    world.graph.add_user("Ada@Contoso.com")

    report = await world.night([ADA | {"UserPrincipalName": "ADA@contoso.COM"}])

    assert report["created"] == 1
    assert world.title("Ada@Contoso.com") == "Director"


async def test_another_spelling_of_the_same_upn_sends_nothing():
    """Upper and lower case are no rename."""
    world = await a_world()
    await world.night(STAFF)

    await world.night([ADA | {"UserPrincipalName": "ADA@CONTOSO.COM"}, BEN, CYD], accounts=False)

    assert world.writes() == []


async def test_a_quote_in_a_upn_is_found():
    """An apostrophe is a letter in names, and the end of a text in filters."""
    world = await a_world()

    report = await world.night([a_person("E1", "o'neill@contoso.com"), a_person("E2", "d#1&x+y@contoso.com")])

    assert (report["created"], report["unmatched"]) == (2, 0)


async def test_no_upn_is_in_an_address():
    """Names travel in bodies, never in a URL that somebody logs."""
    world = await a_world()

    await world.night(STAFF)

    assert not any("contoso.com" in request.path for request in world.requests)


async def test_only_what_is_needed_is_read_of_a_user():
    """The look-up selects five properties, and no more."""
    world = await a_world()

    await world.night(STAFF)

    (part,) = world.graph.parts[-1:]
    assert "$select=id,userPrincipalName,mail,accountEnabled,userType" in part.path


# --- how often ------------------------------------------------------------------------------------------------------


async def test_known_accounts_are_asked_for_again_after_some_days():
    """Nobody known is looked up before RESOLVE_AFTER_DAYS; then everybody is, without a new export."""
    world = await a_world(RESOLVE_AFTER_DAYS=3)
    await world.night(STAFF)

    await world.tick(after=3 * DAY - 2 * TICK)
    early = world.lookups
    await world.tick(after=2 * TICK)

    assert early == 0
    assert world.lookups == 1
    assert world.writes() == []


async def test_a_refresh_that_changes_nothing_makes_no_report():
    """The refresh of known accounts says something only if it sent something."""
    world = await a_world(RESOLVE_AFTER_DAYS=3)
    await world.night(STAFF)
    reports = set(world.blobs("reports"))

    await world.tick(after=4 * DAY)
    await world.tick()

    assert world.requests == []
    assert set(world.blobs("reports")) == reports


async def test_a_refresh_notices_that_an_account_was_made_anew():
    """Another object id behind the same UPN is noticed at the refresh, and the item is sent with it."""
    world = await a_world(RESOLVE_AFTER_DAYS=3)
    await world.night([ADA])
    del world.graph.users[account(world, "ada@contoso.com")]
    world.graph.add_user("ada@contoso.com", id="00000000-0000-4000-8000-00000000aaaa")

    await world.tick(after=4 * DAY)

    assert world.sent("E1")
    assert world.title("ada@contoso.com") == "Director"


# --- managers -------------------------------------------------------------------------------------------------------


async def test_a_manager_whom_nobody_knows_is_a_warning():
    """The person is sent without a manager."""
    world = await a_world()

    report = await world.night([ADA | {"ManagerId": "E99"}])

    assert (report["created"], report["warnings"]["manager_unknown"]) == (1, 1)
    assert world.manager("ada@contoso.com") is None


async def test_a_manager_who_appears_is_sent():
    """When the manager's row appears, the report is sent again, with it."""
    world = await a_world()
    await world.night([BEN, CYD])

    report = await world.night(STAFF)

    assert (report["created"], report["updated"]) == (1, 2)
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_a_manager_who_gets_an_account_is_sent():
    """When an unmatched manager gets an account, the reports are sent with the manager, a day later."""
    world = await a_world()
    world.without_account = {"ada@contoso.com"}
    first = await world.night(STAFF)
    without = world.manager("ben@contoso.com")
    world.without_account = set()
    world.follow(STAFF)

    report = await world.tick(after=DAY) or {}

    assert (first["created"], without) == (2, None)
    assert (report["created"], report["updated"]) == (1, 2)
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_a_manager_whose_row_is_rejected_still_manages():
    """The ledger remembers the account of somebody whose row is bad tonight."""
    world = await a_world()
    await world.night(STAFF)

    report = await world.night([ADA | {"HireDate": "x"}, BEN | {"JobTitle": "Chief"}, CYD])

    assert (report["rejected"], report["updated"], report["warnings"].get("manager_unknown")) == (1, 1, None)
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_a_manager_whose_account_is_gone_still_manages():
    """The last known account of an unmatched manager serves."""
    world = await a_world()
    await world.night(STAFF)
    row = ADA | {"UserPrincipalName": "ada.new@contoso.com"}

    report = await world.night([row, BEN | {"JobTitle": "Chief"}, CYD], accounts=False)

    assert report["unmatched"] == 1
    assert world.sent("E2")
    assert world.manager("ben@contoso.com") is not None


@pytest.mark.parametrize(
    "managers",
    [{"E1": "E1"}, {"E1": "E2", "E2": "E1"}, {"E1": "E2", "E2": "E3", "E3": "E1"}],
)
async def test_loops_of_managers_are_left_out(managers: dict[str, str]):
    """Nobody manages themselves, not even in a round: those people are sent without a manager."""
    world = await a_world()

    report = await world.night([row | {"ManagerId": managers.get(row["EmployeeId"], "")} for row in STAFF])

    assert report["created"] == 3
    assert report["warnings"]["manager_loop"] == len(managers)
    assert all(world.manager(row["UserPrincipalName"]) is None for row in STAFF)


async def test_reporting_into_a_loop_is_no_loop():
    """Whoever reports to somebody in a loop keeps the manager."""
    world = await a_world()

    report = await world.night([ADA | {"ManagerId": "E1"}, BEN])

    assert report["warnings"]["manager_loop"] == 1
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


# --- managers named by an account ---------------------------------------------------------------------------------

BY_KEY = """by = "key\""""


async def a_world_of(by: str, **settings: object) -> World:
    """Return a world in which managers are named by their UPN or mail, in the column ManagerId."""
    world = World()
    world.decide(**settings)
    await world.map_with((BY_KEY, f'by = "{by}"'))
    await world.setup()
    return world


def about_managers(report: Report) -> dict[str, int]:
    """Return the warnings about managers."""
    return {code: count for code, count in report["warnings"].items() if code.startswith("manager")}


def by_mail(world: World, upn: str, mail: str) -> None:
    """Let IT make a user whose mail is another than the UPN."""
    world.graph.add_user(upn, mail=mail)


@pytest.mark.parametrize(("by", "named"), [("userPrincipalName", "Boss@contoso.com"), ("mail", "The.Boss@mail.com")])
async def test_a_manager_without_a_row_is_who_entra_says(by: str, named: str):
    """No row is needed for somebody who is named by an account; no item is made, an unchanged night asks nothing."""
    world = await a_world_of(by)
    by_mail(world, "boss@contoso.com", "the.boss@mail.com")
    rows = [ADA | {"ManagerId": named}, BEN | {"ManagerId": named.upper()}]

    report = await world.night(rows)
    managers = [world.manager(row["UserPrincipalName"]) for row in rows]
    await world.drop("people-12.csv", rows)
    noon = await world.tick() or {}

    assert (report["created"], report["people"], report["out_of_scope"]) == (2, 2, 0)
    assert report["warnings"].get("manager_unknown") is None
    assert managers == ["boss@contoso.com"] * 2
    assert world.holds("E1", "E2")
    assert (await world.head()).people == 2
    assert (noon["outcome"], world.requests) == ("unchanged", [])


@pytest.mark.parametrize("by", ["userPrincipalName", "mail"])
async def test_a_manager_named_by_account_may_have_a_row(by: str):
    """Then it is the same person: looked up once, in no loop with themselves, and nobody's when they left."""
    world = await a_world_of(by)
    rows = [ADA | {"ManagerId": "Ada@contoso.com"}, BEN | {"ManagerId": "ada@contoso.com"}]

    report = await world.night(rows)
    with_ada = world.manager("ben@contoso.com")
    left = await world.night([ADA | {"Status": "Left"}, rows[1]])
    later = await world.night([ADA | {"Status": "Left"}, rows[1]])

    assert about_managers(report) == {"manager_loop": 1}
    assert (world.manager("ada@contoso.com"), with_ada) == (None, "ada@contoso.com")
    assert (left["deleted"], left["updated"], about_managers(left)) == (1, 1, {})
    assert world.manager("ben@contoso.com") is None
    assert (later["outcome"], world.requests) == ("unchanged", [])


async def test_a_manager_named_by_account_whom_entra_does_not_know_appears_later():
    """Sent without a manager and with a warning, asked for daily, and sent again when IT has made the account."""
    world = await a_world_of("mail")
    rows = [ADA | {"ManagerId": "the.boss@mail.com"}]
    report = await world.night(rows)
    by_mail(world, "boss@contoso.com", "the.boss@mail.com")

    later = await world.tick(after=DAY) or {}

    assert (report["created"], report["unmatched"], about_managers(report)) == (1, 0, {"manager_unknown": 1})
    assert (later["updated"], about_managers(later)) == (1, {})
    assert world.manager("ada@contoso.com") == "boss@contoso.com"


async def test_a_manager_named_by_what_no_account_can_be_stops_nobody():
    """A whole text in place of an address is not asked for, since Graph would refuse it and the run with it."""
    world = await a_world_of("mail")
    world.graph.fault_parts_when(lambda seen: len(seen.path) > 4000, Refused(400), times=None)
    await world.night([ADA])

    report = await world.night([ADA | {"JobTitle": "Chief", "ManagerId": "see the organisation chart " * 400}])

    assert (report["outcome"], about_managers(report)) == ("completed", {"manager_unknown": 1})
    assert world.title("ada@contoso.com") == "Chief"


async def test_a_manager_whose_mail_several_users_have_is_unknown():
    """Nobody is chosen; the row that names them is right for the rest, and sent."""
    world = await a_world_of("mail")
    by_mail(world, "boss@contoso.com", "the.boss@mail.com")
    by_mail(world, "other@contoso.com", "the.boss@mail.com")

    report = await world.night([ADA | {"ManagerId": "the.boss@mail.com"}])

    assert (report["created"], report["rejected"], about_managers(report)) == (1, 0, {"manager_unknown": 1})
    assert world.manager("ada@contoso.com") is None


# --- out of scope ---------------------------------------------------------------------------------------------------

SCOPE = """[[scope]]
column = "Department"
is_not = ["Partner"]

[[property]]
name = "accounts"
"""
PARTNER = {"Department": "Partner"}


async def a_world_with_partners(**settings: object) -> World:
    """Return a world whose mapping leaves partners out."""
    world = World()
    world.decide(**settings)
    await world.map_with(
        ("[[property]]                            # filled from the matched Entra user\n", "# scope\n")
    )
    text = world.blobs("state")["mapping.toml"].decode().replace('# scope\nname = "accounts"\n', SCOPE)
    await world.containers.state.write("mapping.toml", text.encode())
    await world.setup()
    return world


async def test_whoever_is_out_of_scope_is_not_sent_nor_looked_up():
    """They are none of the people, and the report says how many there are."""
    world = await a_world_with_partners()

    report = await world.night([ADA, BEN, CYD | PARTNER, a_person("E4") | PARTNER])

    assert (report["people"], report["created"], report["unmatched"], report["out_of_scope"]) == (2, 2, 0, 2)
    assert world.holds("E1", "E2")
    (page,) = (page.decode() for name, page in world.blobs("reports").items() if name.endswith(".html"))
    assert "out of scope" in page


async def test_falling_out_of_scope_takes_the_profile_away_after_the_grace():
    """As absence does: the first export counts, the next deletes; somebody who returns in between keeps everything."""
    world = await a_world_with_partners()
    await world.night([*STAFF, a_person("E4")])
    away = [ADA, BEN, CYD | PARTNER, a_person("E4") | PARTNER]

    first = await world.night(away)
    held = world.holds("E1", "E2", "E3", "E4")
    second = await world.night([*away[:3], a_person("E4")])

    assert (first["deleted"], first["grace"], held) == (0, 2, True)
    assert {each["key"] for each in first["missing_people"]} == {"E3", "E4"}
    assert (second["deleted"], second["grace"], second["created"], second["updated"]) == (1, 0, 0, 0)
    assert world.holds("E1", "E2", "E4")


async def test_a_partial_export_takes_nobody_out_of_scope():
    """It deletes nobody, whatever it says."""
    world = await a_world_with_partners(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)
    await world.drop("some.csv", [CYD | PARTNER])
    await world.promise("some.csv", kind="partial")

    report = await world.tick() or {}

    assert (report["outcome"], report["deleted"], report["out_of_scope"]) == ("unchanged", 0, 1)
    assert world.holds("E1", "E2", "E3")


async def test_a_user_of_somebody_whom_a_partial_export_leaves_out_is_theirs():
    """Their item stays, so another row of that export with their user is rejected."""
    world = await a_world_with_partners()
    await world.night(STAFF)
    await world.drop("some.csv", [CYD | PARTNER, CYD | {"EmployeeId": "N3"}])
    await world.promise("some.csv", kind="partial")

    report = await world.tick() or {}

    assert [(row["key"], *row["codes"]) for row in report["rows"]] == [("N3", "duplicate_account")]
    assert world.holds("E1", "E2", "E3")


async def test_a_manager_who_falls_out_of_scope_stays_the_manager():
    """The item goes; the account serves the reports, who are not sent again, that night or later."""
    world = await a_world_with_partners(LEAVER_GRACE_EXPORTS=0)
    await world.night(STAFF)
    rows = [ADA | PARTNER, BEN, CYD]

    report = await world.night(rows)
    later = await world.night(rows)

    assert (report["deleted"], report["updated"], report["people"]) == (1, 0, 2)
    assert world.holds("E2", "E3")
    assert world.manager("ben@contoso.com") == "ada@contoso.com"
    assert (later["outcome"], world.requests) == ("unchanged", [])


async def test_a_manager_who_falls_out_of_scope_under_a_new_name_is_rendered_alike_in_every_slice():
    """A run in many slices keeps its name to the end, though the manager's new account is only in the deletion."""
    world = await a_world_with_partners(LEAVER_GRACE_EXPORTS=0, SLICE_SECONDS=1, MAX_CONCURRENCY=1)
    reports_of_hers = [a_person(f"R{number}", manager="E1") for number in range(6)]
    await world.drop("people-1.csv", [ADA, *reports_of_hers])
    world.follow([ADA, *reports_of_hers])
    await world.settle()
    world.graph.rename_user(account(world, "ada@contoso.com"), "ada.new@contoso.com")
    world.graph.latency = 0.7
    await world.drop("people-2.csv", [ADA | PARTNER | {"UserPrincipalName": "ada.new@contoso.com"}, *reports_of_hers])

    slices = await world.settle()

    assert len(slices) >= 3
    assert len({report["run"] for report in slices}) == 1
    assert (slices[-1]["outcome"], slices[-1]["updated"], slices[-1]["deleted"]) == ("completed", 6, 1)
    assert {world.manager(row["UserPrincipalName"]) for row in reports_of_hers} == {"ada.new@contoso.com"}


async def test_a_manager_out_of_scope_is_looked_up_for_the_reports():
    """Nobody else out of scope is asked for."""
    world = await a_world_with_partners()

    report = await world.night([ADA | PARTNER, BEN, a_person("E4") | PARTNER])

    assert (report["created"], about_managers(report)) == (1, {})
    assert world.manager("ben@contoso.com") == "ada@contoso.com"
    assert {entry.key for entry in (await world.ledger()).entries.values()} == {"E1", "E2"}


async def test_a_mapping_that_leaves_everybody_out_is_refused():
    """One wrong word in a filter removes nobody."""
    world = await a_world_with_partners()
    await world.night(STAFF)

    report = await world.night([row | PARTNER for row in STAFF])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "everyone")
    assert world.holds("E1", "E2", "E3")


# --- the pilot ------------------------------------------------------------------------------------------------------


async def test_a_pilot_of_named_people_sends_those_only():
    """PILOT lists UPNs, in any case: nobody else is sent, nor looked up but to be somebody's manager."""
    world = await a_world(PILOT="BEN@contoso.com")

    report = await world.night(STAFF)

    assert (report["created"], report["people"]) == (1, 3)
    assert world.holds("E2")
    assert world.manager("ben@contoso.com") == "ada@contoso.com"


async def test_a_pilot_by_percentage_is_stable():
    """The same people are in it on every night, and a larger share includes the smaller one."""
    world = await a_world(PILOT="20%")
    await world.night(people(200))
    few = set(world.graph.items)
    await world.night(people(200))
    again = set(world.graph.items)
    world.decide(PILOT="60%")
    await world.tick()

    assert 20 <= len(few) <= 60
    assert again == few
    assert few < set(world.graph.items)


async def test_a_narrower_pilot_takes_nobodys_profile_away():
    """Whoever was sent and is outside the pilot now keeps the item as it is."""
    world = await a_world()
    await world.night(STAFF)
    world.decide(PILOT="ada@contoso.com")

    report = await world.night([ADA, BEN | {"JobTitle": "Chief"}, CYD])

    assert (report["updated"], report["deleted"]) == (0, 0)
    assert world.holds("E1", "E2", "E3")
    assert world.title("ben@contoso.com") == "Clerk"


async def test_leavers_outside_the_pilot_are_still_deleted():
    """Whatever we once sent goes with the person."""
    world = await a_world()
    await world.night(STAFF)
    world.decide(PILOT="ada@contoso.com")

    report = await world.night([ADA, BEN, CYD | {"Status": "Left"}])

    assert report["deleted"] == 1
    assert world.holds("E1", "E2")


async def test_the_counts_of_a_pilot_add_up():
    """Nobody is lost in the counts: sent, unchanged, unmatched, failed, leavers and the rest make the people."""
    world = await a_world(PILOT="ada@contoso.com,cyd@contoso.com")
    world.without_account = {"cyd@contoso.com"}

    report = await world.night([*STAFF, a_person("E4", status="Left")])

    assert report["people"] == 4
    assert (report["created"], report["unmatched"], report["unchanged"]) == (1, 1, 0)
