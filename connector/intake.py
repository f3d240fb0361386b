"""The exports a run reads: downloaded, held to their manifests and to the last ones, copied, and quarantined."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from connector.clock import day_in
from connector.core import guards
from connector.core.manifest import Manifest
from connector.core.population import ExportFile, Reading, awaken, is_correction, read_population, set_aside
from connector.core.quarantine import quarantine_file, quarantine_name
from connector.errors import ConnectorError, DiskError, ExportError, NotReady, StateChanged
from connector.offload import offload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import date

    from connector.core.accounts import Matching
    from connector.core.due import Dropped, Work
    from connector.core.head import ExportMark
    from connector.core.ledger import Ledger
    from connector.core.report import Report
    from connector.core.unaltered import Remembered
    from connector.services import Services, Standing

UNREAD: Final = {"name": None, "etag": None, "rows": None, "encoding": None, "delimiter": None}
"""The facts of an export before it has been read: they are in every report, so that programs find them."""


@dataclass(frozen=True, slots=True)
class Input:
    """The exports a run reads, in order, and their files.

    ``fresh``: the new export among them (the last); None: old ones once more. ``says``: what its manifest says.
    ``today``: the day on which it is decided which rows count; None where none is needed.
    """

    marks: tuple[ExportMark, ...]
    files: tuple[ExportFile, ...]
    fresh: ExportMark | None
    complete: bool
    size: int
    today: date | None = None
    says: Manifest = field(default_factory=Manifest)

    @property
    def facts(self) -> dict[str, Any]:
        """Return what the report says of the newest export before it has been read."""
        mark = self.marks[-1]
        kind = "partial" if mark.partial else "complete"
        known = {"name": mark.name, "etag": mark.etag, "sha256": mark.sha256, "kind": kind}
        return {**UNREAD, **known, "new": self.fresh is not None}


class CopyMissing(ConnectorError):
    """Our own copy of an export is gone: what was planned from it cannot be rendered again."""


class Intake:
    """Reads what one run is about. ``begun``: the export that it has begun to read, whatever came of it."""

    def __init__(self, services: Services, standing: Standing) -> None:
        self._services = services
        self._at = standing
        self._state = services.state
        self.begun: ExportMark | None = None

    async def choose(self, work: Work, folder: Path) -> Input:
        """Return the input of ``work``, its files in ``folder``: the newest complete export, or else the oldest other.

        Where the work is about everybody, what has been applied comes before an export of some people.

        Raises:
            ExportError: a file is not what its manifest says.
            NotReady: a file was replaced meanwhile.
            CopyMissing: what was applied is to be read again, and our copy is gone.
        """
        if work.kind == "again":
            return await self._applied(folder)
        today = self.today()
        oldest: Input | None = None
        for number, dropped in enumerate(reversed(work.candidates)):
            place = folder / str(number)
            place.mkdir()
            mark, files = await self._fetch(dropped, place)
            size = size_of(place)
            says = dropped.says or Manifest()
            chosen = Input((mark,), files, mark, complete=not mark.partial, size=size, today=today, says=says)
            if not mark.partial:
                return chosen
            oldest = chosen
        if oldest is None:
            raise ExportError("there is no export to read", code="empty_file")
        if work.everybody and self._at.head.applied is not None:
            with suppress(CopyMissing):
                return await self._applied(folder)
        return oldest

    async def _applied(self, folder: Path) -> Input:
        """Return what has been applied: the last complete export, and those of some people that came after it."""
        marks = tuple(mark for mark in (self._at.head.applied, *self._at.head.partials) if mark)
        place = folder / "applied"
        place.mkdir()
        files = await self.from_copies(marks, place)
        return Input(marks, files, None, complete=True, size=size_of(place), today=self.today())

    async def is_complete(self, dropped: Dropped) -> bool:
        """Tell whether an export is there that speaks of everybody, or may: what cannot be read is refused later."""
        with TemporaryDirectory(prefix="people-connector-") as folder:
            try:
                mark, _ = await self._fetch(dropped, Path(folder))
            except ExportError:
                return True
            except NotReady:
                return False  # it is being replaced
            finally:
                self.begun = None
        return not mark.partial

    def today(self) -> date | None:
        """Return which day it is where HR is, for a mapping whose rows count from one day to another."""
        file = self._at.mapping.file
        return day_in(file.timezone, self._services.clock.now()) if file.effective else None

    async def _fetch(self, dropped: Dropped, folder: Path) -> tuple[ExportMark, tuple[ExportFile, ...]]:
        """Download one version of an export, hold it to its manifest, and tell whether it is partial."""
        self.begun = dropped.mark()
        says = dropped.says or Manifest()
        if says.problem:
            raise ExportError(says.problem, code="truncated")
        files: list[ExportFile] = []
        marks: list[ExportMark] = []
        for number, blob in enumerate((dropped, *dropped.members)):
            path = folder / str(number)
            await self._download(blob, path)
            files.append(_file(blob.name, path, joins=number > 0))
            digest = await offload(path.stat().st_size, partial(_file_digest, path))
            promised = _promised(says, number, blob.name)
            if promised - {digest}:
                raise ExportError(
                    "the file is not the one its manifest names by sha256; upload both again",
                    code="truncated",
                    file=blob.name if dropped.members else "",
                )
            marks.append(replace(self.begun.files[number], sha256=digest, vouched=bool(promised)))
        lead = replace(marks[0], partial=self._is_partial(says, files), rows=says.rows, members=tuple(marks[1:]))
        return lead, tuple(files)

    async def _download(self, blob: Dropped, path: Path) -> None:
        with _on_disk(), path.open("wb") as stream:
            try:
                await self._services.exports.download_to(blob.name, stream, if_match=blob.etag)
            except StateChanged as error:
                raise NotReady("the export was replaced while it was read; the next tick takes the new one") from error

    def _is_partial(self, says: Manifest, files: Sequence[ExportFile]) -> bool:
        """Tell whether an export holds some of the people only; a correction does, whatever anybody says."""
        by_name = any(self._at.mapping.is_partial(file.name) for file in files)
        return (says.kind == "partial" if says.kind else by_name) or any(map(is_correction, files))

    async def from_copies(self, marks: Iterable[ExportMark], folder: Path) -> tuple[ExportFile, ...]:
        """Return the files of exports as we have copied them. Raises `CopyMissing`."""
        files: list[ExportFile] = []
        for mark in marks:
            for file in mark.files:
                path = folder / f"copy-{len(files)}"
                try:
                    with _on_disk(), path.open("wb") as stream:
                        await self._state.container.download_to(file.copy, stream)
                except StateChanged as error:
                    raise CopyMissing(
                        "our copy of the last export is not in the state container any more; the next export mends it",
                        code="copy_missing",
                    ) from error
                files.append(_file(file.name, path, joins=file is not mark))
        return tuple(files)

    async def read(self, chosen: Input, ledger: Ledger, sender: bytes, remembered: Remembered | None) -> Reading:
        """Return whom an input speaks of. Raises `connector.errors.ExportError` when it cannot be read.

        ``sender`` and what is ``remembered`` as `connector.core.population.read_population` takes them.
        """
        lost = self._at.head.lost
        return await offload(
            chosen.size,
            lambda: read_population(
                chosen.files,
                self._at.mapping,
                complete=chosen.complete,
                # Where the head was lost, this may have been applied before: it is no further absence of anybody's.
                new=chosen.fresh is not None and not (lost is not None and lost.head),
                item_id=self._services.item_id if self._services.contract.IDS_FOLLOW_ACCOUNTS else None,
                entries=ledger.entries.values(),
                today=chosen.today,
                sender=sender,
                remembered=remembered,
            ),
        )

    async def awaken(self, reading: Reading, chosen: Input, woken: Collection[int]) -> Reading:
        """Return the reading in which further people are decided about, by their indices in what was remembered."""
        return await offload(chosen.size, lambda: awaken(reading, woken)) if woken else reading

    async def set_aside(self, reading: Reading, chosen: Input, matching: Matching) -> Reading:
        """Return the reading with the rows rejected whose accounts turned out to be somebody else's, too."""
        contested = matching.contested
        return await offload(chosen.size, lambda: set_aside(reading, chosen.files, self._at.mapping, contested))

    async def keep_copies(self, chosen: Input, run: str) -> Input:
        """Keep our own copy of a new export, so that what it says can be read again whatever HR does with the file."""
        if chosen.fresh is None:
            return chosen
        known = [file for mark in (self._at.head.applied, *self._at.head.partials) if mark for file in mark.files]
        marks: list[ExportMark] = []
        for number, (mark, file) in enumerate(zip(chosen.fresh.files, chosen.files, strict=True)):
            name = mark.name.rsplit("/", 1)[-1]
            same = (
                each.copy
                for each in known
                if each.sha256 == mark.sha256 and each.copy and _packing(each.name) == _packing(name)
            )
            copy = next(same, None)
            if copy is None:
                copy = await self._keep_copy(run, mark, file, f"{number}-{name}" if number else name)
            marks.append(replace(mark, copy=copy))
        fresh = replace(marks[0], members=tuple(marks[1:]))
        return replace(chosen, fresh=fresh, marks=(*chosen.marks[:-1], fresh))

    async def _keep_copy(self, run: str, mark: ExportMark, file: ExportFile, name: str) -> str:
        """Keep a copy of one file under a name of its own, since those of two folders may have one name."""
        copy = self._state.copy_name(run, name)
        exports, container = self._services.exports, self._state.container
        if not await container.copy_from(copy, exports, mark.name, if_match=mark.etag):
            with file.open() as stream:
                await container.upload_from(copy, stream)  # type: ignore[arg-type]
        return copy

    async def quarantine(self, report: Report, chosen: Input, reading: Reading) -> Report:
        """Give HR the rejected rows of a new export, those of every file in a file of its own."""
        if chosen.fresh is None:
            return report
        names: list[str] = []
        for file in reading.files:
            if file.rejections:
                name = quarantine_name(self._services.settings.connection_id, file.name, report.run)
                data = quarantine_file(file.header, file.rejections, delimiter=file.delimiter, encoding=file.encoding)
                await self._services.quarantine.write(name, data, content_type="text/csv")
                names.append(name)
        return replace(report, quarantine=names[0], quarantines=tuple(names)) if names else report


def hold_to_manifest(chosen: Input, reading: Reading) -> None:
    """Refuse files with another number of rows than their manifest promises, as an `ExportError` ``truncated``."""
    says = chosen.says
    if says.rows and says.rows != reading.rows:
        found = f"the file has {reading.rows}" if len(reading.files) == 1 else f"its files have {reading.rows}"
        raise ExportError(f"the manifest promises {says.rows} rows; {found}", code="truncated")
    for listed, file in zip(says.files, reading.files, strict=False):
        if listed.rows and listed.rows != file.rows:
            raise ExportError(
                f"the manifest promises {listed.rows} rows of the file; it has {file.rows}",
                code="truncated",
                file=file.name,
            )


def hold_to_last(chosen: Input, last: ExportMark | None, reading: Reading) -> None:
    """Refuse an export that cannot be the whole population, as the last applied one was, as ``truncated``.

    The end of a last line is missing that was there the last time, so it was cut off. A manifest vouches for it.
    """
    if last is None or chosen.fresh is None:
        return
    for mark, before, file in zip(chosen.fresh.files, last.files, reading.files, strict=False):
        if before.final_newline and not file.facts["final_newline"] and not mark.vouched:
            raise ExportError(
                "its last line does not end in a line break, as the last export's did: it was cut off. If it is whole,"
                " upload it with a manifest",
                code="truncated",
                file=file.name if chosen.fresh.members else "",
            )


def as_read(chosen: Input, reading: Reading) -> Input:
    """Return the input whose newest mark tells how it was read, for the next export to be compared with."""
    names = ("encoding", "delimiter", "skipped", "final_newline")
    lead, *members = (
        replace(mark, **{name: file.facts[name] for name in names})
        for mark, file in zip(chosen.marks[-1].files, reading.files, strict=True)
    )
    mark = replace(lead, members=tuple(members), fill=guards.to_remember(reading.fill))
    return replace(chosen, marks=(*chosen.marks[:-1], mark), fresh=mark)


@contextmanager
def _on_disk() -> Iterator[None]:
    """Let a run end with a sentence about the disk where a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise DiskError(error) from error


def _file(name: str, path: Path, *, joins: bool) -> ExportFile:
    return ExportFile(name, lambda: path.open("rb"), joins)


def _promised(says: Manifest, number: int, name: str) -> set[str]:
    """Return the digests by which a manifest names a file."""
    listed = {each.name: each.sha256 for each in says.files}
    return {says.sha256 if number == 0 else "", listed.get(name, "")} - {""}


def _packing(name: str) -> str:
    return name.rsplit(".", 1)[-1].casefold()


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
