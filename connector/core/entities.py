"""The profile entities behind the labels: every field that people data may fill, in Graph's own spelling.

Graph answers 200 to an entity it cannot use and ignores it silently, so what is sent is held to these models first.

https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data
"""

from __future__ import annotations

import re
import types
import typing
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

if typing.TYPE_CHECKING:
    from collections.abc import Callable


class Entity(BaseModel):
    """An entity of the profile API: exactly the documented fields, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Form:
    """What a value must look like beyond its type.

    ``wanted`` says it to whoever has to mend a cell; ``takes`` tells whether a value, already of the right type, does.
    """

    name: Literal["url", "mail", "tag", "latitude", "longitude"]
    wanted: str
    takes: Callable[[Any], bool]

    def taken(self, value: Any) -> Any:
        """Return a value that has this form, or is an empty text, which clears what others say.

        Raises:
            ValueError: it has not.
        """
        if value != "" and not self.takes(value):
            raise ValueError(f"must be {self.wanted}")
        return value


_URL: Final = re.compile(r"https?://[^\s/?#@:]+(:[0-9]{1,5})?([/?#]\S*)?", re.IGNORECASE)
_MAIL: Final = re.compile(r"[^\s@<>,;:\"()\x00-\x1f\x7f]+@[^\s@<>,;:\"()\x00-\x1f\x7f]+")
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")

URL: Final = Form("url", "an address on the web such as https://contoso.com", lambda text: bool(_URL.fullmatch(text)))
MAIL: Final = Form("mail", "an e-mail address such as alex@contoso.com", lambda text: bool(_MAIL.fullmatch(text)))
TAG: Final = Form("tag", "a language tag such as en-US", lambda text: bool(_TAG.fullmatch(text)))
"""BCP 47: https://learn.microsoft.com/graph/api/resources/languageproficiency"""
LATITUDE: Final = Form("latitude", "a number from -90 to 90", lambda degrees: -90 <= degrees <= 90)
LONGITUDE: Final = Form("longitude", "a number from -180 to 180", lambda degrees: -180 <= degrees <= 180)
"""https://learn.microsoft.com/graph/api/resources/outlookgeocoordinates"""

Url = Annotated[str, AfterValidator(URL.taken), URL]
Mail = Annotated[str, AfterValidator(MAIL.taken), MAIL]
Tag = Annotated[str, AfterValidator(TAG.taken), TAG]
Latitude = Annotated[float, AfterValidator(LATITUDE.taken), LATITUDE]
Longitude = Annotated[float, AfterValidator(LONGITUDE.taken), LONGITUDE]

Day = date
"""A date by another name, for the entity with a field that is called ``date``."""

Strings = tuple[str, ...]

Relationship = Literal[
    "manager", "colleague", "directReport", "dotLineReport", "assistant", "dotLineManager", "alternateContact",
    "friend", "spouse", "sibling", "child", "parent", "sponsor", "emergencyContact", "other",
]  # fmt: skip

CollaborationTags = tuple[Literal["askMeAbout", "ableToMentor", "wantsToLearn", "wantsToImprove"], ...]

LanguageLevel = Literal[
    "elementary", "conversational", "limitedWorking", "professionalWorking", "fullProfessional", "nativeOrBilingual"
]


class RelatedPerson(Entity):
    """Somebody else, with the relationship to them.

    https://learn.microsoft.com/graph/api/resources/relatedperson
    """

    displayName: str | None = None  # noqa: N815 - Graph's own spelling, here and below
    relationship: Relationship | None = None
    relationshipLabel: str | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    userPrincipalName: str | None = None  # noqa: N815


class PhysicalAddress(Entity):
    """Where a building stands.

    https://learn.microsoft.com/graph/api/resources/physicaladdress
    """

    city: str | None = None
    countryOrRegion: str | None = None  # noqa: N815
    postOfficeBox: str | None = None  # noqa: N815
    postalCode: str | None = None  # noqa: N815
    state: str | None = None
    street: str | None = None
    type: Literal["unknown", "home", "business", "other"] | None = None


class CompanyDetail(Entity):
    """Where in which company.

    https://learn.microsoft.com/graph/api/resources/companydetail
    """

    address: PhysicalAddress | None = None
    companyCode: str | None = None  # noqa: N815
    costCenter: str | None = None  # noqa: N815
    department: str | None = None
    displayName: str | None = None  # noqa: N815
    division: str | None = None
    officeLocation: str | None = None  # noqa: N815
    pronunciation: str | None = None
    secondaryDepartment: str | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


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
    """A position somebody holds, or held.

    https://learn.microsoft.com/graph/api/resources/workposition
    """

    categories: Strings | None = None
    colleagues: tuple[RelatedPerson, ...] | None = None
    detail: PositionDetail | None = None
    isCurrent: bool | None = None  # noqa: N815
    manager: RelatedPerson | None = None


class UserAccountInformation(Entity):
    """The Entra user a profile belongs to.

    https://learn.microsoft.com/graph/api/resources/useraccountinformation
    """

    userPrincipalName: str | None = None  # noqa: N815
    externalDirectoryObjectId: str | None = None  # noqa: N815


class YomiPersonName(Entity):
    """How a name is spoken.

    https://learn.microsoft.com/graph/api/resources/yomipersonname
    """

    displayName: str | None = None  # noqa: N815
    first: str | None = None
    last: str | None = None
    maiden: str | None = None
    middle: str | None = None


class PersonName(Entity):
    """The parts of a name.

    https://learn.microsoft.com/graph/api/resources/personname
    """

    displayName: str | None = None  # noqa: N815
    first: str | None = None
    initials: str | None = None
    languageTag: Tag | None = None  # noqa: N815
    last: str | None = None
    maiden: str | None = None
    middle: str | None = None
    nickname: str | None = None
    pronunciation: YomiPersonName | None = None
    suffix: str | None = None
    title: str | None = None


class ItemEmail(Entity):
    """An e-mail address.

    https://learn.microsoft.com/graph/api/resources/itememail
    """

    address: Mail | None = None
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


class OutlookGeoCoordinates(Entity):
    """A place on earth: latitude and longitude in degrees, heights and accuracies in metres.

    https://learn.microsoft.com/graph/api/resources/outlookgeocoordinates
    """

    accuracy: float | None = None
    altitude: float | None = None
    altitudeAccuracy: float | None = None  # noqa: N815
    latitude: Latitude | None = None
    longitude: Longitude | None = None


class ItemAddress(Entity):
    """A postal address.

    https://learn.microsoft.com/graph/api/resources/itemaddress
    """

    detail: PhysicalAddress | None = None
    displayName: str | None = None  # noqa: N815
    geoCoordinates: OutlookGeoCoordinates | None = None  # noqa: N815


class PersonAnnualEvent(Entity):
    """A day that returns every year.

    https://learn.microsoft.com/graph/api/resources/personannualevent
    """

    date: Day | None = None
    displayName: str | None = None  # noqa: N815
    type: Literal["birthday", "wedding", "work", "other"] | None = None


class PersonAward(Entity):
    """An honour somebody received.

    https://learn.microsoft.com/graph/api/resources/personaward
    """

    description: str | None = None
    displayName: str | None = None  # noqa: N815
    issuedDate: date | None = None  # noqa: N815
    issuingAuthority: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class PersonCertification(Entity):
    """A certificate somebody holds.

    https://learn.microsoft.com/graph/api/resources/personcertification
    """

    certificationId: str | None = None  # noqa: N815
    description: str | None = None
    displayName: str | None = None  # noqa: N815
    startDate: date | None = None  # noqa: N815
    endDate: date | None = None  # noqa: N815
    issuedDate: date | None = None  # noqa: N815
    issuingAuthority: str | None = None  # noqa: N815
    issuingCompany: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class InstitutionData(Entity):
    """A school or university.

    https://learn.microsoft.com/graph/api/resources/institutiondata
    """

    description: str | None = None
    displayName: str | None = None  # noqa: N815
    location: PhysicalAddress | None = None
    webUrl: Url | None = None  # noqa: N815


class EducationalActivityDetail(Entity):
    """What was studied.

    https://learn.microsoft.com/graph/api/resources/educationalactivitydetail
    """

    abbreviation: str | None = None
    activities: Strings | None = None
    awards: Strings | None = None
    description: str | None = None
    displayName: str | None = None  # noqa: N815
    fieldsOfStudy: Strings | None = None  # noqa: N815
    grade: str | None = None
    notes: str | None = None
    webUrl: Url | None = None  # noqa: N815


class EducationalActivity(Entity):
    """Studies somebody undertook.

    https://learn.microsoft.com/graph/api/resources/educationalactivity
    """

    startMonthYear: date | None = None  # noqa: N815
    endMonthYear: date | None = None  # noqa: N815
    completionMonthYear: date | None = None  # noqa: N815
    institution: InstitutionData | None = None
    program: EducationalActivityDetail | None = None


class PersonInterest(Entity):
    """What somebody is interested in.

    https://learn.microsoft.com/graph/api/resources/personinterest
    """

    categories: Strings | None = None
    collaborationTags: CollaborationTags | None = None  # noqa: N815
    description: str | None = None
    displayName: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class LanguageProficiency(Entity):
    """A language, and how well it is known. ``tag`` is BCP 47, such as ``en-US``.

    https://learn.microsoft.com/graph/api/resources/languageproficiency
    """

    displayName: str | None = None  # noqa: N815
    tag: Tag | None = None
    reading: LanguageLevel | None = None
    spoken: LanguageLevel | None = None
    written: LanguageLevel | None = None
    proficiency: LanguageLevel | None = None
    thumbnailUrl: Url | None = None  # noqa: N815


class ItemBody(Entity):
    """A text and what it is written in.

    https://learn.microsoft.com/graph/api/resources/itembody
    """

    content: str | None = None
    contentType: Literal["text", "html"] | None = None  # noqa: N815


class PersonAnnotation(Entity):
    """A note about somebody.

    https://learn.microsoft.com/graph/api/resources/personannotation
    """

    detail: ItemBody | None = None
    displayName: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815


class ItemPatent(Entity):
    """A patent.

    https://learn.microsoft.com/graph/api/resources/itempatent
    """

    description: str | None = None
    displayName: str | None = None  # noqa: N815
    isPending: bool | None = None  # noqa: N815
    issuedDate: date | None = None  # noqa: N815
    issuingAuthority: str | None = None  # noqa: N815
    number: str | None = None
    webUrl: Url | None = None  # noqa: N815


class ItemPublication(Entity):
    """Something that was published.

    https://learn.microsoft.com/graph/api/resources/itempublication
    """

    description: str | None = None
    displayName: str | None = None  # noqa: N815
    publishedDate: date | None = None  # noqa: N815
    publisher: str | None = None
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class ProjectParticipation(Entity):
    """A project, and somebody's part in it.

    https://learn.microsoft.com/graph/api/resources/projectparticipation
    """

    categories: Strings | None = None
    client: CompanyDetail | None = None
    collaborationTags: CollaborationTags | None = None  # noqa: N815
    colleagues: tuple[RelatedPerson, ...] | None = None
    detail: PositionDetail | None = None
    displayName: str | None = None  # noqa: N815
    sponsors: tuple[RelatedPerson, ...] | None = None
    thumbnailUrl: Url | None = None  # noqa: N815


class SkillProficiency(Entity):
    """A skill.

    https://learn.microsoft.com/graph/api/resources/skillproficiency
    """

    categories: Strings | None = None
    collaborationTags: CollaborationTags | None = None  # noqa: N815
    displayName: str | None = None  # noqa: N815
    proficiency: (
        Literal["elementary", "limitedWorking", "generalProfessional", "advancedProfessional", "expert"] | None
    ) = None
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class ServiceInformation(Entity):
    """A service on the web.

    https://learn.microsoft.com/graph/api/resources/serviceinformation
    """

    name: str | None = None
    webUrl: Url | None = None  # noqa: N815


class WebAccount(Entity):
    """An account with a service on the web.

    https://learn.microsoft.com/graph/api/resources/webaccount
    """

    description: str | None = None
    service: ServiceInformation | None = None
    statusMessage: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815
    userId: str | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


class PersonWebsite(Entity):
    """A site on the web.

    https://learn.microsoft.com/graph/api/resources/personwebsite
    """

    categories: Strings | None = None
    description: str | None = None
    displayName: str | None = None  # noqa: N815
    thumbnailUrl: Url | None = None  # noqa: N815
    webUrl: Url | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Label:
    """A semantic label: the entity it carries, whether a property may hold several, and how many at most.

    ``one_each``: the field of which no two entities of a profile may have the same value.
    """

    entity: type[Entity]
    several: bool
    most: int | None = None
    one_each: str = ""


LABELS: Final[dict[str, Label]] = {
    "personAccount": Label(UserAccountInformation, several=False),
    "personCurrentPosition": Label(WorkPosition, several=False),
    "personWorkPositions": Label(WorkPosition, several=True),
    "personName": Label(PersonName, several=False),
    "personEmails": Label(ItemEmail, several=True, most=3),
    "personPhones": Label(ItemPhone, several=True),
    "personAddresses": Label(ItemAddress, several=True, most=3, one_each="detail.type"),
    "personSkills": Label(SkillProficiency, several=True),
    "personLanguages": Label(LanguageProficiency, several=True),
    "personInterests": Label(PersonInterest, several=True),
    "personCertifications": Label(PersonCertification, several=True),
    "personEducationalActivities": Label(EducationalActivity, several=True),
    "personAwards": Label(PersonAward, several=True),
    "personAnniversaries": Label(PersonAnnualEvent, several=True, one_each="type"),
    "personProjects": Label(ProjectParticipation, several=True),
    "personPatents": Label(ItemPatent, several=True),
    "personPublications": Label(ItemPublication, several=True),
    "personWebAccounts": Label(WebAccount, several=True),
    "personWebSite": Label(PersonWebsite, several=False),
    "personNote": Label(PersonAnnotation, several=False),
}
"""The labels that Graph supports for people data, all of them.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data"""

UNSUPPORTED: Final = frozenset(
    {"personManager", "personAssistants", "personColleagues", "personAlternateContacts", "personEmergencyContacts"}
)
"""In Graph's enumeration, but not accepted for people data; the position's ``manager`` and ``colleagues`` are the way.
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data"""


@dataclass(frozen=True, slots=True)
class FieldType:
    """What a field of an entity takes.

    ``kind`` is str, date, int, float, bool, ``allowed`` the members of an enumeration, ``form`` what a value of that
    kind must look like; ``person`` marks a reference to another person, ``many`` a field that holds a list of any of
    these.
    """

    kind: type = str
    allowed: tuple[str, ...] = ()
    person: bool = False
    many: bool = False
    form: Form | None = None


@cache
def field_type(entity: type[Entity], path: str) -> FieldType | None:
    """Return the type of a field such as ``detail.company.department``; None when the entity has no such field."""
    head, _, rest = path.partition(".")
    if head not in entity.model_fields:
        return None
    inner = _without_none(entity.model_fields[head].annotation)
    many = typing.get_origin(inner) is tuple
    if many:
        inner = typing.get_args(inner)[0]
    if inner is RelatedPerson and not rest:
        return FieldType(person=True, many=many)
    if isinstance(inner, type) and issubclass(inner, Entity):
        return field_type(inner, rest) if rest and not many else None
    if rest:
        return None
    if typing.get_origin(inner) is Literal:
        return FieldType(allowed=typing.get_args(inner), many=many)
    if typing.get_origin(inner) is Annotated:
        kind, _, form = typing.get_args(inner)
        return FieldType(kind=kind, many=many, form=form)
    return FieldType(kind=inner, many=many)


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
