"""Contoso's IT, as far as HR's files are concerned: everybody whom they name has a user in Entra.

What a file names is found out with the connector's own reader and mapping, so that a user has what the mapping looks
for: a user principal name, an address, an employee id or an object id. Whether that leads to the right profile is
the connector's business.
"""

from __future__ import annotations

import io
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from connector.core.accounts import REFERRED, Known, asked_by, is_referred
from connector.core.export import Layout, open_export
from connector.core.mapping import Person, bind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from connector.core.mapping import BoundMapping
    from connector.core.mapping import Mapping as ColumnMapping
    from tests.tenant.graph import GraphSimulator
    from tests.tenant.graph.state import User

DOMAIN: Final = "contoso.com"
_NAMES: Final = {"displayName": "displayName", "givenName": "first", "surname": "last"}
"""What Entra knows of a name, and which field of personName says it."""
_LETTERS: Final = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"})
"""Letters that are none with an accent."""


@dataclass(frozen=True, slots=True)
class Named:
    """Somebody whom a file names: HR's key, how the mapping asks Entra for them, and what the file tells of them.

    ``names`` are displayName, givenName and surname, as far as the file has them; ``mail`` is "" where it has none.
    """

    key: str
    ask: str
    names: Mapping[str, str] = field(default_factory=dict)
    mail: str = ""


def named_in(mapping: ColumnMapping, name: str, export: bytes, *, today: date | None = None) -> list[Named]:
    """Return everybody a file names: those of its rows, and those whom a row refers to by UPN or address.

    ``today`` is UTC's unless given. Whoever has left, and rows that are wrong, are left out.

    Raises:
        ExportError: the file as a whole cannot be read.
    """
    fixed = mapping.file.file
    layout = Layout(fixed.encoding or "", fixed.delimiter or "", fixed.header_rows)
    named: dict[str, Named] = {}
    referred: dict[str, None] = {}
    opened = open_export(name, io.BytesIO(export), required=mapping.required, known=mapping.columns, layout=layout)
    bound = bind(mapping, opened.header, today=today or datetime.now(UTC).date())
    for row in opened.rows:
        person = bound.person(row)
        if isinstance(person, Person) and person.account and not person.leaver:
            if person.key not in named or not person.outside:
                named[person.key] = _named(bound, person, row.cells)
            referred |= dict.fromkeys(one for one in person.references if is_referred(one))
    others = (Named(one, one.removeprefix(REFERRED)) for one in referred)
    return [*named.values(), *others]


def _named(bound: BoundMapping, person: Person, cells: Sequence[str]) -> Named:
    if person.outside:  # nothing of such a row is sent, so nothing else of it need be right
        return Named(person.key, person.account)
    filled = bound.entities(cells, Known("", ""), (None,) * len(person.references))
    by_label: dict[str, Any] = {part.label or "": filled.get(part.name) for part in bound.properties}
    name = by_label.get("personName") or {}
    mails = [one["address"] for one in by_label.get("personEmails") or [] if "@" in one.get("address", "")]
    names = {ours: name[theirs] for ours, theirs in _NAMES.items() if theirs in name}
    return Named(person.key, person.account, names, mails[0] if mails else "")


@dataclass(slots=True)
class It:
    """Makes users as files name people, and changes them as files do. ``accounts`` are object ids by HR's keys."""

    graph: GraphSimulator
    mapping: ColumnMapping
    accounts: dict[str, str] = field(default_factory=dict)

    def follow(self, name: str, export: bytes, *, today: date | None = None) -> None:
        """Let everybody whom a file names have a user that the mapping finds.

        Whoever has a new UPN, address or employee id under the same key is the same user still.

        Raises:
            ExportError: the file as a whole cannot be read; nothing has changed.
        """
        directory = _Directory(self.graph)
        for named in named_in(self.mapping, name, export, today=today):
            match, value = asked_by(named.ask)
            user = directory.find(match, value) or self.graph.users.get(self.accounts.get(named.key, ""))
            if user is None:
                user = directory.add(named, match, value)
            self.accounts[named.key] = user.id
            directory.change(user, match, value)


class _Directory:
    """Entra's users by what they are asked for."""

    def __init__(self, graph: GraphSimulator) -> None:
        self._graph = graph
        self._by: dict[tuple[str, str], User] = {}
        for user in graph.users.values():
            self._note(user)

    def find(self, match: str, value: str) -> User | None:
        return self._by.get((match, value.casefold()))

    def add(self, named: Named, match: str, value: str) -> User:
        upn = value if "@" in value else named.mail or f"{_written(named.names.get('displayName') or value)}@{DOMAIN}"
        if self.find("userPrincipalName", upn):
            upn = f"{_written(value)}@{DOMAIN}"
        known: dict[str, Any] = {**named.names, **({"id": value} if match == "id" else {})}
        user = self._graph.users[self._graph.add_user(upn, mail=named.mail or upn, **known)]
        self._note(user)
        return user

    def change(self, user: User, match: str, value: str) -> None:
        if match == "userPrincipalName" and user.upn.casefold() != value.casefold():
            user.mail = value if user.mail == user.upn else user.mail
            self._graph.rename_user(user.id, value)
        elif match == "mail":
            user.mail = value
        elif match == "employeeId":
            user.attributes["employeeId"] = value
        self._note(user)

    def _note(self, user: User) -> None:
        for match, value in _answers(user):
            self._by[match, value.casefold()] = user


def _answers(user: User) -> Iterator[tuple[str, str]]:
    yield "id", user.id
    yield "userPrincipalName", user.upn
    yield "mail", user.mail or ""
    yield "employeeId", str(user.attributes.get("employeeId") or "")


def _written(name: str) -> str:
    """Return a name as IT writes it into a user principal name: Zoë Baker is zoe.baker."""
    letters = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    plain = letters.encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", ".", plain).strip(".") or "somebody"
