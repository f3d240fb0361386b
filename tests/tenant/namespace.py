"""A network and a file system view of a process's own: port 443, any host name, and nothing that leaves or stays.

``run`` starts a Python module in Linux namespaces of its own (``unshare`` of util-linux): a loopback device that nobody
else has, and mounts that nobody else sees. In there, ``furnish`` makes host names lead where we want and puts a
certificate authority into the machine's store. All of it is gone with the last process inside.
https://man7.org/linux/man-pages/man7/namespaces.7.html

Run as a script, this module tries out whether that can be done here. It needs nothing but the standard library, so that
trying is quick.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_ROOT: Final = ("--mount", "--net")
_OF_ANYBODY: Final = ("--user", "--map-root-user", "--mount", "--net")

_MS_BIND: Final = 4096
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

_HOSTS: Final = Path("/etc/hosts")

_OUTSIDE: Final = "NAMESPACES_OUTSIDE"
"""Tells the process inside which namespaces its starter is in."""


class NamespaceUnavailable(Exception):
    """This machine does not let us have namespaces of our own; the message says what was tried and what would help."""


def run(
    module: str, *arguments: str, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module arguments`` in namespaces of its own until it ends.

    Raises:
        NamespaceUnavailable: the machine does not allow it.
        subprocess.TimeoutExpired: it did not end in this time, and was killed.
    """
    return subprocess.run(  # noqa: S603
        [*_way_in(), sys.executable, "-m", module, *arguments],
        env={**environment, _OUTSIDE: _namespaces()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def furnish(hosts: Mapping[str, str], authority: Path) -> None:
    """Switch the loopback device on, let host names lead to these addresses, and trust this certificate authority.

    The authority joins both stores there are in a Python process: OpenSSL's, which the machine's administrator keeps,
    and certifi's. Only for a process that ``run`` has started.

    Raises:
        RuntimeError: this process has no namespaces of its own, so it would change the machine.
        OSError: the kernel does not allow it, or a file to put something over is not there.
    """
    import certifi

    if set(os.environ.get(_OUTSIDE, _namespaces()).split()) & set(_namespaces().split()):
        raise RuntimeError("only a process that namespace.run has started may furnish its surroundings")
    switch_loopback_on()
    folder = authority.parent
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in hosts.items())]
    (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="ascii")
    cover(_HOSTS, folder / "hosts")
    for number, store in enumerate((Path(ssl.get_default_verify_paths().openssl_cafile), Path(certifi.where()))):
        enlarged = folder / f"authorities-{number}.pem"
        enlarged.write_bytes(store.read_bytes() + b"\n" + authority.read_bytes())
        cover(store.resolve(), enlarged)


def _namespaces() -> str:
    return " ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt"))  # noqa: PTH115 - no path


def switch_loopback_on() -> None:
    """Do what ``ip link set lo up`` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def cover(path: Path, by: Path) -> None:
    """Let a path show another file, for the processes in this namespace alone: ``mount --bind``."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(by), os.fsencode(path), None, ctypes.c_ulong(_MS_BIND), None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount --bind: {os.strerror(number)}", str(path))


def _way_in() -> list[str]:
    """Return the command that leads into new namespaces, after trying it out."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NamespaceUnavailable("there is no unshare here; it comes with util-linux, on Linux only")
    refusals = []
    for flags in (_OF_ROOT, _OF_ANYBODY) if os.geteuid() == 0 else (_OF_ANYBODY,):
        command = [unshare, *flags]
        tried = subprocess.run(  # noqa: S603
            [*command, sys.executable, "-I", __file__], capture_output=True, text=True, timeout=60, check=False
        )
        if tried.returncode == 0:
            return command
        refusals.append(f"unshare {' '.join(flags)}: {(tried.stderr.strip().splitlines() or ['?'])[-1]}")
    raise NamespaceUnavailable(
        "; ".join(refusals)
        + ". That takes root with CAP_SYS_ADMIN and CAP_NET_ADMIN (docker run --privileged), or user"
        " namespaces for everybody (sysctl kernel.unprivileged_userns_clone=1,"
        " kernel.apparmor_restrict_unprivileged_userns=0)"
    )


def _try_out() -> int:
    """Do everything that ``furnish`` does, without changing anything: 0 when it works."""
    try:
        switch_loopback_on()
        cover(_HOSTS, _HOSTS)
        with socket.create_server(("127.0.0.2", 443)):
            pass
        Path(ssl.get_default_verify_paths().openssl_cafile).read_bytes()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_try_out())
