"""HR's truth on one side, Graph on the other: who must have an item, who may, and who must not.

Everything is read off the files that HR dropped, not off what the connector makes of them. From the connector's memory
comes only which export was applied last, since nobody else can know.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import orjson

from tests.flows.world import Row, World, a_person

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Standing = Literal["here", "rejected", "left", "absent"]

_EMPLOYEE_ID: Final = re.compile(rb'employeeId\\*"\s*:\s*\\*"([^"\\]+)')


@dataclass(slots=True)
class Someone:
    """What HR and IT know of somebody. ``name`` never changes; the key in the HR system and the account may.

    ``state`` is what HR does with the row. ``account`` is the object id, "" for none. ``late``: IT has not done yet
    what HR's row says. ``sure_from``: from when on (seconds) the connector must know the account as it is.
    """

    name: str
    key: str
    manager: str = ""
    title: str = "Clerk"
    colour: str = "red"
    state: str = "active"
    begins: str = ""
    ends: str = ""
    renamed: int = 0
    account: str = ""
    late: bool = False
    sure_from: float = 0

    @property
    def upn(self) -> str:
        """Return the UPN as HR has it."""
        return f"{self.name.lower()}.{self.renamed}@contoso.com"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a file, or a set of them, says.

    ``torn``: its last row is not whole, and neither is what it says. ``broken``: it is not what its manifest promises.
    """

    name: str
    rows: tuple[Row, ...]
    whole: bool = True
    torn: bool = False
    broken: bool = False

    @property
    def unreadable(self) -> bool:
        """Tell whether nobody can say whose one of the rows is."""
        return any(not row["EmployeeId"] for row in self.rows)


@dataclass(frozen=True, slots=True)
class Said:
    """What the whole population is, by files laid over each other: rows by key; several rows are none that count.

    ``further``: by an export after the last one that was applied, so that whoever is not in it is missing once more.
    """

    rows: Mapping[str, tuple[Row, ...]]
    unreadable: bool = False
    further: bool = False

    def standing(self, key: str, today: str) -> Standing:
        """Return what HR says of somebody on this day (an ISO date)."""
        rows = self.rows.get(key, ())
        if not rows:
            return "absent"
        if len(rows) > 1:
            return "rejected"
        row = rows[0]
        if row["From"] > today:
            return "absent"
        if row["Status"] == "Left" or (row["Until"] and row["Until"] < today):
            return "left"
        return "rejected" if row["HireDate"] else "here"

    def row(self, key: str) -> Row:
        """Return somebody's only row."""
        return self.rows[key][0]


def laid_over(whole: Dropped, others: Iterable[Dropped]) -> Said:
    """Return what a complete export says with later ones of some people on top."""
    rows: dict[str, tuple[Row, ...]] = {}
    for dropped in (whole, *others):
        rows |= _by_key(dropped.rows)
    return Said(rows, any(dropped.unreadable for dropped in (whole, *others)))


def _by_key(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    found: dict[str, tuple[Row, ...]] = {}
    for row in rows:
        if row["EmployeeId"]:
            found[row["EmployeeId"]] = (*found.get(row["EmployeeId"], ()), row)
    return found


def cut(data: bytes) -> tuple[list[Row], bool]:
    """Return the rows that a cut file still has, and whether its end was torn off within a row."""
    text = data.decode()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows = [{name: cell or "" for name, cell in row.items() if name is not None} for row in reader]
    return rows, not text.endswith("\n")


def items_of(world: World) -> dict[str, str]:
    """Return whose items Graph holds: the key that is written in each, by item id."""
    found: dict[str, str] = {}
    for item_id, body in world.graph.items.items():
        match = _EMPLOYEE_ID.search(orjson.dumps(body))
        assert match is not None, body
        found[item_id] = match[1].decode()
    return found


# --- what HR and IT do ------------------------------------------------------------------------------------------------


def rows_of(person: Someone, keys: Mapping[str, str]) -> list[Row]:
    """Return somebody's rows as HR writes them; ``keys`` are everybody's, by name."""
    row = a_person(
        person.key,
        person.upn,
        title=person.title,
        manager=keys.get(person.manager, person.manager),
        status={"left": "Left", "leave": "On leave"}.get(person.state, "Active"),
        HireDate="soon" if person.state == "bad" else "",
        FavoriteColor=person.colour,
        DeskNumber=person.name,
        From=person.begins,
        Until=person.ends,
    )
    match person.state:
        case "absent":
            return []
        case "twice":
            return [row, row | {"JobTitle": f"{person.title} or not"}]
        case "nameless":
            return [row | {"EmployeeId": ""}]
        case _:
            return [row]


@dataclass(slots=True)
class Truth:
    """The people, the files that HR has dropped so far, and what became of them.

    ``absences``: in how many complete exports, applied one after the other, a key was missing; at least so often
    as the connector must know, and at most. ``keys`` are all the keys that anybody ever had, with the name.
    """

    people: dict[str, Someone]
    files: list[Dropped] = field(default_factory=list)
    absences: dict[str, tuple[int, int]] = field(default_factory=dict)
    applied: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    murky: bool = False
    """An export was applied of which nobody knows what it says."""

    def rows(self) -> list[Row]:
        """Return everybody's rows."""
        keys = {person.name: person.key for person in self.people.values()}
        self.keys |= {key: name for name, key in keys.items()}
        return [row for person in self.people.values() for row in rows_of(person, keys)]

    def named(self, name: str) -> Dropped:
        """Return the file, or the set, of that name."""
        return next(each for each in self.files if each.name == name)

    # --- what the connector has taken -----------------------------------------------------------------------------

    def note(self, applied: str, today: str) -> bool:
        """Note which complete export was applied last; tell whether it is another one than before."""
        new = applied not in {"", self.applied}
        self.applied = applied or self.applied
        if not self.applied:
            return False
        taken = self.named(self.applied)
        said = laid_over(taken, ())
        if new:
            self.murky = taken.torn
        for key in self.keys:
            least, most = self.absences.get(key, (0, 0))
            if said.standing(key, today) != "absent":  # without a new export: the day of the row has come
                self.absences[key] = (0, 0 if new else most)
            elif new and not said.unreadable:
                self.absences[key] = (least + 1, most + 1)
        return new

    def said(self, partials: Sequence[str], *, more: bool = True) -> list[Said]:
        """Return what the last applied export says, with the partial ones on top; with ``more``, later ones after it.

        The later ones may have been carried out in part, or may be by the next tick.
        """
        base = self.named(self.applied)
        found = [laid_over(base, map(self.named, partials))]
        later = self.files[self.files.index(base) + 1 :] if more else []
        for dropped in later:
            if dropped.torn or dropped.broken or dropped.name in partials:
                continue
            if dropped.whole:
                found.append(replace(laid_over(dropped, ()), further=True))
            else:
                found += [replace(said, rows={**said.rows, **_by_key(dropped.rows)}) for said in found[:8]]
        return found

    # --- who may be without an item -------------------------------------------------------------------------------

    def may_go(self, key: str, said: Iterable[Said], days: Iterable[str], *, grace: int) -> bool:
        """Tell whether HR has said anything by which this person's item may be deleted."""
        _, most = self.absences.get(key, (0, 0))
        return any(_is_gone(each, key, day, most + each.further, grace) for day in days for each in said)

    def must_be_gone(self, key: str, said: Iterable[Said], today: str, *, grace: int) -> bool:
        """Tell whether nothing that HR has said lets this person keep an item."""
        least, _ = self.absences.get(key, (0, 0))
        return all(_is_gone(each, key, today, least, grace) for each in said)


def _is_gone(said: Said, key: str, day: str, absences: int, grace: int) -> bool:
    standing = said.standing(key, day)
    return standing == "left" or (standing == "absent" and absences > grace and not said.unreadable)
