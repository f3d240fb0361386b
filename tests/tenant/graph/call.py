"""A request whose sender is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from tests.tenant.graph.replies import malformed

if TYPE_CHECKING:
    from tests.tenant.entra import Token
    from tests.tenant.graph.state import Json
    from tests.tenant.wire import Request


@dataclass(slots=True)
class Call:
    """An authenticated request on its way to a handler."""

    request: Request
    version: str
    token: Token
    opened: list[str]
    """The connections whose items this request, with all its parts, works on until it is answered."""

    @property
    def client_id(self) -> str:
        """Return the calling app's id."""
        return self.token.client_id

    @property
    def identity(self) -> str:
        """Return the calling app's name."""
        return self.token.name

    @property
    def roles(self) -> frozenset[str]:
        """Return the application permissions in the token."""
        return self.token.roles

    def json_object(self) -> Json:
        """Return the body, which must be a JSON object sent as such."""
        if not self.request.headers.get("content-type", "").startswith("application/json"):
            raise malformed("the content type is not application/json")
        try:
            body = orjson.loads(self.request.body)
        except orjson.JSONDecodeError:
            raise malformed("the body is not JSON") from None
        if not isinstance(body, dict):
            raise malformed("the body is not a JSON object")
        return body
