"""Azurite comes and goes with whoever starts it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import BlobServiceClient

from tests.tenant.azurite import azurite

pytestmark = pytest.mark.azurite


def test_azurite_keeps_blobs(azurite_server: str) -> None:
    """The genuine client library works against it."""
    with BlobServiceClient.from_connection_string(azurite_server) as service:
        service.create_container("kept").upload_blob("people.csv", b"EmployeeId\r\n")

        assert service.get_blob_client("kept", "people.csv").download_blob().readall() == b"EmployeeId\r\n"


def test_azurite_ends_when_its_starter_is_gone() -> None:
    """Its standard input closes with the process that holds the other end, however that one ended."""
    with azurite() as server:
        address = urlsplit(server.url)
        assert server.process.stdin
        server.process.stdin.close()

        assert server.process.wait(30) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
