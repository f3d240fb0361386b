"""Both doors, under both contracts: what the tests of either share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.host.world import FunctionApp
from tests.tenant import TESTED_CONTRACTS
from tests.tenant.contoso import company, contoso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.contoso import Contoso


@pytest.fixture(scope="module", params=TESTED_CONTRACTS)
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
