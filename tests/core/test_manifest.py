"""What a manifest may say, and what is said about one that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.core.manifest import Listed, Manifest, read_manifest

SHA = "ab" * 32
OTHER = "cd" * 32


def read(raw: object, name: str = "people.csv") -> Manifest:
    """Read a manifest of an export."""
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return read_manifest(name, data, takes=lambda each: each.endswith(".csv"))


def test_a_manifest_says_what_an_export_is():
    """Digests are compared without case; what is not said is nothing."""
    assert read({"sha256": SHA.upper(), "rows": 3, "kind": "partial"}) == Manifest(SHA, 3, "partial")
    assert read({"sha256": SHA, "made_by": "our HR system"}) == Manifest(SHA)
    assert read({"sha256": SHA, "rows": None, "kind": None, "files": []}) == Manifest(SHA)


@pytest.mark.parametrize(
    ("listed", "files"),
    [
        (["b.csv", "a.csv"], (Listed("people.csv"), Listed("b.csv"), Listed("a.csv"))),
        (["b.csv", "people.csv"], (Listed("people.csv"), Listed("b.csv"))),
        (["people.csv"], (Listed("people.csv"),)),
        ([{"name": "b.csv", "sha256": OTHER, "rows": 2}], (Listed("people.csv"), Listed("b.csv", OTHER, 2))),
        ([{"name": "people.csv", "rows": 2}, "b.csv"], (Listed("people.csv", "", 2), Listed("b.csv"))),
    ],
)
def test_files_are_read_in_their_order_the_export_first(listed: list[Any], files: tuple[Listed, ...]):
    """Whether the export is listed among them or not, it is one of them, and the first."""
    assert read({"sha256": SHA, "files": listed}).files == files


def test_a_name_without_a_folder_stands_beside_the_manifest():
    """A name with one is looked for there."""
    manifest = read({"sha256": SHA, "files": ["b.csv", "se/people.csv"]}, "no/people.csv")

    assert [file.name for file in manifest.files] == ["no/people.csv", "no/b.csv", "se/people.csv"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"rows: 3", "no JSON object"),
        ([], "no JSON object"),
        ({}, "sha256"),
        ({"sha256": "ab"}, "64 hexadecimal digits"),
        ({"sha256": SHA, "rows": "3"}, "rows must be a whole number"),
        ({"sha256": SHA, "rows": True}, "rows must be a whole number"),
        ({"sha256": SHA, "rows": -1}, "rows must be a whole number"),
        ({"sha256": SHA, "kind": "delta"}, "allowed: complete, partial"),
        ({"sha256": SHA, "files": "b.csv"}, "files must be a list"),
        ({"sha256": SHA, "files": [3]}, "files must be a list"),
        ({"sha256": SHA, "files": [""]}, "files must be a list"),
        ({"sha256": SHA, "files": [{"name": "b.csv", "sha": OTHER}]}, "files must be a list"),
        ({"sha256": SHA, "files": [{"name": "b.csv", "sha256": "x"}]}, "files must be a list"),
        ({"sha256": SHA, "files": ["/b.csv"]}, "own container"),
        ({"sha256": SHA, "files": ["../b.csv"]}, "own container"),
        ({"sha256": SHA, "files": ["a/../b.csv"]}, "own container"),
        ({"sha256": SHA, "files": ["a\\b.csv"]}, "own container"),
        ({"sha256": SHA, "files": ["https://contoso.com/b.csv"]}, "own container"),
        ({"sha256": SHA, "files": ["b.txt"]}, "EXPORTS_PATTERN"),
        ({"sha256": SHA, "files": ["b.csv", "b.csv"]}, "twice"),
        ({"sha256": SHA, "files": ["people.csv", "people.csv"]}, "twice"),
    ],
)
def test_what_is_wrong_is_told(raw: object, told: str):
    """The problem says what is allowed."""
    assert told in read(raw).problem


def test_everything_that_is_wrong_is_told_at_once():
    """Nobody has to upload a manifest three times to hear of three mistakes."""
    problem = read({"sha256": 1, "rows": "x", "kind": "y", "files": ["../b.csv"]}).problem

    assert all(word in problem for word in ("sha256", "rows", "kind", "files"))


def test_the_files_of_a_wrong_manifest_are_known():
    """They are not everybody, even if the manifest cannot be used."""
    manifest = read({"sha256": SHA, "kind": "delta", "files": ["b.csv", 3]})

    assert [file.name for file in manifest.members] == ["b.csv"]


_NAMES = st.sampled_from(["sha256", "rows", "kind", "files", "name"]) | st.text(max_size=3)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
)


@given(_JSON | st.binary(max_size=20))
def test_nothing_is_too_odd_to_be_read(raw: object):
    """Whatever HR uploads, reading a manifest gives what it says or what is wrong."""
    manifest = read(raw)

    assert manifest.problem or len(manifest.sha256) == 64
