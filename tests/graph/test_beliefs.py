"""The record of what we believe about Graph is complete, and docs/graph.md is made of it."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from tests.beliefs import Belief, ours, sources
from tests.beliefs.page import PAGE, ROOT, collect, page, test_modules, test_names, tests_of
from tests.beliefs.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

test_modules.__test__ = test_names.__test__ = tests_of.__test__ = False  # type: ignore[attr-defined]

ABOUT_GRAPH = re.compile(
    r"https://learn\.microsoft\.com/(?:graph|microsoft-365-copilot|entra/identity-platform)/[^\s\"')\]:,;]*[^\s\"')\]:,;.]"
)
"""Addresses of documentation on how Graph and its tokens behave; Azure's own services are no matter of this page."""

STATED = collect()
BELIEFS: list[Belief] = [one.belief for one in STATED]
CITED = {source for belief in BELIEFS for source in belief.sources}


def addresses(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield every address of such documentation with the file that cites it."""
    for path in paths:
        for address in ABOUT_GRAPH.findall(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), address


def test_the_page_is_what_the_tests_say():
    """A belief that changes is on the page at once: `make beliefs` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page(), "docs/graph.md is not up to date: make beliefs"


@pytest.mark.parametrize("module", test_modules())
def test_every_test_of_the_simulator_states_a_belief_or_is_machinery(module):
    """Never both, never neither."""
    unclear = [
        name for name, beliefs, machinery in tests_of(importlib.import_module(module)) if bool(beliefs) == machinery
    ]

    assert unclear == []


def test_what_is_unknown_has_an_answer_and_tests_that_show_it():
    """Every proof is a test that exists."""
    unanswered = [
        belief.rule for belief in BELIEFS if belief.mark == "unknown" and not (belief.either and belief.proof)
    ]
    proofs = {proof for belief in BELIEFS for proof in belief.proof}
    dangling = [proof for proof in proofs if proof.partition("::")[2] not in test_names(proof.partition("::")[0])]

    assert unanswered == []
    assert dangling == []


def test_a_question_is_what_is_unknown_and_a_statement_what_is_believed():
    """A reader sees from the sentence which it is."""
    assert [belief.rule for belief in BELIEFS if belief.rule.endswith("?") != (belief.mark == "unknown")] == []


def test_no_rule_is_stated_twice():
    """In other words it would still be one rule, but at least not in the same."""
    rules = [belief.rule for belief in BELIEFS]

    assert sorted(rules) == sorted(set(rules))


def test_what_is_certain_has_a_page_of_microsofts():
    """What only the field reports is likely at best."""
    without = [
        belief.rule
        for belief in BELIEFS
        if belief.mark == "certain" and not any(source.url for source in belief.sources)
    ]

    assert without == []


def test_every_behaviour_rests_on_a_rule():
    """None is left in the list that no belief refers to; their modules exist."""
    rested_on = {behaviour for belief in BELIEFS for behaviour in belief.rests}
    missing = [path for behaviour in ours.behaviours() for path in behaviour.where if not (ROOT / path).is_file()]

    assert [behaviour.does for behaviour in ours.behaviours() if behaviour not in rested_on] == []
    assert missing == []


def test_every_module_that_deals_with_graph_rests_on_a_rule():
    """A module that is added to these says what it takes Graph to do."""
    named = {path for behaviour in ours.behaviours() for path in behaviour.where}
    dealing = [*(ROOT / "connector" / "graph").glob("*.py"), *(ROOT / "connector" / "core" / "contracts").glob("*.py")]
    dealing += [ROOT / "connector" / f"{name}.py" for name in ("provision", "apply", "doctor", "core/setup")]

    unnamed = {str(path.relative_to(ROOT)) for path in dealing if path.name != "__init__.py"} - named
    assert unnamed == BY_OTHERS


BY_OTHERS = {
    "connector/graph/connections.py",
    "connector/graph/profile_sources.py",
    "connector/graph/profile_property_settings.py",
}
"""These only carry out what core/setup.py decides."""


@pytest.mark.parametrize("folder", ["connector", "tests/tenant"])
def test_every_page_that_the_code_cites_is_among_the_sources(folder):
    """A comment that names a rule's page leads to the rule."""
    known = {_plain(source.url) for source in CITED}

    unknown = {
        (path, address) for path, address in addresses((ROOT / folder).rglob("*.py")) if _plain(address) not in known
    }
    assert unknown == set()


def test_no_source_is_without_a_rule():
    """What nothing rests on is no source."""
    defined = {value for value in vars(sources).values() if isinstance(value, Source)} | set(sources.ENTITY_PAGES)

    assert {source.name for source in defined - CITED} == set()


def _plain(address: str) -> str:
    return address.partition("#")[0].rstrip("/").casefold()
