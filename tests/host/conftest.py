"""Both doors, under both contracts: what the tests of either share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.world import FunctionApp
from tests.tenant import tested_contracts
from tests.tenant.contoso import company, contoso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.contoso import Contoso


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let every test that asks for the world run once under each contract that it is about, and this test run."""
    if "world" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("contracts")
        contracts = tested_contracts(*(marker.args if marker else ()))
        metafunc.parametrize("world", contracts, indirect=True, scope="module")


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[Contoso]:
    """Return Contoso, whose schemas are registered at once and registrations settle at once, under either contract."""
    cast = company(request.param)
    with contoso(cast=cast, schema_seconds=0, settle_seconds=0, same_process=False) as world:
        yield world


@pytest.fixture(scope="module")
def app(world: Contoso, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionApp]:
    """Return the function app, in a process of its own."""
    with FunctionApp(world.settings, tmp_path_factory.mktemp("app") / "log") as app:
        yield app
