"""Who a row is about: the key, the Entra account, who is in scope, and whom a row refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connector.core.suggest.states import States, states, yes_words
from connector.core.toml import quoted, strings
from connector.errors import BadRequest

if TYPE_CHECKING:
    from connector.core.suggest.columns import Column
    from connector.core.suggest.sheet import Known, Sheet

IN_BRACKETS: Final = r"\(([^()]+)\)\s*$"
"""What stands in brackets behind a name: ``Ana Ruiz (1001)``."""

_FILLED: Final = 0.95
_SLIPS: Final = 0.1
"""Share of a key's cells that may repeat before an id that nobody shares is the better key."""
_SAME: Final = 0.5
"""Share of a reference's values that must be keys before it is said to refer to them."""


@dataclass(frozen=True, slots=True)
class Key:
    """The column that says who a person is. ``extract``: only what stands in brackets does."""

    known: Known
    extract: bool = False

    @property
    def values(self) -> frozenset[int]:
        """Digests of the keys."""
        return self.known.column.inside if self.extract else self.known.column.seen

    @property
    def toml(self) -> list[str]:
        """The lines of ``[key]``."""
        extract = [f"extract = {quoted(IN_BRACKETS)}"] if self.extract else []
        return ["[key]", f"column = {quoted(self.known.name)}", *extract]


def key_of(sheet: Sheet) -> Key:
    """Return the column that is likeliest to be the person's key: an id by name that nobody shares, else the likeliest.

    Of several such ids it is the one by which managers are named: SuccessFactors has a user id and a number.
    That one may repeat here and there: such rows are wrong, and will be rejected.

    Raises:
        BadRequest: no column can be a key.
    """
    named = sheet.all("key", "user")
    ids = [known for known in named if _is_unique(known.column, sheet.rows)]
    managers = [known.column for known in sheet.all("managerKey", "manager")]
    told = [
        known
        for known in named
        if known.column.repeated <= _SLIPS * known.column.filled
        and any(_share(column.seen, known.column.seen) >= _SAME for column in managers)
    ]
    if told or ids:
        return Key(min(told, key=lambda known: known.column.repeated) if told else ids[0])
    mails = sheet.all("upn", "oid", "workEmail")
    better = [known for known in named if known.column.repeated * 2 <= known.column.filled]
    if better:
        return Key(min(better, key=lambda known: known.column.repeated + known.column.blank))
    people = [known for known in sheet.all("displayName") if known.column.looks_like("name and id")]
    unique = [known for known in (*mails, *sheet.columns) if _may_be_key(known, sheet)]
    if people and not unique:
        return Key(people[0], extract=True)
    if unique:
        return Key(unique[0])
    raise BadRequest(
        "no column can be the person's key: it takes one with an id (or a mail address) that is different for everybody"
        " and never changes, such as an employee number. Have one added to the export, or write the mapping by hand"
        " (docs/mapping.md)"
    )


def _is_unique(column: Column, rows: int) -> bool:
    return not column.repeated and column.filled >= _FILLED * rows


def _may_be_key(known: Known, sheet: Sheet) -> bool:
    """Whether a column that is no id by its name is one by its cells."""
    column = known.column
    if known.alarm or not sheet.rows or not _is_unique(column, sheet.rows):
        return False
    if known.meaning and known.meaning.of in {"upn", "oid", "workEmail"}:
        return True
    return known.meaning is None and any(column.looks_like(form, 1.0) for form in ("guid", "id", "mail"))


# --- the account ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """How a row finds its Entra user, why so, and what a person should know before they believe it."""

    known: Known
    match: str
    why: str
    extract: bool = False

    @property
    def toml(self) -> list[str]:
        """The lines of ``[account]``."""
        extract = [f"extract = {quoted(IN_BRACKETS)}"] if self.extract else []
        return ["[account]", f"column = {quoted(self.known.name)}", *extract, f"match = {quoted(self.match)}"]


def account_of(sheet: Sheet, key: Key) -> Account:
    """Return the surest way to find people's users: by login, by object id, by mail, else by employee number."""
    for known in sheet.all("upn", "user"):
        if known.column.looks_like("mail") or (not sheet.rows and known in sheet.all("upn")):
            return Account(known, "userPrincipalName", "its cells look like user principal names (name@domain).")
    for known in sheet.all("oid"):
        if known.column.looks_like("guid") or not sheet.rows:
            return Account(known, "id", "its cells look like the object ids of Entra users.")
    for known in (*sheet.all("workEmail"), key.known):
        if known.column.looks_like("mail") or (not sheet.rows and known in sheet.all("workEmail")):
            return Account(
                known,
                "mail",
                "people are found by their mail address in Entra. Where mail address and user principal name are the"
                ' same, match = "userPrincipalName" says it plainer, and the contract preview takes nothing else.',
            )
    return Account(
        key.known,
        "employeeId",
        "the file has no column of logins or work mail addresses, so people are found by the employeeId of their Entra"
        " user. It must be filled in Entra, with the same numbers: ask who runs Entra.",
        key.extract,
    )


# --- who is in scope --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Status:
    """The column that says who is in scope, and what its words mean."""

    known: Known
    states: States


def status_of(sheet: Sheet) -> Status | None:
    """Return the column whose words say most about who is in scope and who is gone."""
    found = [
        Status(known, states(known.column.words, inverted=bool(known.meaning and known.meaning.of == "gone")))
        for known in sheet.all("status", "gone")
        if known.column.words
    ]
    return max(found, key=_telling, default=None)


def _telling(status: Status) -> tuple[bool, bool, int]:
    """Order columns by how well they say who is gone; of two that do, the first is the likelier by its name."""
    told = status.states
    return bool(told.leaver), bool(told.known) and not told.unknown, 0 if told.leaver else told.known


def leave_of(sheet: Sheet) -> tuple[Known, tuple[str, ...]] | None:
    """Return the column that says who is on leave, and its words that say so."""
    for known in sheet.all("leave"):
        if words := yes_words(known.column.words):
            return known, words
    return None


# --- other people -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """A field that refers to somebody. ``toml`` is "" when nothing in the file tells whom its cells mean."""

    known: Known
    toml: str
    note: str


def reference(known: Known, relationship: str, *, key: Key, account: Account) -> Reference:
    """Return how a column refers to other people: by their key, or by the name or mail of their Entra user."""
    column = known.column
    blanks = f", blanks = {strings(column.sentinels)}" if column.sentinels else ""

    def spec(by: str, extract: str = "") -> str:
        who = f"person = {quoted(known.name)}, by = {quoted(by)}, relationship = {quoted(relationship)}"
        return f"{{ {who}{extract}{blanks} }}"

    if column.looks_like("name and id") and _share(column.inside, key.values) >= _SAME:
        return Reference(known, spec("key", f", extract = {quoted(IN_BRACKETS)}"), "the key stands behind the name")
    if not key.extract and column.filled and _share(column.seen, key.values) >= _SAME:
        return Reference(known, spec("key"), "its cells are keys of this file")
    if column.looks_like("mail"):
        upns = account.match == "userPrincipalName" and _share(column.seen, account.known.column.seen) >= _SAME
        return Reference(known, spec("userPrincipalName" if upns else "mail"), "its cells look like mail addresses")
    named = known.meaning and known.meaning.of == "managerKey"
    if named and (not column.filled or column.looks_like("id")):
        return Reference(known, spec("key"), "few of its cells are keys of this file; are these people in another one?")
    return Reference(known, "", "its cells are neither keys of this file nor mail addresses")


def _share(some: frozenset[int], of: frozenset[int]) -> float:
    return len(some & of) / len(some) if some else 0.0
