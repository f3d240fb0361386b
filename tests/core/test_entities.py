"""The entities behind the labels: exactly the documented fields, and nothing accepted that Graph would ignore."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.core.accounts import Known
from connector.core.entities import LABELS, Entity, field_paths, field_type
from connector.core.export import Row
from connector.core.mapping import Person, bind, load_mapping
from tests.tenant.graph.entities import AT_MOST, ENTITIES, read_entity

ADA = Known(id="aaaaaaaa-0000-4000-8000-000000000001", upn="ada@contoso.com")
PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"

_PHONES = "home|business|mobile|other|assistant|homeFax|businessFax|otherFax|pager|radio"
_LANGUAGE = "elementary|conversational|limitedWorking|professionalWorking|fullProfessional|nativeOrBilingual"
_TAGS = "[askMeAbout|ableToMentor|wantsToLearn|wantsToImprove]"
_ADDRESS = "city countryOrRegion postOfficeBox postalCode state street type:unknown|home|business|other"
_COMPANY = (
    "companyCode costCenter department displayName division officeLocation pronunciation secondaryDepartment"
    f" webUrl:url address({_ADDRESS})"
)
_POSITION = (
    f"company({_COMPANY}) description employeeId employeeType endMonthYear:date jobTitle layer:int level role"
    " secondaryJobTitle secondaryRole startMonthYear:date summary"
)
_SHAPES = {"address": _ADDRESS, "company": _COMPANY, "position": _POSITION}
_WORK = f"categories:[str] colleagues:[person] detail({_POSITION}) isCurrent:bool manager:person"

DOCUMENTED = {
    "personAccount": "userPrincipalName externalDirectoryObjectId",
    "personCurrentPosition": _WORK,
    "personWorkPositions": _WORK,
    "personAddresses": (
        f"detail({_ADDRESS}) displayName"
        " geoCoordinates(accuracy:float altitude:float altitudeAccuracy:float latitude:latitude longitude:longitude)"
    ),
    "personAnniversaries": "date:date displayName type:birthday|wedding|work|other",
    "personAwards": "description displayName issuedDate:date issuingAuthority thumbnailUrl:url webUrl:url",
    "personCertifications": (
        "certificationId description displayName startDate:date endDate:date issuedDate:date issuingAuthority"
        " issuingCompany thumbnailUrl:url webUrl:url"
    ),
    "personEducationalActivities": (
        "startMonthYear:date endMonthYear:date completionMonthYear:date"
        f" institution(description displayName location({_ADDRESS}) webUrl:url)"
        " program(abbreviation activities:[str] awards:[str] description displayName fieldsOfStudy:[str] grade notes"
        " webUrl:url)"
    ),
    "personEmails": "address:mail displayName type:unknown|work|personal|main|other",
    "personPhones": f"displayName number type:{_PHONES}",
    "personInterests": (
        f"categories:[str] collaborationTags:{_TAGS} description displayName thumbnailUrl:url webUrl:url"
    ),
    "personLanguages": (
        f"displayName tag:tag reading:{_LANGUAGE} spoken:{_LANGUAGE} written:{_LANGUAGE} proficiency:{_LANGUAGE}"
        " thumbnailUrl:url"
    ),
    "personName": (
        "displayName first initials languageTag:tag last maiden middle nickname"
        " pronunciation(displayName first last maiden middle) suffix title"
    ),
    "personNote": "detail(content contentType:text|html) displayName thumbnailUrl:url",
    "personPatents": "description displayName isPending:bool issuedDate:date issuingAuthority number webUrl:url",
    "personPublications": "description displayName publishedDate:date publisher thumbnailUrl:url webUrl:url",
    "personProjects": (
        f"categories:[str] client({_COMPANY}) collaborationTags:{_TAGS} colleagues:[person] detail({_POSITION})"
        " displayName sponsors:[person] thumbnailUrl:url"
    ),
    "personSkills": (
        f"categories:[str] collaborationTags:{_TAGS} displayName"
        " proficiency:elementary|limitedWorking|generalProfessional|advancedProfessional|expert thumbnailUrl:url"
        " webUrl:url"
    ),
    "personWebAccounts": "description service(name webUrl:url) statusMessage thumbnailUrl:url userId webUrl:url",
    "personWebSite": "categories:[str] description displayName thumbnailUrl:url webUrl:url",
}
"""Every label's fields and what they take; str where nothing else is said, ``[…]`` a list, ``a(…)`` an object.
https://learn.microsoft.com/graph/api/resources/profile and the pages of its entities"""

ONE = {"personAccount", "personCurrentPosition", "personName", "personNote", "personWebSite"}


def documented(label: str) -> dict[str, str]:
    """Return what each path of a label takes, by the documentation."""
    return _paths(DOCUMENTED[label])


def _paths(text: str) -> dict[str, str]:
    paths: dict[str, str] = {}
    above: list[str] = []
    for word in text.replace("(", "( ").replace(")", " )").split():
        if word == ")":
            above.pop()
        elif word.endswith("("):
            above.append(word[:-1])
        else:
            name, _, kind = word.partition(":")
            paths[".".join([*above, name])] = kind or "str"
    return paths


def taken(entity: type[Entity], path: str) -> str:
    """Return what a field takes, in the words of `documented`."""
    kind = field_type(entity, path)
    assert kind is not None
    word = "person" if kind.person else "|".join(kind.allowed) or (kind.form and kind.form.name) or kind.kind.__name__
    return f"[{word}]" if kind.many else word


@pytest.mark.parametrize("label", sorted(DOCUMENTED))
def test_an_entity_has_the_documented_fields(label):
    """Each with the type and the members of the enumeration that its page gives, and no others."""
    entity = LABELS[label].entity

    assert {path: taken(entity, path) for path in field_paths(entity)} == documented(label)


def test_the_labels_are_the_supported_ones():
    """Twenty of them; five hold one entity, e-mails and addresses three at most, and two one of each type."""
    assert set(LABELS) == set(DOCUMENTED)
    assert {name for name, label in LABELS.items() if not label.several} == ONE
    assert {name: label.most for name, label in LABELS.items() if label.most} == AT_MOST
    assert {name: label.one_each for name, label in LABELS.items() if label.one_each} == {
        "personAddresses": "detail.type",
        "personAnniversaries": "type",
    }


@pytest.mark.parametrize("path", ["detail.company", "detail.boss", "detail.jobTitle.x", "colleagues.userId", ""])
def test_what_is_no_field_has_no_type(path):
    """Objects, parts of texts and parts of lists cannot be filled by themselves."""
    assert field_type(LABELS["personCurrentPosition"].entity, path) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"salary": 1}',
        '{"detail": {"company": {"webUrl": "contoso.com"}}}',
        '{"isCurrent": "yes"}',
        '{"detail": {"startMonthYear": "1.3.2021"}}',
        '{"categories": "a"}',
    ],
)
def test_an_entity_takes_nothing_else(text):
    """Unknown fields, other types, other dates and texts in the place of lists are refused."""
    with pytest.raises(ValidationError):
        LABELS["personCurrentPosition"].entity.model_validate_json(text)


# --- laws -------------------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1f"), max_size=12)
_GOOD = {
    "date": st.dates().map(str),
    "int": st.integers(-(10**9) + 1, 10**9 - 1).map(str),
    "float": st.floats(-1e8, 1e8).map("{:.6f}".format),
    "bool": st.sampled_from(["true", "FALSE"]),
    "url": st.sampled_from(["https://contoso.com", "http://intra/zoë?a=b", "HTTPS://contoso.com:443/a#b"]),
    "mail": st.sampled_from(["ada@contoso.com", "zoë@contoso.com", "O'Neil+x@contoso.com"]),
    "tag": st.sampled_from(["en", "nb-NO", "zh-Hant-TW"]),
    "latitude": st.floats(-90, 90).map("{:.6f}".format),
    "longitude": st.floats(-180, 180).map("{:.6f}".format),
}


def _cells(kind: str) -> st.SearchStrategy[str]:
    words = kind.strip("[]")
    good = _GOOD[words] if words in _GOOD else st.sampled_from(words.split("|")) if "|" in words else _TEXT
    listed = st.lists(good, max_size=4).map(";".join)
    return good | listed | st.just("") | _TEXT


@st.composite
def _rows(draw: st.DrawFn, *, label: str) -> tuple[str, dict[str, str]]:
    """Draw the fields of a mapping for a label, and a row for them."""
    paths = {path: kind for path, kind in documented(label).items() if "person" not in kind}
    chosen = draw(st.lists(st.sampled_from(sorted(paths)), min_size=1, max_size=6, unique=True))
    columns = dict(zip(chosen, string.ascii_uppercase, strict=False))
    one_each = LABELS[label].one_each
    splits = [path for path in chosen if LABELS[label].several and path == (one_each or path)]
    split = draw(st.sampled_from(["", *splits]))
    lines = [f'"{path}" = {_source(column, paths[path], path == split)}' for path, column in columns.items()]
    row = {column: draw(_cells(paths[path])) for path, column in columns.items()}
    return "\n".join(lines), row


def _source(column: str, kind: str, split: bool) -> str:  # noqa: FBT001
    if split:
        return f'{{ column = "{column}", split = ";" }}'
    return f'{{ column = "{column}", list = ";" }}' if kind.startswith("[") else f'"{column}"'


@pytest.mark.parametrize("label", sorted(set(LABELS) - {"personAccount"}))
@given(data=st.data())
def test_what_a_mapping_accepts_is_taken_whole_by_graph(label, data):
    """Entities rendered from an accepted row fit their models and are read without anything being dropped or blank."""
    fields, row = data.draw(_rows(label=label))
    text = f"""
        format = 1
        key.column = "Id"
        account.column = "Account"
        [[property]]
        name = "accounts"
        label = "personAccount"
        [[property]]
        name = "extra"
        label = "{label}"
        [property.fields]
        {fields}
    """
    bound = bind(load_mapping("ours", text.encode()), ["Id", "Account", *row])
    cells = ["E1", ADA.upn, *row.values()]
    if not isinstance(bound.person(Row(1, cells)), Person):
        return

    rendered: Any = bound.entities(cells, ADA, []).get("extra", [])

    entities = rendered if LABELS[label].several else [rendered] if rendered else []
    assert len(entities) <= (LABELS[label].most or len(entities))
    for entity in entities:
        read_back = LABELS[label].entity.model_validate_json(orjson.dumps(entity))
        assert orjson.loads(read_back.model_dump_json(exclude_unset=True)) == entity
        assert read_entity(ENTITIES[label], entity) == (entity, [])
        assert not list(_blanks(entity))


def _blanks(value: Any) -> list[Any]:
    """Return the empty texts, lists and objects in a value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [blank for one in inner for blank in _blanks(one)] if value else [value]
    return [value] if isinstance(value, str) and not value.strip() else []


@pytest.mark.parametrize("name", [*sorted(set(LABELS) - {"personAccount"}), *_SHAPES])
def test_the_reference_has_every_field(name):
    """The tables of docs/mapping.md have each label, how many of it a profile takes, and all its fields."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]

    assert rows == [reference(name)]


def reference(name: str) -> str:
    """Return the row of a label, or of a shape that several share, as the page has it."""
    text = DOCUMENTED.get(name) or _SHAPES[name]
    for shape, fields in reversed(_SHAPES.items()):
        text = text.replace(f"({fields})", f".:<{shape}>")
    fields = ", ".join(_shown(path, kind) for path, kind in _paths(text).items())
    if name in _SHAPES:
        return f"| `{name}` | {fields} |"
    label = LABELS[name]
    number = (f"at most {label.most}" if label.most else "several") if label.several else "one"
    return f"| `{name}` | {number}{', one of each type' if label.one_each else ''} | {fields} |"


def _shown(path: str, kind: str) -> str:
    kind = kind.replace("[str]", "list").replace("[person]", "list of people")
    kind = f"list of {kind[1:-1]}" if kind.startswith("[") else kind.strip("<>")
    return f"`{path}`" if kind == "str" else f"`{path}` ({kind.replace('|', ', ')})"


def test_dates_are_written_whole():
    """A date of an entity is year, month and day, with leading zeros: Edm.Date."""
    entity = LABELS["personAnniversaries"].entity.model_validate_json('{"date": "0987-06-05"}')

    assert orjson.loads(entity.model_dump_json(exclude_unset=True)) == {"date": "0987-06-05"}
