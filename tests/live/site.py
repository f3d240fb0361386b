"""Where the rules are checked: a tenant of which we know addresses, two apps and one user. Simulated or genuine alike.

Everything the rules make carries the name of this one visit, and `Site.leave` removes it again.
"""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")
Json = dict[str, Any]

REQUIRED: Final = (
    "LIVE_TENANT_ID",
    "LIVE_ADMIN_CLIENT_ID",
    "LIVE_ADMIN_SECRET",
    "LIVE_INGEST_CLIENT_ID",
    "LIVE_INGEST_SECRET",
    "LIVE_USER_UPN",
)
SOURCES: Final = "/admin/people/profileSources"
SETTINGS: Final = "/admin/people/profilePropertySettings"
CONNECTIONS: Final = "/external/connections"

ACCOUNT: Final[Json] = {"name": "account", "type": "string", "labels": ["personAccount"]}
SCHEMA: Final[Json] = {
    "baseType": "microsoft.graph.externalItem",
    "properties": [
        ACCOUNT,
        {"name": "skills", "type": "stringCollection", "labels": ["personSkills"]},
        {"name": "favoriteColor", "type": "string", "description": "What they like"},
    ],
}
EVERYONE: Final[Json] = {"type": "everyone", "value": "everyone", "accessType": "grant"}

_LONGEST_REQUEST = 60
_TIMES = (("LIVE_PATIENCE", "1800"), ("LIVE_PAUSE", "15"))
_TOKEN_SECONDS = 1800
_TRIES = 6
_DONE = frozenset({204, 404})
_REFUSED = frozenset({401, 403})


def missing(environment: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that a visit to a tenant needs and does not find."""
    return [name for name in REQUIRED if not environment.get(name)]


def announcement(environment: Mapping[str, str]) -> list[str]:
    """Return what a visit does to the tenant, for whoever has started it."""
    writes = environment.get("LIVE_PRIORITY") == "write"
    return [
        f"tests/live works in the tenant {environment['LIVE_TENANT_ID']}:",
        "  makes connections named livetest... with a random suffix; registers a schema and adds to it, which takes",
        "  5 to 15 minutes each; puts and deletes items; registers one profile source of that name;",
        (
            "  adds that to the end of the priority list for some seconds (LIVE_PRIORITY=write);"
            if writes
            else "  reads the priority list, which it would write only with LIVE_PRIORITY=write;"
        ),
        f"  looks up {environment['LIVE_USER_UPN']}; and removes everything in the end.",
    ]


class LeftBehind(Exception):
    """Something could not be removed; the message says what."""


class Caller:
    """One app at Graph: sends as it, waits when throttled, judges nothing."""

    def __init__(self, http: httpx.Client, *, base_url: str, sign_in: Callable[[], str]) -> None:
        self._http = http
        self._base_url = base_url.rstrip("/")
        self._sign_in = sign_in
        self._token, self._since = sign_in(), time.monotonic()

    @property
    def token(self) -> str:
        """Return a token that outlives the next request; a visit may outlive its first one."""
        if time.monotonic() - self._since > _TOKEN_SECONDS:
            self._token, self._since = self._sign_in(), time.monotonic()
        return self._token

    @property
    def roles(self) -> set[str]:
        """Return the app roles in the token."""
        payload = self.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return set(claims.get("roles", ()))

    def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, token: str = ""
    ) -> httpx.Response:
        """Return Graph's answer; ``path`` is an address under the base, or a whole one that Graph gave us.

        A ``body`` of bytes is sent as it is.

        Raises:
            ValueError: the address is on another host than Graph's.
        """
        url = path if path.startswith("https://") else f"{self._base_url}{path}"
        if httpx.URL(url).netloc != httpx.URL(self._base_url).netloc:
            raise ValueError(f"no token of ours is sent to {httpx.URL(url).host}")
        given = {"authorization": f"Bearer {token or self.token}"} if token != "none" else {}
        content = body if isinstance(body, bytes) or body is None else json.dumps(body, ensure_ascii=False).encode()
        if body is not None and not isinstance(body, bytes):
            given["content-type"] = "application/json; charset=utf-8"
        given |= headers or {}
        for attempt in range(_TRIES):
            answer = self._http.request(method, url, content=content, headers=given)
            if answer.status_code not in {429, 503, 504} or attempt == _TRIES - 1:
                return answer
            time.sleep(min(60.0, float(answer.headers.get("retry-after", 2**attempt))))
        raise AssertionError


@dataclass(slots=True)
class Site:
    """One visit. ``observed`` collects what the tenant answered where nobody knows what it answers."""

    environment: Mapping[str, str]
    http: httpx.Client
    admin: Caller
    ingest: Caller
    patience: float
    """Seconds to wait for something that takes Graph a while."""
    pause: float
    """Seconds between two looks."""
    name: str = field(default_factory=lambda: f"livetest{secrets.token_hex(5)}")
    observed: list[str] = field(default_factory=list)
    _made: list[str] = field(default_factory=list)
    _sources: list[str] = field(default_factory=list)
    _priority: tuple[str, list[str]] | None = None

    @property
    def admin_id(self) -> str:
        """Return the client id of the app that sets up."""
        return self.environment["LIVE_ADMIN_CLIENT_ID"]

    @property
    def ingest_id(self) -> str:
        """Return the client id of the app that ingests."""
        return self.environment["LIVE_INGEST_CLIENT_ID"]

    @property
    def user(self) -> str:
        """Return the UPN of the one user whom this visit may touch."""
        return self.environment["LIVE_USER_UPN"]

    @property
    def may_write_priority(self) -> bool:
        """Tell whether the tenant's priority list may be written."""
        return self.environment.get("LIVE_PRIORITY") == "write"

    def connection(self, suffix: str = "", **members: Any) -> Json:
        """Return the body of a connection of this visit."""
        return {
            "id": f"{self.name}{suffix}",
            "name": f"Test of the people connector {self.name}{suffix}",
            "description": "Made by a test and removed by it. May be deleted.",
            "contentCategory": "people",
            "configuration": {"authorizedAppIds": [self.admin_id, self.ingest_id]},
        } | members

    def create(self, body: Json) -> httpx.Response:
        """Try to create a connection; whatever is created is removed in the end."""
        answer = self.admin.send("POST", CONNECTIONS, body)
        if answer.is_success and str(body["id"]) not in self._made:
            self._made.append(str(body["id"]))
        return answer

    def register(self, body: Json) -> httpx.Response:
        """Try to register a profile source; whatever is registered is removed in the end."""
        answer = self.admin.send("POST", SOURCES, body)
        if answer.is_success:
            self._sources.append(str(answer.json()["sourceId"]))
        return answer

    def path(self, suffix: str = "", rest: str = "") -> str:
        """Return the address of a connection of this visit, or of something in it."""
        return f"{CONNECTIONS}/{self.name}{suffix}{rest}"

    def until(self, look: Callable[[], T], good: Callable[[T], bool], *, seconds: float = 60) -> T:
        """Look again and again until it is good; return what was seen last."""
        deadline = time.monotonic() + min(seconds, self.patience)
        while True:
            seen = look()
            if good(seen) or time.monotonic() >= deadline:
                return seen
            time.sleep(self.pause)

    def registered(self, operation: str) -> httpx.Response:
        """Wait for a schema operation to end; return its last state."""
        return self.until(
            lambda: self.admin.send("GET", operation),
            lambda answer: answer.status_code == 200 and answer.json()["status"] != "inprogress",
            seconds=self.patience,
        )

    def priorities(self) -> Json | None:
        """Return the tenant's own priority setting, if there is one."""
        settings: Sequence[Json] = self.admin.send("GET", SETTINGS).json()["value"]
        return next((setting for setting in settings if not setting.get("name")), None)

    def prioritize(self, urls: list[str]) -> httpx.Response:
        """Write the tenant's list; what it was before is restored in the end."""
        setting = self.priorities()
        assert setting is not None
        assert self.may_write_priority
        if self._priority is None:
            self._priority = (str(setting["id"]), list(setting["prioritizedSourceUrls"]))
        return self.admin.send("PATCH", f"{SETTINGS}/{setting['id']}", {"prioritizedSourceUrls": urls})

    def restore_priorities(self) -> None:
        """Put the tenant's list back as it was, if we wrote it."""
        if self._priority is not None:
            setting_id, urls = self._priority
            self.admin.send("PATCH", f"{SETTINGS}/{setting_id}", {"prioritizedSourceUrls": urls}).raise_for_status()
            self._priority = None

    def note(self, what: str) -> None:
        """Keep what the tenant answered to an open question."""
        if what not in self.observed:
            self.observed.append(what)

    def leave(self) -> None:
        """Remove everything that this visit made, in the order in which Graph allows it.

        Raises:
            LeftBehind: something stays; the message says how to remove it.
        """
        failures: list[str] = []
        self._try(self.restore_priorities, "the priority list could not be restored", failures)
        sources = [f"{SOURCES}(sourceId='{source_id}')" for source_id in self._sources]
        for path in (*sources, *(f"{CONNECTIONS}/{connection_id}" for connection_id in self._made)):
            self._try(lambda path=path: self._remove(path), f"DELETE {path}", failures)  # type: ignore[misc]
        self.http.close()
        if failures:
            raise LeftBehind("left in the tenant, to be done by hand: " + "; ".join(failures))

    def _remove(self, path: str) -> None:
        answer = self.until(
            lambda: self.admin.send("DELETE", path), lambda answer: answer.status_code in _DONE | _REFUSED, seconds=120
        )
        if answer.status_code not in _DONE:
            answer.raise_for_status()

    @staticmethod
    def _try(step: Callable[[], None], what: str, failures: list[str]) -> None:
        try:
            step()
        except (httpx.HTTPError, KeyError, ValueError) as error:
            failures.append(f"{what} ({type(error).__name__})")


def open_site(environment: Mapping[str, str]) -> Site:
    """Return a visit to the tenant that the environment names, with a token for each of its two apps."""
    bundle = environment.get("LIVE_CA_BUNDLE")
    verify = ssl.create_default_context(cafile=bundle) if bundle else True
    http = httpx.Client(verify=verify, timeout=_LONGEST_REQUEST)
    base_url = environment.get("LIVE_GRAPH_BASE_URL", "https://graph.microsoft.com/v1.0")

    def caller(app: str) -> Caller:
        return Caller(http, base_url=base_url, sign_in=lambda: _token(http, environment, app))

    patience, pause = (float(environment.get(name, default)) for name, default in _TIMES)
    return Site(environment, http, caller("ADMIN"), caller("INGEST"), patience=patience, pause=pause)


def _token(http: httpx.Client, environment: Mapping[str, str], app: str) -> str:
    authority = environment.get("LIVE_AUTHORITY", "https://login.microsoftonline.com")
    form = {
        "grant_type": "client_credentials",
        "client_id": environment[f"LIVE_{app}_CLIENT_ID"],
        "client_secret": environment[f"LIVE_{app}_SECRET"],
        "scope": environment.get("LIVE_SCOPE", "https://graph.microsoft.com/.default"),
    }
    answer = http.post(f"{authority}/{environment['LIVE_TENANT_ID']}/oauth2/v2.0/token", data=form)
    if answer.is_error:
        codes = answer.json().get("error_codes")
        raise RuntimeError(f"no token for LIVE_{app}_CLIENT_ID: HTTP {answer.status_code}, AADSTS{codes}")
    return str(answer.json()["access_token"])
