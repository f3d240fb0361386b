"""Use case: set the connection up step by step, register it as a profile source, tear it down.

A reconciler: every call observes Microsoft Graph, does what is missing as far as that goes within seconds, and says
what it waits for. What has to be done next is decided in :mod:`connector.core.setup`; nothing here depends on what an
earlier call believed, so a lost answer, a kill or two operators at once cost another look and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never
from uuid import uuid4

from connector.core import setup
from connector.core.contracts import contract_of
from connector.core.setup import Observed, Registration, Review, SetupView, Wanted
from connector.core.sighting import noted, sighting
from connector.errors import Conflict, GraphRejected, GraphUnavailable, NotReady, StateChanged
from connector.events import emit
from connector.graph.connections import Connections
from connector.graph.pace import OUT_OF_TIME
from connector.graph.profile_property_settings import ProfilePropertySettings
from connector.graph.profile_sources import ProfileSources
from connector.graph.schemas import Schemas

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from connector.clock import Clock
    from connector.graph.client import GraphClient
    from connector.settings import Settings
    from connector.storage.blobs import Container

_ROUNDS: Final = 12
"""Looks per call: one per step, and some for what Graph shows late."""

_PATIENCE: Final = 100.0
"""Seconds one call may wait for Graph in all: HTTP functions are cut off at 230.
https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits"""

_FAILURES: Final = 2
"""Creates of unknown outcome that one call lives through."""

_LOOK_AGAIN: Final = 2.0
"""Seconds between a create of unknown outcome and the look that tells."""


def wanted_from(settings: Settings, schema: dict[str, Any]) -> Wanted:
    """Return what the settings ask for; ``schema`` is the contract's rendering of the mapping."""
    return Wanted(
        tenant_id=settings.tenant_id,
        contract=settings.contract,
        connection_id=settings.connection_id,
        name=settings.connection_name,
        description=settings.connection_description,
        app_ids=(settings.admin_client_id, settings.ingest_client_id),
        schema=schema,
        source_url=settings.profile_source_url,
        settle=timedelta(seconds=settings.registration_settle_seconds),
    )


def registration_blob(connection_id: str) -> str:
    """Return the name of ``connection.json`` in the state container."""
    return f"{connection_id}/connection.json"


@dataclass(frozen=True, slots=True)
class _Memory:
    registration: Registration | None
    etag: str | None


class Provision:
    """Setup, registration and teardown of one connection, as the admin identity."""

    def __init__(self, graph: GraphClient, state: Container, wanted: Wanted, *, clock: Clock) -> None:
        self._pace = graph.pace
        self._connections = Connections(graph)
        self._schemas = Schemas(graph, wanted.connection_id)
        self._sources = ProfileSources(graph)
        self._settings = ProfilePropertySettings(graph)
        self._state = state
        self._blob = registration_blob(wanted.connection_id)
        self._wanted = wanted
        self._clock = clock

    async def view(self) -> SetupView:
        """Return how far setup is, changing nothing."""
        self._be_patient()
        observed = await self._observe(await self._recall())
        return setup.review(observed, self._wanted).view

    async def advance(self) -> SetupView:
        """Do what is missing, as far as it can be done now; ``ready`` when nothing is.

        Raises:
            Conflict: Graph holds something that cannot be brought to what is wanted; the message says what helps.
            GraphError: Graph refused or did not answer.
        """
        return await self._reconcile(self._wanted)

    async def register(self, *, priority_first: bool = False) -> SetupView:
        """See to the profile source and its priority only; ``priority_first`` moves it to the top of the list.

        Raises:
            NotReady: there is no connection with its schema yet.
        """
        self._be_patient()
        wanted = replace(self._wanted, priority_first=priority_first)
        observed = await self._observe(await self._recall())
        steps = {step.name: step for step in setup.review(observed, wanted).view.steps}
        for name in ("connection", "schema"):
            if steps[name].state != "done":
                raise NotReady(f"there is no ready connection: {name}: {steps[name].detail}; run setup first")
        return await self._reconcile(wanted)

    async def teardown(self, *, running: Callable[[], Awaitable[bool]]) -> SetupView:
        """Remove our priority entry, profile source and connection, in this order; ``absent`` when all are gone.

        ``running`` tells whether a slice is at work; while one is, nothing is removed. Called again until it is done.

        Raises:
            Conflict: the connection is not one of ours.
        """
        self._be_patient()
        memory = await self._recall()
        observed = await self._observe(memory, everything=True)
        self._refuse_foreign(observed)
        if memory.registration is not None and not memory.registration.leaving:
            memory = await self._write(memory, replace(memory.registration, leaving=True))
        if await running():
            return setup.teardown_view(observed, self._wanted, waiting_for="a running slice comes to its end first")
        for removal in setup.removals(observed, self._wanted):
            try:
                await self._remove(removal)
            except GraphRejected as refusal:
                waiting_for = _may_pass(removal, refusal)
                if waiting_for is None:
                    raise
                return setup.teardown_view(observed, self._wanted, waiting_for=waiting_for)
        observed = await self._observe(memory, everything=True)
        view = setup.teardown_view(observed, self._wanted)
        if view.state == "absent":
            await self._state.delete(self._blob)
        return view

    def _be_patient(self) -> None:
        """From now on, wait for Graph as long as one call may."""
        self._pace.give_up_at = self._clock.monotonic() + _PATIENCE

    async def _reconcile(self, wanted: Wanted) -> SetupView:
        self._be_patient()
        last: setup.Action | None = None
        failures = 0
        for _ in range(_ROUNDS):
            try:
                memory, observed, judged = await self._judge(wanted)
                if judged.refusal is not None:
                    raise Conflict(judged.refusal)
                action = judged.action
                if action is None or isinstance(action, setup.Wait):
                    return judged.view
                if action == last:
                    return _not_shown(judged.view, action)
                last = action
                await self._do(action, memory, observed)
            except StateChanged:
                last = None  # another call is at it: look again
            except GraphUnavailable as failure:
                # Whether it took effect is unknown, and creating is not repeated blindly: look, then perhaps again.
                failures += 1
                if failure.code == OUT_OF_TIME or failures > _FAILURES or not isinstance(last, _CREATES):
                    raise
                await self._clock.sleep(_LOOK_AGAIN)
                last = None
        return await self.view()

    async def _judge(self, wanted: Wanted) -> tuple[_Memory, Observed, Review]:
        """Observe, remember what was seen, and say what comes next."""
        memory = await self._recall()
        observed = await self._observe(memory)
        remembered = setup.remember(observed, wanted, incarnation=str(uuid4()))
        memory = await self._write(memory, _with_what_was_seen(remembered, observed))
        observed = replace(observed, registration=memory.registration)
        judged = setup.review(observed, wanted)
        return await self._announce(memory, judged.view), observed, judged

    async def _announce(self, memory: _Memory, view: SetupView) -> _Memory:
        """Log each step once when it is done."""
        if memory.registration is None:
            return memory
        done = tuple(step.name for step in view.steps if step.state == "done")
        told = memory.registration.done
        memory = await self._write(memory, replace(memory.registration, done=done))
        for name in done:
            if name not in told:
                emit("setup.step", step=name, state="done")
        return memory

    async def _do(self, action: setup.Action, memory: _Memory, observed: Observed) -> None:
        match action:
            case setup.CreateConnection(body):
                # A new incarnation is noted before there is one: whatever happens to the answer, no ledger outlives it.
                fresh = setup.begin(self._wanted, now=observed.now, incarnation=str(uuid4()))
                noted = await self._write(memory, fresh)
                if not await _unless_there(self._connections.create(body)) and memory.registration is not None:
                    # Graph only did not show it: it is the one we knew, and its ledger knows whom to delete from it.
                    await self._write(noted, memory.registration)
            case setup.AuthorizeApps(body):
                await self._connections.update(self._wanted.connection_id, body)
            case setup.RegisterSchema(body):
                await self._register_schema(body, memory, observed)
            case setup.CreateSource(body):
                await _unless_there(self._sources.create(body))
            case setup.UpdateSource(body):
                await self._sources.update(self._wanted.connection_id, body)
            case setup.WritePriority(setting_id, body) if setting_id is not None:
                await self._settings.update(setting_id, body)
            case setup.WritePriority(_, body):
                await _unless_there(self._settings.create(body))
            case setup.Wait():
                raise AssertionError
            case _:
                assert_never(action)

    async def _register_schema(self, body: dict[str, Any], memory: _Memory, observed: Observed) -> None:
        """Ask for the schema and note the operation; the time is noted first, since the answer may get lost."""
        known = memory.registration
        if known is None:
            raise AssertionError
        asked = replace(known, operation=None, operation_at=observed.now.isoformat())
        memory = await self._write(memory, asked)
        try:
            operation = await self._schemas.register(body, contract_of(self._wanted.contract).SCHEMA_HEADERS)
        except GraphRejected as refusal:
            under_way = refusal.status == 409 or refusal.code == "UpdateNotAllowed"
            if under_way and not observed.usable:
                return
            await self._write(memory, known)
            if under_way:
                raise Conflict(
                    f"{refusal.message}. Graph does not add properties to this connection at present;"
                    " try again later, or use a new CONNECTION_ID"
                ) from refusal
            raise
        await self._write(memory, replace(asked, operation=operation))

    async def _remove(self, removal: setup.Removal) -> None:
        match removal:
            case setup.RemovePriority(setting_id, body):
                await self._settings.update(setting_id, body)
                emit("setup.step", step="priority", state="removed")
            case setup.DeleteSource():
                await self._sources.delete(self._wanted.connection_id)
                emit("setup.step", step="profile-source", state="removed")
            case setup.DeleteConnection():
                await self._connections.delete(self._wanted.connection_id)
                emit("setup.step", step="connection", state="removed")
            case _:
                assert_never(removal)

    async def _observe(self, memory: _Memory, *, everything: bool = False) -> Observed:
        """Look at Graph: the profile source and its priority only once the connection is usable, or for teardown."""
        known = memory.registration
        observed = Observed(
            now=self._clock.now(),
            registration=known,
            connection=await self._connections.get(self._wanted.connection_id),
        )
        if observed.connection is not None and (known is None or not everything):
            schema = await self._schemas.get()
            under_way = None if known is None else known.operation
            operation = None if under_way is None else await self._schemas.operation(under_way)
            observed = replace(observed, schema=schema, operation=operation)
        if observed.usable or everything:
            source = await self._sources.get(self._wanted.connection_id)
            observed = replace(observed, source=source, settings=await self._settings.list())
        return observed

    async def _recall(self) -> _Memory:
        """Return what is remembered of this connection; state that was copied from elsewhere is no memory of it."""
        blob = await self._state.read(self._blob)
        if blob is None:
            return _Memory(None, None)
        registration = Registration.from_json(blob.data)
        return _Memory(registration if registration.speaks_of(self._wanted) else None, blob.info.etag)

    async def _write(self, memory: _Memory, registration: Registration | None) -> _Memory:
        """Store what has changed, provided that nobody else has meanwhile."""
        if registration is None or registration == memory.registration:
            return memory
        etag = await self._state.write(
            self._blob,
            registration.to_json(),
            if_match=memory.etag,
            if_none_match=memory.etag is None,
            content_type="application/json",
        )
        return _Memory(registration, etag)

    def _refuse_foreign(self, observed: Observed) -> None:
        foreign = setup.foreign(observed, self._wanted)
        if foreign is not None and observed.registration is None:
            raise Conflict(
                f"the connection '{self._wanted.connection_id}' {foreign}, and is unknown to us: it serves something"
                " else and is not removed. Check CONNECTION_ID"
            )


def _with_what_was_seen(registration: Registration | None, observed: Observed) -> Registration | None:
    """Return what to remember with the tenant as it is now, for when nobody may look; see `connector.core.sighting`."""
    if registration is None or observed.connection is None or not observed.usable:
        return registration
    return noted(
        registration,
        sighting(
            observed.connection,
            observed.source,
            observed.settings,
            connection_id=registration.connection_id,
            now=observed.now,
        ),
    )


_CREATES: Final = (setup.CreateConnection, setup.CreateSource, setup.WritePriority)


async def _unless_there(create: Coroutine[Any, Any, None]) -> bool:
    """Create; return False when it is there already (409), perhaps by an earlier call whose answer got lost."""
    try:
        await create
    except GraphRejected as refusal:
        if refusal.status != 409:
            raise
        return False
    return True


def _may_pass(removal: setup.Removal, refusal: GraphRejected) -> str | None:
    """Say what a refused removal waits for; None when a later call would be refused as well.

    https://learn.microsoft.com/graph/api/profilesource-delete: 400 while a priority list names it, which Graph may go
    on believing for a while after the list has changed. Whether a connection that is being deleted answers 409 to
    another deletion nobody documents.
    """
    match removal:
        case setup.DeleteSource() if refusal.status in {400, 409}:
            return "Graph has it in a priority list still"
        case setup.DeleteConnection() if refusal.status == 409:
            return "Graph is still at it"
        case _:
            return None


def _not_shown(view: SetupView, action: setup.Action) -> SetupView:
    """Return the view of something that was done and that Graph does not show yet."""
    if isinstance(action, setup.AuthorizeApps):
        raise Conflict(
            "Microsoft Graph accepted both apps for the connection but does not list them in authorizedAppIds: the"
            " tenant ignored what was asked for, and the ingest app could not send anything. Check ADMIN_CLIENT_ID and"
            " INGEST_CLIENT_ID, or give the ingest app ExternalItem.ReadWrite.All"
        )
    at = next(place for place, step in enumerate(view.steps) if step.state != "done")
    late = replace(view.steps[at], state="in progress", detail="asked for; Microsoft Graph does not show it yet")
    return SetupView("in progress", (*view.steps[:at], late, *view.steps[at + 1 :]), retry_after=15)
