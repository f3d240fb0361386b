"""Files that are made to harm, read in a process of their own that tells what they cost.

``python -m tests.core.hostile`` prints an outcome as JSON, a line for each: the code of the refusal ("" for none), the
rows, those with a problem, the seconds of computing, and by how many MiB the process grew while it read. Names of cases
behind it are those that are tried.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import random
import resource
import struct
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from connector.core.export import MAX_UNPACKED, open_export
from connector.errors import ExportError

if TYPE_CHECKING:
    from collections.abc import Callable

MIB: Final = 1 << 20
COLUMNS: Final = ("EmployeeId", "UserPrincipalName")
HEADER: Final = b"EmployeeId,UserPrincipalName\n1,a@contoso.com\n"
LAST: Final = b"\n2,b@contoso.com\n"
FULL: Final = os.environ.get("CI", "").casefold() in {"1", "true"}
"""Whether the files have their full size: the largest are made smaller where somebody waits for the tests."""


class Repeated(io.RawIOBase):
    """A file that is nowhere: some bytes, then others over and over, then a last line."""

    def __init__(self, unit: bytes, size: int, *, before: bytes = HEADER, after: bytes = LAST) -> None:
        self._unit, self._before, self._after = unit, before, after
        self._block = unit * (MIB // len(unit) + 2)
        self._middle = len(before) + size // len(unit) * len(unit)
        self._end = self._middle + len(after)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._end)[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted, at = min(len(buffer), MIB), self._at
        if at < len(self._before):
            data = self._before[at : at + wanted]
        elif at < self._middle:
            start = (at - len(self._before)) % len(self._unit)
            data = self._block[start : start + min(wanted, self._middle - at)]
        else:
            data = self._after[at - self._middle :][:wanted]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass(frozen=True, slots=True)
class Case:
    """A file, how many MiB of it there are to read, and what is to become of it: a code, or how many bad rows."""

    make: Callable[[], IO[bytes]]
    size: float
    code: str = ""
    bad: int | None = 1
    name: str = "people.csv"


def _repeated(unit: bytes, size: float, **outcome: Any) -> Case:
    return Case(lambda: io.BufferedReader(Repeated(unit, int(size * MIB))), size, **outcome)


def _bytes(make: Callable[[], bytes], size: float, **outcome: Any) -> Case:
    return Case(lambda: io.BytesIO(make()), size, **outcome)


def _packed(unit: bytes, size: int) -> bytes:
    """Return a .gz of this many bytes, in members of some MiB each: made without ever holding them."""
    one = gzip.compress(unit * (16 * MIB // len(unit)), 1, mtime=0)
    return gzip.compress(HEADER, mtime=0) + one * (size // (16 * MIB))


def _zipped(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


def _nested() -> bytes:
    """Return a .zip in a .zip in a .zip, the innermost of which holds as many zeros as fit."""
    data = gzip.compress(b"\0" * (64 * MIB), 9)
    for _ in range(3):
        data = _zipped(("people.csv", data))
    return data


def _large_zip() -> bytes:
    """Return a .zip whose member unpacks to more than is allowed."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("people.csv", "w", force_zip64=True) as member,
    ):
        for _ in range(MAX_UNPACKED // MIB + 1):
            member.write(b"\0" * MIB)
    return stream.getvalue()


def _lying(field: int, value: int) -> bytes:
    """Return a .zip whose directory says something else of its member's size: 20 is the packed, 24 the real one."""
    data = bytearray(_zipped(("people.csv", HEADER + b"2,b@contoso.com\n" * 100_000)))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + field, value)
    return bytes(data)


def _claiming(members: int) -> bytes:
    """Return a .zip that is nothing but a directory of this many members."""
    one = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
    directory = b"".join(one + b"%06x" % number for number in range(members))
    wide = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, members, members, len(directory), 0)
    place = b"PK\x06\x07" + struct.pack("<IQI", 0, len(directory), 1)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return directory + wide + place + end


def _header(columns: int) -> bytes:
    names = b",".join(b"c%d" % number for number in range(columns - len(COLUMNS)))
    return names + b",EmployeeId,UserPrincipalName\n" + b"x," * (columns - 1) + b"x\n"


CASES: Final = {
    "a cell of 10 MB": _repeated(b"x", 10),
    "a quoted cell of 10 MB": _bytes(lambda: HEADER + b'"' + b"x" * 10 * MIB + b'"' + LAST, 10),
    "one line of commas": _repeated(b",", 2048 if FULL else 128),
    "one line of small cells": _repeated(b"xy,", 32),
    "rows of as many small cells as fit": _repeated(b"xy," * 660_000 + b"\n", 8, bad=4),
    "a million quotes": _repeated(b'"', 0.9536),
    "a million quotes and one": _bytes(lambda: HEADER + b'"' * 1_000_001 + LAST, 1, code="truncated"),
    "quoted line breaks": _repeated(b'"\n",', 2, code="truncated"),
    "an open quote over many lines": _bytes(lambda: HEADER + b'"' + b"x\n" * (MIB // 2) + LAST, 1, bad=None),
    "100,000 columns": _bytes(lambda: _header(100_000), 1, code="undecodable"),
    "10,000 columns": _bytes(lambda: _header(10_000), 0.2, bad=0),
    "binary junk": _bytes(lambda: random.Random(7).randbytes(5 * MIB), 5, code="undecodable"),  # noqa: S311
    "NUL bytes": _repeated(b"\0", 10),
    "a million rows": _repeated(b"1,a@contoso.com\n", 15.26 if FULL else 2, bad=0),
    "blank lines": _repeated(b"\n", 1, bad=0),
    "lines of nothing but delimiters": _repeated(b",\n", 1, bad=0),
    "headers": _repeated(HEADER[:29], 3, bad=0),
    "footers": _repeated(b"Total,1\n", 1, bad=0),
    "bytes that are no UTF-8": _repeated(b"\xe9\xc3\xa4,x\n", 1, bad=0),
    "UTF-16 in which nothing is text": _bytes(lambda: b"\xff\xfe" + b"\x00\xd8" * MIB, 2, code="undecodable"),
    "a gzip bomb": _bytes(lambda: _packed(b"\0", MAX_UNPACKED), 1024, code="undecodable", name="people.csv.gz"),
    "a gzip of one line": _bytes(lambda: _packed(b",", 64 * MIB), 64, name="people.csv.gz"),
    "a gzip of empty members": _bytes(
        lambda: gzip.compress(b"", mtime=0) * 50_000, 1, code="empty_file", name="people.csv.gz"
    ),
    "a zip bomb": _bytes(_large_zip, 1024, code="undecodable", name="people.zip"),
    "a zip in a zip in a zip": _bytes(_nested, 1, code="undecodable", name="people.zip"),
    "a zip that says it is small": _bytes(lambda: _lying(24, 100), 2, code="truncated", name="people.zip"),
    "a zip that says it is large": _bytes(lambda: _lying(24, 1 << 31), 2, bad=0, name="people.zip"),
    "a zip that says it is packed larger": _bytes(lambda: _lying(20, 1 << 31), 2, code="truncated", name="people.zip"),
    "a zip of a million members": _bytes(lambda: _claiming(1_000_000), 50, code="undecodable", name="people.zip"),
    "a zip of a hundred CSVs": _bytes(
        lambda: _zipped(*((f"{number}.csv", HEADER) for number in range(100))), 1, code="undecodable", name="people.zip"
    ),
}


def read(case: Case) -> dict[str, Any]:
    """Read a file as the sync does, keeping nothing, and tell what it cost."""
    stream = case.make()
    _forget_peak()
    before, started = _peak(), time.process_time()
    code, rows, bad = "", 0, 0
    try:
        for row in open_export(case.name, stream, required=COLUMNS, known=COLUMNS).rows:
            rows += 1
            bad += bool(row.problem)
    except ExportError as error:
        code = error.code
    return {
        "code": code,
        "rows": rows,
        "bad": bad,
        "seconds": time.process_time() - started,
        "grown": _peak() - before,
    }


def _forget_peak() -> None:
    """Let the peak begin anew at what the process has now, where the system can do that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """Return the most memory this process has had, in MiB."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        print(json.dumps({"case": case, **read(CASES[case])}), flush=True)  # noqa: T201
