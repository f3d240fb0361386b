"""Nothing that a run emits tells anything about anybody: neither log nor exception nor address."""

from __future__ import annotations

import json
import logging
import traceback
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from connector.events import quieten
from tests.flows.world import CONNECTION, DAY, KILLED, Row, World, a_person, a_world, an_export, item_of
from tests.tenant import INGEST_CLIENT_ID
from tests.tenant.graph.faults import Dropped, Failed, Kill, Refused, Throttled

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_NAMES = ("Zebulon", "Ottoline", "Æthelwyn", "Xochitl", "Ødgeir", "Quillon", "Wilhelmina", "Yngvarr")
SURNAME = "O'Quixotry"
DOMAIN = "fabrikam-zz.example"


def somebody(number: int, **cells: str) -> Row:
    """Return a person whose every cell is nobody else's."""
    first = FIRST_NAMES[number % len(FIRST_NAMES)]
    upn = f"{first}.{number}.o'quixotry@{DOMAIN}"
    return (
        a_person(
            f"KX-77{number:03}",
            upn,
            name=f"{first} {SURNAME} {number}",
            title=f"Vexillologist {number}",
            manager="KX-77000" if number else "",
        )
        | {
            "FirstName": first,
            "LastName": f"{SURNAME}{number}",
            "Email": f"mailof{number}@{DOMAIN}",
            "Phone": f"+99 555 {number:04}",
            "Skills": f"Zymurgy{number}",
            "FavoriteColor": f"xanadu{number}",
        }
        | cells
    )


STAFF = [somebody(number) for number in range(30)]

TELLING = ("EmployeeId", "UserPrincipalName", "DisplayName", "FirstName", "LastName", "JobTitle", "Email", "Phone")


def _spellings(text: str) -> Iterator[str]:
    """Yield the forms in which a text may turn up in a log."""
    for form in (text, text.casefold(), text.upper(), unicodedata.normalize("NFD", text), text.replace("'", "''")):
        yield form
        yield quote(form)
        yield quote(form, safe="")
        yield quote(form, safe="@'")
        yield json.dumps(form)[1:-1]
        yield form.encode("unicode_escape").decode()
        yield repr(form.encode())[2:-1]


SECRETS = {
    spelling
    for row in STAFF
    for column in TELLING
    for spelling in _spellings(row[column])
    if len(spelling) > 4  # nothing shorter is anybody's
} | {DOMAIN, DOMAIN.upper(), "Quixotry", "quixotry", "Vexillologist", "KX-77", "kx-77", "Zymurgy", "mailof"}


class Everything(logging.Handler):
    """Keeps whatever a log would hold: message, arguments, every member of the record, and tracebacks."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        told = {name: value for name, value in record.__dict__.items() if name not in {"exc_info", "msg", "args"}}
        self.lines += [record.getMessage(), repr(record.msg), repr(record.args), repr(told)]
        if record.exc_info:
            self.lines.append("".join(traceback.format_exception(*record.exc_info)))


@pytest.fixture
def emitted() -> Iterator[list[str]]:
    """Return everything that is logged, at the level of each logger as the product sets it, ours at DEBUG."""
    root, ours = logging.getLogger(), logging.getLogger("connector")
    levels = root.level, ours.level
    handler = Everything()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    quieten()
    ours.setLevel(logging.DEBUG)
    logging.captureWarnings(capture=True)
    yield handler.lines
    logging.captureWarnings(capture=False)
    root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


class Witness:
    """Lets ticks go by, whatever they raise, and keeps what the exceptions would tell."""

    def __init__(self, world: World, emitted: list[str]) -> None:
        self.world = world
        self.emitted = emitted
        self.reports: list[dict[str, Any]] = []

    async def tick(self, times: int = 1) -> dict[str, Any]:
        for _ in range(times):
            try:
                report = await self.world.tick()
            except BaseException as error:  # noqa: BLE001 - a kill is one, too
                self.emitted += ["".join(traceback.format_exception(error)), str(error), repr(error)]
                self.emitted += [repr(error.__dict__), repr(error.__cause__), repr(error.__context__)]
            else:
                self.reports += [report] if report else []
        return self.reports[-1] if self.reports else {}

    async def night(self, rows: list[Row] | bytes, name: str = "") -> dict[str, Any]:
        self.world.wait(DAY)
        if not isinstance(rows, bytes):
            self.world.follow(rows)
        await self.world.drop(name or f"people-{self.world.clock.now():%Y-%m-%d-%H%M}.csv", rows)
        return await self.tick()

    def tells(self) -> set[str]:
        """Return what was told of anybody."""
        addresses = [
            f"{seen.method} {seen.path}"
            for seen in self.world.graph.requests
            if self.world.environment["CONTRACT"] == "labels" or "/items/" not in seen.path  # its ids are UPNs
        ]
        text = "\n".join([*self.emitted, *addresses])
        return {secret for secret in SECRETS if secret in text}


@pytest.fixture
async def witness(emitted: list[str]) -> Witness:
    """Return a witness of a world after its first night."""
    witness = Witness(await a_world(LEAVER_GRACE_EXPORTS=0, MAX_CHANGE_PERCENT=100), emitted)
    report = await witness.night(STAFF)
    assert report["created"] == 30
    return witness


def test_what_is_looked_for_would_be_found():
    """The search knows the spellings in which somebody might turn up."""
    upn = STAFF[2]["UserPrincipalName"]

    told = [f"GET /users/{quote(upn)}", json.dumps({"upn": upn.lower()}), f"no user {upn!r}", upn.replace("'", "''")]

    assert all(any(secret in text for secret in SECRETS) for text in told)


async def test_a_good_night_tells_nothing(witness: Witness):
    """Joiners, movers, leavers, people without account, guests: numbers only."""
    world = witness.world
    world.without_account = {STAFF[9]["UserPrincipalName"]}
    joiner = somebody(31)
    world.graph.add_user(somebody(32)["UserPrincipalName"], guest=True)
    world.graph.add_user(somebody(33)["UserPrincipalName"], enabled=False, mail=None)
    moved = STAFF[3] | {"UserPrincipalName": f"moved.o'quixotry@{DOMAIN}", "JobTitle": "Vexillologist-in-chief"}

    report = await witness.night(
        [*STAFF[:3], moved, STAFF[4] | {"Status": "Left"}, *STAFF[6:], joiner, somebody(32), somebody(33)]
    )

    assert report["outcome"] == "completed"
    assert report["unmatched"] >= 1
    assert witness.emitted
    assert witness.tells() == set()


async def test_every_kind_of_bad_row_tells_nothing(witness: Witness):
    """Whatever is wrong with a row, the log counts it and the quarantine shows it."""
    bad = [
        somebody(40, EmployeeId=""),
        somebody(41, UserPrincipalName=""),
        somebody(42, UserPrincipalName="Zebulon O'Quixotry"),
        somebody(43, HireDate="Zebulon's birthday"),
        somebody(44, Status="Quixotry"),
        somebody(45),
        somebody(45, UserPrincipalName=f"other.o'quixotry@{DOMAIN}"),
        somebody(46, UserPrincipalName=somebody(47)["UserPrincipalName"]),
        somebody(47),
        somebody(48),
        somebody(51, Skills="Zymurgy" * 5000),
        somebody(49, ManagerId="KX-77999"),
        somebody(50, ManagerId="KX-77050"),
    ]
    data = an_export([*STAFF, *bad]).replace(b"KX-77048", b"KX-77048,surplus")
    data += b'KX-77053,"Zebulon" O\'Quixotry,broken\r\n' + "KX-77052,Æthelwyn".encode("latin-1") + b"\r\n"
    witness.world.decide(MAX_REJECT_PERCENT=100)

    report = await witness.night(data)

    assert report["outcome"] == "unchanged"
    assert {code for row in report["rows"] for code in row["codes"]} >= {
        "missing_key",
        "missing_account",
        "bad_account",
        "bad_date",
        "not_allowed",
        "duplicate_key",
        "duplicate_account",
        "too_long",
        "bad_row",
    }
    assert report["warnings"].keys() >= {"manager_unknown", "manager_loop"}
    assert witness.tells() == set()


@pytest.mark.parametrize(
    "data",
    [
        an_export(STAFF).split(b"\r\n", 1)[1],  # the header is missing: the first row is somebody's
        an_export(STAFF) + b'"KX-77099,Zebulon',
        an_export(STAFF).decode().encode("utf-16")[:-1],
        b"Zebulon O'Quixotry <zebulon@fabrikam-zz.example>",
        an_export([somebody(1) | {"employee-id": "KX-77001"}]),
        b"\x1f\x8bKX-77001 Zebulon",
        b"PK\x03\x04KX-77001 Zebulon",
        an_export([somebody(number + 100) for number in range(25)]),  # nobody of those we know: refused
        an_export([row | {"Status": "Left"} for row in STAFF]),
        an_export(STAFF[:10]),  # too many deletions: held
    ],
)
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "zip"])
async def test_every_kind_of_bad_file_tells_nothing(witness: Witness, data: bytes, ending: str):
    """A file that is refused or held is told by its name and numbers."""
    report = await witness.night(data, f"people-2.{ending}")

    assert report["outcome"] in {"refused", "held"}
    assert witness.tells() == set()


async def test_an_export_that_changes_too_much_tells_nothing(witness: Witness):
    """Guards name columns of the mapping and count people."""
    witness.world.decide(MAX_CHANGE_PERCENT=50)

    report = await witness.night([row | {"DisplayName": f"{row['DisplayName']} II", "JobTitle": ""} for row in STAFF])

    assert (report["outcome"], report["error"]["code"]) == ("refused", "column_emptied")
    assert any("JobTitle" in line for line in witness.emitted)
    assert witness.tells() == set()


async def test_every_kind_of_bad_answer_tells_nothing(witness: Witness):
    """Graph's own words about an item or a filter may name somebody: they are not repeated."""
    graph = witness.world.graph
    words = f"The value '{STAFF[1]['UserPrincipalName']}' of {STAFF[1]['DisplayName']} (KX-77001) is invalid."
    for fault in (
        Refused(400, "BadRequest", words),
        Refused(409, "Conflict", words),
        Refused(404, "itemNotFound", words),
        Throttled(3),
        Failed(503, effect=True),
        Dropped(effect=True),
    ):
        graph.fault_when(
            lambda seen: seen.path.endswith(item_of("KX-77001", STAFF[1]["UserPrincipalName"])), fault, times=10
        )
        await witness.night([row | {"JobTitle": f"Vexillologist {fault}"} for row in STAFF])
        graph.clear_faults()
        await witness.tick(3)
    graph.fault_parts_when(lambda _: True, Refused(400, "Request_UnsupportedQuery", words), times=3)
    await witness.night([*STAFF, somebody(60)])
    graph.clear_faults()
    graph.fault_parts_when(lambda _: True, Refused(403, "Authorization_RequestDenied", words), times=3)
    await witness.night([*STAFF, somebody(61)])
    graph.clear_faults()
    graph.fault_when(lambda seen: seen.method == "PUT", Refused(403, "accessDenied", words), times=None)
    await witness.night([row | {"JobTitle": "Vexillologist emeritus"} for row in STAFF])

    assert {report["outcome"] for report in witness.reports} >= {"completed", "failed"}
    assert any(report["failed"] for report in witness.reports)
    assert witness.tells() == set()


async def test_every_kind_of_outage_tells_nothing(witness: Witness):
    """No token, no role, no storage, no ledger, no mapping: each says what is wrong, and about nobody."""
    world = witness.world
    changes = iter(range(100))

    async def another_night() -> None:
        title = f"Vexillologist the {next(changes)}th"
        await witness.night([row | {"JobTitle": title} for row in STAFF])

    world.no_token = "the vault does not answer"
    await another_night()
    world.no_token = ""
    world.tenant.entra.withdraw(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    await another_night()
    world.tenant.entra.grant(INGEST_CLIENT_ID, "ExternalItem.ReadWrite.OwnedBy")
    for container in ("exports", "state", "reports"):
        blobs = getattr(world.containers, container)
        for position in (2, 5, 9, 14):
            blobs.fail(blobs.requests + position)
            await another_night()
            await witness.tick()
            blobs.mend()
    for position in (0, 1, 5):
        world.graph.fault(len(world.graph.requests) + position, Kill())
        await another_night()
        await witness.tick(2)
    ledger = f"{CONNECTION}/ledger/{(await world.head()).generation:08d}.columns"
    await world.containers.state.delete(ledger)
    await another_night()
    await world.containers.state.write(ledger, b"KX-77001 Zebulon")
    await another_night()
    await world.map_with(('column = "EmployeeId"', 'column = "EmployeeId'))
    await another_night()
    await world.containers.state.write(f"{CONNECTION}/head.json", b'{"KX-77001": "Zebulon"}')
    await another_night()

    assert {report["outcome"] for report in witness.reports} >= {"completed", "failed", "refused"}
    assert witness.tells() == set()


async def test_runs_in_slices_tell_nothing(witness: Witness):
    """A run in many slices, resumed and superseded, tells numbers only."""
    world = witness.world
    world.decide(SLICE_SECONDS=3, MAX_CONCURRENCY=2)
    world.graph.latency = 1
    await witness.night([row | {"JobTitle": "Vexillologist royal"} for row in STAFF])
    await witness.tick(2)
    await witness.night([row | {"JobTitle": "Vexillologist imperial"} for row in STAFF[1:]])
    await witness.tick(40)

    assert {report["outcome"] for report in witness.reports} >= {"partial", "completed"}
    assert any(b"superseded" in body for body in world.blobs("reports").values())
    assert witness.tells() == set()


async def test_nothing_is_printed(witness: Witness, capfd: pytest.CaptureFixture[str]):
    """What is not logged is not printed either."""
    with suppress(*KILLED):
        await witness.night([*STAFF[:20], somebody(70, HireDate="x")])

    printed = "".join(capfd.readouterr())

    assert not any(secret in printed for secret in SECRETS)


async def test_what_status_says_names_nobody(witness: Witness):
    """The bodies of GET /status and GET /runs list no person: those are in the reports alone."""
    witness.world.without_account = {somebody(80)["UserPrincipalName"]}
    await witness.night([*STAFF, somebody(80), somebody(81, HireDate="x")])

    bodies = json.dumps([await witness.world.application().status(), await witness.world.application().runs()])

    assert not any(secret in bodies for secret in SECRETS)
