"""Our own memory: the head under its lease, ledgers, plans, journals and requests in one container."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from connector.core.approval import Pending
from connector.core.due import Request
from connector.core.head import Approval, ExportMark, Head, Held, Refused, RunMark, dump_head
from connector.core.ledger import dump_entry, dump_ledger
from connector.core.plan import Progress, hold
from connector.core.setup import Registration
from connector.errors import Busy, DiskError, LeaseLost, StateChanged, StoreError
from connector.graph.client import REQUEST_TIMEOUT
from connector.storage.blobs import SINGLE_PUT_LIMIT, AzureContainer, open_service
from connector.storage.spool import SMALL
from connector.storage.state import LEASE_SECONDS, RENEW_SECONDS, WRITE_MARGIN_SECONDS, Lease, Look, State
from tests.core.nights import a_night
from tests.core.people import a_ledger, a_person, an_entry
from tests.storage.memory import MemoryContainer
from tests.tenant.clock import VirtualClock

if TYPE_CHECKING:
    from connector.core.ledger import Ledger
    from connector.core.plan import Plan
    from connector.storage.blobs import Container

SAFE_SECONDS = LEASE_SECONDS - WRITE_MARGIN_SECONDS
"""So long after a renewal was sent, a write may still begin."""


@pytest.fixture
def clock() -> VirtualClock:
    """Return a clock whose time passes when everybody waits."""
    return VirtualClock()


@pytest.fixture
def container(clock: VirtualClock) -> MemoryContainer:
    """Return the empty state container."""
    return MemoryContainer(clock)


@pytest.fixture
def state(container: MemoryContainer) -> State:
    """Return the state of the connection contosohr."""
    return State(container, "contosohr")


@pytest.fixture
def lease(container: MemoryContainer, clock: VirtualClock) -> Lease:
    """Return a lease that has just been taken, whatever storage knows of it."""
    return Lease(container, "contosohr/head.json", clock, "a-lease", clock.monotonic())


def may_write(lease: Lease) -> bool:
    """Tell whether a write may begin now."""
    try:
        lease.check()
    except LeaseLost:
        return False
    return True


# --- looking ---------------------------------------------------------------------------------------------------------


async def test_a_look_is_one_request(state: State, container: MemoryContainer):
    """One listing tells whether there is a head, a connection and requests; nothing else is asked."""
    await container.write("contosohr/connection.json", b"{}")
    await state.ask("1", full=False)
    before = container.requests

    look = await state.look()

    assert container.requests - before == 1
    assert (look.head, bool(look.connection), look.requests) == ("", True, True)


async def test_an_empty_container_shows_nothing(state: State, container: MemoryContainer):
    """Before setup there is nothing, and another connection's state is none of ours."""
    await container.write("contosohr2/head.json", b"{}")
    await container.write("contosohr2/requests/1.json", b"{}")

    assert await state.look() == Look(head="", connection="", requests=False)
    assert await state.head() == (Head(), "")
    assert await state.registration() is None


async def test_a_look_tells_versions(state: State, clock: VirtualClock):
    """The ETags are those of the blobs, so a change is seen without reading them."""
    async with state.lease(clock) as lease:
        _, first = await state.head()
        second = await state.commit(Head(epoch=1), etag=first, lease=lease)

    assert (await state.look()).head == second != first


async def test_the_registration_is_what_setup_wrote(state: State, container: MemoryContainer):
    """Sync reads what setup remembers of the connection."""
    registration = Registration("one", "tenant", "labels", "contosohr", "2026-03-01T00:00:00+00:00", done=("schema",))
    await container.write("contosohr/connection.json", registration.to_json())

    assert await state.registration() == registration


# --- the lease -------------------------------------------------------------------------------------------------------


async def test_one_run_at_a_time(state: State, clock: VirtualClock):
    """While one run holds the lease another one is told Busy; afterwards it is free."""
    async with state.lease(clock):
        with pytest.raises(Busy):
            async with state.lease(clock):
                pass
        assert await state.is_running()

    assert not await state.is_running()
    async with state.lease(clock) as lease:
        assert may_write(lease)


async def test_the_lease_is_renewed_as_long_as_the_run_lasts(state: State, clock: VirtualClock):
    """Hours later the run may still write, and nobody else has come in."""
    async with state.lease(clock) as lease:
        for _ in range(12):
            await clock.sleep(600)
            assert may_write(lease)
            assert await state.is_running()


async def test_asking_whether_somebody_runs_makes_nothing(state: State, container: MemoryContainer):
    """Before the first run nobody runs, and no head comes into being by the question."""
    assert not await state.is_running()
    assert container.contents == {}


async def test_the_lease_is_given_back_when_the_run_fails(state: State, clock: VirtualClock):
    """An error in the block ends the lease at once."""
    with pytest.raises(ValueError, match="broke"):
        async with state.lease(clock):
            raise ValueError("broke")

    assert not await state.is_running()


async def test_a_dead_runs_lease_runs_out(state: State, container: MemoryContainer, clock: VirtualClock):
    """Nobody renews for a process that died: a minute later the next run begins."""
    await container.write("contosohr/head.json", dump_head(Head()))
    await container.acquire_lease("contosohr/head.json", seconds=LEASE_SECONDS)

    clock.advance(LEASE_SECONDS - 1)
    with pytest.raises(Busy):
        async with state.lease(clock):
            pass

    clock.advance(1)
    async with state.lease(clock) as lease:
        assert may_write(lease)


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_renewal_without_answer_is_tried_again_in_time(
    state: State, container: MemoryContainer, clock: VirtualClock, failures: int
):
    """Storage that does not answer for a moment does not end a run."""
    async with state.lease(clock) as lease:
        for number in range(failures):
            container.fail(container.requests + 1 + number)
        for _ in range(60):
            await clock.sleep(1)
            assert may_write(lease)


async def test_without_renewal_no_write_begins_that_could_outlive_the_lease(
    state: State, container: MemoryContainer, clock: VirtualClock
):
    """The deadline counts from the last renewal that succeeded, less the time a request may take."""
    async with state.lease(clock) as lease:
        await clock.sleep(RENEW_SECONDS + 0.5)
        for number in range(1000):
            container.fail(container.requests + 1 + number)
        await clock.sleep(SAFE_SECONDS - 1)
        assert may_write(lease)
        await clock.sleep(0.5)
        assert not may_write(lease)
        container.mend()


async def test_the_deadline_counts_from_when_a_renewal_was_sent(clock: VirtualClock):
    """A renewal that took long has used up part of the lease by the time it is answered."""

    class SlowContainer(MemoryContainer):
        async def renew_lease(self, name: str, lease: str) -> None:
            await super().renew_lease(name, lease)
            await clock.sleep(8)

    state = State(SlowContainer(clock), "contosohr")
    async with state.lease(clock) as lease:
        await clock.sleep(RENEW_SECONDS + SAFE_SECONDS - 1)
        assert may_write(lease)

        await clock.sleep(2)  # the next renewal is under way, the last one was answered a good while after it was sent
        assert not may_write(lease)


async def test_a_leased_head_may_be_refused_for_its_lease(clock: VirtualClock):
    """Storage judges a conditional write by the condition or by the lease first; either way another run is at work."""

    class LeaseFirst(MemoryContainer):
        async def write(self, name: str, data: bytes, **conditions: Any) -> str:
            if conditions.get("if_none_match") and name in self.contents:
                raise LeaseLost("there is a lease, and none was given")
            return await super().write(name, data, **conditions)

    state = State(LeaseFirst(clock), "contosohr")
    async with state.lease(clock):
        with pytest.raises(Busy):
            async with state.lease(clock):
                pass


async def test_a_stolen_lease_stops_the_run(state: State, container: MemoryContainer, clock: VirtualClock):
    """When the lease belongs to somebody else, nothing more is written: neither to Graph nor to the head."""
    async with state.lease(clock) as lease:
        _, etag = await state.head()
        container.break_lease("contosohr/head.json")
        await container.acquire_lease("contosohr/head.json")
        await clock.sleep(RENEW_SECONDS + 1)

        assert not may_write(lease)
        with pytest.raises(LeaseLost):
            await state.commit(Head(epoch=9), etag=etag, lease=lease)

    assert (await state.head())[0] == Head()


async def test_a_broken_lease_is_waited_out(state: State, container: MemoryContainer, clock: VirtualClock):
    """Whoever had it may write for a while without knowing; nobody else begins as long as they may."""
    moments: list[float] = []

    async def work_until_it_is_lost() -> None:
        async with state.lease(clock) as lease:
            while may_write(lease):
                moments.append(clock.monotonic())
                await clock.sleep(1)

    first = asyncio.create_task(work_until_it_is_lost())
    await clock.sleep(20)
    container.break_lease("contosohr/head.json")
    look = await state.look()

    async with state.lease(clock, broken=look.broken) as lease:
        assert clock.monotonic() >= max(moments) + REQUEST_TIMEOUT
        assert may_write(lease)
    await first
    assert max(moments) >= 29
    assert not (await state.look()).broken


# --- the head --------------------------------------------------------------------------------------------------------


async def test_a_commit_is_read_back(state: State, clock: VirtualClock):
    """What was committed is the head, under the ETag that the commit returned."""
    head = Head(epoch=7, incarnation="one", generation=3)

    async with state.lease(clock) as lease:
        _, etag = await state.head()
        committed = await state.commit(head, etag=etag, lease=lease)

    assert await state.head() == (head, committed)


async def test_a_zombies_commit_fails(state: State, clock: VirtualClock):
    """A run that bases its commit on an older version, or whose lease is over, changes nothing."""
    async with state.lease(clock) as old:
        _, etag = await state.head()
    async with state.lease(clock) as lease:
        newer = await state.commit(Head(epoch=1), etag=etag, lease=lease)
        with pytest.raises(StateChanged):
            await state.commit(Head(epoch=2), etag=etag, lease=lease)
        with pytest.raises(LeaseLost):
            await state.commit(Head(epoch=2), etag=newer, lease=old)

    assert (await state.head())[0].epoch == 1
    with pytest.raises(LeaseLost):
        await state.commit(Head(epoch=2), etag=newer, lease=lease)


async def test_taking_the_lease_leaves_a_head_as_it_is(state: State, clock: VirtualClock):
    """The first lease makes an empty head; later ones find what is there."""
    async with state.lease(clock) as lease:
        _, etag = await state.head()
        await state.commit(Head(epoch=5), etag=etag, lease=lease)

    async with state.lease(clock):
        head, _ = await state.head()

    assert head.epoch == 5


# --- ledgers ---------------------------------------------------------------------------------------------------------


async def test_a_ledger_is_found_by_its_generation(state: State):
    """Every generation is a blob of its own."""
    first, second = a_ledger(an_entry("E1")), a_ledger(an_entry("E2"), generation=2)
    await state.save_ledger(first)
    await state.save_ledger(second)

    assert await state.ledger(1) == first
    assert await state.ledger(2) == second


async def test_the_last_generations_are_kept(state: State, container: MemoryContainer, lease: Lease):
    """A few generations stay for whoever must look back; older ones are left over once head names a newer one."""
    for generation in range(1, 7):
        await state.save_ledger(a_ledger(generation=generation))

    await state.forget(await state.leftovers(Head(generation=6)), lease=lease)

    kept = [name for name in container.contents if "/ledger/" in name]
    assert kept == [f"contosohr/ledger/{generation:08d}.columns" for generation in (4, 5, 6)]


async def test_no_generation_is_written_over(state: State):
    """A number that is taken may by now be what head names: a run that comes late leaves it alone."""
    theirs, mine = a_ledger(an_entry("E1")), a_ledger(an_entry("E2"))
    await state.save_ledger(theirs)

    saved = await state.save_ledger(mine)

    assert saved.generation == 2
    assert await state.ledger(1) == theirs
    assert await state.ledger(2) == saved


async def test_a_ledger_of_an_earlier_release_is_found(state: State, container: MemoryContainer):
    """Under the name that it had there; the next generation has the new one."""
    await container.write(
        "contosohr/ledger/00000003.jsonl.gz", an_earlier_release_s(a_ledger(an_entry(), generation=3))
    )

    read = await state.ledger(3)
    saved = await state.save_ledger(replace(read, generation=4))

    assert read == a_ledger(an_entry(), generation=3)
    assert await state.ledger(4) == saved
    assert [name for name in container.contents if "/ledger/" in name] == [
        "contosohr/ledger/00000003.jsonl.gz",
        "contosohr/ledger/00000004.columns",
    ]


@pytest.mark.parametrize("names", [("jsonl.gz", "columns"), ("columns", "jsonl.gz")])
async def test_of_two_releases_ledgers_the_later_one_counts(
    state: State, container: MemoryContainer, clock: VirtualClock, names: tuple[str, str]
):
    """One of them is of a run that died before head.json named its ledger; then another release had its turn."""
    ledgers = a_ledger(an_entry("E1")), a_ledger(an_entry("E2"))
    for name, ledger in zip(names, ledgers, strict=True):
        data = dump_ledger(ledger) if name == "columns" else an_earlier_release_s(ledger)
        await container.write(f"contosohr/ledger/00000001.{name}", data)
        clock.advance(60)

    assert await state.ledger(1) == ledgers[1]


async def goes_through_a_file(container: Container) -> None:
    """Store a ledger twice that does not stay in memory, and read both generations."""
    state = State(container, "contosohr")
    entries = [an_entry(f"E{number}", asked=f"{number}{noise(SMALL)}") for number in range(5)]

    first, second = await state.save_ledger(a_ledger(*entries)), await state.save_ledger(a_ledger(*entries))

    sizes = [info.size for info in (await container.list("contosohr/ledger/")).blobs]
    assert min(sizes) > SINGLE_PUT_LIMIT
    assert (first.generation, second.generation) == (1, 2)
    assert [await state.ledger(1), await state.ledger(2)] == [first, second]


async def test_a_large_ledger_goes_through_a_file(container: MemoryContainer):
    """It is stored and read as any other, and no generation is written over by it either."""
    await goes_through_a_file(container)


@pytest.mark.azurite
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_a_large_ledger_goes_through_a_file_to_azurite(azurite_server: str):
    """In blocks, the last of which makes it a blob, unless there is one of that name."""
    async with open_service(connection_string=azurite_server) as service:
        container = AzureContainer(service.get_container_client("large-ledgers"))
        await container.ensure()

        await goes_through_a_file(container)


async def test_a_full_disk_is_said_as_such(state: State, container: MemoryContainer):
    """A ledger that finds no room while it is fetched is whole where it is: the operator makes room."""
    await state.save_ledger(a_ledger())
    container.fail(container.requests + 2, error=OSError(errno.ENOSPC, "No space left on device"))

    with pytest.raises(DiskError):
        await state.ledger(1)


def an_earlier_release_s(ledger: Ledger) -> bytes:
    """Return a ledger as it was stored before there were columns."""
    header = {name: getattr(ledger, name) for name in ("connection", "tenant", "contract", "incarnation", "generation")}
    lines = ({**header, "format": 2, "people": len(ledger.entries)}, *map(dump_entry, ledger.entries.values()))
    return gzip.compress(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))


def noise(size: int) -> str:
    """Return text that no packing makes much shorter."""
    return hashlib.shake_128(b"noise").hexdigest(size // 2)


async def test_a_missing_ledger_is_refused(state: State):
    """A head whose ledger is gone must not be taken for a first run: nobody knows what Graph holds."""
    with pytest.raises(StoreError) as raised:
        await state.ledger(3)

    assert raised.value.code == "ledger_missing"
    assert "--rebuild" in raised.value.message


async def test_a_broken_ledger_is_refused(state: State, container: MemoryContainer):
    """Half a ledger is none, and what to do is the same."""
    await container.write("contosohr/ledger/00000003.columns", dump_ledger(a_ledger(an_entry(), generation=3))[:-9])

    with pytest.raises(StoreError) as raised:
        await state.ledger(3)

    assert raised.value.code == "ledger_missing"
    assert "damaged" in raised.value.message
    assert "--rebuild" in raised.value.message


async def test_a_ledger_of_another_generation_is_refused(state: State, container: MemoryContainer):
    """An older one in the place of the last would forget whoever joined since; a glance at it sees that, too."""
    await container.write("contosohr/ledger/00000003.columns", dump_ledger(a_ledger(an_entry(), generation=2)))

    for reading in (state.ledger(3), state.sample(3, most=3)):
        with pytest.raises(StoreError) as raised:
            await reading

        assert raised.value.code == "ledger_missing"


async def test_the_newest_ledger_is_found_without_a_head(state: State, container: MemoryContainer):
    """By the number in its name, whoever wrote it; what is no ledger's name is none."""
    none = await state.newest_ledger()
    for generation in (9, 10):
        await state.save_ledger(a_ledger(generation=generation))
    await container.write("contosohr/ledger/notes.txt", b"")

    assert none == 0
    assert await state.newest_ledger() == 10


async def test_runs_of_which_something_is_left_are_found_without_a_head(state: State):
    """With the epochs of their journals, so that they can be read."""
    await state.save_plan("20260101T000000Z-0001", a_plan(), {})
    for epoch in (2, 1):
        await state.journal("20260101T000000Z-0001", epoch).record(announced=[0], outcomes={})
    await state.journal("20260102T000000Z-0003", 3).record(announced=[0], outcomes={})

    assert await state.runs() == [("20260101T000000Z-0001", (1, 2)), ("20260102T000000Z-0003", (3,))]


# --- plans and journals ----------------------------------------------------------------------------------------------


def a_plan() -> Plan:
    """Return a plan with everything in it: upserts, deletions, held ones, changes, forgotten people."""
    staff = [a_person(f"E{number}", references=("E9",)) for number in range(6)]
    ledger = a_night(*staff, missing=["e5@contoso.com"]).after
    night = a_night(
        replace(staff[0], cells=b"new title"),
        replace(staff[1], leaver=True),
        *staff[3:5],
        a_person("E9"),
        ledger=ledger,
    )
    plan = hold(night.plan)
    return replace(plan, actions=night.plan.actions, forgotten=("E5", "Zoë"))


async def test_a_plan_is_read_as_it_was_stored(state: State):
    """Actions, changes, held deletions, counts and facts come back, in their order."""
    plan = a_plan()
    assert plan.actions
    assert plan.changes
    assert plan.held

    await state.save_plan("r1", plan, {"report": {"run": "r1"}, "complete": True})

    assert await state.plan("r1") == (plan, {"report": {"run": "r1"}, "complete": True})


async def test_a_plan_of_a_release_without_moves_is_read(state: State, container: MemoryContainer):
    """A run that was unfinished when a new release came is resumed by it: its puts end with whether they create."""
    plan = a_plan()
    await state.save_plan("r1", plan, {})
    stored = await container.read("contosohr/runs/r1/plan.jsonl.gz")
    assert stored is not None
    rows = [orjson.loads(line) for line in gzip.decompress(stored.data).splitlines()]
    short = [row[:5] if row[0] == "put" else row for row in rows[1:]]
    assert short != rows[1:]

    lines = b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in (rows[0], *short))
    await container.write("contosohr/runs/r1/plan.jsonl.gz", gzip.compress(lines))

    assert await state.plan("r1") == (plan, {})


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        (None, "plan_missing"),
        (b"", "plan_corrupt"),
        (b"no gzip", "plan_corrupt"),
        (gzip.compress(b"{}\n"), "plan_corrupt"),
        (gzip.compress(b'{"actions":1,"changes":0,"forgotten":[],"counts":{},"facts":{}}\n["put"]\n'), "plan_corrupt"),
    ],
)
async def test_a_plan_that_cannot_be_read_is_refused(
    state: State, container: MemoryContainer, stored: bytes | None, code: str
):
    """An unfinished run without its plan stops everything: what it may have done is unknown."""
    if stored is not None:
        await container.write("contosohr/runs/r1/plan.jsonl.gz", stored)

    with pytest.raises(StoreError) as raised:
        await state.plan("r1")

    assert raised.value.code == code


async def test_a_journal_tells_what_was_announced_and_what_became_of_it(state: State):
    """Blocks add up; the last word on each index counts."""
    journal = state.journal("r1", 1)
    await journal.record(announced=[0, 1, 2], outcomes={})
    await journal.record(announced=[3], outcomes={0: "", 1: "in_doubt"})
    await journal.record(announced=[], outcomes={1: "conflict"})

    progress = await state.progress("r1", [1])

    assert progress == Progress(frozenset({0, 1, 2, 3}), {0: "", 1: "conflict"})


async def test_all_epochs_of_a_run_speak_together(state: State):
    """Every slice writes a journal of its own; what was in doubt in one is settled by a later one."""
    await state.journal("r1", 3).record(announced=[0, 1], outcomes={0: ""})
    await state.journal("r1", 7).record(announced=[1, 2], outcomes={1: ""})
    await state.journal("r2", 3).record(announced=[9], outcomes={9: ""})

    assert await state.progress("r1", [3, 5, 7]) == Progress(frozenset({0, 1, 2}), {0: "", 1: ""})
    assert await state.progress("r1", []) == Progress()


async def test_a_repeated_block_is_harmless(state: State, container: MemoryContainer):
    """An append that was sent twice, since its answer was lost, says the same once more."""
    journal = state.journal("r1", 1)
    await journal.record(announced=[0, 1], outcomes={})
    await journal.record(announced=[], outcomes={0: "", 1: "conflict"})
    (name,) = container.contents
    for block in container.contents[name].splitlines(keepends=True):
        await container.append(name, block)

    assert await state.progress("r1", [1]) == Progress(frozenset({0, 1}), {0: "", 1: "conflict"})


async def test_a_journal_is_never_taken_over(state: State):
    """A zombie and its successor have epochs of their own; the same epoch twice is a mistake that is refused."""
    await state.journal("r1", 1).record(announced=[0], outcomes={})

    with pytest.raises(StateChanged):
        await state.journal("r1", 1).record(announced=[1], outcomes={})


async def test_a_broken_journal_is_refused(state: State, container: MemoryContainer):
    """What cannot be read may be a write in doubt."""
    await container.write("contosohr/runs/r1/journal-000001", b'{"a":[0]}\n{"o":')

    with pytest.raises(StoreError) as raised:
        await state.progress("r1", [1])

    assert raised.value.code == "journal_corrupt"


async def test_a_run_that_is_over_is_left_over(state: State, container: MemoryContainer, lease: Lease):
    """Plans and journals go, but for those of the run that is still under way."""
    for run in ("r1", "r2"):
        await state.save_plan(run, a_plan(), {})
        await state.journal(run, 1).record(announced=[0], outcomes={})

    await state.forget(await state.leftovers(Head(run=RunMark("r2", (1,), None, "", ""))), lease=lease)
    assert {name.split("/")[2] for name in container.contents} == {"r2"}

    await state.forget(await state.leftovers(Head()), lease=lease)
    assert container.contents == {}


async def test_only_what_a_head_can_refer_to_is_ever_left_over(state: State, container: MemoryContainer):
    """Head itself, requests and what setup remembers are nobody's to tidy away; nor is another connection's state."""
    for name in ("contosohr/head.json", "contosohr/connection.json", "contosohr/requests/1.json", "other/runs/r1/plan"):
        await container.write(name, b"{}")

    assert await state.leftovers(Head()) == []


# --- copies of exports -----------------------------------------------------------------------------------------------


async def test_a_copy_keeps_what_the_export_said(state: State, container: MemoryContainer, lease: Lease):
    """Our own copy has a name of its own run, without the folders of HR's; what nothing refers to goes."""
    first, second, third = (state.copy_name(run, "daily/people.csv") for run in ("r1", "r2", "r3"))
    assert first == "contosohr/exports/r1/people.csv"

    for copy, data in ((first, b"one"), (second, b"two"), (third, b"three")):
        await container.write(copy, data)
    under_way = RunMark("r3", (1,), ExportMark("people.csv", "", 0, copy=third), "", "")

    head = Head(applied=ExportMark("people.csv", "", 0, copy=second), run=under_way)
    await state.forget(await state.leftovers(head), lease=lease)

    assert container.contents == {second: b"two", third: b"three"}


async def test_what_is_left_over_goes_in_pieces(state: State, container: MemoryContainer, lease: Lease):
    """A run does not stay at work for what hundreds before it left: so much goes with each."""
    for number in range(250):
        await container.write(f"contosohr/runs/r{number}/journal-000001", b"")

    left = []
    for _ in range(4):
        await state.forget(await state.leftovers(Head()), lease=lease)
        left.append(len(container.contents))

    assert left == [150, 50, 0, 0]


async def test_who_has_lost_the_lease_tidies_up_no_more(
    state: State, container: MemoryContainer, clock: VirtualClock, lease: Lease
):
    """What was left over a minute ago may be of use to somebody by now."""
    for number in range(3):
        await container.write(f"contosohr/runs/r{number}/journal-000001", b"")
    leftovers = await state.leftovers(Head())
    clock.advance(LEASE_SECONDS)

    with pytest.raises(LeaseLost):
        await state.forget(leftovers, lease=lease)

    assert len(container.contents) == 3


# --- requests --------------------------------------------------------------------------------------------------------


async def test_requests_wait_until_they_are_forgotten(state: State):
    """What operators asked for is there, with its wish, until it was carried out."""
    await state.ask("1", full=False)
    await state.ask("2", full=True)

    requests = await state.requests()

    assert requests == [
        Request("contosohr/requests/1.json", full=False),
        Request("contosohr/requests/2.json", full=True),
    ]
    await state.forget_requests(requests[:1])
    assert await state.requests() == requests[1:]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"full"', b"\xff"])
async def test_a_request_that_cannot_be_read_asks_for_a_plain_run(
    state: State, container: MemoryContainer, data: bytes
):
    """Somebody wanted something; a plain run harms nobody."""
    await container.write("contosohr/requests/1.json", data)

    assert await state.requests() == [Request("contosohr/requests/1.json", full=False)]


async def test_an_approval_waits_with_who_gave_it_and_when(state: State):
    """The tick that takes it up knows its hash, its name and its age."""
    approval = Approval("sha256:1", "Ada Okafor", 1_800_000_000)

    await state.ask_to_release("1", approval)

    assert await state.requests() == [Request("contosohr/requests/1.json", kind="approve", approval=approval)]


async def test_what_waits_is_kept_under_its_hash(state: State, lease: Lease):
    """For as long as the head names it: held, refused or approved."""
    kept = [Pending("x", "m", lines=frozenset({f"u{number} delete absent"})) for number in range(4)]
    for each in kept:
        await state.save_pending(each)
    held, refused, approved, forgotten = (each.digest for each in kept)
    head = Head(
        held=Held(held, 1, "r"),
        refused=(Refused("a.csv", "0x1", "c", "rekeyed", plan=refused),),
        approvals=(Approval(approved, "Ada", 1),),
    )

    await state.forget(await state.leftovers(head), lease=lease)

    assert [await state.pending(plan) for plan in (held, refused, approved)] == kept[:3]
    assert await state.pending(forgotten) is None


async def test_a_pause_is_seen_at_the_first_look(state: State):
    """Every tick's one listing shows it; who did it, and who ended it, can be read."""
    before = (await state.look()).paused, await state.paused(), await state.resumed()
    await state.pause({"by": "Ada", "reason": "audit"})
    during = (await state.look()).paused, await state.paused()
    await state.resume({"by": "Ben"})

    assert before == (False, None, None)
    assert during == (True, {"by": "Ada", "reason": "audit"})
    assert ((await state.look()).paused, await state.paused(), await state.resumed()) == (False, None, {"by": "Ben"})


@pytest.mark.parametrize("data", [b"", b"{", b"[]"])
async def test_a_damaged_pause_is_one_all_the_same(state: State, container: MemoryContainer, data: bytes):
    """Nobody knows why any more, but syncing waits until somebody resumes it."""
    await container.write("contosohr/paused.json", data)

    assert (await state.look()).paused
    assert await state.paused() == {}


async def test_a_request_says_who_asked(state: State, container: MemoryContainer):
    """The blob names the person, for whoever wants to know."""
    await state.ask("1", full=True, by="the operator")

    assert orjson.loads(container.contents["contosohr/requests/1.json"]) == {
        "kind": "sync",
        "full": True,
        "by": "the operator",
    }
