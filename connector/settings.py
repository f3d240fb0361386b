"""Every app setting, typed, with all problems reported at once (interface §2)."""

from __future__ import annotations

import difflib
import re
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from connector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RESERVED_CONNECTION_IDS = frozenset(
    {
        "none", "directory", "exchange", "exchangearchive", "linkedin", "mailbox", "onedrivebusiness",
        "sharepoint", "teams", "yammer", "connectors", "taskfabric", "powerbi", "assistant", "topicengine",
        "msft_all_connectors",
    }
)  # fmt: skip
"""Ids that Graph keeps for itself.
https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection"""

_FUNCTION_TIMEOUT = 55 * 60
"""host.json's functionTimeout, in seconds; a test holds the two together."""

_NOT_IN_THIS_RELEASE: Mapping[str, tuple[str, str]] = {
    "REQUIRE_ENTRA_AUTH": ("false", "App Service authentication"),
}
"""Settings of the interface that this release does not carry out, with the one value that asks for nothing.
A setting that is not implemented is refused, never ignored."""

_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"


def _boolean(value: object) -> object:
    """Read the words that app settings use for yes and no."""
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in {"true", "1", "yes", "on"}:
            return True
        if word in {"false", "0", "no", "off"}:
            return False
    return value


def _https(value: object) -> object:
    if isinstance(value, str) and urlsplit(value).scheme != "https":
        raise ValueError("must be an https:// address")
    return value.rstrip("/") if isinstance(value, str) else value


def _names(value: object) -> object:
    """Read a comma-separated list."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _pilot(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Hold PILOT to UPNs, or to one percentage; a problem does not repeat what may be somebody's UPN."""
    shares = [part for part in parts if part.endswith("%")]
    if shares and len(parts) > 1:
        raise ValueError("is a mixture; allowed: a comma-separated list of UPNs, or one percentage such as 5%")
    if shares:
        try:
            share = float(shares[0][:-1])
        except ValueError:
            share = -1
        if not 0 < share <= 100:
            raise ValueError("is not a percentage between 0 and 100")
    elif any("@" not in part for part in parts):
        raise ValueError("has an entry that is no UPN (it has no @); allowed: UPNs, or one percentage such as 5%")
    return parts


def _slice(seconds: int) -> int:
    if seconds + 120 >= _FUNCTION_TIMEOUT:
        raise ValueError(
            f"is {seconds}; allowed: 1 to {_FUNCTION_TIMEOUT - 121}, since 120 more seconds must fit into host.json's"
            f" functionTimeout of {_FUNCTION_TIMEOUT} s"
        )
    return seconds


Switch = Annotated[bool, BeforeValidator(_boolean)]
Https = Annotated[str, BeforeValidator(_https)]
Identifier = Annotated[str, Field(pattern=_UUID)]
Container = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$")]
SecretName = Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{1,127}$")]


class Settings(BaseModel):
    """What the operator decided. Field names are the settings' names in lower case."""

    model_config = ConfigDict(
        frozen=True, hide_input_in_errors=True, extra="ignore", regex_engine="python-re", allow_inf_nan=False
    )

    tenant_id: Annotated[
        str, AfterValidator(str.lower), Field(pattern=_UUID[:-1] + r"$|^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    ]
    key_vault_url: Https
    admin_client_id: Identifier
    ingest_client_id: Identifier
    admin_credential_name: SecretName = "admin-client-secret"
    ingest_credential_name: SecretName = "ingest-client-secret"
    graph_credential_mode: Literal["secret"] = "secret"
    azure_client_id: Identifier | None = None
    graph_base_url: Https = "https://graph.microsoft.com/beta"
    connection_id: str = "contosohr"
    connection_name: Annotated[str, Field(min_length=1, max_length=128)] = "Contoso HR"
    connection_description: Annotated[str, Field(min_length=1)] = "People data from the HR system of Contoso"
    profile_source_url: Https
    contract: Literal["labels", "preview"] = "labels"
    mapping: Annotated[str, Field(pattern=r"^(blob:.+|[a-z0-9][a-z0-9-]*)$")] = "default"
    hr_storage_url: Https | None = None
    hr_storage_connection_string: SecretStr | None = None
    exports_container: Container = "hr-exports"
    state_container: Container = "connector-state"
    reports_container: Container = "connector-reports"
    quarantine_container: Container = "hr-quarantine"
    slice_seconds: Annotated[int, Field(ge=1), AfterValidator(_slice)] = 2700
    exports_pattern: Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)] = (
        "*.csv",
        "*.csv.gz",
        "*.zip",
    )
    export_settle_seconds: Annotated[int, Field(ge=0)] = 300
    require_manifest: Switch = False
    leaver_grace_exports: Annotated[int, Field(ge=0, le=100)] = 1
    max_delete_percent: Annotated[float, Field(ge=0, le=100)] = 5
    max_delete_count: Annotated[int, Field(ge=0)] = 500
    min_delete_allowance: Annotated[int, Field(ge=0)] = 3
    max_change_percent: Annotated[float, Field(ge=0, le=100)] = 50
    max_reject_percent: Annotated[float, Field(ge=0, le=100)] = 20
    min_match_percent: Annotated[float, Field(ge=0, le=100)] = 50
    max_concurrency: Annotated[int, Field(ge=1, le=25)] = 16
    max_items_per_second: Annotated[float, Field(gt=0)] | None = None
    registration_settle_seconds: Annotated[int, Field(ge=0)] = 60
    resolve_after_days: Annotated[float, Field(gt=0)] = 7
    stale_after_hours: Annotated[float, Field(gt=0)] = 26
    verify_items: Annotated[int, Field(ge=0)] = 0
    pilot: Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_pilot)] = ()
    admin_enabled: Switch = True

    @classmethod
    def from_env(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings from a mapping such as ``os.environ``; empty values count as absent.

        Raises:
            ConfigurationError: with one sentence per problem, each naming its setting and what is allowed.
        """
        given = {
            name: environment[name.upper()].strip()
            for name in cls.model_fields
            if environment.get(name.upper(), "").strip()
        }
        problems = [*_unimplemented(environment), *_misspelt(environment, cls.model_fields)]
        settings: Self | None = None
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            problems = [
                *(_sentence(dict(problem)) for problem in error.errors(include_input=False)),
                *problems,
            ]
            # What can be said about the rest is said too: one round trip for the operator, not two.
            defaults = {name: each.default for name, each in cls.model_fields.items() if not each.is_required()}
            problems += _contradictions({**defaults, **given})
        except ConfigurationError as error:
            problems = [*error.problems, *problems]
        if problems or settings is None:
            raise ConfigurationError(list(dict.fromkeys(problems)))
        return settings

    @model_validator(mode="after")
    def _agree_with_each_other(self) -> Self:
        problems = list(_contradictions(self.model_dump()))
        if problems:
            raise ConfigurationError(problems)
        return self

    def takes(self, blob_name: str) -> bool:
        """Tell whether a blob in the exports container is an export, by EXPORTS_PATTERN."""
        return any(fnmatchcase(blob_name.casefold(), pattern.casefold()) for pattern in self.exports_pattern)


def _unimplemented(environment: Mapping[str, str]) -> Iterator[str]:
    for name, (neutral, meaning) in _NOT_IN_THIS_RELEASE.items():
        value = environment.get(name, "").strip()
        if value and value.casefold() != neutral:
            remedy = f"set it to {neutral!r} or remove it" if neutral else "remove it"
            yield f"{name}: this release does not carry it out yet ({meaning}); {remedy}"


def _misspelt(environment: Mapping[str, str], fields: Mapping[str, object]) -> Iterator[str]:
    """Name settings that look like ours but are not, so that a typing mistake is not silently a default."""
    known = {name.upper() for name in fields} | set(_NOT_IN_THIS_RELEASE) | {"SYNC_SCHEDULE"}
    for name in environment:
        if name in known or "_" not in name or not environment[name].strip():
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if close and close[0] not in environment:
            yield f"{name}: no such setting; did you mean {close[0]}?"


def mapping_problems(name: str) -> Iterator[str]:
    """Say when no mapping of that name comes with the package; one in a blob is looked at when it is needed."""
    folder = files("connector") / "mappings"
    if re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) and not (folder / f"{name}.toml").is_file():
        known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
        yield f"MAPPING: there is no mapping {name!r}; there are: {', '.join(known)}, or blob:NAME"


def _contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    admin, ingest = values.get("admin_client_id"), values.get("ingest_client_id")
    if admin and ingest and admin.casefold() == ingest.casefold():
        yield "ADMIN_CLIENT_ID, INGEST_CLIENT_ID: are the same app; two app registrations are required"
    url, connection_string = values.get("hr_storage_url"), values.get("hr_storage_connection_string")
    if not url and not connection_string:
        yield "HR_STORAGE_URL: is missing; set it, or HR_STORAGE_CONNECTION_STRING for Azurite"
    if url and connection_string:
        yield "HR_STORAGE_URL, HR_STORAGE_CONNECTION_STRING: only one of the two is allowed"
    names = ("exports_container", "state_container", "reports_container", "quarantine_container")
    containers = [values[name] for name in names if values.get(name)]
    if len(set(containers)) != len(containers):
        yield f"{', '.join(name.upper() for name in names)}: must be four different containers"
    if values.get("contract") == "preview" and urlsplit(str(values.get("graph_base_url"))).path.strip("/") != "beta":
        yield "CONTRACT, GRAPH_BASE_URL: the contract 'preview' is only there under .../beta, not under another version"
    if mapping := values.get("mapping"):
        yield from mapping_problems(str(mapping))
    connection = values.get("connection_id")
    if connection is not None:
        yield from connection_id_problems(connection)


def connection_id_problems(connection_id: str) -> Iterator[str]:
    """Say what Graph would not accept in a connection id; Graph itself answers only "malformed".

    https://learn.microsoft.com/graph/api/resources/externalconnectors-externalconnection
    """
    if not re.fullmatch(r"[A-Za-z0-9]{3,32}", connection_id):
        yield f"CONNECTION_ID: is {connection_id!r}; allowed: 3 to 32 letters and digits, nothing else"
    elif connection_id.casefold().startswith("microsoft"):
        yield f"CONNECTION_ID: is {connection_id!r}; it must not begin with Microsoft"
    elif connection_id.casefold() in RESERVED_CONNECTION_IDS:
        yield f"CONNECTION_ID: {connection_id!r} is reserved by Microsoft Graph; choose another"


_ALLOWED = {
    "missing": "is missing; it is required",
    "string_pattern_mismatch": "does not have the form it must have",
}

_FORMS = {
    "tenant_id": "a GUID or a domain name",
    "admin_client_id": "a GUID", "ingest_client_id": "a GUID", "azure_client_id": "a GUID",
    "admin_credential_name": "a secret's name: 1 to 127 letters, digits and hyphens",
    "ingest_credential_name": "a secret's name: 1 to 127 letters, digits and hyphens",
    "mapping": "a name in connector/mappings/ such as 'default', or 'blob:NAME'",
    "exports_container": "a container's name: 3 to 63 lower-case letters, digits and single hyphens",
    "state_container": "a container's name: 3 to 63 lower-case letters, digits and single hyphens",
    "reports_container": "a container's name: 3 to 63 lower-case letters, digits and single hyphens",
    "quarantine_container": "a container's name: 3 to 63 lower-case letters, digits and single hyphens",
    "graph_credential_mode": "'secret' (this release does not carry out 'certificate' and 'federated' yet)",
    "contract": "'labels' or 'preview'",
    "admin_enabled": "true or false",
    "require_manifest": "true or false",
}  # fmt: skip


def _sentence(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "value_error" and not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][0])
    if name in _FORMS and problem["type"] == "literal_error":
        return f"{name.upper()}: is not allowed here; allowed: {_FORMS[name]}"
    found = _ALLOWED.get(problem["type"], str(problem["msg"]).removeprefix("Value error, "))
    if name in _FORMS and problem["type"] != "missing":
        found = f"{found}; allowed: {_FORMS[name]}"
    return f"{name.upper()}: {found}"
