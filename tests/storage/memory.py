"""A container that lives in memory and keeps the rules of Azure's, so that flows run fast and in virtual time.

The contract suite in ``test_blobs.py`` runs on it and on Azurite. On top it can fail, or end the process, at any
request: positions count from 1, as ``requests`` does.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

from connector.errors import Busy, LeaseLost, StateChanged, StoreError, StoreUnavailable
from connector.storage.blobs import ABSENT, FULL, Blob, BlobInfo, Listing, check_block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from connector.clock import Clock
    from connector.storage.blobs import Container

BLOCK_COUNT_LIMIT = 50_000
"""Blocks in one append blob. https://learn.microsoft.com/rest/api/storageservices/append-block"""


class Killed(BaseException):
    """The process ends here. No ``except Exception`` may catch it, as none could catch the real thing."""


@dataclass(slots=True)
class _Stored:
    data: bytearray
    etag: str
    last_modified: datetime
    content_type: str = "application/octet-stream"
    blocks: int | None = None  # None: a block blob, which takes no appends
    lease: str | None = None
    lease_seconds: int = 0
    lease_until: datetime | None = None
    lease_broken: bool = False


class MemoryContainer:
    """Blobs with ETags, leases that run out by the clock, append blobs, and faults by request position."""

    def __init__(self, clock: Clock, *, exists: bool = True) -> None:
        self.seen: list[str] = []
        """Every request: what it did, and to which blob."""
        self.block_count_limit = BLOCK_COUNT_LIMIT
        self._clock = clock
        self._exists = exists
        self._blobs: dict[str, _Stored] = {}
        self._number = 0
        self._faults: dict[int, tuple[BaseException, bool]] = {}
        self._stalls: dict[int, tuple[Callable[[], None], bool]] = {}
        self._no_writes: BaseException | None = None

    @property
    def requests(self) -> int:
        """Return how many requests there were."""
        return len(self.seen)

    @property
    def contents(self) -> dict[str, bytes]:
        """Return what is stored, for assertions."""
        return {name: bytes(stored.data) for name, stored in sorted(self._blobs.items())}

    def content_type(self, name: str) -> str:
        """Return what a browser is told the blob is."""
        return self._blobs[name].content_type

    def fail(self, position: int, *, error: BaseException | None = None, after_effect: bool = False) -> None:
        """Let the request at this position raise, before or after it has taken effect."""
        self._faults[position] = (error or StoreUnavailable("storage does not answer"), after_effect)

    def kill(self, position: int, *, after_effect: bool = True) -> None:
        """Let the process end at this position, before or after the request has taken effect."""
        self._faults[position] = (Killed(position), after_effect)

    def stall(self, position: int, meanwhile: Callable[[], None], *, after_effect: bool) -> None:
        """Let the process stand still at this position, before or after the request has taken effect.

        ``meanwhile`` is what the rest of the world does until it goes on.
        """
        self._stalls[position] = (meanwhile, after_effect)

    def refuse_writes(self, error: BaseException) -> None:
        """Let every write raise from now on: storage judges who asks before it judges conditions."""
        self._no_writes = error

    def mend(self) -> None:
        """Forget the faults that have not happened yet, and take writes again."""
        self._faults.clear()
        self._no_writes = None

    def break_lease(self, name: str) -> None:
        """Take a lease from whoever holds it."""
        self._blobs[name].lease = None
        self._blobs[name].lease_broken = True

    async def list(self, prefix: str = "", *, delimiter: str | None = None) -> Listing:
        await asyncio.sleep(0)
        blobs: list[BlobInfo] = []
        prefixes: dict[str, None] = {}
        with self._request(f"list {prefix}"):
            for name, stored in sorted(self._blobs.items()):
                if not name.startswith(prefix):
                    continue
                head, found, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else (name, "", "")
                if found:
                    prefixes[prefix + head + found] = None
                else:
                    blobs.append(replace(_info(name, stored), broken=stored.lease_broken))
        return Listing(blobs=tuple(blobs), prefixes=tuple(prefixes), date=self._now())

    async def read(self, name: str) -> Blob | None:
        await asyncio.sleep(0)
        with self._request(f"read {name}"):
            stored = self._blobs.get(name)
            return Blob(data=bytes(stored.data), info=_info(name, stored)) if stored else None

    async def download_to(self, name: str, stream: BinaryIO, *, if_match: str | None = None) -> BlobInfo:
        await asyncio.sleep(0)
        with self._request(f"download_to {name}"):
            stored = self._version(name, if_match)
            stream.write(stored.data)
            return _info(name, stored)

    async def write(
        self,
        name: str,
        data: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        await asyncio.sleep(0)
        if not isinstance(data, bytes):
            raise TypeError("a blob holds bytes")
        with self._request(f"write {name}"):
            if self._no_writes is not None:
                raise self._no_writes
            stored = self._blobs.get(name)
            if if_none_match and stored is not None:
                raise StateChanged("the blob is there")
            if if_match is not None:
                self._version(name, if_match)
            self._check_lease(stored, lease)
            self._blobs[name] = self._new(data, content_type, replaces=stored)
            return self._blobs[name].etag

    async def upload_from(
        self,
        name: str,
        stream: BinaryIO,
        *,
        if_none_match: bool = False,
        content_type: str = "application/octet-stream",
    ) -> str:
        return await self.write(name, stream.read(), if_none_match=if_none_match, content_type=content_type)

    async def copy_from(self, name: str, source: Container, blob: str, *, if_match: str) -> bool:
        await asyncio.sleep(0)
        try:
            with self._request(f"copy_from {name}"):
                if self._no_writes is not None:
                    raise self._no_writes
                if not isinstance(source, MemoryContainer):
                    return False
                original = source._version(blob, if_match)
                self._check_lease(self._blobs.get(name), None)
                self._blobs[name] = self._new(
                    bytes(original.data), original.content_type, replaces=self._blobs.get(name)
                )
        except StoreError:
            return False
        return True

    async def append(self, name: str, block: bytes, *, create: bool = False) -> None:
        check_block(block)
        if create:
            await asyncio.sleep(0)
            with self._request(f"create {name}"):
                if name in self._blobs:
                    raise StateChanged("the blob is there")
                self._blobs[name] = self._new(b"")
                self._blobs[name].blocks = 0
        if block:
            await asyncio.sleep(0)
            with self._request(f"append {name}"):
                self._append(name, block)

    async def delete(self, name: str) -> None:
        await asyncio.sleep(0)
        with self._request(f"delete {name}"):
            self._check_lease(self._blobs.get(name), None)
            self._blobs.pop(name, None)

    async def acquire_lease(self, name: str, *, seconds: int = 60) -> str:
        await asyncio.sleep(0)
        with self._request(f"acquire_lease {name}"):
            stored = self._version(name, None)
            if self._held(stored):
                raise Busy("another run holds the lease")
            stored.lease = str(UUID(int=self._next()))
            stored.lease_seconds = seconds
            stored.lease_broken = False
            self._extend(stored)
            return stored.lease

    async def renew_lease(self, name: str, lease: str) -> None:
        await asyncio.sleep(0)
        with self._request(f"renew_lease {name}"):
            stored = self._blobs.get(name)
            # A lease that ran out can be renewed as long as nobody has written or taken it since.
            # https://learn.microsoft.com/rest/api/storageservices/lease-blob
            if stored is None or stored.lease != lease:
                raise LeaseLost("the lease is not ours")
            self._extend(stored)

    async def release_lease(self, name: str, lease: str) -> None:
        await asyncio.sleep(0)
        with self._request(f"release_lease {name}"):
            stored = self._blobs.get(name)
            if stored is not None and stored.lease == lease:
                stored.lease = None

    async def ensure(self) -> None:
        await asyncio.sleep(0)
        with self._request("ensure", needs_container=False):
            self._exists = True

    @contextmanager
    def _request(self, what: str, *, needs_container: bool = True) -> Iterator[None]:
        self.seen.append(what)
        error, after_effect = self._faults.pop(self.requests, (None, False))
        meanwhile, afterwards = self._stalls.pop(self.requests, (None, False))
        if meanwhile is not None and not afterwards:
            meanwhile()
        if error is not None and not after_effect:
            raise error
        if needs_container and not self._exists:
            raise StoreUnavailable("the container does not exist")
        yield
        if meanwhile is not None and afterwards:
            meanwhile()
        if error is not None:
            raise error

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)  # HTTP dates have whole seconds

    def _new(
        self, data: bytes, content_type: str = "application/octet-stream", *, replaces: _Stored | None = None
    ) -> _Stored:
        stored = _Stored(bytearray(data), self._next_etag(), self._now(), content_type)
        if replaces is not None:  # a leased blob stays leased when it is overwritten
            stored.lease = replaces.lease
            stored.lease_seconds, stored.lease_until = replaces.lease_seconds, replaces.lease_until
        return stored

    def _next_etag(self) -> str:
        return f'"0x{self._next():X}"'

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _version(self, name: str, etag: str | None) -> _Stored:
        stored = self._blobs.get(name)
        if stored is None:
            raise StateChanged("the blob is not there", code=ABSENT)
        if etag is not None and stored.etag != etag:
            raise StateChanged("the blob is another version")
        return stored

    def _append(self, name: str, block: bytes) -> None:
        stored = self._version(name, None)
        self._check_lease(stored, None)
        if stored.blocks is None:
            raise StateChanged("the blob takes no appends")
        if stored.blocks >= self.block_count_limit:
            raise StateChanged("the blob is full", code=FULL)
        stored.data += block
        stored.blocks += 1
        stored.etag, stored.last_modified = self._next_etag(), self._now()

    def _extend(self, stored: _Stored) -> None:
        stored.lease_until = self._clock.now() + timedelta(seconds=stored.lease_seconds)

    def _held(self, stored: _Stored) -> bool:
        return stored.lease is not None and stored.lease_until is not None and self._clock.now() < stored.lease_until

    def _check_lease(self, stored: _Stored | None, lease: str | None) -> None:
        """Refuse a change under the wrong lease; a change without one ends a lease that has run out or was broken."""
        held = stored is not None and self._held(stored)
        if stored is None:
            if lease is not None:
                raise LeaseLost("the leased blob is gone")
        elif held and lease != stored.lease:
            raise LeaseLost("the lease is not ours")
        elif not held:
            if lease is not None:
                raise LeaseLost("the lease has run out")
            stored.lease, stored.lease_broken = None, False


def _info(name: str, stored: _Stored) -> BlobInfo:
    return BlobInfo(name=name, size=len(stored.data), etag=stored.etag, last_modified=stored.last_modified)
