"""The bytes of an HR export, as a header and rows.

What a file may look like is in ``docs/mapping.md``; what it means is the mapping's business (`connector.core.mapping`).

The encoding is found by rule, not by statistics: byte order mark, else UTF-16 by its zero bytes, else UTF-8 if the
bytes agree with it, else Windows-1252, of which Latin-1 text is a part. charset-normalizer 3.5 was measured instead: it
took each of eight Windows-1252 exports, from 18 bytes to 1 MB, for cp1250, cp775 or mac_latin2, which turns letters of
names into others.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    Recognise = Callable[[list[str], int], bool]
    """Takes a row's cells and its number, and tells whether that is all there is to say about it."""

DELIMITERS: Final = ",;\t|"

MAX_CELL: Final = 1_000_000
"""Characters in one cell. A stray quote swallows the rest of a file into one cell; this is where it ends."""
MAX_ROW: Final = 2_000_000
"""Characters in one row, over all its lines: what one row may cost in memory."""
MAX_COLUMNS: Final = 10_000
"""Columns of a header. A spreadsheet has 16,384, a mapping some dozens."""
MAX_UNPACKED: Final = 1 << 30
"""Bytes in a packed file, once unpacked: a file that promises more is no export but a bomb."""
MAX_DIRECTORY: Final = 1 << 20
"""Bytes of a .zip file's directory: some thousands of members, of which one may be a CSV."""

CORRECTION_COLUMN: Final = "_error_code"
"""A header with this column is a corrected quarantine file: partial, whatever its name (interface §5)."""

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_UNSEEN: Final = (
    "\ufeff\u00ad\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069"
)
_INVISIBLE: Final = str.maketrans("", "", _UNSEEN)
_IGNORED_IN_HEADERS: Final = str.maketrans("", "", " _-\u00a0\u202f\t\r\n" + _UNSEEN)


class Row(NamedTuple):
    """One row of data. ``number`` counts from 1 (the header is 0). ``problem`` says why the cells cannot be trusted."""

    number: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is fixed about a file instead of found. "" : it is found.

    ``header_rows``: the rows from the header on that hold names; two where a second one has labels for people.
    """

    encoding: str = ""
    delimiter: str = ""
    header_rows: int = 1


@dataclass(frozen=True, slots=True)
class Export:
    """An opened export: its header as written, how it was read, and its rows, which can be had once.

    ``skipped`` are the numbers of the lines, from 1, that are neither header nor data; all of them once the rows have
    been read. ``final_newline``: the last line has an end.
    """

    header: tuple[str, ...]
    encoding: str
    delimiter: str
    read: Callable[[Recognise | None], Iterator[Row]]
    skipped: list[int] = field(default_factory=list)
    final_newline: bool = True

    @property
    def rows(self) -> Iterator[Row]:
        """Its rows."""
        return self.read(None)

    @property
    def is_correction(self) -> bool:
        """Whether this is a quarantine file that HR has mended and dropped back."""
        return is_correction(self.header)


def column_key(name: str) -> str:
    """Return a header in the form in which two spellings are equal: no case, spaces, ``_`` or ``-``."""
    return name.translate(_IGNORED_IN_HEADERS).casefold()


def is_correction(header: Sequence[str]) -> bool:
    """Tell whether a header is that of a quarantine file."""
    return column_key(CORRECTION_COLUMN) in map(column_key, header)


_FOUND: Final = Layout()


def open_export(
    name: str,
    stream: IO[bytes],
    *,
    required: Collection[str] = (),
    known: Collection[str] = (),
    layout: Layout = _FOUND,
    peek: bool = False,
) -> Export:
    """Read the header of an export and stand ready to read its rows.

    ``stream`` must be seekable and at its start; ``name`` decides whether it is packed (``.gz``, ``.zip``).
    ``required`` are columns without which a row is no header, ``known`` further ones that the mapping reads: with
    them the header is found behind lines that precede it. ``peek``: only the header is wanted, so the encoding is
    judged by the first bytes instead of all.

    What counts: the header is the first row that has all of ``required`` and most of ``known``, among the first 50;
    without such columns it is the first that is not blank. Rows of blank cells are none, and neither is the header when
    it stands there again, nor a second row of labels. At the end, up to 20 lines are a footer: a total, a count, a page
    number, a date of export, or, behind a blank line, a single cell of several words. A row that differs from the
    header in its number of cells, breaks the rules of CSV (a quote inside quotes is doubled) or is larger than
    `MAX_CELL` and `MAX_ROW` has a `Row.problem`, and those after it are read.

    Raises:
        ExportError: ``empty_file``, ``undecodable``, ``duplicate_column``, or ``truncated`` when it ends inside
            quotes (while the rows are read) or packing.
    """
    plain = _unpacked(name, stream)
    try:
        look = _look(plain, layout, packed=plain is not stream, peek=peek)
        plain.seek(0)
    except _BROKEN as error:
        raise _refusal(error) from error
    wide = look.encoding.startswith("utf-16")
    text = io.TextIOWrapper(plain, encoding=look.codec, errors="strict" if wide else "surrogateescape", newline="")
    try:
        place = _header_place(text, required, known, layout)
        text.seek(0)
    except (UnicodeDecodeError, *_BROKEN) as error:
        text.detach()
        raise _refusal(error) from error
    lines = _Lines(text)
    records = _records(lines, place.delimiter)
    skipped: list[int] = []
    header = _header(records, lines, place, skipped)
    names = tuple(cell.translate(_INVISIBLE).strip() for cell in header)
    mended = is_correction(names)
    if mended:
        names = tuple(map(unharmed, names))
    _refuse_header(names)
    labels = 0 if mended else layout.header_rows - 1  # a quarantine file has one header row, whatever it was made from

    def read(recognise: Recognise | None) -> Iterator[Row]:
        if mended:
            return map(_as_written, _rows(records, lines, header, labels, skipped, None))
        return _rows(records, lines, header, labels, skipped, recognise)

    return Export(names, look.encoding, place.delimiter, read, skipped, look.final_newline)


# --- cells that a spreadsheet would take for formulas -----------------------------------------------------------------

_FORMULA: Final = re.compile(
    rf"['\"`\s{_UNSEEN}\u2018-\u201f\u00ab\u00bb]*[=+\-@\t\r\u2212\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20]"
)
"""What begins a formula, in full width too, behind spaces, quotes and what cannot be seen: some programs trim those."""


def harmless(cell: str) -> str:
    """Return a cell so that a spreadsheet shows it and does not carry it out as a formula: behind an apostrophe.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unharmed(cell: str) -> str:
    """Return what `harmless` was given; a formula that a person typed meanwhile stays as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def _as_written(row: Row) -> Row:
    return Row(row.number, list(map(unharmed, row.cells)), row.problem)


# --- bytes ------------------------------------------------------------------------------------------------------------

_UNDECODABLE: Final = "the file is not text in UTF-8, UTF-16 or Windows-1252; save it as CSV in UTF-8"
_BROKEN: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error)
"""What unpacking raises when the packed bytes are cut off or damaged."""

_CHUNK: Final = 1 << 18
_WIDE_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WIDE_SAMPLE: Final = 512
_LINE_ENDS: Final = b"\r\n"
_ESCAPED: Final = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_CONTROLS: Final = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1a")


@dataclass(frozen=True, slots=True)
class _Look:
    """How bytes are to be read: the encoding as the report names it, and Python's codec for it."""

    encoding: str
    codec: str
    final_newline: bool


def _refusal(error: Exception) -> ExportError:
    """Say in our own words why bytes cannot be unpacked or decoded."""
    if isinstance(error, UnicodeDecodeError):
        return ExportError(_UNDECODABLE, code="undecodable")
    return ExportError("the packed file is damaged, or ends too early", code="truncated")


class _InSips:
    """A file that gives little at once: an archive's directory is read as a whole, however many members it claims."""

    __slots__ = ("_stream", "seek", "seekable", "tell")

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.seekable, self.tell = stream.seek, stream.seekable, stream.tell

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size if 0 <= size <= MAX_DIRECTORY else MAX_DIRECTORY + 1)
        if len(data) > MAX_DIRECTORY:
            raise ExportError("the .zip holds too many files; one CSV is allowed", code="undecodable")
        return data


def _unpacked(name: str, stream: IO[bytes]) -> IO[bytes]:
    if name.casefold().endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"))
    if name.casefold().endswith(".zip"):
        try:
            archive = zipfile.ZipFile(_InSips(stream))
            members = [info for info in archive.infolist() if info.filename.casefold().endswith(".csv")]
            if len(members) != 1:
                raise ExportError(
                    f"the .zip holds {len(members)} CSV files; exactly one is allowed", code="undecodable"
                )
            if members[0].compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise ExportError("the .zip file is packed in an unusual way; deflate is allowed", code="undecodable")
            return archive.open(members[0])
        except (*_BROKEN, ValueError, NotImplementedError, RuntimeError) as error:  # RuntimeError: it has a password
            raise ExportError("the .zip file cannot be unpacked", code="truncated") from error
    return stream


def encoding_of(data: bytes) -> str:
    """Return the encoding as which bytes would be read.

    Raises:
        ExportError: ``empty_file`` or ``undecodable``.
    """
    return _look(io.BytesIO(data), _FOUND, packed=False, peek=False).encoding


def _look(plain: IO[bytes], layout: Layout, *, packed: bool, peek: bool) -> _Look:
    """Read bytes through, or their beginning, and tell how they are to be read."""
    start = plain.read(_WIDE_SAMPLE)
    if not start:
        raise ExportError("the file is empty", code="empty_file")
    plain.seek(0)
    codec = next((codec for bom, codec in _BOMS if start.startswith(bom)), "") or layout.encoding or _wide(start)
    if codec == "utf-16" and not start.startswith(_WIDE_MARKS):
        codec = _wide(start) or "utf-16-le"  # Python's decoder of that name takes nothing without a mark
    decoder = codecs.getincrementaldecoder("utf-8")()
    valid, pending, total, tail = True, False, 0, b""
    for chunk in _chunks(plain, peek=peek):
        total += len(chunk)
        if packed and total > MAX_UNPACKED:
            raise ExportError(f"the packed file holds more than {MAX_UNPACKED >> 20} MiB; split it", code="undecodable")
        tail = (tail + chunk[-2:])[-2:]
        if not codec and valid and (pending or not chunk.isascii()):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                valid = False
            pending = bool(decoder.getstate()[0])
    if not codec:
        plain.seek(0)
        codec = "utf-8" if valid else _narrow(plain, peek=peek)
    wide = codec.startswith("utf-16")
    final = (tail.strip(b"\0") in (b"\r", b"\n")) if wide else tail[-1:] in (b"\r", b"\n")
    return _Look(_NAMES.get(codec, codec), codec, final)


_NAMES: Final = {"utf-8-sig": "utf-8", "cp1252": "windows-1252"}
"""What the report calls Python's codecs, where it has another name."""


def _chunks(plain: IO[bytes], *, peek: bool) -> Iterator[bytes]:
    while chunk := plain.read(_CHUNK):
        yield chunk
        if peek:
            return


def _wide(start: bytes) -> str:
    """Return the UTF-16 that bytes without a mark are in, "" if in none: Latin letters have a zero byte each."""
    pairs = len(start) // 2
    high, low = start[0 : 2 * pairs : 2].count(0), start[1 : 2 * pairs : 2].count(0)
    if low * 10 > pairs * 4 and high * 4 < low:
        return "utf-16-le"
    return "utf-16-be" if high * 10 > pairs * 4 and low * 4 < high else ""


def _narrow(plain: IO[bytes], *, peek: bool) -> str:
    """Tell a Windows-1252 file from one in UTF-8 with spoilt cells, which must not spoil the others.

    Text in UTF-8 is full of sequences that are valid as such, and text in Windows-1252 has next to none.

    Raises:
        ExportError: ``undecodable``: it is no text at all.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    sequences = spoilt = controls = total = 0
    for chunk in _chunks(plain, peek=peek):
        total += len(chunk)
        controls += len(chunk) - len(chunk.translate(None, _CONTROLS))
        text = decoder.decode(chunk)
        escaped = len(_ESCAPED.findall(text))
        spoilt += escaped
        sequences += len(_BEYOND_ASCII.findall(text)) - escaped
    if controls * 100 > total:
        raise ExportError(_UNDECODABLE, code="undecodable")
    return "cp1252" if sequences * 10 < spoilt else "utf-8"


# --- records ----------------------------------------------------------------------------------------------------------


class _Lines:
    """The lines of a text, one by one, none of which can be of any length; ``number`` counts them.

    ``room`` is how many characters the record that is being read may still have.
    """

    __slots__ = ("_readline", "number", "room", "text")

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text = text
        self._readline = text.readline
        self.number = 0
        self.room = MAX_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._readline(MAX_ROW)
        if not line:
            raise StopIteration
        self.number += 1
        self.room -= len(line)
        if self.room < 0:
            while line and line[-1] not in "\r\n":
                line = self._readline(MAX_ROW)
            raise csv.Error("the row is too long")
        return line


_BAD_RECORD: Final = "it breaks the rules of CSV (a quote inside a cell must be doubled), or a cell is too long"


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each record, or none and its problem: one that breaks the rules of CSV ends no file."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        while True:
            lines.room = MAX_ROW - 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise ExportError(
                        "the file ends inside a quoted cell; it was cut off, or a quote is missing", code="truncated"
                    ) from error
                yield [], _BAD_RECORD
                continue
            except (UnicodeDecodeError, *_BROKEN) as error:
                raise _refusal(error) from error
            yield cells, ""
    finally:
        # The bytes belong to whoever opened them; a text that merely goes away would close them, with a warning.
        with suppress(ValueError):  # they are closed already
            lines.text.detach()


def _rows(
    records: Iterator[tuple[list[str], str]],
    lines: _Lines,
    header: list[str],
    labels: int,
    skipped: list[int],
    recognise: Recognise | None,
) -> Iterator[Row]:
    """Number the rows of data and mark those that do not fit the header; blank lines are no rows.

    What may be a footer is kept until it is clear whether data follows: then it is a row like any other. A row that
    is recognised is certainly data: it is counted, and passed over.
    """
    width, number, blank = len(header), 0, False
    names = [header]
    held: list[tuple[int, list[str]]] = []
    for place, (cells, problem) in enumerate(records):
        fits = len(cells) == width
        if fits and recognise and recognise(cells, number + len(held) + 1):
            blank = False
            for _, before in held:
                number += 1
                yield Row(number, before, _width_problem(before, width))
            held.clear()
            number += 1
            continue
        if not problem:
            if not (cells and cells[0].strip()) and not any(cell.strip() for cell in cells):
                blank = True
                continue
            if cells in names or place < labels or (place == 0 and _is_label_row(cells, header)):
                names += [] if cells in names else [cells]
                skipped.append(lines.number)
                continue
            # Three cells that are filled are no footer, and most rows begin with them.
            filled = width > 2 and fits and cells[0] and cells[1] and cells[2]
            sparse = not filled and (not fits or cells.count("") >= width - 2)
            if sparse and len(held) < _MAX_FOOTER and _is_footer(cells, set_apart=blank and width > 1):
                held.append((lines.number, cells))
                continue
        blank = False
        if held:
            for _, before in held:
                number += 1
                yield Row(number, before, _width_problem(before, width))
            held.clear()
        number += 1
        yield Row(number, cells, problem or ("" if fits else _width_problem(cells, width)))
    skipped.extend(line for line, _ in held)


def _width_problem(cells: list[str], width: int) -> str:
    return "" if len(cells) == width else f"it has {len(cells)} cells; the header has {width}"


def _is_label_row(cells: list[str], header: list[str]) -> bool:
    """Tell whether the row under the header repeats it for people, as SuccessFactors' second one does."""
    filled = [(cell, name) for cell, name in zip(cells, header, strict=False) if cell.strip()]
    same = sum(column_key(cell) == column_key(name) for cell, name in filled)
    return same > 1 and same * 2 > len(filled)


_MAX_FOOTER: Final = 20
_FOOTER: Final = re.compile(
    r"(grand |sub)?totals?\b.{0,60}|(gesamt)?summe|gesamt|sum|count"
    r"|((number of )?(rows?|records?|employees|workers)|zeilen|datensätze)( count)? ?[:=] ?\d[\d., ]*"
    r"|\d[\d.,]* (rows?|records?|employees|workers|zeilen|datensätze)"
    r"|(page|seite) \d+( ?(of|von|/) ?\d+)?"
    r"|\W*(end of (report|file|data)|ende des berichts)\W*"
    r"|(generated|exported|printed|created|report run|run)( by| on| at| date| time)\b.{0,100}",
    re.IGNORECASE,
)
_AMOUNT: Final = re.compile(r"[\d.,' %]+")


def _is_footer(cells: list[str], *, set_apart: bool) -> bool:
    """Tell whether cells are what reports end with. A row that was cut off is not: it has no such words.

    ``set_apart``: a blank line precedes it; then a single cell of several words is a footer too.
    """
    texts = [text for cell in cells if (text := cell.strip())]
    if len(texts) > 2 or any("@" in text for text in texts):
        return False
    if _FOOTER.fullmatch(texts[0]):
        return len(texts) == 1 or bool(_AMOUNT.fullmatch(texts[1]))
    return set_apart and len(texts) == 1 and " " in texts[0]


# --- the header -------------------------------------------------------------------------------------------------------

_HEADER_WITHIN: Final = 50
"""Records among which the header must be."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The delimiter, and the record that is the header (-1: the first that is not blank)."""

    delimiter: str
    record: int


def _header_place(text: io.TextIOWrapper, required: Collection[str], known: Collection[str], layout: Layout) -> _Place:
    """Return the place of the first row that has the required columns and most of those known."""
    sample = io.BytesIO("".join(_sample(text)).encode("utf-8", "surrogateescape"))
    needed = {column_key(column) for column in required}
    wanted = needed | {column_key(column) for column in known}
    best, score = _Place(layout.delimiter or _most_used(sample), -1), (False, 1, 0)
    for delimiter in (layout.delimiter or DELIMITERS) if wanted else ():
        for place, cells in enumerate(_sampled(sample, delimiter)):
            keys = set(map(column_key, cells))
            found = (bool(needed) and needed <= keys, len(keys & wanted), len(cells))
            if found[:2] > score[:2] or (best.record == place and found > score):
                best, score = _Place(delimiter, place), found
    return best


def _sample(text: io.TextIOWrapper) -> Iterator[str]:
    room = MAX_ROW
    for _ in range(_HEADER_WITHIN):
        line = text.readline(room)
        room -= len(line)
        if not line or room <= 0:
            return
        yield line


def _sampled(sample: io.BytesIO, delimiter: str) -> Iterator[list[str]]:
    """Yield the sample's records, until it ends within one."""
    sample.seek(0)
    text = io.TextIOWrapper(sample, encoding="utf-8", errors="surrogateescape", newline="")
    with suppress(ExportError):
        for cells, _ in _records(_Lines(text), delimiter):
            yield cells


def _most_used(sample: io.BytesIO) -> str:
    """Return the delimiter that the first line uses most, outside quotes."""
    line = next(
        (line for line in sample.getvalue().decode("utf-8", "surrogateescape").splitlines() if line.strip()), ""
    )
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _header(records: Iterator[tuple[list[str], str]], lines: _Lines, place: _Place, skipped: list[int]) -> list[str]:
    """Read up to the header and return it; lines before it that are not blank are noted."""
    for number, (cells, problem) in enumerate(records):
        filled = any(cell.strip() for cell in cells)
        if number == place.record or (place.record < 0 and filled):
            return cells
        if filled or problem:
            skipped.append(lines.number)
    raise ExportError("the file has no header row", code="empty_file")


def _refuse_header(names: Sequence[str]) -> None:
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise ExportError(_UNDECODABLE, code="undecodable")
    if len(names) > MAX_COLUMNS:
        raise ExportError(f"the header has {len(names)} columns; {MAX_COLUMNS} are allowed", code="undecodable")
    keys = [column_key(name) for name in names]
    count = Counter(keys)
    twice = [str(number) for number, key in enumerate(keys, 1) if key and count[key] > 1]
    if twice:
        # By number: where the header is missing, the first row is a person's.
        raise ExportError(
            f"the columns {', '.join(twice[:20])} have a name that another column has too; a name may stand once",
            code="duplicate_column",
        )
