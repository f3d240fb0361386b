"""How a test of the simulated Graph says what we believe about the real one, and where that comes from.

::

    @belief("A PUT replaces all properties.", area="items", mark="certain", source=UPDATE_ITEM, ours=WHOLE_ITEM)
    async def test_a_put_replaces_all_properties(...): ...

``docs/graph.md`` is made of these (``make beliefs``). A test of the simulator's own machinery carries `machinery`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import pytest

from tests.beliefs import ours, sources

if TYPE_CHECKING:
    from tests.beliefs.ours import Behaviour
    from tests.beliefs.sources import Source

_T = TypeVar("_T")

Mark = Literal["certain", "likely", "unknown"]
Area = Literal[
    "connections",
    "schema",
    "operations",
    "items",
    "profile composition",
    "profile sources and priority",
    "users and $batch",
    "throttling and errors",
    "tokens",
    "the tutorial's contract",
]
AREAS: tuple[Area, ...] = get_args(Area)


@dataclass(frozen=True, slots=True)
class Belief:
    """One rule that we take Graph to follow.

    ``either``: for what is unknown, what we do so that either answer works, or how it would be noticed;
    ``proof``: the tests that show it, as ``path::name``.
    """

    rule: str
    area: Area
    mark: Mark
    sources: tuple[Source, ...]
    rests: tuple[Behaviour, ...]
    either: str
    proof: tuple[str, ...]


def belief(
    rule: str,
    *,
    area: Area,
    mark: Mark,
    source: Source | tuple[Source, ...],
    ours: Behaviour | tuple[Behaviour, ...],
    either: str = "",
    proof: str | tuple[str, ...] = (),
) -> pytest.MarkDecorator:
    """Return the mark of a test that shows this rule on the simulated Graph.

    Raises:
        ValueError: when what is unknown comes without an answer, or the rule is no sentence.
    """
    if not rule.endswith((".", "?")):
        raise ValueError(f"a rule is a sentence: {rule!r}")
    if mark == "unknown" and not either:
        raise ValueError(f"what do we do about it? {rule!r}")
    stated = Belief(rule, area, mark, _several(source), _several(ours), either, _several(proof))
    return pytest.mark.belief(stated)


def machinery(what: str) -> pytest.MarkDecorator:
    """Return the mark of a test that shows what the simulator can do for tests, and nothing about Graph."""
    return pytest.mark.machinery(what)


__all__ = ["AREAS", "Area", "Belief", "Mark", "belief", "machinery", "ours", "sources"]


def _several(value: _T | tuple[_T, ...]) -> tuple[_T, ...]:
    return value if isinstance(value, tuple) else (value,)
