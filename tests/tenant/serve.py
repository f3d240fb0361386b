"""The local tenant on loopback: TLS with a throw-away certificate authority, in a thread of its own."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import trustme
import uvicorn

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tests.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Mount:
    """One ASGI app to serve: on a port (0: a free one), over TLS or in plain text.

    ``name`` is how clients call the machine, which must lead them to ``address``.
    """

    app: Any
    port: int = 0
    tls: bool = True
    name: str = "localhost"
    address: str = "127.0.0.1"


class Served:
    """ASGI apps on loopback, each on its own address or port, from ``with`` to its end.

    ``urls`` has each mount's base URL, ``ca_bundle`` the certificate authority's PEM file and ``certificate``/``key``
    the server's, for whoever serves something beside: under localhost, a mount's name, or one of ``names``.
    """

    def __init__(
        self, mounts: Mapping[str, Mount], *, directory: Path | None = None, names: Collection[str] = ()
    ) -> None:
        self._own_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="local-tenant-"))
        self.ca_bundle = self.directory / "ca.pem"
        self.certificate = self.directory / "server.pem"
        self.key = self.directory / "server.key"
        self._write_certificates({*names, *(mount.name for mount in mounts.values())})
        self._sockets = {name: _listen(mount.address, mount.port) for name, mount in mounts.items()}
        self.urls = {
            name: f"http{'s' if mount.tls else ''}://{mount.name}:{self._sockets[name].getsockname()[1]}"
            for name, mount in mounts.items()
        }
        self._servers = {name: self._server(mount) for name, mount in mounts.items()}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="local-tenant", daemon=True)

    def start(self) -> Self:
        """Begin to serve; when this returns, connections are accepted.

        Raises:
            RuntimeError: when the servers do not come up.
        """
        self._thread.start()
        if not self._ready.wait(timeout=30) or not all(server.started for server in self._servers.values()):
            self.stop()
            raise RuntimeError("the local tenant did not come up")
        return self

    def stop(self) -> None:
        """End serving, close all connections and remove the certificates."""
        for server in self._servers.values():
            server.should_exit = True
            server.force_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        for listener in self._sockets.values():
            listener.close()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        """Begin to serve."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """End serving."""
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        serving = [
            asyncio.create_task(server.serve(sockets=[self._sockets[name]])) for name, server in self._servers.items()
        ]
        while not all(server.started for server in self._servers.values()):
            if any(task.done() for task in serving):
                break
            await asyncio.sleep(0.005)
        self._ready.set()
        await asyncio.gather(*serving)

    def _server(self, mount: Mount) -> uvicorn.Server:
        files: dict[str, Any] = {"ssl_certfile": str(self.certificate), "ssl_keyfile": str(self.key)}
        config = uvicorn.Config(
            mount.app,
            **(files if mount.tls else {}),
            http="h11",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            log_level="critical",
            access_log=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        return uvicorn.Server(config)

    def _write_certificates(self, names: Collection[str]) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1", "::1", *sorted({*names} - {"localhost"}))
        authority.cert_pem.write_to_path(str(self.ca_bundle))
        self.key.write_bytes(issued.private_key_pem.bytes())
        self.key.chmod(0o600)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


class ServedTenant(Served):
    """A whole tenant on loopback. ``environment()`` is what the connector's process needs to find it."""

    def __init__(
        self, tenant: Tenant, *, ports: Mapping[str, int] | None = None, directory: Path | None = None
    ) -> None:
        given = ports or {}
        super().__init__(
            {
                "graph": Mount(tenant.graph, given.get("graph", 0)),
                "entra": Mount(tenant.entra, given.get("entra", 0)),
                "vault": Mount(tenant.vault, given.get("vault", 0)),
                "identity": Mount(tenant.entra, given.get("identity", 0), tls=False),
            },
            directory=directory,
        )
        self._tenant = tenant
        tenant.vault.authority = self.urls["entra"]

    def environment(self) -> dict[str, str]:
        """Return the environment variables that lead the connector's process to this tenant.

        The certificate files must be in the environment before aiohttp is imported.
        """
        from tests.tenant import ADMIN_CLIENT_ID, INGEST_CLIENT_ID, MANAGED_CLIENT_ID

        return {
            "SSL_CERT_FILE": str(self.ca_bundle),
            "REQUESTS_CA_BUNDLE": str(self.ca_bundle),
            "AZURE_AUTHORITY_HOST": self.urls["entra"],
            "IDENTITY_ENDPOINT": f"{self.urls['identity']}/msi/token",
            "IDENTITY_HEADER": self._tenant.entra.identity_header,
            "AZURE_CLIENT_ID": MANAGED_CLIENT_ID,
            "TENANT_ID": self._tenant.entra.tenant_id,
            "ADMIN_CLIENT_ID": ADMIN_CLIENT_ID,
            "INGEST_CLIENT_ID": INGEST_CLIENT_ID,
            "KEY_VAULT_URL": self.urls["vault"],
            "GRAPH_BASE_URL": f"{self.urls['graph']}/beta",
        }


def _listen(address: str, port: int) -> socket.socket:
    # The protocol must be named: asyncio switches Nagle's delay (40 ms per answer) off only where it is.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    return listener
