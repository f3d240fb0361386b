"""Setup's decisions: what is missing, what comes next, what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.setup import (
    ENTRA_SOURCE_ID,
    AuthorizeApps,
    CreateConnection,
    CreateSource,
    DeleteConnection,
    DeleteSource,
    Observed,
    RegisterSchema,
    Registration,
    RemovePriority,
    Review,
    Wait,
    Wanted,
    WritePriority,
    begin,
    global_setting,
    place_of,
    remember,
    removals,
    review,
    schema_conflicts,
    schema_contained,
    schema_union,
    teardown_view,
    without,
)

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)
ADMIN, INGEST = "ad000000-0000-4000-8000-000000000001", "1e000000-0000-4000-8000-000000000002"
ACCOUNT = {"name": "account", "type": "string", "labels": ["personAccount"]}
COLOR = {"name": "favoriteColor", "type": "string"}
WANTED = Wanted(
    tenant_id="contoso",
    contract="labels",
    connection_id="contosohr",
    name="Contoso HR",
    description="People",
    app_ids=(ADMIN, INGEST),
    schema={"baseType": "microsoft.graph.externalItem", "properties": [ACCOUNT, COLOR]},
    source_url="https://hr.contoso.com",
    settle=timedelta(seconds=60),
)
KNOWN = begin(WANTED, now=NOW, incarnation="first")


def url(source_id: str, *, version: str = "v1.0") -> str:
    return f"https://graph.microsoft.com/{version}/admin/people/profileSources(sourceId='{source_id}')"


ENTRA = url(ENTRA_SOURCE_ID)


def a_connection(**members: Any) -> dict[str, Any]:
    apps = {"configuration": {"authorizedAppIds": [ADMIN, INGEST]}}
    return {"id": "contosohr", "state": "ready", "contentCategory": "people"} | apps | members


def a_schema(*properties: dict[str, Any]) -> dict[str, Any]:
    return {"baseType": "microsoft.graph.externalItem", "properties": list(properties)}


def a_setting(*urls: str, name: str | None = None) -> dict[str, Any]:
    return {"id": "s1" if name is None else name, "name": name, "prioritizedSourceUrls": list(urls)}


A_SOURCE = {"sourceId": "contosohr", "kind": "Connector", "webUrl": "https://hr.contoso.com/"}
COMPLETE = Observed(
    now=NOW,
    registration=replace(KNOWN, ready_since=NOW.isoformat(), registered_at=NOW.isoformat(), settled=NOW.isoformat()),
    connection=a_connection(),
    schema=a_schema(ACCOUNT, COLOR),
    source=A_SOURCE,
    settings=(a_setting(url("contosohr"), ENTRA),),
)


def test_everything_in_place_is_ready():
    """Nothing is done when there is nothing to do."""
    found = review(COMPLETE, WANTED)

    assert (found.view.state, found.action, found.refusal) == ("ready", None, None)


@pytest.mark.parametrize(
    ("observed", "action"),
    [
        (Observed(now=NOW), CreateConnection),
        (replace(COMPLETE, connection=a_connection(configuration=None)), AuthorizeApps),
        (replace(COMPLETE, schema=None), RegisterSchema),
        (replace(COMPLETE, source=None), CreateSource),
        (replace(COMPLETE, settings=(a_setting(ENTRA),)), WritePriority),
        (replace(COMPLETE, now=NOW - timedelta(seconds=9.5)), Wait),
        (replace(COMPLETE, source=None, settings=(), schema=a_schema(ACCOUNT)), RegisterSchema),
        (replace(COMPLETE, source=None, settings=()), CreateSource),
    ],
)
def test_the_first_thing_missing_is_the_next_thing_done(observed, action):
    """The order is Microsoft's: connection, schema, source, priority, settle."""
    found = review(observed, WANTED)

    assert isinstance(found.action, action)


def test_apps_are_added_and_none_is_taken_away():
    """The union is sent, whatever Graph makes of it; case does not make an app another one."""
    connection = a_connection(configuration={"authorizedAppIds": [ADMIN.upper(), "other"]})

    found = review(replace(COMPLETE, connection=connection), WANTED)

    assert found.action == AuthorizeApps({"configuration": {"authorizedAppIds": [ADMIN.upper(), "other", INGEST]}})


@pytest.mark.parametrize("state", ["draft", "ready"])
@pytest.mark.parametrize(
    ("operation", "minutes", "state_found", "action"),
    [
        ({"status": "inprogress"}, 1, "in progress", Wait),
        ({"status": "inprogress"}, 40, "in progress", Wait),
        ({"status": "completed"}, 1, "in progress", Wait),
        ({"status": "completed"}, 6, "missing", RegisterSchema),
        (None, 1, "in progress", Wait),
        (None, 6, "missing", RegisterSchema),
        ({"status": "failed", "error": {"message": "no"}}, 1, "failed", RegisterSchema),
        ({"status": "failed"}, 1, "failed", RegisterSchema),
    ],
)
def test_a_registration_under_way(state, operation, minutes, state_found, action):
    """It is waited for while it runs or may run, and asked for again when it failed or got lost."""
    asked = (NOW - timedelta(minutes=minutes)).isoformat()
    observed = replace(
        COMPLETE,
        registration=replace(KNOWN, operation_at=asked),
        connection=a_connection(state=state),
        schema=None,
        operation=operation,
    )

    found = review(observed, WANTED)

    assert found.view.steps[1].state == state_found
    assert isinstance(found.action, action)
    assert found.view.state == "in progress"


def test_waiting_for_a_registration_grows_with_its_age():
    """The demo asks again after five seconds, an operator of a real tenant after thirty."""

    def wait(seconds: int) -> int:
        asked = (NOW - timedelta(seconds=seconds)).isoformat()
        registration = replace(KNOWN, operation_at=asked)
        observed = replace(COMPLETE, registration=registration, schema=None, operation={"status": "inprogress"})
        return review(observed, WANTED).view.retry_after

    assert [wait(seconds) for seconds in (0, 40, 600)] == [5, 10, 30]


@pytest.mark.parametrize(
    ("connection", "known", "says"),
    [
        (a_connection(contentCategory="wikis"), None, "Choose another CONNECTION_ID"),
        (a_connection(contentCategory="uncategorized"), KNOWN, "the tenant ignored what was asked for"),
        (a_connection(state="obsolete"), KNOWN, "obsolete"),
        (a_connection(), replace(KNOWN, contract="preview"), "contract 'preview'"),
    ],
)
def test_what_cannot_be_brought_to_what_is_wanted_is_refused(connection, known, says):
    """A refusal says why and what helps, and the view is marked as failed."""
    found = review(replace(COMPLETE, connection=connection, registration=known), WANTED)

    assert found.view.state == "failed"
    assert says in (found.refusal or "")
    assert found.action is None


def test_an_exhausted_quota_is_told_and_no_obstacle():
    """A connection at its limit still takes updates, so setup stays ready and says what Graph says."""
    found = review(replace(COMPLETE, connection=a_connection(state="limitExceeded")), WANTED)

    assert found.view.state == "ready"
    assert "quota" in found.view.steps[0].detail


# --- schema


@pytest.mark.parametrize(
    ("registered", "conflicts"),
    [
        ([ACCOUNT, COLOR], 0),
        ([ACCOUNT], 0),
        ([], 0),
        ([ACCOUNT | {"name": "ACCOUNT", "isQueryable": False, "aliases": [], "description": None}, COLOR], 0),
        ([ACCOUNT | {"labels": ["unknownFutureValue"]}, COLOR], 0),
        ([ACCOUNT | {"type": "stringCollection"}], 1),
        ([ACCOUNT | {"labels": []}], 1),
        ([ACCOUNT | {"labels": ["personName"]}], 1),
        ([COLOR | {"labels": ["personNote"]}], 1),
        ([ACCOUNT | {"name": "konto"}], 1),
    ],
)
def test_what_contradicts_a_schema(registered, conflicts):
    """Type, label and place of a label count; names without case; flags and descriptions do not."""
    assert len(list(schema_conflicts(WANTED.schema, registered))) == conflicts


def test_the_union_keeps_everything_registered():
    """A PATCH sends what is there and what is new, so that nothing can be taken for removed."""
    old = {"name": "old", "type": "string", "isQueryable": True, "aliases": [], "description": None, "@x": 1}

    union = schema_union(WANTED.schema, [old, ACCOUNT])

    assert union == a_schema({"name": "old", "type": "string", "isQueryable": True}, ACCOUNT, COLOR)


PROPERTIES = st.lists(
    st.builds(
        lambda name, kind: {"name": name, "type": kind},
        st.sampled_from(["a", "A", "b", "c", "d"]),
        st.sampled_from(["string", "stringCollection"]),
    ),
    min_size=1,
    unique_by=lambda entry: entry["name"].casefold(),
)


@given(PROPERTIES, PROPERTIES)
def test_after_the_union_is_registered_the_wanted_schema_is_contained(wanted, registered):
    """Unless the two contradict each other, registering the union ends the step."""
    body = a_schema(*wanted)

    union = schema_union(body, registered)["properties"]

    if not list(schema_conflicts(body, registered)):
        assert schema_contained(body, union)
        assert union[: len(registered)] == registered


# --- priority


@pytest.mark.parametrize(
    "ours",
    [
        url("contosohr"),
        url("contosohr", version="beta"),
        url("ContosoHR"),
        "https://graph.microsoft.us/v1.0/admin/people/profileSources(sourceId=%27contosohr%27)",
        "https://graph.microsoft.com/v1.0/admin/people/profileSources/contosohr",
        "https://graph.microsoft.com/v1.0/admin/people/profileSources('contosohr')",
    ],
)
def test_our_entry_is_known_in_every_spelling(ours):
    """The source id counts, not the URL around it."""
    assert place_of("contosohr", ["https://elsewhere.example.com/x", ENTRA, ours]) == 2


@pytest.mark.parametrize("other", [url("contosohr2"), url("xcontosohr"), "https://example.com/contosohr", "", ENTRA])
def test_another_entry_is_not_ours(other):
    """Nobody else's entry is taken for ours, however alike."""
    assert place_of("contosohr", [other]) is None
    assert without("contosohr", [other]) == [other]


ENTRIES = st.lists(st.sampled_from([ENTRA, url("a"), url("b", version="beta"), "odd entry"]), unique=True)


@given(ENTRIES)
def test_adding_ours_keeps_everyone_elses_place(entries):
    """Ours comes first, all others stay verbatim and in order."""
    found = review(replace(COMPLETE, settings=(a_setting(*entries),)), WANTED)

    assert found.action == WritePriority("s1", {"prioritizedSourceUrls": [url("contosohr"), *entries]})


@given(ENTRIES.flatmap(lambda entries: st.tuples(st.just(entries), st.integers(0, len(entries)))))
def test_moving_ours_up_keeps_everyone_elses_order(drawn):
    """Moving happens on request only; the others keep their order, and ours its own spelling."""
    entries, place = drawn
    ours = url("contosohr", version="beta")
    observed = replace(COMPLETE, settings=(a_setting(*entries[:place], ours, *entries[place:]),))

    left_alone = review(observed, WANTED)
    moved = review(observed, replace(WANTED, priority_first=True))

    assert (left_alone.view.state, left_alone.action) == ("ready", None)
    expected = None if place == 0 else WritePriority("s1", {"prioritizedSourceUrls": [ours, *entries]})
    assert moved.action == expected


def test_the_global_setting_is_the_nameless_one():
    """Settings of single properties are none of our business."""
    named, nameless = a_setting(ENTRA, name="jobTitle"), a_setting(ENTRA)

    assert global_setting((named, nameless)) == nameless
    assert global_setting((named,)) is None


# --- what is remembered


def test_a_connection_is_remembered_step_by_step():
    """Ready when the schema is there, registered and settling when source and priority are."""
    fresh = replace(COMPLETE, registration=None)

    def known(observed: Observed) -> Registration:
        found = remember(observed, WANTED, incarnation="new")
        assert found is not None
        return found

    draft = known(replace(fresh, connection=a_connection(state="draft"), schema=None, source=None, settings=()))
    unregistered = known(replace(fresh, source=None))
    registered = known(fresh)

    assert (draft.incarnation, draft.ready_since, draft.registered_at) == ("new", None, None)
    assert (unregistered.ready_since, unregistered.registered_at) == (NOW.isoformat(), None)
    assert registered.settled == (NOW + timedelta(seconds=60)).isoformat()
    assert registered.schema == (ACCOUNT, COLOR)


def test_what_is_remembered_does_not_change_by_looking_again():
    """Later looks keep the times and the incarnation."""
    first = remember(replace(COMPLETE, registration=None), WANTED, incarnation="new")

    later = replace(COMPLETE, registration=first, now=NOW + timedelta(days=1))

    assert remember(later, WANTED, incarnation="another") == first


@pytest.mark.parametrize(
    ("known", "connection", "incarnation"),
    [
        (KNOWN, a_connection(), "first"),
        (KNOWN, a_connection(state="draft"), "first"),
        (None, a_connection(), "new"),
        (replace(KNOWN, ready_since=NOW.isoformat()), a_connection(state="draft"), "new"),
        (replace(KNOWN, tenant_id="fabrikam"), a_connection(), "new"),
        (KNOWN, None, "first"),
    ],
)
def test_when_an_incarnation_begins(known, connection, incarnation):
    """An adopted connection, one that lost its items, and one of another tenant are new ones."""
    found = remember(replace(COMPLETE, registration=known, connection=connection), WANTED, incarnation="new")

    assert found is not None
    assert found.incarnation == incarnation


def test_a_foreign_connection_is_not_remembered():
    """What is not of people is never adopted."""
    observed = replace(COMPLETE, registration=None, connection=a_connection(contentCategory="wikis"))

    assert remember(observed, WANTED, incarnation="new") is None


def test_the_registration_survives_its_own_json():
    """What is written is what is read; members of other releases are ignored."""
    registration = replace(KNOWN, schema=(ACCOUNT,), done=("connection",), operation="o1", leaving=True)
    data = registration.to_json()

    assert Registration.from_json(data) == registration
    assert Registration.from_json(data.replace(b'"leaving"', b'"later": 1, "leaving"')) == registration


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"ready_since": None}, False),
        ({"settled": None}, False),
        ({"settled": (NOW + timedelta(seconds=1)).isoformat()}, False),
        ({"leaving": True}, False),
    ],
)
def test_when_items_may_be_sent(changes, expected):
    """Only into a connection that is ready, has settled and is not being torn down."""
    assert COMPLETE.registration is not None
    assert replace(COMPLETE.registration, **changes).ready(NOW) is expected


# --- teardown


def test_removals_in_the_documented_order():
    """Every list that names us, then the source, then the connection; Entra alone stays as a list."""
    settings = (a_setting(url("contosohr", version="beta")), a_setting(url("a"), url("contosohr"), name="jobTitle"))

    found = removals(replace(COMPLETE, settings=settings), WANTED)

    assert found == (
        RemovePriority("s1", {"prioritizedSourceUrls": [ENTRA]}),
        RemovePriority("jobTitle", {"prioritizedSourceUrls": [url("a")]}),
        DeleteSource(),
        DeleteConnection(),
    )


def test_a_teardown_shows_what_is_left():
    """Each part is there or removed, and all of them removed is the end."""
    halfway = teardown_view(replace(COMPLETE, settings=(a_setting(ENTRA),), source=None), WANTED)
    done = teardown_view(Observed(now=NOW, settings=(a_setting(ENTRA),)), WANTED)

    assert [(step.name, step.detail) for step in halfway.steps] == [
        ("priority", "removed"),
        ("profile-source", "removed"),
        ("connection", "to be removed"),
    ]
    assert (halfway.state, done.state) == ("in progress", "absent")


# --- laws


CONNECTIONS = st.one_of(
    st.none(),
    st.builds(
        a_connection,
        state=st.sampled_from(["draft", "ready", "obsolete", "limitExceeded"]),
        contentCategory=st.sampled_from(["people", "wikis", None]),
        configuration=st.sampled_from([None, {}, {"authorizedAppIds": [ADMIN]}, {"authorizedAppIds": [INGEST, ADMIN]}]),
    ),
)
REGISTRATIONS = st.one_of(
    st.none(),
    st.builds(
        replace,
        st.just(KNOWN),
        contract=st.sampled_from(["labels", "preview"]),
        operation_at=st.sampled_from([None, NOW.isoformat(), (NOW - timedelta(hours=1)).isoformat()]),
        ready_since=st.sampled_from([None, NOW.isoformat()]),
        settled=st.sampled_from([None, NOW.isoformat(), (NOW + timedelta(minutes=1)).isoformat()]),
        leaving=st.booleans(),
    ),
)
OBSERVED = st.builds(
    Observed,
    now=st.just(NOW),
    registration=REGISTRATIONS,
    connection=CONNECTIONS,
    schema=st.sampled_from(
        [None, a_schema(), a_schema(ACCOUNT), a_schema(COLOR, ACCOUNT), a_schema(ACCOUNT | {"type": "x"})]
    ),
    operation=st.sampled_from([None, {}, {"status": "inprogress"}, {"status": "failed"}, {"status": "completed"}]),
    source=st.sampled_from([None, {}, A_SOURCE]),
    settings=st.lists(st.builds(a_setting, st.sampled_from([ENTRA, url("contosohr")])), max_size=1).map(tuple),
)


@given(OBSERVED)
def test_a_call_always_has_something_to_do_or_to_say(observed):
    """After what a call remembers, a review is ready, has an action, or refuses with a reason; never two of them."""
    known = remember(observed, WANTED, incarnation="new")

    found: Review = review(replace(observed, registration=known), WANTED)

    assert [found.view.state == "ready", found.action is not None, found.refusal is not None].count(True) == 1 or (
        known is not None and known.leaving and found.view.state == "in progress"
    )
    assert len(found.view.steps) == 5
    assert all(step.detail for step in found.view.steps)
