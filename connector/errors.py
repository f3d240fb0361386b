"""Everything this package raises, grouped by what the caller does about it.

* ConnectorError
  + ConfigurationError      the operator mends settings or mapping; nothing was done
  + BadRequest              the caller's request makes no sense; nothing was done
  + Forbidden               the operator has switched this off
  + NotFound                what was asked for does not exist
  + Conflict                the state does not allow it now
    - NotReady              setup has not finished; wait, or run it
  + ExportError             HR's file cannot be used; nothing was done, nobody is deleted
  + CredentialError         the vault or Entra gave no token for one of the two identities
  + StoreError              our own state
    - Busy                  another run holds the lease: leave it alone
    - LeaseLost             somebody else holds it by now: stop at once, write nothing
    - StateChanged          a conditional write met another version
    - StoreUnavailable      storage did not answer, or refused
  + GraphError              Microsoft Graph said no
    - GraphDenied           401/403: the identity lacks something; the run stops
    - GraphRejected         another 4xx: this request will never work; the next one may
    - GraphUnavailable      429/5xx/no answer, after all patience: try again later
  + DiskError               the temporary folder takes no file; the operator makes room
  + InternalError           a mistake of ours; the entry points make it of whatever else is raised

Messages say what was found, what is allowed and who can mend it. They hold no name, UPN, key or mail of a person:
whatever may hold one (a cell, a filter, Graph's own error text about an item) stays out.
"""

from __future__ import annotations

import os
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConnectorError(Exception):
    """Root of the tree. ``code`` is stable and machine-readable; the message is for people."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigurationError(ConnectorError):
    """Settings or mapping are wrong. ``problems`` lists every one of them, each a sentence that names its setting."""

    code = "configuration"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BadRequest(ConnectorError):
    """The caller's request makes no sense (HTTP 400, exit code 2)."""

    code = "bad_request"


class Forbidden(ConnectorError):
    """A setting of the operator's forbids it (HTTP 403)."""

    code = "forbidden"


class NotFound(ConnectorError):
    """What was asked for does not exist (HTTP 404)."""

    code = "not_found"


class Conflict(ConnectorError):
    """The present state does not allow what was asked (HTTP 409)."""

    code = "conflict"


class NotReady(Conflict):
    """Setup has not finished (exit code 4)."""

    code = "not_ready"


class ExportError(ConnectorError):
    """HR's file cannot be used. ``code`` is one of interface §8's codes for a file as a whole.

    ``file`` names it where it is one of several; "" otherwise.
    """

    def __init__(self, message: str, *, code: str | None = None, file: str = "") -> None:
        super().__init__(message, code=code)
        self.file = file


class CredentialError(ConnectorError):
    """The vault or Entra gave no token. The message names the identity and what the operator can do.

    ``in_doubt``: an earlier attempt of the request that wanted one got no final answer, so it may have taken effect.
    """

    code = "credential"
    in_doubt = False


class StoreError(ConnectorError):
    """Our own state in blob storage."""

    code = "store"


class Busy(StoreError):
    """Another run holds the lease."""

    code = "busy"


class LeaseLost(StoreError):
    """The lease ran out or belongs to somebody else: stop, write nothing more."""

    code = "lease_lost"


class StateChanged(StoreError):
    """A conditional write met another version than the one it was based on."""

    code = "state_changed"


class StoreUnavailable(StoreError):
    """Storage did not answer, or refused the identity we have there."""

    code = "store_unavailable"


class GraphError(ConnectorError):
    """Microsoft Graph said no. ``status`` is the HTTP status (0: no answer), ``request_id`` Graph's own.

    ``in_doubt``: an earlier attempt of the request got no final answer, so it may have taken effect all the same.
    """

    code = "graph"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "graph",
        request_id: str | None = None,
        in_doubt: bool = False,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.request_id = request_id
        self.in_doubt = in_doubt


class GraphDenied(GraphError):
    """401 or 403: the identity lacks a permission, a consent or the connection's authorisation."""


class GraphRejected(GraphError):
    """Any other 4xx. The same request will never succeed; others may."""


class GraphUnavailable(GraphError):
    """429, 5xx or no answer, after all retries."""


class DiskError(ConnectorError):
    """The temporary folder does not take what has to be written there."""

    code = "disk"

    def __init__(self, error: OSError) -> None:
        # An operating system's own words are about a file, and files are named by HR.
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        super().__init__(
            f"the temporary folder does not take the export ({reason}): make room, or let TMPDIR name a larger one."
            " It needs as much as the exports that are read have together"
        )


class InternalError(ConnectorError):
    """A mistake of ours: it says where, never what about, since the text of an exception may hold anything."""

    code = "internal"

    def __init__(self, mistake: BaseException) -> None:
        frames = traceback.extract_tb(mistake.__traceback__)[-3:]
        places = " > ".join(f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        super().__init__(f"internal error: {type(mistake).__name__} at {places}")
