"""Whatever a world is about holds under both contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.flows import world
from tests.tenant import tested_contracts

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let every test of a module that makes worlds run once under each contract that it is about, and this test run."""
    if any(value is world.World or value is world.a_world for value in vars(metafunc.module).values()):
        marker = metafunc.definition.get_closest_marker("contracts")
        metafunc.parametrize("contract", tested_contracts(*(marker.args if marker else ())), indirect=True)


@pytest.fixture(autouse=True)
def contract(request: pytest.FixtureRequest) -> Iterator[str]:
    """Begin worlds under this contract."""
    world.CONTRACT = getattr(request, "param", "labels")
    yield world.CONTRACT
    world.CONTRACT = "labels"
