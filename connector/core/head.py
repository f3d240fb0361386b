"""The head: the one mutable truth, a small JSON blob. Everything else is immutable and found through it."""

from __future__ import annotations

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

    ``vouched``: a manifest names its digest, so it is whole.
    ``encoding``, ``delimiter``, ``skipped`` and ``final_newline`` tell how it was read; "" and None of one that an
    earlier release read.
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


@dataclass(frozen=True, slots=True)
class Refused:
    """An export that was refused, under these settings and this mapping. It is not tried again until they change."""

    name: str
    etag: str
    circumstances: str
    code: str


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
        mark = (export.name, export.etag) if export else ("", "")
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
                "partials": tuple(ExportMark(**mark) for mark in raw["partials"]),
                "refused": tuple(Refused(**refused) for refused in raw["refused"]),
                "run": run and RunMark(**{**run, "epochs": tuple(run["epochs"]), "export": _mark(run["export"])}),
                "held": raw["held"] and Held(**raw["held"]),
                "deletions": tuple((moment, count) for moment, count in raw["deletions"]),
                "failed_export": tuple(raw["failed_export"]),
                "due": DueTimes(**raw["due"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"head.json cannot be read ({type(error).__name__})", code="head_corrupt") from error


def _mark(raw: dict[str, Any] | None) -> ExportMark | None:
    return ExportMark(**raw) if raw else None


def moment(timestamp: float) -> str:
    """Return unix seconds as an ISO moment in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
