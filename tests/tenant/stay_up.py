"""``make serve``: the local tenant and the Functions host, until Ctrl-C."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from rich.padding import Padding
from rich.text import Text

from connector.settings import Settings
from tests.tenant.contoso import (
    PORTS,
    QUARANTINE,
    REPORTS,
    ROOT,
    SAMPLES,
    ItDepartment,
    contoso,
    storage,
)
from tests.tenant.first_night import first_night
from tests.tenant.functions_host import FunctionsHost
from tests.tenant.it import It
from tests.tenant.own import files_of, passed, put_exports
from tests.tenant.serve import Mount, Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from tests.tenant.contoso import Cast, Contoso
    from tests.tenant.own import Own

FOLDER: Final = ROOT / ".serve"
SETTINGS: Final = "local.settings.json"
IT_URL: Final = "it.url"
PORT: Final = 7071
SCHEDULE: Final = "*/15 * * * * *"
"""Every 15 seconds instead of minutes: somebody is watching."""
_COMMAND: Final = ".venv/bin/python -m tests.tenant"
_ANY_NIGHT: Final = re.compile(r"\d+")


def stay_up(
    console: Console, folder: Path, *, cast: Cast, own: Own | None = None, tenant_only: bool, free_ports: bool
) -> None:
    """Run everything until SIGINT or SIGTERM. Settings of `PASSED` that the environment has are the connector's.

    Args:
        console: where it says what to do with it.
        folder: where certificates and a settings file are while it runs; emptied first.
        cast: whose company runs.
        own: a mapping and exports of somebody's own, in place of the cast's; the first night is told.
        tenant_only: everything but the functions, which are left to ``func start``.
        free_ports: take whatever ports are free instead of the usual ones.

    Raises:
        OSError: a port is taken.
        ConfigurationError: the environment's settings are wrong.
        StoryFailed: the first night fails.
    """
    ports = {} if free_ports else PORTS
    _refuse_taken_ports({**ports, **({} if free_ports or tenant_only else {"the Functions host": PORT})})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    console.print("starting the local tenant", style="dim")
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        schema, settle = (2, 2) if own else (10, 5)  # whoever brings files along wants to see them, not setup
        running = contoso(
            cast=cast, directory=folder / "tls", ports=ports, schema_seconds=schema, settle_seconds=settle
        )
        world = stack.enter_context(running)
        world.settings |= {"SYNC_SCHEDULE": SCHEDULE, **(_settings(own) if own else {}), **passed(os.environ)}
        Settings.from_env(world.settings)
        follow, accounts = _it(world, cast, own)
        it = stack.enter_context(Served({"it": Mount(ItDepartment(follow), tls=False)}, directory=folder / "it"))
        (folder / IT_URL).write_text(it.urls["it"], encoding="utf-8")
        _write_settings(folder, world.settings)
        if own:
            with storage(world.settings) as account:
                own.put_mapping(account)
            _bring(console, world.settings, it.urls["it"], own.exports)
        if tenant_only:
            console.print("The local tenant is up. Now, in another terminal:")
            console.print(Text(f"  cp {folder / SETTINGS} local.settings.json && func start"), soft_wrap=True)
        else:
            log = logging.StreamHandler()
            log.setLevel(logging.CRITICAL)  # the first night is told in other words
            logging.basicConfig(
                level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[log]
            )
            logging.getLogger("azure").setLevel(logging.WARNING)  # Microsoft's worker tells how it indexed, at length
            host = stack.enter_context(FunctionsHost(ROOT, world.settings))
            url = stack.enter_context(host.serve(0 if free_ports else PORT))
            if own and own.exports:
                first_night(console, world, host, accounts.values())
            log.setLevel(logging.INFO)
            stack.enter_context(host.schedule())
            _tell(console, url, host, _another(cast, own), ready=bool(own and own.exports))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        console.print("Ctrl-C stops it all.", style="dim")
        stopped.wait()
        console.print("stopping", style="dim")


def drop(console: Console, folder: Path, exports: Sequence[Path], name: str = "") -> None:
    """Let IT follow exports, then upload them to the storage of the tenant that ``make serve`` runs.

    Several files, or a folder, form one population: they get a manifest that says so.

    Raises:
        OSError: nothing is being served, or there is no such file.
    """
    settings = _served(folder)
    files = files_of(exports)
    _bring(console, settings, (folder / IT_URL).read_text(encoding="utf-8"), files, name=name)


def _bring(console: Console, settings: Mapping[str, str], it: str, exports: Sequence[Path], *, name: str = "") -> None:
    with storage(settings) as account:
        for blob, told in put_exports(account, it, exports, name=name).items():
            console.print(f"dropped {blob}")
            if told:
                console.print(Padding.indent(Text(told, style="dim"), 2))


def _settings(own: Own) -> dict[str, str]:
    """Return the settings that files of one's own want. A set's later nights are not to be taken file by file."""
    return {"MAPPING": own.setting} | ({"EXPORT_SETTLE_SECONDS": "5"} if len(own.exports) > 1 else {})


def _it(world: Contoso, cast: Cast, own: Own | None) -> tuple[Callable[[str, bytes], None], Mapping[str, str]]:
    """Return how IT follows exports, and the accounts it makes: as the cast has it, or as one's own mapping has it."""
    if own:
        department = It(world.tenant.graph, own.mapping)
        return department.follow, department.accounts
    world.follow((SAMPLES / cast.nights[0]).read_bytes())
    return (lambda _, export: world.follow(export)), {}


def _another(cast: Cast, own: Own | None) -> str:
    """Return what to drop next: of several nights' files the one after, by name; else the same again."""
    if own is None:
        return f"samples/{cast.nights[0]}"
    if len(own.exports) == 1:
        (export,) = own.exports
        nights = sorted(
            path for path in export.parent.iterdir() if _ANY_NIGHT.sub("", path.name) == _ANY_NIGHT.sub("", export.name)
        )
        return shlex.quote(str(next((path for path in nights if path.name > export.name), export)))
    return " ".join(shlex.quote(str(path)) for path in own.exports) or "FILE.csv"


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


def _tell(console: Console, url: str, host: FunctionsHost, export: str, *, ready: bool) -> None:
    header = f"-H 'x-functions-key: {host.key}'"
    master = f"-H 'x-functions-key: {host.master_key}' -H 'content-type: application/json' -d '{{}}'"
    console.print(Text(f"Functions host on {url}, key {host.key}", style="bold"))
    console.print(f"function_app.py runs through {host.engine}")
    lines = {
        **({} if ready else {"set it up (again until 200)": f"curl -i -X POST {header} {url}/api/admin/setup"}),
        "drop another night's export" if ready else "drop an export": f"{_COMMAND} drop {export}",
        "fire the timer (or wait 15 s)": f"curl -i -X POST {master} {url}/admin/functions/sync_people",
        "see what it did": f"curl -s {header} {url}/api/admin/runs",
        "copy its reports and the rejected rows to .serve/": f"{_COMMAND} fetch",
    }
    for what, command in lines.items():
        console.print(Text(f"  {what}:", style="dim"))
        console.print(Text(f"    {command}"), soft_wrap=True)
