"""Whatever a world is about holds under both contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows import world
from tests.tenant import TESTED_CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let every test of a module that makes worlds run once under each contract that this test run is about."""
    if any(value is world.World or value is world.a_world for value in vars(metafunc.module).values()):
        metafunc.parametrize("contract", TESTED_CONTRACTS, indirect=True)


@pytest.fixture(autouse=True)
def contract(request: pytest.FixtureRequest) -> Iterator[str]:
    """Begin worlds under this contract."""
    world.CONTRACT = getattr(request, "param", "labels")
    yield world.CONTRACT
    world.CONTRACT = "labels"
