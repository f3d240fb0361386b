"""Secrets that are replaced, tokens that are revoked, a vault or an Entra that is away: what becomes of a night.

The genuine azure-identity and Key Vault clients, the genuine identities, and a Graph that checks every token; virtual
time, also on the machine's clock, by which azure-identity judges tokens. Whatever happens, the run completes, or it
ends as failed with the cause in its report and in its last log line, and a later tick goes on until Graph equals HR.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from connector.errors import CredentialError
from connector.events import quieten
from connector.identities import Identities
from connector.settings import Settings
from connector.vault import SecretCache
from tests.beliefs import belief, ours, sources
from tests.flows.world import CONNECTION, TICK, Report, World, people
from tests.tenant import ADMIN_CLIENT_ID, ADMIN_SECRET, INGEST_CLIENT_ID, INGEST_SECRET, MANAGED_CLIENT_ID
from tests.tenant.azure_wire import IDENTITY, azure_wire
from tests.tenant.graph.faults import Refused
from tests.tenant.graph.replies import error_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tenant.graph.seen import Seen
    from tests.tenant.wire import Outage, Reply

pytestmark = pytest.mark.contracts("labels")

VAULT = "contoso.vault.azure.net"
STAFF = people(40)
KEYS = tuple(row["EmployeeId"] for row in STAFF)
CHANGED = [row | {"JobTitle": "Chief"} for row in STAFF]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """Return a world before setup, whose tokens come from the vault's secrets. Nothing it logs may tell any of them."""
    quieten()
    world = World()
    world.decide(KEY_VAULT_URL=f"https://{VAULT}", AZURE_CLIENT_ID=MANAGED_CLIENT_ID)
    for name, value in _host_of(world).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.time", lambda: world.clock.now().timestamp())
    cold(world)
    values = {secret.value for app in world.tenant.entra.apps.values() for secret in app.secrets}

    yield world

    values |= {version.value for versions in world.tenant.vault.secrets.values() for version in versions}
    tokens = set(world.tenant.entra._tokens)
    reports = "".join(blob.decode() for blob in world.blobs("reports").values())
    assert [value for value in values | tokens if value in caplog.text or value in reports] == []
    assert [upn for upn in world.graph._by_upn if upn in caplog.text] == []


def cold(world: World) -> None:
    """Let every tick from now on be a process that has read nothing yet."""
    _open_by(world, SecretCache)


def warm(world: World) -> None:
    """Let the ticks from now on share one process: it keeps what it has read, for an hour."""
    cache = SecretCache()
    _open_by(world, lambda: cache)


def _open_by(world: World, cache: Callable[[], SecretCache]) -> None:
    wire = azure_wire(world.tenant, vault=VAULT)

    def identities() -> Identities:
        environment = {**world.environment, **_host_of(world)}
        return Identities(Settings.from_env(environment), environment, clock=world.clock, cache=cache(), transport=wire)

    world.identities = identities


def _host_of(world: World) -> dict[str, str]:
    return {
        "IDENTITY_ENDPOINT": f"http://{IDENTITY}/msi/token",
        "IDENTITY_HEADER": world.tenant.entra.identity_header,
    }


async def after_a_night(world: World, **settings: object) -> World:
    """Set up, let the first export be applied, and change some settings. Everybody may change in the nights to come."""
    world.decide(MAX_CHANGE_PERCENT=100)
    await world.setup()
    report = await world.night(STAFF)
    assert report["outcome"] == "completed"
    world.decide(**settings)
    return world


def rotate(world: World, client_id: str = INGEST_CLIENT_ID) -> None:
    """Make a new secret, put it into the vault, and remove the old ones from the app."""
    world.wait(1)
    world.tenant.rotate_secret(client_id)
    del world.tenant.entra.apps[client_id].secrets[:-1]


def rotate_the_app_only(world: World, client_id: str = INGEST_CLIENT_ID) -> str:
    """Make a new secret and remove the old ones, and forget about the vault; return the new one."""
    world.tenant.entra.apps[client_id].secrets.clear()
    world.tenant.entra.add_secret(client_id, "forgotten~secret~value")
    return "forgotten~secret~value"


def revoke(world: World, client_id: str = INGEST_CLIENT_ID) -> None:
    """Make the tokens that an app has got so far invalid."""
    world.tenant.entra.revoke_tokens(client_id)


def asked_entra(world: World, client_id: str = INGEST_CLIENT_ID) -> int:
    """Return how often Entra was asked for a token with a secret of this app."""
    return sum(path.endswith("/token") and app == client_id for _, path, app in world.tenant.entra.requests)


def arrived_once(world: World, *keys: str) -> bool:
    """Tell whether Graph took the items of these people, each once, from the last process."""
    taken = [each for each in world.requests if each.method == "PUT" and each.identity is not None]
    return len(taken) == len({each.path for each in taken}) == len(keys)


def everyone_is_chief(world: World) -> bool:
    """Tell whether Graph equals HR: these people, nobody else, with what HR says now."""
    profiles = world.profiles()
    titles = {profiles[row["UserPrincipalName"]]["personCurrentPosition"]["detail"]["jobTitle"] for row in STAFF}
    return world.holds(*KEYS) and titles == {"Chief"}


def last_event(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the last log event of ours."""
    return events(caplog)[-1]


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(record.getMessage()) for record in caplog.records if record.name == "connector"]


def failed_with_its_cause(report: Report, caplog: pytest.LogCaptureFixture, *words: str) -> bool:
    """Tell whether a run failed with all these words in its cause, in report and log alike."""
    assert report["error"] is not None
    assert last_event(caplog)["event"] == "sync.failed"
    assert last_event(caplog)["error"] == report["error"]
    message = report["error"]["message"]
    return report["outcome"] == "failed" and [word for word in words if word not in message] == []


def is_put(seen: Seen) -> bool:
    return seen.method == "PUT"


def is_batch(seen: Seen) -> bool:
    return seen.path.startswith("/$batch")


def is_refused(seen: Seen) -> bool:
    return seen.identity is None


@dataclass(frozen=True, slots=True)
class _Happens:
    """Something that happens elsewhere while Graph serves a request."""

    what: Callable[[], object]
    effect = True

    def reply(self, served: Reply | None) -> Reply:
        """Return Graph's own answer."""
        self.what()
        assert served is not None
        return served


@dataclass(frozen=True, slots=True)
class _Challenged:
    """A 401 with a claims challenge, as for a revoked token of a client that can meet one.

    https://learn.microsoft.com/entra/identity-platform/claims-challenge
    """

    effect = False

    def reply(self, _: Reply | None) -> Reply:
        """Return the challenge."""
        reply = error_reply(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge.")
        claims = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNjA0MTA2NjUxIn19fQ=="
        reply.headers["www-authenticate"] = (
            'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize",'
            f' error="insufficient_claims", claims="{claims}"'
        )
        return reply


def while_putting(world: World, what: Callable[[], object], *, after: int) -> None:
    """Let something happen elsewhere while Graph takes an item, after so many others."""
    world.graph.fault_when(is_put, _Happens(what), after=after)  # type: ignore[arg-type]


# --- rotated between runs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", [cold, warm])
async def test_a_secret_rotated_between_two_nights_is_not_noticed(world: World, process: Callable[[World], None]):
    """With the new one in the vault and the old one gone, the next night completes, whatever a process has kept."""
    process(world)
    await after_a_night(world)
    rotate(world)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"], report["failed"]) == ("completed", 40, 0)
    assert everyone_is_chief(world)


async def test_a_value_kept_for_less_than_an_hour_is_replaced_in_the_same_run(world: World):
    """The kept value is refused, the vault is asked, and the run goes on: Entra is asked twice."""
    warm(world)
    await after_a_night(world)
    await world.drop("people-12.csv", CHANGED)
    rotate(world)
    before = asked_entra(world)

    report = await world.tick() or {}

    assert (report["outcome"], asked_entra(world) - before) == ("completed", 2)
    assert everyone_is_chief(world)


@pytest.mark.parametrize("process", [cold, warm])
async def test_a_new_secret_that_is_not_in_the_vault_yet_fails_the_run_until_it_is(
    world: World, process: Callable[[World], None], caplog: pytest.LogCaptureFixture
):
    """The cause names code, secret and app; nothing is lost, and no restart is needed once the vault has it."""
    process(world)
    await after_a_night(world)
    value = rotate_the_app_only(world)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, "AADSTS7000215", INGEST_SECRET, INGEST_CLIENT_ID)
    unchanged = not everyone_is_chief(world) and world.holds(*KEYS)
    world.tenant.vault.set_secret(INGEST_SECRET, value)
    second = await world.tick() or {}

    assert cause_is_told
    assert unchanged
    assert (first["error"]["code"], first["deleted"]) == ("credential", 0)
    assert (second["outcome"], second["updated"]) == ("completed", 40)
    assert everyone_is_chief(world)


async def test_a_vault_that_is_ahead_of_entra_is_lived_with(world: World):
    """A new secret takes minutes to be known: until then the version before it serves."""
    await after_a_night(world)
    world.tenant.vault.set_secret(INGEST_SECRET, "not-known-yet")

    report = await world.night(CHANGED)

    assert report["outcome"] == "completed"
    assert everyone_is_chief(world)


# --- rotated in the middle ------------------------------------------------------------------------------------------


async def test_tokens_outlive_the_secret_they_were_issued_for(world: World):
    """Rotated while items are put, nothing is asked anew: the token goes on until it expires."""
    await after_a_night(world)
    while_putting(world, lambda: rotate(world), after=10)
    before = asked_entra(world)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"]) == ("completed", 40)
    assert asked_entra(world) - before == 1
    assert arrived_once(world, *KEYS)


async def test_a_token_that_expires_in_the_middle_is_renewed_with_the_new_secret(world: World):
    """A slow night outlives its token, and the secret was rotated meanwhile: the vault is asked once more."""
    await after_a_night(world, MAX_ITEMS_PER_SECOND=0.05)
    world.tenant.entra.expires_in = 600
    while_putting(world, lambda: rotate(world), after=3)

    report = await world.night(CHANGED)

    assert report["graph"]["seconds"] > 600
    assert (report["outcome"], report["updated"], report["failed"]) == ("completed", 40, 0)
    assert arrived_once(world, *KEYS)
    assert everyone_is_chief(world)


# --- rotated during setup -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", [cold, warm])
async def test_a_secret_rotated_between_two_calls_of_setup(world: World, process: Callable[[World], None]):
    """The next call goes on with the new one."""
    process(world)
    world.graph.schema_seconds = 600
    view = await world.application().setup()
    assert view.state == "in progress"
    rotate(world, ADMIN_CLIENT_ID)

    await world.setup()

    assert list(world.graph.connections) == [CONNECTION]
    assert world.graph.priorities()[0] == CONNECTION


async def test_a_secret_rotated_between_two_requests_of_setup(world: World):
    """Whichever request it was, with every token revoked besides: setup comes to its end, and makes all things once."""
    position, most = 0, 1
    while position < most:
        again = World()
        again.decide(**{name: world.environment[name] for name in ("KEY_VAULT_URL", "AZURE_CLIENT_ID")})
        again.tenant.entra.identity_header = world.tenant.entra.identity_header
        again.clock.advance(world.clock.monotonic())
        cold(again)

        def happens(there: World = again) -> None:
            rotate(there, ADMIN_CLIENT_ID)
            revoke(there, ADMIN_CLIENT_ID)

        again.graph.fault(position, _Happens(happens))  # type: ignore[arg-type]

        await again.setup()

        assert list(again.graph.connections) == [CONNECTION]
        assert again.graph.priorities().count(CONNECTION) == 1
        assert len(again.graph.sources) == 2
        position, most = position + 1, len(again.graph.requests)
    assert position > 10


async def test_a_secret_rotated_between_two_requests_of_a_teardown(world: World):
    """With every token revoked besides: nothing of ours is left, whichever request it was."""
    position, met = -1, True
    while met:
        position += 1
        await world.setup()
        begun = len(world.graph.requests)

        def happens() -> None:
            rotate(world, ADMIN_CLIENT_ID)
            revoke(world, ADMIN_CLIENT_ID)

        world.graph.fault(begun + position, _Happens(happens))  # type: ignore[arg-type]

        await world.teardown()

        assert (world.graph.connections, len(world.graph.sources)) == ({}, 1)
        met = len(world.graph.requests) - begun > position
    assert position >= 6


async def test_setup_without_a_token_says_why_and_goes_on_later(world: World):
    """The operator reads which secret of which app it is; the next call after the vault has it goes on."""
    value = rotate_the_app_only(world, ADMIN_CLIENT_ID)
    with pytest.raises(CredentialError) as refusal:
        await world.application().setup()
    untouched = world.graph.connections == {}
    world.tenant.vault.set_secret(ADMIN_SECRET, value)

    await world.setup()

    assert untouched
    assert "AADSTS7000215" in refusal.value.message
    assert ADMIN_SECRET in refusal.value.message
    assert ADMIN_CLIENT_ID in refusal.value.message
    assert value not in "".join(traceback.format_exception(refusal.value))
    assert list(world.graph.connections) == [CONNECTION]


# --- revoked tokens -------------------------------------------------------------------------------------------------


@belief(
    "A token that was revoked is a 401, for some clients with a challenge: its `claims` buy a new token.",
    area="tokens",
    mark="certain",
    source=(sources.CLAIMS_CHALLENGE, sources.AUTH_ERRORS),
    ours=ours.RENEWED,
)
@pytest.mark.parametrize("challenge", [False, True], ids=["plain", "challenge"])
async def test_a_revoked_token_is_renewed_once_for_all_who_met_it(world: World, *, challenge: bool):
    """Sixteen requests under way are refused: one new token, each repeated once, and everybody arrives once."""
    await after_a_night(world)
    world.graph.latency = 1
    if challenge:
        world.graph.fault_when(is_refused, _Challenged(), times=None)  # type: ignore[arg-type]
    while_putting(world, lambda: revoke(world), after=15)
    before = asked_entra(world)

    report = await world.night(CHANGED)

    refused = sum(map(is_refused, world.requests))
    assert (report["outcome"], report["updated"], report["failed"]) == ("completed", 40, 0)
    assert refused > 1
    assert asked_entra(world) - before == 2
    assert arrived_once(world, *KEYS)
    assert len(list(filter(is_put, world.requests))) == 40 + refused
    assert everyone_is_chief(world)


async def test_tokens_revoked_again_and_again_are_renewed_each_time(world: World):
    """One request tolerates one refusal; the run tolerates many."""
    await after_a_night(world)
    for after in (5, 6, 7):
        while_putting(world, lambda: revoke(world), after=after)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"]) == ("completed", 40)
    assert everyone_is_chief(world)


async def test_a_new_token_that_is_refused_too_ends_the_run(world: World, caplog: pytest.LogCaptureFixture):
    """Nothing is asked a third time; what was done counts, and a later tick does the rest."""
    await after_a_night(world)
    world.graph.latency = 1
    world.graph.fault_when(is_put, Refused(401, "InvalidAuthenticationToken"), times=None, after=20)
    before = asked_entra(world)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, "HTTP 401", "ingest identity", "even when new")
    renewals = asked_entra(world) - before - 1
    world.graph.clear_faults()
    second = await world.tick() or {}

    assert cause_is_told
    assert (first["updated"], first["deleted"]) == (20, 0)
    assert renewals <= 2  # whoever began with the second token gets a third; then nobody begins any more
    assert (second["outcome"], second["updated"]) == ("completed", 20)
    assert arrived_once(world, *KEYS[20:])
    assert everyone_is_chief(world)


async def test_a_token_revoked_during_look_ups(world: World):
    """Several batches are refused, one new token serves them, and nobody is unmatched by mistake."""
    await world.setup()
    world.graph.fault_when(is_batch, _Happens(lambda: revoke(world)))  # type: ignore[arg-type]
    before = asked_entra(world)

    report = await world.night(people(700))

    assert (report["outcome"], report["created"], report["unmatched"]) == ("completed", 700, 0)
    assert sum(map(is_refused, world.requests)) > 1
    assert asked_entra(world) - before == 2


async def test_a_401_within_a_batch_drops_the_token_too(world: World):
    """The batch was let in and a part of it was not: a new token, and the open part is asked again, alone."""
    await world.setup()
    world.graph.fault_parts_when(lambda _: True, Refused(401, "InvalidAuthenticationToken"), after=1)
    before = asked_entra(world)

    report = await world.night(STAFF)

    assert (report["outcome"], report["created"], report["unmatched"]) == ("completed", 40, 0)
    assert asked_entra(world) - before == 2
    assert world.lookups == 4


async def test_a_batch_that_is_refused_to_the_end_unmatches_nobody(world: World, caplog: pytest.LogCaptureFixture):
    """The run fails before anything is sent, and says why."""
    await after_a_night(world)
    joiners = people(20, start=100)
    world.graph.fault_parts_when(lambda _: True, Refused(401, "InvalidAuthenticationToken"), times=None)

    first = await world.night([*CHANGED, *joiners])
    cause_is_told = failed_with_its_cause(first, caplog, "look up users", "even when new")
    writes = world.writes()
    world.graph.clear_faults()
    second = await world.tick() or {}

    assert cause_is_told
    assert (writes, first["unmatched"], first["deleted"]) == ([], 0, 0)
    assert (second["outcome"], second["created"], second["updated"]) == ("completed", 20, 40)


# --- a vault that is away -------------------------------------------------------------------------------------------


def connection_refused(world: World) -> Outage:
    return world.tenant.vault.down()


def answers_503(world: World) -> Outage:
    return world.tenant.vault.down(503)


def throttles(world: World) -> Outage:
    return world.tenant.vault.down(429, retry_after=3)


def forbids(world: World) -> Outage:
    return world.tenant.vault.down(403)


def is_silent(world: World) -> Outage:
    return world.tenant.vault.down(silent=True)


def no_machine_identity(world: World) -> Outage:
    return world.tenant.entra.machine_down(500)


OUTAGES: dict[Callable[[World], Outage], str] = {
    connection_refused: "does not answer",
    answers_503: "answers 503",
    throttles: "answers 429",
    forbids: "network rules",
    is_silent: "does not answer",
    no_machine_identity: "managed identity",
}


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
async def test_without_a_vault_the_run_fails_and_the_next_one_goes_on(
    world: World, outage: Callable[[World], Outage], caplog: pytest.LogCaptureFixture
):
    """A process that has kept nothing cannot begin: it says who did not answer, and does nothing."""
    await after_a_night(world)
    outage(world)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, OUTAGES[outage], INGEST_SECRET, VAULT)
    requests = world.requests
    world.tenant.vault.up()
    world.tenant.entra.up()
    second = await world.tick() or {}

    assert cause_is_told
    assert requests == []
    assert (second["outcome"], second["updated"]) == ("completed", 40)
    assert everyone_is_chief(world)


@pytest.mark.parametrize("outage", OUTAGES, ids=lambda outage: outage.__name__)
async def test_what_a_process_has_kept_serves_while_the_vault_is_away(world: World, outage: Callable[[World], Outage]):
    """For an hour nobody notices."""
    warm(world)
    await after_a_night(world)
    outage(world)
    await world.drop("people-12.csv", CHANGED)

    report = await world.tick() or {}

    assert report["outcome"] == "completed"
    assert everyone_is_chief(world)


@pytest.mark.parametrize("status", [None, 429, 503], ids=str)
async def test_a_short_trouble_of_the_vault_is_waited_for(world: World, status: int | None):
    """Two refusals in a row are nothing to fail for."""
    await after_a_night(world)
    world.tenant.vault.down(status, times=2)

    report = await world.night(CHANGED)

    assert report["outcome"] == "completed"


async def test_a_renewal_in_the_middle_needs_no_vault(world: World):
    """The secret is at hand for as long as the run lasts."""
    await after_a_night(world)

    def happens() -> None:
        revoke(world)
        world.tenant.vault.down()

    while_putting(world, happens, after=10)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"]) == ("completed", 40)
    assert everyone_is_chief(world)


async def test_a_renewal_that_needs_the_vault_in_vain_ends_the_run(world: World, caplog: pytest.LogCaptureFixture):
    """Rotated, revoked, and the vault away: both causes are told, each is asked once for all, and nothing is lost."""
    await after_a_night(world)
    world.graph.latency = 1
    outages: list[Outage] = []

    def happens() -> None:
        rotate(world)
        revoke(world)
        outages.append(world.tenant.vault.down())

    while_putting(world, happens, after=15)
    before = asked_entra(world)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, "AADSTS7000215", "key vault", "does not answer")
    asked = asked_entra(world) - before
    world.tenant.vault.up()
    second = await world.tick() or {}

    assert cause_is_told
    assert asked == 2
    assert outages[0].met == 3  # one question and its two repetitions
    assert first["updated"] + second["updated"] == 40
    assert arrived_once(world, *KEYS[first["updated"] :])
    assert everyone_is_chief(world)


async def test_an_idle_tick_does_not_notice_that_the_vault_is_away(world: World):
    """Nobody is asked for anything."""
    await after_a_night(world)
    vault, entra = world.tenant.vault.down(), world.tenant.entra.down()

    states = [await world.ticked() for _ in range(4)]

    assert states == ["idle"] * 4
    assert (vault.met, entra.met) == (0, 0)


# --- an Entra that is away ------------------------------------------------------------------------------------------


def entra_refuses_connections(world: World) -> Outage:
    return world.tenant.entra.down()


def entra_answers_503(world: World) -> Outage:
    return world.tenant.entra.down(503)


def entra_throttles(world: World) -> Outage:
    return world.tenant.entra.down(429, retry_after=3)


def entra_is_silent(world: World) -> Outage:
    return world.tenant.entra.down(silent=True)


ENTRA_OUTAGES: dict[Callable[[World], Outage], str] = {
    entra_refuses_connections: "does not answer",
    entra_answers_503: "answers HTTP 503",
    entra_throttles: "answers HTTP 429",
    entra_is_silent: "does not answer",
}


@pytest.mark.parametrize("outage", ENTRA_OUTAGES, ids=lambda outage: outage.__name__)
async def test_without_entra_the_run_fails_and_the_next_one_goes_on(
    world: World, outage: Callable[[World], Outage], caplog: pytest.LogCaptureFixture
):
    """It is not the secret's fault, so none is suspected."""
    await after_a_night(world)
    outage(world)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, "Entra", ENTRA_OUTAGES[outage], "ingest identity")
    world.tenant.entra.up()
    second = await world.tick() or {}

    assert cause_is_told
    assert INGEST_SECRET not in first["error"]["message"]
    assert (second["outcome"], second["updated"]) == ("completed", 40)
    assert everyone_is_chief(world)


@pytest.mark.parametrize("outage", ENTRA_OUTAGES, ids=lambda outage: outage.__name__)
async def test_a_renewal_without_entra_ends_the_run(
    world: World, outage: Callable[[World], Outage], caplog: pytest.LogCaptureFixture
):
    """One question for all; what was sent counts, nobody is in doubt, and the next tick sends the rest."""
    await after_a_night(world)
    world.graph.latency = 1
    outages: list[Outage] = []

    def happens() -> None:
        revoke(world)
        outages.append(outage(world))

    while_putting(world, happens, after=15)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, "Entra", ENTRA_OUTAGES[outage])
    states = {entry.state for entry in (await world.ledger()).entries.values()}
    world.tenant.entra.up()
    second = await world.tick() or {}

    assert cause_is_told
    assert outages[0].met == 3  # one question and its two repetitions
    assert "doubt" not in states
    assert (second["outcome"], first["updated"] + second["updated"]) == ("completed", 40)
    assert arrived_once(world, *KEYS[first["updated"] :])
    assert everyone_is_chief(world)


async def test_a_short_trouble_near_the_end_of_a_token_is_not_noticed(world: World):
    """Tokens are renewed minutes before they end: Entra may be away meanwhile."""
    await after_a_night(world, MAX_ITEMS_PER_SECOND=0.05)
    world.tenant.entra.expires_in = 600
    while_putting(world, world.tenant.entra.down, after=14)
    while_putting(world, world.tenant.entra.up, after=27)

    report = await world.night(CHANGED)

    assert (report["outcome"], report["updated"]) == ("completed", 40)
    assert arrived_once(world, *KEYS)


async def test_setup_goes_on_after_entra_was_away(world: World):
    """The call that met it says so; a later one does what is missing."""
    world.tenant.entra.down(503)
    with pytest.raises(CredentialError, match="answers HTTP 503 for the admin identity"):
        await world.application().setup()
    world.tenant.entra.up()

    await world.setup()

    assert world.graph.priorities()[0] == CONNECTION


# --- what lies in the vault -----------------------------------------------------------------------------------------


async def test_a_disabled_newest_version_is_passed_over(world: World):
    """The newest enabled one serves."""
    await after_a_night(world)
    world.tenant.vault.disable(INGEST_SECRET, world.tenant.vault.set_secret(INGEST_SECRET, "withdrawn"))

    assert (await world.night(CHANGED))["outcome"] == "completed"


async def test_without_an_enabled_version_the_run_fails_until_there_is_one(
    world: World, caplog: pytest.LogCaptureFixture
):
    """What is to be done is told."""
    await after_a_night(world)
    versions = world.tenant.vault.secrets[INGEST_SECRET]
    for version in versions:
        version.enabled = False

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, INGEST_SECRET, "no enabled version")
    versions[-1].enabled = True
    second = await world.tick() or {}

    assert cause_is_told
    assert second["outcome"] == "completed"


async def test_a_deleted_secret_fails_the_run_until_it_is_back(world: World, caplog: pytest.LogCaptureFixture):
    """Name and setting are told."""
    await after_a_night(world)
    world.tenant.vault.remove(INGEST_SECRET)

    first = await world.night(CHANGED)
    cause_is_told = failed_with_its_cause(first, caplog, f"has no secret {INGEST_SECRET}", "INGEST_CREDENTIAL_NAME")
    rotate(world)
    second = await world.tick() or {}

    assert cause_is_told
    assert second["outcome"] == "completed"
    assert everyone_is_chief(world)


async def test_a_secret_that_expired_gives_way_to_one_that_has_not(world: World):
    """The newest has ended, as its owner meant it; the version before still lives, and serves."""
    await after_a_night(world)
    world.tenant.rotate_secret(INGEST_CLIENT_ID, expires=world.clock.now() + timedelta(hours=1))

    report = await world.night(CHANGED)

    assert report["outcome"] == "completed"
    assert everyone_is_chief(world)


async def test_when_all_have_expired_it_is_told_so(world: World, caplog: pytest.LogCaptureFixture):
    """Expired is not wrong; how many versions were tried is told."""
    await after_a_night(world)
    world.tenant.entra.apps[INGEST_CLIENT_ID].secrets.clear()
    for hours in (1, 2):
        world.wait(1)
        world.tenant.rotate_secret(INGEST_CLIENT_ID, expires=world.clock.now() + timedelta(hours=hours))

    report = await world.night(CHANGED)

    assert failed_with_its_cause(report, caplog, "as expired", "AADSTS7000222, AADSTS7000222; versions tried: 2")
    assert world.requests == []
    assert world.holds(*KEYS)


# --- before it is too late ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", [cold, warm])
async def test_every_run_tells_once_that_its_secret_ends_soon(
    world: World, process: Callable[[World], None], caplog: pytest.LogCaptureFixture
):
    """In under 21 days; also when the token was renewed, and when the vault was not read again."""
    process(world)
    await after_a_night(world)
    soon = world.clock.now() + timedelta(days=20)
    world.wait(1)
    world.tenant.rotate_secret(INGEST_CLIENT_ID, expires=soon)
    while_putting(world, lambda: revoke(world), after=10)
    await world.night(CHANGED)
    await world.drop("people-12.csv", STAFF)
    await world.tick(after=TICK)
    await world.tick(after=TICK)

    told = [event for event in events(caplog) if event["event"] == "credential.expiring"]

    assert [(event["identity"], event["secret"], event["days"]) for event in told] == [
        ("ingest", INGEST_SECRET, 18),
        ("ingest", INGEST_SECRET, 18),
    ]
