"""What stands in ``NAME.manifest.json`` beside an export: whether it is whole, and which files belong together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KINDS: Final = ("complete", "partial")

_MEMBERS_OF_A_FILE: Final = frozenset({"name", "sha256", "rows"})
_EXAMPLE: Final = '{"sha256": "…", "rows": 10123, "kind": "complete", "files": ["…"]}'


@dataclass(frozen=True, slots=True)
class Listed:
    """One file of a set. ``sha256`` ("": not said) vouches for it, ``rows`` (0: not said) are its own."""

    name: str
    sha256: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What HR says of an upload.

    ``sha256`` is the export's own, ``rows`` (0: not said) those of all files together, ``kind`` "" when it is not said.
    ``files``: what forms one population, in the order of reading, the export itself first; empty when the manifest
    lists none. ``problem`` tells what is wrong with the manifest; the export beside it is refused then.
    """

    sha256: str = ""
    rows: int = 0
    kind: Literal["", "complete", "partial"] = ""
    files: tuple[Listed, ...] = ()
    problem: str = ""

    @property
    def members(self) -> tuple[Listed, ...]:
        """The files beside the export itself."""
        return self.files[1:]


def read_manifest(name: str, data: bytes, *, takes: Callable[[str], bool]) -> Manifest:
    """Read the manifest of the export ``name``; ``takes`` tells which names exports have.

    Whatever is wrong becomes its `Manifest.problem`. The files that can be told from it are there all the same: none of
    them may pass for a population of its own.
    """
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError:
        raw = None
    if not isinstance(raw, dict):
        return Manifest(problem=f"the manifest is no JSON object; allowed: {_EXAMPLE}")
    listed = raw.get("files") or []
    files = tuple(_listed(name, listed)) if isinstance(listed, list) else ()
    problem = "; ".join(_problems(raw, files, takes))
    if problem:
        return Manifest(files=files, problem=f"the manifest is wrong: {problem}")
    return Manifest(raw["sha256"].casefold(), raw.get("rows") or 0, raw.get("kind") or "", files)


def _listed(lead: str, listed: list[Any]) -> Iterator[Listed]:
    """Yield the files of a set, the lead first. Where it is listed itself, that says more about it than nothing."""
    files = [file for file in map(_file, listed) if file.name]
    folder = lead[: lead.rfind("/") + 1]
    # A name without a folder stands in the manifest's own.
    files = [file if "/" in file.name else Listed(folder + file.name, file.sha256, file.rows) for file in files]
    leads = [file for file in files if file.name == lead] or [Listed(lead)] * bool(files)
    yield from leads
    yield from (file for file in files if file.name != lead)


def _file(entry: object) -> Listed:
    if isinstance(entry, str):
        return Listed(entry)
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return Listed("")
    sha256, rows = entry.get("sha256"), entry.get("rows")
    return Listed(
        entry["name"],
        sha256.casefold() if isinstance(sha256, str) else "",
        rows if isinstance(rows, int) else 0,
    )


def _problems(raw: Mapping[str, Any], files: tuple[Listed, ...], takes: Callable[[str], bool]) -> Iterator[str]:
    if not _is_digest(raw.get("sha256")):
        yield "sha256 must be the export's SHA-256 in 64 hexadecimal digits"
    if raw.get("rows") is not None and not _is_count(raw["rows"]):
        yield "rows must be a whole number"
    if raw.get("kind") is not None and raw["kind"] not in KINDS:
        yield f"kind is unknown; allowed: {', '.join(KINDS)}"
    entries = raw.get("files")
    if entries is None:
        return
    if not isinstance(entries, list) or not all(map(_is_file, entries)):
        yield (
            'files must be a list of names, or of {"name": …, "sha256": …, "rows": …}, where sha256 has 64 hexadecimal'
            " digits and rows is a whole number"
        )
        return
    if any(not _is_in_container(file.name) for file in files):
        yield "files must name blobs of the exports' own container, such as people.csv or 2026/people.csv"
    elif any(not takes(file.name) for file in files):
        yield "files names something that is no export by EXPORTS_PATTERN"
    if any(count > 1 for count in Counter(file.name for file in files).values()):
        yield "files names a file twice"


def _is_file(entry: object) -> bool:
    if isinstance(entry, str):
        return bool(entry)
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and bool(entry["name"])
        and not entry.keys() - _MEMBERS_OF_A_FILE
        and (entry.get("sha256") is None or _is_digest(entry["sha256"]))
        and (entry.get("rows") is None or _is_count(entry["rows"]))
    )


def _is_in_container(name: str) -> bool:
    steps = name.split("/")
    return not ({"", ".", ".."} & set(steps)) and "\\" not in name and ":" not in name and name.isprintable()


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value.casefold()) - set("0123456789abcdef")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
