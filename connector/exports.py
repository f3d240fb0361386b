"""The exports there are: one listing, and what manifests say where that decides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connector.core.due import (
    MANIFEST,
    Dropped,
    manifests_to_read,
    settled_exports,
    unmet_exports,
    with_sets,
    without_manifest,
)
from connector.core.manifest import read_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connector.core.due import Waiting
    from connector.core.head import Head
    from connector.core.manifest import Manifest
    from connector.settings import Settings
    from connector.storage.blobs import Container


@dataclass(frozen=True, slots=True)
class There:
    """What lies in the exports container. ``now``: the storage's own clock, unix seconds.

    ``blobs`` are all files, ``settled`` the exports that are wholly uploaded, ``arriving`` those that may not be, or
    wait for something else. ``waiting`` says for what: sets that are not whole yet, exports without the manifest they
    must have.
    """

    now: float
    blobs: Sequence[Dropped]
    settled: Sequence[Dropped]
    arriving: Sequence[Dropped]
    waiting: Sequence[Waiting]


async def exports_there(exports: Container, settings: Settings, head: Head, *, circumstances: str) -> There:
    """Look at the exports in one request, as long as there is none that ``head`` does not know.

    Only then does it matter, and is it read, which files their manifests put together.

    Raises:
        StoreError: the container cannot be read.
    """
    listing = await exports.list()
    now = listing.date.timestamp()
    blobs = [Dropped(info.name, info.etag, info.last_modified.timestamp()) for info in listing.blobs]
    settled = settled_exports(
        blobs, storage_now=now, settle_seconds=settings.export_settle_seconds, takes=settings.takes
    )
    names = {export.name for export in settled}
    everything = settled_exports(blobs, storage_now=now, settle_seconds=-math.inf, takes=settings.takes)
    waiting: list[Waiting] = []
    unmet = unmet_exports(head, settled, circumstances=circumstances)
    if settings.require_manifest:
        unmet = [export for export in unmet if export.manifest]
    if unmet:
        manifests = [await _manifest(exports, settings, blob) for blob in manifests_to_read(head, blobs, unmet)]
        settled, waiting = with_sets(blobs, settled, [each for each in manifests if each])
    if settings.require_manifest:
        settled, lacking = without_manifest(head, settled, circumstances=circumstances)
        waiting += lacking
    names -= {each.name for each in waiting}
    return There(now, blobs, settled, [each for each in everything if each.name not in names], waiting)


async def _manifest(exports: Container, settings: Settings, listed: Dropped) -> tuple[Dropped, Manifest] | None:
    """Return a manifest with its moment; None when it has gone since it was listed."""
    blob = await exports.read(listed.name)
    if blob is None:
        return None
    says = read_manifest(listed.name.removesuffix(MANIFEST), blob.data, takes=settings.takes)
    return Dropped(listed.name, blob.info.etag, blob.info.last_modified.timestamp()), says
