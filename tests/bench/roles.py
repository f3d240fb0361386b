"""What the measured processes of `tests.bench.reading` are: ``python -m tests.bench.roles ROLE``.

Nothing is imported here that the connector does not need: it would count as the connector's memory.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.processes import peak_of, serve

Measured = dict[str, Any]


def connector_role() -> None:
    """Be the connector's process: one loop per invocation, as the host calls it."""
    from connector.events import quieten

    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    quieten()
    logging.getLogger("connector").setLevel(logging.ERROR)

    def tick() -> Measured:
        from connector.core.report import dump_report
        from connector.wiring import open_application

        async def once() -> Any:
            async with open_application(os.environ) as application:
                return await application.tick(trigger="timer")

        began, cpu = time.monotonic(), time.process_time()
        ticked = asyncio.run(once())
        ended = time.monotonic()
        return {
            "seconds": ended - began,
            "cpu": time.process_time() - cpu,
            "peak": peak_of(),
            "began": began,
            "ended": ended,
            "report": json.loads(dump_report(ticked.report)) if ticked.report else {},
        }

    serve(tick=tick)


def bare_role() -> None:
    """Be the reference: every row read, and the digest of its cells."""

    def read(path: str) -> Measured:
        rows, blake2b = 0, hashlib.blake2b
        began, cpu = time.monotonic(), time.process_time()
        with Path(path).open(encoding="utf-8", newline="") as stream:
            cells = csv.reader(stream)
            next(cells)
            for row in cells:
                blake2b("\x1f".join(row).encode(), digest_size=16).digest()
                rows += 1
        return {
            "seconds": time.monotonic() - began,
            "cpu": time.process_time() - cpu,
            "peak": peak_of(),
            "rows": rows,
        }

    serve(read=read)


def storage_role() -> None:
    """Be a process that downloads an export and has it copied, with the connector's own containers."""

    def both(name: str) -> Measured:
        return asyncio.run(_download_and_copy(name))

    serve(both=both)


async def _download_and_copy(name: str) -> Measured:
    from tempfile import TemporaryFile

    from connector.storage.blobs import AzureContainer, open_service
    from tests.tenant.contoso import EXPORTS, STATE

    connection_string = os.environ["HR_STORAGE_CONNECTION_STRING"]
    async with open_service(
        connection_string=connection_string, account_url=None, credential=None, ca_bundle=None
    ) as service:
        exports, state = (AzureContainer(service.get_container_client(each)) for each in (EXPORTS, STATE))
        await exports.list()
        with TemporaryFile() as stream:
            began = time.monotonic()
            info = await exports.download_to(name, stream)
            downloaded = time.monotonic()
            copied = await state.copy_from("measured/copy.csv", exports, name, if_match=info.etag)
            ended = time.monotonic()
        await state.delete("measured/copy.csv")
        if not copied:
            raise AssertionError("storage has not copied the export")
    await asyncio.sleep(0)
    return {"download": downloaded - began, "copy": ended - downloaded}


def tenant_role() -> None:
    """Be the tenant, with storage: everybody has an account, the connection takes items."""
    from tests.bench.company import object_id_of, upn_of
    from tests.bench.simulated import CONNECTION, registration
    from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID
    from tests.tenant.contoso import contoso
    from tests.tenant.graph.faults import Dropped

    arrived = threading.Event()
    moment = 0.0

    def noticed(seen: Any) -> bool:
        nonlocal moment
        if seen.method == "PUT" and not arrived.is_set():
            moment = time.monotonic()
            arrived.set()
        return False

    with contoso(schema_seconds=0, settle_seconds=0, same_process=False) as company:
        graph = company.tenant.graph

        def begin(people: int) -> dict[str, str]:
            for number in range(people):
                graph.add_user(upn_of(number), id=object_id_of(number))
            schema: list[Any] = list(registration().schema)
            graph.add_connection(CONNECTION, schema, owner=ADMIN_CLIENT_ID, authorized=[INGEST_CLIENT_ID])
            graph.fault_when(noticed, Dropped(), times=None)  # it never is: `noticed` only looks on
            return company.settings

        def first_put() -> float:
            if not arrived.wait(timeout=300):
                raise AssertionError("no item has arrived in five minutes")
            return moment

        serve(
            open=begin,
            seen=lambda: {"requests": len(graph.requests)},
            await_put=arrived.clear,
            first_put=first_put,
        )


ROLES = {"connector": connector_role, "bare": bare_role, "storage": storage_role, "tenant": tenant_role}

if __name__ == "__main__":
    ROLES[sys.argv[1]]()
