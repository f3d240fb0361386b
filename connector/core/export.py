"""The bytes of an HR export, as a header and rows.

What a file may look like is in ``docs/mapping.md``; what it means is the mapping's business (`connector.core.mapping`).
"""

from __future__ import annotations

import csv
import gzip
import io
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterator

DELIMITERS: Final = ",;\t|"

MAX_CELL: Final = 1_000_000
"""Characters in one cell. A stray quote swallows the rest of a file into one cell; this is where it ends."""

CORRECTION_COLUMN: Final = "_error_code"
"""A header with this column is a corrected quarantine file: partial, whatever its name (interface §5)."""

_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_INVISIBLE: Final = str.maketrans("", "", "\ufeff\u200b\u200c\u200d\u2060\u00ad")
_IGNORED_IN_HEADERS: Final = str.maketrans("", "", " _-\u00a0\t\r\n\ufeff\u200b\u200c\u200d\u2060\u00ad")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of data. ``number`` counts from 1 (the header is 0). ``problem`` says why the cells cannot be trusted."""

    number: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Export:
    """An opened export: its header as written, how it was read, and its rows, once."""

    header: tuple[str, ...]
    encoding: str
    delimiter: str
    rows: Iterator[Row]

    @property
    def is_correction(self) -> bool:
        """Whether this is a quarantine file that HR has mended and dropped back."""
        return column_key(CORRECTION_COLUMN) in map(column_key, self.header)


def column_key(name: str) -> str:
    """Return a header in the form in which two spellings are equal: no case, spaces, ``_`` or ``-``."""
    return name.translate(_IGNORED_IN_HEADERS).casefold()


def open_export(name: str, stream: IO[bytes]) -> Export:
    """Read the header of an export and stand ready to read its rows.

    ``stream`` must be seekable and at its start; ``name`` decides whether it is packed (``.gz``, ``.zip``).

    Raises:
        ExportError: ``empty_file``, ``undecodable``, ``duplicate_column``, or ``truncated`` when it ends inside
            quotes (while the rows are read).
    """
    plain = _unpacked(name, stream)
    try:
        start = plain.read(4)
        plain.seek(0)
    except _BROKEN as error:
        raise _refusal(error) from error
    if not start:
        raise ExportError("the file is empty", code="empty_file")
    encoding = next((encoding for bom, encoding in _BOMS if start.startswith(bom)), "utf-8")
    text = io.TextIOWrapper(
        plain, encoding=encoding, errors="strict" if encoding == "utf-16" else "surrogateescape", newline=""
    )
    try:
        delimiter = _delimiter(text)
    except (UnicodeDecodeError, *_BROKEN) as error:
        text.detach()
        raise _refusal(error) from error
    rows = _read(text, delimiter)
    header = next((row.cells for row in rows if any(cell.strip() for cell in row.cells)), None)
    if header is None:
        raise ExportError("the file has no header row", code="empty_file")
    names = tuple(cell.translate(_INVISIBLE).strip() for cell in header)
    _refuse_header(names)
    return Export(names, encoding.removesuffix("-sig"), delimiter, _numbered(rows, len(names)))


_UNDECODABLE: Final = "the file is not text in UTF-8 or UTF-16; save it as CSV in UTF-8"
_BROKEN: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile, struct.error)
"""What unpacking raises when the packed bytes are cut off or damaged."""


def _refusal(error: Exception) -> ExportError:
    """Say in our own words why bytes cannot be unpacked or decoded."""
    if isinstance(error, UnicodeDecodeError):
        return ExportError(_UNDECODABLE, code="undecodable")
    return ExportError("the packed file is damaged, or ends too early", code="truncated")


def _unpacked(name: str, stream: IO[bytes]) -> IO[bytes]:
    if name.casefold().endswith(".gz"):
        return io.BufferedReader(gzip.GzipFile(fileobj=stream, mode="rb"))
    if name.casefold().endswith(".zip"):
        try:
            archive = zipfile.ZipFile(stream)
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


def _delimiter(text: io.TextIOWrapper) -> str:
    """Return the delimiter that the first line uses most, outside quotes."""
    line = ""
    while not line.strip() and (chunk := text.readline(MAX_CELL)):
        line = chunk
    text.seek(0)
    outside = "".join(line.split('"')[::2])
    return max(DELIMITERS, key=outside.count)


def _refuse_header(names: tuple[str, ...]) -> None:
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise ExportError(_UNDECODABLE, code="undecodable")
    keys = [column_key(name) for name in names]
    twice = [str(number) for number, key in enumerate(keys, 1) if key and keys.count(key) > 1]
    if twice:
        # By number: where the header is missing, the first row is a person's.
        raise ExportError(
            f"the columns {', '.join(twice)} have a name that another column has too; a name may stand once",
            code="duplicate_column",
        )


def _read(text: io.TextIOWrapper, delimiter: str) -> Iterator[Row]:
    """Yield physical rows; a row that breaks the rules of CSV is yielded with its problem, and reading goes on."""
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise ExportError(
                        "the file ends inside a quoted cell; it was cut off, or a quote is missing", code="truncated"
                    ) from error
                yield Row(
                    0, [], "it breaks the rules of CSV (a quote inside a cell must be doubled), or a cell is too long"
                )
                continue
            except (UnicodeDecodeError, *_BROKEN) as error:
                raise _refusal(error) from error
            yield Row(0, cells)
    finally:
        # The bytes belong to whoever opened them; a text that merely goes away would close them, with a warning.
        with suppress(ValueError):  # they are closed already
            text.detach()


def _numbered(rows: Iterator[Row], width: int) -> Iterator[Row]:
    """Number the rows of data and mark those that do not fit the header; blank lines are no rows."""
    number = 0
    for row in rows:
        cells, problem = row.cells, row.problem
        if not problem and not any(cell.strip() for cell in cells):
            continue
        number += 1
        if not problem and len(cells) != width:
            problem = f"it has {len(cells)} cells; the header has {width}"
        yield Row(number, cells, problem)
