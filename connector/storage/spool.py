"""A file between storage and us: in memory while it is small, else in the temporary folder, and gone with its owner."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from connector.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: Final = 4 * 1024 * 1024
"""Bytes up to which a file stays in memory."""


class Spool:
    """A file that is written once, through ``stream``, and then read in pieces. It closes itself when it is dropped."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=SMALL)  # noqa: SIM115 - closed with this object
        self._turn = threading.Lock()

    @property
    def stream(self) -> BinaryIO:
        """The file itself."""
        return cast("BinaryIO", self._file)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        with self._turn:
            place = self._file.tell()
            size = self._file.seek(0, 2)
            self._file.seek(place)
            return size

    @property
    def is_small(self) -> bool:
        """Tell whether it is worth no stream."""
        return self.size <= SMALL

    def read(self, start: int, size: int) -> bytes:
        """Return so many bytes from there."""
        with self._turn:
            self._file.seek(start)
            return self._file.read(size)

    def close(self) -> None:
        """Delete it."""
        self._file.close()

    def __del__(self) -> None:
        """Delete it with its owner: whoever reads a ledger lets go of it, and closes nothing."""
        self.close()


@contextmanager
def on_disk() -> Iterator[None]:
    """Let a folder that takes no more be said as such.

    Raises:
        DiskError: the temporary folder does not take the file.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(error) from error
