"""Items: put, replaced, read, refused, deleted, and never listed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.beliefs import belief, ours, sources
from tests.live.site import EVERYONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.live.site import Site


ITEM_IDS = ("u1", "u2", "u3", "u4", "u5", "u6", "u-1", "u_1", "x" * 128)


@pytest.fixture(scope="module", autouse=True)
def no_items_left(site: Site, ready: str) -> Iterator[None]:
    """Delete whatever these tests have put, so that nothing of it is in the connection when it becomes a source."""
    yield
    for item_id in ITEM_IDS:
        site.ingest.send("DELETE", f"{ready}/items/{item_id}")


@pytest.fixture
def an_item(site: Site):
    """Return a function that makes an item of the test user; __ in a name stands for @odata."""

    def an_item(**properties: Any) -> dict[str, Any]:
        account = json.dumps({"userPrincipalName": site.user})
        named = {name.replace("__", "@odata."): value for name, value in properties.items()}
        return {"acl": [EVERYONE], "properties": {"account": account, **named}}

    return an_item


@belief(
    "`PUT` of an item creates or updates it, and answers 200 either way.",
    area="items",
    mark="certain",
    source=(sources.PUT_ITEM, sources.UPDATE_ITEM),
    ours=(ours.IDEMPOTENT, ours.WHOLE_ITEM),
)
@belief(
    "An item of people needs no `content`.",
    area="items",
    mark="likely",
    source=(sources.PUT_ITEM, sources.FIELD_GENERATOR),
    ours=ours.WHOLE_ITEM,
)
@belief(
    "An item reads back as it was put.",
    area="items",
    mark="certain",
    source=sources.GET_ITEM,
    ours=ours.HEALTH,
)
@belief(
    "`DELETE` of an item answers 204; a second time, 404.",
    area="items",
    mark="likely",
    source=(sources.DELETE_ITEM, sources.FIELD_PROFILE_CARD),
    ours=(ours.DELETED, ours.IDEMPOTENT),
)
def test_an_item_is_put_read_back_and_deleted(site: Site, ready: str, an_item):
    """Created, updated, read, deleted; a second deletion finds nothing."""
    path = f"{ready}/items/u1"

    created = site.ingest.send("PUT", path, {"id": "u1", **an_item(favoriteColor="red")})
    updated = site.ingest.send("PUT", path, an_item(favoriteColor="blue"))
    read = site.until(
        lambda: site.ingest.send("GET", path),
        lambda answer: answer.is_success and answer.json()["properties"].get("favoriteColor") == "blue",
    )
    deleted = site.ingest.send("DELETE", path)
    again = site.until(lambda: site.ingest.send("DELETE", path), lambda answer: answer.status_code == 404)

    assert [answer.status_code for answer in (created, updated, deleted, again)] == [200, 200, 204, 404]
    assert read.json()["properties"].items() >= an_item(favoriteColor="blue")["properties"].items()


@belief(
    "A `PUT` replaces all properties: what is not sent again disappears.",
    area="items",
    mark="certain",
    source=sources.UPDATE_ITEM,
    ours=ours.WHOLE_ITEM,
)
def test_a_put_replaces_all_properties(site: Site, ready: str, an_item):
    """The whole bag."""
    path = f"{ready}/items/u2"
    site.ingest.send("PUT", path, an_item(favoriteColor="red"))

    site.ingest.send("PUT", path, an_item(skills=['{"displayName":"Go"}'], skills__type="Collection(String)"))

    read = site.until(
        lambda: site.ingest.send("GET", path).json()["properties"], lambda found: "favoriteColor" not in found
    )
    assert "favoriteColor" not in read
    assert read["skills"] == ['{"displayName":"Go"}']


@belief(
    "Collections carry the specifier `Collection(String)`, text beyond ASCII the specifier `String`; plain text may.",
    area="items",
    mark="certain",
    source=sources.PUT_ITEM,
    ours=ours.SPECIFIERS,
)
@pytest.mark.parametrize(
    "properties",
    [
        {"skills": ['{"displayName":"Go"}', '{"displayName":"Blåbær"}'], "skills__type": "Collection(String)"},
        {"favoriteColor": "Grønn", "favoriteColor__type": "String"},
        {"favoriteColor": "plain", "favoriteColor__type": "String"},
    ],
    ids=["collection", "beyond ASCII", "plain"],
)
def test_values_with_their_specifiers_are_accepted(site: Site, ready: str, an_item, properties):
    """And stored."""
    answer = site.ingest.send("PUT", f"{ready}/items/u3", an_item(**properties))

    assert answer.status_code == 200


@belief(
    "A property that the schema does not have, or a value of another type, is a 400; nothing is stored.",
    area="items",
    mark="likely",
    source=(sources.PUT_ITEM, sources.FIELD_PROVISIONING),
    ours=(ours.CHECKED_VALUES, ours.NOT_READY, ours.FAILED_ITEMS),
)
@pytest.mark.parametrize(
    "properties",
    [
        {"unknown": "x"},
        {"favoriteColor": 1},
        {"skills": "x", "skills__type": "Collection(String)"},
        {"skills": [1], "skills__type": "Collection(String)"},
    ],
    ids=str,
)
def test_values_that_do_not_fit_the_schema_are_refused(site: Site, ready: str, an_item, properties):
    """The item is not stored."""
    answer = site.ingest.send("PUT", f"{ready}/items/u4", an_item(**properties))

    assert answer.status_code == 400
    assert site.ingest.send("GET", f"{ready}/items/u4").status_code == 404


@belief(
    "Is a value without the specifier that it should carry refused?",
    area="items",
    mark="unknown",
    source=sources.PUT_ITEM,
    ours=ours.SPECIFIERS,
    either="We always send it where the page asks for it: with collections, and with text beyond ASCII.",
    proof=(
        "tests/core/test_labels.py::test_several_entities_are_strings_in_a_collection",
        "tests/core/test_labels.py::test_text_beyond_ascii_has_its_type_specifier",
    ),
)
@pytest.mark.parametrize(
    "properties", [{"favoriteColor": "Grønn"}, {"skills": ['{"displayName":"Go"}']}], ids=["String", "Collection"]
)
def test_what_a_missing_specifier_meets(site: Site, ready: str, an_item, properties):
    """Refused, or taken as it is; never another value."""
    path = f"{ready}/items/u5"

    answer = site.ingest.send("PUT", path, an_item(**properties))

    site.note(f"{', '.join(properties)} without its specifier is answered {answer.status_code}")
    read = site.ingest.send("GET", path)
    taken = read.is_success and properties.items() <= read.json()["properties"].items()
    assert answer.status_code == (200 if taken else 400)
    site.ingest.send("DELETE", path)


@belief(
    "An item has an `acl` and at least one property; the body's id is that of the address.",
    area="items",
    mark="certain",
    source=sources.PUT_ITEM,
    ours=(ours.WHOLE_ITEM, ours.EVERYONE),
)
@pytest.mark.parametrize(
    "change", [{"acl": None}, {"properties": {}}, {"properties": None}, {"id": "another"}], ids=str
)
def test_a_body_that_breaks_a_rule_is_refused(site: Site, ready: str, an_item, change):
    """Nothing is left out."""
    answer = site.ingest.send("PUT", f"{ready}/items/u6", an_item() | change)

    assert answer.status_code == 400


@belief(
    "A body that is no JSON object, or does not say that it is JSON, is a 4xx.",
    area="items",
    mark="likely",
    source=(sources.PUT_ITEM, sources.ERRORS),
    ours=ours.WHOLE_ITEM,
)
@pytest.mark.parametrize(
    ("content", "kind"), [(b"{", "application/json"), (b"[]", "application/json"), (b"{}", "text/plain")]
)
def test_a_body_that_cannot_be_read_is_refused(site: Site, ready: str, content, kind):
    """Also when it says that it is JSON."""
    answer = site.ingest.send("PUT", f"{ready}/items/u6", content, headers={"content-type": kind})

    assert 400 <= answer.status_code < 500


@belief(
    "An item's id is letters and digits, at most 128.",
    area="items",
    mark="certain",
    source=sources.ITEM,
    ours=ours.ITEM_ID,
)
def test_an_id_of_128_letters_and_digits_is_accepted(site: Site, ready: str, an_item):
    """The longest there is; one more is refused."""
    longest = site.ingest.send("PUT", f"{ready}/items/{'x' * 128}", an_item())
    longer = site.ingest.send("PUT", f"{ready}/items/{'x' * 129}", an_item())

    assert (longest.status_code, longer.status_code) == (200, 400)


@belief(
    "Are ids with `-` and `_` accepted, against the documented rule?",
    area="items",
    mark="unknown",
    source=(sources.ITEM, sources.FIELD_SAMPLE, sources.FIELD_PROVISIONING),
    ours=ours.ITEM_ID,
    either="Ours are a `u` and hexadecimal digits. The tutorial's contract needs `_`, as its page has it: a tenant "
    "that refuses it fails every item, and the run stops after 20 alike with Graph's status.",
    proof=(
        "tests/core/test_labels.py::test_item_ids_are_alphanumeric_and_tell_people_apart",
        "tests/flows/test_faults.py::test_twenty_alike_in_a_row_stop_the_run",
    ),
)
@pytest.mark.parametrize("item_id", ["u-1", "u_1"])
def test_what_ids_with_other_characters_meet(site: Site, ready: str, an_item, item_id):
    """Refused, or an item like any other."""
    path = f"{ready}/items/{item_id}"

    put = site.ingest.send("PUT", path, an_item())

    site.note(f"the item id {item_id} is answered {put.status_code}")
    read = site.until(lambda: site.ingest.send("GET", path), lambda answer: answer.is_success == put.is_success)
    assert put.status_code in {200, 400}
    assert read.is_success == put.is_success
    site.ingest.send("DELETE", path)


@belief(
    "Items cannot be listed: there is no such operation.",
    area="items",
    mark="certain",
    source=sources.ITEM,
    ours=ours.LEDGER,
)
def test_items_cannot_be_listed(site: Site, ready: str):
    """Whoever forgets an id cannot find it again."""
    answer = site.ingest.send("GET", f"{ready}/items")

    assert 400 <= answer.status_code < 500


@belief(
    "Items are taken only by a connection that is `ready`.",
    area="items",
    mark="certain",
    source=sources.MANAGE_CONNECTIONS,
    ours=(ours.NOT_READY, ours.STEPS),
)
def test_a_connection_without_schema_takes_no_items(site: Site, an_item):
    """Items before that are refused."""
    assert site.create(site.connection("e")).status_code == 201
    site.until(lambda: site.admin.send("GET", site.path("e")), lambda answer: answer.is_success)

    answer = site.ingest.send("PUT", site.path("e", "/items/u1"), an_item())

    assert 400 <= answer.status_code < 500


@belief(
    "An item of a connection that is not there is a 404.",
    area="items",
    mark="likely",
    source=sources.GET_ITEM,
    ours=(ours.DELETED, ours.GONE),
)
def test_an_item_of_no_connection_is_404(site: Site):
    """Before setup there is nothing to be authorised for."""
    answer = site.ingest.send("GET", site.path("none", "/items/u1"))

    assert answer.status_code == 404


@belief(
    "A method that an address does not have is a 4xx.",
    area="throttling and errors",
    mark="certain",
    source=sources.ERRORS,
    ours=ours.FAILED_ITEMS,
)
def test_an_unknown_address_is_refused(site: Site, created: httpx.Response):
    """Nothing is ignored."""
    answer = site.admin.send("POST", site.path(rest="/nothing"), {})

    assert 400 <= answer.status_code < 500
