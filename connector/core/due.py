"""Is there work for this tick, and which (design §3.8, §3.14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from connector.core.head import ExportMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from connector.core.head import Head

DONE: Final = ".done"
MANIFEST: Final = ".manifest.json"

FAILED_ITEMS: Final = "failed items"
UNMATCHED_PEOPLE: Final = "unmatched people"
KNOWN_ACCOUNTS: Final = "known accounts"
FAILED_RUN: Final = "failed run"

LOOKS_ONLY: Final = frozenset({FAILED_ITEMS, UNMATCHED_PEOPLE, KNOWN_ACCOUNTS, FAILED_RUN})
"""Reasons for which nobody waits for an answer: such a run makes a report only if it sent something."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A blob in the exports container: name, etag and the storage's Last-Modified (unix seconds)."""

    name: str
    etag: str
    modified: float

    def mark(self) -> ExportMark:
        """Return it as the head remembers exports."""
        return ExportMark(self.name, self.etag, self.modified)


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator asked for through HTTP or the command line; the blob is deleted once it is carried out.

    ``full``: everyone is sent again. ``rebuild``: the ledger, which is lost, is made anew from the export.
    """

    name: str
    kind: Literal["sync"] = "sync"
    full: bool = False
    rebuild: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What a tick does.

    ``candidates`` are the exports not met yet, oldest first; without one, the last applied export
    is gone through once more. ``reasons`` say why.
    """

    kind: Literal["resume", "export", "again"]
    reasons: tuple[str, ...]
    candidates: tuple[Dropped, ...] = ()
    full: bool = False


def settled_exports(
    blobs: Sequence[Dropped], *, storage_now: float, settle_seconds: float, takes: Callable[[str], bool]
) -> list[Dropped]:
    """Return the exports that are wholly uploaded, in the order in which they are applied.

    An export counts as uploaded when it is old enough by the storage's own clock, or when its marker ``NAME.done``
    or manifest stands beside it and is not older than the export itself.
    """
    modified: Mapping[str, float] = {blob.name: blob.modified for blob in blobs}

    def is_settled(blob: Dropped) -> bool:
        markers = (modified.get(blob.name + ending, -1.0) for ending in (DONE, MANIFEST))
        return storage_now - blob.modified >= settle_seconds or any(marker >= blob.modified for marker in markers)

    exports = (blob for blob in blobs if takes(blob.name) and not blob.name.endswith((DONE, MANIFEST)))
    return sorted(filter(is_settled, exports), key=lambda blob: (blob.modified, blob.name))


def unmet_exports(head: Head, settled: Iterable[Dropped], *, circumstances: str) -> list[Dropped]:
    """Return the settled exports that were neither applied nor refused, nor are older than the last applied one.

    A file is the same as long as its ETag is; a refused one is taken up again when ``circumstances`` (settings and
    mapping) have changed.
    """
    met = {(mark.name, mark.etag) for mark in (head.applied, *head.partials) if mark}
    met |= {(mark.name, mark.etag) for mark in head.refused if mark.circumstances == circumstances}
    newest = (head.applied.modified, head.applied.name) if head.applied else (0.0, "")
    return [blob for blob in settled if (blob.name, blob.etag) not in met and (blob.modified, blob.name) >= newest]


def work_due(
    head: Head,
    unmet: Sequence[Dropped],
    requests: Sequence[Request],
    *,
    now: int,
    circumstances: str,
    incarnation: str,
) -> Work | None:
    """Decide what this tick does; None: nothing, and nothing more is read or asked.

    ``circumstances`` digests whatever decides over items besides the export, ``incarnation`` is the connection's own.
    A run that failed waits (`Head.failed`), unless a person asks or something has changed.
    """
    asked = bool(requests)
    full = any(request.full for request in requests)
    changed = _changes(head, circumstances, incarnation)
    waiting = head.retry_at > now and not asked and not changed
    if head.run is not None:
        return None if waiting else Work("resume", ("unfinished run", *changed), tuple(unmet), full)
    if unmet and not (waiting and head.failures and _same_as_failed(head, unmet)):
        return Work("export", ("new export", *changed), tuple(unmet), full)
    if head.applied is None or waiting or (_is_refused(head, circumstances) and not asked):
        return None
    reasons = (*_wishes(requests), *changed, *_overdue(head, now))
    return Work("again", reasons, (), full) if reasons else None


def _is_refused(head: Head, circumstances: str) -> bool:
    """Tell whether the last applied export cannot be gone through again, as long as nothing changes."""
    return any(
        head.applied is not None
        and (mark.name, mark.etag, mark.circumstances) == (head.applied.name, head.applied.etag, circumstances)
        for mark in head.refused
    )


def _wishes(requests: Sequence[Request]) -> tuple[str, ...]:
    wishes = ("request",) if requests else ()
    return (*wishes, "ledger begun anew") if any(request.rebuild for request in requests) else wishes


def _same_as_failed(head: Head, unmet: Sequence[Dropped]) -> bool:
    """Tell whether the newest export is the one whose run failed last; a newer one is tried at once."""
    return (unmet[-1].name, unmet[-1].etag) == head.failed_export


def _changes(head: Head, circumstances: str, incarnation: str) -> tuple[str, ...]:
    changes = []
    if head.circumstances and head.circumstances != circumstances:
        changes.append("settings or mapping changed")
    if head.incarnation and head.incarnation != incarnation:
        changes.append("connection changed")
    return tuple(changes)


def _overdue(head: Head, now: int) -> tuple[str, ...]:
    times = (
        (FAILED_ITEMS, head.due.failed),
        (UNMATCHED_PEOPLE, head.due.unmatched),
        (KNOWN_ACCOUNTS, head.due.accounts),
        (FAILED_RUN, head.retry_at),
    )
    return tuple(reason for reason, moment in times if moment and moment <= now)
