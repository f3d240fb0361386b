"""The rejected rows as a file that HR can mend and drop back."""

from __future__ import annotations

import csv
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from connector.core.export import column_key, encoding_of, harmless
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connector.core.mapping import Rejection

OWN_COLUMNS: Final = ("_row", "_error_code", "_error")
_OWN: Final = frozenset(map(column_key, OWN_COLUMNS))


def is_own(column: str) -> bool:
    """Tell whether a column of a quarantine file is ours, and not one of the export's."""
    return column_key(column) in _OWN


def quarantine_name(connection_id: str, export: str, run: str) -> str:
    """Return the quarantine blob's name (interface §5)."""
    return f"{connection_id}/{export}.{run}.rejected.csv"


def quarantine_file(header: Sequence[str], rejections: Iterable[Rejection], *, delimiter: str, encoding: str) -> bytes:
    """Return the rejected rows in the input's own columns, delimiter and encoding, with row number, code and reason.

    ``_row`` counts rows of data from 1. Dropped back as it is, the file is a partial export: `_error_code` in its
    header says so. Columns that the input already had under one of these names (a correction corrected) are not
    repeated, in whatever spelling: a header that names a column twice would be refused.

    A cell that a spreadsheet would take for a formula stands behind an apostrophe, which is taken off again when the
    file is read (`connector.core.export.harmless`).
    """
    own = set(map(column_key, OWN_COLUMNS))
    kept = [index for index, name in enumerate(header) if column_key(name) not in own]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow([*(harmless(header[index]) for index in kept), *OWN_COLUMNS])
    for rejection in rejections:
        cells = [rejection.cells[index] if index < len(rejection.cells) else "" for index in kept]
        cells += rejection.cells[len(header) :]  # a row with too many cells loses none of them
        reasons = "; ".join(problem.message for problem in rejection.problems)
        writer.writerow([*map(harmless, cells), rejection.row, rejection.code, harmless(reasons)])
    return _encoded(text.getvalue(), encoding)


def _encoded(text: str, encoding: str) -> bytes:
    """Return text in the input's encoding, or in UTF-8 where that could not be told when it is read again.

    A byte order mark makes a spreadsheet read UTF-8 and UTF-16 as such. Bytes that were no text go out as they came in.
    """
    if encoding == "utf-16":
        return text.encode("utf-16")
    if encoding.startswith("utf-16"):
        return f"\ufeff{text}".encode(encoding)
    if encoding != "utf-8":
        with suppress(UnicodeEncodeError, ExportError):
            data = text.encode(encoding, "surrogateescape")
            if data.isascii() or encoding_of(data) == encoding:
                return data
    return b"\xef\xbb\xbf" + text.encode("utf-8", "surrogateescape")
