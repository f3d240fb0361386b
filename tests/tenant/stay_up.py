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

from rich.text import Text

from tests.tenant.contoso import EXPORTS, NIGHTS, PORTS, ROOT, SAMPLES, contoso, storage
from tests.tenant.functions_host import FunctionsHost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

FOLDER: Final = ROOT / ".serve"
SETTINGS_FILE: Final = FOLDER / "local.settings.json"
PORT: Final = 7071
SCHEDULE: Final = "*/15 * * * * *"
"""Every 15 seconds instead of minutes: somebody is watching."""


def stay_up(console: Console, *, tenant_only: bool) -> None:
    """Run everything until SIGINT or SIGTERM; with ``tenant_only`` everything but the functions.

    Raises:
        OSError: a port is taken.
    """
    _refuse_taken_ports(PORTS if tenant_only else {**PORTS, "functions host": PORT})
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    stopped = threading.Event()
    with ExitStack() as stack:
        world = stack.enter_context(contoso(directory=FOLDER / "tls", ports=PORTS, schema_seconds=10, settle_seconds=5))
        world.settings["SYNC_SCHEDULE"] = SCHEDULE
        for sample in NIGHTS:
            world.follow((SAMPLES / sample).read_bytes())
        _write_settings(world.settings)
        if not tenant_only:
            logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
            host = stack.enter_context(FunctionsHost(ROOT, world.settings))
            url = stack.enter_context(host.serve(PORT))
            stack.enter_context(host.schedule())
            _tell(console, url, host)
        else:
            console.print("The local tenant is up. Now, in another terminal:")
            console.print(Text(f"  cp {SETTINGS_FILE.relative_to(ROOT)} local.settings.json && func start"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        console.print("Ctrl-C stops it all.", style="dim")
        stopped.wait()
        console.print("stopping", style="dim")
    shutil.rmtree(FOLDER, ignore_errors=True)


def drop(console: Console, export: Path, name: str) -> None:
    """Upload an export to the storage of the tenant that ``make serve`` runs.

    Raises:
        OSError: nothing is being served, or there is no such file.
    """
    if not SETTINGS_FILE.is_file():
        raise FileNotFoundError("nothing is being served; start it with make serve")
    settings = json.loads(SETTINGS_FILE.read_text(encoding="utf-8"))["Values"]
    with storage(settings) as account:
        account.get_blob_client(EXPORTS, name).upload_blob(export.read_bytes(), overwrite=True)
    console.print(f"dropped {name}")


def _refuse_taken_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise OSError(f"port {port}, wanted for {name}, is taken; is something being served already?") from error


def _write_settings(settings: dict[str, str]) -> None:
    content = {"IsEncrypted": False, "Values": settings}
    SETTINGS_FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _tell(console: Console, url: str, host: FunctionsHost) -> None:
    header = f"-H 'x-functions-key: {host.key}'"
    master = f"-H 'x-functions-key: {host.master_key}' -H 'content-type: application/json' -d '{{}}'"
    console.print(Text(f"Functions host on {url}, key {host.key}", style="bold"))
    lines = {
        "set it up (again until 200)": f"curl -i -X POST {header} {url}/api/admin/setup",
        "drop an export": f".venv/bin/python -m tests.tenant drop samples/{NIGHTS[0]}",
        "fire the timer (or wait 15 s)": f"curl -i -X POST {master} {url}/admin/functions/sync_people",
        "see what it did": f"curl -s {header} {url}/api/admin/runs",
    }
    for what, command in lines.items():
        console.print(Text(f"  {what}:", style="dim"))
        console.print(Text(f"    {command}"), soft_wrap=True)
