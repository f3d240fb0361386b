"""One process of the app through a rotation: over TLS, with nothing replaced, and genuine Azurite.

What can go wrong on the way, request by request, is in ``tests/flows/test_rotation.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.host.world import FIRST_NIGHT, SECOND_NIGHT, FunctionApp, drop, fresh
from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, INGEST_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tenant.contoso import Contoso

pytestmark = [pytest.mark.host, pytest.mark.azurite]


@pytest.fixture
def settings(world: Contoso, app: FunctionApp) -> Iterator[dict[str, str]]:
    """Let the app work on a connection that is set up, after its first night."""
    settings = fresh(world)
    with app.under(settings):
        assert app.post("setup").status_code == 200
        drop(world, settings, FIRST_NIGHT)
        assert app.fire("sync_people") is None
        yield settings


def newest_run(app: FunctionApp) -> Any:
    return app.get("runs").json()["runs"][0]


def test_both_secrets_are_replaced_without_a_restart(world: Contoso, app: FunctionApp, settings: dict[str, str]):
    """New ones in the vault, the old ones gone from Entra: the next tick and the next setup go on at once."""
    for client_id in (ADMIN_CLIENT_ID, INGEST_CLIENT_ID):
        world.tenant.rotate_secret(client_id)
        del world.tenant.entra.apps[client_id].secrets[:-1]
    drop(world, settings, SECOND_NIGHT, "people2.csv")

    error = app.fire("sync_people")
    setup = app.post("setup")

    run = newest_run(app)
    assert (error, run["outcome"], run["failed"]) == (None, "completed", 0)
    assert setup.status_code == 200


def test_until_the_vault_has_the_new_secret_the_timer_fails_and_says_why(
    world: Contoso, app: FunctionApp, settings: dict[str, str]
):
    """The invocation counts as failed, log and report name secret and code, and no value is told."""
    secret = "made~up~and~new"
    world.tenant.entra.apps[INGEST_CLIENT_ID].secrets.clear()
    world.tenant.entra.add_secret(INGEST_CLIENT_ID, secret)
    drop(world, settings, SECOND_NIGHT, "people2.csv")

    error = app.fire("sync_people")
    failed = newest_run(app)
    world.tenant.vault.set_secret(INGEST_SECRET, secret)
    app.post("sync")
    again = app.fire("sync_people")

    assert error is not None
    assert "AADSTS7000215" in error["message"]
    assert (failed["outcome"], failed["error"]["code"]) == ("failed", "credential")
    assert (again, newest_run(app)["outcome"]) == (None, "completed")
    told = app.log.read_text()
    values = {version.value for versions in world.tenant.vault.secrets.values() for version in versions}
    assert f'"error": {{"code": "credential", "message": "Entra refuses secret {INGEST_SECRET}' in told
    assert [value for value in values if value in told] == []
