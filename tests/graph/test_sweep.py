"""Many unknown people: all users of the tenant are read where that is cheaper, with what asking by name finds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from connector.errors import GraphDenied, GraphUnavailable
from connector.graph.pace import OUT_OF_TIME
from connector.graph.sweep import is_cheaper
from connector.graph.users import Users
from tests.graph.opening import graph_at
from tests.tenant import INGEST_CLIENT_ID, Tenant
from tests.tenant.graph.faults import Dropped, Failed, Refused, Relinked, ShortPage, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from connector.core.accounts import Found
    from tests.tenant.graph.seen import Seen

NEVER = 10**9


def a_tenant(users: int) -> tuple[Tenant, list[str]]:
    """Return a tenant of so many users, and their UPNs."""
    tenant = Tenant()
    upns = [f"person{number:04}@contoso.com" for number in range(users)]
    for upn in upns:
        tenant.graph.add_user(upn)
    return tenant, upns


async def find(tenant: Tenant, asks: list[str], *, swept_above: int = 0) -> Found:
    """Return who answers the asks; of how many a sweep is thought of."""
    async with graph_at(tenant) as graph:
        return await Users(graph, swept_above=swept_above).find(asks)


def requests(tenant: Tenant) -> list[str]:
    """Return what was requested: counts, pages, batches."""
    kinds = {"/users/$count": "count", "/users": "page", "/$batch": "batch"}
    return [kinds[seen.path.partition("?")[0]] for seen in tenant.graph.requests]


def is_page(seen: Seen) -> bool:
    """Tell whether a request is for a page of users."""
    return seen.path.startswith("/users?")


def of_page(number: int) -> Callable[[Seen], bool]:
    """Return what recognises the request for a page of a sweep, counted from 0."""
    return lambda seen: (
        is_page(seen) and (f"skiptoken={999 * number}" in seen.path if number else "skip" not in seen.path)
    )


async def test_many_unknown_people_of_a_small_tenant_are_found_by_reading_all_of_it():
    """Seven requests instead of seventeen; the people of the export who have no account are asked for by name."""
    tenant, upns = a_tenant(5_500)

    async with graph_at(tenant) as graph:
        found = await Users(graph).find([*upns[:5_000], "nobody@contoso.com"])

    assert set(found.accounts) == set(upns[:5_000])
    assert requests(tenant) == ["count", *["page"] * 6, "batch"]
    assert len(tenant.graph.parts) == 1


async def test_up_to_5000_people_are_asked_for_by_name():
    """Nobody asks how many users there are."""
    tenant, upns = a_tenant(5_000)

    async with graph_at(tenant) as graph:
        await Users(graph).find(upns)

    assert set(requests(tenant)) == {"batch"}


async def test_some_people_of_a_large_tenant_are_asked_for_by_name():
    """Reading everybody would take more requests."""
    tenant, upns = a_tenant(2_500)

    found = await find(tenant, upns[:700])

    assert len(found.accounts) == 700
    assert requests(tenant) == ["count", *["batch"] * 3]


@pytest.mark.parametrize(
    ("asks", "users", "cheaper"),
    [(10_000, 32_967, True), (10_000, 32_968, False), (100_000, 331_668, True), (100_000, 332_668, False)],
)
def test_a_sweep_wins_up_to_so_many_users(asks, users, cheaper):
    """About 3.3 times as many users as there are people to resolve."""
    assert is_cheaper(asks=asks, users=users, asks_per_request=300) is cheaper


@pytest.mark.parametrize("seed", range(8))
async def test_a_sweep_finds_what_filters_find(seed):
    """By every attribute, in any spelling; guests, disabled and ambiguous ones, and what nobody has."""
    dice = random.Random(seed)  # noqa: S311
    tenant = Tenant()
    for number in range(1_100):
        tenant.graph.add_user(
            f"{dice.choice(['P', 'p'])}{number}.ß@Contoso.com",
            mail=dice.choice(
                [None, f"m{dice.randrange(900)}@contoso.com", "", f"P{dice.randrange(1_100)}.ß@contoso.com"]
            ),
            employeeId=dice.choice([None, f"e{dice.randrange(900)}", f"E-{number}", " e1"]),
            enabled=dice.random() < 0.9,
            guest=dice.random() < 0.1,
        )
    ids = list(tenant.graph.users)
    kinds: list[Callable[[int], str]] = [
        lambda number: f"p{number}.ß@contoso.com",
        lambda number: f"P{number}.SS@contoso.com",
        lambda number: f"mail:M{number}@contoso.com",
        lambda number: f"mail:p{number}.ß@contoso.com",
        lambda number: f"employeeId:e{number}",
        lambda number: f"employeeid: E-{number}",
        lambda number: f"id:{ids[number % len(ids)].upper()}",
        lambda number: f"id:{number}",
    ]
    asks = [dice.choice(kinds)(dice.randrange(1_300)) for _ in range(1_500)]

    by_name = await find(tenant, asks, swept_above=NEVER)
    filters = len(tenant.graph.parts)
    swept = await find(tenant, asks)

    assert swept == by_name
    assert swept.ambiguous
    assert requests(tenant).count("page") == 2
    assert len(tenant.graph.parts) - filters < filters


@pytest.mark.parametrize("fault", [Throttled(10), Failed(503), Dropped()])
async def test_a_page_that_fails_once_is_read_again(fault):
    """The sweep goes on where it was."""
    tenant, upns = a_tenant(1_100)
    tenant.graph.fault_when(of_page(1), fault)

    found = await find(tenant, upns)

    assert set(found.accounts) == set(upns)
    assert requests(tenant) == ["count", "page", "page", "page"]


@pytest.mark.parametrize(
    ("matches", "fault"),
    [
        (of_page(0), Refused(400)),
        (of_page(1), Refused(410)),
        (of_page(1), Failed(503)),
        (of_page(0), Relinked(None)),
        (is_page, Relinked("https://graph.microsoft.com/beta/users?$select=id,userPrincipalName,mail&$top=999")),
        (is_page, ShortPage()),
        (lambda seen: seen.path == "/users/$count", Refused(400)),
    ],
    ids=["refused", "expired", "unavailable", "cut off", "in a circle", "without end", "not counted"],
)
async def test_a_sweep_that_does_not_come_to_its_end_is_none(matches, fault):
    """Everybody is asked for by name then: half a list tells neither who is missing nor who is there twice."""
    tenant, upns = a_tenant(1_100)
    for name in ("first", "last"):
        tenant.graph.add_user(f"{name}@contoso.com", mail="shared@contoso.com")
    asks = [*upns[: len(upns) - 1], "mail:shared@contoso.com"]
    tenant.graph.fault_when(matches, fault, times=None)

    found = await find(tenant, asks)

    assert set(found.accounts) == set(upns[:-1])
    assert found.ambiguous == {"mail:shared@contoso.com"}
    assert len(tenant.graph.parts) >= 74


async def test_a_sweep_does_not_outlast_the_invocation():
    """A wait that is longer than there is time ends the look-up, by name as well."""
    tenant, upns = a_tenant(1_100)
    tenant.graph.fault_when(of_page(1), Throttled(600), times=None)
    async with graph_at(tenant) as graph:
        graph.pace.give_up_at = tenant.clock.monotonic() + 300

        with pytest.raises(GraphUnavailable) as gave_up:
            await Users(graph, swept_above=0).find(upns)

    assert gave_up.value.code == OUT_OF_TIME
    assert "batch" not in requests(tenant)


async def test_a_sweep_needs_the_role_that_filters_need():
    """It is named, whichever request is refused."""
    tenant, upns = a_tenant(1_100)
    tenant.entra.withdraw(INGEST_CLIENT_ID, "User.Read.All")

    with pytest.raises(GraphDenied, match=r"ingest identity to look up users.*User\.Read\.All"):
        await find(tenant, upns)


async def test_a_sweep_reads_no_more_of_a_user_than_filters_do():
    """The five attributes, and one that was asked by; and Graph serves people before us."""
    tenant, upns = a_tenant(1_100)

    await find(tenant, [*upns, "employeeId:1"])

    pages = [seen.path for seen in tenant.graph.requests if is_page(seen)]
    five = "id,userPrincipalName,mail,accountEnabled,userType"
    assert [page.partition("$select=")[2].partition("&")[0] for page in pages] == [f"{five},employeeId"] * 2
