"""From the text of a cell to a value Graph takes: dates, numbers, yes and no, words of an enumeration.

Graph ignores what it cannot read without a word, so whatever is not certainly right is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import permutations
from typing import TYPE_CHECKING, Final

from connector.core.mapping.person import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping as Dict
    from collections.abc import Sequence

    from connector.core.entities import FieldType
    from connector.core.mapping.file import ColumnField, FilePart, TextSource

Value = str | int | float | bool | list[str]
"""What a field of an entity or a custom property carries in JSON."""

Read = Callable[["Sequence[str]"], str]
"""Takes the text of a source from a row's cells; "" when it is blank."""

Refine = Callable[[str], str | None]
"""Brings text into form; "" when it is to be left out, None when it must be refused."""

Convert = Callable[[str], Value | None]
"""Turns text that is not blank into a value; None: it cannot be one."""

ISO: Final = ("YYYY-MM-DD",)
EXAMPLE: Final = date(2021, 3, 1)


# --- dates ------------------------------------------------------------------------------------------------------------

_MONTHS: Final = (
    "january jan januar janvier janv enero ene januari gennaio gen janeiro jän jänner",
    "february feb februar février fevrier févr fevr febrero februari febbraio fevereiro fev",
    "march mar märz marz mär mrz mars marts marzo maart mrt março marco",
    "april apr avril avr abril abr aprile",
    "may mai mayo mei maj maggio mag maio",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juil julio luglio lug julho",
    "august aug août aout agosto ago augustus augusti agosto",
    "september sep sept septembre septiembre settembre set setembro",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre decembre déc diciembre dic desember des dicembre dezembro",
)
_MONTH: Final = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}

_TOKENS: Final = {
    "YYYY": r"(?P<year>[0-9]{4})",
    "YY": r"(?P<short>[0-9]{2})",
    "MMMM": r"(?P<word>[^\W\d_]+)\.?",
    "MMM": r"(?P<word>[^\W\d_]+)\.?",
    "MM": r"(?P<month>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "DD": r"(?P<day>[0-9]{2})",
    "D": r"(?P<day>[0-9]{1,2})",
}
_TOKEN: Final = re.compile("|".join(sorted(_TOKENS, key=len, reverse=True)))
_TIME: Final = (
    r"(?:[T ] ?[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?(?: ?[AaPp]\.?[Mm]\.?)?"
    r"(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_PIVOT: Final = 69
"""Years of two digits from here on are of the last century, as in POSIX."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """A way to write dates, such as ``DD.MM.YYYY``. A time behind the date is cut off, whatever its time zone."""

    text: str
    _pattern: re.Pattern[str]

    def read(self, text: str) -> date | None:
        """Return the date that is written so; None: it is not, or there is no such day."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        parts = found.groupdict()
        month = int(parts["month"]) if parts.get("month") else _MONTH.get((parts.get("word") or "").casefold(), 0)
        year = int(parts["year"]) if parts.get("year") else _century(int(parts["short"]))
        try:
            return date(year, month, int(parts["day"]))
        except ValueError:
            return None

    def write(self, day: date) -> str:
        """Return a day written so, for an example."""
        month = _MONTHS[day.month - 1].split()
        written = {
            "YYYY": f"{day.year:04}",
            "YY": f"{day.year % 100:02}",
            "MMMM": month[0].capitalize(),
            "MMM": month[0][:3].capitalize(),
            "MM": f"{day.month:02}",
            "M": str(day.month),
            "DD": f"{day.day:02}",
            "D": str(day.day),
        }
        return _TOKEN.sub(lambda found: written[found[0]], self.text)


def _century(short: int) -> int:
    return (1900 if short >= _PIVOT else 2000) + short


def date_format(text: str) -> DateFormat:
    """Return a format by its text: YYYY or YY, MMMM, MMM, MM or M, DD or D, and what stands between them.

    Raises:
        ValueError: year, month or day stands not at all, or twice.
    """
    tokens = _TOKEN.findall(text)
    kinds = sorted(token[0] for token in tokens)
    if kinds != ["D", "M", "Y"]:
        raise ValueError(
            "a date is written with YYYY or YY, one of MMMM, MMM, MM and M, and DD or D, each once, such as DD.MM.YYYY"
        )
    pattern, end = "", 0
    for found in _TOKEN.finditer(text):
        pattern += re.escape(text[end : found.start()]) + _TOKENS[found[0]]
        end = found.end()
    return DateFormat(text, re.compile(pattern + re.escape(text[end:]) + _TIME))


_TELLING: Final = (date(2003, 1, 2), date(2003, 2, 1), date(2004, 5, 6), date(2010, 11, 12))


def contradicting(formats: Sequence[DateFormat]) -> tuple[str, str] | None:
    """Return two formats that read one text as different days; None when there are none."""
    for one, other in permutations(formats, 2):
        for day in _TELLING:
            read = other.read(one.write(day))
            if read is not None and read != day:
                return one.text, other.text
    return None


def read_date(text: str, formats: Sequence[DateFormat]) -> date | None:
    """Return the day that text names in one of the formats."""
    return next((day for each in formats if (day := each.read(text)) is not None), None)


# --- sources ----------------------------------------------------------------------------------------------------------


MAX_SEARCHED: Final = 20_000
"""Characters that ``extract`` searches. Some patterns take time by the square of what they search, so that a cell of a
megabyte would keep a run busy for hours; longer ones are rejected anyway."""


def refiner(spec: TextSource) -> Refine | None:
    """Return what ``extract``, ``translate`` and ``case`` make of text; None when the spec has none of them."""
    if not (spec.extract or spec.translate or spec.case):
        return None
    pattern = re.compile(spec.extract) if spec.extract else None
    words = {word.strip().casefold(): to for word, to in (spec.translate or {}).items()}
    unknown = "" if spec.otherwise == "omit" else None
    shape = _CASES.get(spec.case or "", str)

    def refine(text: str) -> str | None:
        if pattern is not None:
            found = pattern.search(text) if len(text) <= MAX_SEARCHED else None
            if found is not None:
                text = ((found[1] if pattern.groups else found[0]) or "").strip()
            elif spec.otherwise != "keep":
                return unknown
        if text and words:
            known = words.get(text.casefold())
            if known is None and spec.otherwise != "keep":
                return unknown
            text = text if known is None else known
        return shape(text)

    return refine


_CASES: Final[Dict[str, Callable[[str], str]]] = {"upper": str.upper, "lower": str.lower, "title": str.title}


def refusal(spec: TextSource, name: str) -> Problem:
    """Return what to say of text that a source refuses."""
    if spec.translate:
        return Problem("not_allowed", f"{name} is no word that the mapping translates: {_some(spec.translate)}")
    return Problem("not_allowed", f"{name} does not look as the mapping's extract expects")


_SHOWN: Final = 20


def _some(words: Sequence[str] | Dict[str, str]) -> str:
    shown = ", ".join(list(words)[:_SHOWN])
    return f"{shown}, …" if len(words) > _SHOWN else shown


# --- values -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Writing:
    """How dates, numbers, yes and no are written in a column."""

    dates: tuple[DateFormat, ...]
    decimal: str
    grouped: bool
    truth: Dict[str, bool]


def writing(file: FilePart, spec: ColumnField | None = None) -> Writing:
    """Return how values are written: as the field says, else the file, else ISO dates and plain numbers."""
    dates = (spec and spec.dates) or file.dates or ISO
    decimal = (spec and spec.decimal) or file.decimal
    told = spec if spec and (spec.true or spec.false) else file
    true, false = told.true, told.false
    if not (true or false):
        true, false = ("true",), ("false",)
    truth = {word.casefold(): True for word in true or ()} | {word.casefold(): False for word in false or ()}
    # Only who says how decimals are written can tell 1.234 from 1,234: without that nothing groups thousands.
    return Writing(tuple(map(date_format, dates)), decimal or ".", decimal is not None, truth)


def converter(kind: FieldType, way: Writing) -> Convert:
    """Return what makes text a value of a field."""
    plain, form = _plain_converter(kind, way), kind.form
    if form is None:
        return plain

    def convert(text: str) -> Value | None:
        value = plain(text)
        return value if value is not None and form.takes(value) else None

    return convert


def _plain_converter(kind: FieldType, way: Writing) -> Convert:
    if kind.allowed:
        return lambda text: text if text in kind.allowed else None
    if kind.kind is date and [each.text for each in way.dates] == [*ISO]:
        return _iso_date(way.dates)
    if kind.kind is date:
        return lambda text: day.isoformat() if (day := read_date(text, way.dates)) else None
    if kind.kind is bool:
        return lambda text: way.truth.get(text.casefold())
    if kind.kind is int:
        whole = _number(way, fraction=False)
        return lambda text: int(plain) if (plain := whole(text)) else None
    if kind.kind is float:
        number = _number(way, fraction=True)
        return lambda text: float(plain) if (plain := number(text)) else None
    return str


_DIGITS: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _iso_date(formats: Sequence[DateFormat]) -> Convert:
    """Return what reads dates that stand as they are sent: most cells need nothing done to them."""

    def convert(text: str) -> str | None:
        if _DIGITS.fullmatch(text):
            try:
                date.fromisoformat(text)
            except ValueError:
                return None
            return text
        return day.isoformat() if (day := read_date(text, formats)) else None

    return convert


def _number(way: Writing, *, fraction: bool) -> Callable[[str], str]:
    """Return what makes a written number one that Python reads; "" for what is none."""
    decimal = re.escape(way.decimal)
    between = "[ \u00a0\u202f'\u2019" + ("," if way.decimal == "." else ".") + "]"
    whole = rf"(?:\d{{1,9}}|\d{{1,3}}(?:{between}\d{{3}}){{1,2}})" if way.grouped else r"\d{1,9}"
    pattern = re.compile(rf"([+-]?{whole})" + (rf"(?:{decimal}(\d{{1,15}}))?" if fraction else "()"), re.ASCII)

    def plain(text: str) -> str:
        found = pattern.fullmatch(text)
        if found is None:
            return ""
        whole = re.sub(between, "", found[1]) if way.grouped else found[1]
        return f"{whole}.{found[2]}" if found[2] else whole

    return plain


def wrong(name: str, kind: FieldType, way: Writing) -> Problem:
    """Return what to say of text that is no value of a field."""
    if kind.allowed:
        return Problem("not_allowed", f"{name} is not one of {', '.join(kind.allowed)}")
    if kind.kind is date:
        examples = " or ".join(dict.fromkeys(each.write(EXAMPLE) for each in way.dates))
        return Problem("bad_date", f"{name} is not a date such as {examples}")
    if kind.kind is bool:
        words = ", ".join(way.truth)
        named = "is neither true nor false" if set(way.truth) == {"true", "false"} else f"is not one of {words}"
        return Problem("not_allowed", f"{name} {named}")
    if kind.form and kind.kind is str:
        return Problem("not_allowed", f"{name} is not {kind.form.wanted}")
    if kind.form:
        return Problem("bad_number", f"{name} is not {kind.form.wanted}")
    if kind.kind is float:
        return Problem("bad_number", f"{name} is not a number such as 59{way.decimal}91")
    return Problem("bad_number", f"{name} is not a whole number")
