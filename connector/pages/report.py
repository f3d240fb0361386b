"""The run report as a page: one HTML file that HR can open, print and forward, and that refers to nothing outside it.

It is made from the report's JSON (interface §6), so a report of another release, or one with members missing, gives a
page too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from connector.core.report import Counts
from connector.pages import words

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jinja2 import Template


def report_page(body: Mapping[str, Any]) -> bytes:
    """Return a report's JSON as an HTML file in UTF-8.

    Whatever the report holds is text to the page, never markup.
    """
    report = _read(body)
    page = _template().render(
        report=report,
        outcome=words.OUTCOMES.get(report.outcome, words.UNKNOWN_OUTCOME),
        sentence=_sentence(report),
        findings=list(_findings(report)),
        steps=_steps(report),
        commands=_commands(report),
        tiles=list(_tiles(report.counts)),
        problems=list(_problems(report)),
        rows=list(_rows(report)),
        rows_caption=_caption(
            len(report.rows), report.counts.rejected, "The first row below the header is row 1.", "rows"
        ),
        unmatched=list(_unmatched(report)),
        unmatched_caption=_caption(
            len(report.unmatched_people),
            report.counts.unmatched,
            "They are not sent. Entra is asked again every day.",
            "people",
        ),
        lists=list(_lists(report)),
        started=_moment(report.started),
        warnings=list(_warnings(report)),
        guards=list(_guards(report)),
        export=list(_export_facts(report)),
        operation=list(_operation(report)),
    )
    return page.encode("utf-8", "replace")


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """A report's JSON, read without trust: what is missing or of another type counts as empty.

    ``tripped`` are the guards that stand in the way, ``released`` those that would if nobody had approved it.
    """

    run: str
    connection: str
    trigger: str
    outcome: str
    counts: Counts
    error_code: str
    error_message: str
    error_file: str
    fault: words.Fault
    export: Mapping[str, Any]
    warnings: Mapping[str, Any]
    guards: tuple[Mapping[str, Any], ...]
    tripped: frozenset[str]
    released: tuple[str, ...]
    graph: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    unmatched_people: tuple[Mapping[str, Any], ...]
    missing_people: tuple[Mapping[str, Any], ...]
    held_people: tuple[Mapping[str, Any], ...]
    failed_people: tuple[Mapping[str, Any], ...]
    drifted_people: tuple[Mapping[str, Any], ...]
    quarantine: str
    quarantines: tuple[str, ...]
    reasons: tuple[str, ...]
    plan: str
    approved: Mapping[str, Any]
    slices: int
    started: str
    finished: str


def _read(body: Mapping[str, Any]) -> _Read:
    error, guards = _mapping(body.get("error")), _mappings(body.get("guards"))
    return _Read(
        run=_text(body.get("run")),
        connection=_text(body.get("connection")),
        trigger=_text(body.get("trigger")),
        outcome=_text(body.get("outcome")),
        counts=Counts(**{field.name: _number(body.get(field.name)) for field in fields(Counts)}),
        error_code=_text(error.get("code")),
        error_message=_text(error.get("message")),
        error_file=_text(error.get("file")),
        fault=words.fault(_text(error.get("code"))),
        export=_mapping(body.get("export")),
        warnings=_mapping(body.get("warnings")),
        guards=guards,
        tripped=frozenset(_text(guard.get("name")) for guard in guards if _stands(guard)),
        released=tuple(_text(guard.get("name")) for guard in guards if _is_released(guard)),
        graph=_mapping(body.get("graph")),
        rows=_mappings(body.get("rows")),
        unmatched_people=_mappings(body.get("unmatched_people")),
        missing_people=_mappings(body.get("missing_people")),
        held_people=_mappings(body.get("held_people")),
        failed_people=_mappings(body.get("failed_people")),
        drifted_people=_mappings(body.get("drifted_people")),
        quarantine=_text(body.get("quarantine")),
        quarantines=_texts(body.get("quarantines")),
        reasons=_texts(body.get("reasons")),
        plan=_text(body.get("plan")),
        approved=_mapping(body.get("approved")),
        slices=_number(body.get("slices")),
        started=_text(body.get("started")),
        finished=_text(body.get("finished")),
    )


def _stands(guard: Mapping[str, Any]) -> bool:
    return guard.get("tripped") is True and guard.get("released") is not True


def _is_released(guard: Mapping[str, Any]) -> bool:
    return guard.get("tripped") is True and guard.get("released") is True


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) and isfinite(value) else 0


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> tuple[Mapping[str, Any], ...]:
    return tuple(each for each in value if isinstance(each, Mapping)) if isinstance(value, list | tuple) else ()


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list | tuple) else ()


# --- saying ---------------------------------------------------------------------------------------------------------


def _sentence(report: _Read) -> str:
    """Return what happened in one plain sentence."""
    counts, done = report.counts, _done(report.counts)
    match report.outcome:
        case "unchanged":
            begin = "Nothing had to be sent"
        case "held":
            waiting = _several(counts.held, "removal waits", "removals wait")
            waiting += " for a decision" if "deletions" in report.tripped else " for an export that can be read in full"
            begin = f"{done}; {waiting}" if done else waiting
        case "refused":
            begin = f"The export was refused and nothing was changed: {report.fault.short}"
        case "partial":
            begin = f"The run is not finished yet: {done or 'nobody was added, updated or removed so far'}"
        case "superseded":
            begin = (
                f"Something newer took this run's place; before that, {done or 'nobody was added, updated or removed'}"
            )
        case "failed":
            begin = f"The run stopped: {report.fault.short}; before that, {done or 'no change was confirmed'}"
        case "completed":
            begin = done or "Nobody was added, updated or removed"
        case _:
            begin = done or "The report does not say what happened"
    parts = [begin]
    if counts.failed:
        parts.append(_several(counts.failed, "person could not be sent", "people could not be sent"))
    if counts.rejected and report.outcome != "refused":
        parts.append(_several(counts.rejected, "row needs mending", "rows need mending"))
    return "; ".join(parts) + "."


def _findings(report: _Read) -> Iterator[dict[str, str]]:
    """Yield what the guards have found that stand in the way: of the whole export, or of the removals."""
    in_the_way = report.tripped & words.VERDICTS.keys() if report.outcome == "held" else _refusing(report)
    for guard in report.guards if report.outcome in {"held", "refused"} else ():
        if _text(guard.get("name")) in in_the_way:
            yield {
                "name": _word(words.GUARDS, guard.get("name")),
                "found": _text(guard.get("found")),
                "limit": _text(guard.get("limit")),
            }


def _refusing(report: _Read) -> frozenset[str]:
    return report.tripped - words.VERDICTS.keys()


def _done(counts: Counts) -> str:
    """Return what was done to people, such as "40 people were added, 55 updated"; "" for nothing."""
    done = [(counts.created, "added"), (counts.updated, "updated"), (counts.deleted, "removed")]
    done = [(count, verb) for count, verb in done if count]
    if not done:
        return ""
    (count, verb), *others = done
    return ", ".join([_several(count, "person was", "people were") + f" {verb}", *(f"{n:,} {v}" for n, v in others)])


def _steps(report: _Read) -> dict[str, list[str]]:
    """Return what is to be done now, by who does it: people first."""
    steps: dict[str, list[str]] = {}
    found = [*_outcome_steps(report), *_people_steps(report)]
    for who in get_args(words.Who):
        for text in (text for doer, text in found if doer == who):
            steps.setdefault(who, []).append(text)
    return steps


def _outcome_steps(report: _Read) -> Iterator[tuple[words.Who, str]]:
    match report.outcome:
        case "refused":
            yield from ((fault.who, fault.remedy) for fault in _faults(report))
            if report.fault.who == "HR":
                yield "HR", "Then drop the mended export. The same file is not tried again unless settings change."
            yield from _approval_steps(report)
            tripped = sorted(_refusing(report))
            moved = dict.fromkeys(name for guard in tripped for name in words.GUARD_SETTINGS.get(guard, ()))
            if moved:
                yield (
                    "Operator",
                    f"If such exports are usual, change {' or '.join(moved)}. Then the file is taken up again.",
                )
        case "failed":
            yield report.fault.who, report.fault.remedy
            yield (
                "By itself",
                "The run is tried again: soon, then less and less often. A newer export is tried at once.",
            )
        case "held":
            yield from _held_steps(report)
        case "partial":
            yield "By itself", "The run goes on at the next tick."
        case "superseded":
            yield "By itself", "The next run deals with the rest. Look at its report."
        case "completed" | "unchanged":
            pass
        case _:
            yield "Operator", "Another release wrote this report. Read its JSON file, or let that release show it."


def _faults(report: _Read) -> Iterator[words.Fault]:
    """Yield the words for all that is wrong with an export: what its error says first, then what else was found."""
    refusing = _refusing(report)
    codes = (_text(guard.get("code")) for guard in report.guards if _text(guard.get("name")) in refusing)
    yield from dict.fromkeys((report.fault, *map(words.fault, filter(None, codes))))


def _approval_steps(report: _Read) -> Iterator[tuple[words.Who, str]]:
    """Yield who may let the export pass, and what became of an approval that was not enough."""
    if not _may_be_approved(report):
        return
    if report.released:
        passed, stands = (_titles(names, report) for names in (report.released, _refusing(report)))
        by = _text(report.approved.get("by")) or "Somebody"
        yield "Operator", f"{by} approved this export, and that counted: {passed}. What else was found then: {stands}."
        yield "Operator", "If the export is right in this as well, approve it once more as below."
    elif _refusing(report) == {"mapping"}:
        yield "Operator", "If the mapping is meant so, approve it as below. Then it is carried out."
    else:
        yield "Operator", "If HR says that the export is right, approve it as below. Then this file is taken."


def _titles(names: Collection[str], report: _Read) -> str:
    told = (_text(guard.get("name")) for guard in report.guards)
    return ", ".join(f"“{_word(words.GUARDS, name)}”" for name in told if name in names)


def _held_steps(report: _Read) -> Iterator[tuple[words.Who, str]]:
    if report.released:
        by = _text(report.approved.get("by")) or "Somebody"
        yield "Operator", f"{by} approved the export, and that counted: it was taken. Removals want another approval."
    if "deletions" in report.tripped:
        yield "HR", "Check whether so many people really left. If not, drop a mended complete export."
        yield (
            "Operator",
            "If HR says that they left, approve the removals as below. The next run removes exactly these people.",
        )
        yield "Operator", f"If so many leave time and again, raise {' or '.join(words.GUARD_SETTINGS['deletions'])}."
    if "deletions" not in report.tripped or "unreadable_keys" in report.warnings:
        yield "HR", "Mend the rows whose key cannot be read. Then drop the whole export again, with nobody missing."


def _may_be_approved(report: _Read) -> bool:
    """Tell whether somebody may release what this run held or refused: a guard's finding, never an unusable file."""
    return bool(report.plan) and (report.outcome == "held" or (report.outcome == "refused" and bool(_refusing(report))))


def approve_command(body: Mapping[str, Any]) -> list[str]:
    """Return what an operator pastes at the command line to approve what this report tells of; none if nobody can."""
    return _commands(_read(body))[:1]


def _commands(report: _Read) -> list[str]:
    """Return what an operator pastes to approve it: at the command line, or over HTTP."""
    if not _may_be_approved(report) or not _NAMES_OF_OURS.fullmatch(f"{report.run} {report.plan}"):
        return []
    body = f'{{"plan": "{report.plan}", "by": "YOUR NAME"}}'
    return [
        f'python -m connector approve {report.run} --plan {report.plan} --by "YOUR NAME"',
        f'curl -X POST -H "x-functions-key: $KEY" -d \'{body}\' "$URL/runs/{report.run}/approve"',
    ]


_NAMES_OF_OURS: Final = re.compile(r"[0-9A-Za-z-]+ sha256:[0-9a-f]+")
"""A run and a plan as we call them: whatever else a report says belongs in no command that people paste."""


def _people_steps(report: _Read) -> Iterator[tuple[words.Who, str]]:
    counts = report.counts
    if report.outcome == "refused":
        return
    if counts.rejected and report.quarantine:
        several = len(report.quarantines) > 1
        files = "quarantine files and drop them" if several else "quarantine file and drop it"
        yield "HR", f"Mend the rejected rows in the {files} among the exports."
        yield "HR", "Mend them in the HR system too, or the next export has them again."
    elif counts.rejected:
        yield "HR", "Mend the rejected rows in the HR system. The next export brings them."
    if counts.unmatched:
        yield "HR", "Check the user principal names of the people without an account."
    if counts.grace:
        yield (
            "HR",
            "Some people are missing from the export. If they left, do nothing. If not, put them into the next one.",
        )
    if counts.failed:
        yield "Operator", "Look for “item.failed” in the log. Whoever could not be sent is tried again by itself."


def _tiles(counts: Counts) -> Iterator[dict[str, Any]]:
    """Yield the counts: number, what it counts, what that means, and how loud it is; none of a file never read."""
    if counts == Counts():
        return
    transferred = f"{counts.transferred:,} of them moved to another key" if counts.transferred else "profile taken away"
    for number, name, hint, tone in (
        (counts.people, "people in the file", "rows that were accepted", "count"),
        (counts.unchanged, "unchanged", "nothing to send", "count"),
        (counts.created, "added", "new profiles", "good"),
        (counts.updated, "updated", "profiles changed", "good"),
        (counts.deleted, "removed", transferred, "good"),
        (counts.held, "held", "removals that wait", "wait"),
        (counts.failed, "failed", "not sent, tried again", "bad"),
        (counts.unmatched, "without account", "not sent", "wait"),
        (counts.grace, "missing", "in grace: kept for now", "wait"),
        (counts.rejected, "rejected rows", "those people stay as they are", "bad"),
        (counts.out_of_scope, "out of scope", "left out by the mapping", "count"),
    ):
        yield {"number": f"{number:,}", "name": name, "hint": hint, "tone": tone if number else "none"}


def _problems(report: _Read) -> Iterator[dict[str, Any]]:
    """Yield each kind of problem among the listed rows, the most frequent first, with its remedy."""
    found: dict[str, int] = {}
    for row in report.rows:
        for code in dict.fromkeys(_texts(row.get("codes"))):
            found[code] = found.get(code, 0) + 1
    for code, count in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        known = words.ROW_CODES.get(code, words.RowWords(code, "", ""))
        yield {"code": code, "count": f"{count:,}", "name": known.name, "remedy": known.remedy}


def _rows(report: _Read) -> Iterator[dict[str, Any]]:
    for row in report.rows:
        yield {
            "number": _text(row.get("row")),
            "key": _text(row.get("key")),
            "codes": _texts(row.get("codes")),
            "message": _text(row.get("message")),
            "file": _text(row.get("file")),
        }


def _unmatched(report: _Read) -> Iterator[dict[str, str]]:
    for person in report.unmatched_people:
        yield {"key": _text(person.get("key")), "reason": _word(words.UNMATCHED, person.get("reason"))}


def _lists(report: _Read) -> Iterator[dict[str, Any]]:
    """Yield whom the counts of held, failed and missing people are about."""
    counts = report.counts
    for name, title, manner, people, counted in (
        (
            "held",
            "Removals that wait",
            "Nobody of them is removed before somebody approves it.",
            report.held_people,
            counts.held,
        ),
        (
            "failed",
            "People who could not be sent",
            "They are tried again by themselves.",
            report.failed_people,
            counts.failed,
        ),
        (
            "drifted",
            "People whose entry was not as it was sent",
            "They are sent again by themselves.",
            report.drifted_people,
            len(report.drifted_people),
        ),
        ("missing", "People missing from the export", "They are kept for now.", report.missing_people, counts.grace),
    ):
        if people:
            rows = [
                {"key": _text(each.get("key")), "reason": _word(words.PEOPLE, each.get("reason"))} for each in people
            ]
            yield {
                "name": name,
                "title": title,
                "caption": _caption(len(rows), counted, manner, "people"),
                "people": rows,
            }


def _caption(listed: int, counted: int, manner: str, noun: str) -> str:
    """Return how a list is to be read, and how much of it is shown."""
    return f"{manner} The first {listed:,} of {counted:,} {noun} are listed." if listed < counted else manner


def _warnings(report: _Read) -> Iterator[str]:
    for code, value in report.warnings.items():
        count = len(value) if isinstance(value, list | tuple) else _number(value)
        if not count:
            continue
        yield words.warning(code, count)


def _guards(report: _Read) -> Iterator[dict[str, Any]]:
    for guard in report.guards:
        name, tripped, released = _text(guard.get("name")), guard.get("tripped") is True, _is_released(guard)
        yield {
            "name": _word(words.GUARDS, name),
            "limit": _text(guard.get("limit")),
            "found": _text(guard.get("found")),
            "verdict": words.RELEASED
            if released
            else words.VERDICTS.get(name, words.STOPPED)
            if tripped
            else words.PASSED,
            "tone": "good" if not tripped else "wait" if released or name in words.VERDICTS else "bad",
        }


def _export_facts(report: _Read) -> Iterator[tuple[str, str]]:
    """Yield what is known about the file."""
    export = report.export
    known = (
        ("File", _text(export.get("name"))),
        ("Kind", _word(words.KINDS, export.get("kind"))),
        ("Rows", f"{_number(export['rows']):,}" if export.get("rows") else ""),
        ("Encoding", _text(export.get("encoding")).upper()),
        ("Delimiter", _word(words.DELIMITERS, export.get("delimiter"))),
        ("Lines skipped", _skipped(export)),
        ("Rows that repeat another", _counted(export, "identical_rows")),
        ("Rows that do not count", _counted(export, "outranked_rows")),
        ("Rows out of scope", _counted(export, "out_of_scope_rows")),
        ("Columns not used", ", ".join(_texts(export.get("ignored_columns")))),
        ("Columns missing", ", ".join(_texts(export.get("missing_columns")))),
        ("SHA-256", _text(export.get("sha256"))),
        ("ETag", _text(export.get("etag"))),
    )
    yield from ((name, value) for name, value in known if value)
    for number, file in enumerate(_mappings(export.get("files")), start=1):
        look = (_text(file.get("encoding")).upper(), _word(words.DELIMITERS, file.get("delimiter")), _skipped(file))
        described = (_text(file.get("name")), _several(_number(file.get("rows")), "row", "rows"), *filter(None, look))
        yield f"File {number}", " · ".join(described)
    if export.get("new") is False:
        yield "Read before", "yes: no new file, the last one was gone through again"


def _skipped(export: Mapping[str, Any]) -> str:
    """Return the numbers of the lines that are neither header nor data; of many, the first."""
    count = _number(export.get("skipped"))
    lines = export.get("skipped_lines")
    listed = ", ".join(str(line) for line in lines if isinstance(line, int)) if isinstance(lines, list) else ""
    where = "line" if count == 1 else "lines"
    return f"{count:,} (in {where} {listed}{', …' if listed.count(',') + 1 < count else ''})" if count else ""


def _counted(export: Mapping[str, Any], fact: str) -> str:
    count = _number(export.get(fact))
    return f"{count:,}" if count else ""


def _operation(report: _Read) -> Iterator[tuple[str, str]]:
    """Yield what the operator wants to know about the run."""
    graph, seconds = report.graph, report.graph.get("seconds")
    known = (
        ("Run", report.run),
        ("Connection", report.connection),
        ("Started", _moment(report.started)),
        ("Finished", _moment(report.finished) if report.finished else "not yet"),
        ("Took", _duration(report.started, report.finished)),
        ("Started by", _word(words.TRIGGERS, report.trigger)),
        ("Because of", ", ".join(_word(words.REASONS, reason) for reason in report.reasons)),
        ("Invocations", f"{report.slices:,}" if report.slices else ""),
        ("Graph requests", f"{_number(graph['requests']):,}" if "requests" in graph else ""),
        ("Throttled by Graph", _several(_number(graph["throttled"]), "time", "times") if "throttled" in graph else ""),
        ("Seconds with Graph", f"{seconds:,.1f}" if isinstance(seconds, int | float) else ""),
        ("Plan", report.plan),
        ("Approved by", _text(report.approved.get("by"))),
        ("Approved at", _moment(_text(report.approved.get("when")))),
        ("Approved plan", _text(report.approved.get("plan"))),
    )
    yield from ((name, value) for name, value in known if value)


def _several(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _word(known: Mapping[str, str], code: object) -> str:
    return known.get(_text(code), _text(code))


def _moment(value: str) -> str:
    moment = _parsed(value)
    return f"{moment.day} {moment:%B %Y, %H:%M:%S} UTC" if moment else value


def _duration(started: str, finished: str) -> str:
    begin, end = _parsed(started), _parsed(finished)
    if begin is None or end is None or end < begin:
        return ""
    minutes, seconds = divmod(round((end - begin).total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "hour", "hours"), (minutes, "minute", "minutes"), (seconds, "second", "seconds"))
    return " ".join(_several(*part) for part in parts if part[0]) or "less than a second"


def _parsed(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")
