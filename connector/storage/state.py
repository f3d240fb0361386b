"""Our own memory in the state container: one mutable head under a lease, everything else written once.

::

    {connection}/head.json                       the one truth; every commit carries lease and If-Match
    {connection}/ledger/{generation}.columns     what Graph holds (an earlier release's: .jsonl.gz)
    {connection}/exports/{run}/{name}            our own copy of an applied export
    {connection}/runs/{run}/plan.jsonl.gz        what a run will do, stored before it begins
    {connection}/runs/{run}/journal-{epoch}      announced, and what became of it; append blob
    {connection}/requests/{name}.json            what operators asked for
    {connection}/pending/{hash}.json             what waits for an approval of that hash
    {connection}/paused.json                     who paused syncing, why and since when; absent: nobody has
    {connection}/resumed.json                    who let it go on the last time
    {connection}/connection.json                 what setup made (connector.provision)
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import io
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from connector.core import retention
from connector.core.approval import dump_pending, load_pending
from connector.core.due import Request
from connector.core.head import Approval, Head, dump_head, load_head
from connector.core.ledger import dump_entry, load_entry, open_ledger, read_lines, write_ledger, write_lines
from connector.core.ledger import sample as ledger_sample
from connector.core.plan import Delete, Plan, Progress, Upsert
from connector.core.setup import Registration
from connector.errors import Busy, LeaseLost, StateChanged, StoreError, StoreUnavailable
from connector.offload import offload
from connector.storage.spool import Spool, on_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence

    from connector.clock import Clock
    from connector.core.approval import Pending
    from connector.core.ledger import Ledger
    from connector.core.plan import Action
    from connector.storage.blobs import BlobInfo, Container

LEASE_SECONDS: Final = 60
RENEW_SECONDS: Final = 15
RENEW_AGAIN_SECONDS: Final = 2
"""After a renewal that was not answered. A whole turn later no write could begin any more."""
WRITE_MARGIN_SECONDS: Final = 35
"""A Graph request may be under way for so long; no write begins that could outlive the lease (design §3.12)."""

_ENTRY: Final = 200
"""Bytes of one entry as JSON, about."""
_PACKED: Final = 4
"""How much gzip makes of our lines, about."""

_JOURNAL: Final = "journal-"

_OR_FORGET_IT: Final = (
    "; without it nobody can say what that run has sent. Restore the blob (soft delete, versions), or run:"
    " sync --full --rebuild"
)

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Look:
    """What one listing tells: which of our blobs there are, by ETag ("" when absent).

    ``runs``: there are plans or journals, of the unfinished run or left over from others. ``broken``: somebody has
    broken the head's lease, and nobody has had it since.
    """

    head: str
    connection: str
    requests: bool
    paused: bool = False
    runs: bool = False
    broken: bool = False


class NoLease:
    """No right to write anything: whoever holds this only looks."""

    @property
    def id(self) -> str:
        """Raise LeaseLost: there is none."""
        self.check()
        return ""

    def check(self) -> None:
        """Raise LeaseLost, always."""
        raise LeaseLost("this is a dry run, which writes nothing")


class Lease:
    """The right to write, for as long as `check` does not raise. Renewed in the background."""

    def __init__(self, container: Container, name: str, clock: Clock, lease_id: str, sent: float) -> None:
        self.id = lease_id
        self._container = container
        self._name = name
        self._clock = clock
        self._deadline = sent + LEASE_SECONDS

    def check(self) -> None:
        """Raise LeaseLost when a write begun now might still be under way after the lease has run out."""
        if self._clock.monotonic() >= self._deadline - WRITE_MARGIN_SECONDS:
            raise LeaseLost("the lease could not be renewed in time; this run stops, and the next one goes on")

    async def keep(self) -> None:
        """Renew for ever. The deadline counts from when the last renewal that succeeded was sent."""
        pause = RENEW_SECONDS
        while True:
            await self._clock.sleep(pause)
            sent = self._clock.monotonic()
            try:
                await self._container.renew_lease(self._name, self.id)
            except StoreUnavailable:
                pause = RENEW_AGAIN_SECONDS  # the deadline stands: `check` stops the run if it stays like that
                continue
            except LeaseLost:
                self._deadline = float("-inf")
                return
            self._deadline, pause = sent + LEASE_SECONDS, RENEW_SECONDS


class State:
    """The state of one connection in its container."""

    def __init__(self, container: Container, connection_id: str) -> None:
        self.container = container
        self._root = connection_id
        self._head_name = f"{connection_id}/head.json"

    # --- looking ----------------------------------------------------------------------------------------------------

    async def look(self) -> Look:
        """Tell in one request what there is."""
        listing = await self.container.list(f"{self._root}/", delimiter="/")
        etags = {info.name.removeprefix(f"{self._root}/"): info.etag for info in listing.blobs}
        return Look(
            head=etags.get("head.json", ""),
            connection=etags.get("connection.json", ""),
            requests=f"{self._root}/requests/" in listing.prefixes,
            paused="paused.json" in etags,
            runs=f"{self._root}/runs/" in listing.prefixes,
            broken=any(info.name == self._head_name and info.broken for info in listing.blobs),
        )

    async def head(self) -> tuple[Head, str]:
        """Return the head and its ETag; a fresh head and "" when there is none."""
        blob = await self.container.read(self._head_name)
        return (load_head(blob.data), blob.info.etag) if blob else (Head(), "")

    async def registration(self) -> Registration | None:
        """Return what setup remembers about the connection; None before the first setup and after a teardown."""
        blob = await self.container.read(f"{self._root}/connection.json")
        return Registration.from_json(blob.data) if blob else None

    async def note(self, amend: Callable[[Registration], Registration]) -> None:
        """Let ``amend`` add to what is remembered about the connection; whoever writes it meanwhile wins.

        Raises:
            StoreError: it cannot be read or written.
        """
        blob = await self.container.read(f"{self._root}/connection.json")
        known = Registration.from_json(blob.data) if blob else None
        if blob is None or known is None or (amended := amend(known)) == known:
            return
        with contextlib.suppress(StateChanged):
            await self.container.write(blob.info.name, amended.to_json(), if_match=blob.info.etag, content_type=JSON)

    # --- the lease --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self, clock: Clock, *, broken: bool = False) -> AsyncIterator[Lease]:
        """Hold the head's lease, renewed in the background, until the block ends.

        Whoever had it may be at work yet when it was ``broken`` instead of running out, and learns of it only at their
        next renewal. So the block begins when theirs would have run out.

        Raises:
            Busy: another run holds it.
        """
        with contextlib.suppress(StateChanged, LeaseLost):  # it is there, or even leased: storage may say either
            await self.container.write(self._head_name, dump_head(Head()), if_none_match=True, content_type=JSON)
        sent = clock.monotonic()
        lease_id = await self.container.acquire_lease(self._head_name, seconds=LEASE_SECONDS)
        lease = Lease(self.container, self._head_name, clock, lease_id, sent)
        keeping = asyncio.create_task(lease.keep())
        try:
            if broken:
                await clock.sleep(LEASE_SECONDS)
            yield lease
        finally:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping
            with contextlib.suppress(StoreError):
                await self.container.release_lease(self._head_name, lease_id)

    async def commit(self, head: Head, *, etag: str, lease: Lease | NoLease) -> str:
        """Put the head in place of the version ``etag`` and return its own ETag.

        Raises:
            StateChanged, LeaseLost: somebody else is at work; nothing was written.
        """
        return await self.container.write(
            self._head_name, dump_head(head), if_match=etag, lease=lease.id, content_type=JSON
        )

    # --- ledgers ----------------------------------------------------------------------------------------------------

    async def ledger(self, generation: int) -> Ledger:
        """Return a generation of the ledger.

        Raises:
            StoreError: ``ledger_missing`` when it is not there, not whole, or of another generation: without it nobody
                can say what Graph holds. ``ledger_format`` when another release wrote it.
        """
        file = await self._download_ledger(generation)
        return await offload(file.size * _PACKED, lambda: _load_ledger(file, generation))

    async def sample(self, generation: int, *, most: int) -> tuple[Ledger, tuple[str, ...]]:
        """Return whose ledger a generation is, without its entries, and the ids of some items that Graph holds.

        Raises:
            StoreError: as `ledger`.
        """
        ledger = await self.ledger(generation)
        return replace(ledger, entries={}), ledger_sample(ledger, most=most)

    async def newest_ledger(self) -> int:
        """Return the newest generation there is, named by a head or not; 0 when there is none."""
        listing = await self.container.list(f"{self._root}/ledger/")
        numbers = (info.name.rpartition("/")[2].partition(".")[0] for info in listing.blobs)
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    async def save_ledger(self, ledger: Ledger) -> Ledger:
        """Store a ledger as a new generation and return it, under the number it got.

        A number that is taken belongs to a run that died before its head did, or to one that has taken over from us
        meanwhile. The latter's is what head.json names, so nothing is ever written over: the next number is ours.
        """
        while True:
            with on_disk():
                file = await offload(len(ledger.entries) * _ENTRY, functools.partial(_written, ledger))
            with contextlib.closing(file):
                try:
                    await self._upload(self._ledger_name(ledger.generation), file)
                except StateChanged:
                    ledger = replace(ledger, generation=ledger.generation + 1)
                else:
                    return ledger

    async def _upload(self, name: str, file: Spool) -> None:
        if file.is_small:
            await self.container.write(name, file.read(0, file.size), if_none_match=True)
        else:
            await self.container.upload_from(name, file.stream, if_none_match=True)

    async def _download_ledger(self, generation: int) -> Spool:
        """Return the file of a generation, the later one where there are two.

        A run that died before its head did may have left one under the name that another release has for it.
        """
        name = f"{self._root}/ledger/{generation:08d}."
        found = (await self.container.list(name)).blobs
        if not found:
            raise _ledger_missing("is not there")
        chosen = max(found, key=lambda info: (info.last_modified, info.name == self._ledger_name(generation)))
        file = Spool()
        try:
            with on_disk():
                await self.container.download_to(chosen.name, file.stream)
        except StateChanged as error:
            raise _ledger_missing("is not there") from error
        return file

    def _ledger_name(self, generation: int) -> str:
        return f"{self._root}/ledger/{generation:08d}.columns"

    # --- runs -------------------------------------------------------------------------------------------------------

    async def save_plan(self, run: str, plan: Plan, facts: Mapping[str, Any]) -> None:
        """Store a plan before anything of it is done; ``facts`` come back with it."""
        data = await offload(len(plan.actions) * _ENTRY, lambda: _dump_plan(plan, facts))
        await self.container.write(f"{self._root}/runs/{run}/plan.jsonl.gz", data)

    async def plan(self, run: str) -> tuple[Plan, dict[str, Any]]:
        """Return a stored plan and its facts.

        Raises:
            StoreError: ``plan_missing`` or ``plan_corrupt``.
        """
        blob = await self.container.read(f"{self._root}/runs/{run}/plan.jsonl.gz")
        if blob is None:
            raise StoreError(f"the plan of the unfinished run is not there{_OR_FORGET_IT}", code="plan_missing")
        return await offload(len(blob.data) * _PACKED, lambda: _load_plan(blob.data))

    def journal(self, run: str, epoch: int) -> Journal:
        """Return the journal that this epoch of a run writes."""
        return Journal(self.container, f"{self._root}/runs/{run}/{_JOURNAL}{epoch:06d}")

    async def progress(self, run: str, epochs: Sequence[int]) -> Progress:
        """Return what all journals of a run say together.

        Raises:
            StoreError: ``journal_corrupt``.
        """
        announced: set[int] = set()
        outcomes: dict[int, str] = {}
        for epoch in epochs:
            blob = await self.container.read(f"{self._root}/runs/{run}/{_JOURNAL}{epoch:06d}")
            try:
                for block in map(orjson.loads, blob.data.splitlines() if blob else ()):
                    announced.update(block.get("a", ()))
                    announced.difference_update(block.get("w", ()))
                    outcomes.update(dict(block.get("o", ())))
            except (AttributeError, TypeError, ValueError) as error:
                raise StoreError(
                    f"a journal of the unfinished run cannot be read{_OR_FORGET_IT}", code="journal_corrupt"
                ) from error
        return Progress(frozenset(announced), outcomes)

    async def runs(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return the runs of which a plan or journals are there, the oldest first, with the epochs of their journals.

        That is the unfinished run, and what could not be deleted of others.
        """
        found: dict[str, list[int]] = {}
        for info in (await self.container.list(f"{self._root}/runs/")).blobs:
            run, _, part = info.name.removeprefix(f"{self._root}/runs/").partition("/")
            epochs = found.setdefault(run, [])
            if part.startswith(_JOURNAL) and part.removeprefix(_JOURNAL).isdecimal():
                epochs.append(int(part.removeprefix(_JOURNAL)))
        return [(run, tuple(sorted(epochs))) for run, epochs in sorted(found.items())]

    # --- copies of exports ------------------------------------------------------------------------------------------

    def copy_name(self, run: str, name: str) -> str:
        """Return what our own copy of an export is called."""
        return f"{self._root}/exports/{run}/{name.rsplit('/', 1)[-1]}"

    # --- what is left over ------------------------------------------------------------------------------------------

    async def leftovers(self, head: Head) -> list[str]:
        """Return what a head does not refer to: older ledgers than the last ones, copies, plans and journals.

        What there is of it beyond a bounded part stays for the next time. Asked for before the head is committed: the
        commit proves that the lease was ours until then, so none of these names can be of a run that takes over later.
        """
        listing = await self.container.list(f"{self._root}/")
        names: dict[str, list[str]] = {}
        for info in listing.blobs:
            names.setdefault(info.name.removeprefix(f"{self._root}/").partition("/")[0], []).append(info.name)
        unfinished = f"{self._root}/runs/{head.run.id}/" if head.run else None
        copies = retention.kept_copies(head)
        waiting = [each.plan for each in (head.held, *head.refused, *head.approvals) if each and each.plan]
        pending = set(map(self._pending_name, waiting))
        left = [
            *(name for name in names.get("exports", ()) if name not in copies),
            *(name for name in names.get("pending", ()) if name not in pending),
            *retention.old_ledgers(names.get("ledger", ()), self._ledger_name(head.generation)),
            *(name for name in names.get("runs", ()) if unfinished is None or not name.startswith(unfinished)),
        ]
        return left[: retention.MOST_DELETED]

    async def forget(self, names: Iterable[str], *, lease: Lease | NoLease) -> None:
        """Delete blobs of ours, as long as the lease is.

        Raises:
            LeaseLost: it is not any more; whoever has it may use what has one of these names by now.
        """
        for name in names:
            lease.check()
            await self.container.delete(name)

    # --- requests ---------------------------------------------------------------------------------------------------

    async def requests(self) -> list[Request]:
        """Return what operators asked for and has not been carried out."""
        found = []
        for info in (await self.container.list(f"{self._root}/requests/")).blobs:
            blob = await self.container.read(info.name)
            if blob is not None:
                found.append(_request(info, blob.data))
        return found

    async def ask(self, name: str, *, full: bool, by: str = "") -> None:
        """Ask the next tick for a run. HTTP functions never write the head; they leave this."""
        body = orjson.dumps({"kind": "sync", "full": full, "by": by})
        await self.container.write(f"{self._root}/requests/{name}.json", body, content_type=JSON)

    async def ask_to_release(self, name: str, approval: Approval) -> None:
        """Tell the next tick that somebody has approved what waits."""
        body = orjson.dumps({"kind": "approve", "plan": approval.plan, "by": approval.by, "at": approval.at})
        await self.container.write(f"{self._root}/requests/{name}.json", body, content_type=JSON)

    async def forget_requests(self, requests: Iterable[Request]) -> None:
        """Delete requests that have been carried out."""
        for request in requests:
            await self.container.delete(request.name)

    # --- what waits for an approval ---------------------------------------------------------------------------------

    async def save_pending(self, pending: Pending) -> None:
        """Keep what waits, under its hash: the same hash is always of the same."""
        await self.container.write(self._pending_name(pending.digest), dump_pending(pending), content_type=JSON)

    async def pending(self, plan: str) -> Pending | None:
        """Return what waits, or waited, under a hash; None when that is not known any more."""
        blob = await self.container.read(self._pending_name(plan))
        return load_pending(blob.data) if blob else None

    def _pending_name(self, plan: str) -> str:
        return f"{self._root}/pending/{plan.removeprefix('sha256:')}.json"

    # --- pausing ----------------------------------------------------------------------------------------------------

    async def paused(self) -> dict[str, Any] | None:
        """Return who paused syncing, why and since when; None when nobody has."""
        return await self._note("paused")

    async def resumed(self) -> dict[str, Any] | None:
        """Return who let it go on the last time, why and when; None when nobody ever paused it."""
        return await self._note("resumed")

    async def pause(self, note: Mapping[str, Any]) -> None:
        """Let ticks do nothing from now on; a run that is under way stops before long."""
        await self.container.write(f"{self._root}/paused.json", orjson.dumps(note), content_type=JSON)

    async def resume(self, note: Mapping[str, Any]) -> None:
        """Let ticks work again."""
        await self.container.write(f"{self._root}/resumed.json", orjson.dumps(note), content_type=JSON)
        await self.container.delete(f"{self._root}/paused.json")

    async def _note(self, name: str) -> dict[str, Any] | None:
        """Return a note of who did what; of one that is damaged, that it is there."""
        blob = await self.container.read(f"{self._root}/{name}.json")
        if blob is None:
            return None
        try:
            note = orjson.loads(blob.data)
        except orjson.JSONDecodeError:
            note = None
        return note if isinstance(note, dict) else {}

    async def is_running(self) -> bool:
        """Tell whether a run holds the lease now."""
        try:
            lease_id = await self.container.acquire_lease(self._head_name, seconds=15)
        except Busy:
            return True
        except StateChanged:
            return False
        await self.container.release_lease(self._head_name, lease_id)
        return False


class Journal:
    """One epoch's append blob. Reading takes the last word on each index, so a repeated block is harmless."""

    def __init__(self, container: Container, name: str) -> None:
        self._container = container
        self._name = name
        self._created = False

    async def record(
        self, *, announced: Sequence[int], outcomes: Mapping[int, str], withdrawn: Sequence[int] = ()
    ) -> None:
        """Append one block: what is about to be sent, what became of what was sent, what was not sent after all."""
        block: dict[str, Any] = {}
        if outcomes:
            block["o"] = list(outcomes.items())
        if announced:
            block["a"] = list(announced)
        if withdrawn:
            block["w"] = list(withdrawn)
        await self._container.append(
            self._name, orjson.dumps(block, option=orjson.OPT_APPEND_NEWLINE), create=not self._created
        )
        self._created = True


def _request(info: BlobInfo, data: bytes) -> Request:
    """Read a request; one that cannot be read asks for a plain run, since somebody wanted something."""
    try:
        raw = orjson.loads(data)
        if raw.get("kind") != "approve":
            return Request(info.name, full=bool(raw.get("full")))
        approval = Approval(str(raw["plan"]), str(raw["by"]), int(raw["at"]))
        return Request(info.name, kind="approve", approval=approval)
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return Request(info.name)


def _load_ledger(file: Spool, generation: int) -> Ledger:
    with _explained():
        return _of_generation(open_ledger(file.read, file.size), generation)


def _written(ledger: Ledger) -> Spool:
    file = Spool()
    try:
        write_ledger(ledger, file.stream.write)
    except BaseException:
        file.close()
        raise
    file.stream.seek(0)
    return file


def _of_generation(ledger: Ledger, generation: int) -> Ledger:
    """Return the ledger, unless it is another than its name says: an older one may have been put in its place."""
    if ledger.generation != generation:
        raise _ledger_missing(f"is not there: generation {ledger.generation} stands in the place of {generation}")
    return ledger


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Let a ledger that is damaged be one that is missing: neither can say what Graph holds."""
    try:
        yield
    except StoreError as error:
        if error.code != "ledger_corrupt":
            raise
        raise _ledger_missing(f"is damaged: {error.message}") from error


def _ledger_missing(how: str) -> StoreError:
    return StoreError(
        f"the ledger that head.json names {how}; without it nobody can say what Graph holds."
        " Restore the blob (soft delete, versions), or run: sync --full --rebuild",
        code="ledger_missing",
    )


def _dump_plan(plan: Plan, facts: Mapping[str, Any]) -> bytes:
    header = {
        "facts": facts,
        "forgotten": plan.forgotten,
        "missing": plan.missing,
        "counts": {name: getattr(plan, name) for name in _PLAN_COUNTS},
        "actions": len(plan.actions),
        "changes": len(plan.changes),
    }
    rows = (*map(_dump_action, plan.actions), *map(dump_entry, plan.changes), *map(_dump_action, plan.held))
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as stream:
        write_lines(stream, header, rows)
    return buffer.getvalue()


_PLAN_COUNTS: Final = ("people", "unchanged", "unmatched", "grace", "outside", "leavers", "out_of_scope")


def _load_plan(data: bytes) -> tuple[Plan, dict[str, Any]]:
    try:
        return _read_plan(data)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"the plan of the unfinished run cannot be read{_OR_FORGET_IT}", code="plan_corrupt"
        ) from error


def _read_plan(data: bytes) -> tuple[Plan, dict[str, Any]]:
    header, lines = read_lines(data)
    rows = list(lines)
    actions, changes = header["actions"], header["changes"]
    held = [_load_action(row) for row in rows[actions + changes :]]
    plan = Plan(
        actions=tuple(_load_action(row) for row in rows[:actions]),
        changes=tuple(load_entry(row) for row in rows[actions : actions + changes]),
        forgotten=tuple(header["forgotten"]),
        missing=tuple(header["missing"]),
        held=tuple(action for action in held if isinstance(action, Delete)),
        **header["counts"],
    )
    return plan, header["facts"]


def _dump_action(action: Action) -> list[Any]:
    match action:
        case Upsert():
            return ["put", dump_entry(action.after), action.row, action.file, action.created, action.moved, action.over]
        case Delete():
            return ["delete", dump_entry(action.entry), action.reason]


def _load_action(row: list[Any]) -> Action:
    if row[0] == "put":
        _, entry, place, file, created, *moves = row
        moved, over = moves or ("", ())  # a run that an earlier release began has none, and may be unfinished
        return Upsert(load_entry(entry), place, file, created, moved, tuple(over))
    return Delete(load_entry(row[1]), row[2])
