"""The profile entities as the service reads them, and what it drops of them without a word.

Fields and enumerations: beta metadata of https://learn.microsoft.com/graph/api/resources/profile [certain]. That
what does not fit is dropped in silence: "Microsoft Graph ignores invalid values",
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain; unknown:
whether a text that is no address on the web, no e-mail address or no language tag counts as invalid]
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.graph.state import Json

_PROFICIENCY = "elementary|limitedWorking|generalProfessional|advancedProfessional|expert"
_LANGUAGE = "elementary|conversational|limitedWorking|professionalWorking|fullProfessional|nativeOrBilingual"
_RELATION = (
    "manager|colleague|directReport|dotLineReport|assistant|dotLineManager|alternateContact|friend|spouse|sibling"
    "|child|parent|sponsor|emergencyContact|other"
)
_TAGS = "askMeAbout|ableToMentor|wantsToLearn|wantsToImprove"
_PHONE = "home|business|mobile|other|assistant|homeFax|businessFax|otherFax|pager|radio"


def _fields(text: str = "", **typed: str) -> dict[str, str]:
    """Return a shape: what its fields take. ``text`` names those that take a text; an address on the web says so."""
    return {name: "url" if name.endswith("Url") else "str" for name in text.split()} | typed


SHAPES: dict[str, dict[str, str]] = {
    "userAccountInformation": _fields("userPrincipalName externalDirectoryObjectId"),
    "workPosition": _fields(
        categories="str[]", colleagues="relatedPerson[]", detail="positionDetail", isCurrent="bool",
        manager="relatedPerson",
    ),
    "positionDetail": _fields(
        "description employeeId employeeType jobTitle level role secondaryJobTitle secondaryRole summary",
        company="companyDetail", endMonthYear="date", layer="int", startMonthYear="date",
    ),
    "companyDetail": _fields(
        "companyCode costCenter department displayName division officeLocation pronunciation secondaryDepartment"
        " webUrl",
        address="physicalAddress",
    ),
    "relatedPerson": _fields(
        "displayName relationshipLabel userId userPrincipalName", relationship=f"enum:{_RELATION}"
    ),
    "itemAddress": _fields("displayName", detail="physicalAddress", geoCoordinates="outlookGeoCoordinates"),
    "physicalAddress": _fields(
        "city countryOrRegion postOfficeBox postalCode state street", type="enum:unknown|home|business|other"
    ),
    "outlookGeoCoordinates": _fields(
        accuracy="float", altitude="float", altitudeAccuracy="float", latitude="float:90", longitude="float:180"
    ),
    "personAnnualEvent": _fields("displayName", date="date", type="enum:birthday|wedding|work|other"),
    "personAward": _fields("description displayName issuingAuthority thumbnailUrl webUrl", issuedDate="date"),
    "personCertification": _fields(
        "certificationId description displayName issuingAuthority issuingCompany thumbnailUrl webUrl",
        startDate="date", endDate="date", issuedDate="date",
    ),
    "educationalActivity": _fields(
        startMonthYear="date", endMonthYear="date", completionMonthYear="date", institution="institutionData",
        program="educationalActivityDetail",
    ),
    "institutionData": _fields("description displayName webUrl", location="physicalAddress"),
    "educationalActivityDetail": _fields(
        "abbreviation description displayName grade notes webUrl",
        activities="str[]", awards="str[]", fieldsOfStudy="str[]",
    ),
    "itemEmail": _fields("displayName", address="mail", type="enum:unknown|work|personal|main|other"),
    "itemPhone": _fields("displayName number", type=f"enum:{_PHONE}"),
    "personInterest": _fields(
        "description displayName thumbnailUrl webUrl", categories="str[]", collaborationTags=f"enum:{_TAGS}[]"
    ),
    "languageProficiency": _fields(
        "displayName thumbnailUrl",
        tag="tag",
        **dict.fromkeys(("reading", "spoken", "written", "proficiency"), f"enum:{_LANGUAGE}"),
    ),
    "personName": _fields(
        "displayName first initials last maiden middle nickname suffix title", languageTag="tag",
        pronunciation="yomiPersonName",
    ),
    "yomiPersonName": _fields("displayName first last maiden middle"),
    "personAnnotation": _fields("displayName thumbnailUrl", detail="itemBody"),
    "itemBody": _fields("content", contentType="enum:text|html"),
    "itemPatent": _fields(
        "description displayName issuingAuthority number webUrl", isPending="bool", issuedDate="date"
    ),
    "itemPublication": _fields("description displayName publisher thumbnailUrl webUrl", publishedDate="date"),
    "projectParticipation": _fields(
        "displayName thumbnailUrl", categories="str[]", client="companyDetail", collaborationTags=f"enum:{_TAGS}[]",
        colleagues="relatedPerson[]", detail="positionDetail", sponsors="relatedPerson[]",
    ),
    "skillProficiency": _fields(
        "displayName thumbnailUrl webUrl", categories="str[]", collaborationTags=f"enum:{_TAGS}[]",
        proficiency=f"enum:{_PROFICIENCY}",
    ),
    "webAccount": _fields("description statusMessage thumbnailUrl userId webUrl", service="serviceInformation"),
    "serviceInformation": _fields("name webUrl"),
    "personWebsite": _fields("description displayName thumbnailUrl webUrl", categories="str[]"),
}  # fmt: skip

ENTITIES = {
    "personAccount": "userAccountInformation", "personCurrentPosition": "workPosition",
    "personAddresses": "itemAddress", "personAnniversaries": "personAnnualEvent", "personAwards": "personAward",
    "personCertifications": "personCertification", "personEducationalActivities": "educationalActivity",
    "personEmails": "itemEmail", "personInterests": "personInterest", "personLanguages": "languageProficiency",
    "personName": "personName", "personNote": "personAnnotation", "personPatents": "itemPatent",
    "personPhones": "itemPhone", "personPublications": "itemPublication", "personProjects": "projectParticipation",
    "personSkills": "skillProficiency", "personWebAccounts": "webAccount", "personWebSite": "personWebsite",
    "personWorkPositions": "workPosition",
}  # fmt: skip
"""The entity behind each label."""

AT_MOST = {"personEmails": 3, "personAddresses": 3}
"""Further ones are ignored [likely].
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain: 3]"""


ONE_OF_EACH_TYPE = {"personAddresses", "personAnniversaries"}
"""A second one of the same type is ignored [likely].
https://learn.microsoft.com/microsoft-365-copilot/extensibility/build-connectors-with-people-data [certain: one each]"""


def read_entity(shape: str, value: Any) -> tuple[Json, list[str]]:
    """Return what is left of an entity, and why the rest was dropped; each reason begins with the field's path."""
    reasons: list[str] = []
    return _object(shape, value, "", reasons), reasons


def _object(shape: str, value: Json, path: str, reasons: list[str]) -> Json:
    kept = {}
    for name, one in value.items():
        kind = SHAPES[shape].get(name)
        where = f"{path}{name}"
        if kind is None:
            reasons.append(f"{where}: {shape} has no such field")
            continue
        found = list(_values(kind, one, where, reasons))
        if found:
            kept[name] = found[0]
    return kept


def _values(kind: str, value: Any, where: str, reasons: list[str]) -> Iterator[Any]:
    """Yield the value when it fits, else nothing and a reason."""
    if kind.endswith("[]"):
        if isinstance(value, list):
            yield [kept for one in value for kept in _values(kind[:-2], one, where, reasons)]
        else:
            reasons.append(f"{where}: an array is wanted")
    elif kind in SHAPES:
        if isinstance(value, dict):
            yield _object(kind, value, f"{where}.", reasons)
        else:
            reasons.append(f"{where}: an object is wanted")
    elif problem := _scalar_problem(kind, value):
        reasons.append(f"{where}: {problem}")
    else:
        yield value


def _scalar_problem(kind: str, value: Any) -> str | None:
    kind, _, rest = kind.partition(":")
    match kind:
        case "bool":
            return None if isinstance(value, bool) else "true or false is wanted"
        case "int":
            return None if isinstance(value, int) and not isinstance(value, bool) else "a whole number is wanted"
        case "float":
            return _number_problem(value, rest)
        case "date":
            return None if _is_date(value) else "a date YYYY-MM-DD is wanted"
        case "enum":
            return None if value in rest.split("|") else "is not in the enumeration"
        case _ if not isinstance(value, str):
            return "a string is wanted"
        case _:
            return f"this is no {kind}" if value and not _FORMS[kind].match(value) else None


_FORMS = {
    "str": re.compile(""),
    "url": re.compile(r"(?i)https?://\w"),
    "mail": re.compile(r"[^@\s]+@[^@\s]+\Z"),
    "tag": re.compile(r"[a-zA-Z]{2,3}(-\w+)*\Z"),
}
"""What texts look like that are not just any. An empty one is a value: it clears."""


def _number_problem(value: Any, most: str) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and abs(value) <= float(most or "inf"):
        return None
    return f"a number is wanted, at most {most}" if most else "a number is wanted"


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
    except ValueError:
        return False
