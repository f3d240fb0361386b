"""What health makes of findings: words, worst cases, and states that no test tenant gets into."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from connector.core import health
from connector.core.contracts import ContractName
from connector.core.health import Access, Finding, Seen
from connector.core.setup import Registration, Wanted
from connector.core.sighting import REMEMBERED_AGAIN, Sighting, noted, recalled, sighting
from connector.errors import StoreUnavailable

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
PROPERTY = {"name": "account", "type": "string", "labels": ["personAccount"]}
MARKS = [{"name": name, "type": "string"} for name in ("connectionId", "externalId", "oid", "accounts")]
CATEGORY = {"labels": "people", "preview": ""}


def wanted(contract: ContractName = "labels") -> Wanted:
    return Wanted(
        tenant_id="t",
        contract=contract,
        connection_id="contosohr",
        name="HR",
        description="People",
        app_ids=("admin-app", "ingest-app"),
        schema={"baseType": "x", "properties": [PROPERTY] if contract == "labels" else MARKS},
        source_url="https://hr.contoso.com",
        settle=timedelta(),
    )


def known(contract: ContractName = "labels") -> Registration:
    return Registration("i", "t", contract, "contosohr", NOW.isoformat(), ready_since=NOW.isoformat())


def seen(contract: ContractName = "labels", **changes: Any) -> Seen:
    found = Sighting(
        at=NOW.isoformat(),
        state="ready",
        category=CATEGORY[contract],
        apps=("INGEST-APP", "admin-app"),
        registered=True,
        sources=2,
        above=(),
        entra=True,
    )
    return Seen(replace(found, **changes), schema=wanted(contract).schema["properties"])


# --- the connection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contract", get_args(ContractName))
@pytest.mark.parametrize(
    ("state", "status", "word"),
    [
        ("ready", "ok", "takes items"),
        ("limitExceeded", "warning", "quota"),
        ("draft", "failed", "draft again"),
        ("obsolete", "failed", "obsolete"),
        ("unknownFutureValue", "unknown", "'unknownFutureValue'"),
    ],
)
def test_the_state_of_the_connection(contract: ContractName, state: str, status: str, word: str) -> None:
    """Every state that Graph documents has its own meaning; one that nobody knows is unknown."""
    found = health.connection(known(contract), wanted(contract), seen(contract, state=state), now=NOW)

    assert found.status == status
    assert word in found.detail


@pytest.mark.parametrize(("contract", "category"), [("labels", ""), ("labels", "crm"), ("preview", "crm")])
def test_a_connection_of_another_category_fails(contract: ContractName, category: str) -> None:
    """Items in it never reach profiles; under the walkthrough's contract no category is the right one."""
    found = health.connection(known(contract), wanted(contract), seen(contract, category=category), now=NOW)

    assert found.status == "failed"
    assert "contentCategory" in found.detail


def test_a_schema_that_contradicts_the_mapping_fails() -> None:
    """Setup cannot mend that, so what to do is another thing than for a property that is not there."""
    other = replace(seen(), schema=[{**PROPERTY, "type": "stringCollection"}])

    found = health.connection(known(), wanted(), other, now=NOW)

    assert found.status == "failed"
    assert "mend the mapping" in found.advice


def test_app_ids_are_compared_without_case() -> None:
    """GUIDs come back in whatever case Graph likes; one that is missing is named by its setting."""
    listed = health.connection(known(), wanted(), seen(), now=NOW)
    missing = health.connection(known(), wanted(), seen(apps=("INGEST-APP",)), now=NOW)

    assert listed.status == "ok"
    assert "ADMIN_CLIENT_ID" in missing.detail


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "less than a minute"),
        (61, "1 minute"),
        (119 * 60, "119 minutes"),
        (2 * 3600, "2 hours"),
        (47 * 3600, "47 hours"),
        (49 * 3600, "2 days"),
    ],
)
def test_spans_are_told_in_the_unit_that_says_most(seconds: float, words: str) -> None:
    """Never in fractions, and never as "1 days"."""
    assert health.span(seconds) == words


def test_several_findings_make_one_line() -> None:
    """Its status is the worst; each sentence stands there once, and each finding by itself."""
    one = Finding("warning", "a", "because", "do this")
    other = Finding("failed", "b", "because", "do that")

    found = health.check("sync", ["c"], [one, other])

    assert (found.status, found.detail, found.why, found.advice) == ("failed", "a; b; c", "because", "do this; do that")
    assert found.findings == (one, other)


def test_every_container_that_is_closed_to_us_is_named() -> None:
    """With the role it needs: a reader's for exports, a contributor's where we write."""
    closed = StoreUnavailable("storage refuses us")
    tried = [
        Access("hr-exports", "no export can be taken", written_to=False, read=closed),
        Access("connector-state", "no run may begin", written_to=True, written=closed),
        Access("connector-reports", "no report", written_to=True),
    ]

    found = health.containers(tried, managed_identity=None)

    exports, state = found.findings
    assert "hr-exports cannot be read" in exports.detail
    assert "grants Storage Blob Data Reader" in exports.advice
    assert "connector-state cannot be written to" in state.detail
    assert "grants Storage Blob Data Contributor" in state.advice


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_a_sighting_survives_its_file() -> None:
    """What is written into connection.json is read from there as it was."""
    found = seen().sighting
    assert found is not None

    read = Registration.from_json(noted(known(), found).to_json())

    assert recalled(read) == found


@pytest.mark.parametrize("memory", [None, {}, {"at": "yesterday"}, {"at": NOW.isoformat(), "state": 1}, {"more": 1}])
def test_a_memory_that_makes_no_sense_is_none(memory: dict[str, object] | None) -> None:
    """Another release may have written it."""
    assert recalled(replace(known(), seen=memory)) is None


def test_the_same_sighting_is_noted_once_a_day() -> None:
    """Every write makes the next tick look twice; something new is noted at once."""
    first = seen().sighting
    assert first is not None
    memory = noted(known(), first)
    soon = replace(first, at=(NOW + REMEMBERED_AGAIN - timedelta(seconds=1)).isoformat())
    late = replace(first, at=(NOW + REMEMBERED_AGAIN).isoformat())

    assert noted(memory, soon) is memory
    assert recalled(noted(memory, late)) == late
    assert recalled(noted(memory, replace(soon, entra=False))) == replace(soon, entra=False)


def test_a_sighting_reads_the_list_whatever_its_urls_look_like() -> None:
    """Versions of Graph, quoting and case differ from tenant to tenant; the order is what counts."""
    urls = [
        "https://graph.microsoft.com/beta/admin/people/profileSources(sourceId='OtherHr')",
        "https://graph.microsoft.com/v1.0/admin/people/profileSources/contosoHR",
        "https://graph.microsoft.com/v1.0/admin/people/profileSources(sourceId=%274CE763DD-9214-4eff-af7c-da491cc3782d%27)",
    ]
    settings: list[dict[str, Any]] = [{"name": "theirs"}, {"name": None, "prioritizedSourceUrls": urls}]

    found = sighting({"state": "ready"}, None, settings, connection_id="contosohr", now=NOW)

    assert (found.above, found.sources, found.entra, found.registered) == (("otherhr",), 3, True, False)
