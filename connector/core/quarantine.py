"""The rejected rows as a file that HR can mend and drop back."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from connector.core.export import column_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from connector.core.mapping import Rejection

OWN_COLUMNS: Final = ("_row", "_error_code", "_error")


def quarantine_name(connection_id: str, export: str, run: str) -> str:
    """Return the quarantine blob's name (interface §5)."""
    return f"{connection_id}/{export}.{run}.rejected.csv"


def quarantine_file(header: Sequence[str], rejections: Iterable[Rejection], *, delimiter: str, encoding: str) -> bytes:
    """Return the rejected rows in the input's own columns, delimiter and encoding, with row number, code and reason.

    ``_row`` counts rows of data from 1. Dropped back as it is, the file is a partial export: `_error_code` in its
    header says so. Columns that the input already had under one of these names (a correction corrected) are not
    repeated, in whatever spelling: a header that names a column twice would be refused.
    """
    own = set(map(column_key, OWN_COLUMNS))
    kept = [index for index, name in enumerate(header) if column_key(name) not in own]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow([*(header[index] for index in kept), *OWN_COLUMNS])
    for rejection in rejections:
        cells = [rejection.cells[index] if index < len(rejection.cells) else "" for index in kept]
        cells += rejection.cells[len(header) :]  # a row with too many cells loses none of them
        reasons = "; ".join(problem.message for problem in rejection.problems)
        writer.writerow([*cells, rejection.row, rejection.code, reasons])
    if encoding == "utf-16":
        return text.getvalue().encode("utf-16")
    # The byte order mark makes a spreadsheet read UTF-8 as UTF-8. Bytes that were no UTF-8 go out as they came in.
    return b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", "surrogateescape")
