"""Users, as far as people are looked up, and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.beliefs import belief, ours, sources

if TYPE_CHECKING:
    from tests.live.site import Site

SELECT = "$select=id,userPrincipalName,mail,accountEnabled,userType"


def _quoted(upn: str) -> str:
    return "'" + upn.replace("'", "''") + "'"


def _get(condition: str, *, select: str = "$select=id,userPrincipalName") -> str:
    return f"/users?{select}&$filter=" + quote(condition, safe="'(),@")


@belief(
    "`GET /users` takes `$filter` with `in` or with `eq` joined by `or`, compares without case, reads a doubled quote "
    "as one, and leaves out whom it does not know.",
    area="users and $batch",
    mark="likely",
    source=(sources.LIST_USERS, sources.QUERIES),
    ours=(ours.LOOKED_UP, ours.FOLDED),
)
@pytest.mark.parametrize("form", ["in", "eq"])
def test_users_are_found_by_filter_in_any_case(site: Site, form):
    """`in` and chained `eq`; a quote is doubled; who is not there is not answered."""
    names = [site.user.upper(), f"nobody.{site.name}@{site.user.partition('@')[2]}"]
    chained = " or ".join(f"userPrincipalName eq {_quoted(name)}" for name in names)
    condition = f"userPrincipalName in ({','.join(map(_quoted, names))})" if form == "in" else chained

    answer = site.ingest.send("GET", _get(condition))

    found = [user["userPrincipalName"].casefold() for user in answer.json()["value"]]
    assert found == [site.user.casefold()]


@belief(
    "`id`, `mail` and `employeeId` take `in` as well as UPNs do; a filter for an id that is no GUID is a 400.",
    area="users and $batch",
    mark="likely",
    source=(sources.USER, sources.QUERIES),
    ours=ours.LOOKED_UP,
)
def test_users_are_found_by_id_mail_and_employee_id(site: Site):
    """By their own values; what nobody has is not answered, and what cannot be an id is refused."""
    user = site.ingest.send("GET", f"/users/{quote(site.user)}?$select=id,mail").json()
    mail = user["mail"] or f"nobody.{site.name}@example.com"

    by_id = site.ingest.send("GET", _get(f"id in ({_quoted(user['id'].upper())})"))
    by_mail = site.ingest.send("GET", _get(f"mail in ({_quoted(mail.upper())})"))
    by_employee_id = site.ingest.send("GET", _get(f"employeeId in ({_quoted(site.name[:16])})"))
    malformed = site.ingest.send("GET", _get("id in ('4711')"))

    assert [found["id"] for found in by_id.json()["value"]] == [user["id"]]
    assert (user["id"] in [found["id"] for found in by_mail.json()["value"]]) is bool(user["mail"])
    assert by_employee_id.json()["value"] == []
    assert malformed.status_code == 400


@belief(
    "A filter holds at most 15 comparisons; more are a 400 `Request_UnsupportedQuery`.",
    area="users and $batch",
    mark="likely",
    source=sources.QUERIES,
    ours=ours.LOOKED_UP,
)
def test_a_filter_of_15_names_is_read_and_one_of_16_may_not_be(site: Site):
    """Chunks of 15 are safe."""
    names = [f"'p{i}.{site.name}@{site.user.partition('@')[2]}'" for i in range(16)]

    fifteen = site.ingest.send("GET", _get(f"userPrincipalName in ({','.join(names[:15])})"))
    sixteen = site.ingest.send("GET", _get(f"userPrincipalName in ({','.join(names)})"))

    site.note(f"a filter of 16 names is answered {sixteen.status_code}")
    assert fifteen.json()["value"] == []
    assert sixteen.status_code == 400


@belief(
    "`$select` brings id, UPN, mail, accountEnabled and userType of a user; the id stays when the UPN changes.",
    area="users and $batch",
    mark="certain",
    source=(sources.LIST_USERS, sources.GET_USER),
    ours=(ours.LOOKED_UP, ours.MATCHED, ours.MAIL_WARNING),
)
@belief(
    "One user is found by id and by UPN; one that is not there is a 404 `Request_ResourceNotFound`.",
    area="users and $batch",
    mark="certain",
    source=sources.GET_USER,
    ours=ours.NOTHING,
)
def test_one_user_is_found_by_id_and_by_name(site: Site):
    """The same user, with what a profile needs to know."""
    by_name = site.ingest.send("GET", f"/users/{quote(site.user)}?{SELECT}")
    by_id = site.ingest.send("GET", f"/users/{by_name.json()['id']}?{SELECT}")
    unknown = site.ingest.send("GET", f"/users/nobody.{site.name}@{site.user.partition('@')[2]}")

    known = {name: value for name, value in by_id.json().items() if not name.startswith("@")}
    assert known.items() <= by_name.json().items()
    assert set(known) == {"id", "userPrincipalName", "mail", "accountEnabled", "userType"}
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "Request_ResourceNotFound")


@belief(
    "Lists come in pages: `@odata.nextLink` is the whole address of the next one, and keeps the query.",
    area="users and $batch",
    mark="certain",
    source=(sources.PAGING, sources.LIST_USERS),
    ours=ours.PAGES,
)
def test_users_come_in_pages(site: Site):
    """As many to a page as asked for."""
    first = site.ingest.send("GET", "/users?$select=id&$top=1").json()
    second = site.ingest.send("GET", first["@odata.nextLink"]).json()

    assert (len(first["value"]), len(second["value"])) == (1, 1)
    assert first["value"] != second["value"]
    assert {name for name in second["value"][0] if not name.startswith("@")} == {"id"}


@belief(
    "Pages have 1 to 999 users; another `$top`, an unknown property or an unreadable filter is a 400.",
    area="users and $batch",
    mark="likely",
    source=sources.LIST_USERS,
    ours=ours.LOOKED_UP,
)
@pytest.mark.parametrize("query", ["$top=0", "$top=1000", "$select=id,shoeSize", "$filter=userPrincipalName"])
def test_a_query_that_graph_cannot_read_is_400(site: Site, query):
    """Nothing is ignored."""
    answer = site.ingest.send("GET", f"/users?{query}")

    assert answer.status_code == 400


def a_part(number: int, url: str, **changes: Any) -> dict[str, Any]:
    """Return a part of a batch that reads."""
    part = {"id": str(number), "method": "GET", "url": url, **changes}
    return {name: value for name, value in part.items() if value is not None}


@belief(
    "A batch takes up to 20 requests with relative addresses and answers 200 whatever becomes of them; each part has "
    "its own status, headers and body, found by its id.",
    area="users and $batch",
    mark="certain",
    source=sources.BATCH,
    ours=(ours.LOOKED_UP, ours.PARTS),
)
def test_a_batch_answers_each_part_for_itself(site: Site):
    """One found, one refused, one not there."""
    parts = [
        a_part(1, _get(f"userPrincipalName in ({_quoted(site.user)})")),
        a_part(2, "/users?$top=1000"),
        a_part(3, f"/users/nobody.{site.name}@{site.user.partition('@')[2]}"),
    ]

    answer = site.ingest.send("POST", "/$batch", {"requests": parts})

    by_id = {part["id"]: part for part in answer.json()["responses"]}
    assert answer.status_code == 200
    assert {part_id: part["status"] for part_id, part in by_id.items()} == {"1": 200, "2": 400, "3": 404}
    assert by_id["1"]["body"]["value"][0]["userPrincipalName"].casefold() == site.user.casefold()


@belief(
    "A batch of more than 20 parts, with an id twice, without ids or methods, or with absolute addresses is refused "
    "as a whole.",
    area="users and $batch",
    mark="certain",
    source=sources.BATCH,
    ours=ours.LOOKED_UP,
)
@pytest.mark.parametrize(
    "parts",
    [
        [a_part(number, "/users?$top=1&$select=id") for number in range(21)],
        [a_part(1, "/users?$top=1&$select=id"), a_part(1, "/users?$top=1&$select=id")],
        [a_part(1, "/users?$top=1&$select=id", id=None)],
    ],
    ids=["21 parts", "an id twice", "no id"],
)
def test_a_malformed_batch_is_refused_as_a_whole(site: Site, parts):
    """At most 20 parts, unique ids."""
    answer = site.ingest.send("POST", "/$batch", {"requests": parts})

    assert answer.status_code == 400


@belief(
    "An unencoded `#` ends the address of a part; encoded, it is part of a guest's UPN.",
    area="users and $batch",
    mark="likely",
    source=sources.URLS,
    ours=ours.LOOKED_UP,
)
def test_an_unencoded_hash_ends_the_address_of_a_part(site: Site):
    """Guests' UPNs hold `#`: left as it is, the rest of the filter is lost."""
    condition = f"userPrincipalName in ('{site.name}_x.com#EXT#@contoso.com')"
    plain, encoded = f"/users?$select=id&$filter={condition}", _get(condition)

    answer = site.ingest.send("POST", "/$batch", {"requests": [a_part(1, plain), a_part(2, encoded)]})

    assert {part["id"]: part["status"] for part in answer.json()["responses"]} == {"1": 400, "2": 200}
