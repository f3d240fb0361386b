"""One contract for every container: what holds in memory must hold in storage, and the other way round."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest

from connector.errors import Busy, ConfigurationError, LeaseLost, StateChanged, StoreUnavailable
from connector.storage.blobs import (
    ABSENT,
    APPEND_BLOCK_LIMIT,
    FULL,
    SINGLE_PUT_LIMIT,
    AzureContainer,
    Container,
    _refusal,
    open_service,
)
from tests.storage.memory import Killed, MemoryContainer
from tests.tenant.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.storage.blob.aio import BlobServiceClient, ContainerClient

# aiohttp means bodies that take long to hand over; 8 MiB from memory do not.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

STRANGER = "00000000-0000-4000-8000-000000000001"
"""A lease id that nobody holds."""

OTHER_VERSION = '"0x8D0000000000000"'

_NUMBERS = itertools.count(1)


class Room(Protocol):
    """A container under test, and what only its owner can do."""

    @property
    def container(self) -> Container: ...

    @property
    def neighbour(self) -> Container: ...

    async def take_lease_away(self, name: str) -> None: ...


@dataclass
class MemoryRoom:
    container: MemoryContainer
    neighbour: MemoryContainer

    async def take_lease_away(self, name: str) -> None:
        self.container.break_lease(name)


@dataclass
class AzureRoom:
    container: AzureContainer
    neighbour: AzureContainer
    client: ContainerClient

    async def take_lease_away(self, name: str) -> None:
        from azure.storage.blob.aio import BlobLeaseClient

        await BlobLeaseClient(self.client.get_blob_client(name)).break_lease(lease_break_period=0)


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
async def room(request: pytest.FixtureRequest) -> AsyncIterator[Room]:
    """Return two empty containers of one account, of each kind in turn."""
    if request.param == "memory":
        clock = VirtualClock()
        yield MemoryRoom(MemoryContainer(clock), MemoryContainer(clock))
        return
    async with open_service(connection_string=request.getfixturevalue("azurite_server")) as service:
        number = next(_NUMBERS)
        client = service.get_container_client(f"contract-{number}")
        container = AzureContainer(client)
        await container.ensure()
        neighbour = AzureContainer(service.get_container_client(f"contract-{number}-neighbour"))
        await neighbour.ensure()
        yield AzureRoom(container, neighbour, client)


@pytest.fixture
def container(room: Room) -> Container:
    """Return an empty container, of each kind in turn."""
    return room.container


class Line:
    """The genuine transport, on which answers can be lost."""

    def __init__(self) -> None:
        from azure.core.pipeline.transport import AioHttpTransport

        self._transport = AioHttpTransport()
        self._lost: set[str] = set()
        self.slow = False
        """Whether copies are under way yet when the answer comes, and can be given up. Azurite's never are."""
        self.tries = 0

    def lose_answer(self, method: str) -> None:
        """Lose the answer to the next request of this method; the request itself arrives."""
        self._lost.add(method)

    async def send(self, request: Any, **options: Any) -> Any:
        from azure.core.exceptions import ServiceResponseError

        self.tries += 1
        response = await self._transport.send(request, **options)
        if request.method in self._lost:
            self._lost.remove(request.method)
            raise ServiceResponseError("the connection broke")
        if self.slow and "x-ms-copy-source" in request.headers:
            response.headers["x-ms-copy-status"] = "pending"
        if self.slow and request.headers.get("x-ms-copy-action") == "abort":
            response.status_code = 204
        return response

    async def open(self) -> None:
        await self._transport.open()

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _service_on(line: Line, connection_string: str) -> BlobServiceClient:
    """Return the genuine client on this line; it tries three times more, without waiting."""
    from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

    at_once = ExponentialRetry(initial_backoff=0, increment_base=0, retry_total=3, random_jitter_range=0)
    return BlobServiceClient.from_connection_string(connection_string, transport=line, retry_policy=at_once)


@dataclass
class LossyRoom:
    container: AzureContainer
    line: Line


@pytest.fixture
async def lossy(azurite_server: str) -> AsyncIterator[LossyRoom]:
    """Return an empty container at the end of a line on which answers can be lost."""
    line = Line()
    async with _service_on(line, azurite_server) as service:
        container = AzureContainer(service.get_container_client(f"lossy-{next(_NUMBERS)}"))
        await container.ensure()
        yield LossyRoom(container, line)


async def _content(container: Container, name: str) -> bytes:
    blob = await container.read(name)
    assert blob is not None
    return blob.data


class TestReading:
    """What is read is what was written, of one version."""

    async def test_a_blob_is_read_as_it_was_written(self, container: Container):
        """Content, size, ETag and a time in UTC come back."""
        etag = await container.write("runs/1/plan", b"\x00\xff plan")

        blob = await container.read("runs/1/plan")

        assert blob is not None
        assert blob.data == b"\x00\xff plan"
        assert (blob.info.name, blob.info.size, blob.info.etag) == ("runs/1/plan", 7, etag)
        assert blob.info.last_modified.utcoffset() == timedelta(0)

    async def test_an_empty_blob_is_not_an_absent_one(self, container: Container):
        """A marker without content is there."""
        await container.write("people.csv.done", b"")

        blob = await container.read("people.csv.done")

        assert blob is not None
        assert (blob.data, blob.info.size) == (b"", 0)

    async def test_what_is_not_there_is_none(self, container: Container):
        """A first run finds no head."""
        assert await container.read("head.json") is None

    async def test_names_may_hold_what_people_type(self, container: Container):
        """Blanks, umlauts, percent signs and question marks are part of a name."""
        name = "Personal 2026/Übersicht 100%? #1.csv"
        await container.write(name, b"x")

        listing = await container.list("Personal 2026/")

        assert [info.name for info in listing.blobs] == [name]
        assert (await container.read(name)) is not None

    async def test_a_download_is_of_the_version_asked_for(self, container: Container):
        """The stream holds the blob, and the answer says which version."""
        etag = await container.write("people.csv", b"some people")
        stream = io.BytesIO()

        info = await container.download_to("people.csv", stream, if_match=etag)

        assert stream.getvalue() == b"some people"
        assert (info.name, info.size, info.etag) == ("people.csv", 11, etag)

    async def test_a_download_without_a_condition_takes_what_is_there(self, container: Container):
        """The answer then says which version it was."""
        etag = await container.write("people.csv", b"some people")

        info = await container.download_to("people.csv", io.BytesIO())

        assert info.etag == etag

    @pytest.mark.parametrize("if_match", [OTHER_VERSION, None])
    async def test_a_download_of_what_is_not_there_is_refused(self, container: Container, if_match: str | None):
        """With or without a condition."""
        with pytest.raises(StateChanged):
            await container.download_to("people.csv", io.BytesIO(), if_match=if_match)

    async def test_a_download_of_another_version_is_refused(self, container: Container):
        """As for ranges."""
        await container.write("people.csv", b"x")

        with pytest.raises(StateChanged):
            await container.download_to("people.csv", io.BytesIO(), if_match=OTHER_VERSION)

    async def test_large_blobs_arrive_whole(self, container: Container):
        """More than one request's worth goes up and comes down in pieces, and in order."""
        data = b"".join(number.to_bytes(4) for number in range(10 * 1024 * 1024))
        assert len(data) > 32 * 1024 * 1024 > SINGLE_PUT_LIMIT
        stream = io.BytesIO()

        etag = await container.upload_from("large.csv", io.BytesIO(data), if_none_match=True)
        info = await container.download_to("large.csv", stream, if_match=etag)

        assert info.size == len(data)
        assert stream.getvalue() == data

    async def test_an_upload_begins_where_the_stream_stands(self, container: Container):
        """What was read before is not sent."""
        stream = io.BytesIO(b"header,rows")
        stream.seek(7)

        await container.upload_from("rest.csv", stream)

        blob = await container.read("rest.csv")
        assert blob is not None
        assert blob.data == b"rows"

    async def test_an_upload_can_be_the_first_only(self, container: Container):
        """A copy that is there is left alone."""
        await container.upload_from("copy.csv", io.BytesIO(b"first"))

        with pytest.raises(StateChanged):
            await container.upload_from("copy.csv", io.BytesIO(b"second"), if_none_match=True)

        blob = await container.read("copy.csv")
        assert blob is not None
        assert blob.data == b"first"


class TestCopying:
    """Storage copies one version of a blob by itself, or the caller is told that it did not."""

    @pytest.mark.parametrize("name", ["people.csv", "Personal 2026/Übersicht 100%? #1.csv"])
    async def test_a_copy_is_of_the_version_asked_for(self, room: Room, name: str):
        """Whatever its name; the original stays, and nothing has to go through our hands."""
        etag = await room.neighbour.write(name, b"some people")
        before = room.container.requests

        copied = await room.container.copy_from("exports/1/people.csv", room.neighbour, name, if_match=etag)

        assert copied
        assert room.container.requests - before == 1
        assert await _content(room.container, "exports/1/people.csv") == b"some people"
        assert await _content(room.neighbour, name) == b"some people"

    async def test_a_copy_outlives_its_original(self, room: Room):
        """HR may do with the file what it likes."""
        etag = await room.neighbour.write("people.csv", b"some people")

        await room.container.copy_from("copy.csv", room.neighbour, "people.csv", if_match=etag)
        await room.neighbour.write("people.csv", b"others")
        await room.neighbour.delete("people.csv")

        assert await _content(room.container, "copy.csv") == b"some people"

    async def test_another_version_is_not_copied(self, room: Room):
        """What was read would not be what is kept."""
        etag = await room.neighbour.write("people.csv", b"some people")
        await room.neighbour.write("people.csv", b"others")

        copied = await room.container.copy_from("copy.csv", room.neighbour, "people.csv", if_match=etag)

        assert not copied
        assert await room.container.read("copy.csv") is None

    async def test_what_is_not_there_is_not_copied(self, room: Room):
        """The caller has what it read, and uploads it."""
        copied = await room.container.copy_from("copy.csv", room.neighbour, "gone.csv", if_match=OTHER_VERSION)
        await room.container.upload_from("copy.csv", io.BytesIO(b"some people"))

        assert not copied
        assert await _content(room.container, "copy.csv") == b"some people"

    async def test_a_copy_replaces_an_earlier_one(self, room: Room):
        """A run that is gone through again makes it again."""
        await room.container.write("copy.csv", b"earlier")
        etag = await room.neighbour.write("people.csv", b"some people")

        copied = await room.container.copy_from("copy.csv", room.neighbour, "people.csv", if_match=etag)

        assert copied
        assert await _content(room.container, "copy.csv") == b"some people"

    async def test_a_copy_over_somebodys_lease_is_none(self, room: Room):
        """It is refused like any other write."""
        await room.container.write("copy.csv", b"earlier")
        await room.container.acquire_lease("copy.csv")
        etag = await room.neighbour.write("people.csv", b"some people")

        copied = await room.container.copy_from("copy.csv", room.neighbour, "people.csv", if_match=etag)

        assert not copied
        assert await _content(room.container, "copy.csv") == b"earlier"


class TestListing:
    """Listings are in the order of names, whole, and dated by the storage."""

    async def test_blobs_come_in_the_order_of_their_names(self, container: Container):
        """With their sizes and the ETags that reading gives."""
        etags = {name: await container.write(name, name.encode()) for name in ("b.csv", "a.csv", "old/c.csv")}

        listing = await container.list()

        assert [(info.name, info.size) for info in listing.blobs] == [("a.csv", 5), ("b.csv", 5), ("old/c.csv", 9)]
        assert {info.name: info.etag for info in listing.blobs} == etags
        assert listing.prefixes == ()

    async def test_a_listed_etag_can_be_written_over(self, container: Container):
        """Listings leave out the quotes that conditions need; here they are the same."""
        await container.write("a", b"1")
        listing = await container.list()

        await container.write("a", b"2", if_match=listing.blobs[0].etag)

        assert (await container.list()).blobs[0].size == 1

    async def test_a_prefix_narrows(self, container: Container):
        """Only names that begin with it are listed."""
        for name in ("hr/requests/1.json", "hr/runs/1.json", "other/requests/1.json"):
            await container.write(name, b"{}")

        listing = await container.list("hr/requests/")

        assert [info.name for info in listing.blobs] == ["hr/requests/1.json"]

    async def test_a_delimiter_shows_one_level(self, container: Container):
        """Deeper names are one prefix each."""
        for name in ("runs/1/plan", "runs/1/journal-1", "runs/2/plan", "runs/latest", "head.json"):
            await container.write(name, b"x")

        listing = await container.list("runs/", delimiter="/")

        assert [info.name for info in listing.blobs] == ["runs/latest"]
        assert listing.prefixes == ("runs/1/", "runs/2/")

    async def test_an_empty_container_has_a_date_too(self, container: Container):
        """The storage's clock is known before the first export."""
        listing = await container.list()

        assert (listing.blobs, listing.prefixes) == ((), ())
        assert listing.date.utcoffset() == timedelta(0)

    async def test_age_is_told_by_the_storage_alone(self, container: Container):
        """A blob written just now is a few seconds old at most, and not from the future."""
        await container.write("people.csv", b"x")

        listing = await container.list()

        age = listing.date - listing.blobs[0].last_modified
        assert timedelta(0) <= age < timedelta(minutes=1)

    async def test_one_listing_is_one_request(self, container: Container):
        """An idle tick makes few requests, so they are counted."""
        await container.write("people.csv", b"x")
        before = container.requests

        await container.list()
        await container.list("runs/", delimiter="/")
        await container.read("people.csv")
        await container.read("absent")

        assert container.requests - before == 4


class TestConditions:
    """A write happens under its condition or not at all."""

    async def test_a_write_over_the_known_version_succeeds(self, container: Container):
        """And has a new ETag."""
        first = await container.write("head.json", b"1")

        second = await container.write("head.json", b"2", if_match=first)

        assert second != first
        assert await _content(container, "head.json") == b"2"

    async def test_a_write_over_another_version_is_refused(self, container: Container):
        """Two writers cannot both win."""
        first = await container.write("head.json", b"1")
        await container.write("head.json", b"2")

        with pytest.raises(StateChanged):
            await container.write("head.json", b"3", if_match=first)

        assert await _content(container, "head.json") == b"2"

    async def test_a_write_over_a_version_of_nothing_is_refused(self, container: Container):
        """What is gone is another version."""
        with pytest.raises(StateChanged):
            await container.write("head.json", b"1", if_match=OTHER_VERSION)

    async def test_a_first_write_is_the_first(self, container: Container):
        """A ledger generation is never written over."""
        await container.write("ledger/1", b"mine", if_none_match=True)

        with pytest.raises(StateChanged):
            await container.write("ledger/1", b"yours", if_none_match=True)

        assert await _content(container, "ledger/1") == b"mine"

    async def test_deleting_what_is_not_there_is_fine(self, container: Container):
        """Deleting twice is as good as once."""
        await container.write("requests/1.json", b"{}")

        await container.delete("requests/1.json")
        await container.delete("requests/1.json")

        assert await container.read("requests/1.json") is None


class TestAppending:
    """Journals grow by blocks and are never written over."""

    async def test_blocks_stand_in_their_order(self, container: Container):
        """Each is there whole."""
        await container.append("journal-1", b"one\n", create=True)
        await container.append("journal-1", b"two\n")

        assert await _content(container, "journal-1") == b"one\ntwo\n"

    async def test_creating_may_come_without_a_block(self, container: Container):
        """An epoch's journal is there from its beginning."""
        await container.append("journal-1", b"", create=True)

        assert await _content(container, "journal-1") == b""

    async def test_a_journal_that_is_there_is_not_begun_again(self, container: Container):
        """Its lines are somebody's."""
        await container.append("journal-1", b"one\n", create=True)

        with pytest.raises(StateChanged):
            await container.append("journal-1", b"two\n", create=True)

        assert await _content(container, "journal-1") == b"one\n"

    async def test_a_journal_that_is_not_there_takes_nothing(self, container: Container):
        """Only its own epoch begins it."""
        with pytest.raises(StateChanged) as refusal:
            await container.append("journal-1", b"one\n")

        assert refusal.value.code == ABSENT

    async def test_what_was_written_whole_takes_no_blocks(self, container: Container):
        """A ledger is no journal."""
        await container.write("ledger/1", b"x")

        with pytest.raises(StateChanged):
            await container.append("ledger/1", b"y")

    async def test_a_block_is_not_larger_than_storage_takes(self, container: Container):
        """That is the caller's mistake, found before anything is sent."""
        await container.append("journal-1", b"x" * APPEND_BLOCK_LIMIT, create=True)

        with pytest.raises(ValueError, match="4194305 bytes"):
            await container.append("journal-1", b"x" * (APPEND_BLOCK_LIMIT + 1))


class TestLeases:
    """One holder at a time, and who lost the lease writes nothing more."""

    async def test_there_is_one_holder(self, container: Container):
        """The second finds it busy until the first lets go."""
        await container.write("head.json", b"{}")
        lease = await container.acquire_lease("head.json")

        with pytest.raises(Busy):
            await container.acquire_lease("head.json")
        await container.release_lease("head.json", lease)

        assert await container.acquire_lease("head.json") != lease

    async def test_the_holder_writes_and_nobody_else(self, container: Container):
        """Without the lease, or with another, nothing is written or deleted."""
        etag = await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json", seconds=15)

        with pytest.raises(LeaseLost):
            await container.write("head.json", b"intruder")
        with pytest.raises(LeaseLost):
            await container.write("head.json", b"intruder", lease=STRANGER)
        with pytest.raises(LeaseLost):
            await container.delete("head.json")
        await container.write("head.json", b"2", if_match=etag, lease=lease)

        assert await _content(container, "head.json") == b"2"

    async def test_everybody_may_read(self, container: Container):
        """Status needs no lease."""
        await container.write("head.json", b"1")
        await container.acquire_lease("head.json")

        assert await _content(container, "head.json") == b"1"

    async def test_the_lease_and_the_version_must_both_hold(self, container: Container):
        """A commit is one write under both conditions."""
        first = await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json")
        await container.write("head.json", b"2", lease=lease)

        with pytest.raises(StateChanged):
            await container.write("head.json", b"3", if_match=first, lease=lease)

    async def test_who_lost_the_lease_learns_it(self, room: Room):
        """Renewing and writing fail after another run took over."""
        container = room.container
        etag = await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json")
        await room.take_lease_away("head.json")
        await container.acquire_lease("head.json")

        with pytest.raises(LeaseLost):
            await container.renew_lease("head.json", lease)
        with pytest.raises(LeaseLost):
            await container.write("head.json", b"zombie", if_match=etag, lease=lease)

        assert await _content(container, "head.json") == b"1"

    async def test_a_lease_taken_away_is_no_lease(self, room: Room):
        """Even before another run takes over."""
        container = room.container
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json")
        await room.take_lease_away("head.json")

        with pytest.raises(LeaseLost):
            await container.renew_lease("head.json", lease)
        with pytest.raises(LeaseLost):
            await container.write("head.json", b"zombie", lease=lease)

    async def test_a_listing_tells_of_a_broken_lease(self, room: Room):
        """From when it is taken away until somebody takes it or writes; one that is held or given back is none."""
        container = room.container
        told: list[bool] = []

        async def look() -> None:
            told.extend(info.broken for info in (await container.list("head.json")).blobs)

        await container.write("head.json", b"1")
        await container.acquire_lease("head.json")
        await look()
        await room.take_lease_away("head.json")
        await look()
        lease = await container.acquire_lease("head.json")
        await look()
        await container.release_lease("head.json", lease)
        await look()
        await container.acquire_lease("head.json")
        await room.take_lease_away("head.json")
        await container.write("head.json", b"2")
        await look()

        assert told == [False, True, False, False, False]

    async def test_renewing_keeps_the_lease(self, container: Container):
        """Others still find it busy."""
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json")

        await container.renew_lease("head.json", lease)

        with pytest.raises(Busy):
            await container.acquire_lease("head.json")

    async def test_letting_go_of_what_is_not_ours_is_fine(self, container: Container):
        """The end of a run need not know how it ended."""
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json")

        await container.release_lease("head.json", STRANGER)
        with pytest.raises(Busy):
            await container.acquire_lease("head.json")
        await container.release_lease("head.json", lease)
        await container.release_lease("head.json", lease)
        await container.release_lease("absent.json", lease)

        assert await container.acquire_lease("head.json")

    async def test_a_leased_blob_that_is_gone_is_lost(self, container: Container):
        """Renewing does not bring it back."""
        with pytest.raises(LeaseLost):
            await container.renew_lease("head.json", STRANGER)


class TestMemoryLeases:
    """Leases run out; in storage this takes real time, so memory alone shows it."""

    async def test_a_lease_runs_out(self):
        """After its duration another run takes over, and the first cannot write."""
        clock = VirtualClock()
        container = MemoryContainer(clock)
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json", seconds=60)

        clock.advance(61)
        await container.acquire_lease("head.json")

        with pytest.raises(LeaseLost):
            await container.write("head.json", b"zombie", lease=lease)
        with pytest.raises(LeaseLost):
            await container.renew_lease("head.json", lease)

    async def test_a_lease_that_ran_out_unnoticed_can_be_renewed(self):
        """Azure allows it as long as nobody has written or taken it since."""
        clock = VirtualClock()
        container = MemoryContainer(clock)
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json", seconds=60)
        clock.advance(61)

        with pytest.raises(LeaseLost):
            await container.write("head.json", b"2", lease=lease)
        await container.renew_lease("head.json", lease)
        await container.write("head.json", b"3", lease=lease)

        assert container.contents == {"head.json": b"3"}

    async def test_a_write_after_the_end_ends_the_lease_for_good(self):
        """The old holder cannot renew over somebody's write."""
        clock = VirtualClock()
        container = MemoryContainer(clock)
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json", seconds=60)
        clock.advance(61)

        await container.write("head.json", b"other")

        with pytest.raises(LeaseLost):
            await container.renew_lease("head.json", lease)

    async def test_renewing_counts_from_now(self):
        """A holder that renews in time keeps the lease for as long as it likes."""
        clock = VirtualClock()
        container = MemoryContainer(clock)
        await container.write("head.json", b"1")
        lease = await container.acquire_lease("head.json", seconds=60)

        for _ in range(10):
            clock.advance(45)
            await container.renew_lease("head.json", lease)

        with pytest.raises(Busy):
            await container.acquire_lease("head.json")


class TestMemoryFaults:
    """Flows are shown every way in which storage can fail them."""

    async def test_a_request_can_fail_before_its_effect(self):
        """Nothing was written."""
        container = MemoryContainer(VirtualClock())
        container.fail(1)

        with pytest.raises(StoreUnavailable):
            await container.write("a", b"1")

        assert container.contents == {}

    async def test_a_request_can_fail_after_its_effect(self):
        """It was written, and the writer does not know."""
        container = MemoryContainer(VirtualClock())
        container.fail(1, after_effect=True)

        with pytest.raises(StoreUnavailable):
            await container.write("a", b"1")

        assert container.contents == {"a": b"1"}

    async def test_the_process_can_end_at_any_request(self):
        """Between creating an append blob and its first block, too."""
        container = MemoryContainer(VirtualClock())
        container.kill(2, after_effect=False)

        with pytest.raises(Killed):
            await container.append("journal-1", b"one", create=True)

        assert container.contents == {"journal-1": b""}

    async def test_a_full_journal_says_so(self):
        """50,000 blocks are the limit; the code tells this from other conflicts."""
        container = MemoryContainer(VirtualClock())
        container.block_count_limit = 2
        await container.append("journal-1", b"1", create=True)
        await container.append("journal-1", b"2")

        with pytest.raises(StateChanged) as refusal:
            await container.append("journal-1", b"3")

        assert refusal.value.code == FULL

    async def test_a_copy_can_fail_like_any_request(self):
        """Storage's silence is no reason to raise: the caller can upload what it has."""
        container = MemoryContainer(VirtualClock())
        etag = await container.write("people.csv", b"some people")
        container.fail(2)

        assert not await container.copy_from("copy.csv", container, "people.csv", if_match=etag)
        assert sorted(container.contents) == ["people.csv"]

    async def test_only_bytes_are_stored(self):
        """State that cannot be serialised cannot pass."""
        with pytest.raises(TypeError):
            await MemoryContainer(VirtualClock()).write("a", {"not": "bytes"})  # type: ignore[arg-type]

    async def test_a_container_that_is_not_there_is_unavailable(self):
        """As in storage, until it is made."""
        container = MemoryContainer(VirtualClock(), exists=False)

        with pytest.raises(StoreUnavailable):
            await container.read("a")
        await container.ensure()

        assert await container.read("a") is None


def _as_reader(connection_string: str) -> str:
    """Return a connection string with which blobs can be read and listed, and nothing else."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    parts = dict(part.split("=", 1) for part in connection_string.strip(";").split(";"))
    signature = generate_account_sas(
        parts["AccountName"],
        parts["AccountKey"],
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    return f"BlobEndpoint={parts['BlobEndpoint']};SharedAccessSignature={signature}"


@pytest.mark.azurite
class TestAzure:
    """What only the genuine client and storage can show."""

    async def test_a_missing_container_is_named(self, azurite_server: str):
        """And is not mistaken for a missing blob."""
        async with open_service(connection_string=azurite_server) as service:
            container = AzureContainer(service.get_container_client("hr-exprots"))

            with pytest.raises(StoreUnavailable, match="container hr-exprots does not exist"):
                await container.read("people.csv")
            with pytest.raises(StoreUnavailable, match="container hr-exprots does not exist"):
                await container.list()

    async def test_making_a_container_twice_is_fine(self, azurite_server: str):
        """The second time it only looks."""
        async with open_service(connection_string=azurite_server) as service:
            container = AzureContainer(service.get_container_client(f"made-{next(_NUMBERS)}"))

            await container.ensure()
            before = container.requests
            await container.ensure()

            assert container.requests - before == 1

    async def test_listings_of_many_pages_are_whole(self, azurite_server: str):
        """Continuation is followed, and the date is that of the first page."""
        async with open_service(connection_string=azurite_server) as service:
            container = AzureContainer(service.get_container_client(f"pages-{next(_NUMBERS)}"), page_size=2)
            await container.ensure()
            names = [f"a/{number:02}" for number in range(5)] + [f"b{number}/x" for number in range(4)]
            for name in names:
                await container.write(name, b"x")

            flat = await container.list()
            level = await container.list(delimiter="/")

            assert [info.name for info in flat.blobs] == names
            assert level.prefixes == ("a/", "b0/", "b1/", "b2/", "b3/")

    async def test_a_browser_is_told_what_a_report_is(self, azurite_server: str):
        """The content type is stored with the blob."""
        async with open_service(connection_string=azurite_server) as service:
            client = service.get_container_client(f"types-{next(_NUMBERS)}")
            container = AzureContainer(client)
            await container.ensure()

            await container.write("report.html", b"<p>", content_type="text/html; charset=utf-8")

            properties = await client.get_blob_client("report.html").get_blob_properties()
            assert properties.content_settings.content_type == "text/html; charset=utf-8"

    async def test_a_wrong_key_says_what_to_check(self, azurite_server: str):
        """Role and network are named, the key is not."""
        wrong = azurite_server.replace("AccountKey=", "AccountKey=AAAA")

        async with open_service(connection_string=wrong) as service:
            container = AzureContainer(service.get_container_client("connector-state"))
            with pytest.raises(
                StoreUnavailable, match=r"container connector-state .*Storage Blob Data Reader"
            ) as refusal:
                await container.read("head.json")

        assert "AAAA" not in str(refusal.value)

    async def test_who_may_not_write_is_told_so_before_any_condition(self, azurite_server: str):
        """A write that could replace nothing asks whether we may write: only a writer hears of its condition."""
        async with open_service(connection_string=azurite_server) as service:
            client = service.get_container_client(f"reader-{next(_NUMBERS)}")
            writer = AzureContainer(client)
            await writer.ensure()
            async with open_service(connection_string=_as_reader(azurite_server)) as reading:
                reader = AzureContainer(reading.get_container_client(client.container_name))
                await reader.list()

                with pytest.raises(StoreUnavailable, match="Storage Blob Data Contributor"):
                    await reader.write("health-check", b"", if_match='"0x0"')
                with pytest.raises(StateChanged):
                    await writer.write("health-check", b"", if_match='"0x0"')

            assert (await writer.list()).blobs == ()

    async def test_silence_says_what_to_check(self, azurite_server: str, unused_tcp_port: int):
        """Where nobody listens, the settings are named."""
        line = Line()
        nowhere = re.sub(r"(BlobEndpoint=http://127\.0\.0\.1:)\d+", rf"\g<1>{unused_tcp_port}", azurite_server)

        async with _service_on(line, nowhere) as service:
            container = AzureContainer(service.get_container_client("connector-state"))
            with pytest.raises(StoreUnavailable, match="does not answer for container connector-state"):
                await container.list()
            with pytest.raises(StoreUnavailable, match="does not answer for container connector-state"):
                await container.acquire_lease("head.json")

        assert line.tries == 4 + 3  # a lease cannot wait as long as other things

    async def test_a_commit_whose_answer_was_lost_has_happened(self, lossy: LossyRoom):
        """The client asks again by itself, meets its own write, and reports success."""
        first = await lossy.container.write("head.json", b"1")
        lossy.line.lose_answer("PUT")

        etag = await lossy.container.write("head.json", b"2", if_match=first)

        assert etag != first
        await lossy.container.write("head.json", b"3", if_match=etag)

    async def test_a_first_write_whose_answer_was_lost_has_happened(self, lossy: LossyRoom):
        """The same for a new name."""
        lossy.line.lose_answer("PUT")

        await lossy.container.write("ledger/1", b"mine", if_none_match=True)

        assert await _content(lossy.container, "ledger/1") == b"mine"

    async def test_another_writer_is_still_noticed(self, lossy: LossyRoom):
        """A lost answer is no excuse for somebody else's version."""
        first = await lossy.container.write("head.json", b"1")
        await lossy.container.write("head.json", b"theirs")
        lossy.line.lose_answer("PUT")

        with pytest.raises(StateChanged):
            await lossy.container.write("head.json", b"ours", if_match=first)

        assert await _content(lossy.container, "head.json") == b"theirs"

    async def test_a_journal_whose_beginning_got_no_answer_is_ours(self, lossy: LossyRoom):
        """An empty one, met while asking again, is the one just made."""
        lossy.line.lose_answer("PUT")

        await lossy.container.append("journal-1", b"one\n", create=True)

        assert await _content(lossy.container, "journal-1") == b"one\n"

    async def test_a_journal_with_lines_is_not_ours(self, lossy: LossyRoom):
        """Even when an answer was lost."""
        await lossy.container.append("journal-1", b"theirs\n", create=True)
        lossy.line.lose_answer("PUT")

        with pytest.raises(StateChanged):
            await lossy.container.append("journal-1", b"ours\n", create=True)

    async def test_a_lease_whose_answer_was_lost_is_held(self, lossy: LossyRoom):
        """The client asks again under the same id, so we do not lock ourselves out."""
        await lossy.container.write("head.json", b"1")
        lossy.line.lose_answer("PUT")

        lease = await lossy.container.acquire_lease("head.json")

        await lossy.container.write("head.json", b"2", lease=lease)

    async def test_a_lost_answer_to_a_read_is_asked_for_again(self, lossy: LossyRoom):
        """Nobody notices."""
        await lossy.container.write("head.json", b"1")
        lossy.line.lose_answer("GET")

        assert await _content(lossy.container, "head.json") == b"1"

    async def test_a_copy_that_takes_its_time_is_given_up(self, lossy: LossyRoom):
        """Nobody waits for it: what was downloaded is uploaded over it."""
        etag = await lossy.container.write("people.csv", b"some people")
        lossy.line.slow = True
        before = lossy.line.tries

        copied = await lossy.container.copy_from("copy.csv", lossy.container, "people.csv", if_match=etag)

        assert not copied
        assert lossy.line.tries - before == 2  # the copy, and giving it up

    async def test_a_copy_from_another_account_is_none(self, lossy: LossyRoom, azurite_server: str):
        """Storage refuses to read there on our behalf."""
        etag = await lossy.container.write("people.csv", b"some people")
        elsewhere = azurite_server.replace("devstoreaccount1", "anotheraccount")

        async with open_service(connection_string=elsewhere) as service:
            source = AzureContainer(service.get_container_client("hr-exports"))
            copied = await lossy.container.copy_from("copy.csv", source, "people.csv", if_match=etag)

        assert not copied
        assert await lossy.container.read("copy.csv") is None

    @pytest.mark.parametrize("given", [{"connection_string": "nonsense"}, {"account_url": ""}])
    async def test_an_address_that_makes_no_sense_is_a_setting_to_mend(self, given: dict[str, Any]):
        """The value itself is not repeated: it may hold a key."""
        with pytest.raises(ConfigurationError, match=r"^HR_STORAGE_") as refusal:
            async with open_service(**given):
                raise AssertionError

        assert "nonsense" not in str(refusal.value)


class TestRefusals:
    """What Azure answers beyond what Azurite can be brought to."""

    @pytest.mark.parametrize(
        ("status", "code", "expected", "sentence"),
        [
            (403, "AuthorizationPermissionMismatch", StoreUnavailable, "role Storage Blob Data Contributor"),
            (403, "AuthorizationFailure", StoreUnavailable, "network rules"),
            (401, "InvalidAuthenticationInfo", StoreUnavailable, "role Storage Blob Data Contributor"),
            (404, "ContainerNotFound", StoreUnavailable, "container hr does not exist"),
            (404, "BlobNotFound", StateChanged, "not there"),
            (409, "BlobAlreadyExists", StateChanged, "BlobAlreadyExists"),
            (409, "BlockCountExceedsLimit", StateChanged, "50,000 blocks"),
            (409, "LeaseAlreadyPresent", Busy, "another run"),
            (409, "LeaseIdMismatchWithLeaseOperation", LeaseLost, "not ours"),
            (409, "LeaseIsBrokenAndCannotBeRenewed", LeaseLost, "not ours"),
            (412, "LeaseIdMissing", LeaseLost, "not ours"),
            (412, "LeaseLost", LeaseLost, "not ours"),
            (412, "ConditionNotMet", StateChanged, "ConditionNotMet"),
            (412, None, StateChanged, "412"),
            (409, "ContainerBeingDeleted", StoreUnavailable, "ContainerBeingDeleted"),
            (503, "ServerBusy", StoreUnavailable, "answers ServerBusy"),
            (500, None, StoreUnavailable, "answers 500"),
        ],
    )
    def test_each_code_is_one_of_four_kinds(
        self, status: int, code: str | None, expected: type[Exception], sentence: str
    ):
        """And every sentence names the container."""
        from azure.core.exceptions import HttpResponseError

        refused = HttpResponseError("Server refused. RequestId:1")
        refused.status_code = status
        refused.error_code = code  # type: ignore[attr-defined]

        error = _refusal(refused, "hr", writing=True)

        assert type(error) is expected
        assert sentence in error.message
        assert "container hr" in error.message

    @pytest.mark.parametrize("status", [400, None])
    def test_no_token_is_not_storage_refusing(self, status: int | None):
        """The managed identity is to be checked, whatever its endpoint answered."""
        from azure.core.exceptions import ClientAuthenticationError

        refused = ClientAuthenticationError("No managed identity found for the client id.")
        refused.status_code = status

        error = _refusal(refused, "hr", writing=False)

        assert error.message.startswith("no token for storage, container hr:")
        assert "AZURE_CLIENT_ID" in error.message
