"""Nights as chance will have them: nobody is missing or left over, nobody goes too early, nothing goes out twice.

HR edits, IT is late, the operator changes settings and mapping, approves, pauses, tears down and sets up, secrets are
replaced, Graph and storage have bad days, processes die. Time is virtual. ``make exhaustive`` lets chance run longer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from connector.errors import ConnectorError
from connector.identities import Identities
from connector.settings import Settings
from connector.vault import SecretCache
from tests.flows.deaths import EXHAUSTIVE, deaths, in_doubt, is_at_rest, let_it_die, nobody_dies_any_more
from tests.flows.truth import Dropped as File
from tests.flows.truth import Said, Someone, Truth, cut, items_of
from tests.flows.world import CONNECTION, DAY, KILLED, Report, Row, World, an_export
from tests.tenant import INGEST_CLIENT_ID, INGEST_SECRET, MANAGED_CLIENT_ID
from tests.tenant.azure_wire import IDENTITY, azure_wire
from tests.tenant.graph.faults import Dropped, Failed, Fault, Refused, ShortPage, Throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from tests.flows.deaths import Death
    from tests.tenant.graph.seen import Seen

pytestmark = pytest.mark.once

FEW: Final = 4
"""People of whom no percentage means anything yet."""
MANY: Final = 24
"""People of whom every guard means something."""
SHARES: Final = [3, 8, 16, 24]
"""How many of them are changed at once."""
TITLES: Final = ["Clerk", "Chief", "Cook"]
VAULT: Final = "contoso.vault.azure.net"
EFFECTIVE: Final = '[effective]\nfrom = "From"\nuntil = "Until"\n\n[status]'
MAPPINGS: Final = {"": [], "desks": [('column = "FavoriteColor"', 'column = "DeskNumber"')]}
"""The default mapping, and one that shows everybody's desk where the colour was."""
NIGHTS: Final = int(os.environ.get("NIGHTS", "0")) or (200 if EXHAUSTIVE else 16)
"""How many scenarios are played under each contract."""
STEPS: Final = int(os.environ.get("STEPS", "0")) or (40 if EXHAUSTIVE else 20)
BY_PERCENT: Final = {
    "too_many_rejected",
    "match_rate",
    "cells_changed",
    "field_changed",
    "column_emptied",
    "mapping_change",
    "rekeyed",
}
"""Why an export is refused of which too many people are concerned."""
HOST: Final = {"IDENTITY_ENDPOINT": f"http://{IDENTITY}/msi/token", "IDENTITY_HEADER": "0123456789abcdef"}
"""How the host tells where its managed identity gets tokens."""

FAULTS: Final[list[Fault]] = [
    Throttled(5),
    Throttled(None),
    Throttled(None, retry_after_ms=1500),
    Failed(408),
    Failed(500),
    Failed(502, effect=True),
    Failed(503, effect=True),
    Failed(504),
    Dropped(),
    Dropped(effect=True),
    Refused(400),
    Refused(401, "InvalidAuthenticationToken"),
    Refused(403, "Forbidden"),
    Refused(404, "ItemNotFound"),
    ShortPage(),
]


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a process: ``what`` it meets when it has come so ``far``, by which ``fault``, how often."""

    what: str
    far: float = 0
    fault: Fault = FAULTS[0]
    times: int = 1


Edit = tuple[int, str, Any]
"""Whose row HR changes, what in it, and to what."""
Act = tuple[str, int]
"""What happens beside, and whom it is about."""

STATES: Final = {
    "active": 4,
    "leave": 1,
    "absent": 4,
    "left": 4,
    "bad": 2,
    "twice": 1,
    "nameless": 1,
    "joins": 1,
    "ends": 1,
}
"""What HR does with a row, and how often of these."""
ACTS: Final = {
    "the operator edits the mapping": 3,
    "the operator changes the grace": 2,
    "the operator asks": 1,
    "the operator asks for everyone": 1,
    "the operator pauses, or goes on": 1,
    "the operator calls setup": 2,
    "the operator makes the connection anew": 1,
    "somebody deletes the connection": 1,
    "somebody empties the connection": 1,
    "somebody makes the connection a draft": 1,
    "somebody deletes an item": 1,
    "IT catches up": 2,
    "IT is late": 2,
    "IT deletes an account": 1,
    "IT makes an account anew": 1,
    "no token": 1,
    "tokens are revoked": 2,
    "tokens live for minutes": 1,
    "a secret is rotated": 2,
    "a secret is rotated, but the vault is late": 1,
    "the vault is away, or back": 1,
}
"""What happens beside, and how often of these."""

# Sampled, for of numbers hypothesis likes those that stand somewhere in the code: every edit would be another scenario.
somebody = st.sampled_from(range(MANY))
states = st.tuples(st.just("state"), st.sampled_from([*Counter(STATES).elements()]))
changes = st.one_of(
    states,
    states,
    st.tuples(st.just("title"), st.sampled_from(TITLES)),
    st.tuples(st.just("manager"), st.one_of(st.sampled_from(["", "nobody"]), somebody)),
    st.tuples(st.sampled_from(["upn", "upn", "upn, but IT is late", "key"]), st.just("")),
)
edits = st.lists(st.tuples(somebody, changes).map(lambda edit: (edit[0], *edit[1])), min_size=1, max_size=5)
acts = st.lists(st.tuples(st.sampled_from([*Counter(ACTS).elements()]), somebody), max_size=2)
drops = st.sampled_from(["whole", "whole", "manifested", "manifested", "set", "some", "cut", "cut promised", "none"])
fates = st.builds(
    Fate,
    st.sampled_from(
        [*["lives"] * 3, "dies", *["dies sending"] * 3, "dies folding", "graph", "writes", "batches", "storage"]
    ),
    st.sampled_from(range(1000)).map(lambda far: far / 1000),
    st.sampled_from(FAULTS),
    st.sampled_from([1, 1, 3, 7, 30]),
)


@dataclass(frozen=True, slots=True)
class Genuine:
    """Opens the genuine identities for one invocation: tokens come from the vault's secrets."""

    world: World

    def __call__(self) -> Identities:
        """Return identities that have read nothing yet."""
        world = self.world
        environment = {**world.environment, **HOST}
        wire = azure_wire(world.tenant, vault=VAULT)
        return Identities(
            Settings.from_env(environment), environment, clock=world.clock, cache=SecretCache(), transport=wire
        )


class Nights(RuleBasedStateMachine):
    """HR's truth on one side, the simulated tenant on the other."""

    there: World
    """The world that is being played in; whatever asks the machine for the time is told its time."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world: World
        self.truth: Truth
        self.mapped = ""
        self.colours = {""}
        self.grace = 0
        self.approved: list[tuple[str, set[str]]] = []
        self.deleted: list[tuple[float, str]] = []
        self.vanished: dict[str, str] = {}
        self.full = False
        self.late_secret = ""
        self.paused = self.rested = False

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let something happen in the scenario's loop."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """End a scenario quietly: after some calm nights everything is as HR says."""
        try:
            if hasattr(self, "world"):
                self.do(self.calm_down())
        finally:
            self.runner.close()

    @initialize(
        count=st.sampled_from([FEW, FEW, MANY]),
        grace=st.sampled_from([0, 1, 2]),
        allowance=st.sampled_from([0, 1, 1, MANY]),
        concurrency=st.sampled_from([1, 3, 16]),
        slow=st.sampled_from([0, 0, 2]),
        genuine=st.sampled_from([False, False, True]),
    )
    def begin(self, count: int, grace: int, allowance: int, concurrency: int, slow: int, *, genuine: bool) -> None:
        """Set up a connection, for people whose rows count from one day to another; their first night is calm."""
        self.world = Nights.there = world = World()
        world.decide(LEAVER_GRACE_EXPORTS=grace, MAX_CONCURRENCY=concurrency, MIN_DELETE_ALLOWANCE=allowance)
        world.decide(SLICE_SECONDS=60, VERIFY_ITEMS=2 * (concurrency == 3))
        if genuine:
            world.decide(KEY_VAULT_URL=f"https://{VAULT}", AZURE_CLIENT_ID=MANAGED_CLIENT_ID)
            world.identities = Genuine(world)
            world.tenant.entra.identity_header = HOST["IDENTITY_HEADER"]
        self.genuine, self.grace = genuine, grace
        names = [f"E{number}" for number in range(count)]
        managers = [names[number // 3] if number else "" for number in range(count)]
        self.truth = Truth({name: Someone(name, name, manager) for name, manager in zip(names, managers, strict=True)})
        self.do(world.setup())
        self.do(self.map())
        self.do(self.drop())
        self.do(self.settle())
        assert len(world.graph.items) == count
        world.graph.latency = slow

    async def map(self) -> None:
        """Give the connector the default mapping with dates between which rows count, and a change or none."""
        await self.world.map_with(("[status]", EFFECTIVE), *MAPPINGS[self.mapped])
        self.colours.add(self.mapped)

    # --- what happens -----------------------------------------------------------------------------------------------

    @rule(beside=acts, edits=edits, kind=drops, fate=fates)
    def a_day(self, beside: list[Act], edits: list[Edit], kind: str, fate: Fate) -> None:
        """HR edits and drops a file, or does not, or not all of it; the timer fires, and comes so far."""
        self.edit(edits)
        self.world.wait(DAY)
        self.do(self.drop(kind))
        self.do(self.act(beside))
        self.do(self.meet(fate))

    @rule(beside=acts, edits=edits)
    def a_calm_day(self, beside: list[Act], edits: list[Edit]) -> None:
        """HR edits and drops a file, and the timer fires until there is nothing to do."""
        self.do(self.act(beside))
        self.edit(edits)
        self.world.wait(DAY)
        self.do(self.drop())
        self.do(self.rest())

    @rule(beside=acts, first=edits, fate=fates, then=edits, later=fates, kind=drops)
    def a_day_that_is_overtaken(
        self, beside: list[Act], first: list[Edit], fate: Fate, then: list[Edit], later: Fate, kind: str
    ) -> None:
        """One export is not done with when the next one comes."""
        self.a_day([], first, "manifested", fate)
        self.a_day(beside, then, kind, later)

    @precondition(lambda self: len(self.truth.people) == MANY)
    @rule(
        what=st.sampled_from(["absent", "left", "bad", "active", "title", "colour", "upn, but IT is late", "key"]),
        share=st.sampled_from(SHARES),
        start=somebody,
        fate=fates,
    )
    def a_day_of_many(self, what: str, share: int, start: int, fate: Fate) -> None:
        """The same happens to many at once: a takeover, a renumbering, a column that is gone, a broken interface."""
        value = {"title": TITLES[start % 3], "colour": ["", "blue"][start % 2]}.get(what, "")
        kind, value = ("state", what) if what in STATES else (what, value)
        self.a_day([], [(start + number, kind, value) for number in range(share)], "manifested", fate)

    @rule(beside=acts, fate=fates)
    def a_tick(self, beside: list[Act], fate: Fate) -> None:
        """The timer fires again, and comes so far."""
        self.do(self.act(beside))
        self.do(self.meet(fate))

    @rule(beside=acts, days=st.sampled_from([0, 0, 1, 1, 8]))
    def time_passes(self, beside: list[Act], days: int) -> None:
        """The timer fires until there is nothing to do, perhaps some days later: the day of some rows has come then."""
        self.do(self.act(beside))
        self.world.wait(days * DAY)
        self.do(self.rest())

    @rule(age=st.sampled_from([0, 0, 0, 1, 2, 5]), fate=fates)
    def somebody_approves(self, age: int, fate: Fate) -> None:
        """Somebody approves what the last report says waits, or what an earlier one said; the timer fires."""
        self.do(self.approve(age))
        self.do(self.meet(fate))

    @rule(edits=edits, kind=drops, fate=fates)
    def somebody_approves_too_late(self, edits: list[Edit], kind: str, fate: Fate) -> None:
        """What waits is approved, but another export comes before the timer fires."""
        self.do(self.approve(0))
        self.a_day([], edits, kind, fate)

    async def act(self, beside: list[Act]) -> None:
        """Let something happen beside the exports."""
        for what, who in beside:
            event(what)
            if what.startswith("the operator"):
                await self.operate(what)
            elif "connection" in what or "item" in what:
                await self.touch(what, who)
            elif what.startswith("IT"):
                self.administer(what, self.person(who))
            else:
                self.secure(what)

    async def operate(self, what: str) -> None:
        """Let the operator change something, or ask for something."""
        application = self.world.application()
        match what.removeprefix("the operator "):
            case "edits the mapping":
                self.mapped, self.rested = "" if self.mapped else "desks", False
                await self.map()
            case "changes the grace":
                self.grace = (self.grace + 1) % 3
                self.world.decide(LEAVER_GRACE_EXPORTS=self.grace)
            case "pauses, or goes on":
                await self.pause(paused=not self.paused)
            case "calls setup":
                await self.set_up()
            case "makes the connection anew":
                held = self.held()
                await self.make_anew()
                await self.miss(held)
            case "asks":
                await application.ask_for_sync(b"{}")
            case _:
                await application.ask_for_sync(b'{"full": true}')

    async def touch(self, what: str, who: int) -> None:
        """Let another administrator do something to the connection."""
        connection = self.world.graph.connections.get(CONNECTION)
        if connection is None:
            return
        held = self.held()
        self.full = self.wants_everyone() and (await self.world.head()).run is None
        if what == "somebody deletes an item":
            for item_id in sorted(connection.items)[who::MANY]:
                del connection.items[item_id]
        else:
            connection.items.clear()
        if what == "somebody makes the connection a draft":
            connection.operations.clear()
            connection.schema, connection.types = None, {}
        if what == "somebody deletes the connection":
            del self.world.graph.connections[CONNECTION]
        await self.miss(held)

    async def miss(self, held: Mapping[str, object]) -> None:
        """Note who is in Graph no more, and in which incarnation: the next one sends everybody."""
        head, ledger = await self.world.head(), await self.world.ledger()
        incarnation = head.run.incarnation if head.run else ledger.incarnation
        self.vanished |= dict.fromkeys(held.keys() - self.held().keys(), incarnation)

    def administer(self, what: str, person: Someone) -> None:
        """Let IT make the accounts that are missing, or be late with one, delete it, or make another one."""
        if what == "IT catches up":
            self.follow()
        elif what == "IT is late":
            person.renamed, person.late = person.renamed + 1, True
        else:
            self.remove_account(person, anew="anew" in what)

    def secure(self, what: str) -> None:
        """Replace secrets, in the vault at once or later; revoke tokens; let the vault be away or back."""
        tenant = self.world.tenant
        match what:
            case "no token":
                self.world.no_token = "" if self.world.no_token else "the vault does not answer"
            case "tokens are revoked":
                tenant.entra.revoke_tokens(INGEST_CLIENT_ID)
            case "tokens live for minutes":
                tenant.entra.expires_in = 300 if tenant.entra.expires_in > 300 else 3600
            case "a secret is rotated":
                self.rotate()
            case "the vault is away, or back":
                (tenant.vault.down if tenant.vault.outage is None else tenant.vault.up)()
            case _:
                tenant.entra.apps[INGEST_CLIENT_ID].secrets.clear()
                self.late_secret = f"{len(tenant.vault.secrets[INGEST_SECRET])}~late~secret"
                tenant.entra.add_secret(INGEST_CLIENT_ID, self.late_secret)

    # --- HR and IT --------------------------------------------------------------------------------------------------

    def person(self, number: int) -> Someone:
        """Return somebody by their number."""
        return [*self.truth.people.values()][number % len(self.truth.people)]

    def edit(self, edits: list[Edit]) -> None:
        """Let HR change what it knows of people; a day is set for those who join or whose time ends."""
        day = f"{self.world.clock.now() + timedelta(days=3):%Y-%m-%d}"
        for number, what, value in edits:
            person = self.person(number)
            event(f"HR: {what} {value if what == 'state' else ''}")
            match what:
                case "state":
                    person.state = value
                    person.begins = day if value == "joins" else ""
                    person.ends = day if value == "ends" else ""
                case "title":
                    person.title = value
                case "colour":
                    person.colour = value
                case "manager":
                    person.manager = self.person(value).name if isinstance(value, int) else value
                case "key":
                    person.key = f"{person.name}k{len(self.truth.keys)}"
                    self.truth.keys[person.key] = person.name
                case _:
                    person.renamed += 1
                    person.late = person.late or "late" in what

    def follow(self, *, late: bool = True) -> None:
        """Let IT make and rename accounts as HR's rows say; those it is late with only now and then."""
        graph, now = self.world.graph, self.world.clock.monotonic()
        for person in self.truth.people.values():
            if person.late and not late:
                continue
            if not person.account:
                person.account = graph.add_user(person.upn, id=str(uuid5(NAMESPACE_URL, f"{person.upn}/{now}")))
            elif graph.users[person.account].upn != person.upn:
                graph.rename_user(person.account, person.upn)
            if person.late:
                person.late, person.sure_from = False, max(person.sure_from, now + DAY + 60)

    def remove_account(self, person: Someone, *, anew: bool) -> None:
        """Let IT delete an account; what replaces it is found when accounts that are known are asked for again."""
        if person.account:
            self.world.graph.remove_user(person.account)
        person.account, person.late = "", True
        if anew:
            self.follow()
        person.sure_from = self.world.clock.monotonic() + 8 * DAY

    @property
    def today(self) -> str:
        """Return the day, as HR writes it."""
        return f"{self.world.clock.now():%Y-%m-%d}"

    async def drop(self, kind: str = "whole") -> None:
        """Let HR drop a file, and IT do its work for it."""
        event(f"export: {kind}")
        self.world.wait(1)
        if kind == "none":
            return
        self.follow(late=False)
        rows = self.truth.rows()
        number = len(self.truth.files) + 1
        name, more = f"people-{number:04}.csv", f"more-{number:04}.csv"
        if kind == "some":
            some = [{**row, "_error_code": ""} for row in rows[number % 2 :: 2]]
            if some:
                await self.put(File(name, tuple(some), whole=False), an_export(some))
            return
        if kind.startswith("cut"):
            await self.drop_cut(name, rows, promised=kind == "cut promised")
            return
        if kind == "set" and len(rows) > 1:
            await self.world.drop(more, rows[::2])
            await self.put(File(name, tuple(rows)), an_export(rows[1::2]))
            await self.world.promise(name, files=[name, more])
            return
        await self.put(File(name, tuple(rows)), an_export(rows))
        if kind != "whole":
            self.world.wait(1)
            await self.world.promise(name, files=[name])

    async def drop_cut(self, name: str, rows: Sequence[Row], *, promised: bool) -> None:
        """Let HR's upload break off, at the end of a row or within one."""
        data = an_export(rows)
        place = -1 - 61 * len(self.truth.files) % len(data)
        if len(self.truth.files) % 3 == 0:
            place = data.rindex(b"\n", 0, place) + 1 if b"\n" in data[:place] else place
        left, torn = cut(data[:place])
        await self.put(File(name, tuple(left), torn=torn, broken=promised), data[:place])
        if promised:
            await self.world.promise(name, sha256=hashlib.sha256(data).hexdigest())

    async def put(self, file: File, data: bytes) -> None:
        """Upload a file, and remember what it says."""
        self.truth.files.append(file)
        await self.world.drop(file.name, data)

    # --- the operator -----------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        with suppress(ConnectorError):
            await self.world.setup()

    async def make_anew(self) -> None:
        with suppress(ConnectorError):
            await self.world.teardown()
            await self.world.setup()

    async def pause(self, *, paused: bool) -> None:
        application = self.world.application()
        if paused:
            await application.pause(b'{"by": "Kim", "reason": "audit"}')
        else:
            await application.resume(b'{"by": "Kim"}')
        self.paused = paused

    def rotate(self) -> None:
        """Replace the secret, in the vault as well."""
        self.world.wait(1)
        self.late_secret = ""
        self.world.tenant.rotate_secret(INGEST_CLIENT_ID)
        del self.world.tenant.entra.apps[INGEST_CLIENT_ID].secrets[:-1]

    async def approve(self, age: int) -> bool:
        """Approve what the last report says waits, or one of those before it; tell whether that is taken."""
        waits = [report for report in self.told() if report.get("plan")]
        if age >= len(waits):
            return False
        report = waits[-1 - age]
        body = json.dumps({"plan": report["plan"], "by": "Kim"}).encode()
        try:
            await self.world.application().approve(report["run"], body)
        except ConnectorError as error:
            event(f"approval: {type(error).__name__}")
            return False
        event(f"approval: taken, of what was {report['outcome']}, {age} reports old")
        held = {each["key"] for each in report["held_people"]} if report["outcome"] == "held" else set[str]()
        self.approved.append((report["export"]["name"], held))
        return True

    def told(self) -> list[Report]:
        """Return all reports, oldest first."""
        return [json.loads(data) for name, data in sorted(self.world.blobs("reports").items()) if name.endswith("json")]

    # --- the timer --------------------------------------------------------------------------------------------------

    async def meet(self, fate: Fate) -> None:
        """Let the timer fire; the process comes so far of what it would do, and meets its fate there."""
        event(f"process: {fate.what}")
        possible: list[Death] = []
        if fate.what != "lives":
            with suppress(ConnectorError):
                possible = await deaths(self.world)
        await self.tick(partial(self.befall, fate, possible), calm=fate.what == "lives")

    def befall(self, fate: Fate, possible: Sequence[Death]) -> None:
        """Let the next process meet its fate."""
        graph = self.world.graph
        sending = [death for death in possible if death.place == "graph"]
        fault = fate.fault if fate.what == "batches" or not isinstance(fate.fault, ShortPage) else Failed(500)
        match fate.what:
            case "graph":
                met = is_no_deletion if isinstance(fault, Refused) else anything
                graph.fault_when(met, fault, times=fate.times, after=int(fate.far * len(sending) / 2))
            case "writes":
                writes = sum(death.kind.startswith(("PUT", "DELETE")) for death in sending) / 2
                met = is_put if isinstance(fault, Refused) else is_write  # whoever is told 404 has deleted the item
                graph.fault_when(met, fault, times=fate.times, after=int(fate.far * writes))
            case "batches":
                graph.fault_parts_when(lambda _: True, fault, times=fate.times, after=int(fate.far * 4))
            case "dies":
                self.let_it_end(fate, possible)
            case "dies sending":
                self.let_it_end(fate, sending or possible)
            case "dies folding":
                self.let_it_end(fate, [each for each in possible if each.place == "state" and "write" in each.kind])
            case "storage":
                self.let_it_end(fate, [each for each in possible if each.place != "graph"])
            case _:
                pass

    def let_it_end(self, fate: Fate, places: Sequence[Death]) -> None:
        """Let the next process die, or storage fail it, at one of these places."""
        if not places:
            return
        death = places[int(fate.far * len(places))]
        if fate.what == "storage":
            blobs = getattr(self.world.containers, death.place)
            blobs.fail(blobs.requests + death.position + 1, after_effect=death.after_effect)
        else:
            let_it_die(self.world, death)

    async def tick(self, befall: Callable[[], None] = lambda: None, *, calm: bool = True) -> Report | None:
        """Let the timer fire once, and hold what it did to what HR had said by then."""
        world = self.world
        before, days, since = self.held(), {self.today}, len(world.served)
        head = await world.head()
        said = self.truth.said([mark.name for mark in head.partials]) if self.truth.applied else []
        allowed = await self.allowed()
        self.full = self.full or self.wants_everyone()
        report = None
        befall()
        try:
            report = await world.tick()
            event(f"run: {report['outcome']}" if report else "run: none")
        except KILLED:
            event("run: died")
        except ConnectorError as error:
            event(f"run: {error.code}")
        nobody_dies_any_more(world)

        head = await world.head()
        days.add(self.today)
        writes = world.served[since:]
        if report:
            self.is_what_may_be_refused(report)
            assert report["outcome"] != "refused" or not writes
            if report["outcome"] in {"completed", "unchanged", "held"}:
                self.colours = {self.mapped}
        assert not (self.paused and writes)
        await self.nobody_is_lost(before, said, days)
        if allowed is not None:
            self.nothing_is_sent_again(since, allowed, calm=calm)
        self.is_what_may_be_applied(head.applied.name if head.applied else "", said)
        await self.is_known()
        return report

    def held(self) -> dict[str, set[str]]:
        """Return, by name, under which keys Graph has items of people."""
        found: dict[str, set[str]] = {}
        for key in items_of(self.world).values():
            found.setdefault(self.truth.keys[key], set()).add(key)
        return found

    async def settle(self) -> None:
        """Let the timer fire until there is nothing to do, or nothing can be done."""
        failed = 0
        for _ in range(60):
            report = await self.tick()
            failed = failed + 1 if report and report["outcome"] == "failed" else 0
            if report is None or failed == 3:
                return
        raise AssertionError(f"still at work: {[each['outcome'] for each in self.told()][-20:]}")

    # --- what always holds ------------------------------------------------------------------------------------------

    async def nobody_is_lost(self, before: dict[str, set[str]], said: Sequence[Said], days: set[str]) -> None:
        """Nobody loses their item unless HR has said so; and not more people than may go in one day."""
        after, now = self.held(), self.world.clock.monotonic()
        approved = {key for _, keys in self.approved for key in keys}
        for name in before.keys() - after.keys():
            keys = before[name]
            assert any(self.truth.may_go(key, said, days, grace=self.grace) for key in keys) or keys & approved, name
            if not keys & approved:
                self.deleted.append((now, name))
        recent = {name for moment, name in self.deleted if moment > now - 23 * 3600} - after.keys()
        allowed = max(self.world.settings.min_delete_allowance, len(self.truth.people) * 5 // 100)
        assert len(recent) <= allowed, recent

    async def allowed(self) -> Counter[str] | None:
        """Return which items may go out although Graph has them as they are; None where everyone may."""
        head, registration = await self.world.head(), await self.world.state.registration()
        if self.wants_everyone() or (head.run and head.run.full) or not head.generation or registration is None:
            return None
        ledger = await self.world.ledger()
        if ledger.incarnation != registration.incarnation:
            return None
        doubtful = (entry for entry in ledger.entries.values() if entry.state != "sent" or entry.is_former)
        vanished = ledger.held - len(self.world.graph.items)
        gone = (entry for entry in ledger.entries.values() if vanished and entry.item_id not in self.world.graph.items)
        return await in_doubt(self.world) | Counter(entry.item_id for entry in (*doubtful, *gone))

    def wants_everyone(self) -> bool:
        """Tell whether somebody has asked for everyone to be sent, and the connector has not done so yet."""
        return any("/requests/" in name and b'"full":true' in data for name, data in self.world.blobs("state").items())

    def nothing_is_sent_again(self, since: int, allowed: Counter[str], *, calm: bool) -> None:
        """Nothing goes out as Graph has it already, but for what was announced and in doubt."""
        doubts, again = set[str](), Counter[str]()
        for write in self.world.served[since:]:
            if not write.changed and write.item_id not in doubts:
                again[write.item_id] += 1
            if not write.answered:
                doubts.add(write.item_id)
        if calm:
            assert again <= allowed, (again, allowed)
        assert again.keys() <= allowed.keys(), (again, allowed)

    async def is_known(self) -> None:
        """No item is unknown to us: it is in the ledger, or announced by a run that is unfinished."""
        world = self.world
        head, registration = await world.head(), await world.state.registration()
        if not world.graph.items or head.run is not None or not head.generation or registration is None:
            return
        ledger = await world.ledger()
        if ledger.incarnation == registration.incarnation:
            assert set(world.graph.items) <= {entry.item_id for entry in ledger.entries.values() if entry.held}

    def is_what_may_be_refused(self, report: Report) -> None:
        """With few people no percentage refuses anything."""
        if report["outcome"] == "refused":
            code = report["error"]["code"]
            event(f"refused: {code}")
            assert len(self.truth.people) == MANY or code not in BY_PERCENT

    def is_what_may_be_applied(self, applied: str, said: Sequence[Said]) -> None:
        """What is not whole is never applied, and what would change too much only by somebody's word."""
        before, rested = self.truth.applied, self.rested
        self.rested = False
        if not self.truth.note(applied, self.today):
            return
        file = self.truth.named(applied)
        assert not file.broken
        assert not (file.torn and before)
        if rested and len(said) > 1 and applied not in {name for name, _ in self.approved}:
            assert not too_much(said[0], self.truth.said([], more=False)[0], len(file.rows), self.today)

    # --- what holds whenever there is nothing to do -------------------------------------------------------------------

    async def rest(self) -> None:
        """Let the timer fire until there is nothing to do; if nothing is wrong then, hold Graph to HR."""
        await self.settle()
        wrong = await self.what_is_wrong()
        event(f"at rest: {wrong or 'as HR says'}")
        if not wrong:
            await self.is_as_hr_says()
            self.rested = True

    async def what_is_wrong(self) -> str:
        """Return why Graph cannot be as HR says although there is nothing to do, "" where it must be."""
        head, registration = await self.world.head(), await self.world.state.registration()
        if registration is None or registration.leaving:
            return "no connection"
        found = {
            "paused": self.paused,
            "an unfinished run": head.run is not None,
            "a failure": head.failures > 0,
            "another connection": (await self.world.ledger()).incarnation != registration.incarnation,
            "an export that nobody knows": self.truth.murky,
            "what was applied is refused by now": any(
                head.applied and (each.name, each.etag) == (head.applied.name, head.applied.etag)
                for each in head.refused
            ),
        }
        return next((what for what, is_so in found.items() if is_so), "")

    async def is_as_hr_says(self) -> None:
        """Nobody is missing or stale whom HR has said to be there; nobody is left over whom nobody waits for."""
        world, today = self.world, self.today
        head, ledger = await world.head(), await world.ledger()
        partials = [mark.name for mark in head.partials]
        said = self.truth.said(partials)
        items = items_of(world)
        held = Counter(items.values())
        waits = {entry.key for entry in ledger.entries.values() if entry.state in {"failed", "doubt"}}
        waits |= {entry.former_of for entry in ledger.entries.values() if entry.is_former}
        waits |= self.waiting_for_somebody(head.held.run if head.held else "")
        for key, count in held.items():
            assert key in waits or count == 1, key
            left_over = self.truth.must_be_gone(key, said, today, grace=self.grace)
            assert key in waits or not left_over, (key, said[0].standing(key, today))
        if any(each.standing(key, today) == "absent" for key in held for each in said):
            event("at rest: somebody in grace")
        if head.held:
            event("at rest: somebody held")
        if self.full and not self.wants_everyone():
            self.vanished, self.full = {}, False
        there = {self.truth.keys[key] for key in held}
        self.vanished = {
            name: incarnation
            for name, incarnation in self.vanished.items()
            if incarnation == ledger.incarnation and name not in there
        }
        for person in self.truth.people.values():
            if person.name not in self.vanished and person.key not in waits and self.is_sure(person, said, held):
                assert person.key in held, person
                self.profile_is_as_said(person, said, held)

    def waiting_for_somebody(self, run: str) -> set[str]:
        """Return whose deletion is held."""
        return {each["key"] for report in self.told() if report["run"] == run for each in report["held_people"]}

    def is_sure(self, person: Someone, said: Sequence[Said], held: Counter[str]) -> bool:
        """Tell whether all that HR has said is that somebody is there, and IT has said it for long enough."""
        now = self.world.clock.monotonic()
        if not person.account or person.late or now < person.sure_from:
            return False
        others = (key for key in held if key != person.key and self.truth.keys[key] == person.name)
        return not any(others) and all(
            each.standing(person.key, self.today) == "here" and each.row(person.key)["UserPrincipalName"] == person.upn
            for each in said
        )

    def profile_is_as_said(self, person: Someone, said: Sequence[Said], held: Counter[str]) -> None:
        """Hold somebody's profile to their rows."""
        profile = self.world.graph.profiles()[person.upn]
        position = profile["personCurrentPosition"]
        rows = [each.row(person.key) for each in said]
        assert position["detail"]["jobTitle"] in {row["JobTitle"] for row in rows}
        columns = {"DeskNumber" if mapped else "FavoriteColor" for mapped in self.colours}
        colour = profile.get("custom", {}).get("favoriteColor", "")
        assert colour in {row[column] for row in rows for column in columns}
        told = position.get("manager")
        expected = [self.manager_of(person, each, held) for each in said]
        if None not in expected:
            assert (told["userPrincipalName"] if told else "") in expected

    def manager_of(self, person: Someone, said: Said, held: Counter[str]) -> str | None:
        """Return the UPN of somebody's manager, "" for none; None where that depends on what was known of them."""
        key = said.row(person.key)["ManagerId"]
        manager = self.truth.people.get(self.truth.keys.get(key, ""))
        if manager is None or manager is person:
            return ""
        standing = said.standing(key, self.today)
        if standing == "left":
            return ""
        if standing != "here" or not self.is_sure(manager, [said], held) or goes_round(person.key, said):
            return None
        return manager.upn

    # --- the end ----------------------------------------------------------------------------------------------------

    async def calm_down(self) -> None:
        """Let everybody do their work, and calm nights pass until grace is over; hold Graph to HR."""
        world = self.world
        await self.mend()
        for person in self.truth.people.values():
            if person.state in {"bad", "twice", "nameless"}:
                person.state = "active"
        if all(person.state not in {"active", "leave", "joins"} for person in self.truth.people.values()):
            self.edit([(0, "state", "active")])
        for _ in range(5):
            world.wait(9 * DAY)
            self.follow()
            await self.drop("manifested")
            await self.let_it_through()
        since = len(world.served)
        world.wait(DAY)
        await self.drop("manifested")
        await self.let_it_through()

        assert world.served[since:] == []
        await self.rest()
        assert self.rested
        assert world.graph.ignored() == []
        here = {person.key for person in self.truth.people.values() if person.state in {"active", "leave", "joins"}}
        assert sorted(items_of(world).values()) == sorted(here)
        assert await is_at_rest(world)

    async def mend(self) -> None:
        """Let secrets, vault, connection and operator be as they should; everyone is sent again."""
        world, tenant = self.world, self.world.tenant
        nobody_dies_any_more(world)
        world.graph.latency, world.no_token, tenant.entra.expires_in = 0, "", 3600
        tenant.vault.up()
        if self.late_secret:
            tenant.vault.set_secret(INGEST_SECRET, self.late_secret)
        if self.paused:
            await self.pause(paused=False)
        registration = await world.state.registration()
        if registration is not None and registration.leaving:
            await world.teardown()
        await world.setup()
        await world.application().ask_for_sync(b'{"full": true}')

    async def let_it_through(self) -> None:
        """Let the timer fire until there is nothing to do, and somebody approve whatever waits: all of it is meant."""
        for _ in range(8):
            await self.settle()
            if not await self.approve(0):
                return
        raise AssertionError(f"waits for ever: {self.told()[-1]}")


def anything(_: Seen) -> bool:
    """Tell of every request that it meets a fault."""
    return True


def is_no_deletion(seen: Seen) -> bool:
    """Tell whether a request does not delete an item."""
    return seen.method != "DELETE"


def is_put(seen: Seen) -> bool:
    """Tell whether a request puts an item."""
    return seen.method == "PUT"


def is_write(seen: Seen) -> bool:
    """Tell whether a request puts or deletes an item."""
    return seen.method in {"PUT", "DELETE"}


def goes_round(key: str, said: Said) -> bool:
    """Tell whether somebody's managers lead in a circle, which is omitted somewhere."""
    seen: set[str] = set()
    while key in said.rows and len(said.rows[key]) == 1:
        if key in seen:
            return True
        seen.add(key)
        key = said.row(key)["ManagerId"]
    return False


def too_much(before: Said, now: Said, rows: int, today: str) -> bool:
    """Tell whether an export must have been refused, with the limits as they are by default."""
    rejected = sum(len(each) for key, each in now.rows.items() if now.standing(key, today) == "rejected")
    if rows >= 20 and rejected > 0.2 * rows:
        return True
    both = [key for key in now.rows if now.standing(key, today) == before.standing(key, today) == "here"]
    changed = [key for key in both if now.row(key)["JobTitle"] != before.row(key)["JobTitle"]]
    return len(both) >= 20 and len(changed) > 0.5 * len(both)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine that ticks run on tell the time of the world, and have a managed identity."""
    Nights.there = World()
    for name, value in HOST.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("time.time", lambda: Nights.there.clock.now().timestamp())


@pytest.mark.usefixtures("machine")
def test_whatever_happens_graph_ends_as_hr_says(contract: str):
    """Whatever happens, nobody is missing, left over or deleted too early, and nothing is sent twice."""
    run_state_machine_as_test(
        Nights,
        settings=settings(
            max_examples=NIGHTS,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=not EXHAUSTIVE,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
            report_multiple_bugs=False,
        ),
    )
