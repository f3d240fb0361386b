"""The settings: defaults, rules, and one error that names everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import ConfigurationError
from connector.settings import RESERVED_CONNECTION_IDS, Settings

ENOUGH = {
    "TENANT_ID": "7f1c2a44-0f6e-4c6b-9d5e-0a4b8a7d1c11",
    "KEY_VAULT_URL": "https://contoso-people.vault.azure.net/",
    "ADMIN_CLIENT_ID": "11111111-aaaa-4aaa-8aaa-111111111111",
    "INGEST_CLIENT_ID": "22222222-bbbb-4bbb-8bbb-222222222222",
    "PROFILE_SOURCE_URL": "https://hr.contoso.com/",
    "HR_STORAGE_URL": "https://contosohr.blob.core.windows.net",
}
"""The settings that have no default."""


def problems(**changed: str | None) -> tuple[str, ...]:
    """Return what is wrong with the least settings after these changes; None takes one away."""
    environment = {**ENOUGH, **{name: value for name, value in changed.items() if value is not None}}
    for name in (name for name, value in changed.items() if value is None):
        del environment[name]
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(environment)
    return raised.value.problems


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("admin_credential_name", "admin-client-secret"),
        ("ingest_credential_name", "ingest-client-secret"),
        ("graph_credential_mode", "secret"),
        ("azure_client_id", None),
        ("graph_base_url", "https://graph.microsoft.com/beta"),
        ("connection_id", "contosohr"),
        ("contract", "labels"),
        ("mapping", "default"),
        ("hr_storage_connection_string", None),
        ("exports_container", "hr-exports"),
        ("state_container", "connector-state"),
        ("reports_container", "connector-reports"),
        ("quarantine_container", "hr-quarantine"),
        ("slice_seconds", 2700),
        ("exports_pattern", ("*.csv", "*.csv.gz", "*.zip")),
        ("export_settle_seconds", 300),
        ("leaver_grace_exports", 1),
        ("max_delete_percent", 5),
        ("max_delete_count", 500),
        ("min_delete_allowance", 3),
        ("max_reject_percent", 20),
        ("min_match_percent", 50),
        ("max_concurrency", 16),
        ("max_items_per_second", None),
        ("registration_settle_seconds", 60),
        ("resolve_after_days", 7),
        ("stale_after_hours", 26),
        ("pilot", ()),
        ("admin_enabled", True),
    ],
)
def test_what_is_not_set_has_the_documented_default(name, default):
    """The defaults are those of the settings table; empty values count as not set."""
    assert getattr(Settings.from_env({**ENOUGH, name.upper(): " "}), name) == default


@pytest.mark.parametrize("name", [name for name in ENOUGH if name != "HR_STORAGE_URL"])
def test_required_settings_are_missed_by_name(name):
    """A required setting that is absent is the one problem."""
    assert problems(**{name: None}) == (f"{name}: is missing; it is required",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TENANT_ID", "our tenant"),
        ("KEY_VAULT_URL", "http://contoso-people.vault.azure.net"),
        ("KEY_VAULT_URL", "contoso-people"),
        ("ADMIN_CLIENT_ID", "the-admin-app"),
        ("INGEST_CLIENT_ID", "22222222"),
        ("ADMIN_CREDENTIAL_NAME", "admin_client_secret"),
        ("INGEST_CREDENTIAL_NAME", "x" * 128),
        ("GRAPH_CREDENTIAL_MODE", "certificate"),
        ("GRAPH_CREDENTIAL_MODE", "password"),
        ("AZURE_CLIENT_ID", "identity"),
        ("GRAPH_BASE_URL", "http://graph.microsoft.com/beta"),
        ("CONNECTION_ID", "hr"),
        ("CONNECTION_ID", "x" * 33),
        ("CONNECTION_ID", "contoso-hr"),
        ("CONNECTION_ID", "contösohr"),
        ("CONNECTION_ID", "microsofthr"),
        ("CONNECTION_ID", "SharePoint"),
        ("CONNECTION_NAME", "x" * 129),
        ("PROFILE_SOURCE_URL", "ftp://hr.contoso.com"),
        ("CONTRACT", "beta"),
        ("MAPPING", "../default"),
        ("MAPPING", "blob:"),
        ("HR_STORAGE_URL", "http://127.0.0.1:10000"),
        ("EXPORTS_CONTAINER", "HR-Exports"),
        ("STATE_CONTAINER", "a--b"),
        ("REPORTS_CONTAINER", "ab"),
        ("QUARANTINE_CONTAINER", "-quarantine"),
        ("SLICE_SECONDS", "0"),
        ("SLICE_SECONDS", "half an hour"),
        ("SLICE_SECONDS", "3180"),
        ("EXPORTS_PATTERN", ","),
        ("EXPORT_SETTLE_SECONDS", "-1"),
        ("LEAVER_GRACE_EXPORTS", "-1"),
        ("MAX_DELETE_PERCENT", "101"),
        ("MAX_DELETE_COUNT", "-1"),
        ("MIN_DELETE_ALLOWANCE", "-1"),
        ("MAX_REJECT_PERCENT", "-0.5"),
        ("MIN_MATCH_PERCENT", "nan"),
        ("MAX_CONCURRENCY", "0"),
        ("MAX_CONCURRENCY", "26"),
        ("MAX_ITEMS_PER_SECOND", "0"),
        ("MAX_ITEMS_PER_SECOND", "inf"),
        ("REGISTRATION_SETTLE_SECONDS", "-1"),
        ("RESOLVE_AFTER_DAYS", "0"),
        ("RESOLVE_AFTER_DAYS", "inf"),
        ("STALE_AFTER_HOURS", "0"),
        ("PILOT", "0%"),
        ("PILOT", "101%"),
        ("PILOT", "many%"),
        ("PILOT", "5%,adele@contoso.com"),
        ("PILOT", "adele"),
        ("ADMIN_ENABLED", "perhaps"),
        ("REQUIRE_MANIFEST", "perhaps"),
        ("MAX_CHANGE_PERCENT", "101"),
        ("VERIFY_ITEMS", "-1"),
        ("REQUIRE_ENTRA_AUTH", "true"),
    ],
)
def test_a_value_outside_the_rules_is_refused_by_name(name, value):
    """A value that is not allowed, or that this release does not carry out, is one sentence with the setting's name."""
    (problem,) = problems(**{name: value})

    assert problem.startswith(f"{name}: ")
    assert len(problem) > len(name) + 10


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("TENANT_ID", "contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
        ("KEY_VAULT_URL", "https://vault.example/", "https://vault.example"),
        ("GRAPH_BASE_URL", "https://graph.microsoft.us/v1.0/", "https://graph.microsoft.us/v1.0"),
        ("CONNECTION_ID", "abc", "abc"),
        ("MAPPING", "blob:ours.toml", "blob:ours.toml"),
        ("SLICE_SECONDS", "1", 1),
        ("SLICE_SECONDS", "3179", 3179),
        ("EXPORTS_PATTERN", " people*.csv , *.zip,", ("people*.csv", "*.zip")),
        ("EXPORT_SETTLE_SECONDS", "0", 0),
        ("LEAVER_GRACE_EXPORTS", "0", 0),
        ("MAX_DELETE_PERCENT", "2.5", 2.5),
        ("MAX_CONCURRENCY", "25", 25),
        ("MAX_ITEMS_PER_SECOND", "12.5", 12.5),
        ("PILOT", "5%", ("5%",)),
        ("PILOT", "Adele@contoso.com, alex@contoso.com", ("Adele@contoso.com", "alex@contoso.com")),
        ("ADMIN_ENABLED", "False", False),
        ("ADMIN_ENABLED", "no", False),
        ("ADMIN_ENABLED", "1", True),
        ("REQUIRE_MANIFEST", "true", True),
        ("VERIFY_ITEMS", "50", 50),
    ],
)
def test_what_is_allowed_is_read_typed(name, value, field):
    """Values within the rules are there, typed, without white space or a trailing slash."""
    assert getattr(Settings.from_env({**ENOUGH, name: f" {value} "}), name.lower()) == field


@pytest.mark.parametrize(
    ("name", "value"),
    [("REQUIRE_ENTRA_AUTH", "false"), ("REQUIRE_ENTRA_AUTH", "")],
)
def test_a_setting_of_a_later_release_may_ask_for_nothing(name, value):
    """A setting that is not carried out yet is accepted with the one value that asks for nothing."""
    assert Settings.from_env({**ENOUGH, name: value}) == Settings.from_env(ENOUGH)


def test_every_problem_is_reported_at_once():
    """Missing, malformed, contradictory, misspelt and unsupported settings are one error with one sentence each."""
    found = problems(
        TENANT_ID=None,
        INGEST_CLIENT_ID=ENOUGH["ADMIN_CLIENT_ID"].upper(),
        HR_STORAGE_CONNECTION_STRING="UseDevelopmentStorage=true",
        EXPORTS_CONTAINER="connector-state",
        CONNECTION_ID="directory",
        MAX_CONCURRENCY="100",
        SLICE_SECONDS="3600",
        PILOT="50%,60%",
        REQUIRE_ENTRA_AUTH="true",
        STALE_AFTER_HOUR="4",
    )

    named = sorted(problem.split(":")[0] for problem in found)
    assert named == sorted(
        [
            "TENANT_ID",
            "ADMIN_CLIENT_ID, INGEST_CLIENT_ID",
            "HR_STORAGE_URL, HR_STORAGE_CONNECTION_STRING",
            "EXPORTS_CONTAINER, STATE_CONTAINER, REPORTS_CONTAINER, QUARANTINE_CONTAINER",
            "CONNECTION_ID",
            "MAX_CONCURRENCY",
            "SLICE_SECONDS",
            "PILOT",
            "REQUIRE_ENTRA_AUTH",
            "STALE_AFTER_HOUR",
        ]
    )


def test_problems_of_one_kind_do_not_hide_those_of_another():
    """Settings that are each well formed but contradict each other are reported together with the unsupported ones."""
    found = problems(HR_STORAGE_URL=None, SLICE_SECONDS="3300", PILOT="adele", REQUIRE_ENTRA_AUTH="true")

    assert {problem.split(":")[0] for problem in found} == {
        "HR_STORAGE_URL",
        "SLICE_SECONDS",
        "PILOT",
        "REQUIRE_ENTRA_AUTH",
    }


def test_the_storage_is_named_in_one_way():
    """Either the blob endpoint or a connection string, and not neither."""
    azurite = {**ENOUGH, "HR_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"}
    del azurite["HR_STORAGE_URL"]

    assert Settings.from_env(azurite).hr_storage_url is None
    assert problems(HR_STORAGE_URL=None)[0].startswith("HR_STORAGE_URL: is missing")
    assert "only one of the two" in problems(HR_STORAGE_CONNECTION_STRING="UseDevelopmentStorage=true")[0]


def test_a_misspelt_setting_is_not_silently_a_default():
    """A name that is nearly one of ours is refused with the right one; foreign names are none of our business."""
    assert problems(LEAVER_GRACE_EXPORT="0") == (
        "LEAVER_GRACE_EXPORT: no such setting; did you mean LEAVER_GRACE_EXPORTS?",
    )
    foreign = {"FUNCTIONS_WORKER_RUNTIME": "python", "AZURE_TENANT_ID": "common", "SYNC_SCHEDULE": "0 */15 * * * *"}
    assert Settings.from_env({**ENOUGH, **foreign}) == Settings.from_env(ENOUGH)


def test_the_slice_fits_into_the_function_timeout():
    """120 seconds after SLICE_SECONDS are still below host.json's functionTimeout, at the very edge."""
    timeout = json.loads((Path(__file__).parents[2] / "host.json").read_text())["functionTimeout"]
    hours, minutes, seconds = map(int, timeout.split(":"))
    edge = hours * 3600 + minutes * 60 + seconds - 120

    accepted = Settings.from_env({**ENOUGH, "SLICE_SECONDS": str(edge - 1)})

    assert accepted.slice_seconds == edge - 1
    assert problems(SLICE_SECONDS=str(edge))[0].startswith("SLICE_SECONDS: ")


def test_every_reserved_connection_id_is_refused():
    """No id that Graph keeps for itself gets through, whatever its case."""
    refused = {name for name in RESERVED_CONNECTION_IDS if problems(CONNECTION_ID=name.upper())}

    assert refused == RESERVED_CONNECTION_IDS


def test_problems_hold_no_values():
    """A sentence about a secret or about a person's UPN does not repeat it."""
    found = problems(PILOT="adele@contoso.com,5%", TENANT_ID=None, HR_STORAGE_CONNECTION_STRING="AccountKey=c2VjcmV0")

    assert not any("adele" in problem or "c2VjcmV0" in problem for problem in found)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("people.csv", True),
        ("PEOPLE.CSV", True),
        ("people.csv.gz", True),
        ("people.zip", True),
        ("people.csv.done", False),
        ("people.csv.manifest.json", False),
        ("people.xlsx", False),
    ],
)
def test_the_pattern_says_which_blobs_are_exports(name, taken):
    """EXPORTS_PATTERN is compared without case."""
    assert Settings.from_env(ENOUGH).takes(name) is taken


@given(st.dictionaries(st.sampled_from([name.upper() for name in Settings.model_fields]), st.text(max_size=40)))
def test_whatever_is_set_nothing_but_a_list_of_problems_comes_of_it(environment):
    """Any values that lack a required setting end as one error, each sentence of which begins with a setting's name."""
    environment.pop("TENANT_ID", None)
    known = {name.upper() for name in Settings.model_fields}

    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(environment)

    assert all(set(problem.split(":")[0].split(", ")) <= known for problem in raised.value.problems)
