"""The report's page: what it says, to whom, and that it stays one harmless file."""

from __future__ import annotations

import ast
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import connector
from connector.core.accounts import Account, Found, Known, match_people, resolve_references
from connector.core.mapping import Person
from connector.core.report import Counts, ListedRow, Outcome, Report
from connector.errors import ConnectorError
from connector.pages import words
from connector.pages.report import report_page
from connector.settings import Settings

SOURCES = Path(connector.__file__).parent
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

HOSTILE = "</td><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;{{ 7 * 7 }}{% raw %}\u202e"

WHOLE = Report(
    run="20261123T020004Z-1a2b",
    connection="contosohr",
    trigger="timer",
    outcome="completed",
    started="2026-11-23T02:00:04Z",
    finished="2026-11-23T02:03:16Z",
    reasons=("new export",),
    export={
        "name": "people-2026-11-22.csv",
        "etag": "0x8DD1",
        "sha256": "9f" * 32,
        "kind": "complete",
        "new": True,
        "rows": 10123,
        "encoding": "utf-8",
        "delimiter": "\t",
        "skipped": 3,
        "skipped_lines": [1, 2, 10126],
        "ignored_columns": ["PayBand"],
        "missing_columns": ["Skills"],
    },
    counts=Counts(
        people=10120,
        rejected=3,
        unmatched=2,
        unchanged=10010,
        created=40,
        updated=55,
        deleted=4,
        grace=6,
        transferred=1,
    ),
    warnings={"missing_columns": 1, "account_disabled": 12},
    guards=(
        {"name": "rejected", "limit": "20 % of the rows", "found": "3 of 10123 rows", "tripped": False, "code": "x"},
        {"name": "deletions", "limit": "500", "found": "4 planned", "tripped": False, "code": ""},
    ),
    graph={"requests": 1101, "throttled": 2, "seconds": 6.123},
    unmatched_people=({"key": "C1024", "reason": "no_account"}, {"key": "C2044", "reason": "guest"}),
    rows=(
        ListedRow(15, "C1015", ("bad_date",), "HireDate is not a date such as 2021-03-01"),
        ListedRow(16, "", ("bad_row",), "it has 18 cells; the header has 19"),
        ListedRow(47, "C1047", ("missing_account", "bad_date"), "UserPrincipalName is blank"),
    ),
    quarantine="contosohr/people-2026-11-22.csv.20261123T020004Z-1a2b.rejected.csv",
).body()
"""A report with something in every member."""

DELETIONS_TRIPPED = {"guards": [{"name": "deletions", "limit": "500", "found": "812 planned", "tripped": True}]}
NOTHING: dict[str, Any] = dict.fromkeys(("rejected", "created", "updated", "deleted", "unmatched", "grace"), 0)


class Page(HTMLParser):
    """What a browser would find on a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.pieces: list[tuple[str, str]] = []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.pieces.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        """Everything that is read, in one line."""
        return " ".join(" ".join(data for tag, data in self.pieces if tag != "style").split())

    def within(self, tag: str) -> str:
        """The text directly inside the elements of one name."""
        return " ".join(data.strip() for place, data in self.pieces if place == tag)

    def attributes(self, name: str) -> list[str]:
        """The values of one attribute, wherever it stands."""
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def page_of(**changes) -> Page:
    """Return the page of the whole report with some members changed."""
    return Page(report_page({**WHOLE, **changes}))


@pytest.mark.parametrize(
    ("outcome", "changes", "sentence"),
    [
        ("completed", {}, "40 people were added, 55 updated, 4 removed; 3 rows need mending."),
        ("completed", {**NOTHING, "created": 1}, "1 person was added."),
        ("completed", {**NOTHING, "updated": 1234, "rejected": 1}, "1,234 people were updated; 1 row needs mending."),
        (
            "completed",
            {**NOTHING, "failed": 1},
            "Nobody was added, updated or removed; 1 person could not be sent.",
        ),
        ("unchanged", NOTHING, "Nothing had to be sent."),
        (
            "held",
            {**NOTHING, **DELETIONS_TRIPPED, "created": 2, "held": 812},
            "2 people were added; 812 removals wait for a decision.",
        ),
        ("held", {**NOTHING, **DELETIONS_TRIPPED, "held": 1}, "1 removal waits for a decision."),
        ("held", {**NOTHING, "held": 2}, "2 removals wait for an export that can be read in full."),
        (
            "refused",
            {**NOTHING, "error": {"code": "missing_column", "message": "m"}},
            "The export was refused and nothing was changed: a required column is missing.",
        ),
        ("partial", {**NOTHING, "created": 9}, "The run is not finished yet: 9 people were added."),
        ("partial", NOTHING, "The run is not finished yet: nobody was added, updated or removed so far."),
        (
            "superseded",
            {**NOTHING, "updated": 9},
            "Something newer took this run's place; before that, 9 people were updated.",
        ),
        (
            "failed",
            {**NOTHING, "created": 12, "error": {"code": "Authorization_RequestDenied", "message": "m"}},
            "The run stopped: Microsoft Graph denied access; before that, 12 people were added.",
        ),
        (
            "failed",
            {**NOTHING, "error": {"code": "of another release", "message": "m"}},
            "The run stopped: it met an error; before that, no change was confirmed.",
        ),
        ("of another release", NOTHING, "The report does not say what happened."),
        ("of another release", {**NOTHING, "updated": 2}, "2 people were updated."),
    ],
)
def test_says_in_one_sentence_what_happened(outcome, changes, sentence):
    """The heading is one plain sentence, and the badge beside it names the outcome."""
    page = page_of(outcome=outcome, **changes)

    assert page.within("h1") == sentence
    assert outcome in page.text


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_every_outcome_says_what_it_means_and_what_to_do(outcome):
    """No outcome leaves its reader alone with a code."""
    page = page_of(outcome=outcome)

    assert words.OUTCOMES[outcome].meaning in page.text
    assert "What to do now" in page.text
    assert page.within("dd")


def test_nothing_to_do_is_said():
    """A night without changes and problems asks nobody for anything."""
    page = page_of(outcome="unchanged", **NOTHING)

    assert "Nothing. All is well." in page.text


@pytest.mark.parametrize("code", words.FAULTS)
def test_every_error_says_who_mends_it(code):
    """A run that did not go through names its cause, the message and the remedy."""
    page = page_of(outcome="failed", error={"code": code, "message": "what was found"})

    assert words.FAULTS[code].short in page.within("h1")
    assert words.FAULTS[code].remedy in page.text
    assert words.FAULTS[code].who in page.within("dt")
    assert "what was found" in page.text


def test_a_guard_that_trips_names_the_settings_that_move_it():
    """The operator reads which limit was met, and what to change if the export is right after all."""
    guard = {"name": "match_rate", "limit": "at least 50 %", "found": "7 of 25 people", "tripped": True}

    page = page_of(outcome="refused", guards=[guard], error={"code": "match_rate", "message": "m"})

    assert "MIN_MATCH_PERCENT" in page.text
    assert "refuses the export" in page.text
    assert "at least 50 %" in page.text


def test_removals_held_for_want_of_keys_are_told_from_too_many():
    """Rows without a key call for a whole export; a limit that is met calls for a decision."""
    unreadable = page_of(outcome="held", held=2, warnings={"unreadable_keys": 1})
    too_many = page_of(outcome="held", held=812, **DELETIONS_TRIPPED)

    assert "rows whose key cannot be read" in unreadable.text
    assert "MAX_DELETE_COUNT" not in unreadable.text
    assert "rows whose key cannot be read" not in too_many.text
    assert "MAX_DELETE_COUNT" in too_many.text


PLAN = "sha256:" + "5e" * 32
RUN = "20261123T020004Z-1a2b"


@pytest.mark.parametrize(
    "waiting",
    [
        {"outcome": "held", "held": 812},
        {
            "outcome": "refused",
            "error": {"code": "match_rate", "message": "m"},
            "guards": [{"name": "match_rate", "limit": "50 %", "found": "7 of 25", "tripped": True}],
        },
    ],
)
def test_says_how_to_approve_with_commands_to_paste(waiting):
    """What somebody may release has both commands, with the run and the hash in them."""
    page = page_of(run=RUN, plan=PLAN, **waiting)

    assert f'python -m connector approve {RUN} --plan {PLAN} --by "YOUR NAME"' in page.text
    assert f'-d \'{{"plan": "{PLAN}", "by": "YOUR NAME"}}\' "$URL/runs/{RUN}/approve"' in page.text


@pytest.mark.parametrize(
    "waiting",
    [
        {"outcome": "refused", "plan": PLAN, "error": {"code": "truncated", "message": "m"}, "guards": []},
        {"outcome": "completed", "plan": None},
        {"outcome": "held", "held": 1, "plan": "sha256:1; rm -rf /"},
    ],
)
def test_nothing_else_has_commands_to_approve_it(waiting):
    """A file that cannot be used is mended, not approved; and what is no hash of ours is in no command."""
    page = page_of(run=RUN, **waiting)

    assert "connector approve" not in page.text


def test_says_who_approved_it():
    """Whoever took the decision stands there, with the guard that was passed over."""
    guard = {"name": "deletions", "limit": "3", "found": "6 planned", "tripped": True, "released": True}
    approved = {"by": "Ada Okafor", "when": "2026-11-23T08:00:00Z", "plan": PLAN}

    page = page_of(outcome="completed", guards=[guard], approved=approved)

    assert "Approved by Ada Okafor" in page.text
    assert "23 November 2026, 08:00:00 UTC" in page.text
    assert "holds the removals" not in page.text


def a_guard(name: str, code: str, *, released: bool = False) -> dict[str, Any]:
    """Return a guard that has tripped."""
    return {"name": name, "limit": f"most {name}", "found": f"many {name}", "tripped": True} | {
        "code": code,
        "released": released,
    }


REJECTED = a_guard("rejected", "too_many_rejected")
UNMATCHED = a_guard("match_rate", "match_rate")
REMOVALS = a_guard("deletions", "")
ADA = {"by": "Ada Okafor", "when": "2026-11-23T08:00:00Z", "plan": PLAN}


def test_all_that_stands_in_the_way_is_told_at_once():
    """Each finding with what is allowed, what HR mends for it, and which settings move it; one command approves all."""
    error = {"code": "too_many_rejected", "message": "m"}

    page = page_of(run=RUN, plan=PLAN, outcome="refused", guards=[REJECTED, UNMATCHED], error=error)

    assert "Rejected rows: many rejected. Allowed: most rejected." in page.text
    assert "People with an account: many match_rate. Allowed: most match_rate." in page.text
    assert words.FAULTS["too_many_rejected"].remedy in page.text
    assert words.FAULTS["match_rate"].remedy in page.text
    assert "MIN_MATCH_PERCENT or MAX_REJECT_PERCENT" in page.text
    assert f"approve {RUN} --plan {PLAN}" in page.text


def test_an_approval_that_was_not_enough_has_counted():
    """Who approved what, and what else is in the way; no setting of the released guard is in question any more."""
    guards = [REJECTED | {"released": True}, UNMATCHED, REMOVALS]
    error = {"code": "match_rate", "message": "m"}

    page = page_of(run=RUN, plan=PLAN, outcome="refused", guards=guards, error=error, approved=ADA)

    assert "Ada Okafor approved this export, and that counted: “Rejected rows”." in page.text
    assert "What else was found then: “People with an account”." in page.text
    assert "approve it once more as below" in page.text
    assert "MAX_REJECT_PERCENT" not in page.text
    assert "MAX_DELETE_COUNT" not in page.text


def test_removals_of_an_approved_export_want_another_approval():
    """The export was taken by somebody's word; that nobody is removed by it is said, and how many would be."""
    guards = [REJECTED | {"released": True}, REMOVALS]

    page = page_of(run=RUN, plan=PLAN, outcome="held", held=5, guards=guards, approved=ADA)

    assert "Ada Okafor approved the export, and that counted: it was taken." in page.text
    assert "Removals: many deletions. Allowed: most deletions." in page.text
    assert "Rejected rows: many rejected" not in page.text
    assert f"approve {RUN} --plan {PLAN}" in page.text


def test_a_mapping_is_the_operators_to_approve():
    """HR has nothing to say about it."""
    guards = [a_guard("mapping", "mapping_change")]

    page = page_of(
        **NOTHING,
        run=RUN,
        plan=PLAN,
        outcome="refused",
        guards=guards,
        error={"code": "mapping_change", "message": "m"},
    )

    assert "If the mapping is meant so, approve it as below." in page.text
    assert "HR" not in page.within("dt")


def test_what_only_approved_guards_found_is_not_approved_again():
    """A file that cannot be used, whatever guards were released for it before."""
    page = page_of(
        run=RUN, plan=PLAN, outcome="refused", guards=[REJECTED | {"released": True}, REMOVALS],
        error={"code": "truncated", "message": "m"},
    )  # fmt: skip

    assert "connector approve" not in page.text


def test_lists_rejected_rows_with_key_codes_and_reason():
    """HR finds each row by its number, and the file that holds them all."""
    page = page_of()

    assert "15 C1015 bad_date HireDate is not a date such as 2021-03-01" in page.text
    assert "16 unknown bad_row it has 18 cells; the header has 19" in page.text
    assert "47 C1047 missing_account bad_date UserPrincipalName is blank" in page.text
    assert "contosohr/people-2026-11-22.csv.20261123T020004Z-1a2b.rejected.csv" in page.text
    assert "Date is not valid (2)" in page.text
    assert "are listed" not in page.text


def test_says_when_more_rows_and_people_exist_than_are_listed():
    """A capped list is never taken for the whole."""
    page = page_of(rejected=4321, unmatched=1500)

    assert "The first 3 of 4,321 rows are listed." in page.text
    assert "The first 2 of 1,500 people are listed." in page.text


def test_says_where_rejected_rows_are_mended_without_a_quarantine_file():
    """A refused export has no such file, and an export gone through again makes none."""
    refused = page_of(outcome="refused", quarantine=None, error={"code": "too_many_rejected", "message": "m"})
    again = page_of(quarantine=None)

    assert "A refused export has no quarantine file." in refused.text
    assert "Mend the rejected rows in the HR system." in again.text


def test_says_in_words_why_somebody_has_no_account():
    """Codes of the ledger are not for HR."""
    page = page_of()

    assert "C1024 no Entra user has this account" in page.text
    assert "C2044 is a guest" in page.text


def test_shows_the_facts_of_file_and_run():
    """The operator finds how the file was read, what Graph was asked, and how long it took."""
    page = page_of(plan="sha256:abcd", slices=3)

    for fact in (
        "Rows 10,123",
        "Encoding UTF-8",
        "Delimiter tab",
        "Lines skipped 3 (in lines 1, 2, 10126)",
        "Columns not used PayBand",
        "Columns missing Skills",
        "Graph requests 1,101",
        "Throttled by Graph 2 times",
        "Seconds with Graph 6.1",
        "Started 23 November 2026, 02:00:04 UTC",
        "Took 3 minutes 12 seconds",
        "Started by the timer",
        "Because of a new export",
        "Invocations 3",
        "Plan sha256:abcd",
    ):
        assert fact in page.text


def test_one_skipped_line_is_one():
    """A single line before the header or behind the rows is told in the singular."""
    page = page_of(export={**WHOLE["export"], "skipped": 1, "skipped_lines": [2]})

    assert "Lines skipped 1 (in line 2)" in page.text


def test_shows_warnings_in_words_for_one_and_for_several():
    """A count reads as a sentence."""
    page = page_of(warnings={"manager_loop": 1, "no_mail": 3, "of another release": 2, "account_disabled": 0})

    assert "1 person is their own manager" in page.text
    assert "3 people have no mail address" in page.text
    assert "of another release: 2" in page.text
    assert "disabled" not in page.text


def test_says_when_no_new_file_was_read():
    """A run that goes through the last export again does not look like a new night."""
    page = page_of(export={**WHOLE["export"], "new": False})

    assert "the last one was gone through again" in page.text


def test_an_export_that_was_never_read_has_no_numbers():
    """Noughts would look like a file without people."""
    zero = dict.fromkeys(("people", "unchanged", "transferred"), 0)

    export = {**WHOLE["export"], "rows": 0}
    page = page_of(outcome="refused", **NOTHING, **zero, rows=[], unmatched_people=[], export=export)

    assert "There are no numbers" in page.text
    assert "Rows 0" not in page.text
    assert "people in the file" not in page.text


def hostile(value: Any) -> Any:
    """Return a report's value with every text in it replaced by markup."""
    if isinstance(value, dict):
        return {name: hostile(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(member) for member in value]
    return HOSTILE if isinstance(value, str) else value


def test_whatever_a_report_holds_is_text():
    """A cell of HR's file can bring no element, attribute or template expression into the page."""
    body = {**hostile(WHOLE), "error": {"code": HOSTILE, "message": HOSTILE}, "plan": HOSTILE}
    body["warnings"] = {HOSTILE: 2}

    page = Page(report_page(body))

    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "img"})
    assert not page.attributes("onerror")
    assert "{{ 7 * 7 }}" in page.text
    assert HOSTILE in page.within("bdi")
    assert page.open == page.wrong == []


@pytest.mark.parametrize("outcome", [*get_args(Outcome), ""])
def test_is_well_formed_and_refers_to_nothing_outside(outcome):
    """Tags are balanced, ids are unique, links stay on the page, and neither script nor style loads anything."""
    page = page_of(outcome=outcome, error={"code": "everyone", "message": "m"})

    ids = page.attributes("id")
    assert page.open == page.wrong == []
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in page.attributes("href")} <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)
    assert not page.attributes("src")
    assert "url(" not in page.within("style")
    assert "@import" not in page.within("style")
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "base"})
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert "default-src 'none'" in " ".join(page.attributes("content"))


@pytest.mark.parametrize("member", WHOLE)
def test_a_report_without_a_member_gives_a_page(member):
    """Reports of older releases are still readable."""
    without = {name: value for name, value in WHOLE.items() if name != member}

    page = Page(report_page(without))

    assert page.open == page.wrong == []
    assert page.within("h1")


@pytest.mark.parametrize(
    ("started", "finished", "fact"),
    [
        ("2026-11-23T02:00:04Z", "", "Finished not yet Started by"),
        ("2026-11-23T02:00:04Z", "2026-11-23T03:00:05Z", "Took 1 hour 1 second"),
        ("2026-11-23T02:00:04Z", "2026-11-23T02:00:04Z", "Took less than a second"),
        ("2026-11-23T02:00:04", "2026-11-23T04:00:05+02:00", "Took 1 second"),
        ("yesterday", "0001-01-01T00:00:00+23:00", "Started yesterday Finished 0001-01-01T00:00:00+23:00 Started by"),
    ],
)
def test_says_when_and_how_long(started, finished, fact):
    """Moments are in UTC; one that cannot be read is shown as it is."""
    page = page_of(started=started, finished=finished)

    assert fact in page.text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "plan"]), anything))
def test_a_report_with_members_of_any_type_gives_a_page(body):
    """Whatever a newer release may put into a member, the page stays whole."""
    page = Page(report_page(body))

    assert page.open == page.wrong == []


def literals(name: str, *, position: int | None = None, keyword: str | None = None) -> set[str]:
    """Return the constant texts that the sources pass to the calls of one name ("": of any)."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or name not in ("", getattr(node.func, "id", None)):
                continue
            arguments = node.args[position : position + 1] if position is not None else []
            arguments += [argument.value for argument in node.keywords if argument.arg == keyword]
            found |= {
                each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)
            }
    return found - {""}


def error_codes(kind: type[ConnectorError]) -> set[str]:
    """Return the codes of an error and of all errors below it."""
    return {kind.code}.union(*(error_codes(below) for below in kind.__subclasses__()))


def test_there_are_words_for_every_code():
    """A code that the sources can put into a report has its words."""
    not_of_a_run = {"error", "bad_request", "not_found", "forbidden"}

    row_codes = literals("Problem", position=0)
    file_codes = literals("ExportError", keyword="code") | literals("Verdict", position=4)
    store_codes = literals("StoreError", keyword="code")

    assert row_codes
    assert row_codes <= set(words.ROW_CODES)
    assert file_codes | store_codes | (error_codes(ConnectorError) - not_of_a_run) <= set(words.FAULTS)
    assert literals("Verdict", position=0) == set(words.GUARDS)
    assert set(get_args(Outcome)) == set(words.OUTCOMES)


def test_there_are_words_for_every_warning_and_for_everybody_without_account():
    """Whatever matching and references can say is said in words."""
    people = {
        key: Person(key, f"{key}@contoso.com", leaver=False, references=(manager,), cells=b"", row=row)
        for row, (key, manager) in enumerate({"a": "b", "b": "a", "c": "?", "d": "", "e": ""}.items())
    }
    found = {
        "a@contoso.com": Account("1", "a@contoso.com", mail=None),
        "b@contoso.com": Account("2", "b@contoso.com", mail="b@contoso.com", enabled=False),
        "d@contoso.com": Account("3", "d@contoso.com", guest=True),
    }

    asked = [person.account for person in people.values()]
    matching = match_people(people.values(), {}, Found(found), asked, now=0)
    references = resolve_references(people, {}, {"a": Known("1", "a@contoso.com")})

    assert set(matching.unmatched.values()) == set(words.UNMATCHED)
    changed = {"encoding_changed", "delimiter_changed", "skipped_lines_changed"}
    read_back = {"item_changed", "item_vanished", "not_read_back"}
    approvals = {"approval_outdated", "approval_expired"}
    counted = {"missing_columns", "unreadable_keys", "former_item_kept", "older_export", *read_back, *changed}
    counted |= approvals | {"ledger_begun_anew", "run_forgotten", "head_lost"}
    assert {*matching.warnings, *references.warnings} | counted == set(words.WARNINGS)


def test_tells_how_many_the_mapping_leaves_out():
    """They are none of the people in the file; without their number HR would miss them."""
    page = page_of(people=3, unchanged=3, out_of_scope=1234)

    assert "out of scope 1,234 left out by the mapping" in page.text


def test_names_only_settings_that_exist():
    """An operator who looks for a setting finds it."""
    named = {name for names in words.GUARD_SETTINGS.values() for name in names}

    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_people_are_listed_with_the_reason_in_words():
    """Whoever is held, missing, failed or drifted stands there by key, and why in words; Graph's codes as they are."""
    page = page_of(
        held=1,
        held_people=[{"key": "C1", "reason": "left"}],
        failed=2,
        failed_people=[{"key": "C2", "reason": "in_doubt"}, {"key": "C3", "reason": "BadRequest"}],
        grace=2000,
        missing_people=[{"key": "C4", "reason": "absent"}],
        drifted_people=[{"key": "C5", "item": "u5", "reason": "vanished", "properties": []}],
    )

    assert "C1 has a status word of those who left" in page.text
    assert "C2 Microsoft Graph did not answer; it may have taken effect" in page.text
    assert "C3 BadRequest" in page.text
    assert "C5 Microsoft 365 had nothing" in page.text
    assert "The first 1 of 2,000 people are listed." in page.text


def test_a_set_of_files_is_told_file_by_file():
    """Each file's look, the file of every rejected row, all quarantine files, and the file that an error is about."""
    names = ["employees.csv", "contractors.csv"]
    files = [
        {"name": name, "rows": rows, "encoding": "utf-8", "delimiter": ";", "skipped": 0}
        for name, rows in zip(names, (2, 1), strict=True)
    ]
    body = WHOLE | {
        "export": {"name": names[0], "rows": 3, "files": files},
        "rows": [{"row": 1, "key": "C1", "codes": ["bad_date"], "message": "wrong", "file": names[1]}],
        "quarantine": "a.rejected.csv",
        "quarantines": ["a.rejected.csv", "b.rejected.csv"],
        "error": {"code": "truncated", "message": "cut off", "file": names[1]},
    }

    text = Page(report_page(body)).text

    assert "employees.csv · 2 rows · UTF-8" in text
    assert "contractors.csv bad_date wrong" in text
    assert all(each in text for each in ("a.rejected.csv", "b.rejected.csv", "File: contractors.csv"))
