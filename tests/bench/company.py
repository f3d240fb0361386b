"""A made-up company of any size: HR's exports of it, night after night, the same for the same numbers.

::

    company = Company(100_000)
    company.write(path, night=0)                                  the first export
    company.write(path, night=1)                                  in another order, an unmapped column is another
    Company(100_000, churn=Churn(changed=0.01)).write(path, night=1)    one in a hundred has other cells

Nothing is kept per person but a number, so that a million people fit into a few megabytes.
"""

from __future__ import annotations

import math
import random
from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAPPED: Final = (
    "EmployeeId", "UserPrincipalName", "DisplayName", "FirstName", "LastName", "JobTitle", "Department", "Division",
    "Company", "CostCenter", "OfficeLocation", "HireDate", "ManagerId", "Email", "Phone", "Skills", "FavoriteColor",
    "Status",
)  # fmt: skip
"""The columns that the default mapping names."""
UNMAPPED: Final = (
    "BadgeNumber", "PayGroup", "ContractType", "WeeklyHours", "Shift", "Building", "Floor", "Locker", "Canteen",
    "ParkingLot", "VacationDays", "Union",
)  # fmt: skip
"""The columns that it ignores; ``VacationDays`` is another for everybody every night."""
COLUMNS: Final = (*MAPPED, *UNMAPPED)

REPORTS: Final = 10
"""How many people report to a manager."""
DOMAIN: Final = "contoso.com"

_FIRST = (
    "Ada", "Bruno", "Chloé", "Dilnoza", "Emre", "Fatou", "Goran", "Hana", "Igor", "Jürgen", "Kasia", "Liam", "Mei",
    "Noor", "Olga", "Pedro", "Quinn", "Rosa", "Søren", "Tomás", "Uma", "Viktor", "Wanda",
)  # fmt: skip
_LAST = (
    "Almeida", "Bianchi", "Castro", "Dubois", "Eriksson", "Fischer", "García", "Horvat", "Ivanova", "Jansen",
    "Kowalski", "Lindqvist", "Müller", "Novák", "Okafor", "Petrov", "Rossi", "Schmidt", "Takahashi", "Ueda", "Vargas",
    "Weber", "Yilmaz", "Zhang", "Åberg", "Özdemir", "Nguyen", "Silva", "Haddad",
)  # fmt: skip
_TITLES = (
    "Account Manager", "Buyer", "Clerk", "Controller", "Designer", "Electrician", "Fitter", "Laboratory Technician",
    "Logistics Planner", "Machine Operator", "Product Owner", "Quality Engineer", "Recruiter", "Safety Officer",
    "Software Engineer", "Support Specialist", "Welder",
)  # fmt: skip
_SKILLS = (
    "Accounting", "AutoCAD", "Blueprints", "Budgeting", "Calibration", "First aid", "Forecasting", "Forklift", "German",
    "Kanban", "Negotiation", "Python", "Robotics", "SAP", "Soldering", "Spanish", "SQL", "Statistics", "Welding",
)  # fmt: skip
_SITES = (
    "Berlin", "Bogotá", "Chennai", "Dublin", "Graz", "Kraków", "Lyon", "Malmö", "Nairobi", "Osaka", "Porto", "Tampere",
    "Utrecht",
)  # fmt: skip
_COLORS = ("", "amber", "blue", "green", "indigo", "red", "teal")

_MIX = 0x9E3779B97F4A7C15
"""Weyl's step of the golden ratio: numbers that follow each other become numbers that do not."""


@dataclass(frozen=True, slots=True)
class Churn:
    """What happens from one night to the next, as shares of the people of night 0."""

    changed: float = 0.0
    """Have another job title, department or phone number."""
    joined: float = 0.0
    left: float = 0.0
    """Have the status ``Terminated`` for one night, and no row from then on. Nobody of them is a manager."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a night's export asks of whoever has done all nights before: people, by what becomes of their items."""

    rows: int
    created: int
    updated: int
    deleted: int

    @property
    def unchanged(self) -> int:
        """How many stay as they are."""
        return self.rows - self.created - self.updated - self.deleted


@dataclass(frozen=True, slots=True)
class Company:
    """People numbered from 0, in a tree of managers with ten reports each; joiners have the numbers that follow.

    Nobody leaves any more when everyone has left who was there in the beginning and never had reports.
    """

    people: int
    churn: Churn = field(default_factory=Churn)
    seed: int = 1

    def row(self, number: int, night: int = 0) -> list[str]:
        """Return somebody's cells on a night, in the order of `COLUMNS`."""
        mixed = (number + self.seed) * _MIX & 0xFFFF_FFFF_FFFF_FFFF
        dice, more = mixed >> 20, mixed >> 36
        first, last = _FIRST[dice % len(_FIRST)], _LAST[more % len(_LAST)]
        changes = self._changes(number, night)
        title, department, phone = (changes + 2) // 3, (changes + 1) // 3, changes // 3
        site = _SITES[dice % 13]
        upn = upn_of(number)
        unit = (number // 40 + department) % 97
        return [
            key_of(number), upn, f"{first} {last}", first, last,
            _TITLES[(dice + title) % len(_TITLES)], f"Department {unit:02}", f"Division {unit % 9}",
            f"Contoso {site}", f"CC{unit:04}", f"{site} {more % 40 + 1}",
            f"{1990 + dice % 36}-{more % 12 + 1:02}-{dice % 28 + 1:02}", key_of(number // REPORTS) if number else "",
            upn, f"+49 30 {(dice + phone) % 10**7:07}",
            f"{_SKILLS[dice % 19]};{_SKILLS[(dice + 5) % 19]};{_SKILLS[(dice + 11) % 19]}", _COLORS[more % 7],
            "Terminated" if self._left(number) == night > 0 else "Active",
            f"B{dice % 10**8:08}", f"PG{dice % 12}", "permanent", f"{35 + more % 6}", "early" if more % 3 else "late",
            f"House {more % 20}", str(more % 12), f"{more % 10**4:04}", "Canteen 1", "", str((dice + night) % 31), "",
        ]  # fmt: skip

    def rows(self, night: int = 0) -> Iterator[list[str]]:
        """Yield the rows of a night's export, in an order that no other night has."""
        order = array("I", chain(self._staying(night), range(self.people, self.accounts(night))))
        random.Random(f"{self.seed}/{night}").shuffle(order)  # noqa: S311
        for number in order:
            yield self.row(number, night)

    def write(self, path: Path, *, night: int = 0) -> int:
        """Write a night's export as CSV, without holding it in memory; return the number of people in it."""
        count = 0
        with path.open("w", encoding="utf-8", newline="") as stream:
            stream.write(",".join(COLUMNS) + "\r\n")
            for count, row in enumerate(self.rows(night), 1):  # noqa: B007
                stream.write(",".join(row) + "\r\n")  # no cell has anything in it that would have to be quoted
        return count

    def accounts(self, night: int) -> int:
        """Return how many people have had an account by a night: those with a number below."""
        return self.people + round(self.churn.joined * self.people) * night

    def counts(self, night: int) -> Counts:
        """Return what a night's export asks for."""
        if night == 0:
            return Counts(rows=self.people, created=self.people, updated=0, deleted=0)
        joined = round(self.churn.joined * self.people)
        rows = updated = deleted = 0
        for number in self._staying(night):
            rows += 1
            if self._left(number) == night:
                deleted += 1
            elif self._changes(number, night) != self._changes(number, night - 1):
                updated += 1
        return Counts(rows=rows + joined * night, created=joined, updated=updated, deleted=deleted)

    def _staying(self, night: int) -> Iterator[int]:
        """Yield who was there in the beginning and has a row on a night."""
        everyone = range(self.people)
        if not self.churn.left:
            return iter(everyone)
        return (number for number in everyone if not 0 < self._left(number) < night)

    def _changes(self, number: int, night: int) -> int:
        """Return how many of the nights up to this one have changed somebody: the same number of people each night."""
        share = round(self.churn.changed * self.people)
        if not share or number >= self.people:
            return 0
        step = _coprime(self.people)
        return sum((number * step + each * share) % self.people < share for each in range(1, night + 1))

    def _left(self, number: int) -> int:
        """Return the night on which somebody leaves; 0 for whoever stays. They are of the half without reports."""
        share, half = round(self.churn.left * self.people), self.people // 2
        if not share or not half <= number < self.people:
            return 0
        return (number - half) * _coprime(self.people - half) % (self.people - half) // share + 1


def key_of(number: int) -> str:
    """Return somebody's key, ``EmployeeId``."""
    return f"E{number:07}"


def upn_of(number: int) -> str:
    """Return somebody's UPN."""
    return f"p{number:07}@{DOMAIN}"


def object_id_of(number: int) -> str:
    """Return the object id that Entra has given somebody: nothing about it tells whose it is."""
    return str(UUID(int=(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1, version=4))


def _coprime(count: int) -> int:
    """Return a step that leads from one of so many people to all of them, not in the order of their numbers."""
    step = int(count * 0.618) | 1
    while math.gcd(step, count) != 1:
        step += 2
    return step
