"""The properties of a first mapping: which column fills which field of which label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from connector.core.suggest.columns import SEPARATORS
from connector.core.suggest.identity import reference
from connector.core.toml import quoted, strings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connector.core.suggest.identity import Account, Key
    from connector.core.suggest.sheet import Known, Sheet


@dataclass(frozen=True, slots=True)
class Field:
    """One field: where it goes, what fills it (TOML), the column, and by what that was matched.

    ``doubt``: why it is proposed only, as a comment.
    """

    path: str
    toml: str
    column: str = ""
    why: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Property:
    """A property with a label, and the fields of each of its entities."""

    name: str
    label: str
    groups: tuple[tuple[Field, ...], ...] = ()
    note: str = ""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it fills fields from, or proposes to."""
        return frozenset(field.column for group in self.groups for field in group if field.column)

    @property
    def is_sent(self) -> bool:
        """Whether any column fills it for certain."""
        return not self.groups or any(field.column and not field.doubt for group in self.groups for field in group)


def properties(sheet: Sheet, key: Key, account: Account) -> tuple[Property, ...]:
    """Return all properties that the columns of a file can fill."""
    found = (
        _name(sheet),
        _position(sheet, key, account),
        _emails(sheet),
        _phones(sheet),
        _addresses(sheet),
        *_lists(sheet),
        _education(sheet),
        _site(sheet),
        _web_accounts(sheet),
        _note(sheet),
    )
    return (Property("accounts", "personAccount"), *(part for part in found if part and part.groups))


def _constant(path: str, value: str) -> Field:
    return Field(path, f"{{ constant = {value} }}")


def _text(path: str, known: Known | None) -> Iterator[Field]:
    if known:
        yield Field(path, quoted(known.name), known.name, known.why)


def _one(name: str, label: str, fields: list[Field], note: str = "") -> Property | None:
    return Property(name, label, (tuple(fields),), note) if any(field.column for field in fields) else None


# --- names ------------------------------------------------------------------------------------------------------------

_NAMES: Final = ("first", "last", "middle", "nickname", "suffix", "title", "initials")
_BEFORE_BRACKETS: Final = r"^(.*?)\s*\("


def _name(sheet: Sheet) -> Property | None:
    fields: list[Field] = []
    full = sheet.first("displayName")
    if full and full.column.looks_like("last, first"):
        if not sheet.first("first") and not sheet.first("last"):
            for path, pattern in (("first", r",\s*(.+)$"), ("last", r"^([^,]+),")):
                spec = f'{{ column = {quoted(full.name)}, extract = {quoted(pattern)}, otherwise = "omit" }}'
                fields.append(Field(path, spec, full.name, full.why))
        else:
            doubt = "it is written Last, First, and would be shown so"
            fields.append(Field("displayName", quoted(full.name), full.name, full.why, doubt))
    elif full and full.column.looks_like("name and id"):
        spec = f'{{ column = {quoted(full.name)}, extract = {quoted(_BEFORE_BRACKETS)}, otherwise = "keep" }}'
        fields.append(Field("displayName", spec, full.name, f"{full.why}; without the id behind the name"))
    else:
        fields.extend(_text("displayName", full))
    fields.extend(field for path in _NAMES for field in _text(path, sheet.first(path)))
    return _one("name", "personName", fields)


# --- the position -----------------------------------------------------------------------------------------------------

_POSITION: Final = {
    "detail.jobTitle": "jobTitle",
    "detail.role": "role",
    "detail.level": "level",
    "detail.employeeType": "employeeType",
    "detail.company.displayName": "company",
    "detail.company.companyCode": "companyCode",
    "detail.company.division": "division",
    "detail.company.department": "department",
    "detail.company.secondaryDepartment": "secondaryDepartment",
    "detail.company.costCenter": "costCenter",
    "detail.company.officeLocation": "office",
}


def _position(sheet: Sheet, key: Key, account: Account) -> Property | None:
    fields: list[Field] = []
    if _is_number(key):
        fields.append(Field("detail.employeeId", quoted(key.known.name), key.known.name, "the key"))
    for path, of in _POSITION.items():
        fields.extend(_text(path, _telling(sheet, of)))
    if hired := sheet.first("startDate"):
        fields.append(_dated("detail.startMonthYear", hired, sheet))
    fields.extend(_people(sheet, key, account))
    if any(field.column and not field.doubt for field in fields):
        fields.append(_constant("isCurrent", "true"))
    return _one("positions", "personCurrentPosition", fields)


def _is_number(key: Key) -> bool:
    """Whether a key is an employee number: a login that serves as one is not, and neither is a mail address."""
    column, meaning = key.known.column, key.known.meaning
    if meaning is None or key.extract or column.looks_like("mail"):
        return False
    return meaning.of == "key" or (meaning.of == "user" and column.looks_like("id"))


def _telling(sheet: Sheet, of: str) -> Known | None:
    """Return the likeliest column of a meaning that holds more than numbers, if there is one: codes say nothing."""
    found = sheet.all(of)
    return next((known for known in found if not known.column.looks_like("number")), next(iter(found), None))


def _dated(path: str, known: Known, sheet: Sheet) -> Field:
    """Return a field of dates, as the column writes them; doubtful if the file does not tell how that is."""
    column = known.column
    if column.either:
        one, other = column.either
        sure = {text for each in sheet.columns for text in each.column.dates} & {one, other}
        if len(sure) == 1:
            spec = f"{{ column = {quoted(known.name)}, dates = {strings(sure)} }}"
            return Field(path, spec, known.name, f"{known.why}; written {min(sure)}, as in another column")
        spec = f"{{ column = {quoted(known.name)}, dates = {strings([one])} }}"
        return Field(path, spec, known.name, known.why, f"every date could be {one} or {other}; ask HR which it is")
    if column.filled and not column.dates:
        doubt = "its cells, or too many of them, are no dates in a known form"
        return Field(path, quoted(known.name), known.name, known.why, doubt)
    if column.dates in {(), ("YYYY-MM-DD",)}:
        return Field(path, quoted(known.name), known.name, known.why)
    spec = f"{{ column = {quoted(known.name)}, dates = {strings(column.dates)} }}"
    return Field(path, spec, known.name, f"{known.why}; written {' or '.join(column.dates)}")


def _people(sheet: Sheet, key: Key, account: Account) -> Iterator[Field]:
    for path, relationship, meanings in (
        ("manager", "manager", ("managerKey", "managerMail", "manager")),
        ("colleagues", "dotLineManager", ("dotLine",)),
        ("colleagues", "assistant", ("assistant",)),
    ):
        found = [reference(known, relationship, key=key, account=account) for known in sheet.all(*meanings)]
        best = next((each for each in found if each.toml), None)
        if best:
            yield Field(path, best.toml, best.known.name, f"{best.known.why}; {best.note}")
        elif found:
            known = found[0].known
            spec = f'{{ person = {quoted(known.name)}, by = "key", relationship = {quoted(relationship)} }}'
            yield Field(path, spec, known.name, known.why, found[0].note)
        if best and path == "colleagues":
            return


# --- how to reach them ------------------------------------------------------------------------------------------------

_MOST_EMAILS: Final = 3


def _emails(sheet: Sheet) -> Property | None:
    """Graph takes three: https://learn.microsoft.com/graph/api/resources/itememail."""
    found = [known for known in sheet.all("workEmail", "otherEmail") if _looks(sheet, known, "mail")][:_MOST_EMAILS]
    groups = []
    for place, known in enumerate(found):
        kind = "work" if place == 0 and known in sheet.all("workEmail") else "other"
        groups.append((*_text("address", known), _constant("type", quoted(kind))))
    return Property("emails", "personEmails", tuple(groups))


def _looks(sheet: Sheet, known: Known, form: str) -> bool:
    return known.column.looks_like(form) or not sheet.rows


_PHONES: Final = {"workPhone": "business", "mobile": "mobile", "fax": "businessFax", "pager": "pager"}


def _phones(sheet: Sheet) -> Property | None:
    groups = []
    for of, kind in _PHONES.items():
        for place, known in enumerate(sheet.all(of)):
            groups.append((*_text("number", known), _constant("type", quoted(kind if place == 0 else "other"))))
    return Property("phones", "personPhones", tuple(groups))


_ADDRESS: Final = {
    "detail.street": "street",
    "detail.postOfficeBox": "postOfficeBox",
    "detail.postalCode": "postalCode",
    "detail.city": "city",
    "detail.state": "state",
    "detail.countryOrRegion": "country",
}
_MANY: Final = 20
_OFTEN_ALONE: Final = 0.5


def _addresses(sheet: Sheet) -> Property | None:
    fields = [field for path, of in _ADDRESS.items() for field in _text(path, sheet.first(of))]
    street = sheet.first("street")
    home = street and street.column.filled >= _MANY and street.column.distinct > _OFTEN_ALONE * street.column.filled
    if home:
        doubt = "most people have a street of their own, so these look like homes"
        fields = [Field(field.path, field.toml, field.column, field.why, doubt) for field in fields]
    fields.append(_constant("detail.type", quoted("business")))
    note = "Where people work. If this is where they live, take it out: everybody in the organisation would see it."
    return _one("addresses", "personAddresses", fields, note)


# --- what they know and did -------------------------------------------------------------------------------------------

_LISTS: Final = {
    "skills": ("personSkills", "displayName"),
    "languages": ("personLanguages", "displayName"),
    "interests": ("personInterests", "displayName"),
    "certifications": ("personCertifications", "displayName"),
    "awards": ("personAwards", "displayName"),
    "projects": ("personProjects", "displayName"),
    "patents": ("personPatents", "displayName"),
    "publications": ("personPublications", "displayName"),
}
_LISTED: Final = 0.1


def _lists(sheet: Sheet) -> Iterator[Property | None]:
    for of, (label, path) in _LISTS.items():
        if known := sheet.first(of):
            yield _one(of, label, [_parted(path, known, "split")])


def _parted(path: str, known: Known, word: str) -> Field:
    separator = next((each for each in SEPARATORS if known.column.looks_like(each, _LISTED)), "")
    if not separator:
        return Field(path, quoted(known.name), known.name, f"{known.why}; no cell holds several")
    spec = f"{{ column = {quoted(known.name)}, {word} = {quoted(separator)} }}"
    return Field(path, spec, known.name, f"{known.why}; {quoted(separator)} stands between several")


def _education(sheet: Sheet) -> Property | None:
    fields = [
        *_text("institution.displayName", sheet.first("school")),
        *_text("program.displayName", sheet.first("degree")),
    ]
    if major := sheet.first("major"):
        fields.append(_parted("program.fieldsOfStudy", major, "list"))
    return _one("educationalActivities", "personEducationalActivities", fields)


def _site(sheet: Sheet) -> Property | None:
    known = sheet.first("website")
    return (
        _one("webSite", "personWebSite", [*_text("webUrl", known)]) if known and _looks(sheet, known, "url") else None
    )


def _web_accounts(sheet: Sheet) -> Property | None:
    known = sheet.first("linkedIn")
    if not known or not _looks(sheet, known, "url"):
        return None
    return _one(
        "webAccounts", "personWebAccounts", [*_text("webUrl", known), _constant("service.name", quoted("LinkedIn"))]
    )


def _note(sheet: Sheet) -> Property | None:
    fields = [*_text("detail.content", sheet.first("about"))]
    return _one("note", "personNote", [*fields, _constant("detail.contentType", quoted("text"))])
