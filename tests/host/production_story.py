"""Two nights in production, from setup to teardown: run in namespaces of its own, it prints what it has seen as JSON.

It judges nothing; ``test_production.py`` starts it and does.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.host.world import FIRST_NIGHT, SECOND_NIGHT, FunctionApp
from tests.tenant.contoso import EXPORTS, STATE
from tests.tenant.production import FOREIGN_VAULT, production

if TYPE_CHECKING:
    import httpx

    from tests.tenant.graph.contracts import ContractName
    from tests.tenant.production import Production


def main(contract: ContractName) -> None:
    """Live through it under a contract."""
    with tempfile.TemporaryDirectory(prefix="production-") as name:
        folder = Path(name)
        with production(folder, contract=contract) as there, FunctionApp(there.settings, folder / "app.log") as app:
            seen = {"settings": there.settings, "engine": app.engine, **_story(there, app)}
            entra = there.world.tenant.entra
            seen["tokens asked for"] = sorted({(method, path, str(app_id)) for method, path, app_id in entra.requests})
            seen["tokens given"] = sorted({(token.name, token.audience) for token in entra._tokens.values()})
            seen["asked"] = {service: sorted(set(requests)) for service, requests in there.asked.items()}
            seen["storage"] = _authorisations(there.log)
            seen["log"] = app.log.read_text(encoding="utf-8")
    sys.stdout.write(json.dumps(seen))


def _story(there: Production, app: FunctionApp) -> dict[str, Any]:
    graph = there.world.tenant.graph
    seen: dict[str, Any] = {"setup": [_told(app.post("setup")) for _ in range(2)]}
    seen["nights"] = []
    for export, name in ((FIRST_NIGHT, "people-1.csv"), (SECOND_NIGHT, "people-2.csv")):
        there.world.follow(export)
        with there.storage() as account:
            account.get_blob_client(EXPORTS, name).upload_blob(export)
        seen["nights"].append({"failure": app.fire("sync_people"), "run": app.get("runs").json()["runs"][0]})
    seen["items"], seen["profiles"] = sorted(graph.items), graph.profiles()
    seen["status"], seen["health"] = _told(app.get("status")), _told(app.get("health"))
    with there.storage() as account:
        blobs = account.get_container_client(STATE).list_blobs(include=["copy"])
        seen["copies"] = [blob.copy.status for blob in blobs if "/exports/" in blob.name]
    with app.under({"KEY_VAULT_URL": f"https://{FOREIGN_VAULT}"}):
        seen["health with a foreign vault"] = _told(app.get("health"))
    seen["teardown"] = [_told(app.delete("setup?confirm=contosohr")) for _ in range(2)]
    seen["left"] = {
        "connections": sorted(graph.connections),
        "items": len(graph.items),
        "profile sources": sorted(graph.sources),
    }
    return seen


def _told(answer: httpx.Response) -> dict[str, Any]:
    return {"status": answer.status_code, "body": answer.json()}


def _authorisations(log: Path) -> list[tuple[str, str, str]]:
    """Return how storage was asked: scheme, and the token's app and audience, each combination once."""
    found = set()
    for told in re.findall(r"RequestHeaders:(\{.*?\}) ClientIP=", log.read_text(encoding="utf-8")):
        scheme, _, token = json.loads(told).get("authorization", "").partition(" ")
        claims = _claims(token) if scheme == "Bearer" else {}
        found.add((scheme, claims.get("app_displayname", ""), claims.get("aud", "")))
    return sorted(found)


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


if __name__ == "__main__":
    main("preview" if sys.argv[1:] == ["preview"] else "labels")
