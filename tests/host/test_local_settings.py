"""The sample settings agree with the code, with interface and local tenant alike."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from connector.settings import Settings
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, MANAGED_CLIENT_ID, TENANT_ID
from tests.tenant.contoso import PORTS, ROOT
from tests.tenant.functions_host import Schedule

OF_THE_HOST = {"FUNCTIONS_WORKER_RUNTIME", "AzureWebJobsStorage", "SYNC_SCHEDULE"}
OF_THE_LOCAL_TENANT = {
    "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
}  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> dict[str, str]:
    """Return the sample's values."""
    content = json.loads((ROOT / "local.settings.sample.json").read_text(encoding="utf-8"))
    values: dict[str, str] = content["Values"]
    return values


def test_the_sample_names_every_setting_and_no_other(sample: dict[str, str]) -> None:
    """A setting that is added to the code is added to the sample."""
    ours = {name.upper() for name in Settings.model_fields}

    assert set(sample) == ours | OF_THE_HOST | OF_THE_LOCAL_TENANT


def test_the_sample_shows_the_defaults(sample: dict[str, str]) -> None:
    """Values that the code has a default for are those; local addresses are the exception."""
    local = {"GRAPH_BASE_URL", "AZURE_CLIENT_ID", "HR_STORAGE_CONNECTION_STRING"}
    settings = Settings.from_env(sample)

    for name, known in Settings.model_fields.items():
        if not known.is_required() and name.upper() not in local:
            assert getattr(settings, name) == known.default, name


def test_the_sample_leads_to_the_local_tenant(sample: dict[str, str]) -> None:
    """Its ids and ports are those of ``make serve``."""
    apps = {"TENANT_ID": TENANT_ID, "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID, "INGEST_CLIENT_ID": INGEST_CLIENT_ID}
    addresses = {
        "GRAPH_BASE_URL": f"https://localhost:{PORTS['graph']}/beta",
        "AZURE_AUTHORITY_HOST": f"https://localhost:{PORTS['entra']}",
        "KEY_VAULT_URL": f"https://localhost:{PORTS['vault']}",
        "IDENTITY_ENDPOINT": f"http://localhost:{PORTS['identity']}/msi/token",
    }

    assert sample.items() >= (apps | addresses | {"AZURE_CLIENT_ID": MANAGED_CLIENT_ID}).items()
    assert f"BlobEndpoint=http://127.0.0.1:{PORTS['azurite']}/" in sample["HR_STORAGE_CONNECTION_STRING"]


def test_the_samples_schedule_is_one(sample: dict[str, str]) -> None:
    """The host reads it; without it the timer would not be there."""
    moment = datetime(2026, 11, 20, 2, 1, tzinfo=UTC)

    assert Schedule(sample["SYNC_SCHEDULE"]).after(moment) == moment.replace(minute=15)


def test_the_function_timeout_leaves_room_for_a_slice(sample: dict[str, str]) -> None:
    """A slice and what follows it end before the host cuts the invocation off."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    hours, minutes, seconds = map(int, host["functionTimeout"].split(":"))

    assert int(sample["SLICE_SECONDS"]) + 120 < hours * 3600 + minutes * 60 + seconds


def test_every_route_is_under_api_admin() -> None:
    """The host refuses routes that start with admin, so the prefix carries the word."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))

    assert host["extensions"]["http"]["routePrefix"] == "api/admin"
