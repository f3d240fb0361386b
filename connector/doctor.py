"""Use case that only looks: is everything around us as it must be, and if not, who can mend it.

Every check answers for itself, so one that fails hides no other. Nothing is written, anywhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from connector.errors import ConfigurationError, ConnectorError, CredentialError, StoreError
from connector.graph.connections import CONNECTION_ROLES, Connections
from connector.graph.items import ITEM_ROLES, Items
from connector.graph.profile_sources import PEOPLE_SETTINGS_ROLES
from connector.graph.users import USER_ROLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from connector.clock import Clock
    from connector.core.setup import Registration
    from connector.graph.client import GraphClient, Identity
    from connector.storage.blobs import Listing

Status = Literal["ok", "warning", "failed", "unknown"]

_NEEDED: Final[Mapping[Identity, tuple[tuple[str, ...], ...]]] = {
    "admin": (CONNECTION_ROLES, PEOPLE_SETTINGS_ROLES),
    "ingest": (ITEM_ROLES, USER_ROLES),
}
"""Per identity: groups of app roles, of each of which one is needed; the first of a group is the least.
https://learn.microsoft.com/graph/permissions-reference"""

_WELCOME: Final[Mapping[Identity, frozenset[str]]] = {
    "admin": frozenset({*CONNECTION_ROLES, *PEOPLE_SETTINGS_ROLES}),
    "ingest": frozenset({*ITEM_ROLES, "User.Read.All"}),
}
"""What an identity may hold without a warning: the ``.All`` forms are the documented fallback of ``.OwnedBy``."""

_NOBODY: Final = "healthcheck"
"""An item id that no person has: 404 means that we may ask, 403 that we may not."""

_NO_BLOB: Final = "health-check/"
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer. ``advice``: what the operator can do, empty when there is nothing to do."""

    name: str
    status: Status
    detail: str
    advice: str = ""


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


class Secrets(Protocol):
    """The vault, as far as health goes."""

    async def credential_state(self, identity: Identity) -> SecretState:
        """Return the state of one identity's secret; CredentialError when the vault does not give it."""
        ...


class Readable(Protocol):
    """A container, as far as health goes."""

    async def list(self, prefix: str = "") -> Listing:
        """Return the blobs under a prefix; StoreError when there is no container or no permission."""
        ...


def unconfigured(error: ConfigurationError) -> dict[str, Any]:
    """Return the answer when the settings are wrong: nothing else can be looked at then."""
    return _answer([Check("settings", "failed", problem, "correct the app setting") for problem in error.problems])


async def health(
    *,
    secrets: Secrets,
    admin: GraphClient | None,
    ingest: GraphClient,
    connection_id: str,
    registration: Registration | StoreError | None,
    containers: Mapping[str, Readable],
    schedule: str | None,
    clock: Clock,
) -> dict[str, Any]:
    """Return ``{"status", "checks"}`` of interface §10.

    ``admin`` is None where ADMIN_ENABLED is false: its secret is not read then. ``schedule`` is SYNC_SCHEDULE as the
    host sees it. ``containers`` by the names of their blob containers. ``registration`` is what setup remembers, or
    why that could not be read.
    """
    for client in (admin, ingest):
        if client is not None:
            client.pace.give_up_at = clock.monotonic() + _PATIENCE
    # Tokens first: only Entra can tell that the newest version of a secret is wrong, and the vault's check reports it.
    roles = [await _roles("admin", admin), await _roles("ingest", ingest)]
    vault = await _vault(secrets, admin_enabled=admin is not None)
    checks = [
        _schedule(schedule),
        vault,
        *(
            replace(check, advice="see the vault") if check.advice and check.advice in vault.advice else check
            for check in roles
        ),
        await _connection(admin, ingest, connection_id, registration, clock),
        await _containers(containers),
    ]
    return _answer(checks)


def _answer(checks: Sequence[Check]) -> dict[str, Any]:
    found = {check.status for check in checks}
    status = "failed" if "failed" in found else "degraded" if found - {"ok"} else "ok"
    return {"status": status, "checks": [asdict(check) for check in checks]}


def _schedule(schedule: str | None) -> Check:
    if schedule:
        return Check("settings", "ok", "all settings are valid")
    return Check(
        "settings",
        "warning",
        "SYNC_SCHEDULE is missing: the host does not know when to fire the timer",
        "set it, for instance to 0 */15 * * * *",
    )


async def _vault(secrets: Secrets, *, admin_enabled: bool) -> Check:
    told, problems, status = list[str](), list[str](), _Worst()
    identities: tuple[Identity, ...] = ("admin", "ingest") if admin_enabled else ("ingest",)
    for identity in identities:
        try:
            state = await secrets.credential_state(identity)
        except CredentialError as error:
            status.note("failed")
            problems.append(error.message)
            continue
        until = "an unknown time" if state.expires is None else f"{state.expires:%Y-%m-%d}"
        told.append(f"{state.secret} holds until {until}")
        if state.previous:
            status.note("warning")
            problems.append(f"{state.secret}: Entra refuses its newest version; the one before it is in use")
        if state.expiring:
            status.note("warning")
            problems.append(f"{state.secret}: add a new client secret to the {identity} app and put it into the vault")
    return Check("vault", status.worst, "; ".join(told) or "no secret could be read", "; ".join(problems))


class _Worst:
    """The worst status noted so far."""

    _ORDER: Final = ("ok", "unknown", "warning", "failed")

    def __init__(self) -> None:
        self.worst: Status = "ok"

    def note(self, status: Status) -> None:
        self.worst = max(self.worst, status, key=self._ORDER.index)


async def _roles(identity: Identity, client: GraphClient | None) -> Check:
    name = f"{identity}-roles"
    if client is None:
        return Check(name, "ok", "not looked at: ADMIN_ENABLED is false")
    try:
        roles = await client.roles()
    except CredentialError as error:
        return Check(name, "failed", "there is no token", error.message)
    held = ", ".join(roles) or "no app roles"
    missing = [group[0] for group in _NEEDED[identity] if not set(group) & set(roles)]
    if missing:
        advice = f"grant {', '.join(missing)} to the {identity} app and consent to it; it may take an hour to count"
        return Check(name, "failed", f"the {identity} identity has {held}; it lacks {', '.join(missing)}", advice)
    excess = sorted(set(roles) - _WELCOME[identity])
    if excess:
        advice = f"take {', '.join(excess)} away from the {identity} app: neither identity should do the other's work"
        return Check(name, "warning", f"the {identity} identity has more than it needs: {', '.join(excess)}", advice)
    return Check(name, "ok", f"the {identity} identity has {held}")


async def _connection(
    admin: GraphClient | None,
    ingest: GraphClient,
    connection_id: str,
    known: Registration | StoreError | None,
    clock: Clock,
) -> Check:
    if isinstance(known, StoreError):
        return Check("connection", "unknown", "what setup remembers of it cannot be read", known.message)
    if known is None or not known.ready(clock.now()):
        detail = "setup has not finished" if known else "there is no connection yet"
        return Check("connection", "unknown", detail, "run setup until it answers ready")
    try:
        if admin is not None and await Connections(admin).get(connection_id) is None:
            return Check(
                "connection",
                "failed",
                f"the connection '{connection_id}' is gone from Microsoft Graph",
                "run setup: it is made anew and everyone is sent again",
            )
        await Items(ingest, connection_id).get(_NOBODY)
    except CredentialError:
        return Check("connection", "unknown", "there is no token to ask with", "see the roles above")
    except ConnectorError as error:
        return Check(
            "connection", "failed", error.message, "see the message; then run setup, which repairs what it can"
        )
    return Check("connection", "ok", f"the ingest identity is authorised for '{connection_id}'")


async def _containers(containers: Mapping[str, Readable]) -> Check:
    problems = []
    for name, container in containers.items():
        try:
            await container.list(_NO_BLOB)
        except StoreError as error:
            problems.append(f"{name}: {error.message}")
    if problems:
        advice = "check that the containers exist and that the app may read and write blobs in them"
        return Check("containers", "failed", "; ".join(problems), advice)
    return Check("containers", "ok", f"{', '.join(containers)} can be read")
