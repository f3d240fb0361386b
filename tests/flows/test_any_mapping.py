"""Whatever a mapping says and whatever stands in the cells: what is accepted reaches profiles whole."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.core.entities import LABELS
from connector.core.mapping import load_mapping
from connector.errors import ConfigurationError
from tests.core.reference import LABEL_RULES, paths
from tests.flows.world import World

PREVIEW_NAMES = {
    "addresses": "personAddresses", "anniversaries": "personAnniversaries", "awards": "personAwards",
    "certifications": "personCertifications", "educationalActivities": "personEducationalActivities",
    "emails": "personEmails", "interests": "personInterests", "languages": "personLanguages", "names": "personName",
    "notes": "personNote", "patents": "personPatents", "phones": "personPhones", "positions": "personCurrentPosition",
    "projects": "personProjects", "publications": "personPublications", "skills": "personSkills",
    "webAccounts": "personWebAccounts", "websites": "personWebSite",
}  # fmt: skip

HEAD = """
[file]
blanks = ["N/A", "-"]
[key]
column = "EmployeeId"
[account]
column = "UserPrincipalName"
[[property]]
name = "account"
label = "personAccount"
"""


@dataclass
class Sheet:
    """A mapping as it is drawn: its text so far, and what good cells of its columns look like."""

    body: str = ""
    columns: dict[str, st.SearchStrategy[str]] = field(default_factory=dict)
    telling: set[str] = field(default_factory=set)
    """Columns that only tell the type of something else: they are never taken for sensitive."""
    plain: dict[tuple[str, str], str] = field(default_factory=dict)
    """By property and path: the column whose text is sent as it is, where there is one entity and no more to it."""

    @property
    def text(self) -> str:
        """The mapping; whatever looks sensitive is meant."""
        read = set(re.findall(r"C\d+", self.body))
        meant = json.dumps([name for name in self.columns if name in read - self.telling])
        return f"format = 1\nallow_sensitive = {meant}{HEAD}{self.body}"

    def column(self, good: st.SearchStrategy[str]) -> str:
        name = f"C{len(self.columns)}"
        self.columns[name] = good
        return name


# --- cells ------------------------------------------------------------------------------------------------------------

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10) | st.sampled_from(
    ["Zoë", "O'Neil", "a; b;a", '"x"', "{", "=1+1", " x ", "N/A", "\u202f", "😀", "a\nb", "\t", "ß", "0", "null", "[]"]
)
_GOOD: dict[str, st.SearchStrategy[str]] = {
    "text": _TEXT,
    "date": st.dates().map(str),
    "int": st.integers(-999, 999).map(str),
    "float": st.floats(-1e6, 1e6).map("{:.4f}".format),
    "bool": st.sampled_from(["true", "False"]),
    "url": st.sampled_from(["https://contoso.com/zoë?a=b#c", "HTTP://intra:8080"]),
    "mail": st.sampled_from(["zoë@contoso.com", "O'Neil+x@contoso.com"]),
    "tag": st.sampled_from(["en", "nb-NO", "zh-Hant-TW"]),
    "latitude": st.sampled_from(["-90", "59.91", "0"]),
    "longitude": st.sampled_from(["-180", "180.0", "10.75"]),
}
_CONSTANT = {
    "text": "Same for all", "date": "2021-03-01", "int": 3, "float": 1.5, "bool": True, "url": "https://contoso.com",
    "mail": "all@contoso.com", "tag": "en", "latitude": 59.9, "longitude": 10.7,
}  # fmt: skip


def _good(kind: str) -> st.SearchStrategy[str]:
    return st.sampled_from(kind.split("|")) if "|" in kind else _GOOD[kind]


# --- mappings ---------------------------------------------------------------------------------------------------------


@st.composite
def _sheets(draw: st.DrawFn) -> Sheet:
    """Draw a mapping of some labels, filled in every way the language has."""
    sheet = Sheet()
    labels = draw(
        st.lists(st.sampled_from(sorted(set(LABELS) - {"personAccount"})), min_size=2, max_size=5, unique=True)
    )
    if "personWorkPositions" in labels:
        labels = list(dict.fromkeys(["personCurrentPosition", *labels]))
    for number, label in enumerate(labels):
        sheet.body += f'[[property]]\nname = "p{number}"\nlabel = "{label}"\n'
        _draw_groups(draw, sheet, f"p{number}", label)
    for number in range(draw(st.integers(0, 2))):
        spec = _draw_text(draw, sheet, "text", custom=True)
        sheet.body += f'[[property]]\nname = "custom{number}"\nvalue = {spec}\n'
    return sheet


def _draw_groups(draw: st.DrawFn, sheet: Sheet, name: str, label: str) -> None:
    rule = LABEL_RULES[label]
    several = rule.type == "stringCollection"
    fields = paths(rule.entity)
    groups = draw(st.integers(1, 3)) if several else 1
    kinds = draw(st.permutations(fields[rule.one_each].split("|"))) if rule.one_each else []
    for number in range(groups):
        single = groups == 1 and draw(st.booleans())
        sheet.body += "[property.fields]\n" if single else "[[property.entity]]\n" if several else "[property.fields]\n"
        chosen = draw(
            st.lists(
                st.sampled_from(sorted(set(fields) - {rule.one_each})),
                min_size=min(2, len(fields) - bool(rule.one_each)),
                max_size=5,
                unique=True,
            )
        )
        constants = draw(st.sets(st.sampled_from(chosen), max_size=len(chosen) - 1))
        split = draw(st.sampled_from(["", *chosen])) if several and not rule.one_each else ""
        for path in chosen:
            if path in constants and "person" not in fields[path]:
                spec = json.dumps(_constant(fields[path]), ensure_ascii=False)
                sheet.body += f'"{path}" = {{ constant = {spec} }}\n'
                continue
            before = set(sheet.columns)
            spec = _draw_field(draw, sheet, fields[path], split=path == split, clear=not several)
            sheet.body += f'"{path}" = {spec}\n'
            if path.endswith("type") and len(chosen) > 1:
                sheet.telling |= sheet.columns.keys() - before
            if spec.startswith('"') and fields[path] == "text" and groups == 1 and not split:
                sheet.plain[name, path] = spec.strip('"')
        if rule.one_each and (groups > 1 or draw(st.booleans())):
            sheet.body += f'"{rule.one_each}" = {{ constant = "{kinds[number]}" }}\n'


def _constant(kind: str) -> Any:
    inner = kind.strip("[]")
    return inner.split("|")[0] if "|" in inner else _CONSTANT[inner]


def _draw_field(draw: st.DrawFn, sheet: Sheet, kind: str, *, split: bool, clear: bool) -> str:
    """Draw what fills a field, as TOML."""
    inner = kind.strip("[]")
    if inner == "person":
        return _draw_person(draw, sheet, many=kind != inner)
    more = ', split = ";"' if split else ', list = ";"' if kind != inner and draw(st.booleans()) else ""
    if inner == "text":
        return _draw_text(draw, sheet, inner, more=more, clear=clear and kind == inner)
    good = _good(inner)
    if more:
        good = st.lists(good, max_size=3).map("; ".join)
    match draw(st.sampled_from(["plain", "written", "translated"])):
        case "written" if inner == "date":
            formats = {"DD.MM.YYYY": "%d.%m.%Y", "D/M/YY": "%d/%m/%y", "YYYYMMDD": "%Y%m%d", "DD-MMM-YYYY": "%d-%b-%Y"}
            way = draw(st.sampled_from(sorted(formats)))
            column = sheet.column(st.dates().map(lambda day: day.strftime(formats[way])))
            return f'{{ column = "{column}", dates = ["{way}"]{more} }}'
        case "written" if inner in {"int", "float", "latitude", "longitude"}:
            column = sheet.column(
                st.sampled_from(["-12", "1.234", "7"] if inner in {"int", "float"} else ["1,5", "-12"])
            )
            return f'{{ column = "{column}", decimal = ","{more} }}'
        case "written" if inner == "bool":
            column = sheet.column(st.sampled_from(["Ja", "nein"]))
            return f'{{ column = "{column}", true = ["ja"], false = ["nein"]{more} }}'
        case "translated" if "|" in inner:
            column = sheet.column(st.sampled_from(["One", "two", "one", " TWO "]))
            first, last = inner.split("|")[0], inner.split("|")[-1]
            otherwise = draw(st.sampled_from(["reject", "keep", "omit"]))
            words = f'{{ One = "{first}", "TWO" = "{last}" }}'
            return f'{{ column = "{column}", translate = {words}, otherwise = "{otherwise}"{more} }}'
        case _:
            column = sheet.column(good)
            return f'{{ column = "{column}"{more} }}' if more else f'"{column}"'


def _draw_text(
    draw: st.DrawFn, sheet: Sheet, kind: str, *, more: str = "", clear: bool = False, custom: bool = False
) -> str:
    one, other = sheet.column(_good(kind)), sheet.column(_good(kind))
    way = draw(st.sampled_from(["plain", "columns", "template"]))
    source = {
        "plain": f'column = "{one}"',
        "columns": f'columns = ["{one}", "{other}"], join = ", "',
        "template": f'template = "{{{one}}} ({{{other}}}) {{{{x}}}}"',
    }[way]
    more += draw(st.sampled_from(["", "", ', case = "upper"', ', case = "title"']))
    known = draw(st.sampled_from(["", "", ", extract = '(\\w+)'", ", extract = 'x|(y)?z'"]))
    known += draw(st.sampled_from(["", "", ', translate = { a = "b", "Zoë" = "" }']))
    others = [', otherwise = "keep"', ', otherwise = "omit"', ', otherwise = "keep"', ', otherwise = "omit"', ""]
    more += known and known + draw(st.sampled_from(others))
    more += draw(st.sampled_from(["", ', blanks = ["null"]']))
    if (clear or custom) and draw(st.booleans()):
        more += ', blank = "clear"'
    return f'"{one}"' if way == "plain" and not more and not custom else f"{{ {source}{more} }}"


def _draw_person(draw: st.DrawFn, sheet: Sheet, *, many: bool) -> str:
    by = draw(st.sampled_from(["key", "userPrincipalName", "mail"]))
    good = st.sampled_from(
        ["E1", "E2", "E9"] if by == "key" else ["e1@contoso.com", "E2@contoso.com", "no@contoso.com"]
    )
    column = sheet.column(st.lists(good, max_size=3).map(";".join) if many else good)
    listed = ', list = ";"' if many else ""
    relationship = draw(st.sampled_from(["manager", "colleague", "other"]))
    return f'{{ person = "{column}", by = "{by}"{listed}, relationship = "{relationship}" }}'


@st.composite
def _nights(draw: st.DrawFn) -> tuple[Sheet, list[dict[str, str]]]:
    """Draw a mapping, and what HR's file says under it: mostly what belongs there."""
    sheet = draw(_sheets())
    rows = []
    for number in range(1, draw(st.integers(2, 4)) + 1):
        row = {"EmployeeId": f"E{number}", "UserPrincipalName": f"e{number}@contoso.com"}
        good_row = draw(st.sampled_from([True, True, False]))
        for name, good in sheet.columns.items():
            row[name] = draw(good if good_row else good | good | st.just("") | _TEXT)
        rows.append(row)
    return sheet, rows


# --- what Graph makes of it -------------------------------------------------------------------------------------------


def _sent(world: World, contract: str, labels: dict[str, str]) -> dict[str, dict[str, list[Any]]]:
    """Return, by UPN and label, the entities in the items that Graph holds; ``labels`` by property."""
    found: dict[str, dict[str, list[Any]]] = {}
    for body in world.graph.items.values():
        properties = {name: value for name, value in body["properties"].items() if "@" not in name}
        entities: dict[str, list[Any]] = {"custom": []}
        for name, value in properties.items():
            label = labels.get(name) if contract == "labels" else PREVIEW_NAMES.get(name)
            if name in {"account", "accounts", "oid", "connectionId", "externalId"}:
                continue
            if label is None:
                entities["custom"].append((name, value))
            else:
                texts = value if isinstance(value, list) else [value]
                entities[label] = [one for text in texts for one in _listed(json.loads(text))]
        account = _listed(json.loads(properties["account" if contract == "labels" else "accounts"]))[0]
        found[account["userPrincipalName"]] = entities
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _holds(shown: Any, sent: Any) -> bool:
    """Tell whether everything that was sent shows; what others say may stand beside it."""
    if isinstance(sent, dict):
        return isinstance(shown, dict) and all(name in shown and _holds(shown[name], sent[name]) for name in sent)
    return bool(shown == sent)


def _blanks(value: Any) -> list[Any]:
    """Return the empty lists and objects in a value: nothing may be sent that says nothing."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [blank for one in inner for blank in _blanks(one)] if value else [value]
    return []


async def _a_night(sheet: Sheet, rows: list[dict[str, str]]) -> tuple[World, dict[str, Any]]:
    world = World()
    await world.containers.state.write("mapping.toml", sheet.text.encode())
    world.decide(MAPPING="blob:mapping.toml", LEAVER_GRACE_EXPORTS="0")
    await world.setup()
    return world, await world.night(rows)


@given(night=_nights())
@settings(max_examples=settings().max_examples // 4, suppress_health_check=list(HealthCheck))
def test_what_is_accepted_shows_on_profiles_whole(contract, night):
    """Every entity that is sent fits its model, is read by Graph without a loss, and stands on the profile."""
    sheet, rows = night
    try:
        mapping = load_mapping("ours", sheet.text.encode())
    except ConfigurationError as error:
        pytest.fail(f"{error}\n{sheet.text}")
    labels = {part.name: part.label for part in mapping.file.property if part.label}

    world, report = asyncio.run(_a_night(sheet, rows))

    profiles = world.profiles()  # nothing was ignored in silence
    assert report["failed"] == report["unmatched"] == 0
    assert report["created"] + report["rejected"] == len(rows)
    sent = _sent(world, contract, labels)
    assert len(sent) == report["created"]
    for upn, entities in sent.items():
        shown = profiles[upn]
        assert dict(entities.pop("custom")) == shown.get("custom", {})
        for label, several in entities.items():
            current = several[:1] if label == "personCurrentPosition" else several
            for entity in several:
                LABELS[label].entity.model_validate_json(json.dumps(entity))
                assert not _blanks(entity)
            assert all(_holds(one, entity) for one, entity in zip(_listed(shown[label]), current, strict=False))
            assert len(current) <= len(_listed(shown[label]))
    for row in rows:
        _plain_cells_arrive(sheet, row, sent.get(row["UserPrincipalName"]), labels)


def _plain_cells_arrive(sheet: Sheet, row: dict[str, str], sent: Any, labels: dict[str, str]) -> None:
    """Check that the text of a field without any more to it is what the cell says."""
    if sent is None:
        return
    for (name, path), column in sheet.plain.items():
        text = row[column].strip()
        text = "" if text.casefold() in {"n/a", "-"} else text
        label = labels[name]
        if label == "personWorkPositions":
            continue
        entity: Any = (sent.get(label) or [{}])[0]
        for step in path.split("."):
            entity = entity.get(step, {}) if isinstance(entity, dict) else {}
        assert (entity or "") == text
