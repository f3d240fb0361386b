"""Log events: one JSON object per line, without personal data (interface §7).

Alerts are built on the member ``event``; the numbers beside it are the report's own.
"""

from __future__ import annotations

import json
import logging
from typing import Final, Literal

EventName = Literal[
    "sync.tick",
    "sync.started",
    "sync.completed",
    "sync.unchanged",
    "sync.held",
    "sync.refused",
    "sync.partial",
    "sync.superseded",
    "sync.failed",
    "sync.stale",
    "sync.paused",
    "item.failed",
    "item.drifted",
    "graph.throttled",
    "credential.expiring",
    "setup.step",
]

LOGGER: Final = "connector"

_WARNINGS = frozenset(
    {"sync.held", "sync.stale", "sync.paused", "item.failed", "item.drifted", "graph.throttled", "credential.expiring"}
)
_ERRORS = frozenset({"sync.failed", "sync.refused"})

_QUIET = ("azure", "httpx", "httpcore", "msal", "kiota_http", "asyncio")
"""Loggers that print URLs and headers at INFO. A user filter or an item id has no business in a log."""


def emit(event: EventName, **numbers: object) -> None:
    """Log one event with its numbers. Values must be JSON and must not be personal data."""
    if event in _ERRORS:
        level = logging.ERROR
    elif event in _WARNINGS:
        level = logging.WARNING
    else:
        level = logging.INFO
    logging.getLogger(LOGGER).log(level, "%s", json.dumps({"event": event, **numbers}, ensure_ascii=True, default=str))


def quieten() -> None:
    """Keep the libraries' own INFO lines, which hold URLs, out of the log. Called by the entry points."""
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(LOGGER).setLevel(logging.INFO)
