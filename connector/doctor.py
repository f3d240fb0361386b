"""Use case that only looks: is everything around us as it must be, and if not, who can mend it.

Looking goes on at once in every direction, and every check answers for itself, so one that fails hides no other. What
the findings mean is decided in :mod:`connector.core.health`.

Nothing is changed in Graph, and no blob of anybody's is touched: whether we may write is asked by a write whose
condition cannot hold. One thing is written: what the admin identity saw of the tenant goes into ``connection.json``,
when it is news or a day old, for the time when ADMIN_ENABLED is false.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from connector.core import health as judge
from connector.core.due import DONE, MANIFEST, unmet_exports
from connector.core.health import Access, Exports, Finding, Memory, Probe, Seen
from connector.core.sighting import noted, recalled, sighting
from connector.errors import ConnectorError, CredentialError, GraphError, InternalError, StoreError, StoreUnavailable
from connector.exports import exports_there
from connector.graph.connections import CONNECTION_ROLES, Connections
from connector.graph.items import ITEM_ROLES, Items
from connector.graph.profile_property_settings import ProfilePropertySettings
from connector.graph.profile_sources import PEOPLE_SETTINGS_ROLES, ProfileSources
from connector.graph.schemas import Schemas
from connector.graph.users import USER_ROLES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from connector.clock import Clock
    from connector.core.head import Head
    from connector.core.health import Check, CheckName, SecretState
    from connector.core.setup import Registration, Wanted
    from connector.core.sighting import Sighting
    from connector.errors import ConfigurationError
    from connector.graph.client import GraphClient, Identity
    from connector.settings import Settings
    from connector.storage.blobs import Container
    from connector.storage.state import State

T = TypeVar("T")

HEALTH_CONCURRENCY: Final = 8
"""Graph requests in flight: more than there are to make."""

_NEEDED: Final[Mapping[Identity, tuple[tuple[tuple[str, ...], str], ...]]] = {
    "admin": (
        (CONNECTION_ROLES, "make or change the connection"),
        (PEOPLE_SETTINGS_ROLES, "register the profile source or set its priority"),
    ),
    "ingest": ((ITEM_ROLES, "send or delete items"), (USER_ROLES, "look people up in Entra")),
}
"""Per identity: groups of app roles, of each of which one is needed (the first is the least), and what for.
https://learn.microsoft.com/graph/permissions-reference"""

_WELCOME: Final[Mapping[Identity, frozenset[str]]] = {
    "admin": frozenset({*CONNECTION_ROLES, *PEOPLE_SETTINGS_ROLES}),
    "ingest": frozenset({*ITEM_ROLES, "User.Read.All", "User.ReadBasic.All"}),
}
"""What an identity may hold without a warning: the ``.All`` forms are the documented fallback of ``.OwnedBy``."""

_NOBODY: Final = "healthcheck"
"""An item id that no person has: 403 means that we may not ask. 404 proves nothing: it may be said of any
connection."""

_KNOWN_ITEMS: Final = 3
"""So many items are asked for: one may have been deleted by somebody, three have not."""

_NO_BLOB: Final = "health-check"
_NO_VERSION: Final = '"0x0"'
"""An ETag that no blob has. A write that would have to replace this version tells whether we may write, and writes
nothing: conditions are judged last, after who asks and what is there (RFC 9110 §13.2.1), and storage follows HTTP.
https://learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations"""

_PATIENCE: Final = 30.0
"""Seconds that each identity waits for Graph in all, and that vault, Entra and storage get for one answer: whoever asks
for health wants to hear of silence, too, before HTTP cuts the answer off at 230 s."""


class Secrets(Protocol):
    """The vault, as far as health goes."""

    async def credential_state(self, identity: Identity) -> SecretState:
        """Return the state of one identity's secret; CredentialError when the vault does not give it."""
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that health looks at.

    ``schedule`` is SYNC_SCHEDULE as the host sees it. ``wanted`` is what setup would make, with an empty schema when
    ``problems`` of the mapping leave none. ``circumstances``: as `connector.sync` digests them. ``admin`` is None where
    ADMIN_ENABLED is false: its secret is not read then.
    """

    settings: Settings
    schedule: str | None
    problems: Sequence[str]
    wanted: Wanted
    circumstances: str
    clock: Clock
    state: State
    exports: Container
    reports: Container
    quarantine: Container
    secrets: Secrets
    admin: GraphClient | None
    ingest: GraphClient


def unconfigured(error: ConfigurationError) -> dict[str, Any]:
    """Return the answer when the settings are wrong: nothing else can be looked at then."""
    return judge.answer([judge.check("settings", findings=[judge.wrong_setting(each)]) for each in error.problems])


async def health(around: Surroundings) -> dict[str, Any]:
    """Return ``{"status", "checks"}`` of interface §10, within the time that `_PATIENCE` gives Graph."""
    for client in (around.admin, around.ingest):
        if client is not None:
            client.pace.give_up_at = around.clock.monotonic() + _PATIENCE
    groups = await asyncio.gather(
        _each(("settings",), lambda: _settings(around)),
        _each(("vault", "admin-roles", "ingest-roles"), lambda: _identities(around)),
        _each(("containers",), lambda: _containers(around)),
        _each(_REMEMBERED, lambda: _remembered(around)),
    )
    return judge.answer([check for group in groups for check in group])


_TENANT: Final[tuple[CheckName, ...]] = ("connection", "ingest-access", "profile-source", "priority", "entra-source")
_REMEMBERED: Final[tuple[CheckName, ...]] = (*_TENANT, "export", "ledger", "sync")


async def _each(names: Sequence[CheckName], look: Callable[[], Awaitable[Sequence[Check]]]) -> Sequence[Check]:
    """Let some checks answer; a mistake of ours in them hides no other."""
    try:
        return await look()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are told
        mistake = error if isinstance(error, ConnectorError) else InternalError(error)
        finding = Finding(
            "unknown",
            mistake.message,
            "nobody can say how it stands",
            "report it, with this text; the other checks hold",
        )
        return [judge.check(name, findings=[finding]) for name in names]


async def _settings(around: Surroundings) -> Sequence[Check]:
    return [judge.settings(around.problems, schedule=around.schedule)]


# --- identities -------------------------------------------------------------------------------------------------------


async def _identities(around: Surroundings) -> Sequence[Check]:
    """Look at tokens first: only Entra can tell that the newest version of a secret is wrong; the vault reports it."""
    identities: tuple[Identity, ...] = ("ingest",) if around.admin is None else ("admin", "ingest")
    clients = {"admin": around.admin, "ingest": around.ingest}
    held = dict(zip(identities, await asyncio.gather(*(_held(clients[each]) for each in identities)), strict=True))
    states = dict(
        zip(identities, await asyncio.gather(*(_secret(around.secrets, each) for each in identities)), strict=True)
    )
    vault = judge.vault(
        states,
        tokens={each for each, found in held.items() if not isinstance(found, CredentialError)},
        now=around.clock.now(),
    )
    checks = [vault]
    for identity in ("admin", "ingest"):
        if identity not in held:
            checks.append(judge.check("admin-roles", ["not looked at: ADMIN_ENABLED is false"]))
            continue
        found = judge.roles(identity, held[identity], needed=_NEEDED[identity], welcome=_WELCOME[identity])
        if any(finding.advice in vault.advice for finding in found.findings):
            found = judge.check(found.name, findings=[replace(each, advice="see vault") for each in found.findings])
        checks.append(found)
    return checks


async def _held(client: GraphClient | None) -> Sequence[str] | CredentialError:
    return () if client is None else await _in_time(client.roles())


async def _secret(secrets: Secrets, identity: Identity) -> SecretState | CredentialError:
    return await _in_time(secrets.credential_state(identity))


async def _in_time(ask: Awaitable[T]) -> T | CredentialError:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await ask
    except CredentialError as error:
        return error
    except TimeoutError:
        return CredentialError(
            f"neither vault nor Entra answered within {_PATIENCE:g} s: check KEY_VAULT_URL, name resolution and the"
            " network rules of both"
        )


# --- containers -------------------------------------------------------------------------------------------------------


async def _containers(around: Surroundings) -> Sequence[Check]:
    settings = around.settings
    tried = await asyncio.gather(
        _read_only(settings.exports_container, around.exports, "no export of HR's can be taken"),
        _writable(around, settings.state_container, around.state.container, "without our own memory no run may begin"),
        _writable(around, settings.reports_container, around.reports, "no run can leave its report, and fails"),
        _writable(around, settings.quarantine_container, around.quarantine, "rejected rows cannot be given back to HR"),
    )
    return [judge.containers(tried, managed_identity=settings.azure_client_id)]


async def _read_only(name: str, container: Container, purpose: str) -> Access:
    found = await _or_error(container.list(f"{_NO_BLOB}/"))
    return Access(name, purpose, written_to=False, read=found if isinstance(found, StoreError) else None)


async def _writable(around: Surroundings, name: str, container: Container, purpose: str) -> Access:
    found = replace(await _read_only(name, container, purpose), written_to=True)
    if found.read is not None:
        return found
    blob = f"{around.settings.connection_id}/{_NO_BLOB}"
    answer = await _or_error(container.write(blob, b"", if_match=_NO_VERSION))
    return replace(found, written=answer) if isinstance(answer, StoreUnavailable) else found


# --- the tenant, and what we remember ---------------------------------------------------------------------------------


async def _remembered(around: Surroundings) -> Sequence[Check]:
    """Look at whatever depends on our own memory: the tenant as it should be, the items, exports and runs."""
    memory = await _memory(around.state)
    groups = await asyncio.gather(
        _each(_TENANT, lambda: _tenant(around, memory)),
        _each(("export",), lambda: _export(around, memory)),
        _each(("ledger", "sync"), lambda: _runs(around, memory)),
    )
    return [check for group in groups for check in group]


async def _memory(state: State) -> Memory:
    known, head = await asyncio.gather(_or_error(state.registration()), _or_error(_head(state)))
    if isinstance(head, StoreError):
        return Memory(known, head)
    if not head.generation:
        newest = 0 if head.epoch else await _or_error(state.newest_ledger())
        return Memory(known, head, orphans=isinstance(newest, int) and newest > 0)
    sampled = await _or_error(state.sample(head.generation, most=_KNOWN_ITEMS))
    if isinstance(sampled, StoreError):
        return Memory(known, head, whose=sampled)
    whose, items = sampled
    is_ours = known is not None and not isinstance(known, StoreError) and whose.incarnation == known.incarnation
    return Memory(known, head, whose, items if is_ours else ())


async def _or_error(read: Awaitable[T]) -> T | StoreError:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await read
    except StoreError as error:
        return error
    except TimeoutError:
        return StoreUnavailable(f"storage did not answer within {_PATIENCE:g} s; check the account's network rules")


async def _head(state: State) -> Head:
    return (await state.head())[0]


async def _tenant(around: Surroundings, memory: Memory) -> Sequence[Check]:
    known, wanted, now = memory.known, around.wanted, around.clock.now()
    waits = judge.setup_state(known, wanted, now=now)
    if waits is not None:
        later = replace(waits, status="unknown", detail="not looked at", advice="see connection")
        return [judge.check(name, findings=[waits if name == "connection" else later]) for name in _TENANT]
    if known is None or isinstance(known, StoreError):
        raise AssertionError
    (connection, people), probe = await asyncio.gather(_seen(around, known), _probe(around, memory))
    return [
        judge.connection(known, wanted, connection, now=now),
        judge.ingest_access(wanted, probe, gone=connection.gone),
        judge.profile_source(wanted, people, now=now),
        judge.priority(wanted, people, now=now),
        judge.entra_source(people, now=now),
    ]


async def _seen(around: Surroundings, known: Registration) -> tuple[Seen, Seen]:
    """Look at the tenant as the admin identity, or remember it: the connection, and the settings for people."""
    admin, connection_id = around.admin, around.settings.connection_id
    if admin is None:
        memory = Seen(recalled(known), schema=known.schema, is_memory=True)
        return memory, memory
    connection, schema, source, settings = await asyncio.gather(
        _or_refusal(Connections(admin).get(connection_id)),
        _or_refusal(Schemas(admin, connection_id).get()),
        _or_refusal(ProfileSources(admin).get(connection_id)),
        _or_refusal(ProfilePropertySettings(admin).list()),
    )
    unseen = [found for found in (connection, schema) if isinstance(found, ConnectorError)]
    unlisted = [found for found in (source, settings) if isinstance(found, ConnectorError)]
    found = sighting(
        connection if isinstance(connection, dict) else {},
        source if isinstance(source, dict) else None,
        settings if isinstance(settings, tuple) else (),
        connection_id=connection_id,
        now=around.clock.now(),
    )
    if not unseen and not unlisted and connection is not None:
        await _note(around.state, known, found)
    properties = schema.get("properties", ()) if isinstance(schema, dict) else ()
    return (
        Seen(why_not=unseen[0]) if unseen else Seen(found, schema=properties, gone=connection is None),
        Seen(why_not=unlisted[0]) if unlisted else Seen(found),
    )


async def _or_refusal(ask: Awaitable[T]) -> T | CredentialError | GraphError:
    try:
        return await ask
    except (CredentialError, GraphError) as error:
        return error


async def _note(state: State, known: Registration, found: Sighting) -> None:
    """Remember what was seen, when it is news; where that cannot be written, looking was still worth it."""
    if noted(known, found) == known:
        return

    def amend(present: Registration) -> Registration:
        return noted(present, found) if present.incarnation == known.incarnation else present

    with contextlib.suppress(StoreError):
        await state.note(amend)


async def _probe(around: Surroundings, memory: Memory) -> Probe:
    """Ask as the ingest identity for items that Graph holds, or, where none is known, for one that nobody has."""
    items = Items(around.ingest, around.settings.connection_id)
    unknown = next((found for found in (memory.head, memory.whose) if isinstance(found, StoreError)), None)
    try:
        found = await asyncio.gather(*(items.get(each) for each in memory.items or (_NOBODY,)))
    except (CredentialError, GraphError) as error:
        return Probe(error=error)
    if not memory.items:
        return Probe(error=unknown)
    missing = sum(item is None for item in found)
    return Probe(len(found), missing, moving=bool(missing) and await _is_moving(around.state, memory))


async def _is_moving(state: State, memory: Memory) -> bool:
    """Tell whether a run was at work since the ledger was read: it may have deleted what the ledger still names."""
    before, now = memory.head, await _or_error(_head(state))
    if isinstance(before, StoreError) or isinstance(now, StoreError):
        return True
    return now.run is not None or now.epoch != before.epoch


async def _export(around: Surroundings, memory: Memory) -> Sequence[Check]:
    settings, head = around.settings, memory.head
    why = "nobody can say how old the data in profiles is"
    if isinstance(head, StoreError):
        return [judge.check("export", findings=[Finding("unknown", "head.json cannot be read", why, "see ledger")])]
    looking = exports_there(around.exports, settings, head, circumstances=around.circumstances)
    there = await _or_error(looking)
    if isinstance(there, StoreError):
        what = f"the container {settings.exports_container} cannot be read"
        return [judge.check("export", findings=[Finding("unknown", what, why, "see containers")])]
    since = head.applied.modified if head.applied else 0.0
    exports = Exports(
        container=settings.exports_container,
        now=there.now,
        settled=there.settled,
        unmet=unmet_exports(head, there.settled, circumstances=around.circumstances),
        waiting=there.waiting,
        uploading=there.arriving,
        untaken=sum(each.modified > since and not _is_ours(each.name, settings) for each in there.blobs),
        circumstances=around.circumstances,
    )
    return [judge.export(head, exports, stale_after_hours=settings.stale_after_hours)]


def _is_ours(name: str, settings: Settings) -> bool:
    """Tell whether a file is an export, or stands beside one."""
    return settings.takes(name) or name.endswith((DONE, MANIFEST))


async def _runs(around: Surroundings, memory: Memory) -> Sequence[Check]:
    ledger = judge.ledger(memory, around.wanted)
    if isinstance(memory.head, StoreError):
        finding = Finding("unknown", "head.json cannot be read", "nobody can say how the runs went", "see ledger")
        return [ledger, judge.check("sync", findings=[finding])]
    look = await _or_error(around.state.look())
    paused = not isinstance(look, StoreError) and look.paused
    return [ledger, judge.sync(memory.head, memory.registration, paused=paused, now=around.clock.now().timestamp())]
