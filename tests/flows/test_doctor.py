"""Health: what each check says of the world, why it matters, and what helps."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from connector.doctor import unconfigured
from connector.errors import ConfigurationError, StoreUnavailable
from tests.flows.world import CONNECTION, DAY, KILLED, MINUTE, World, a_world, people
from tests.storage.memory import MemoryContainer
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID
from tests.tenant.graph.faults import Failed, Kill, Refused
from tests.tenant.graph.state import ENTRA_SOURCE, GLOBAL_SETTING

if TYPE_CHECKING:
    from tests.tenant.graph.faults import Fault

CHECKS = [
    "settings",
    "vault",
    "admin-roles",
    "ingest-roles",
    "containers",
    "connection",
    "ingest-access",
    "profile-source",
    "priority",
    "entra-source",
    "export",
    "ledger",
    "sync",
]
HOUR = 3600

Answer = dict[str, Any]


async def look(world: World) -> Answer:
    """Return the body of GET /health, which keeps its promises whatever it found."""
    answer = await world.application().health()
    for check in answer["checks"]:
        assert check["detail"]
        told = bool(check["why"]), bool(check["advice"])
        assert told == ((False, False) if check["status"] == "ok" else (True, True)), check
        for finding in check["findings"]:
            assert finding["status"] != "ok", check
            assert finding["detail"], check
            assert finding["why"], check
            assert finding["advice"], check
    statuses = {check["status"] for check in answer["checks"]}
    expected = "failed" if "failed" in statuses else "degraded" if statuses - {"ok"} else "ok"
    assert answer["status"] == expected
    return answer


def check(answer: Answer, name: str) -> dict[str, str]:
    """Return the one check of this name."""
    found: dict[str, str]
    (found,) = (each for each in answer["checks"] if each["name"] == name)
    return found


def statuses(answer: Answer) -> dict[str, str]:
    """Return the checks that are not ok."""
    return {found["name"]: found["status"] for found in answer["checks"] if found["status"] != "ok"}


async def in_use(count: int = 5, **settings: object) -> World:
    """Return a world in which the first night is over."""
    world = await a_world(**settings)
    await world.night(people(count))
    return world


def prioritise(world: World, *source_ids: str) -> None:
    """Let somebody in the tenant write the global list of profile sources."""
    version = "beta" if world.environment["CONTRACT"] == "preview" else "v1.0"
    base = f"https://graph.microsoft.com/{version}/admin/people/profileSources"
    world.graph.settings[GLOBAL_SETTING].urls = [f"{base}(sourceId='{each}')" for each in source_ids]


# --- the whole --------------------------------------------------------------------------------------------------------


async def test_in_use_all_is_well():
    """After the first night every check is ok, and there is nothing to do."""
    world = await in_use()

    answer = await look(world)

    assert answer["status"] == "ok"
    assert [found["name"] for found in answer["checks"]] == CHECKS


async def test_before_setup_nothing_has_failed():
    """A connection that is not there yet is unknown, like all that hangs on it, and Graph is not asked about it."""
    world = World()

    answer = await look(world)

    assert answer["status"] == "degraded"
    assert statuses(answer) == {
        "connection": "unknown",
        "ingest-access": "unknown",
        "profile-source": "unknown",
        "priority": "unknown",
        "entra-source": "unknown",
        "export": "unknown",
    }
    assert "run setup" in check(answer, "connection")["advice"]
    assert world.requests == []


async def test_in_the_middle_of_setup_the_connection_is_unknown():
    """A setup that has not finished is no failure either."""
    world = World()
    await world.application().setup()

    answer = await look(world)

    assert check(answer, "connection")["status"] == "unknown"
    assert "has not finished" in check(answer, "connection")["detail"]


async def test_after_setup_only_an_item_can_prove_the_rest():
    """Before the first sync nothing proves that the ingest app is let in, and nobody has anything from HR yet."""
    world = await a_world()

    answer = await look(world)

    assert statuses(answer) == {"ingest-access": "unknown", "export": "unknown"}
    assert "nothing, before the first sync" in check(answer, "ingest-access")["advice"]


async def test_looking_changes_nothing():
    """Graph is only read, and every blob stays as it was, once what was seen is noted."""
    world = await in_use()
    await look(world)
    before = {name: world.blobs(name) for name in ("exports", "state", "reports", "quarantine")}

    await look(world)

    assert {seen.method for seen in world.requests} == {"GET"}
    assert {name: world.blobs(name) for name in before} == before


async def test_looking_is_quick():
    """A handful of requests, whoever many people there are."""
    world = await in_use(60)

    await look(world)

    assert len(world.requests) <= 8
    assert world.blob_requests <= 15


async def test_graph_that_does_not_answer_fails_within_seconds():
    """Health waits for Graph no longer than its caller would; what does not need Graph is told."""
    world = await in_use()
    world.graph.fault_when(lambda _: True, Failed(503), times=None)
    began = world.clock.monotonic()

    answer = await look(world)

    assert check(answer, "connection")["status"] == check(answer, "ingest-access")["status"] == "failed"
    assert world.clock.monotonic() - began <= 35
    assert {check(answer, name)["status"] for name in ("settings", "vault", "containers", "export", "ledger")} == {"ok"}


async def test_a_mistake_of_ours_hides_no_other_check():
    """The checks that it spoils are unknown and say where it happened, not what about; the others are told."""
    world = await in_use()

    class Broken:
        async def credential_state(self, _: object) -> None:
            raise KeyError("adelev@contoso.com")

    world.vault = Broken()  # type: ignore[assignment]

    answer = await look(world)

    assert statuses(answer) == {"vault": "unknown", "admin-roles": "unknown", "ingest-roles": "unknown"}
    assert "internal error: KeyError at" in check(answer, "vault")["detail"]
    assert "adelev" not in json.dumps(answer)


@pytest.mark.parametrize("refusal", [None, Refused(403), Refused(400), Failed(503)])
async def test_nobody_is_named(refusal: Fault | None, caplog: pytest.LogCaptureFixture):
    """Whatever becomes of the items that are asked for: whose they are stays here, in answer and log."""
    world = await in_use()
    world.graph.connections[CONNECTION].items.clear()
    if refusal is not None:
        world.graph.fault_when(lambda seen: "/items/" in seen.path, refusal, times=None)
    ids = [entry.item_id for entry in (await world.ledger()).entries.values()]
    caplog.clear()

    answer = await look(world)

    told = json.dumps(answer) + caplog.text
    assert check(answer, "ingest-access")["status"] == "failed"
    assert not [each for each in [*ids, "@contoso.com", "_at_"] if each in told]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_wrong_settings_are_the_whole_answer():
    """Each problem is a failed check with its remedy; nothing else can be looked at."""
    answer = unconfigured(ConfigurationError(["TENANT_ID: is missing", "KEY_VAULT_URL: is missing"]))

    assert answer["status"] == "failed"
    assert [found["detail"] for found in answer["checks"]] == ["TENANT_ID: is missing", "KEY_VAULT_URL: is missing"]
    assert all(found["why"] and found["advice"] for found in answer["checks"])


async def test_a_wrong_mapping_hides_no_other_check():
    """A mapping of the operator's own that is not there fails the settings; everything else is still looked at."""
    world = await in_use()
    world.decide(MAPPING="blob:ours.toml")

    answer = await look(world)

    assert statuses(answer) == {"settings": "failed"}
    assert "there is no blob ours.toml" in check(answer, "settings")["detail"]


async def test_a_missing_schedule_is_a_warning():
    """Without SYNC_SCHEDULE the host fires no timer, and says nothing about it."""
    world = await in_use()
    world.schedule = None

    answer = await look(world)

    assert statuses(answer) == {"settings": "warning"}
    assert "SYNC_SCHEDULE" in check(answer, "settings")["detail"]


# --- credentials ------------------------------------------------------------------------------------------------------


async def test_a_secret_that_ends_soon_is_a_warning():
    """Less than 21 days before, with how many are left, and how to rotate it."""
    world = await in_use()
    world.vault.days = 5

    answer = await look(world)

    assert statuses(answer) == {"vault": "warning"}
    assert "in 5 days" in check(answer, "vault")["detail"]
    assert "add a new client secret to the ingest app" in check(answer, "vault")["advice"]


async def test_a_secret_past_its_date_that_still_works_is_a_warning():
    """Entra decides whether a secret works, not the date in the vault; but one of the two is wrong."""
    world = await in_use()
    world.vault.days = -2

    answer = await look(world)

    assert statuses(answer) == {"vault": "warning"}
    assert "Entra still takes it" in check(answer, "vault")["detail"]


async def test_a_secret_past_its_date_without_a_token_has_failed():
    """Then the date is right."""
    world = await in_use()
    world.vault.days = -2
    world.no_token = "Entra refuses the secret as expired (AADSTS7000222)"

    answer = await look(world)

    assert check(answer, "vault")["status"] == "failed"
    assert "ended on" in check(answer, "vault")["detail"]
    assert "AADSTS7000222" in check(answer, "ingest-roles")["advice"]


async def test_the_previous_version_in_use_is_a_warning():
    """Entra refuses the newest version of a secret: it works for now."""
    world = await in_use()
    world.vault.previous = True

    answer = await look(world)

    assert statuses(answer) == {"vault": "warning"}
    assert "the one before it is in use" in check(answer, "vault")["detail"]


async def test_a_vault_that_gives_nothing_is_told_once():
    """What to do stands in one place; the checks that need a token point there, and all others are told."""
    world = await in_use()
    world.vault.down = world.no_token = "the vault does not answer: check KEY_VAULT_URL"

    answer = await look(world)

    assert statuses(answer) == {
        "vault": "failed",
        "admin-roles": "failed",
        "ingest-roles": "failed",
        "connection": "unknown",
        "ingest-access": "unknown",
        "profile-source": "unknown",
        "priority": "unknown",
        "entra-source": "unknown",
    }
    assert check(answer, "vault")["advice"] == world.vault.down
    assert check(answer, "ingest-roles")["advice"] == "see vault"


# --- roles ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client_id", "name", "role"),
    [
        (ADMIN_CLIENT_ID, "admin-roles", "PeopleSettings.ReadWrite.All"),
        (ADMIN_CLIENT_ID, "admin-roles", "ExternalConnection.ReadWrite.OwnedBy"),
        (INGEST_CLIENT_ID, "ingest-roles", "ExternalItem.ReadWrite.OwnedBy"),
        (INGEST_CLIENT_ID, "ingest-roles", "User.Read.All"),
    ],
)
async def test_a_missing_role_fails(client_id, name, role):
    """The role, the app to grant it to, and what cannot be done without it are named."""
    world = await in_use()
    world.tenant.entra.withdraw(client_id, role)

    answer = await look(world)

    assert check(answer, name)["status"] == "failed"
    assert f"lacks {role}" in check(answer, name)["detail"]
    assert f"grant {role} to the {name.split('-')[0]} app" in check(answer, name)["advice"]


async def test_a_role_that_lacks_hides_nothing_it_is_not_for():
    """Without PeopleSettings the connection can be looked at, and the priority list cannot."""
    world = await in_use()
    world.tenant.entra.withdraw(ADMIN_CLIENT_ID, "PeopleSettings.ReadWrite.All")

    answer = await look(world)

    assert statuses(answer) == {
        "admin-roles": "failed",
        "profile-source": "unknown",
        "priority": "unknown",
        "entra-source": "unknown",
    }


async def test_the_all_form_will_do():
    """ExternalItem.ReadWrite.All is the documented fallback of OwnedBy: no reason to warn, but worth a word."""
    world = await in_use()
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    world.tenant.entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.All")

    answer = await look(world)

    assert statuses(answer) == {}
    assert "the least that does is ExternalItem.ReadWrite.OwnedBy" in check(answer, "ingest-roles")["detail"]


@pytest.mark.parametrize(
    ("client_id", "name", "role", "could"),
    [
        (INGEST_CLIENT_ID, "ingest-roles", "ExternalConnection.ReadWrite.OwnedBy", "delete the connection"),
        (INGEST_CLIENT_ID, "ingest-roles", "PeopleSettings.ReadWrite.All", "the whole tenant"),
        (INGEST_CLIENT_ID, "ingest-roles", "Directory.Read.All", "read the directory"),
        (ADMIN_CLIENT_ID, "admin-roles", "ExternalItem.ReadWrite.OwnedBy", "write every item"),
        (ADMIN_CLIENT_ID, "admin-roles", "User.Read.All", "read the directory"),
        (ADMIN_CLIENT_ID, "admin-roles", "Directory.Read.All", "read the directory"),
    ],
)
async def test_an_excess_role_is_a_warning(client_id, name, role, could):
    """An identity that could do the other's work is named, with what that means and what to take away."""
    world = await in_use()
    world.tenant.entra.grant(client_id, role)

    answer = await look(world)

    assert statuses(answer) == {name: "warning"}
    assert could in check(answer, name)["why"]
    assert f"take {role} away" in check(answer, name)["advice"]


# --- containers -------------------------------------------------------------------------------------------------------


def refuse_writes(world: World, container: str) -> None:
    """Leave us the reader's role on a container."""
    getattr(world.containers, container).refuse_writes(StoreUnavailable("storage refuses us"))


@pytest.mark.parametrize("container", ["exports", "state", "reports", "quarantine"])
async def test_a_missing_container_fails(container):
    """It is named with the setting's value; the others are still looked at."""
    world = await in_use()
    world.containers = replace(world.containers, **{container: MemoryContainer(world.clock, exists=False)})
    name = getattr(world.settings, f"{container}_container")

    answer = await look(world)

    assert check(answer, "containers")["status"] == "failed"
    assert check(answer, "containers")["detail"].startswith(f"{name} cannot be read")
    assert "can be read and written to" in check(answer, "containers")["detail"]


@pytest.mark.parametrize("container", ["state", "reports", "quarantine"])
async def test_a_container_that_takes_no_writes_fails(container):
    """Reading is not enough where we write: the role and whom to grant it to are named."""
    world = await in_use(AZURE_CLIENT_ID="11111111-2222-3333-4444-555555555555")
    refuse_writes(world, container)
    name = getattr(world.settings, f"{container}_container")

    answer = await look(world)

    assert statuses(answer) == {"containers": "failed"}
    assert f"{name} cannot be written to" in check(answer, "containers")["detail"]
    assert (
        "grants Storage Blob Data Contributor on it to the app's managed identity (111"
        in check(answer, "containers")["advice"]
    )


async def test_exports_need_only_be_read():
    """Storage Blob Data Reader is enough for the container that HR writes to."""
    world = await in_use()
    refuse_writes(world, "exports")

    answer = await look(world)

    assert statuses(answer) == {}


async def test_exports_that_cannot_be_read_fail():
    """The role for them is the reader's."""
    world = await in_use()
    world.containers = replace(world.containers, exports=MemoryContainer(world.clock, exists=False))

    answer = await look(world)

    assert statuses(answer) == {"containers": "failed", "export": "unknown"}
    assert "Storage Blob Data Reader" in check(answer, "containers")["advice"]
    assert check(answer, "export")["advice"] == "see containers"


# --- the connection ---------------------------------------------------------------------------------------------------


async def test_a_connection_that_does_not_list_the_ingest_app_fails():
    """Its list of apps lacks it, and the items that Graph holds are refused to it."""
    world = await in_use()
    world.graph.connections[CONNECTION].authorized.remove(INGEST_CLIENT_ID)

    answer = await look(world)

    assert statuses(answer) == {"connection": "failed", "ingest-access": "failed"}
    assert "does not list the app of INGEST_CLIENT_ID" in check(answer, "connection")["detail"]
    assert "authorizedAppIds" in check(answer, "ingest-access")["detail"]


async def test_a_refusal_is_a_failure_before_any_item_is_known():
    """403 is an answer, even about an item that nobody has."""
    world = await a_world()
    world.graph.connections[CONNECTION].authorized.remove(INGEST_CLIENT_ID)

    answer = await look(world)

    assert check(answer, "ingest-access")["status"] == "failed"


async def test_a_connection_that_is_gone_fails():
    """Everything went with it; what it is about stands in one place."""
    world = await in_use()
    del world.graph.connections[CONNECTION]

    answer = await look(world)

    assert statuses(answer) == {"connection": "failed", "ingest-access": "unknown"}
    assert "is gone from Microsoft Graph" in check(answer, "connection")["detail"]
    assert check(answer, "ingest-access")["advice"] == "see connection"


async def test_a_connection_of_somebody_else_fails():
    """Graph does not let our admin app see it: its owner must authorise us, or CONNECTION_ID is another one."""
    world = await in_use()
    connection = world.graph.connections[CONNECTION]
    connection.owner = "22222222-3333-4444-5555-666666666666"
    connection.authorized.clear()

    answer = await look(world)

    assert check(answer, "connection")["status"] == check(answer, "ingest-access")["status"] == "failed"
    assert "belongs to another app" in check(answer, "connection")["detail"]


async def test_a_connection_made_anew_behind_our_back_fails():
    """It is a draft without a schema: no item goes in."""
    world = await in_use()
    connection = world.graph.connections[CONNECTION]
    connection.schema = None
    connection.items.clear()

    answer = await look(world)

    assert check(answer, "connection")["status"] == "failed"
    assert "is a draft again" in check(answer, "connection")["detail"]


async def test_a_schema_that_lacks_what_the_mapping_fills_fails():
    """Runs would be refused until setup has registered it."""
    world = await in_use()
    connection = world.graph.connections[CONNECTION]
    assert connection.schema
    connection.schema = [entry for entry in connection.schema if entry["name"] != "favoriteColor"]

    answer = await look(world)

    assert statuses(answer) == {"connection": "failed"}
    assert "lacks favoriteColor" in check(answer, "connection")["detail"]


async def test_settings_of_another_contract_fail():
    """The state is of a connection under another contract: no tick works, and what helps is said."""
    world = await in_use()
    other = {"labels": "preview", "preview": "labels"}[world.environment["CONTRACT"]]
    world.decide(CONTRACT=other, GRAPH_BASE_URL="https://graph.microsoft.com/beta")

    answer = await look(world)

    assert {name for name, status in statuses(answer).items() if status == "failed"} == {"connection"}
    assert f"CONTRACT is '{other}'" in check(answer, "connection")["detail"]
    assert "set it back" in check(answer, "connection")["advice"]
    assert check(answer, "ledger")["status"] == "ok"


async def test_graph_that_lost_all_items_fails():
    """What the ledger believes is not so, and no run would notice by itself."""
    world = await in_use()
    world.graph.connections[CONNECTION].items.clear()

    answer = await look(world)

    assert statuses(answer) == {"ingest-access": "failed"}
    assert "sync --full" in check(answer, "ingest-access")["advice"]


async def test_one_item_that_is_gone_is_a_warning():
    """The others show that the app is let in."""
    world = await in_use(3)
    world.graph.connections[CONNECTION].items.popitem()

    answer = await look(world)

    assert statuses(answer) == {"ingest-access": "warning"}
    assert "1 of 3" in check(answer, "ingest-access")["detail"]


# --- profile source and priority --------------------------------------------------------------------------------------


async def test_a_profile_source_that_is_gone_fails():
    """Graph keeps items that reach nobody."""
    world = await in_use()
    del world.graph.sources[CONNECTION]

    answer = await look(world)

    assert statuses(answer) == {"profile-source": "failed"}
    assert "register" in check(answer, "profile-source")["advice"]


async def test_a_source_that_is_not_listed_fails():
    """Somebody wrote the tenant's list without us."""
    world = await in_use()
    prioritise(world, "otherhr", ENTRA_SOURCE)

    answer = await look(world)

    assert statuses(answer) == {"priority": "failed"}
    assert "is not in the tenant's priority list of 2" in check(answer, "priority")["detail"]


async def test_no_priority_list_at_all_fails():
    """Then nobody can say which source wins."""
    world = await in_use()
    world.graph.settings.clear()

    answer = await look(world)

    assert statuses(answer) == {"priority": "failed", "entra-source": "warning"}


async def test_another_place_than_the_first_is_told():
    """That may be meant; who is before us and how to change it are said."""
    world = await in_use()
    prioritise(world, "otherhr", ENTRA_SOURCE, CONNECTION)

    answer = await look(world)

    assert statuses(answer) == {}
    assert "has place 3 of 3, after 'otherhr', Entra" in check(answer, "priority")["detail"]
    assert "priority=first" in check(answer, "priority")["detail"]


async def test_a_list_without_entra_is_a_warning():
    """Whose list it is and what belongs there are said."""
    world = await in_use()
    prioritise(world, CONNECTION)

    answer = await look(world)

    assert statuses(answer) == {"entra-source": "warning"}
    assert ENTRA_SOURCE in check(answer, "entra-source")["advice"]


# --- without the admin identity ---------------------------------------------------------------------------------------


async def test_a_disabled_admin_identity_is_left_alone():
    """Neither its secret nor a token of its is asked for; what it saw last is told with its age."""
    world = await in_use()
    world.decide(ADMIN_ENABLED="false")
    await world.night(people(5))

    answer = await look(world)

    assert statuses(answer) == {}
    assert "admin-client-secret" not in json.dumps(answer)
    assert {seen.identity for seen in world.requests} == {"ingest"}
    assert "ADMIN_ENABLED" in check(answer, "admin-roles")["detail"]
    for name in ("connection", "profile-source", "priority", "entra-source"):
        assert "ago, since ADMIN_ENABLED is false" in check(answer, name)["detail"]


@pytest.mark.parametrize("by", ["health", "setup", "register"])
async def test_what_the_admin_identity_saw_is_remembered(by: str):
    """Whoever looked last noted it: a fault that was there then is told later, with its age."""
    world = await in_use()
    prioritise(world, "otherhr", CONNECTION)
    await getattr(world.application(), by)()
    world.decide(ADMIN_ENABLED="false")
    world.wait(3 * HOUR)

    answer = await look(world)

    assert statuses(answer) == {"entra-source": "warning"}
    assert "has place 2 of 2, after 'otherhr'" in check(answer, "priority")["detail"]
    assert "3 hours ago" in check(answer, "priority")["detail"]
    assert "3 hours ago" in check(answer, "entra-source")["detail"]
    assert "ADMIN_ENABLED must be true for that" in check(answer, "entra-source")["advice"]


async def test_memory_from_before_is_read():
    """A connection.json of an earlier release remembers no sighting: that is unknown, and nothing else is touched."""
    world = await in_use()
    name = f"{CONNECTION}/connection.json"
    memory = json.loads(world.blobs("state")[name])
    del memory["seen"]
    await world.containers.state.write(name, json.dumps(memory).encode())
    world.decide(ADMIN_ENABLED="false")

    answer = await look(world)

    assert statuses(answer) == {
        "connection": "unknown",
        "profile-source": "unknown",
        "priority": "unknown",
        "entra-source": "unknown",
    }
    assert "set ADMIN_ENABLED to true once" in check(answer, "priority")["advice"]


async def test_looking_again_and_again_writes_nothing():
    """What shows nothing new is noted once a day, so that neither storage nor ticks have anything to do."""
    world = await in_use()
    await look(world)
    before = world.blobs("state")

    await look(world)
    world.wait(23 * HOUR)
    again = world.blobs("state")
    world.wait(2 * HOUR)
    await look(world)

    assert again == before
    assert world.blobs("state") != before


async def test_a_note_is_no_reason_for_a_run():
    """A tick after health has noted something sends nothing, makes no report and asks nobody for a token."""
    world = await in_use()
    prioritise(world, "otherhr", CONNECTION, ENTRA_SOURCE)
    reports = world.blobs("reports")
    await look(world)

    first = await world.tick()
    requests, tokens = world.requests, world.token_requests
    await world.tick()

    assert first is None
    assert (requests, tokens) == ([], 0)
    assert world.blobs("reports") == reports
    assert world.blob_requests <= 4


async def test_a_note_in_the_middle_of_a_run_leaves_it_alone():
    """The unfinished run goes on where it was; it is not taken for one of another connection."""
    world = await in_use(6)
    await an_unfinished_run(world)
    unfinished = (await world.head()).run
    assert unfinished
    prioritise(world, "otherhr", CONNECTION, ENTRA_SOURCE)
    await look(world)

    reports = await world.settle()

    assert [(each["run"], each["outcome"]) for each in reports] == [(unfinished.id, "completed")]
    assert reports[0]["deleted"] == 5


async def test_what_cannot_be_noted_is_told_all_the_same():
    """Health is safe where nothing can be written."""
    world = await in_use()
    prioritise(world, "otherhr", CONNECTION, ENTRA_SOURCE)
    refuse_writes(world, "state")

    answer = await look(world)

    assert statuses(answer) == {"containers": "failed"}
    assert "place 2 of 3" in check(answer, "priority")["detail"]


# --- exports ----------------------------------------------------------------------------------------------------------


async def test_an_old_export_is_stale():
    """Older than STALE_AFTER_HOURS, and HR has dropped nothing since."""
    world = await in_use()
    world.wait(30 * HOUR)

    answer = await look(world)

    assert statuses(answer) == {"export": "warning"}
    assert "is 30 hours old (stale after 26 hours); HR has dropped nothing since" in check(answer, "export")["detail"]
    assert "ask HR" in check(answer, "export")["advice"]


async def test_the_limit_is_the_settings():
    """STALE_AFTER_HOURS decides."""
    world = await in_use(STALE_AFTER_HOURS="48")
    world.wait(30 * HOUR)

    assert statuses(await look(world)) == {}


async def test_a_newer_export_that_was_refused_is_told():
    """The code leads to who mends it; it does not take until the last good one is stale."""
    world = await in_use()
    world.wait(HOUR)
    await world.drop("wrong.csv", b"")
    await world.tick()

    answer = await look(world)

    assert statuses(answer) == {"export": "warning"}
    assert "wrong.csv, was refused (empty_file)" in check(answer, "export")["detail"]


async def test_a_newer_export_that_waits_is_told():
    """Stale with a newer export means that the timer does not fire."""
    world = await in_use()
    world.wait(DAY)
    await world.drop("people-2.csv", people(5))
    world.wait(3 * HOUR)

    answer = await look(world)

    assert statuses(answer) == {"export": "warning"}
    assert "people-2.csv has been waiting for 3 hours" in check(answer, "export")["detail"]
    assert "timer" in check(answer, "export")["advice"]


async def test_an_export_that_is_still_settling_is_told():
    """Nothing is wrong then but the time."""
    world = await in_use()
    world.wait(2 * DAY)
    await world.drop("people-2.csv", people(5))
    world.wait(MINUTE)

    answer = await look(world)

    assert "people-2.csv is still settling" in check(answer, "export")["detail"]


async def test_files_of_another_name_are_told():
    """HR may have renamed its export."""
    world = await in_use()
    world.wait(2 * DAY)
    await world.drop("people.xlsx", b"PK")
    await world.drop("people.csv.done", b"")
    world.wait(HOUR)

    answer = await look(world)

    assert "that EXPORTS_PATTERN takes; files of other names: 1" in check(answer, "export")["detail"]


async def test_a_first_export_that_was_refused_is_a_warning():
    """It is not the same as none."""
    world = await a_world()
    await world.drop("people.csv", b"")
    await world.tick()

    answer = await look(world)

    assert check(answer, "export")["status"] == "warning"
    assert "no complete export has been applied yet" in check(answer, "export")["detail"]


# --- ledger and runs --------------------------------------------------------------------------------------------------


def ledgers(world: World) -> list[str]:
    """Return the names of the stored ledgers."""
    return [name for name in world.blobs("state") if "/ledger/" in name]


async def test_a_ledger_that_is_lost_fails():
    """Runs are refused; the way back, and the way on, are named."""
    world = await in_use()
    for name in ledgers(world):
        await world.containers.state.delete(name)

    answer = await look(world)

    assert statuses(answer) == {"ledger": "failed", "ingest-access": "unknown"}
    assert "sync --full --rebuild" in check(answer, "ledger")["advice"]


async def test_a_head_that_is_lost_fails():
    """The next tick would believe that it is the first: before it, the blob can be restored."""
    world = await in_use()
    await world.containers.state.delete(f"{CONNECTION}/head.json")

    answer = await look(world)

    assert check(answer, "ledger")["status"] == "failed"
    assert "restore head.json" in check(answer, "ledger")["advice"]


async def test_a_ledger_whose_connection_is_not_remembered_is_a_warning():
    """Setup is going to begin a new incarnation, and everyone is sent."""
    world = await in_use()
    await world.containers.state.delete(f"{CONNECTION}/connection.json")

    answer = await look(world)

    assert check(answer, "connection")["status"] == "unknown"
    assert check(answer, "ledger")["status"] == "warning"


@pytest.mark.parametrize("blob", ["ledger", "head"])
async def test_damaged_memory_fails(blob: str):
    """The other checks are told all the same."""
    world = await in_use()
    name = ledgers(world)[-1] if blob == "ledger" else f"{CONNECTION}/head.json"
    await world.containers.state.write(name, b"nonsense")

    answer = await look(world)

    assert check(answer, "ledger")["status"] == "failed"
    assert {check(answer, each)["status"] for each in ("vault", "containers", "connection", "priority")} == {"ok"}


async def test_a_damaged_memory_of_setup_fails():
    """No tick works without it; what to do stands at the connection, and the ledger is fine."""
    world = await in_use()
    await world.containers.state.write(f"{CONNECTION}/connection.json", b"nonsense")

    answer = await look(world)

    assert check(answer, "connection")["status"] == "failed"
    assert "setup then adopts the connection" in check(answer, "connection")["advice"]
    assert check(answer, "ledger")["status"] == "ok"


async def test_a_ledger_of_another_incarnation_is_a_warning():
    """State was lost and setup adopted the connection: everyone is going to be sent, which the operator should know."""
    world = await in_use()
    await world.containers.state.delete(f"{CONNECTION}/connection.json")
    await world.setup()

    before = await look(world)
    await world.settle()
    after = await look(world)

    assert check(before, "ledger")["status"] == "warning"
    assert "the next run sends everyone" in check(before, "ledger")["why"]
    assert statuses(after) == {}


async def test_memory_that_cannot_be_reached_is_unknown():
    """Then the containers say why."""
    world = await in_use()
    world.containers = replace(world.containers, state=MemoryContainer(world.clock, exists=False))

    answer = await look(world)

    assert check(answer, "containers")["status"] == "failed"
    assert {check(answer, name)["status"] for name in ("connection", "ledger", "sync", "export")} == {"unknown"}


async def test_a_teardown_that_has_begun_is_told():
    """Ticks do nothing meanwhile; finishing it or taking it back is for the operator to choose."""
    world = await in_use()
    await world.containers.state.acquire_lease(f"{CONNECTION}/head.json")
    await world.application().teardown(confirm=CONNECTION)

    answer = await look(world)

    assert check(answer, "sync")["status"] == "warning"
    assert "take it back" in check(answer, "sync")["advice"]
    assert check(answer, "connection")["status"] == "unknown"


async def an_unfinished_run(world: World) -> None:
    """Let most people leave, and the process die once Graph has deleted the first of them."""
    world.decide(LEAVER_GRACE_EXPORTS="0", MIN_DELETE_ALLOWANCE="100", MAX_DELETE_PERCENT="100", MAX_CONCURRENCY="1")
    world.wait(DAY)
    await world.drop("people-2.csv", people(1))
    world.graph.fault_when(lambda seen: seen.method == "DELETE", Kill(), after=4)
    with suppress(*KILLED):
        await world.tick()


async def test_a_run_that_does_not_end_is_told():
    """After an hour: until then the next ticks go on with it, and nobody need know."""
    world = await in_use(6)
    await an_unfinished_run(world)

    soon = await look(world)
    world.wait(2 * HOUR)
    late = await look(world)

    assert check(soon, "sync")["status"] == "ok"
    assert check(late, "sync")["status"] == "warning"
    assert "began 2 hours ago and has not ended" in check(late, "sync")["detail"]


async def test_items_that_a_run_is_deleting_are_not_lost():
    """An unfinished run may have deleted what the ledger still names: nobody can say before it has ended."""
    world = await in_use(6)
    await an_unfinished_run(world)

    during = await look(world)
    await world.settle()
    after = await look(world)

    assert check(during, "ingest-access")["status"] == "unknown"
    assert check(after, "ingest-access")["status"] == "ok"


async def test_held_deletions_are_told():
    """Somebody has to decide."""
    world = await in_use(100)
    await world.night(people(50))
    await world.night(people(50))

    answer = await look(world)

    assert check(answer, "sync")["status"] == "warning"
    assert "50 deletions are held" in check(answer, "sync")["detail"]


async def test_a_pause_is_told():
    """Somebody may have forgotten it."""
    world = await in_use()
    await world.state.pause({"by": "Ada Okafor", "reason": "audit"})

    answer = await look(world)

    assert statuses(answer) == {"sync": "warning"}
    assert "somebody has paused syncing" in check(answer, "sync")["detail"]


async def test_failing_runs_are_told():
    """With when the next try is due; an export that waits for it points there."""
    world = await in_use()
    world.wait(2 * DAY)
    joined = people(6)
    world.follow(joined)
    await world.drop("people-2.csv", joined)
    world.graph.fault_when(lambda _: True, Failed(503), times=None)
    await world.tick()
    world.graph.clear_faults()

    answer = await look(world)

    assert statuses(answer) == {"sync": "warning", "export": "warning"}
    assert "the last run failed; the next try is due at" in check(answer, "sync")["detail"]
    assert check(answer, "export")["advice"] == "see sync"
