"""The collaborators of a run, and where one invocation stands: what the stages of a run share."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from connector.apply import Items as Writes
from connector.core.contracts import contract_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from connector.clock import Clock
    from connector.core.accounts import Found
    from connector.core.contracts import Contract
    from connector.core.due import Dropped
    from connector.core.head import ExportMark, Head
    from connector.core.mapping import Mapping as ColumnMapping
    from connector.core.setup import Registration
    from connector.settings import Settings
    from connector.storage.blobs import Container
    from connector.storage.state import Lease, NoLease, State

LOOKUP_SECONDS: Final = 1800
"""How long looking up accounts may wait for Graph: within host.json's functionTimeout, whatever SLICE_SECONDS is."""


class Items(Writes, Protocol):
    """What a run asks of Graph's items."""

    async def get(self, item_id: str) -> Mapping[str, Any] | None:
        """Return an item, or None."""
        ...


class Users(Protocol):
    """What a run asks of Entra."""

    async def find(self, asks: Collection[str]) -> Found:
        """Return the users that exist, by account key, and which asks are ambiguous."""
        ...


class Pace(Protocol):
    """What a run reports about its requests, and what the next one starts from."""

    @property
    def learned(self) -> dict[str, float]:
        """Return what to remember."""
        ...

    @property
    def seconds(self) -> float:
        """Return how long requests were under way."""
        ...

    requests: int
    throttled: int
    give_up_at: float | None


@dataclass(frozen=True, slots=True)
class Ingest:
    """Graph as the ingest identity."""

    users: Users
    items: Items
    pace: Pace


class OpenIngest(Protocol):
    """Opens Graph for one invocation; ``before_write`` is called right before each write and may refuse it."""

    def __call__(
        self, *, learned: Mapping[str, float], before_write: Callable[[], None]
    ) -> AbstractAsyncContextManager[Ingest]:
        """Return the context in which Graph is open."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of a sync, as `connector.wiring` provides them."""

    settings: Settings
    clock: Clock
    state: State
    exports: Container
    reports: Container
    quarantine: Container
    mapping: Callable[[], Awaitable[ColumnMapping]]
    open_ingest: OpenIngest
    page: Callable[[Mapping[str, Any]], bytes]
    progress: Callable[[int, int], None] | None = None

    @property
    def contract(self) -> Contract:
        """Return how a person becomes an item."""
        return contract_of(self.settings.contract)

    def item_id(self, key: str, upn: str) -> str:
        """Return what the item of a person is called."""
        return self.contract.item_id(self.settings.connection_id, key=key, upn=upn)

    async def graph(self, at: Standing) -> Ingest:
        """Open Graph when it is first needed: a night without changes needs neither vault nor token."""
        if at.ingest is None:
            opened = self.open_ingest(learned=at.head.pace, before_write=at.lease.check)
            at.ingest = await at.stack.enter_async_context(opened)
            at.ingest.pace.give_up_at = self.clock.monotonic() + LOOKUP_SECONDS
        return at.ingest


@dataclass(slots=True)
class Standing:
    """Where an invocation stands: the head it may write, and under which lease.

    ``verify``: how many items somebody wants to be read back; None where nobody said so. ``wishes``: the names of
    the requests that others have left. ``stopped``: the slice was ended before its time.
    """

    head: Head
    etag: str
    lease: Lease | NoLease
    registration: Registration
    connection_etag: str
    circumstances: str
    mapping: ColumnMapping
    trigger: str
    stop_at: float
    arriving: Sequence[Dropped] = ()
    wishes: tuple[str, ...] = ()
    verify: int | None = None
    newest: ExportMark | None = None
    ingest: Ingest | None = None
    stopped: bool = False
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def stop(self, now: float) -> None:
        """End the slice (monotonic seconds): whatever is being planned is planned, and nothing more is sent then."""
        if self.ingest is not None and self.ingest.pace.give_up_at == self.stop_at:
            self.ingest.pace.give_up_at = now
        self.stop_at = min(self.stop_at, now)
        self.stopped = True
