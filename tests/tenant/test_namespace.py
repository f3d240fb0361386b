"""Namespaces of a process's own: what is done inside stays inside."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import certifi
import pytest

from tests.tenant import namespace
from tests.tenant.contoso import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

INSIDE = """
import json, socket, ssl, subprocess, sys
from pathlib import Path

import certifi

from tests.tenant.namespace import furnish

furnish({"graph.microsoft.com": "127.0.0.2"}, Path("authority.pem"))
with socket.create_server(("127.0.0.2", 443)):
    reached = socket.create_connection(("graph.microsoft.com", 443), timeout=10)
    reached.close()
try:
    outside = socket.create_connection(("192.0.2.1", 443), timeout=10)
except OSError as error:
    outside = error.strerror
stores = [Path(ssl.get_default_verify_paths().openssl_cafile), Path(certifi.where())]
print(json.dumps({"outside": outside, "trusted": ["made up" in store.read_text() for store in stores]}))
"""


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a process that finds the module ``inside``; skip where there can be no namespace."""
    (tmp_path / "inside.py").write_text(INSIDE.replace("authority.pem", str(tmp_path / "authority.pem")))
    (tmp_path / "authority.pem").write_text("made up\n")
    try:
        namespace.run("site", environment=os.environ, seconds=30)
    except namespace.NamespaceUnavailable as refused:
        pytest.skip(str(refused))
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}


def test_names_and_trust_hold_inside_and_nothing_leaves(environment: Mapping[str, str]) -> None:
    """Port 443 under a real name, an authority in both stores, and no way to anywhere else."""
    done = namespace.run("inside", environment=environment, seconds=30)
    assert done.returncode == 0, done.stderr

    assert json.loads(done.stdout) == {"outside": "Network is unreachable", "trusted": [True, True]}


def test_nothing_is_left_outside(environment: Mapping[str, str]) -> None:
    """Names and certificate authorities of the machine are what they were."""
    files = [Path("/etc/hosts"), Path(ssl.get_default_verify_paths().openssl_cafile), Path(certifi.where())]
    before = [file.read_bytes() for file in files]

    assert namespace.run("inside", environment=environment, seconds=30).returncode == 0

    assert [file.read_bytes() for file in files] == before


def test_only_a_process_inside_may_furnish(tmp_path: Path) -> None:
    """Otherwise root would change the machine."""
    with pytest.raises(RuntimeError, match=r"only a process that namespace\.run has started"):
        namespace.furnish({}, tmp_path / "authority.pem")


def test_a_machine_without_unshare_is_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever cannot have namespaces learns why."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(namespace.NamespaceUnavailable, match="util-linux"):
        namespace.run("site", environment={}, seconds=30)
