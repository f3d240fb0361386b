"""What each check of health says: from what was found, a status, why it matters, and what to do.

Pure: :mod:`connector.doctor` looks, this module judges. Whatever is not ``ok`` names what was found, why that matters,
and what to do and who can do it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from connector.core.head import moment
from connector.core.setup import ENTRA_SOURCE_ID, Observed, foreign, schema_conflicts, schema_lacks
from connector.errors import ConnectorError, CredentialError, GraphDenied, GraphError, StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from connector.core.due import Dropped, Waiting
    from connector.core.head import Head
    from connector.core.ledger import Ledger
    from connector.core.setup import Json, Registration, Wanted
    from connector.core.sighting import Sighting

Status = Literal["ok", "warning", "failed", "unknown"]
Identity = Literal["admin", "ingest"]
CheckName = Literal[
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
"""Every check there is, each once in an answer (but for wrong settings, one each), explained in docs/operations.md."""

_ORDER: Final = ("ok", "unknown", "warning", "failed")

HOUR: Final = 3600
DAY: Final = 24 * HOUR

RUN_SETUP: Final = "run setup until it answers ready (POST /setup, or python -m connector setup)"

_SOURCES: Final[Mapping[str, str]] = {
    ENTRA_SOURCE_ID: "Entra",
    "7986c642-b494-4140-8df4-f5ed125e2c67": "Organizational data",
    "6cdc4422-8c05-40c5-902e-8ade707725ab": "SharePoint",
    "46a57efc-33f8-4eec-a512-b90039ad6187": "what users say of themselves",
    "0024a795-114d-4031-95c7-5fb543e00e80": "Microsoft Graph",
    "75d4238e-b142-4d2d-aed9-232b830b8706": "People Skills",
    "9a3e0ce2-cf4b-477e-b3b3-df246318e251": "Microsoft accounts",
}
"""Microsoft's own profile sources. https://learn.microsoft.com/graph/people-data-sources"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be: what was found, why it matters, what to do and who can."""

    status: Status
    detail: str
    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer.

    ``detail`` says what was found, also when all is well; ``why`` and ``advice`` are empty then. They are made of
    ``findings``, the worst of which is the ``status``.
    """

    name: CheckName
    status: Status
    detail: str
    why: str = ""
    advice: str = ""
    findings: tuple[Finding, ...] = ()


class SecretState(Protocol):
    """What is known about one identity's secret."""

    @property
    def secret(self) -> str:
        """Return its name in the vault."""
        ...

    @property
    def expires(self) -> datetime | None:
        """Return when it ends; None if the vault does not say."""
        ...

    @property
    def expiring(self) -> bool:
        """Tell whether that is soon, or has been."""
        ...

    @property
    def previous(self) -> bool:
        """Tell whether Entra refuses the newest version, so that the one before it is in use."""
        ...


def answer(checks: Sequence[Check]) -> dict[str, Any]:
    """Return ``{"status", "checks"}`` of interface §10."""
    found = {check.status for check in checks}
    status = "failed" if "failed" in found else "degraded" if found - {"ok"} else "ok"
    return {"status": status, "checks": [asdict(check) for check in checks]}


def check(name: CheckName, told: Iterable[str] = (), findings: Sequence[Finding] = ()) -> Check:
    """Return one line of several findings: the worst status, and each sentence once."""
    worst: Status = max((finding.status for finding in findings), key=_ORDER.index, default="ok")
    return Check(
        name,
        worst,
        _sentences([*(finding.detail for finding in findings), *told]),
        _sentences(finding.why for finding in findings),
        _sentences(finding.advice for finding in findings),
        tuple(findings),
    )


def _sentences(parts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(part for part in parts if part))


def span(seconds: float) -> str:
    """Return a time span as people say it: whole minutes, hours or days."""
    for size, word in ((DAY, "day"), (HOUR, "hour"), (60, "minute")):
        if seconds >= 2 * size or (seconds >= size and word == "minute"):
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''}"
    return "less than a minute"


# --- settings and credentials -----------------------------------------------------------------------------------------


def settings(problems: Sequence[str], *, schedule: str | None) -> Check:
    """Judge the settings: ``problems`` of the mapping, and the schedule, which the host reads and we do not."""
    findings = [wrong_setting(problem) for problem in problems]
    if not schedule:
        findings.append(
            Finding(
                "warning",
                "SYNC_SCHEDULE is missing",
                "the host does not know when to fire the timer, so nothing is synced by itself",
                "set it in the app's settings, for instance to 0 */15 * * * *",
            )
        )
    return check("settings", () if findings else ["all settings are valid"], findings)


def wrong_setting(problem: str) -> Finding:
    """Return the finding for one problem of the settings or the mapping."""
    return Finding(
        "failed",
        problem,
        "with wrong settings nothing is begun: no setup, no sync",
        "correct the app setting; whoever runs the function app can",
    )


_WITHOUT: Final[Mapping[Identity, str]] = {
    "admin": "without it setup, register and teardown cannot work",
    "ingest": "without it nobody is looked up, sent or deleted",
}


def vault(states: Mapping[Identity, SecretState | CredentialError], *, tokens: set[Identity], now: datetime) -> Check:
    """Judge the secrets. ``tokens``: for whom Entra gave a token, so that the secret in use works whatever its date."""
    findings: list[Finding] = []
    told: list[str] = []
    for identity, state in states.items():
        if isinstance(state, CredentialError):
            what = f"the secret of the {identity} identity could not be read"
            findings.append(Finding("failed", what, _WITHOUT[identity], state.message))
            continue
        if found := _secret(identity, state, works=identity in tokens, now=now):
            findings += found
        else:
            undated = "has no expiry date in the vault, so nobody is warned before it ends"
            until = undated if state.expires is None else f"holds until {state.expires:%Y-%m-%d}"
            told.append(f"{state.secret} {until}")
    return check("vault", told, findings)


def _secret(identity: Identity, state: SecretState, *, works: bool, now: datetime) -> list[Finding]:
    findings = []
    rotate = (
        f"add a new client secret to the {identity} app and put its value into the vault as a new version of"
        f" {state.secret}, with its expiry date (docs/operations.md, rotating a secret)"
    )
    if state.previous:
        findings.append(
            Finding(
                "warning",
                f"Entra refuses the newest version of {state.secret}; the one before it is in use",
                "the identity stops working when the older secret ends or is removed",
                f"if the secret is minutes old, wait; else check that the vault holds its value and not its id, or"
                f" {rotate}",
            )
        )
    if state.expires is not None and state.expires <= now:
        ended = f"{state.secret} ended on {state.expires:%Y-%m-%d}"
        if works:
            what = f"by its date in the vault {ended}, yet Entra still takes it"
            why = "the date or the secret is not what it seems; the identity may stop working any day"
            findings.append(Finding("warning", what, why, f"mend the date in the vault, or {rotate}"))
        else:
            findings.append(Finding("failed", ended, _WITHOUT[identity], rotate))
    elif state.expiring and state.expires is not None:
        what = f"{state.secret} ends on {state.expires:%Y-%m-%d}, in {span((state.expires - now).total_seconds())}"
        findings.append(Finding("warning", what, f"{_WITHOUT[identity]} then", rotate))
    return findings


def roles(
    identity: Identity,
    held: Sequence[str] | CredentialError,
    *,
    needed: Sequence[tuple[Sequence[str], str]],
    welcome: Collection[str],
) -> Check:
    """Judge the app roles in one identity's token.

    ``needed``: groups of roles, of each of which one is needed (the first is the least), and what for. ``welcome``:
    what it may hold without a warning.
    """
    name: CheckName = "admin-roles" if identity == "admin" else "ingest-roles"
    if isinstance(held, CredentialError):
        why = f"its roles cannot be seen, and {_WITHOUT[identity]}"
        return check(name, findings=[Finding("failed", f"the {identity} identity gets no token", why, held.message)])
    findings = []
    for group, purpose in needed:
        if not set(group) & set(held):
            findings.append(
                Finding(
                    "failed",
                    f"the {identity} identity lacks {group[0]}",
                    f"it cannot {purpose}",
                    f"grant {group[0]} to the {identity} app as an application permission and consent to it (an Entra"
                    " administrator can); it may take an hour to count",
                )
            )
    excess = sorted(set(held) - set(welcome))
    if excess:
        findings.append(
            Finding(
                "warning",
                f"the {identity} identity has more than it needs: {', '.join(excess)}",
                f"neither identity should do the other's work: whoever gets hold of its secret {_could(excess)}",
                f"take {', '.join(excess)} away from the {identity} app (an Entra administrator can)",
            )
        )
    wide = [role for group, _ in needed for role in group[1:] if role in held and role in welcome]
    told = [f"the {identity} identity has {', '.join(held) or 'no app roles'}"]
    if wide:
        told.append(f"{', '.join(wide)} will do; the least that does is {_least(wide, needed)}")
    return check(name, told, findings)


def _could(excess: Sequence[str]) -> str:
    """Say what roles allow, by the family that their names begin with."""
    families = (
        ("ExternalConnection.", "could change or delete the connection"),
        ("ExternalItem.", "could read and write every item"),
        ("PeopleSettings.", "could change the profile sources of the whole tenant"),
        ("User.", "could read the directory"),
        ("Directory.", "could read the directory"),
    )
    found = dict.fromkeys(text for start, text in families if any(role.startswith(start) for role in excess))
    return " and ".join(found) or "could do more than this connector ever does"


def _least(wide: Sequence[str], needed: Sequence[tuple[Sequence[str], str]]) -> str:
    return ", ".join(group[0] for group, _ in needed if set(group) & set(wide))


# --- the tenant -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the tenant: as the admin identity sees it now, or as ``connection.json`` remembers it.

    ``schema``: the registered properties. ``gone``: Graph says that there is no such connection. ``why_not``: why there
    is no sighting; None with no sighting: nothing is remembered.
    """

    sighting: Sighting | None = None
    schema: Sequence[Json] = ()
    gone: bool = False
    is_memory: bool = False
    why_not: ConnectorError | None = None

    def age(self, now: datetime) -> str:
        """Return how old what is remembered is; nothing when it is of now."""
        if self.sighting is None or not self.is_memory:
            return ""
        seconds = (now - datetime.fromisoformat(self.sighting.at)).total_seconds()
        return f"as it was seen {span(seconds)} ago, since ADMIN_ENABLED is false"

    def check(self, name: CheckName, told: str, findings: Sequence[Finding] = (), *, now: datetime) -> Check:
        """Return one line about what was seen: ``told`` when nothing is wrong with it, and how old that is."""
        age = self.age(now)
        if not findings:
            return check(name, [told, age])
        if age:
            how = "ADMIN_ENABLED must be true for that, and to see how it stands now"
            findings = [
                replace(each, detail=f"{each.detail}; {age}", advice=f"{each.advice}; {how}") for each in findings
            ]
        return check(name, findings=findings)


def setup_state(known: Registration | StoreError | None, wanted: Wanted, *, now: datetime) -> Finding | None:
    """Return why the connection is not there to be looked at yet; None when setup has finished."""
    why = "until the connection is set up, no item is sent"
    if known is None:
        return Finding("unknown", "there is no connection yet", why, RUN_SETUP)
    if isinstance(known, StoreError):
        if known.code == "connection_corrupt":
            return Finding("failed", "what setup remembers of the connection is damaged", why, known.message)
        what = "what setup remembers of the connection cannot be read"
        return Finding("unknown", what, why, f"see containers: {known.message}")
    other = [
        f"{name} {found!r}, and {setting} is {asked!r}"
        for name, found, setting, asked in (
            ("in the tenant", known.tenant_id, "TENANT_ID", wanted.tenant_id),
            ("under the contract", known.contract, "CONTRACT", wanted.contract),
        )
        if found != asked
    ]
    if other:
        return Finding(
            "failed",
            f"the connection was set up {'; '.join(other)}",
            "ticks refuse to work, since nobody could say which items exist",
            "set it back; or choose a new CONNECTION_ID, or tear the old connection down first, under its old settings",
        )
    if known.leaving:
        return Finding(
            "unknown",
            "the connection is being torn down",
            "meanwhile no item is sent",
            "call DELETE /setup until it answers 200; or take it back with POST /setup",
        )
    if not known.ready(now):
        return Finding("unknown", "setup has not finished", why, RUN_SETUP)
    return None


def connection(known: Registration, wanted: Wanted, seen: Seen, *, now: datetime) -> Check:
    """Judge the connection itself: there, usable, for both apps, of its contract, with the mapping's schema."""
    name: Final = "connection"
    if seen.gone:
        return check(name, findings=[_gone(wanted)])
    if seen.sighting is None:
        owner = "grant what it names, or let the connection's owner authorise the admin app (see admin-roles)"
        finding = _unseen(seen, "whether the connection is there and takes items", denied=owner)
        # Where even Graph's own refusal or silence stands in the way, no run can work either.
        status: Status = "failed" if isinstance(seen.why_not, GraphError) else "unknown"
        return check(name, findings=[replace(finding, status=status)])
    registered = known.schema if seen.is_memory else seen.schema
    findings = [
        *_usable(seen.sighting, registered, wanted, now=now),
        *_apps(seen.sighting, wanted),
        *_schema(registered, wanted),
    ]
    told = f"'{wanted.connection_id}' takes items of both apps; {len(registered)} properties"
    return seen.check(name, told, findings, now=now)


def _gone(wanted: Wanted) -> Finding:
    return Finding(
        "failed",
        f"the connection '{wanted.connection_id}' is gone from Microsoft Graph",
        "every item went with it, and none can be sent",
        "run setup: the connection is made anew and everyone is sent again; find out who deleted it",
    )


def _unseen(
    seen: Seen, what: str, *, denied: str = "grant what it names to the admin app (see admin-roles)"
) -> Finding:
    """Return the finding for something that could not be looked at. ``denied``: the advice when Graph refuses it."""
    why = f"nobody can say {what}"
    match seen.why_not:
        case None:
            return Finding(
                "unknown",
                "ADMIN_ENABLED is false, and connection.json does not say yet",
                why,
                "set ADMIN_ENABLED to true once and call setup or health: what the admin identity sees is remembered",
            )
        case CredentialError():
            return Finding("unknown", "there is no token to ask with", why, "see admin-roles and vault")
        case error:
            advice = denied if isinstance(error, GraphDenied) else "call health again in a few minutes"
            return Finding("unknown", error.message, why, advice)


def _usable(sighting: Sighting, registered: Sequence[Json], wanted: Wanted, *, now: datetime) -> Iterable[Finding]:
    name = f"the connection '{wanted.connection_id}'"
    connection = {"contentCategory": sighting.category or None}
    observed = Observed(now, connection=connection, schema={"properties": registered})
    if (what := foreign(observed, wanted)) is not None:
        yield Finding(
            "failed",
            f"{name} {what}",
            "items in it never reach profiles, and that cannot be changed",
            "tear it down and set it up again, if it is ours; check CONNECTION_ID, CONTRACT and GRAPH_BASE_URL",
        )
    match sighting.state:
        case "ready":
            return
        case "limitExceeded":
            yield Finding(
                "warning",
                f"Graph says that {name} has used up its quota of items",
                "people who join are refused, until others leave",
                "delete items that nobody needs, or ask Microsoft for a larger quota",
            )
        case "draft":
            yield Finding(
                "failed",
                f"{name} is a draft again: its schema is gone, or it was made anew",
                "Graph refuses items in it, and has none of those sent before",
                RUN_SETUP,
            )
        case "obsolete":
            yield Finding(
                "failed",
                f"{name} is obsolete",
                "Graph takes no items any more and only lets it be deleted",
                "tear it down and set it up again: everyone is sent again",
            )
        case state:
            yield Finding(
                "unknown",
                f"{name} is in the state '{state}'",
                "nobody can say whether it takes items",
                "call health again in a few minutes; then run setup",
            )


def _apps(sighting: Sighting, wanted: Wanted) -> Iterable[Finding]:
    listed = {app.casefold() for app in sighting.apps}
    for app, (setting, what) in zip(wanted.app_ids, _MAY, strict=True):
        if app.casefold() not in listed:
            yield Finding(
                "failed",
                f"authorizedAppIds of the connection does not list the app of {setting}",
                what,
                f"check {setting}; then run setup, which adds it",
            )


_MAY: Final = (
    ("ADMIN_CLIENT_ID", "the admin identity cannot manage the connection"),
    ("INGEST_CLIENT_ID", "no item can be sent or deleted"),
)


def _schema(registered: Sequence[Json], wanted: Wanted) -> Iterable[Finding]:
    why = "runs are refused before anything is sent"
    if lacking := schema_lacks(wanted.schema, registered):
        names = ", ".join(entry["name"] for entry in lacking)
        what = f"the registered schema lacks {names}, which the mapping fills"
        yield Finding("failed", what, why, f"{RUN_SETUP}: it registers them")
    if conflicts := list(schema_conflicts(wanted.schema, registered)):
        yield Finding(
            "failed",
            f"the registered schema does not fit the mapping: {'; '.join(conflicts)}",
            why,
            "mend the mapping; or use a new CONNECTION_ID, or tear the connection down and set it up again",
        )


def profile_source(wanted: Wanted, seen: Seen, *, now: datetime) -> Check:
    """Judge whether our profile source is registered."""
    name: Final = "profile-source"
    if seen.sighting is None:
        return check(name, findings=[_unseen(seen, "whether our profile source is registered")])
    finding = Finding(
        "failed",
        f"'{wanted.connection_id}' is not registered as a profile source",
        "Graph keeps the items, and nothing of them reaches a profile",
        "POST /register (or python -m connector register), then force a full run: what was sent meanwhile may never"
        " be exported",
    )
    told = f"'{wanted.connection_id}' is registered"
    return seen.check(name, told, [] if seen.sighting.registered else [finding], now=now)


def priority(wanted: Wanted, seen: Seen, *, now: datetime) -> Check:
    """Judge where our source stands in the tenant-wide list."""
    name: Final = "priority"
    if seen.sighting is None:
        return check(name, findings=[_unseen(seen, "which source wins")])
    above, sources = seen.sighting.above, seen.sighting.sources
    if above is None:
        finding = Finding(
            "failed",
            f"'{wanted.connection_id}' is not in the tenant's priority list of {sources}"
            if sources
            else "the tenant has no priority list",
            "HR's values may not reach profiles at all",
            "POST /register (or python -m connector register); find out who changed the list: it is the whole tenant's",
        )
        return seen.check(name, "", [finding], now=now)
    told = f"'{wanted.connection_id}' is the first of {sources}"
    if above:
        others = ", ".join(_SOURCES.get(source, f"'{source}'") for source in above)
        told = (
            f"'{wanted.connection_id}' has place {len(above) + 1} of {sources}, after {others}: where one of those has"
            " a value, that one wins; POST /register?priority=first moves ours to the top"
        )
    return seen.check(name, told, now=now)


def entra_source(seen: Seen, *, now: datetime) -> Check:
    """Judge whether Entra's own source is still in the tenant-wide list."""
    name: Final = "entra-source"
    if seen.sighting is None:
        return check(name, findings=[_unseen(seen, "whether profiles fall back on Entra")])
    finding = Finding(
        "warning",
        "Entra's source is not in the tenant's priority list",
        "where HR has no value, profiles may lose Entra's",
        f"a People Administrator adds profileSources(sourceId='{ENTRA_SOURCE_ID}') to the end of the list; it is the"
        " whole tenant's, so we do not",
    )
    told = "Entra's source is in the priority list"
    return seen.check(name, told, [] if seen.sighting.entra else [finding], now=now)


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of asking for items as the ingest identity.

    ``asked``: how many known items were asked for; 0: only for one that nobody has. ``missing``: how many of them Graph
    does not have. ``moving``: a run was under way, which may have deleted them.
    """

    asked: int = 0
    missing: int = 0
    moving: bool = False
    error: ConnectorError | None = None


def ingest_access(wanted: Wanted, probe: Probe, *, gone: bool) -> Check:
    """Judge whether the connection authorises the ingest app: only an item that is there proves it."""
    name: Final = "ingest-access"
    if probe.error is not None:
        return check(name, findings=[_refused_probe(probe.error)])
    if probe.asked and not probe.missing:
        return check(name, [f"the ingest identity reads items that it sent to '{wanted.connection_id}'"])
    if gone:
        what, advice = "Graph has no items of a connection that is gone", "see connection"
    elif not probe.asked:
        what = (
            "nothing proves yet that Graph lets the ingest identity in: no item is known, and for one that nobody has"
            " Graph answers 404 either way"
        )
        advice = "nothing, before the first sync; after it health asks for items that were sent"
    elif probe.moving:
        what, advice = "a run is deleting items at this moment", "call health again when the run has ended"
    else:
        return check(name, findings=[_lost(probe)])
    return check(name, findings=[Finding("unknown", what, _CLOSED, advice)])


_CLOSED: Final = "a connection that does not let the ingest identity in takes and deletes no item"


def _refused_probe(error: ConnectorError) -> Finding:
    match error:
        case CredentialError():
            return Finding("unknown", "there is no token to ask with", _CLOSED, "see ingest-roles and vault")
        case StoreError():
            return Finding("unknown", "which items Graph holds cannot be read", _CLOSED, "see ledger and containers")
        case GraphDenied():
            advice = "run setup, which adds the app to authorizedAppIds (with ADMIN_ENABLED true); see ingest-roles"
        case _:
            advice = "call health again in a few minutes; look at Microsoft 365's service health"
    return Finding("failed", error.message, _CLOSED, advice)


def _lost(probe: Probe) -> Finding:
    return Finding(
        "failed" if probe.missing == probe.asked else "warning",
        f"Graph does not have {probe.missing} of {probe.asked} items that it took from us (404)",
        "these people miss HR's data in their profiles, and no run sends it again as long as their rows stay the same",
        "force a full run (connector sync --full): everyone is sent again. If it fails because the connection is gone,"
        " run setup",
    )


# --- storage ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """What came of trying one container: None where it worked. ``written`` is not tried where we only read."""

    container: str
    purpose: str
    written_to: bool
    read: StoreError | None = None
    written: StoreError | None = None


def containers(tried: Sequence[Access], *, managed_identity: str | None) -> Check:
    """Judge the access to the containers; ``managed_identity`` is AZURE_CLIENT_ID."""
    us = f"the app's managed identity ({managed_identity})" if managed_identity else "the app's managed identity"
    findings = []
    for each in tried:
        role = "Storage Blob Data Contributor" if each.written_to else "Storage Blob Data Reader"
        advice = (
            f"{each.container}: if it is missing, setup makes it where the app may; else whoever administers the"
            f" storage account grants {role} on it to {us} (10 minutes until it counts) and lets its network in"
        )
        for error, verb in ((each.read, "read"), (each.written, "written to")):
            if error is not None:
                what = f"{each.container} cannot be {verb}: {error.message}"
                findings.append(Finding("failed", what, each.purpose, advice))
                break
    fine = [each for each in tried if each.read is None and each.written is None]
    read = ", ".join(each.container for each in fine if not each.written_to)
    written = ", ".join(each.container for each in fine if each.written_to)
    told = [f"{read} can be read" if read else "", f"{written} can be read and written to" if written else ""]
    return check("containers", told, findings)


# --- exports, ledger, runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exports:
    """What lies in the exports container, and what became of it.

    ``now``: the storage's own clock, unix seconds. ``settled``: wholly uploaded exports, oldest first; ``unmet``: those
    of them that no run has taken. ``uploading``: exports that may not be whole yet, ``waiting``: sets of files that are
    not. ``untaken``: files newer than the last applied export that EXPORTS_PATTERN does not match. ``circumstances``:
    as `connector.core.due` compares them.
    """

    container: str
    now: float
    settled: Sequence[Dropped] = ()
    unmet: Sequence[Dropped] = ()
    uploading: Sequence[Dropped] = ()
    waiting: Sequence[Waiting] = ()
    untaken: int = 0
    circumstances: str = ""


def export(head: Head, exports: Exports, *, stale_after_hours: float) -> Check:
    """Judge the age of the last applied complete export, and what became of newer ones."""
    name: Final = "export"
    applied = head.applied
    stale = head.is_stale(exports.now, hours=stale_after_hours)
    what, advice = _why_not_newer(head, exports)
    refused = _refused(head, exports) is not None
    if applied is None:
        finding = Finding(
            "warning" if refused else "unknown",
            f"no complete export has been applied yet: {what}",
            "nobody has anything of HR's in their profile",
            advice,
        )
        return check(name, findings=[finding])
    age = f"the last applied export, {applied.name}, is {span(exports.now - applied.modified)} old"
    if not stale and not refused:
        return check(name, [age])
    why = "profiles show the state of that day: joiners are missing and leavers are still there"
    limit = f" (stale after {span(stale_after_hours * HOUR)})" if stale else ""
    return check(name, findings=[Finding("warning", f"{age}{limit}; {what}", why, advice)])


def _refused(head: Head, exports: Exports) -> str | None:
    """Return the code with which the newest export was refused, if it was."""
    newest = exports.settled[-1] if exports.settled else None
    return next(
        (
            mark.code
            for mark in head.refused
            if newest is not None
            and (mark.name, mark.etag, mark.circumstances) == (newest.name, newest.etag, exports.circumstances)
        ),
        None,
    )


def _why_not_newer(head: Head, exports: Exports) -> tuple[str, str]:
    """Say what became of what HR dropped since, and what helps."""
    if code := _refused(head, exports):
        return (
            f"the newest, {exports.settled[-1].name}, was refused ({code})",
            "docs/mapping.md says what the code means: HR drops a mended file, or the operator changes a setting",
        )
    if exports.unmet:
        newest = exports.unmet[-1]
        waits = f"{newest.name} has been waiting for {span(exports.now - newest.modified)}"
        if head.failures:
            return (
                f"{waits}, since the last {'run' if head.failures == 1 else f'{head.failures} runs'} failed",
                "see sync",
            )
        if head.run is not None:
            return f"{waits} while another run is under way", "nothing; see sync if it lasts"
        return (
            waits,
            "nothing, within the minutes of SYNC_SCHEDULE; else check in the host's log that the timer fires",
        )
    if exports.waiting:
        return _why_waiting(exports.waiting[-1])
    if exports.uploading:
        return (
            f"{exports.uploading[-1].name} is still settling",
            "nothing: it counts as uploaded after EXPORT_SETTLE_SECONDS, or at once with NAME.done beside it",
        )
    if exports.untaken:
        return (
            f"HR has dropped nothing since that EXPORTS_PATTERN takes; files of other names: {exports.untaken}",
            "let HR name its exports as EXPORTS_PATTERN says, or change the setting",
        )
    return (
        "HR has dropped nothing since" if head.applied else "HR has dropped nothing",
        f"ask HR whether its export job runs and writes to the container {exports.container}",
    )


def _why_waiting(export: Waiting) -> tuple[str, str]:
    if export.wants_manifest:
        return (
            f"{export.name} has no manifest beside it that is not older, and REQUIRE_MANIFEST wants one",
            f"let HR upload {export.missing[0]} after the file (docs/mapping.md), or switch the setting off",
        )
    files = (*export.missing, *export.uploading, *export.newer, *export.elsewhere)
    return (
        f"the files that the manifest of {export.name} lists are not whole; it waits for {', '.join(files)}",
        "let HR upload what is missing, and the manifest after all its files (docs/mapping.md)",
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """What the state container says; an error where it cannot be read.

    ``known``: what setup remembers. ``whose``: the header of the ledger that the head names; None when it names none.
    ``items``: ids of some that Graph holds. ``orphans``: ledgers are there, and no head that could name one.
    """

    known: Registration | StoreError | None
    head: Head | StoreError
    whose: Ledger | StoreError | None = None
    items: tuple[str, ...] = ()
    orphans: bool = False

    @property
    def registration(self) -> Registration | None:
        """Return what setup remembers, if it can be read."""
        return None if isinstance(self.known, StoreError) else self.known


def ledger(memory: Memory, wanted: Wanted) -> Check:
    """Judge what we remember of Graph's items: is it there, and of the connection that is there now?"""
    head, whose, known = memory.head, memory.whose, memory.known
    name: Final = "ledger"
    why = "it is the only memory of what Graph holds: without it nothing is sent or deleted"
    if isinstance(head, StoreError):
        status: Status = "failed" if head.code == "head_corrupt" else "unknown"
        advice = f"restore the blob (soft delete, versions), or deploy the release that wrote it: {head.message}"
        what = "head.json cannot be read"
        return check(name, findings=[Finding(status, what, why, advice if status == "failed" else "see containers")])
    if isinstance(whose, StoreError):
        status = "failed" if whose.code.startswith("ledger_") else "unknown"
        advice = (
            "restore the blob (soft delete, versions); if that cannot be: python -m connector sync --full --rebuild"
            if status == "failed"
            else "see containers"
        )
        what = whose.message.partition(";")[0] if whose.code == "ledger_missing" else whose.message
        return check(name, findings=[Finding(status, what, why, advice)])
    if whose is None and memory.orphans:
        finding = Finding(
            "failed",
            "head.json is gone, while ledgers are there",
            "the next run takes up the newest ledger and sends everyone again; what was held, approved or refused is"
            " forgotten",
            "restore head.json (soft delete, versions) before the next tick, if its versions are there",
        )
        return check(name, findings=[finding])
    if whose is None:
        return check(name, ["there is none yet: the first run sends everyone"])
    owner = memory.registration or wanted  # where settings and connection differ, that check says so
    other = [
        text
        for text, differs in (
            ("tenant", whose.tenant != owner.tenant_id),
            ("contract", whose.contract != owner.contract),
            ("connection", whose.connection != wanted.connection_id),
            ("incarnation of the connection", not isinstance(known, StoreError) and not _is_of(whose, known)),
        )
        if differs
    ]
    if other:
        finding = Finding(
            "warning",
            f"it is of another {' and another '.join(other)} than is set up",
            "it is void: the next run sends everyone and deletes nobody, so leavers of the meantime keep items that are"
            " still there",
            "nothing, if the connection was torn down, lost or made anew; else check TENANT_ID, CONTRACT, CONNECTION_ID"
            " and STATE_CONTAINER before the next tick",
        )
        return check(name, findings=[finding])
    return check(name, [f"{head.people:,} people, {head.held_items:,} items in Graph, of this connection"])


def _is_of(whose: Ledger, known: Registration | None) -> bool:
    return known is not None and whose.incarnation == known.incarnation


def sync(head: Head, known: Registration | None, *, paused: bool, now: float) -> Check:
    """Judge what holds up the runs: a pause, a teardown, failures, an unfinished run, deletions that wait."""
    findings = []
    if paused:
        findings.append(
            Finding(
                "warning",
                "somebody has paused syncing",
                "nothing is sent or deleted meanwhile, whatever HR exports",
                "GET /status tells who and why; python -m connector resume, or POST /resume, lets it go on",
            )
        )
    if known is not None and known.leaving:
        findings.append(
            Finding(
                "warning",
                "syncing is paused: a teardown has begun",
                "nothing is sent or deleted meanwhile",
                "finish it (DELETE /setup), or take it back (POST /setup)",
            )
        )
    if head.failures:
        often = "the last run" if head.failures == 1 else f"the last {head.failures} runs"
        findings.append(
            Finding(
                "warning",
                f"{often} failed; the next try is due at {moment(head.retry_at)}",
                "what HR exported since has not reached Graph, or not all of it",
                "python -m connector runs, or GET /runs, tells the error and who mends it",
            )
        )
    began = _began(head)
    if head.run is not None and began is not None and now - began > HOUR:
        findings.append(
            Finding(
                "warning",
                f"the run {head.run.id} began {span(now - began)} ago and has not ended",
                "newer exports and deletions may wait for it",
                "nothing, if its slices follow one another (a first run of 100,000 people takes over an hour); else"
                " look for sync.failed in the log, and check that the timer fires",
            )
        )
    if head.held is not None:
        findings.append(
            Finding(
                "warning",
                f"{head.held.deletions} deletions are held",
                "these people keep HR's data in their profiles until somebody decides",
                f"look at the report of the run {head.held.run}: it tells whom, and how to approve it"
                " (docs/operations.md, held deletions)",
            )
        )
    return check("sync", () if findings else ["nothing is paused, held or overdue"], findings)


def _began(head: Head) -> float | None:
    """Return when the unfinished run began, by its id."""
    if head.run is None:
        return None
    try:
        return datetime.strptime(head.run.id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
