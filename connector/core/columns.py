"""Named columns of bytes in one file, each read when it is first asked for, and all of them checked before.

::

    magic | column | column | … | JSON: facts, and each column's name, sizes and CRC-32 | its size and CRC-32

The directory stands at the end, so that a file is written in one go, with one column in memory at a time.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from connector.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Read = Callable[[int, int], bytes]
    """Returns bytes of a file: from where, and how many."""

_TRAILER: Final = struct.Struct("<II")
_PIECE: Final = 1 << 20
_SAMPLE: Final = 1 << 16
_WORTH: Final = 0.95
"""What zlib must make of a column, at most, for it to be packed: digests and object ids stay as long as they are."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a column stands in the file: its first byte, its bytes there, and how many they are when unpacked."""

    start: int
    size: int
    whole: int
    crc: int

    @property
    def packed(self) -> bool:
        """Tell whether it was worth packing."""
        return self.size != self.whole


class Columns:
    """The columns of a file that has been checked. ``facts`` are what was written beside them."""

    def __init__(self, read: Read, facts: dict[str, Any], stored: dict[str, Stored]) -> None:
        self.facts = facts
        self._read = read
        self._stored = stored

    def column(self, name: str) -> bytes:
        """Return a column, read and unpacked anew.

        Raises:
            StoreError: ``ledger_corrupt`` when there is no such column.
        """
        stored = self._stored.get(name)
        if stored is None:
            raise corrupt(f"has no column {name}")
        data = self._read(stored.start, stored.size)
        return zlib.decompress(data, bufsize=stored.whole) if stored.packed else data


def write_columns(
    write: Callable[[bytes], object], magic: bytes, facts: dict[str, Any], columns: Iterable[tuple[str, bytes]]
) -> None:
    """Write a file, one column after another; ``facts`` are what JSON can say."""
    write(magic)
    directory = []
    for name, whole in columns:
        data = _packed(whole)
        write(data)
        directory.append([name, len(data), len(whole), zlib.crc32(data)])
    end = orjson.dumps({**facts, "columns": directory})
    write(end)
    write(_TRAILER.pack(len(end), zlib.crc32(end)))


def open_columns(read: Read, size: int, magic: bytes) -> Columns:
    """Return the columns of a file of ``size`` bytes, each byte of which has been checked.

    Raises:
        StoreError: ``ledger_corrupt`` when it is not whole.
    """
    at = size - _TRAILER.size
    if at < len(magic) or read(0, len(magic)) != magic:
        raise corrupt("is too short, or does not begin as one")
    length, crc = _TRAILER.unpack(read(at, _TRAILER.size))
    end = read(at - length, length) if length <= at - len(magic) else b""
    if zlib.crc32(end) != crc or not end:
        raise corrupt("was cut off or changed")
    facts = orjson.loads(end)
    stored: dict[str, Stored] = {}
    start = len(magic)
    for name, packed, whole, crc in facts.pop("columns"):
        stored[name] = Stored(start, packed, whole, crc)
        start += packed
    if start != at - length or any(_crc(read, each) != each.crc for each in stored.values()):
        raise corrupt("was cut off or changed")
    return Columns(read, facts, stored)


def corrupt(how: str) -> StoreError:
    """Return the error that says that a ledger is not whole."""
    return StoreError(f"the ledger {how}", code="ledger_corrupt")


def _packed(whole: bytes) -> bytes:
    middle = len(whole) // 2
    sample = whole[middle : middle + _SAMPLE]
    if len(zlib.compress(sample, 1)) > len(sample) * _WORTH:
        return whole
    data = zlib.compress(whole, 1)
    return data if len(data) < len(whole) else whole


def _crc(read: Read, stored: Stored) -> int:
    crc = 0
    for start in range(stored.start, stored.start + stored.size, _PIECE):
        crc = zlib.crc32(read(start, min(_PIECE, stored.start + stored.size - start)), crc)
    return crc
