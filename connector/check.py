"""Check a mapping, and what it makes of files, offline: the same reading as a sync's, and nothing is sent.

Personal data is in what this returns, on purpose: it is for the terminal of whoever has the files anyway.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from connector.clock import SystemClock, day_in
from connector.core.accounts import Known, asked_by, is_referred
from connector.core.contracts import ContractName, contract_of
from connector.core.guards import rejected_rows
from connector.core.mapping import load_mapping
from connector.core.mapping.file import ColumnField, ConstantField, PersonField, compared
from connector.core.population import ExportFile, is_correction, read_population, rows_of
from connector.core.quarantine import quarantine_file
from connector.errors import BadRequest, ConfigurationError, ExportError
from connector.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from connector.core.mapping import BoundMapping, Mapping, Person, PropertyPart, Rejection
    from connector.core.mapping.file import FieldSpec, TextSource
    from connector.core.population import Reading

FIRST_ROWS: Final = 3
"""Rows that are shown of each kind of mistake."""

MAX_REJECT_PERCENT: Final = float(Settings.model_fields["max_reject_percent"].default)


@dataclass(frozen=True, slots=True)
class Question:
    """What to check: a mapping, and with which files. Several files are one population.

    ``people``: how many to show. ``today``: the day it is taken to be; None: today, where the mapping says it is.
    """

    mapping: Path
    files: tuple[Path, ...] = ()
    contract: ContractName = "labels"
    people: int = 3
    today: date | None = None


def check(question: Question) -> dict[str, Any]:
    """Return what a mapping makes: its schema, and of files how they were read, whom they speak of, and profiles.

    ``usable`` tells whether a sync would take it; if not, ``error`` says why, with ``advice`` where a setting helps.

    Raises:
        ConfigurationError: the mapping is wrong.
        BadRequest: a file is not there.
    """
    mapping = _mapping(question)
    body: dict[str, Any] = {"mapping": _described(mapping, question.contract), "usable": True}
    if question.files:
        try:
            reading = _reading(mapping, question)
        except ExportError as error:
            where = _culprit(mapping, question)
            return body | {"usable": False, "error": {"code": error.code, "message": f"{where}{error.message}"}}
        body |= _read(mapping, question, reading)
    return body


def write_quarantine(question: Question, out: Path) -> list[str]:
    """Write the rejected rows for HR, a file for each file that has some; return their names.

    Raises:
        BadRequest: such a file is there already, or cannot be written.
    """
    reading = _reading(_mapping(question), question)
    written: list[str] = []
    for number, file in enumerate(reading.files, start=1):
        if not file.rejections:
            continue
        path = out if len(reading.files) == 1 else out.with_stem(f"{out.stem}-{number}")
        data = quarantine_file(file.header, file.rejections, delimiter=file.delimiter, encoding=file.encoding)
        try:
            with path.open("xb") as stream:
                stream.write(data)
        except OSError as error:
            raise BadRequest(f"{path} cannot be written: {error.strerror}") from error
        written.append(str(path))
    return written


# --- the mapping ------------------------------------------------------------------------------------------------------


def _mapping(question: Question) -> Mapping:
    try:
        text = question.mapping.read_bytes()
    except OSError as error:
        raise BadRequest(f"{question.mapping} cannot be read: {error.strerror}") from error
    mapping = load_mapping(question.mapping.name, text)
    problems = [f"mapping {mapping.name}: {each}" for each in contract_of(question.contract).problems(mapping)]
    if problems:
        raise ConfigurationError(problems)
    return mapping


def _described(mapping: Mapping, contract: ContractName) -> dict[str, Any]:
    file = mapping.file
    schema, name_of = contract_of(contract).schema(mapping)["properties"], contract_of(contract).name_of
    types = {made["name"]: made["type"] for made in schema}
    return {
        "name": mapping.name,
        "description": file.description,
        "contract": contract,
        "columns": list(mapping.columns),
        "key": _source(file.key),
        "account": {"match": file.account.match, "from": _source(file.account)},
        "properties": [
            {
                "name": name_of(part),
                "label": part.label,
                "type": types[name_of(part)],
                "fields": list(_fields(part)),
            }
            for part in file.property
        ],
        "schema": schema,
    }


def _fields(part: PropertyPart) -> Iterator[dict[str, Any]]:
    if part.label == "personAccount":
        yield {"from": "the matched Entra user"}
    elif part.label is None:
        yield {"from": _spec(part.value or part.column or "")}
    for number, group in enumerate(part.groups, start=1):
        for path, spec in group.items():
            yield {"entity": number, "field": path, "from": _spec(spec)}


def _spec(spec: FieldSpec) -> str:
    """Say in a few words what fills a field."""
    if isinstance(spec, str):
        return _column(spec)
    if isinstance(spec, ConstantField):
        return f"always {str(spec.constant).lower() if isinstance(spec.constant, bool) else spec.constant}"
    if isinstance(spec, PersonField):
        several = f", parts at {spec.list!r}" if spec.list else ""
        return f"{spec.relationship}, by {spec.by} in {_source(spec)}{several}"
    ways = [_source(spec)]
    if isinstance(spec, ColumnField):
        ways += [f"one entity per part at {spec.split!r}"] if spec.split else []
        ways += [f"list of parts at {spec.list!r}"] if spec.list else []
        ways += ["blank clears"] if spec.blank == "clear" else []
    return ", ".join(ways)


def _source(source: TextSource) -> str:
    if source.template is not None:
        text = repr(source.template)
    else:
        text = (source.join or " ").join(map(_column, source.reads)) if source.columns else _column(source.named)
    steps = [name for name in ("extract", "translate") if getattr(source, name)] + (
        [source.case] if source.case else []
    )
    return f"{text} ({', '.join(steps)})" if steps else text


def _column(name: str) -> str:
    return f"[{name}]"


# --- the files --------------------------------------------------------------------------------------------------------


def _files(question: Question) -> list[ExportFile]:
    for path in question.files:
        if not path.is_file():
            raise BadRequest(f"{path} is no file")
    return [_file(path, joins=number > 0) for number, path in enumerate(question.files)]


def _file(path: Path, *, joins: bool) -> ExportFile:
    return ExportFile(path.name, lambda: path.open("rb"), joins=joins)


def _today(mapping: Mapping, question: Question) -> date:
    return question.today or day_in(mapping.file.timezone, SystemClock().now())


def _reading(mapping: Mapping, question: Question) -> Reading:
    contract = contract_of(question.contract)
    files = _files(question)
    return read_population(
        files,
        mapping,
        complete=not any(_is_partial(file, mapping) for file in files),
        new=True,
        item_id=(lambda key, upn: contract.item_id("", key=key, upn=upn)) if contract.IDS_FOLLOW_ACCOUNTS else None,
        today=_today(mapping, question),
    )


def _culprit(mapping: Mapping, question: Question) -> str:
    """Return the name of the first file that cannot be read by itself, to put in front of what is wrong with it."""
    for path in question.files:
        try:
            _reading(mapping, replace(question, files=(path,)))
        except ExportError:
            return f"{path.name}: "
    return ""


def _is_partial(file: ExportFile, mapping: Mapping) -> bool:
    return mapping.is_partial(file.name) or is_correction(file)


def _read(mapping: Mapping, question: Question, reading: Reading) -> dict[str, Any]:
    files = _files(question)
    people = reading.population.people
    verdict = rejected_rows(reading.rows, len(reading.rejections), max_percent=MAX_REJECT_PERCENT)
    in_scope = {key: person for key, person in people.items() if not (person.outside or person.leaver)}
    on_leave, shown = _look_again(files, mapping, question, in_scope, reading)
    body: dict[str, Any] = {
        "today": _today(mapping, question).isoformat(),
        "complete": reading.population.complete,
        "files": [
            {"name": file.name, "partial": _is_partial(opened, mapping), "rejected": len(file.rejections)} | file.facts
            for file, opened in zip(reading.files, files, strict=True)
        ],
        "counts": {
            "rows": reading.rows,
            "in_scope": len(in_scope),
            "on_leave": on_leave,
            "leavers": sum(person.leaver and not person.outside for person in people.values()),
            "out_of_scope": reading.out_of_scope,
            "identical": reading.identical,
            "outranked": reading.outranked,
            "rejected": len(reading.rejections),
            "unreadable_keys": reading.population.unreadable,
        },
        "rejected": _rejected(reading),
        "references": _references(in_scope.values(), reading),
        "guard": asdict(verdict),
        "people": shown,
    }
    if verdict.tripped:
        message = f"{verdict.name}: found {verdict.found}; allowed: {verdict.limit}"
        share = math.ceil(100 * len(reading.rejections) / reading.rows)
        advice = f"If the files are as they should be, a sync takes them with another limit: MAX_REJECT_PERCENT={share}"
        body |= {"usable": False, "error": {"code": verdict.code, "message": message, "advice": advice}}
    return body


def _rejected(reading: Reading) -> list[dict[str, Any]]:
    """Return the rejected rows by code, most frequent first, each with its first rows."""
    found: dict[str, list[tuple[str, Rejection]]] = {}
    for file in reading.files:
        for rejection in file.rejections:
            found.setdefault(rejection.code, []).append((file.name, rejection))
    return [
        {
            "code": code,
            "rows": len(rows),
            "first": [
                {"file": name, "row": each.row, "key": each.key, "message": "; ".join(p.message for p in each.problems)}
                for name, each in rows[:FIRST_ROWS]
            ],
        }
        for code, rows in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def _references(people: Iterable[Person], reading: Reading) -> dict[str, int]:
    """Return how many others the people refer to, by where they are: an account alone is Entra's to know."""
    others = {key for person in people for key in person.references if key}
    accounts = {key for key in others if is_referred(key)}
    found = (others - accounts) & reading.population.people.keys()
    rejected = (others - accounts - found) & reading.population.rejected
    return {
        "in_files": len(found),
        "rejected": len(rejected),
        "missing": len(others - accounts - found - rejected),
        "by_account_only": len(accounts),
    }


def _look_again(
    files: Sequence[ExportFile], mapping: Mapping, question: Question, in_scope: dict[str, Person], reading: Reading
) -> tuple[int, list[dict[str, Any]]]:
    """Read the rows of those in scope again: count who is on leave, and make the first ones' profiles."""
    places = reading.population.files
    by_row = {(places.get(key, 0), person.row): person for key, person in in_scope.items()}
    says_leave = mapping.file.leave is not None or bool(mapping.file.status and mapping.file.status.on_leave)
    wanted = by_row if says_leave else dict(islice(sorted(by_row.items()), question.people))
    on_leave = 0
    shown: list[dict[str, Any]] = []
    for number, row, cells, bound in rows_of(files, mapping, wanted.keys(), today=_today(mapping, question)):
        leave = _is_on_leave(bound, cells)
        on_leave += leave
        if len(shown) < question.people:
            profile = _profile(by_row[number, row], cells, bound, question, reading)
            shown.append({"file": files[number].name} | profile | {"on_leave": leave})
    return on_leave, shown


def _is_on_leave(bound: BoundMapping, cells: Sequence[str]) -> bool:
    if bound.leave is not None and cells[bound.leave[0]].strip().casefold() in bound.leave[1]:
        return True
    status = bound.mapping.file.status
    words = compared(status.on_leave if status else ())
    return bound.status >= 0 and cells[bound.status].strip().casefold() in words


def _profile(
    person: Person, cells: Sequence[str], bound: BoundMapping, question: Question, reading: Reading
) -> dict[str, Any]:
    """Return a person as they are sent, as far as that is known without Entra: accounts are as they are asked for."""
    match, text = asked_by(person.account)
    others = [_known(reading.population.people.get(key)) for key in person.references]
    entities = bound.entities(cells, Known("", text), others)
    contract = contract_of(question.contract)
    accounts = {contract.name_of(part) for part in bound.mapping.file.property if part.label == "personAccount"}
    properties = contract.properties_of(bound.mapping, entities)
    return {
        "row": person.row,
        "key": person.key,
        "account": {match: text},
        "properties": {name: _without_ids(value) for name, value in properties.items() if name not in accounts},
    }


def _known(person: Person | None) -> Known | None:
    if person is None or person.leaver:
        return None
    return Known("", asked_by(person.account)[1])


def _without_ids(value: Any) -> Any:
    """Return what is sent without object ids, which Entra alone knows."""
    if isinstance(value, list):
        return [_without_ids(each) for each in value]
    if isinstance(value, dict):
        return {key: _without_ids(each) for key, each in value.items() if not (key == "userId" and each == "")}
    return value
