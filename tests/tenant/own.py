"""A mapping and HR exports of one's own on the local tenant: what ``make serve`` is given, and how it gets there."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx

from connector.core.contracts import contract_of
from connector.core.mapping import load_mapping
from connector.errors import ConfigurationError
from connector.settings import Settings
from connector.wiring import packaged_mapping
from tests.tenant.contoso import EXPORTS, STATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from azure.storage.blob import BlobServiceClient

    from connector.core.mapping import Mapping as ColumnMapping
    from tests.tenant.graph.contracts import ContractName

_LOCAL: Final = frozenset(
    {
        *("TENANT_ID", "KEY_VAULT_URL", "ADMIN_CLIENT_ID", "INGEST_CLIENT_ID", "AZURE_CLIENT_ID", "GRAPH_BASE_URL"),
        *("ADMIN_CREDENTIAL_NAME", "INGEST_CREDENTIAL_NAME", "GRAPH_CREDENTIAL_MODE", "PROFILE_SOURCE_URL"),
        *("HR_STORAGE_URL", "HR_STORAGE_CONNECTION_STRING"),
        *("EXPORTS_CONTAINER", "STATE_CONTAINER", "REPORTS_CONTAINER", "QUARANTINE_CONTAINER"),
    }
)
"""Addresses and identities: the local tenant has its own."""

CHOSEN: Final = frozenset({"CONTRACT", "MAPPING"})
"""Settings that are arguments of ``make serve``."""

PASSED: Final = tuple(sorted({name.upper() for name in Settings.model_fields} - _LOCAL - CHOSEN | {"SYNC_SCHEDULE"}))
"""Settings that ``make serve`` takes from the environment: all that are neither an address nor an identity."""


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are taken from the environment; empty ones count as absent."""
    return {name: environment[name] for name in PASSED if environment.get(name, "").strip()}


@dataclass(frozen=True, slots=True)
class Own:
    """What somebody brings along: a mapping, and the exports that form the first night's population.

    ``setting`` is what MAPPING is set to, ``text`` the mapping's file unless it comes with the package.
    """

    mapping: ColumnMapping
    setting: str
    text: bytes | None
    exports: tuple[Path, ...]

    def put_mapping(self, account: BlobServiceClient) -> None:
        """Upload the mapping to where the connector reads it."""
        if self.text is not None:
            name = self.setting.removeprefix("blob:")
            account.get_blob_client(STATE, name).upload_blob(self.text, overwrite=True)


def own(mapping: str, exports: Sequence[Path], *, contract: ContractName) -> Own:
    """Read a mapping, which is a packaged one's name or a file, and find the exports, which are files or folders.

    Raises:
        ConfigurationError: with every problem of the mapping.
        OSError: a file is not there.
    """
    path, text = Path(mapping), None
    if path.is_file() or path.suffix == ".toml":
        text, setting = path.read_bytes(), f"blob:{path.name}"
        loaded = load_mapping(path.name, text)
    else:
        loaded, setting = packaged_mapping(mapping), mapping
    if problems := list(contract_of(contract).problems(loaded)):
        raise ConfigurationError([f"mapping {mapping}, CONTRACT={contract}: {problem}" for problem in problems])
    return Own(loaded, setting, text, files_of(exports))


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return the exports among files and folders; those of a folder by name.

    Raises:
        OSError: one is not there, a folder has none, or two have one name.
    """
    found = [file for path in paths for file in (_in_folder(path) if path.is_dir() else [path])]
    for file in found:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is not there")
    if twice := [name for name, count in Counter(file.name for file in found).items() if count > 1]:
        raise FileExistsError(f"two files are called {twice[0]}; in the container a name is one file")
    return tuple(found)


def _in_folder(folder: Path) -> list[Path]:
    patterns: tuple[str, ...] = Settings.model_fields["exports_pattern"].default
    found = [
        file
        for file in sorted(folder.iterdir())
        if file.is_file() and any(fnmatchcase(file.name.casefold(), pattern) for pattern in patterns)
    ]
    if not found:
        raise FileNotFoundError(f"{folder} has no exports ({', '.join(patterns)})")
    return found


def manifest_of(exports: Sequence[Path]) -> dict[str, Any]:
    """Return the manifest that makes several files one population; it stands beside the first of them."""
    files = [{"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for file in exports]
    return {"sha256": files[0]["sha256"], "kind": "complete", "files": files}


def put_exports(account: BlobServiceClient, it: str, exports: Sequence[Path], *, name: str = "") -> dict[str, str]:
    """Let IT follow HR's exports, then upload them; several get a manifest, which comes last.

    Args:
        account: the storage account.
        it: where IT is told, its URL.
        exports: files that form one population.
        name: what the only file is called there, if not as it is here.

    Returns:
        what was uploaded: names, and what to tell of each.
    """
    told: dict[str, str] = {}
    for file in exports:
        blob, data = name or file.name, file.read_bytes()
        answer = httpx.post(f"{it}/{quote(blob)}", content=data, timeout=60)
        account.get_blob_client(EXPORTS, blob).upload_blob(data, overwrite=True)
        told[blob] = f"IT cannot read it: {answer.text}" if answer.is_error else ""
    if len(exports) > 1:
        blob, text = f"{exports[0].name}.manifest.json", json.dumps(manifest_of(exports), indent=2)
        account.get_blob_client(EXPORTS, blob).upload_blob(text.encode(), overwrite=True)
        told[blob] = text
    return told
