"""Setup as a reconciliation: what Graph holds, what we want, and the one thing to do next.

Pure: :mod:`connector.provision` observes and carries out, this module compares. The order is Microsoft's:
connection → schema → profile source → priority → settle, then items.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from connector.core.contracts import contract_of
from connector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connector.core.contracts import ContractName

Json = dict[str, Any]
StepName = Literal["connection", "schema", "profile-source", "priority", "settle"]
StepState = Literal["done", "in progress", "pending", "missing", "failed"]
ViewState = Literal["ready", "in progress", "failed", "absent"]

ENTRA_SOURCE_ID: Final = "4ce763dd-9214-4eff-af7c-da491cc3782d"
"""Entra's own profile source. https://learn.microsoft.com/graph/people-data-sources"""

_USABLE: Final = frozenset({"ready", "limitExceeded"})
_REGISTRATION_LOST: Final = timedelta(minutes=5)
"""How long a registration whose operation we do not know is waited for before it is asked for again. Documented: 5 to
15 minutes; asking again while one is under way is refused by Graph and changes nothing."""

_UNKNOWN_LABEL: Final = "unknownFutureValue"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings and the mapping ask for. ``schema`` is the body of the PATCH."""

    tenant_id: str
    contract: ContractName
    connection_id: str
    name: str
    description: str
    app_ids: tuple[str, ...]
    schema: Json
    source_url: str
    settle: timedelta
    priority_first: bool = False


@dataclass(frozen=True, slots=True)
class Registration:
    """What ``connection.json`` remembers about one incarnation of the connection. Times are ISO 8601, UTC.

    ``incarnation``: new whenever we create or adopt the connection; a ledger belongs to one. ``schema``: the properties
    registered in Graph. ``ready_since``: the connection takes items. ``registered_at``: profile source and priority
    were first seen in place. ``settled``: items sent from then on reach profiles. ``operation``, ``operation_at``: the
    registration of a schema that is under way. ``leaving``: teardown has begun. ``shrunk``: since when Graph shows
    fewer properties than it has shown. ``done``: steps whose being done has been logged. ``seen``: the tenant as the
    admin identity last saw it (`connector.core.sighting`).
    """

    incarnation: str
    tenant_id: str
    contract: str
    connection_id: str
    since: str
    schema: tuple[Json, ...] = ()
    operation: str | None = None
    operation_at: str | None = None
    ready_since: str | None = None
    registered_at: str | None = None
    settled: str | None = None
    leaving: bool = False
    shrunk: str | None = None
    done: tuple[str, ...] = ()
    seen: Json | None = None

    def ready(self, now: datetime) -> bool:
        """Tell whether items may be sent: everything is in place and has settled."""
        return (
            not self.leaving
            and self.ready_since is not None
            and self.settled is not None
            and now >= datetime.fromisoformat(self.settled)
        )

    def speaks_of(self, wanted: Wanted) -> bool:
        """Tell whether this is about the connection of the settings, and not about one in another tenant, say."""
        return (self.tenant_id, self.connection_id) == (wanted.tenant_id, wanted.connection_id)

    def to_json(self) -> bytes:
        """Return the content of ``connection.json``."""
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, data: bytes) -> Registration:
        """Read ``connection.json``; members of other releases are ignored.

        Raises:
            StoreError: ``connection_corrupt``.
        """
        known = {entry.name for entry in fields(cls)}
        try:
            found = {name: value for name, value in orjson.loads(data).items() if name in known}
            return cls(**found | {name: tuple(found.get(name) or ()) for name in ("schema", "done")})
        except (ValueError, TypeError, AttributeError) as error:
            raise StoreError(
                "connection.json in the state container cannot be read. Delete it: setup then adopts the connection"
                " anew, and everyone is sent again",
                code="connection_corrupt",
            ) from error


@dataclass(frozen=True, slots=True)
class Observed:
    """What Graph and our state hold at one moment; None is what is not there, or was not asked for yet."""

    now: datetime
    registration: Registration | None = None
    connection: Json | None = None
    schema: Json | None = None
    operation: Json | None = None
    source: Json | None = None
    settings: tuple[Json, ...] = ()

    @property
    def usable(self) -> bool:
        """Tell whether the connection takes items."""
        return self.connection is not None and self.connection.get("state") in _USABLE


@dataclass(frozen=True, slots=True)
class CreateConnection:
    """POST the connection."""

    body: Json


@dataclass(frozen=True, slots=True)
class AuthorizeApps:
    """PATCH the connection so that it lists both apps and loses none."""

    body: Json


@dataclass(frozen=True, slots=True)
class RegisterSchema:
    """PATCH the schema: the union of what is registered and what is wanted, never less."""

    body: Json


@dataclass(frozen=True, slots=True)
class CreateSource:
    """POST the profile source."""

    body: Json


@dataclass(frozen=True, slots=True)
class UpdateSource:
    """PATCH the profile source."""

    body: Json


@dataclass(frozen=True, slots=True)
class WritePriority:
    """PATCH the list of this setting, or POST a global one when there is none."""

    setting_id: str | None
    body: Json


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do but look again after so many seconds."""

    seconds: int


Action = CreateConnection | AuthorizeApps | RegisterSchema | CreateSource | UpdateSource | WritePriority | Wait


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the view."""

    name: StepName
    state: StepState
    detail: str


@dataclass(frozen=True, slots=True)
class SetupView:
    """The body of ``/setup`` (interface §3), and how many seconds to wait before asking again."""

    state: ViewState
    steps: tuple[Step, ...]
    retry_after: int = 5

    def body(self) -> Json:
        """Return it as JSON: ``state`` and ``steps``."""
        return {"state": self.state, "steps": [asdict(step) for step in self.steps]}


@dataclass(frozen=True, slots=True)
class Review:
    """The view of a moment, the next thing to do, and why there is none although something is missing."""

    view: SetupView
    action: Action | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class _Finding:
    state: StepState
    detail: str
    action: Action | None = None


def review(observed: Observed, wanted: Wanted) -> Review:
    """Compare step by step; the first step that is not done decides what comes next."""
    findings: dict[StepName, _Finding] = {"connection": _connection(observed, wanted)}
    if findings["connection"].state == "done":
        findings["schema"] = _schema(observed, wanted)
    if observed.usable:
        findings["profile-source"] = _source(observed, wanted)
        findings["priority"] = _priority(observed, wanted)
    names: tuple[StepName, ...] = ("connection", "schema", "profile-source", "priority", "settle")
    before = [findings.get(name, _WAITING) for name in names[:-1]]
    findings["settle"] = _settle(observed) if all(step.state == "done" for step in before) else _WAITING
    ordered = [(name, findings.get(name, _WAITING)) for name in names]
    steps = tuple(Step(name, found.state, found.detail) for name, found in ordered)
    open_step = next((found for _, found in ordered if found.state != "done"), None)
    if open_step is None:
        return Review(SetupView("ready", steps))
    state: ViewState = "in progress"
    if open_step.state == "failed" and open_step.action is None:
        return Review(SetupView("failed", steps), refusal=open_step.detail)
    if observed.connection is None and observed.registration is None:
        state = "absent"
    wait = open_step.action.seconds if isinstance(open_step.action, Wait) else 5
    return Review(SetupView(state, steps, retry_after=wait), action=open_step.action)


_WAITING: Final = _Finding("pending", "waits for the step before it")


def remember(observed: Observed, wanted: Wanted, *, incarnation: str) -> Registration | None:
    """Return what ``connection.json`` should hold after this observation; ``incarnation`` is used if a new one begins.

    A connection that is there but not remembered is adopted, if it is one of people and of this contract. One that has
    been made anew behind our back is a new one too: its items are gone.
    """
    known, connection, now = observed.registration, observed.connection, observed.now.isoformat()
    if connection is None or foreign(observed, wanted) is not None:
        return known
    if known is None or not known.speaks_of(wanted):
        known = begin(wanted, now=observed.now, incarnation=incarnation)
    elif known.contract == wanted.contract:
        if _has_shrunk(known, observed) and (known.shrunk is None or _shrunk_lately(known, observed)):
            return replace(known, shrunk=known.shrunk or now)
        if _reborn(known, observed):
            known = begin(wanted, now=observed.now, incarnation=incarnation)
        known = replace(known, shrunk=None)
    if not observed.usable or known.contract != wanted.contract:
        return known
    registered = tuple(_plain(entry) for entry in (observed.schema or {}).get("properties", ()))
    known = replace(known, leaving=False, schema=registered)
    if schema_contained(wanted.schema, registered):
        known = replace(known, ready_since=known.ready_since or now, operation=None, operation_at=None)
    if known.registered_at is None and _source(observed, wanted).state == _priority(observed, wanted).state == "done":
        known = replace(known, registered_at=now, settled=(observed.now + wanted.settle).isoformat())
    return known


def _reborn(known: Registration, observed: Observed) -> bool:
    """Tell whether the connection that is there cannot be the one we knew.

    A ready connection does not become a draft again, and Graph removes no property from a schema.
    https://learn.microsoft.com/graph/connecting-external-content-manage-schema
    """
    draft = known.ready_since is not None and (observed.connection or {}).get("state") == "draft"
    return draft or _has_shrunk(known, observed)


def _has_shrunk(known: Registration, observed: Observed) -> bool:
    registered = (observed.schema or {}).get("properties", ())
    return bool(observed.usable and registered and schema_lacks({"properties": known.schema}, registered))


def _shrunk_lately(known: Registration, observed: Observed) -> bool:
    """Tell whether Graph may only show late what was added: a ledger is not given up for that."""
    return known.shrunk is not None and observed.now - datetime.fromisoformat(known.shrunk) < _REGISTRATION_LOST


def begin(wanted: Wanted, *, now: datetime, incarnation: str) -> Registration:
    """Return the first memory of a connection that is created or adopted now."""
    return Registration(
        incarnation=incarnation,
        tenant_id=wanted.tenant_id,
        contract=wanted.contract,
        connection_id=wanted.connection_id,
        since=now.isoformat(),
    )


# --- connection


def _connection(observed: Observed, wanted: Wanted) -> _Finding:
    connection, known = observed.connection, observed.registration
    if connection is None:
        return _Finding("missing", "is not there yet", CreateConnection(connection_body(wanted)))
    if known is not None and known.contract != wanted.contract:
        return _Finding(
            "failed",
            f"the connection was set up under the contract '{known.contract}', CONTRACT is '{wanted.contract}';"
            " use a new CONNECTION_ID, or tear this one down first",
        )
    if (what := foreign(observed, wanted)) is not None:
        return _Finding("failed", _is_foreign(what, wanted, ours=known is not None))
    if connection.get("state") == "obsolete":
        return _Finding("failed", "the connection is obsolete: Graph only lets it be deleted; tear it down")
    if known is None:
        return _Finding("missing", "exists in Microsoft Graph, but our state does not know it; setup adopts it")
    listed = authorized_apps(connection)
    lacking = [app for app in wanted.app_ids if app.casefold() not in {found.casefold() for found in listed}]
    if lacking:
        union = {"configuration": {"authorizedAppIds": [*listed, *lacking]}}
        return _Finding("in progress", f"does not authorise {', '.join(lacking)} yet", AuthorizeApps(union))
    if connection.get("state") == "limitExceeded":
        return _Finding("done", "is there, for both apps, but Graph reports that its item quota is exhausted")
    category = contract_of(wanted.contract).CATEGORY
    of_people = f"of category {category}, " if category else ""
    return _Finding("done", f"'{wanted.connection_id}' is there, {of_people}for both apps")


def connection_body(wanted: Wanted) -> Json:
    """Return the body that creates the connection.

    https://learn.microsoft.com/graph/api/externalconnectors-external-post-connections
    """
    category = contract_of(wanted.contract).CATEGORY
    return {
        "id": wanted.connection_id,
        "name": wanted.name,
        "description": wanted.description,
        **({"contentCategory": category} if category else {}),
        "configuration": {"authorizedAppIds": list(wanted.app_ids)},
    }


def foreign(observed: Observed, wanted: Wanted) -> str | None:
    """Say by what the connection in Graph shows that it is none of people under this contract; None: it is one.

    Where people connections have a content category, by that. The walkthrough's have none, but four properties that
    no other connection has; one without schema holds nothing yet, and may become anything.
    """
    if observed.connection is None:
        return None
    contract = contract_of(wanted.contract)
    category = observed.connection.get("contentCategory")
    if contract.CATEGORY is not None:
        if category != contract.CATEGORY:
            return f"has contentCategory '{category}', it must be '{contract.CATEGORY}'"
        return _is_strange(observed, wanted)
    if category not in {None, "uncategorized"}:
        return f"has contentCategory '{category}', which the contract '{wanted.contract}' does not know"
    names = {str(entry.get("name")) for entry in (observed.schema or {}).get("properties", ())}
    lacking = sorted(contract.MARKS - names) if names else ()
    return f"has a schema without {', '.join(lacking)}" if lacking else _is_strange(observed, wanted)


def _is_strange(observed: Observed, wanted: Wanted) -> str | None:
    """Say by what a connection that we have no memory of shows that it was made for something else than our mapping."""
    if observed.registration is not None:
        return None
    conflicts = list(schema_conflicts(wanted.schema, (observed.schema or {}).get("properties", ())))
    return f"has a schema that contradicts the mapping ({'; '.join(conflicts)})" if conflicts else None


def _is_foreign(what: str, wanted: Wanted, *, ours: bool) -> str:
    found = f"the connection '{wanted.connection_id}' {what}"
    if ours and contract_of(wanted.contract).CATEGORY is not None:
        return (
            f"{found}: the tenant ignored what was asked for. Items in it would never reach a profile. Tear it down,"
            " try another GRAPH_BASE_URL (https://graph.microsoft.com/beta), and set up again"
        )
    return (
        f"{found}, and that cannot be changed: it serves something else. Choose another CONNECTION_ID (or, if it is"
        " ours after all, have it deleted in the Microsoft 365 admin center)"
    )


def authorized_apps(connection: Json) -> list[str]:
    """Return the app ids that may manage the connection and its items."""
    return [str(app) for app in (connection.get("configuration") or {}).get("authorizedAppIds") or ()]


# --- schema


def _schema(observed: Observed, wanted: Wanted) -> _Finding:
    registered = (observed.schema or {}).get("properties", ())
    if observed.registration is not None and observed.registration.shrunk is not None:
        detail = "shows fewer properties than it had; looked at again before it is taken for another connection's"
        return _Finding("in progress", detail, Wait(30))
    conflicts = list(schema_conflicts(wanted.schema, registered))
    if conflicts:
        return _Finding(
            "failed",
            "the registered schema does not fit the mapping, and Graph changes no schema that way: "
            + "; ".join(conflicts)
            + ". Use a new CONNECTION_ID, or tear this connection down and set it up again (everyone is sent again)",
        )
    lacking = schema_lacks(wanted.schema, registered)
    if not lacking and observed.usable:
        return _Finding("done", f"{len(registered)} properties are registered")
    return _registration(observed, schema_union(wanted.schema, registered), len(lacking))


def _registration(observed: Observed, union: Json, lacking: int) -> _Finding:
    """Judge a schema that is not (wholly) registered: is that under way, has it failed, is it yet to be asked for."""
    register = RegisterSchema(union)
    known = observed.registration
    asked_at = None if known is None or known.operation_at is None else datetime.fromisoformat(known.operation_at)
    status = (observed.operation or {}).get("status")
    if asked_at is None:
        return _Finding("missing", f"{lacking} properties are to be registered", register)
    age = observed.now - asked_at
    if status == "failed":
        error = (observed.operation or {}).get("error") or {}
        said = error.get("message") or error.get("code") or "no reason given"
        return _Finding("failed", f"the registration failed ({said}); setup asks for it again", register)
    if status == "inprogress" or age < _REGISTRATION_LOST:
        minutes = int(age.total_seconds() // 60)
        detail = f"being registered for {minutes} minutes; this takes 5 to 15"
        return _Finding("in progress", detail, Wait(max(5, min(30, int(age.total_seconds() // 4)))))
    return _Finding("missing", f"{lacking} properties are not registered, and nothing is under way", register)


def schema_lacks(wanted: Json, registered: Sequence[Json]) -> list[Json]:
    """Return the wanted properties whose names are not registered."""
    names = {str(entry.get("name", "")).casefold() for entry in registered}
    return [entry for entry in wanted["properties"] if entry["name"].casefold() not in names]


def schema_conflicts(wanted: Json, registered: Sequence[Json]) -> Iterator[str]:
    """Say which registered properties contradict the wanted ones, in type, label or place of a label.

    Whether labels may change on a live schema is contradictory in the sources; it is treated as impossible.
    https://learn.microsoft.com/graph/connecting-external-content-manage-schema
    """
    by_name = {str(entry.get("name", "")).casefold(): entry for entry in registered}
    by_label = {label: entry for entry in registered for label in entry.get("labels") or ()}
    for entry in wanted["properties"]:
        name, labels = entry["name"], set(entry.get("labels") or ())
        there = by_name.get(name.casefold())
        if there is not None:
            if str(there.get("type", "")).casefold() != entry["type"].casefold():
                yield f"'{name}' is registered as {there.get('type')}, wanted as {entry['type']}"
            found = set(there.get("labels") or ())
            if found != labels and _UNKNOWN_LABEL not in found:
                yield f"'{name}' is registered with {_labels(found)}, wanted with {_labels(labels)}"
        for label in sorted(labels):
            holder = str(by_label.get(label, {}).get("name", name))
            if holder.casefold() != name.casefold():
                yield f"the label {label} is on '{holder}', wanted on '{name}'"


def schema_union(wanted: Json, registered: Sequence[Json]) -> Json:
    """Return the body that adds what is wanted and keeps what is registered: a subset might remove something."""
    kept = [_plain(entry) for entry in registered]
    return {"baseType": wanted["baseType"], "properties": [*kept, *schema_lacks(wanted, registered)]}


def schema_contained(wanted: Json, registered: Sequence[Json]) -> bool:
    """Tell whether items of the wanted schema fit the registered one."""
    return not schema_lacks(wanted, registered) and not any(schema_conflicts(wanted, registered))


def _plain(entry: Json) -> Json:
    """Return a property without nulls, empty lists, false flags and annotations."""
    return {name: value for name, value in entry.items() if value and not name.startswith("@")}


def _labels(labels: set[str]) -> str:
    return "the label " + ", ".join(sorted(labels)) if labels else "no label"


# --- profile source and priority


def _source(observed: Observed, wanted: Wanted) -> _Finding:
    source = observed.source
    kind = contract_of(wanted.contract).SOURCE_KIND
    ours = {"kind": kind} if kind else {}
    if source is None:
        body = {"sourceId": wanted.connection_id, "displayName": wanted.name, **ours, "webUrl": wanted.source_url}
        return _Finding("missing", "is not registered yet", CreateSource(body))
    changes = {} if source.get("kind") else ours
    if str(source.get("webUrl") or "").rstrip("/") != wanted.source_url.rstrip("/"):
        changes["webUrl"] = wanted.source_url
    if changes:
        return _Finding("in progress", f"has another {' and '.join(sorted(changes))}", UpdateSource(changes))
    return _Finding("done", f"'{wanted.connection_id}' is registered")


def _priority(observed: Observed, wanted: Wanted) -> _Finding:
    setting = global_setting(observed.settings)
    urls = source_urls(setting)
    place = place_of(wanted.connection_id, urls)
    if place is None:
        ours = [_source_url(wanted.connection_id, wanted)]
        entra = [] if setting is not None else [_source_url(ENTRA_SOURCE_ID, wanted)]
        return _Finding("missing", "does not list our source yet", _write(setting, [*ours, *urls, *entra]))
    if place > 0 and wanted.priority_first:
        first = [urls[place], *without(wanted.connection_id, urls)]
        return _Finding("in progress", f"lists our source at place {place + 1}", _write(setting, first))
    if place > 0:
        return _Finding(
            "done",
            f"our source is at place {place + 1} of {len(urls)}: where a source before it has a value, that one wins;"
            " POST /api/admin/register?priority=first moves ours to the top",
        )
    return _Finding("done", f"our source is the first of {len(urls)}")


def _write(setting: Json | None, urls: list[str]) -> WritePriority:
    body = {"prioritizedSourceUrls": urls}
    return WritePriority(None if setting is None else str(setting["id"]), body)


def global_setting(settings: Sequence[Json]) -> Json | None:
    """Return the tenant's own setting: the one without a name.

    https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting
    """
    return next((setting for setting in settings if not setting.get("name")), None)


def source_urls(setting: Json | None) -> list[str]:
    """Return a setting's list as Graph holds it, first wins."""
    return [str(url) for url in (setting or {}).get("prioritizedSourceUrls") or ()]


def place_of(source_id: str, urls: Sequence[str]) -> int | None:
    """Return where a source stands, whatever the version of Graph its URL names; None if it is not there."""
    wanted = source_id.casefold()
    return next((place for place, url in enumerate(urls) if source_in(url) == wanted), None)


def without(source_id: str, urls: Sequence[str]) -> list[str]:
    """Return the list without one source, everything else verbatim and in order."""
    return [url for url in urls if source_in(url) != source_id.casefold()]


def _source_url(source_id: str, wanted: Wanted) -> str:
    """Return the address by which priority lists name a source; those of both versions mean the same.

    https://learn.microsoft.com/graph/profilepriority-configure-profilepropertysetting
    """
    version = contract_of(wanted.contract).VERSION
    return f"https://graph.microsoft.com/{version}/admin/people/profileSources(sourceId='{source_id}')"


_SOURCE_ID = re.compile(r"profileSources(?:\(\s*(?:sourceId\s*=\s*)?'([^']*)'\s*\)|/([^/?#]+))", re.IGNORECASE)


def source_in(url: str) -> str | None:
    """Return the id of the source that a URL of a priority list names, in lower case; None when it names none."""
    found = _SOURCE_ID.search(url.replace("%27", "'"))
    return None if found is None else (found[1] or found[2] or "").casefold()


# --- settle


def _settle(observed: Observed) -> _Finding:
    known = observed.registration
    if known is None or known.settled is None:
        return _Finding("pending", "setup notes the time of the registration")
    if known.leaving:
        return _Finding("pending", "a teardown has begun; another setup takes it back")
    left = (datetime.fromisoformat(known.settled) - observed.now).total_seconds()
    if left > 0:
        seconds = max(1, int(left + 0.999))
        return _Finding("in progress", f"items may be sent in {seconds} seconds", Wait(seconds))
    return _Finding("done", "items may be sent")


# --- teardown


@dataclass(frozen=True, slots=True)
class RemovePriority:
    """PATCH a setting so that it no longer lists our source."""

    setting_id: str
    body: Json


@dataclass(frozen=True, slots=True)
class DeleteSource:
    """DELETE the profile source."""


@dataclass(frozen=True, slots=True)
class DeleteConnection:
    """DELETE the connection and every item in it."""


Removal = RemovePriority | DeleteSource | DeleteConnection


def removals(observed: Observed, wanted: Wanted) -> tuple[Removal, ...]:
    """Return what is left to remove, in the order in which Graph allows it.

    The global setting itself stays, with everyone else's entries; Entra's is written down when nothing else is left.
    """
    steps: list[Removal] = []
    for setting in observed.settings:
        urls = source_urls(setting)
        if place_of(wanted.connection_id, urls) is not None:
            left = without(wanted.connection_id, urls) or [_source_url(ENTRA_SOURCE_ID, wanted)]
            steps.append(RemovePriority(str(setting["id"]), {"prioritizedSourceUrls": left}))
    if observed.source is not None:
        steps.append(DeleteSource())
    if observed.connection is not None:
        steps.append(DeleteConnection())
    return tuple(steps)


def teardown_view(observed: Observed, wanted: Wanted, *, waiting_for: str | None = None) -> SetupView:
    """Return how far the teardown is: ``absent`` when nothing of ours is left in Graph."""
    left = removals(observed, wanted)
    rows: tuple[tuple[StepName, bool], ...] = (
        ("priority", any(isinstance(step, RemovePriority) for step in left)),
        ("profile-source", DeleteSource() in left),
        ("connection", DeleteConnection() in left),
    )
    steps = tuple(
        Step(name, "in progress" if there else "missing", (waiting_for or "to be removed") if there else "removed")
        for name, there in rows
    )
    return SetupView("in progress" if left or waiting_for else "absent", steps, retry_after=10)
