"""Graph's answers: the error envelope, and refusals on their way to it."""

from __future__ import annotations

from typing import Any

from tests.tenant.wire import Reply, json_reply


class Refusal(Exception):
    """Graph refuses the request; ``reason`` says why to whoever reads a failing test, never to the client."""

    def __init__(self, status: int, code: str, message: str, *, reason: str | None = None) -> None:
        super().__init__(f"{status} {code}: {reason or message}")
        self.status = status
        self.code = code
        self.message = message
        self.reason = reason or message

    def reply(self) -> Reply:
        """Return Graph's error envelope."""
        return error_reply(self.status, self.code, self.message)


def error_reply(status: int, code: str, message: str, *, inner: dict[str, Any] | None = None) -> Reply:
    """Return an error in Graph's envelope; the simulator adds the request's ids and date.

    https://learn.microsoft.com/graph/errors#json-representation [certain]
    """
    return json_reply(status, {"error": {"code": code, "message": message, "innerError": inner or {}}})


def malformed(reason: str) -> Refusal:
    """Return the vague refusal that most mistakes around connections meet.

    https://learn.microsoft.com/graph/api/externalconnectors-external-post-connections [likely: code
    and text from field reports]
    """
    text = "The request is malformed or incorrect."
    return Refusal(400, "InvalidRequest", text, reason=reason)


def bad_request(message: str, *, reason: str | None = None) -> Refusal:
    """Return a 400 with Graph's general code."""
    return Refusal(400, "BadRequest", message, reason=reason)


def not_found(reason: str) -> Refusal:
    """Return the 404 of external connections and people settings [unknown: code and text]."""
    return Refusal(404, "ItemNotFound", "The requested resource does not exist.", reason=reason)


def denied(reason: str) -> Refusal:
    """Return the refusal of a caller without the permission, or without authorisation for the connection.

    https://learn.microsoft.com/graph/resolve-auth-errors [certain: missing permission; likely: not authorised]
    """
    text = "Insufficient privileges to complete the operation."
    return Refusal(403, "Authorization_RequestDenied", text, reason=reason)
