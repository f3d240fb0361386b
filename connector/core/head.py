"""The head: the one mutable truth, a small JSON blob. Everything else is immutable and found through it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from connector.core.ledger import DueTimes
from connector.core.mapping import Fill
from connector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT: Final = 1

APPROVAL_SECONDS: Final = 72 * 3600
"""How long an approval counts, from when it was given."""


@dataclass(frozen=True, slots=True)
class ExportMark:
    """An export as it was when we met it. ``modified`` in unix seconds; ``copy`` is our own, unchanging copy of it.

    ``rows`` are those its manifest promises, 0 for none. ``vouched``: a manifest names its digest, so it is whole.
    ``encoding``, ``delimiter``, ``skipped`` and ``final_newline`` tell how it was read; "" and None of one that an
    earlier release read.
    ``fill`` tells how filled its mapped columns are, of which those that are next to empty are left out.
    ``manifest`` is the ETag of what it was held to, ``members`` are the other files of a set, in the order in which
    they are read; ``modified`` is then that of the newest.
    ``released`` are the guards that would refuse it had nobody approved it, under the mapping of that digest.
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
    released: tuple[str, ...] = ()
    released_under: str = ""
    fill: Fill = field(default_factory=Fill)

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
    ``plan`` is the hash an approval must name, ``guards`` are those it would release: none where no approval helps.
    ``modified`` is the storage's Last-Modified (unix seconds), 0 where an earlier release refused it.
    """

    name: str
    etag: str
    circumstances: str
    code: str
    manifest: str = ""
    members: tuple[tuple[str, str], ...] = ()
    plan: str = ""
    guards: tuple[str, ...] = ()
    run: str = ""
    modified: float = 0.0


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
    """Deletions that wait for a human, under the hash an approval must name.

    ``outdated``: an export that speaks of some people only was applied since; what waits by now is still to be planned.
    """

    plan: str
    deletions: int
    run: str
    outdated: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's word that what waits under ``plan`` may happen: ``by`` whom, and when (unix seconds).

    ``used``: it has been carried out but for some items that failed; those may still go.
    """

    plan: str
    by: str
    at: int
    used: bool = False

    def has_expired(self, now: float) -> bool:
        """Tell whether it does not count any more."""
        return now - self.at > APPROVAL_SECONDS

    def body(self) -> dict[str, str]:
        """Return what a report says of it."""
        return {"by": self.by, "when": moment(self.at), "plan": self.plan}

    @property
    def expires(self) -> str:
        """Until when it counts, as an ISO moment in UTC."""
        return moment(self.at + APPROVAL_SECONDS)


@dataclass(frozen=True, slots=True)
class Lost:
    """What of our memory was lost, so that nobody can say who still has an item of ours.

    ``items``: how many Graph held by the last count of a ledger that was lost. ``run``: the unfinished run whose plan
    or journal was lost. ``head``: head.json was lost.
    """

    items: int = 0
    run: str = ""
    head: bool = False

    def warnings(self) -> dict[str, int]:
        """Return what reports warn of."""
        return {"ledger_begun_anew": self.items, "run_forgotten": int(bool(self.run)), "head_lost": int(self.head)}


@dataclass(frozen=True, slots=True)
class Head:
    """What the next tick must know. ``circumstances`` digests settings, mapping and connection of the last run.

    ``generation`` 0: there is no ledger yet. ``previous``: the complete export that was applied before ``applied``.
    ``mapping`` digests the one under which everybody in the last complete export was judged; "" is not known.
    ``covered`` are the circumstances and the incarnation for which everybody was gone through last: an export of some
    people only, or a run that failed, leaves the rest of them as they were.
    ``deletions``: (unix seconds, how many), of the last 24 hours. ``verified``: whose item was read back last
    (`connector.core.readback.turn_of`). ``tried``: the requests that were there when a run failed, and wait like it.
    ``lost``: what had to be begun anew, until a run has gone through everybody.
    """

    epoch: int = 0
    incarnation: str = ""
    connection_etag: str = ""
    generation: int = 0
    held_items: int = 0
    people: int = 0
    applied: ExportMark | None = None
    previous: ExportMark | None = None
    partials: tuple[ExportMark, ...] = ()
    refused: tuple[Refused, ...] = ()
    run: RunMark | None = None
    held: Held | None = None
    approvals: tuple[Approval, ...] = ()
    pace: dict[str, Any] = field(default_factory=dict)
    deletions: tuple[tuple[int, int], ...] = ()
    due: DueTimes = field(default_factory=DueTimes)
    circumstances: str = ""
    mapping: str = ""
    covered: tuple[str, str] = ("", "")
    failures: int = 0
    retry_at: int = 0
    failed_export: tuple[str, str] = ("", "")
    tried: tuple[str, ...] = ()
    last_run: str = ""
    verified: str = ""
    lost: Lost | None = None
    format: int = FORMAT

    def failed(self, export: ExportMark | None, *, now: int, tried: tuple[str, ...] = ()) -> Head:
        """Return the head after a run that could not go on: tried again at the next tick, then less and less often.

        ``tried`` are the names of the requests that it was to carry out.
        """
        wait = min(14 * 60 * 2**self.failures, 24 * 3600)
        mark = (export.name, export.version) if export else ("", "")
        return replace(self, failures=self.failures + 1, retry_at=now + wait, failed_export=mark, tried=tried)

    def adopt(self, approvals: Iterable[Approval]) -> Head:
        """Return the head that knows these approvals too; one that is given again counts from then on."""
        known = {each.plan: each for each in (*self.approvals, *approvals)}
        return replace(self, approvals=tuple(known.values()))

    @property
    def approved(self) -> frozenset[str]:
        """The hashes whose approval has not been carried out yet."""
        return frozenset(each.plan for each in self.approvals if not each.used)

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
                "previous": _mark(raw.get("previous")),
                "partials": tuple(map(load_mark, raw["partials"])),
                "refused": tuple(map(_refused, raw["refused"])),
                "run": run and RunMark(**{**run, "epochs": tuple(run["epochs"]), "export": _mark(run["export"])}),
                "held": raw["held"] and Held(**raw["held"]),
                "approvals": tuple(Approval(**each) for each in raw.get("approvals", ())),
                "deletions": tuple((moment, count) for moment, count in raw["deletions"]),
                "failed_export": tuple(raw["failed_export"]),
                "covered": tuple(raw.get("covered", ("", ""))),
                "tried": tuple(raw.get("tried", ())),
                "due": DueTimes(**raw["due"]),
                "lost": Lost(**raw["lost"]) if raw.get("lost") else None,
            }
        )
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"head.json cannot be read ({type(error).__name__})", code="head_corrupt") from error


def load_mark(raw: dict[str, Any]) -> ExportMark:
    """Read what ``dataclasses.asdict`` made of a mark; an earlier release's has fewer members."""
    members, fill = tuple(map(load_mark, raw.get("members", ()))), Fill(**raw.get("fill", {}))
    return ExportMark(**{**raw, "members": members, "released": tuple(raw.get("released", ())), "fill": fill})


def _mark(raw: dict[str, Any] | None) -> ExportMark | None:
    return load_mark(raw) if raw else None


def _refused(raw: dict[str, Any]) -> Refused:
    members = tuple((name, etag) for name, etag in raw.get("members", ()))
    return Refused(**{**raw, "members": members, "guards": tuple(raw.get("guards", ()))})


def moment(timestamp: float) -> str:
    """Return unix seconds as an ISO moment in UTC, to the second."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
