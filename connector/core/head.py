"""The head: the one mutable truth, a small JSON blob. Everything else is immutable and found through it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from connector.core.ledger import DueTimes
from connector.errors import StoreError

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ExportMark:
    """An export as it was when we met it. ``modified`` in unix seconds; ``copy`` is our own, unchanging copy of it.

    ``rows`` are those its manifest promises, 0 for none. ``vouched``: a manifest names its digest, so it is whole.
    ``encoding``, ``delimiter``, ``skipped`` and ``final_newline`` tell how it was read; "" and None of one that an
    earlier release read.
    ``manifest`` is the ETag of what it was held to, ``members`` are the other files of a set, in the order in which
    they are read; ``modified`` is then that of the newest.
    """

    name: str
    etag: str
    modified: float
    sha256: str = ""
    copy: str = ""
    rows: int = 0
    partial: bool = False
    encoding: str = ""
    delimiter: str = ""
    skipped: int | None = None
    final_newline: bool | None = None
    vouched: bool = False
    manifest: str = ""
    members: tuple[ExportMark, ...] = ()

    @property
    def files(self) -> tuple[ExportMark, ...]:
        """The files it consists of, itself the first."""
        return (self, *self.members)

    @property
    def version(self) -> str:
        """What tells it from other uploads under its name: its ETag; of a set, those of all files and the manifest."""
        if not self.members:
            return self.etag
        return " ".join((self.etag, *(f"{file.name}={file.etag}" for file in self.members), self.manifest))

    @property
    def digest(self) -> str:
        """What tells its content from another's: its sha256; of a set, one of all files'."""
        if not self.members:
            return self.sha256
        return hashlib.sha256(" ".join(file.sha256 for file in self.files).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refused:
    """An export that was refused, under these settings and this mapping. It is not tried again until they change.

    ``members``: name and ETag of a set's other files. ``manifest``: ETag of the manifest it had.
    """

    name: str
    etag: str
    circumstances: str
    code: str
    manifest: str = ""
    members: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RunMark:
    """The run that has not ended: enough to go on with it, or to fold what it did.

    ``epochs`` name its journals; ``export`` is the new export it applies, None when it goes through old ones again;
    ``graph`` are the numbers of its former slices.
    """

    id: str
    epochs: tuple[int, ...]
    export: ExportMark | None
    circumstances: str
    incarnation: str
    full: bool = False
    graph: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """Deletions that wait for a human, under the hash an approval must name."""

    plan: str
    deletions: int
    run: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the next tick must know. ``circumstances`` digests settings, mapping and connection of the last run.

    ``generation`` 0: there is no ledger yet. ``deletions``: (unix seconds, how many), of the last 24 hours.
    """

    epoch: int = 0
    incarnation: str = ""
    connection_etag: str = ""
    generation: int = 0
    held_items: int = 0
    people: int = 0
    applied: ExportMark | None = None
    partials: tuple[ExportMark, ...] = ()
    refused: tuple[Refused, ...] = ()
    run: RunMark | None = None
    held: Held | None = None
    pace: dict[str, Any] = field(default_factory=dict)
    deletions: tuple[tuple[int, int], ...] = ()
    due: DueTimes = field(default_factory=DueTimes)
    circumstances: str = ""
    failures: int = 0
    retry_at: int = 0
    failed_export: tuple[str, str] = ("", "")
    last_run: str = ""
    format: int = FORMAT

    def failed(self, export: ExportMark | None, *, now: int) -> Head:
        """Return the head after a run that could not go on: tried again at the next tick, then less and less often."""
        wait = min(14 * 60 * 2**self.failures, 24 * 3600)
        mark = (export.name, export.version) if export else ("", "")
        return replace(self, failures=self.failures + 1, retry_at=now + wait, failed_export=mark)

    def is_stale(self, now: float, *, hours: float) -> bool:
        """Tell whether the last applied complete export is older than that."""
        return self.applied is not None and now - self.applied.modified > hours * 3600


def dump_head(head: Head) -> bytes:
    """Return the head as JSON."""
    return orjson.dumps(asdict(head), option=orjson.OPT_INDENT_2)


def load_head(data: bytes) -> Head:
    """Read a head.

    Raises:
        StoreError: ``head_corrupt`` when it is no head of this release.
    """
    try:
        raw = orjson.loads(data)
        if raw["format"] != FORMAT:
            raise StoreError(f"head.json has format {raw['format']}; this release reads {FORMAT}", code="head_corrupt")
        run = raw["run"]
        return Head(
            **{
                **raw,
                "applied": _mark(raw["applied"]),
                "partials": tuple(map(load_mark, raw["partials"])),
                "refused": tuple(map(_refused, raw["refused"])),
                "run": run and RunMark(**{**run, "epochs": tuple(run["epochs"]), "export": _mark(run["export"])}),
                "held": raw["held"] and Held(**raw["held"]),
                "deletions": tuple((moment, count) for moment, count in raw["deletions"]),
                "failed_export": tuple(raw["failed_export"]),
                "due": DueTimes(**raw["due"]),
            }
        )
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"head.json cannot be read ({type(error).__name__})", code="head_corrupt") from error


def load_mark(raw: dict[str, Any]) -> ExportMark:
    """Read what ``dataclasses.asdict`` made of a mark; an earlier release's has no members."""
    return ExportMark(**{**raw, "members": tuple(map(load_mark, raw.get("members", ())))})


def _mark(raw: dict[str, Any] | None) -> ExportMark | None:
    return load_mark(raw) if raw else None


def _refused(raw: dict[str, Any]) -> Refused:
    members = tuple((name, etag) for name, etag in raw.get("members", ()))
    return Refused(**{**raw, "members": members})


def moment(timestamp: float) -> str:
    """Return unix seconds as an ISO moment in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
