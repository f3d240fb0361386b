"""What the simulator notes of each request."""

from __future__ import annotations

from typing import NamedTuple


class Seen(NamedTuple):
    """A request: method, path without the base (a query stays attached), and the name of the app that sent it."""

    method: str
    path: str
    identity: str | None
