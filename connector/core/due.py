"""Is there work for this tick, and which (design §3.8, §3.14)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from connector.core.head import Approval, ExportMark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from connector.core.head import Head, Refused
    from connector.core.manifest import Listed, Manifest

DONE: Final = ".done"
MANIFEST: Final = ".manifest.json"

FAILED_ITEMS: Final = "failed items"
UNMATCHED_PEOPLE: Final = "unmatched people"
KNOWN_ACCOUNTS: Final = "known accounts"
FAILED_RUN: Final = "failed run"
TURNED_DATE: Final = "a date that turns"
NEW_EXPORT: Final = "new export"
APPROVAL: Final = "approval"
HELD_ANEW: Final = "held deletions to plan anew"
BEGUN_ANEW: Final = "memory begun anew"

KEPT_REFUSALS: Final = 20
"""Refused exports that the head remembers, so that none is tried again in vain."""

LOOKS_ONLY: Final = frozenset({FAILED_ITEMS, UNMATCHED_PEOPLE, KNOWN_ACCOUNTS, FAILED_RUN})
"""Reasons for which nobody waits for an answer: such a run makes a report only if it sent something."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An export in its container: name, etag and the storage's Last-Modified (unix seconds).

    ``manifest``: the ETag of its manifest, where one is there and not older. Of a set, whose other files are its
    ``members``, ``modified`` is that of the newest file. ``says``: what its manifest says, once it has been read.
    """

    name: str
    etag: str
    modified: float
    manifest: str = ""
    members: tuple[Dropped, ...] = ()
    says: Manifest | None = None

    def mark(self) -> ExportMark:
        """Return it as the head remembers exports."""
        members = tuple(member.mark() for member in self.members)
        return ExportMark(self.name, self.etag, self.modified, manifest=self.manifest, members=members)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A set of files that is not whole yet: the export whose manifest lists it, and the names of the files to come.

    With REQUIRE_MANIFEST also an export whose manifest is what is missing.

    ``missing`` are not there, ``uploading`` may not be whole, ``newer`` changed after the manifest, ``elsewhere``
    belong to a newer manifest's set.
    """

    name: str
    missing: tuple[str, ...] = ()
    uploading: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def wants_manifest(self) -> bool:
        """Tell whether it waits for nothing but its own manifest."""
        return self.missing == (self.name + MANIFEST,)


@dataclass(frozen=True, slots=True)
class Request:
    """What an operator asked for through HTTP or the command line; the blob is deleted once it is carried out.

    ``full``: everyone is sent again. ``rebuild``: what is lost of our memory is begun anew.
    ``verify``: so many items are read back, whatever VERIFY_ITEMS says.
    ``approval``: what waits under its hash may happen; the head remembers that from the first tick that sees it.
    """

    name: str
    kind: Literal["sync", "approve"] = "sync"
    full: bool = False
    rebuild: bool = False
    verify: int | None = None
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a tick does.

    ``candidates`` are the exports not met yet, oldest first; without one, the last applied export
    is gone through once more. ``reasons`` say why. ``everybody``: some of them are about everybody, so that an export
    of some people only is no answer.
    """

    kind: Literal["resume", "export", "again"]
    reasons: tuple[str, ...]
    candidates: tuple[Dropped, ...] = ()
    full: bool = False
    everybody: bool = False


def settled_exports(
    blobs: Sequence[Dropped], *, storage_now: float, settle_seconds: float, takes: Callable[[str], bool]
) -> list[Dropped]:
    """Return the exports that are wholly uploaded, in the order in which they are applied, each file for itself.

    An export counts as uploaded when it is old enough by the storage's own clock, or when its marker ``NAME.done``
    or manifest stands beside it and is not older than the export itself.
    """
    known = {blob.name: blob for blob in blobs}

    def beside(blob: Dropped, ending: str) -> Dropped | None:
        marker = known.get(blob.name + ending)
        return marker if marker and marker.modified >= blob.modified else None

    def is_settled(blob: Dropped) -> bool:
        return storage_now - blob.modified >= settle_seconds or any(beside(blob, each) for each in (DONE, MANIFEST))

    def with_manifest(blob: Dropped) -> Dropped:
        manifest = beside(blob, MANIFEST)
        return replace(blob, manifest=manifest.etag) if manifest else blob

    exports = (blob for blob in blobs if takes(blob.name) and not blob.name.endswith((DONE, MANIFEST)))
    return sorted(map(with_manifest, filter(is_settled, exports)), key=_order)


def manifests_to_read(head: Head, blobs: Iterable[Dropped], unmet: Iterable[Dropped]) -> list[Dropped]:
    """Return the manifests that decide which files belong together, when there are ``unmet`` exports.

    One that is older than the last applied export speaks of a former population, unless its export has come anew.
    """
    since = head.applied.modified if head.applied else 0.0
    anew = {blob.name + MANIFEST for blob in unmet}
    return [blob for blob in blobs if blob.name.endswith(MANIFEST) and (blob.modified >= since or blob.name in anew)]


def with_sets(
    blobs: Iterable[Dropped], settled: Iterable[Dropped], manifests: Iterable[tuple[Dropped, Manifest]]
) -> tuple[list[Dropped], list[Waiting]]:
    """Return the settled exports with what their manifests say, every set as one of them; and the sets that wait.

    ``manifests``: each the blob and what it says. A set counts once all its files are there and whole, by themselves or
    by the digest that the manifest names, and none is newer than the manifest. Until then none of its files counts
    for itself either. A file that two manifests list belongs to the newer one's set.
    """
    known = {blob.name: blob for blob in blobs}
    whole = {export.name: export for export in settled}
    taken: set[str] = set()
    exports: list[Dropped] = []
    waiting: list[Waiting] = []
    for blob, says in sorted(manifests, key=lambda each: _order(each[0]), reverse=True):
        name = blob.name.removesuffix(MANIFEST)
        if not says.members:
            if name in whole and blob.modified >= whole[name].modified:
                whole[name] = replace(whole[name], manifest=blob.etag, says=says)
                if says.files and name not in taken:
                    taken.add(name)  # listed alone it is a population, whatever an older manifest says
                    exports.append(whole[name])
            continue
        waits = _waits(blob, name, says, known=known, whole=whole, taken=taken)
        taken.update(file.name for file in says.files)
        there = name in known and blob.modified >= known[name].modified
        if waits == Waiting(name) or (says.problem and there and not waits.elsewhere):
            exports.append(_as_set(known[name], blob, says, known))
        else:
            waiting.append(waits)
    exports += (export for export in whole.values() if export.name not in taken)
    return sorted(exports, key=_order), waiting


def without_manifest(
    head: Head, exports: Sequence[Dropped], *, circumstances: str
) -> tuple[list[Dropped], list[Waiting]]:
    """Return the exports beside which a manifest stands, and which of the others wait for one (REQUIRE_MANIFEST)."""
    lacking = [export for export in exports if not export.manifest]
    waiting = unmet_exports(head, lacking, circumstances=circumstances)
    return (
        [export for export in exports if export.manifest],
        [Waiting(export.name, missing=(export.name + MANIFEST,)) for export in waiting],
    )


def passed_over(export: ExportMark, others: Iterable[Dropped]) -> list[str]:
    """Return the names of the exports that are older than a complete one which is taken: they never will be."""
    names = {file.name for file in export.files}
    older = (other for other in others if _order(other) < (export.modified, export.name))
    return [other.name for other in older if other.name not in names]


def _waits(
    manifest: Dropped,
    name: str,
    says: Manifest,
    *,
    known: Mapping[str, Dropped],
    whole: Mapping[str, Dropped],
    taken: set[str],
) -> Waiting:
    def is_whole(file: Listed) -> bool:
        return file.name in whole or file.name == name or bool(file.sha256)

    there = [file for file in says.files if file.name in known]
    return Waiting(
        name,
        missing=tuple(file.name for file in says.files if file.name not in known),
        uploading=tuple(file.name for file in there if not is_whole(file)),
        newer=tuple(file.name for file in there if known[file.name].modified > manifest.modified),
        elsewhere=tuple(file.name for file in says.files if file.name in taken),
    )


def _as_set(lead: Dropped, manifest: Dropped, says: Manifest, known: Mapping[str, Dropped]) -> Dropped:
    members = tuple(known[file.name] for file in says.members if file.name in known)
    newest = max(blob.modified for blob in (lead, *members))
    return Dropped(lead.name, lead.etag, newest, manifest=manifest.etag, members=members, says=says)


def _order(blob: Dropped) -> tuple[float, str]:
    return blob.modified, blob.name


def with_refusal(head: Head, refusal: Refused) -> tuple[Refused, ...]:
    """Return what is remembered of refused exports with one more, in the order in which they were refused.

    That is the newest ones, those under the present settings first. What was applied is never forgotten among them, or
    it would be gone through, and refused, at every tick.
    """
    refused = [each for each in head.refused if _unjudged(each) != _unjudged(refusal)]
    refused.append(refusal)
    others = [each for each in refused if not _is_of_applied(each, head)]
    others.sort(key=lambda each: (each.circumstances == refusal.circumstances, each.modified, each.name))
    forgotten = others[:-KEPT_REFUSALS]
    return tuple(each for each in refused if each not in forgotten)


def _unjudged(refused: Refused) -> Refused:
    """Return which version of an export was refused, under which settings and mapping, without what came of it."""
    return replace(refused, plan="", guards=(), run="", code="", modified=0.0)


def _is_of_applied(refused: Refused, head: Head) -> bool:
    return head.applied is not None and (refused.name, refused.etag) == (head.applied.name, head.applied.etag)


def _passed_by(head: Head, circumstances: str) -> tuple[float, str]:
    """Return what every export stands before that is not remembered, because so many newer ones were refused."""
    refused = [each for each in head.refused if each.circumstances == circumstances and not _is_of_applied(each, head)]
    return min((each.modified, each.name) for each in refused) if len(refused) >= KEPT_REFUSALS else (0.0, "")


def unmet_exports(head: Head, settled: Iterable[Dropped], *, circumstances: str) -> list[Dropped]:
    """Return the settled exports that were neither applied nor refused, nor are older than the last applied one.

    A file is the same as long as its ETag is, a set as long as those of its files and its manifest are. A refused one
    is taken up again when its manifest or ``circumstances`` (settings and mapping) have changed, or somebody has
    approved it. Of more than are remembered, the older ones count as refused.
    """
    applied = [mark for mark in (head.applied, *head.partials) if mark]
    refused = [mark for mark in head.refused if mark.circumstances == circumstances and mark.plan not in head.approved]
    members = {(file.name, file.etag) for mark in applied for file in mark.members}
    members |= {member for mark in refused for member in mark.members}
    newest = (head.applied.modified, head.applied.name) if head.applied else (0.0, "")
    newest = max(newest, _passed_by(head, circumstances))
    current = {(file.name, file.etag) for file in head.applied.files} if head.applied else set()

    def is_met(blob: Dropped) -> bool:
        if not blob.members and (blob.name, blob.etag) in members:
            return True
        return any(_is_applied(blob, mark) for mark in applied) or any(_is_refused(blob, mark) for mark in refused)

    def is_current(blob: Dropped) -> bool:
        """A set that has files of the applied export says something else of them; none of them need be newer."""
        files = {(file.name, file.etag) for file in (blob, *blob.members)}
        return _order(blob) >= newest or not files.isdisjoint(current)

    return [blob for blob in settled if not is_met(blob) and is_current(blob)]


def turn_of_refused(
    head: Head, plan: str, settled: Iterable[Dropped], *, circumstances: str
) -> Literal["next", "later", "gone"]:
    """Tell what the next tick would do about the export that was refused under this hash, had somebody approved it.

    next: take it. later: take a newer one, which is there too. gone: nothing, since it is not there any more, or a
    newer one has been applied. The same content may have been dropped, and refused, under several names.
    """
    refused = {(each.name, each.etag) for each in head.refused if each.plan == plan}
    if head.applied is not None and (head.applied.name, head.applied.etag) in refused:
        return "next"  # the last export once more, under other settings
    unmet = unmet_exports(head.adopt([Approval(plan, "", 0)]), settled, circumstances=circumstances)
    there = [place for place, blob in enumerate(unmet) if (blob.name, blob.etag) in refused]
    if not there:
        return "gone"
    return "next" if there[-1] == len(unmet) - 1 else "later"


def _is_applied(blob: Dropped, mark: ExportMark) -> bool:
    """Tell whether an export is the one that was applied; a set's own file without its manifest is no other one."""
    if (blob.name, blob.etag) != (mark.name, mark.etag):
        return False
    if blob.members:
        return blob.mark().version == mark.version
    return not mark.members or blob.manifest in {"", mark.manifest}


def _is_refused(blob: Dropped, mark: Refused) -> bool:
    if (blob.name, blob.etag) != (mark.name, mark.etag):
        return False
    if blob.members:
        members = tuple((member.name, member.etag) for member in blob.members)
        return (blob.manifest, members) == (mark.manifest, mark.members)
    return blob.manifest == mark.manifest or (bool(mark.members) and not blob.manifest)


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
    A run that failed waits (`Head.failed`), unless a person asks for something else or something has changed.
    """
    asked = any(request.name not in head.tried for request in requests)
    full = any(request.full for request in requests)
    news = _changes(circumstances, incarnation, since=(head.circumstances, head.incarnation))
    changed = news or _changes(circumstances, incarnation, since=head.covered)
    begun = (BEGUN_ANEW,) if head.lost is not None else ()
    everybody = full or bool(changed or begun)
    waiting = head.retry_at > now and not asked and not news
    if head.run is not None:
        return None if waiting else Work("resume", ("unfinished run", *changed, *begun), tuple(unmet), full, everybody)
    if unmet and not (waiting and head.failures and _same_as_failed(head, unmet)):
        return Work("export", (_why(head, unmet[-1]), *changed, *begun), tuple(unmet), full, everybody)
    approved = (APPROVAL,) if head.approved or any(request.approval for request in requests) else ()
    barred = _cannot_be_repeated(head, circumstances) and not (asked or approved)
    if head.applied is None or waiting or barred:
        return None
    anew = (HELD_ANEW,) if head.held is not None and head.held.outdated else ()
    reasons = (*_wishes(requests), *approved, *changed, *begun, *anew, *_overdue(head, now))
    return Work("again", reasons, (), full, everybody) if reasons else None


def _why(head: Head, newest: Dropped) -> str:
    refused = (mark for mark in head.refused if mark.plan in head.approved)
    return APPROVAL if any(_is_refused(newest, mark) for mark in refused) else NEW_EXPORT


def _cannot_be_repeated(head: Head, circumstances: str) -> bool:
    """Tell whether the last applied export cannot be gone through again, as long as nothing changes."""
    return any(
        head.applied is not None
        and (mark.name, mark.etag, mark.circumstances) == (head.applied.name, head.applied.etag, circumstances)
        for mark in head.refused
    )


def _wishes(requests: Sequence[Request]) -> tuple[str, ...]:
    return ("request",) if any(request.kind == "sync" for request in requests) else ()


def _same_as_failed(head: Head, unmet: Sequence[Dropped]) -> bool:
    """Tell whether the newest export is the one whose run failed last; a newer one is tried at once."""
    mark = unmet[-1].mark()
    return (mark.name, mark.version) == head.failed_export


def _changes(circumstances: str, incarnation: str, *, since: tuple[str, str]) -> tuple[str, ...]:
    before, former = since
    changes = []
    if before and before != circumstances:
        changes.append("settings or mapping changed")
    if former and former != incarnation:
        changes.append("connection changed")
    return tuple(changes)


def _overdue(head: Head, now: int) -> tuple[str, ...]:
    times = (
        (FAILED_ITEMS, head.due.failed),
        (UNMATCHED_PEOPLE, head.due.unmatched),
        (KNOWN_ACCOUNTS, head.due.accounts),
        (FAILED_RUN, head.retry_at),
        (TURNED_DATE, head.due.turn),
    )
    return tuple(reason for reason, moment in times if moment and moment <= now)
