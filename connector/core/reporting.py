"""What a run's report tells of each of its stages: the report goes in, and comes out with more in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from connector.core.due import passed_over
from connector.core.plan import Delete, Upsert
from connector.core.report import MAX_LISTED, Counts, ListedRow, Outcome, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connector.core.accounts import Matching
    from connector.core.due import Dropped
    from connector.core.head import ExportMark
    from connector.core.mapping import Person
    from connector.core.plan import Plan, Progress
    from connector.core.population import FileRead, Reading


def outcome_of(plan: Plan) -> Outcome:
    """Return the outcome of a run that has carried out its plan."""
    return "held" if plan.held else "completed" if plan.actions else "unchanged"


def with_warnings(report: Report, warnings: Mapping[str, int]) -> Report:
    added = {code: count for code, count in warnings.items() if count}
    return replace(report, warnings={**report.warnings, **added})


def with_reading(report: Report, reading: Reading) -> Report:
    several = len(reading.files) > 1
    rejected = ((file.name if several else "", each) for file in reading.files for each in file.rejections)
    listed = tuple(
        ListedRow(
            rejection.row,
            rejection.key,
            tuple(dict.fromkeys(problem.code for problem in rejection.problems)),
            "; ".join(problem.message for problem in rejection.problems),
            file,
        )
        for file, rejection in islice(rejected, MAX_LISTED)
    )
    counts = replace(
        report.counts,
        people=reading.population.in_scope,
        rejected=len(reading.rejections),
        out_of_scope=reading.population.out_of_scope,
    )
    report = replace(report, export={**(report.export or {}), **reading.facts}, counts=counts, rows=listed)
    missing = len(reading.facts["missing_columns"])
    return with_warnings(report, {"missing_columns": missing, "unreadable_keys": reading.population.unreadable})


def with_changes(report: Report, last: ExportMark | None, reading: Reading) -> Report:
    """Return the report with a warning for everything about the files that was otherwise in the last applied export.

    Files of a set are compared with those that stood in their place; the report says of each what changed.
    """
    changed = [_changes(before, file) for before, file in zip(last.files if last else (), reading.files, strict=False)]
    warnings = Counter(change for changes in changed for change in changes)
    if len(reading.files) > 1 and warnings:
        export = report.export or {}
        changed += [[]] * (len(reading.files) - len(changed))
        files = [{**file, "changes": changes} for file, changes in zip(export["files"], changed, strict=True)]
        report = replace(report, export={**export, "files": files})
    return with_warnings(report, warnings)


def _changes(before: ExportMark, file: FileRead) -> list[str]:
    if not before.encoding:
        return []
    facts = file.facts
    changed = {
        "encoding_changed": before.encoding != facts["encoding"],
        "delimiter_changed": before.delimiter != facts["delimiter"],
        "skipped_lines_changed": before.skipped != facts["skipped"],
    }
    return [change for change, found in changed.items() if found]


def with_older(report: Report, export: ExportMark | None, others: Iterable[Dropped]) -> Report:
    """Return the report with a warning for the exports that are passed over, since ``export`` is newer and complete."""
    older = passed_over(export, others) if export and not export.partial else []
    if not older:
        return report
    report = replace(report, export={**(report.export or {}), "passed_over": older[:MAX_LISTED]})
    return with_warnings(report, {"older_export": len(older)})


def with_matching(report: Report, matching: Matching, wanted: Iterable[Person]) -> Report:
    listed = _listed(
        (person.key, matching.unmatched[person.key]) for person in wanted if person.key in matching.unmatched
    )
    return with_warnings(replace(report, unmatched_people=listed), matching.warnings)


def with_outcomes(report: Report, plan: Plan, progress: Progress) -> Report:
    """Return the report with the counts of a plan as far as it got, and with whom they are about."""
    unhappy = [(plan.actions[index], outcome) for index, outcome in progress.outcomes.items() if outcome]
    kept = sum(_is_former(action) for action, _ in unhappy)
    failed = (
        (action.after.key if isinstance(action, Upsert) else action.entry.key, outcome)
        for action, outcome in unhappy
        if not _is_former(action)
    )
    return replace(
        with_warnings(report, {"former_item_kept": kept}),
        counts=_counted(report.counts, plan, progress),
        held_people=_listed((delete.entry.key, delete.reason) for delete in plan.held),
        missing_people=_listed((key, "absent") for key in plan.missing),
        failed_people=_listed(failed),
    )


def _counted(counts: Counts, plan: Plan, progress: Progress) -> Counts:
    created = updated = deleted = failed = transferred = 0
    for index, outcome in progress.outcomes.items():
        action = plan.actions[index]
        if _is_former(action):
            continue
        if outcome:
            failed += 1
        elif isinstance(action, Upsert):
            created += action.created
            updated += not action.created
        else:
            deleted += 1
            transferred += action.reason == "transferred"
    return replace(
        counts,
        people=plan.people,
        unchanged=plan.unchanged,
        unmatched=plan.unmatched,
        created=created,
        updated=updated,
        deleted=deleted,
        held=len(plan.held),
        failed=failed,
        grace=plan.grace,
        transferred=transferred,
        out_of_scope=plan.out_of_scope,
    )


def _is_former(action: Upsert | Delete) -> bool:
    """Tell whether an action only clears up after a renaming: the person counts by the new item."""
    return isinstance(action, Delete) and action.reason == "renamed"


def _listed(people: Iterable[tuple[str, str]]) -> tuple[dict[str, str], ...]:
    return tuple({"key": key, "reason": reason} for key, reason in islice(people, MAX_LISTED))
