"""What of ours rests on beliefs about Graph: one entry per behaviour, with the modules that carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Something that we do. ``does`` is a phrase that reads on after "we"; ``where`` holds paths in the repository."""

    topic: str
    does: str
    where: tuple[str, ...]


def _about(topic: str) -> Callable[..., Behaviour]:
    def we(does: str, *where: str) -> Behaviour:
        return Behaviour(topic, does, tuple(f"connector/{path}" for path in where))

    return we


_we = _about("Setup, registration, teardown")
STEPS = _we("set up in Microsoft's order, one step after the other", "core/setup.py")
CREATION = _we("create the connection with category people and both apps", "core/setup.py")
READ_BACK = _we("read the connection back, and stop if the tenant ignored what was asked", "core/setup.py")
ID_CHECK = _we("check `CONNECTION_ID` before anything is sent", "settings.py")
UNION_OF_APPS = _we("add missing apps to those listed, and take none away", "core/setup.py")
FOREIGN = _we("refuse a connection of another category: neither used nor removed", "core/setup.py", "provision.py")
LOOK_FIRST = _we("look before creating again, and take a 409 for done", "provision.py", "graph/client.py")
GONE = _we("notice a connection that is gone, emptied, or somebody else's", "verify.py", "apply.py", "core/setup.py")
INCARNATION = _we("begin a new ledger when the connection was made anew", "core/setup.py", "core/ledger.py")
REGISTRATION = _we("answer 202 while a schema registers, and look again", "core/setup.py", "graph/schemas.py")
REGISTRATION_AGAIN = _we("tell why a registration failed, and ask again", "core/setup.py", "provision.py")
SCHEMA_UNION = _we("send registered and wanted properties together", "core/setup.py")
SCHEMA_FIXED = _we("refuse other changes of a schema: new `CONNECTION_ID`, or teardown", "core/setup.py")
SCHEMA_COMPARED = _we(
    "compare names, types and labels, nothing else, and ask for new labels", "core/setup.py", "graph/schemas.py"
)
SCHEMA_RENDERED = _we(
    "make the schema of a mapping that was checked offline", "core/mapping/check.py", "core/contracts/labels.py"
)
CUSTOM_STRINGS = _we("send custom properties as strings only", "core/contracts/labels.py")
SOURCE = _we("register the profile source under the connection's id, with a kind and an https page", "core/setup.py")
PRIORITY = _we("put our source first once; everybody else's entries stay verbatim", "core/setup.py")
PRIORITY_CREATED = _we("make the tenant's list where there is none, with Entra in it", "core/setup.py")
SETTLE = _we("wait `REGISTRATION_SETTLE_SECONDS` before the first item", "core/setup.py", "sync.py")
TEARDOWN = _we(
    "remove priority, source and connection, in this order, until all are gone", "core/setup.py", "provision.py"
)

_we = _about("Identities and errors")
TWO_APPS = _we("work as two apps, each with the least roles", "wiring.py", "identities.py")
BASE_URL = _we("take `GRAPH_BASE_URL` for either version", "settings.py", "graph/client.py")
DENIED = _we("stop at 401 and 403, and name the role or authorisation that is missing", "graph/client.py", "apply.py")
NEW_SECRET = _we("try the secret before the newest one, and say which is wrong", "identities.py", "vault.py")
CLOUDS = _we("ask for tokens of the cloud that `GRAPH_BASE_URL` is in", "graph/client.py")
RENEWED = _we("get one new token after a 401", "graph/client.py", "identities.py")
HEALTH = _we(
    "ask in health, as the ingest app, for items that Graph took from us; only one that is there proves access",
    "doctor.py",
    "core/health.py",
)
SEEN = _we(
    "tell in health what the admin app saw: connection, profile source, our place, Entra's source",
    "doctor.py",
    "core/health.py",
    "core/sighting.py",
)
ROLES = _we("tell in health which roles an app lacks, and which are more than it needs", "doctor.py", "core/health.py")
UTF8 = _we("send JSON as `application/json; charset=utf-8`", "graph/client.py")
REQUEST_IDS = _we("send a request id, and log Graph's", "graph/client.py", "apply.py")
BY_STATUS = _we(
    "decide by HTTP status, hardly ever by code, never by text", "graph/client.py", "provision.py", "apply.py"
)

_we = _about("Items")
ITEM_ID = _we("make item ids of digests: letters and digits, for good", "core/contracts/labels.py")
WHOLE_ITEM = _we("send all properties of a person each time", "core/contracts/labels.py", "core/plan.py")
SPECIFIERS = _we("send type specifiers with collections and with text beyond ASCII", "core/contracts/labels.py")
EVERYONE = _we("grant every item to everyone, and only that", "core/contracts/labels.py")
CHECKED_VALUES = _we(
    "hold every value to its entity, and quarantine the row otherwise", "core/mapping/values.py", "core/entities.py"
)
LABEL_LIMITS = _we(
    "hold mappings and rows to the labels that Graph supports, and to what each may hold",
    "core/entities.py",
    "core/mapping/check.py",
)
BLANKS = _we("leave blank cells out", "core/mapping/rows.py")
LEDGER = _we("remember in a ledger whom Graph holds, and write ahead", "core/ledger.py", "apply.py", "run.py")
DELETED = _we("take a 404 for deleted", "graph/items.py")
IDEMPOTENT = _we("do again what may or may not have happened", "apply.py", "graph/pace.py")
SINGLE_ITEMS = _we("send items one by one, never in batches", "graph/items.py")
NOT_READY = _we("send nothing before setup is ready", "sync.py", "core/setup.py")
FAILED_ITEMS = _we("record a refused item, go on, and try it again later", "apply.py", "core/due.py")
ACCEPTED = _we("report what Graph accepted, and never that somebody sees it", "core/report.py", "pages/words.py")
QUOTA = _we("tell when Graph reports that the item quota is exhausted", "core/setup.py")

_we = _about("Accounts")
BOTH_IDS = _we("send object id and UPN of the account", "core/mapping/rows.py", "core/accounts.py")
MANAGER_IDS = _we("send object id and UPN of a manager", "core/mapping/rows.py", "core/accounts.py")
MATCHED = _we("send only people with an account that is no guest's, and report the others", "core/accounts.py")
ONE_ITEM = _we("keep one item per account: two active people for one account are rejected", "core/population.py")
MAIL_WARNING = _we("warn of accounts without a mail address", "core/accounts.py")
LOOKED_UP = _we("look accounts up in batches of filters of 15 names", "graph/users.py")
SWEPT = _we(
    "read all users where that takes fewer requests, and ask by name for whom it does not find",
    "graph/users.py",
    "graph/sweep.py",
)
FOLDED = _we("compare UPNs without case", "core/accounts.py", "graph/users.py")
AMBIGUOUS = _we(
    "reject the row that leads to several users, whatever it matches by", "graph/users.py", "core/accounts.py"
)
REFRESHED = _we("look known accounts up again after `RESOLVE_AFTER_DAYS`", "core/accounts.py")
PARTS = _we("take each part of a batch for itself, and repeat only what has no final answer", "graph/users.py")
PAGES = _we("follow every page of a list", "graph/client.py")

PILOT = _we("send only the people of `PILOT`, when it is set", "core/population.py")

_we = _about("Pace")
PAUSE = _we("pause everybody for what a 429 asks", "graph/pace.py")
REPEATED = _we("repeat failures with growing waits, where that is harmless", "graph/pace.py")
LEARNED = _we("find the tenant's limit by ourselves", "graph/pace.py")

_we = _about("The tutorial's contract")
PREVIEW_SCHEMA = _we("make the tutorial's schema when `CONTRACT` is preview", "core/contracts/preview.py")
PREVIEW_ITEM = _we("make the tutorial's items when `CONTRACT` is preview", "core/contracts/preview.py")
SPELLING = _we(
    "keep the spelling under which an item was put, and take ids that differ in case only for the same",
    "core/plan.py",
    "core/population.py",
)
PREVIEW_CONNECTION = _we(
    "make the tutorial's connection when `CONTRACT` is preview", "core/contracts/preview.py", "core/setup.py"
)

NOTHING = Behaviour("", "(nothing of ours rests on it)", ())


def behaviours() -> tuple[Behaviour, ...]:
    """Return all of them, in the order of this file."""
    return tuple(value for value in globals().values() if isinstance(value, Behaviour) and value is not NOTHING)
