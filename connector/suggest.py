"""Suggest a first mapping for a file: read it through, and write down what its columns could become."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from connector.core.export import open_export
from connector.core.suggest import KNOWN, Table, suggest
from connector.errors import BadRequest

if TYPE_CHECKING:
    from os import PathLike


def suggest_mapping(file: PathLike[str]) -> str:
    """Return the text of a first mapping for an HR export: CSV, packed or not.

    Rows that cannot be read are passed over: what is wrong with them, ``mapping check`` says.

    Raises:
        BadRequest: there is no such file, or no column of it can be a person's key.
        ExportError: it cannot be read as an export.
    """
    path = Path(file)
    try:
        with path.open("rb") as stream:
            table = _table(path.name, stream)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from error
    return suggest(path.name, table)


def _table(name: str, stream: IO[bytes]) -> Table:
    export = open_export(name, stream, known=KNOWN)
    table = Table(export.header)
    for row in export.rows:
        if not row.problem:
            table.add(row.cells)
    return table


def write_mapping(text: str, file: PathLike[str], *, force: bool) -> None:
    """Write a mapping file in UTF-8; one that is there stays, unless ``force``.

    Raises:
        BadRequest: the file is there, or cannot be written.
    """
    path = Path(file)
    try:
        with path.open("w" if force else "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise BadRequest(f"{path} is there already; --force writes over it") from error
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}") from error
