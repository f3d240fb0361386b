"""What Microsoft's pages say of people data, written down by hand as data: neither side of the wire is derived from it.

https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data (labels) and
https://learn.microsoft.com/graph/api/resources/profile (entities), each field with what it takes: text unless something
else is said, ``a|b`` one of these words, ``[…]`` a list, the name of an entity an object. That a text is an address on
the web (url), of e-mail (mail) or a language tag (tag) is said on the pages in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LabelRule:
    """A label: the type of its property, its entity, how many a profile takes, and the field of one of each."""

    type: str
    entity: str
    most: int | None = None
    one_each: str = ""


def _one(entity: str) -> LabelRule:
    return LabelRule("string", entity)


def _several(entity: str, most: int | None = None, one_each: str = "") -> LabelRule:
    return LabelRule("stringCollection", entity, most, one_each)


LABEL_RULES: Final = {
    "personAccount": _one("userAccountInformation"),
    "personCurrentPosition": _one("workPosition"),
    "personAddresses": _several("itemAddress", 3, "detail.type"),
    "personAnniversaries": _several("personAnnualEvent", None, "type"),
    "personAwards": _several("personAward"),
    "personCertifications": _several("personCertification"),
    "personEducationalActivities": _several("educationalActivity"),
    "personEmails": _several("itemEmail", 3),
    "personInterests": _several("personInterest"),
    "personLanguages": _several("languageProficiency"),
    "personName": _one("personName"),
    "personNote": _one("personAnnotation"),
    "personPatents": _several("itemPatent"),
    "personPhones": _several("itemPhone"),
    "personPublications": _several("itemPublication"),
    "personProjects": _several("projectParticipation"),
    "personSkills": _several("skillProficiency"),
    "personWebAccounts": _several("webAccount"),
    "personWebSite": _one("personWebsite"),
    "personWorkPositions": _several("workPosition"),
}

NOT_SUPPORTED: Final = frozenset(
    ["personManager", "personAssistants", "personColleagues", "personAlternateContacts", "personEmergencyContacts"]
)

_RELATIONSHIPS = (
    "manager|colleague|directReport|dotLineReport|assistant|dotLineManager|alternateContact|friend|spouse|sibling|child"
    "|parent|sponsor|emergencyContact|other"
)
_LEVELS = "elementary|conversational|limitedWorking|professionalWorking|fullProfessional|nativeOrBilingual"
_TAGS = "[askMeAbout|ableToMentor|wantsToLearn|wantsToImprove]"
_PHONES = "home|business|mobile|other|assistant|homeFax|businessFax|otherFax|pager|radio"

_ENTITIES = {
    "userAccountInformation": "userPrincipalName externalDirectoryObjectId",
    "workPosition": (
        "categories:[text] colleagues:[relatedPerson] detail:positionDetail isCurrent:bool manager:relatedPerson"
    ),
    "positionDetail": (
        "company:companyDetail description employeeId employeeType endMonthYear:date jobTitle layer:int level role"
        " secondaryJobTitle secondaryRole startMonthYear:date summary"
    ),
    "companyDetail": (
        "address:physicalAddress companyCode costCenter department displayName division officeLocation pronunciation"
        " secondaryDepartment webUrl:url"
    ),
    "relatedPerson": f"displayName relationship:{_RELATIONSHIPS} relationshipLabel userId userPrincipalName",
    "itemAddress": "detail:physicalAddress displayName geoCoordinates:outlookGeoCoordinates",
    "physicalAddress": "city countryOrRegion postOfficeBox postalCode state street type:unknown|home|business|other",
    "outlookGeoCoordinates": (
        "accuracy:float altitude:float altitudeAccuracy:float latitude:latitude longitude:longitude"
    ),
    "personAnnualEvent": "date:date displayName type:birthday|wedding|work|other",
    "personAward": "description displayName issuedDate:date issuingAuthority thumbnailUrl:url webUrl:url",
    "personCertification": (
        "certificationId description displayName startDate:date endDate:date issuedDate:date issuingAuthority"
        " issuingCompany thumbnailUrl:url webUrl:url"
    ),
    "educationalActivity": (
        "startMonthYear:date endMonthYear:date completionMonthYear:date institution:institutionData"
        " program:educationalActivityDetail"
    ),
    "institutionData": "description displayName location:physicalAddress webUrl:url",
    "educationalActivityDetail": (
        "abbreviation activities:[text] awards:[text] description displayName fieldsOfStudy:[text] grade notes"
        " webUrl:url"
    ),
    "itemEmail": "address:mail displayName type:unknown|work|personal|main|other",
    "itemPhone": f"displayName number type:{_PHONES}",
    "personInterest": (
        f"categories:[text] collaborationTags:{_TAGS} description displayName thumbnailUrl:url webUrl:url"
    ),
    "languageProficiency": (
        f"displayName tag:tag reading:{_LEVELS} spoken:{_LEVELS} written:{_LEVELS} proficiency:{_LEVELS}"
        " thumbnailUrl:url"
    ),
    "personName": (
        "displayName first initials languageTag:tag last maiden middle nickname pronunciation:yomiPersonName suffix"
        " title"
    ),
    "yomiPersonName": "displayName first last maiden middle",
    "personAnnotation": "detail:itemBody displayName thumbnailUrl:url",
    "itemBody": "content contentType:text|html",
    "itemPatent": "description displayName isPending:bool issuedDate:date issuingAuthority number webUrl:url",
    "itemPublication": "description displayName publishedDate:date publisher thumbnailUrl:url webUrl:url",
    "projectParticipation": (
        f"categories:[text] client:companyDetail collaborationTags:{_TAGS} colleagues:[relatedPerson]"
        " detail:positionDetail displayName sponsors:[relatedPerson] thumbnailUrl:url"
    ),
    "skillProficiency": (
        f"categories:[text] collaborationTags:{_TAGS} displayName"
        " proficiency:elementary|limitedWorking|generalProfessional|advancedProfessional|expert thumbnailUrl:url"
        " webUrl:url"
    ),
    "webAccount": "description service:serviceInformation statusMessage thumbnailUrl:url userId webUrl:url",
    "serviceInformation": "name webUrl:url",
    "personWebsite": "categories:[text] description displayName thumbnailUrl:url webUrl:url",
}

ENTITY_RULES: Final = {
    entity: {name: kind or "text" for name, _, kind in (field.partition(":") for field in fields.split())}
    for entity, fields in _ENTITIES.items()
}
"""Every entity's fields, and what each takes."""


def paths(entity: str) -> dict[str, str]:
    """Return every path that a column can fill, such as ``detail.company.department``, with what it takes.

    A related person is filled as a whole, and stands as ``person``.
    """
    found: dict[str, str] = {}
    for name, kind in ENTITY_RULES[entity].items():
        inner = kind.strip("[]")
        if inner in ENTITY_RULES and inner != "relatedPerson":
            found |= {f"{name}.{path}": what for path, what in paths(inner).items()}
        else:
            found[name] = kind.replace("relatedPerson", "person")
    return found
