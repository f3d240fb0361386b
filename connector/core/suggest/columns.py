"""What the columns of a file look like, gathered row by row in bounded memory; no cell is kept but short, few words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from connector.core.entities import MAIL, URL
from connector.core.mapping.values import contradicting, date_format

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMPLE: Final = 2_000
"""Filled cells of a column that are looked at for their form; fewer where there are very many columns. Dates are looked
at in all rows: the one cell that tells day from month may be the last."""
_SAMPLES: Final = 400_000
"""Such cells over all columns."""
BUDGET: Final = 1 << 20
"""Different cells that are remembered, over all columns, as 64-bit digests: what the memory is bounded by."""
FEW: Final = 24
"""Different words up to which a column is an enumeration."""
_SHORT: Final = 40
_SURE: Final = 0.9
"""Share of the cells that must have a form before the column is said to have it."""
_A_GLANCE: Final = 200
"""Filled cells after which a column without any date is no longer asked for dates."""


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of one column. Counts are of cells; ``name`` is the header as written.

    ``repeated``: filled cells that had stood further up. ``words``: the cells and how often each stands, the most
    frequent first, if they are few and short. ``looks``: how many of the ``sampled`` cells have which form. ``dates``:
    the formats that read them; ``either``: two formats that read them all as different days. ``seen``: digests of the
    cells, ``inside``: of what stands in brackets behind a name.
    """

    name: str
    rows: int = 0
    filled: int = 0
    repeated: int = 0
    sampled: int = 0
    words: Mapping[str, int] = field(default_factory=dict)
    looks: Mapping[str, int] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    either: tuple[str, str] | None = None
    sentinels: tuple[str, ...] = ()
    seen: frozenset[int] = frozenset()
    inside: frozenset[int] = frozenset()

    @property
    def blank(self) -> int:
        """How many cells are blank."""
        return self.rows - self.filled

    @property
    def distinct(self) -> int:
        """How many different cells there are."""
        return self.filled - self.repeated

    def looks_like(self, form: str, share: float = _SURE) -> bool:
        """Whether most of the filled cells have a form."""
        return bool(self.sampled) and self.looks.get(form, 0) >= share * self.sampled


class Table:
    """The columns of a file while its rows go by."""

    def __init__(self, header: Sequence[str]) -> None:
        sample = min(SAMPLE, max(_SAMPLES // max(len(header), 1), 1))
        self._columns = [_Gathered(name, sample) for name in header]
        self._first: Sequence[str] | None = None
        self.rows = 0
        self._room = BUDGET

    @property
    def first(self) -> Sequence[str]:
        """The cells of the first row: labels for people, perhaps."""
        return self._first or ()

    def add(self, cells: Sequence[str]) -> None:
        """Look at a row; it has as many cells as the header."""
        if self._first is None:
            self._first = cells
            return
        self._look(cells)

    def _look(self, cells: Sequence[str]) -> None:
        self.rows += 1
        for column, cell in zip(self._columns, cells, strict=False):
            text = cell.strip()
            if text and (text.isascii() or not _SPOILT.search(text)):
                self._room -= column.add(text, remember=self._room > 0)

    def columns(self, *, labels: bool) -> tuple[Column, ...]:
        """Return what was seen. ``labels``: the first row is none of data."""
        if not labels and self._first is not None:
            first, self._first = self._first, ()
            self._look(first)
        return tuple(column.column(self.rows) for column in self._columns)


_SPOILT: Final = re.compile("[\ud800-\udfff]")
"""Bytes that are no text in the file's encoding."""


class _Gathered:
    __slots__ = (
        "dates",
        "filled",
        "inside",
        "looks",
        "name",
        "repeated",
        "sample",
        "sampled",
        "seen",
        "sentinels",
        "words",
    )

    def __init__(self, name: str, sample: int) -> None:
        self.name = name
        self.sample = sample
        self.filled = self.repeated = self.sampled = 0
        self.seen: set[int] = set()
        self.inside: set[int] = set()
        self.words: Counter[str] | None = Counter()
        self.looks: Counter[str] = Counter()
        self.dates: Counter[tuple[str, ...]] = Counter()
        self.sentinels: Counter[str] = Counter()

    def add(self, text: str, *, remember: bool) -> int:
        """Look at a cell that is not blank, and return how many digests are remembered for it."""
        if text.casefold() in SENTINELS:
            self.sentinels[text] += 1
            return 0
        self.filled += 1
        digest = hash(text)
        new = digest not in self.seen
        self.repeated += not new
        if new and remember:
            self.seen.add(digest)
        if self.words is not None:
            self.words[text] += 1
            if len(self.words) > FEW or len(text) > _SHORT:
                self.words = None
        if self.filled <= _A_GLANCE or self.dates.total() > self.dates[()]:
            self.dates[formats(text) if len(text) <= _SHORT else ()] += 1
        if self.sampled < self.sample:
            self._sample(text)
        return int(new and remember)

    def _sample(self, text: str) -> None:
        self.sampled += 1
        for form, pattern in _FORMS.items():
            if pattern.fullmatch(text):
                self.looks[form] += 1
        for taken in (MAIL, URL):
            if taken.takes(text):
                self.looks[taken.name] += 1
        for separator in SEPARATORS:
            if separator in text:
                self.looks[separator] += 1
        if found := _FORMS["name and id"].fullmatch(text):
            self.inside.add(hash(found[1]))

    def column(self, rows: int) -> Column:
        dates, either = _chosen(self.dates)
        words = dict(sorted((self.words or {}).items(), key=lambda counted: (-counted[1], counted[0])))
        return Column(
            self.name, rows, self.filled, self.repeated, self.sampled, words, dict(self.looks),
            dates, either, tuple(self.sentinels), frozenset(self.seen), frozenset(self.inside),
        )  # fmt: skip


SEPARATORS: Final = (";", "|", "\n", ",", "/")
"""What separates the parts of a cell, the surest first."""

SENTINELS: Final = frozenset(
    ("n/a", "#n/a", "n.a.", "null", "(null)", "nan", "-", "--", "no_manager", "no_mgr", "no_hr", "no manager")
)
"""Words for nothing."""

_FORMS: Final = {
    "guid": re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
    "name and id": re.compile(r"[^()]*[^\W\d_][^()]*\(([\w.-]*\d[\w.-]*)\)"),
    "last, first": re.compile(r"[^\d,@;|]*[^\W\d_][^\d,@;|]*, ?[^\d,@;|]*[^\W\d_][^\d,@;|]*"),
    "id": re.compile(r"(?=[^\s]*\d)[\w.#-]{1,24}"),
    "phone": re.compile(r"(?=(?:\D*\d){6})\+?[\d\s()./-]{6,25}(?:(?:x|ext\.?) ?\d{1,6})?"),
    "comma number": re.compile(r"-?\d{1,3}(?:\.?\d{3})*,\d{1,6}"),
    "number": re.compile(r"-?\d{1,12}(?:\.\d{1,6})?"),
}


# --- dates ------------------------------------------------------------------------------------------------------------

_FORMATS: Final = tuple(
    date_format(text)
    for text in (
        "YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD", "DD.MM.YYYY", "D.M.YYYY", "DD.MM.YY", "D.M.YY",
        "DD/MM/YYYY", "MM/DD/YYYY", "D/M/YYYY", "M/D/YYYY", "DD/MM/YY", "MM/DD/YY", "D/M/YY", "M/D/YY",
        "DD-MM-YYYY", "MM-DD-YYYY", "D-M-YYYY", "M-D-YYYY", "DD-MMM-YYYY", "D-MMM-YYYY", "DD-MMM-YY", "D-MMM-YY",
        "DD MMM YYYY", "D MMM YYYY", "D. MMMM YYYY", "MMM D, YYYY", "MMM DD, YYYY", "MMM D YYYY",
    )
)  # fmt: skip
"""How HR systems write dates, the strictest first. With dots the day always comes first."""

_BY_TEXT: Final = {each.text: each for each in _FORMATS}
_DATE: Final = re.compile(
    r"(?:\d{1,4}[./-](?:\d{1,2}|[^\W\d_]+)[./-]\d|\d{8}(?!\d)|\d{1,2}\.? [^\W\d_]+\.? \d"
    r"|[^\W\d_]{3,}\.? \d{1,2},? \d{4})"
)
"""How dates begin: most cells are told from them by this alone."""


@lru_cache(maxsize=1 << 16)
def formats(text: str) -> tuple[str, ...]:
    """Return the formats in which text is a date."""
    if not _DATE.match(text):
        return ()
    return tuple(each.text for each in _FORMATS if each.read(text) is not None)


def _chosen(found: Counter[tuple[str, ...]]) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """Return the fewest formats that read all dates of a column, or two that do and mean different days."""
    if not found or (found.total() - found[()]) < _SURE * found.total():
        return (), None
    left = {read: count for read, count in found.items() if read}
    chosen: list[str] = []
    while left:
        covers = Counter[str]()
        for read, count in left.items():
            covers.update(dict.fromkeys(read, count))
        best = max(covers, key=lambda text: (covers[text], -list(_BY_TEXT).index(text)))
        rivals = [text for text in covers if covers[text] == covers[best] and _contradict((best, text))]
        if rivals:
            return (), (best, rivals[0])
        if _contradict((*chosen, best)):
            return (), None
        chosen.append(best)
        left = {read: count for read, count in left.items() if best not in read}
    return tuple(chosen), None


def _contradict(texts: Sequence[str]) -> bool:
    return contradicting([_BY_TEXT[text] for text in texts]) is not None
