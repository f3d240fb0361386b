"""What all tests share: how hard hypothesis tries, and the genuine Azurite."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.tenant.azurite import azurite

if TYPE_CHECKING:
    from collections.abc import Iterator

ELSEWHERE_TOO = bool(os.environ.get("RUNS_ELSEWHERE_TOO"))
"""Whether another Python runs the tests at the same time, without counting coverage (tools/check.sh)."""

# Examples are the same everywhere, so where coverage slows them down a part of what the other Python tries will do.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100 if ELSEWHERE_TOO else 200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI", "").casefold() in {"1", "true"} else "dev")

# A shell lets what it runs in the background ignore Ctrl-C, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what need run once only to the other Python, if one runs the tests at the same time."""
    if not ELSEWHERE_TOO:
        return
    left = [item for item in items if item.get_closest_marker("once")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not item.get_closest_marker("once")]


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[str]:
    """Return the connection string of an Azurite that runs until the last test that asks for it is done."""
    with azurite() as server:
        yield server.connection_string
