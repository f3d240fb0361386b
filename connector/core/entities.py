"""The profile entities behind the labels, as far as mappings may fill them in this release.

Graph answers 200 to an entity it cannot use and ignores it silently, so what is sent is held to these models first.

https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from datetime import date  # noqa: TC003 - pydantic needs it at run time
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Entity(BaseModel):
    """An entity of the profile API: exactly the documented fields, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)


class RelatedPerson(Entity):
    """Somebody else, with the relationship to them.

    https://learn.microsoft.com/graph/api/resources/relatedperson
    """

    displayName: str | None = None  # noqa: N815 - Graph's own spelling, here and below
    relationship: (
        Literal[
            "manager",
            "colleague",
            "directReport",
            "dotLineReport",
            "assistant",
            "dotLineManager",
            "alternateContact",
            "friend",
            "spouse",
            "sibling",
            "child",
            "parent",
            "sponsor",
            "emergencyContact",
            "other",
        ]
        | None
    ) = None
    userId: str | None = None  # noqa: N815
    userPrincipalName: str | None = None  # noqa: N815


class CompanyDetail(Entity):
    """Where in which company.

    https://learn.microsoft.com/graph/api/resources/companydetail
    """

    companyCode: str | None = None  # noqa: N815
    costCenter: str | None = None  # noqa: N815
    department: str | None = None
    displayName: str | None = None  # noqa: N815
    division: str | None = None
    officeLocation: str | None = None  # noqa: N815
    pronunciation: str | None = None
    secondaryDepartment: str | None = None  # noqa: N815
    webUrl: str | None = None  # noqa: N815


class PositionDetail(Entity):
    """What a position is.

    https://learn.microsoft.com/graph/api/resources/positiondetail
    """

    company: CompanyDetail | None = None
    description: str | None = None
    employeeId: str | None = None  # noqa: N815
    employeeType: str | None = None  # noqa: N815
    endMonthYear: date | None = None  # noqa: N815
    jobTitle: str | None = None  # noqa: N815
    layer: int | None = None
    level: str | None = None
    role: str | None = None
    secondaryJobTitle: str | None = None  # noqa: N815
    secondaryRole: str | None = None  # noqa: N815
    startMonthYear: date | None = None  # noqa: N815
    summary: str | None = None


class WorkPosition(Entity):
    """A position somebody holds.

    https://learn.microsoft.com/graph/api/resources/workposition
    """

    detail: PositionDetail | None = None
    isCurrent: bool | None = None  # noqa: N815
    manager: RelatedPerson | None = None


class UserAccountInformation(Entity):
    """The Entra user a profile belongs to.

    https://learn.microsoft.com/graph/api/resources/useraccountinformation
    """

    userPrincipalName: str | None = None  # noqa: N815
    externalDirectoryObjectId: str | None = None  # noqa: N815


class PersonName(Entity):
    """The parts of a name.

    https://learn.microsoft.com/graph/api/resources/personname
    """

    displayName: str | None = None  # noqa: N815
    first: str | None = None
    initials: str | None = None
    languageTag: str | None = None  # noqa: N815
    last: str | None = None
    maiden: str | None = None
    middle: str | None = None
    nickname: str | None = None
    suffix: str | None = None
    title: str | None = None


class ItemEmail(Entity):
    """An e-mail address.

    https://learn.microsoft.com/graph/api/resources/itememail
    """

    address: str | None = None
    displayName: str | None = None  # noqa: N815
    type: Literal["unknown", "work", "personal", "main", "other"] | None = None


class ItemPhone(Entity):
    """A telephone number.

    https://learn.microsoft.com/graph/api/resources/itemphone
    """

    displayName: str | None = None  # noqa: N815
    number: str | None = None
    type: (
        Literal[
            "home", "business", "mobile", "other", "assistant", "homeFax", "businessFax", "otherFax", "pager", "radio"
        ]
        | None
    ) = None


class SkillProficiency(Entity):
    """A skill.

    https://learn.microsoft.com/graph/api/resources/skillproficiency
    """

    displayName: str | None = None  # noqa: N815
    proficiency: (
        Literal["elementary", "limitedWorking", "generalProfessional", "advancedProfessional", "expert"] | None
    ) = None
    webUrl: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Label:
    """A semantic label: the entity it carries, whether a property may hold several, and how many at most."""

    entity: type[Entity]
    several: bool
    most: int | None = None


LABELS: typing.Final[dict[str, Label]] = {
    "personAccount": Label(UserAccountInformation, several=False),
    "personCurrentPosition": Label(WorkPosition, several=False),
    "personName": Label(PersonName, several=False),
    "personEmails": Label(ItemEmail, several=True, most=3),
    "personPhones": Label(ItemPhone, several=True),
    "personSkills": Label(SkillProficiency, several=True),
}
"""The labels a mapping may use in this release."""

NOT_YET: typing.Final = frozenset(
    {
        "personAddresses", "personAnniversaries", "personAwards", "personCertifications", "personEducationalActivities",
        "personInterests", "personLanguages", "personNote", "personPatents", "personPublications", "personProjects",
        "personWebAccounts", "personWebSite", "personWorkPositions",
    }
)  # fmt: skip
"""Documented labels that a later release carries out."""

UNSUPPORTED: typing.Final = frozenset(
    {"personManager", "personAssistants", "personColleagues", "personAlternateContacts", "personEmergencyContacts"}
)
"""In Graph's enumeration, but not accepted for people data; the position's ``manager`` is the way."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field of an entity takes.

    ``kind`` is str, date, int, bool, ``allowed`` the members of an enumeration;
    ``person`` marks a reference to another person.
    """

    kind: type = str
    allowed: tuple[str, ...] = ()
    person: bool = False


@cache
def field_type(entity: type[Entity], path: str) -> FieldType | None:
    """Return the type of a field such as ``detail.company.department``; None when the entity has no such field."""
    head, _, rest = path.partition(".")
    if head not in entity.model_fields:
        return None
    inner = _without_none(entity.model_fields[head].annotation)
    if isinstance(inner, type) and issubclass(inner, Entity):
        if not rest:
            return FieldType(person=True) if inner is RelatedPerson else None
        return field_type(inner, rest)
    if rest:
        return None
    if typing.get_origin(inner) is Literal:
        return FieldType(allowed=typing.get_args(inner))
    return FieldType(kind=inner)


def field_paths(entity: type[Entity], prefix: str = "") -> list[str]:
    """Return every path that `field_type` knows, for "did you mean"."""
    paths: list[str] = []
    for name, info in entity.model_fields.items():
        inner = _without_none(info.annotation)
        if isinstance(inner, type) and issubclass(inner, Entity) and inner is not RelatedPerson:
            paths += field_paths(inner, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def _without_none(annotation: Any) -> Any:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(part for part in typing.get_args(annotation) if part is not types.NoneType)
    return annotation
