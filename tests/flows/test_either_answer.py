"""Where nobody knows what Graph does, ours works with either answer (docs/graph.md, "What is not known")."""

from __future__ import annotations

import pytest

from connector.errors import ConfigurationError, GraphError
from connector.settings import Settings
from tests.flows.world import CONNECTION, ENVIRONMENT, World, a_person, item_of, people
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID
from tests.tenant.graph import ENTRA_SOURCE, GLOBAL_SETTING, Dropped, Refused, Seen
from tests.tenant.graph.people import source_url
from tests.tenant.graph.state import PropertySetting

FOREIGN_APP = "0f000000-0000-4000-8000-00000000000f"
DESK = ('column = "FavoriteColor"', 'column = "FavoriteColor"\n\n[[property]]\nname = "desk"\ncolumn = "DeskNumber"')


def a_world_where(**answers: object) -> World:
    """Return a world before setup, in a tenant that gives these answers."""
    world = World()
    for name, value in answers.items():
        assert hasattr(world.graph, name)
        setattr(world.graph, name, value)
    return world


@pytest.mark.parametrize("merges", [False, True], ids=["replaces", "merges"])
@pytest.mark.parametrize("keeps", [False, True], ids=["drops the creator", "keeps the creator"])
async def test_apps_are_added_whatever_a_patch_of_the_list_means(merges: bool, keeps: bool):  # noqa: FBT001
    """Both of ours are listed in the end, and an app that somebody else added is still there."""
    world = a_world_where(merges_authorized_app_ids=merges, keeps_creator=keeps)
    await world.setup()
    world.graph.connections[CONNECTION].authorized = [FOREIGN_APP, ADMIN_CLIENT_ID]

    await world.setup()

    assert sorted(world.graph.connections[CONNECTION].authorized) == sorted(
        [FOREIGN_APP, ADMIN_CLIENT_ID, INGEST_CLIENT_ID]
    )


@pytest.mark.parametrize("merges", [False, True], ids=["whole lists only", "merges"])
async def test_a_schema_grows_whatever_a_patch_of_it_means(merges: bool):  # noqa: FBT001
    """A column that is added to the mapping reaches profiles, and what was registered stays."""
    world = a_world_where(merges_schemas=merges)
    await world.setup()
    staff = people(2, DeskNumber="B7")
    await world.night(staff)
    await world.map_with(DESK)

    await world.setup()
    await world.night(staff)

    assert world.profiles()["p1@contoso.com"]["custom"]["desk"] == "B7"
    assert {prop["name"] for prop in world.graph.connections[CONNECTION].schema or []} >= {"accounts", "desk"}


@pytest.mark.parametrize("empty", [False, True], ids=["404", "empty"])
async def test_a_schema_that_is_not_there_yet_is_404_or_empty(empty: bool):  # noqa: FBT001
    """Setup registers it either way."""
    world = a_world_where(shows_empty_schemas=empty, schema_seconds=600)

    await world.setup()

    assert world.graph.connections[CONNECTION].state == "ready"


@pytest.mark.parametrize("taken", [False, True], ids=["refused", "taken"])
async def test_a_lost_operation_does_no_harm_whether_a_second_one_is_taken_or_not(taken: bool):  # noqa: FBT001
    """The answer with the operation's address is lost, and registering takes longer than we wait for it blindly."""
    world = a_world_where(takes_second_registration=taken, schema_seconds=900)
    world.graph.fault_when(
        lambda seen: seen.method == "PATCH" and seen.path.endswith("/schema"), Dropped(effect=True), times=1
    )

    await world.setup()
    await world.night(people(2))

    assert world.graph.connections[CONNECTION].state == "ready"
    assert world.title("p1@contoso.com") == "Clerk"


@pytest.mark.parametrize("breaks", [True, False], ids=["breaks the export", "is safe"])
async def test_custom_properties_reach_profiles_whether_custom_collections_are_safe_or_not(breaks: bool):  # noqa: FBT001
    """They are strings."""
    world = a_world_where(breaks_on_custom_collections=breaks)
    await world.setup()

    await world.night([a_person("E1", FavoriteColor="Blue")])

    assert world.profiles()["e1@contoso.com"]["custom"] == {"favoriteColor": "Blue"}


@pytest.mark.parametrize("prefers_upn", [False, True], ids=["the object id", "the UPN"])
async def test_both_ids_of_an_account_belong_to_one_user_whichever_counts(prefers_upn: bool):  # noqa: FBT001
    """Also after IT has renamed somebody, as soon as HR's export has the new name."""
    world = a_world_where(prefers_upn=prefers_upn)
    await world.setup()
    await world.night([a_person("E1", "anna@contoso.com", title="Chef")])

    await world.night([a_person("E1", "anna.berg@contoso.com", title="Chef")])

    assert world.title("anna.berg@contoso.com") == "Chef"


@pytest.mark.parametrize("folds", [False, True], ids=["case counts", "case does not count"])
async def test_a_upn_in_another_case_keeps_its_one_item_whether_case_counts_or_not(folds: bool):  # noqa: FBT001
    """Also when the account passes to another key, and when that person leaves: then nothing is left."""
    world = a_world_where(folds_item_ids=folds)
    world.decide(LEAVER_GRACE_EXPORTS=0)
    await world.setup()
    boss = a_person("E9", "boss@contoso.com")
    await world.night([a_person("E1", "anna@contoso.com", title="Chef"), boss])
    spellings = []

    for key, upn in (("E1", "Anna@Contoso.com"), ("N1", "ANNA@contoso.com")):
        account = world.graph.user_by_upn(upn)
        assert account is not None
        world.graph.rename_user(account.id, upn)
        await world.night([a_person(key, upn, title="Chef"), boss])
        await world.settle()
        spellings.append((len(world.graph.items), world.title(upn)))
    await world.night([boss])
    await world.settle()

    assert spellings == [(2, "Chef"), (2, "Chef")]
    assert len(world.graph.items) == 1


@pytest.mark.parametrize("code", ["", "Directory_ConcurrencyViolation", "accessDenied"])
async def test_the_words_of_error_codes_do_not_matter(code: str):
    """Setup, nights, lost answers and teardown go by HTTP status: a taken id is a 409, an item gone a 404."""
    world = a_world_where(error_codes=code, priority_lag_seconds=30, id_reuse_seconds=300)
    for path in ("/external/connections", "/admin/people/profileSources"):
        lost = Dropped(effect=True)
        world.graph.fault_when(lambda seen, path=path: seen[:2] == ("POST", path), lost, times=1)  # type: ignore[misc]

    await world.setup()
    await world.night(people(3))
    del world.graph.connections[CONNECTION].items[item_of("P3")]
    report = await world.night([*people(2), a_person("P3", status="Left")])
    await world.teardown()
    left = (list(world.graph.connections), list(world.graph.sources), world.graph.priorities())
    await world.setup()

    assert (report["deleted"], report["failed"]) == (1, 0)
    assert left == ([], [ENTRA_SOURCE], [ENTRA_SOURCE])
    assert world.graph.connections[CONNECTION].state == "ready"
    assert world.graph.statuses[409] > 0


async def test_setup_right_after_teardown_waits_for_the_id():
    """Graph gives the id of a deleted connection free only later: until then setup says that it is under way."""
    world = a_world_where(id_reuse_seconds=600)
    await world.setup()
    await world.teardown()

    await world.setup()

    assert world.graph.connections[CONNECTION].state == "ready"
    assert world.clock.monotonic() > 600


async def test_items_never_travel_in_batches():
    """Whether Graph takes items in batches or not, each is sent by itself; only users are looked up in batches."""
    world = a_world_where()
    await world.setup()

    await world.night(people(40))
    await world.night([*people(38), a_person("P39", status="Left")])

    assert {seen.path.partition("?")[0] for seen in world.graph.parts} == {"/users"}
    assert sum(seen.method == "PUT" for seen in world.graph.requests) == 40


async def test_a_setting_that_somebody_else_made_meanwhile_is_used():
    """Between our look and our creation another tool makes the tenant's first priority list: ours joins it."""
    world = a_world_where()
    world.graph.remove_global_setting()

    def made_by_another(seen: Seen) -> bool:
        created = seen[:2] == ("POST", "/admin/people/profilePropertySettings")
        if created and GLOBAL_SETTING not in world.graph.settings:
            theirs = [source_url(ENTRA_SOURCE, version="beta")]
            world.graph.settings[GLOBAL_SETTING] = PropertySetting(GLOBAL_SETTING, None, None, theirs)
        return False  # what is served then is the second creation

    world.graph.fault_when(made_by_another, Refused(409))

    await world.setup()

    assert world.graph.priorities() == [CONNECTION, ENTRA_SOURCE]


async def test_our_entry_is_put_back_after_a_race_for_the_priority_list():
    """Somebody who read the list before us writes it after us: the next setup call finds ours missing and adds it."""
    world = a_world_where()
    await world.setup()
    setting = world.graph.settings[GLOBAL_SETTING]
    setting.urls = [url for url in setting.urls if CONNECTION not in url]

    before = (await world.application().setup_view()).state
    await world.setup()

    assert before == "in progress"
    assert world.graph.priorities()[0] == CONNECTION


@pytest.mark.parametrize("status", [412, 428])
async def test_a_priority_list_that_demands_its_version_is_reported(status: int):
    """Graph documents no version of the list; should it demand one, setup ends with Graph's own words."""
    world = a_world_where()
    world.graph.fault_when(
        lambda seen: seen.method == "PATCH" and "profilePropertySettings" in seen.path,
        Refused(status, "PreconditionFailed", "If-Match is required."),
        times=None,
    )

    with pytest.raises(GraphError, match=rf"HTTP {status}.*If-Match is required"):
        await world.setup()


async def test_more_connections_than_the_tenant_may_have_are_reported():
    """Whatever the limit is, Graph's refusal is quoted to the operator."""
    world = a_world_where()
    refusal = Refused(400, "ConnectionLimitExceeded", "The tenant has too many connections.")
    world.graph.fault_when(lambda seen: seen[:2] == ("POST", "/external/connections"), refusal, times=None)

    with pytest.raises(GraphError, match="too many connections"):
        await world.setup()


async def test_setup_is_refused_nothing_under_its_contract():
    """A tenant that takes only the tutorial's requests, `Prefer: respond-async` among them, or only today's."""
    world = a_world_where()

    await world.setup()

    assert world.graph.connections[CONNECTION].state == "ready"
    assert [reason for reason in world.graph.refusals if not reason.startswith("404 GET")] == []


def test_the_tutorials_contract_is_refused_at_another_version():
    """Nobody finds out night after night: the settings say so."""
    environment = ENVIRONMENT | {"CONTRACT": "preview", "GRAPH_BASE_URL": "https://graph.microsoft.com/v1.0"}

    with pytest.raises(ConfigurationError, match="'preview' is only there under"):
        Settings.from_env(environment)
