"""JSON batching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from tests.tenant.graph.replies import Refusal, bad_request
from tests.tenant.wire import Reply, Request, json_reply

if TYPE_CHECKING:
    from tests.tenant.graph.call import Call
    from tests.tenant.graph.simulator import GraphSimulator
    from tests.tenant.graph.state import Json

_MAX_PARTS = 20


def run_batch(graph: GraphSimulator, call: Call) -> Reply:
    """Serve up to 20 requests in one; each part has its own status, headers and body.

    https://learn.microsoft.com/graph/json-batching [certain]
    """
    parts = call.json_object().get("requests")
    if not isinstance(parts, list) or not parts:
        raise bad_request("Invalid batch payload format.")
    if len(parts) > _MAX_PARTS:
        raise bad_request(f"Number of batch request steps exceeds the maximum value of {_MAX_PARTS}.")
    ids = [part.get("id") for part in parts]
    if not all(isinstance(part_id, str) and part_id for part_id in ids) or len(set(ids)) != len(ids):
        raise bad_request("Every batch request must have a unique id.")
    answers = []
    for part in parts:
        reply = graph.answer_part(call, _part_request(call, part))
        if reply is not None:
            answers.append(_answer(part["id"], reply))
    return json_reply(200, {"responses": graph.shuffled(answers)})


def _part_request(call: Call, part: Json) -> Request:
    method, url, body = part.get("method"), part.get("url"), part.get("body")
    if not isinstance(method, str) or not isinstance(url, str) or "://" in url:
        raise bad_request("Every batch request must have a method and a relative url.")
    if "dependsOn" in part:
        raise Refusal(400, "BadRequest", "the simulator does not know dependsOn")
    headers = {name.lower(): value for name, value in (part.get("headers") or {}).items()}
    if body is not None and "content-type" not in headers:
        raise bad_request("Every batch request with a body must have a Content-Type header.")
    path, _, query = url.partition("#")[0].partition("?")
    # Urls inside a batch may hold characters that a request line may not; `#`, `&` and `+` mean what they mean in urls.
    return Request(
        method=method.upper(),
        base=call.request.base,
        path=f"/{path.lstrip('/')}",
        query=quote(query, safe="%&=$',()@:/+;!*~"),
        headers=headers,
        body=b"" if body is None else orjson.dumps(body),
    )


def _answer(part_id: str, reply: Reply) -> Json:
    content: Any = orjson.loads(reply.body) if reply.body else None
    headers = {_HEADERS.get(name, name): value for name, value in reply.headers.items()}
    answer = {"id": part_id, "status": reply.status, "headers": headers}
    return answer if content is None else {**answer, "body": content}


_HEADERS = {"content-type": "Content-Type", "retry-after": "Retry-After", "location": "Location"}
