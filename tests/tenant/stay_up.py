"""``make serve``: the local tenant and the Functions host, until Ctrl-C."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import httpx
from rich.text import Text

from tests.tenant.contoso import (
    EXPORTS,
    PORTS,
    QUARANTINE,
    REPORTS,
    ROOT,
    SAMPLES,
    ItDepartment,
    contoso,
    storage,
)
from tests.tenant.functions_host import FunctionsHost
from tests.tenant.serve import Mount, Served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from tests.tenant.contoso import Cast

FOLDER: Final = ROOT / ".serve"
SETTINGS: Final = "local.settings.json"
IT_URL: Final = "it.url"
PORT: Final = 7071
SCHEDULE: Final = "*/15 * * * * *"
"""Every 15 seconds instead of minutes: somebody is watching."""


def stay_up(console: Console, folder: Path, *, cast: Cast, tenant_only: bool, free_ports: bool) -> None:
    """Run everything until SIGINT or SIGTERM.

    Args:
        console: where it says what to do with it.
        folder: where certificates and a settings file are while it runs; emptied first.
        cast: whose company runs.
        tenant_only: everything but the functions, which are left to ``func start``.
        free_ports: take whatever ports are free instead of the usual ones.

    Raises:
        OSError: a port is taken.
    """
    ports = {} if free_ports else PORTS
    _refuse_taken_ports({**ports, **({} if free_ports or tenant_only else {"the Functions host": PORT})})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        running = contoso(cast=cast, directory=folder / "tls", ports=ports, schema_seconds=10, settle_seconds=5)
        world = stack.enter_context(running)
        world.settings["SYNC_SCHEDULE"] = SCHEDULE
        world.follow((SAMPLES / cast.nights[0]).read_bytes())
        it = Served({"it": Mount(ItDepartment(world), tls=False)}, directory=folder / "it")
        stack.enter_context(it)
        (folder / IT_URL).write_text(it.urls["it"], encoding="utf-8")
        _write_settings(folder, world.settings)
        if tenant_only:
            console.print("The local tenant is up. Now, in another terminal:")
            console.print(Text(f"  cp {folder / SETTINGS} local.settings.json && func start"), soft_wrap=True)
        else:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
            logging.getLogger("azure").setLevel(logging.WARNING)  # Microsoft's worker tells how it indexed, at length
            host = stack.enter_context(FunctionsHost(ROOT, world.settings))
            url = stack.enter_context(host.serve(0 if free_ports else PORT))
            stack.enter_context(host.schedule())
            _tell(console, url, host, cast)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        console.print("Ctrl-C stops it all.", style="dim")
        stopped.wait()
        console.print("stopping", style="dim")


def drop(console: Console, folder: Path, export: Path, name: str) -> None:
    """Let IT follow an export, then upload it to the storage of the tenant that ``make serve`` runs.

    Raises:
        OSError: nothing is being served, or there is no such file.
    """
    settings = _served(folder)
    httpx.post((folder / IT_URL).read_text(encoding="utf-8"), content=export.read_bytes())
    with storage(settings) as account:
        account.get_blob_client(EXPORTS, name).upload_blob(export.read_bytes(), overwrite=True)
    console.print(f"dropped {name}")


def fetch(console: Console, folder: Path) -> None:
    """Copy what HR and the operator would find in storage (reports, quarantined rows) to the served folder.

    Raises:
        OSError: nothing is being served.
    """
    with storage(_served(folder)) as account:
        for container in (REPORTS, QUARANTINE):
            client = account.get_container_client(container)
            for name in client.list_blob_names():
                path = folder / container / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(client.download_blob(name).readall())
                console.print(Text(str(path)), soft_wrap=True)


def _served(folder: Path) -> dict[str, str]:
    if not (folder / SETTINGS).is_file():
        raise FileNotFoundError("nothing is being served; start it with make serve")
    values: dict[str, str] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))["Values"]
    return values


def _refuse_taken_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise OSError(f"port {port}, wanted for {name}, is taken; is something being served already?") from error


def _write_settings(folder: Path, settings: Mapping[str, str]) -> None:
    content = {"IsEncrypted": False, "Values": settings}
    (folder / SETTINGS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _tell(console: Console, url: str, host: FunctionsHost, cast: Cast) -> None:
    header = f"-H 'x-functions-key: {host.key}'"
    master = f"-H 'x-functions-key: {host.master_key}' -H 'content-type: application/json' -d '{{}}'"
    console.print(Text(f"Functions host on {url}, key {host.key}", style="bold"))
    console.print(f"function_app.py runs through {host.engine}")
    lines = {
        "set it up (again until 200)": f"curl -i -X POST {header} {url}/api/admin/setup",
        "drop an export": f".venv/bin/python -m tests.tenant drop samples/{cast.nights[0]}",
        "fire the timer (or wait 15 s)": f"curl -i -X POST {master} {url}/admin/functions/sync_people",
        "see what it did": f"curl -s {header} {url}/api/admin/runs",
    }
    for what, command in lines.items():
        console.print(Text(f"  {what}:", style="dim"))
        console.print(Text(f"    {command}"), soft_wrap=True)
