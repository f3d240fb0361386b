"""``python -m tests.tenant``: the demo, and the local tenant that stays up."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from connector.errors import ConfigurationError
from tests.tenant.azurite import AzuriteUnavailable
from tests.tenant.contoso import CASTS, ROOT
from tests.tenant.engines import IndexingFailed
from tests.tenant.own import PASSED, own

if TYPE_CHECKING:
    from types import FrameType


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    from tests.tenant import stay_up

    parser = argparse.ArgumentParser(prog="python -m tests.tenant", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    contracts = argparse.ArgumentParser(add_help=False)
    contracts.add_argument("--contract", choices=list(CASTS), default="labels", help="labels unless given")
    demo = commands.add_parser("demo", parents=[contracts], help="some nights, and what comes of them")
    demo.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where reports are left; emptied first")
    serve = commands.add_parser(
        "serve",
        parents=[contracts],
        help="stay up on http://127.0.0.1:7071 until Ctrl-C",
        epilog=f"Settings of the connector that are taken from the environment: {', '.join(PASSED)}.",
    )
    serve.add_argument("--mapping", help="a mapping of connector/mappings/, or a file of your own")
    serve.add_argument("--hr", type=Path, nargs="+", default=[], help="HR exports, or folders of them: one population")
    serve.add_argument("--folder", type=Path, default=stay_up.FOLDER, help=argparse.SUPPRESS)
    serve.add_argument("--free-ports", action="store_true", help="on ports that are free, not on the usual ones")
    serve.add_argument("--tenant-only", action="store_true", help="leave the functions to `func start`")
    drop = commands.add_parser("drop", help="upload an HR export to the storage of a tenant that is being served")
    drop.add_argument("--folder", type=Path, default=stay_up.FOLDER, help=argparse.SUPPRESS)
    drop.add_argument("exports", type=Path, nargs="+", help="a file; several files, or a folder, are one population")
    drop.add_argument("--name", default="", help="the blob's name, of a single file; the file's own otherwise")
    fetch = commands.add_parser("fetch", help="copy reports and quarantined rows of a tenant that is being served")
    fetch.add_argument("--folder", type=Path, default=stay_up.FOLDER, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    terminal = Console(record=True)
    # In a pipe there is no width to ask for; lines are as wide as most of them need.
    console = terminal if terminal.is_terminal else Console(width=120, record=True)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return _run(given, console)
    except KeyboardInterrupt:
        console.print("stopped")
        return 130


def _run(given: argparse.Namespace, console: Console) -> int:
    from tests.tenant import demo, stay_up

    try:
        if given.command == "demo":
            demo.demo(console, given.folder, contract=given.contract)
        elif given.command == "serve":
            brought = given.mapping or given.hr
            stay_up.stay_up(
                console,
                given.folder,
                cast=CASTS[given.contract],
                own=own(given.mapping or "default", given.hr, contract=given.contract) if brought else None,
                tenant_only=given.tenant_only,
                free_ports=given.free_ports,
            )
        elif given.command == "fetch":
            stay_up.fetch(console, given.folder)
        else:
            stay_up.drop(console, given.folder, given.exports, given.name)
    except (demo.StoryFailed, AzuriteUnavailable, IndexingFailed, ConfigurationError, OSError) as error:
        Console(stderr=True).print(f"[red]{given.command} failed:[/] ", end="")
        print(error, file=sys.stderr)
        if given.command == "demo":
            print(f"What the connector logged is in {given.folder / demo.LOG}", file=sys.stderr)
        return 1
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # everything is in a context manager: this ends it all


if __name__ == "__main__":
    raise SystemExit(main())
