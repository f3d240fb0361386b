"""Blobs in one container: what the rest of the package knows of storage, and Azure's implementation of it.

Everything here is bytes, names, ETags and leases; what they mean, ``storage.state`` knows. Azure's errors are
translated in one place (``_refusal``), so that callers meet four kinds and no HTTP status:

* ``StateChanged``: a condition did not hold: the blob is another version, already there, or not there any more
* ``LeaseLost``: the lease under which we wrote is not ours (or we wrote without one)
* ``Busy``: somebody else holds the lease we asked for
* ``StoreUnavailable``: storage did not answer or refused us; the message says what the operator can check

Messages name the container, never a blob: an export's name is HR's to choose.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

from connector.errors import Busy, ConfigurationError, LeaseLost, StateChanged, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from datetime import datetime

    from azure.core.credentials_async import AsyncTokenCredential
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

APPEND_BLOCK_LIMIT: Final = 4 * 1024 * 1024
"""Bytes in one appended block. Newer service versions take more; this is what all of them take.
https://learn.microsoft.com/rest/api/storageservices/append-block"""

SINGLE_PUT_LIMIT: Final = 8 * 1024 * 1024
"""Bytes that travel in one Put Blob. More goes up in blocks of half the size, two at a time."""

ABSENT: Final = "blob_absent"
"""``code`` of a StateChanged whose blob is not there at all."""

FULL: Final = "blob_full"
"""``code`` of a StateChanged whose append blob holds 50,000 blocks and takes no more."""

PIECE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one request of a download. The client's own first piece of 32 MiB would stand in memory twice."""

_TRANSFERS = 2
"""Blocks in flight for one large blob: enough to fill the line, and no more memory than that."""

_CONNECT_SECONDS = 5
_READ_SECONDS = 30

_LEASE_SECONDS = 15
"""A lease request that takes longer is given up: the holder must learn within its 60 s whether it still holds."""

_LEASE_READ_SECONDS = 5
_LEASE_RETRIES = 2


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """One version of one blob. ``etag`` is quoted, as in HTTP; ``last_modified`` is the storage's time, in UTC.

    ``broken``: its lease was taken from whoever held it, and nobody has had it since. Listings tell, nothing else does.
    """

    name: str
    size: int
    etag: str
    last_modified: datetime
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Blobs and, with a delimiter, prefixes, in the order of their names.

    ``date`` is the storage's own clock when the listing began: the age of a blob is ``date - last_modified``, and no
    local clock has a part in it. A blob that arrives while a long listing is read has a negative age.
    """

    blobs: tuple[BlobInfo, ...]
    prefixes: tuple[str, ...]
    date: datetime


@dataclass(frozen=True, slots=True)
class Blob:
    """The whole of a blob; ``data`` and ``info`` are of the same version."""

    data: bytes
    info: BlobInfo


class Container(Protocol):
    """What the use cases need of blob storage. Every method may also raise StoreUnavailable."""

    @property
    def requests(self) -> int:
        """Return how many requests this object has made so far; an idle tick makes few."""
        ...

    async def list(self, prefix: str = "", *, delimiter: str | None = None) -> Listing:
        """Return every blob whose name begins with ``prefix``; with a delimiter, one level of them."""
        ...

    async def read(self, name: str) -> Blob | None:
        """Return a blob as a whole, or None when there is none."""
        ...

    async def download_to(self, name: str, stream: BinaryIO, *, if_match: str | None = None) -> BlobInfo:
        """Write a blob of any size into ``stream``, piece by piece, all of one version, and say which.

        Raises:
            StateChanged: when the blob is another version than ``if_match``, changes meanwhile, or is not there.
                What ``stream`` holds by then means nothing.
        """
        ...

    async def write(
        self,
        name: str,
        data: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Store a blob as a whole and return its ETag.

        Args:
            name: of the blob, within the container.
            data: its whole content.
            if_match: only over this version.
            if_none_match: only when there is no such blob.
            lease: the lease we hold on it. A leased blob takes no write without it.
            content_type: what a browser makes of it.

        Raises:
            StateChanged: when the condition does not hold.
            LeaseLost: when the lease is not the blob's present one.
        """
        ...

    async def upload_from(
        self,
        name: str,
        stream: BinaryIO,
        *,
        if_none_match: bool = False,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Store what ``stream`` holds from where it stands, piece by piece, and return the ETag.

        Raises:
            StateChanged: when ``if_none_match`` is asked for and the blob is there.
        """
        ...

    async def copy_from(self, name: str, source: Container, blob: str, *, if_match: str) -> bool:
        """Let storage itself copy a version of a blob of another container of the account, and tell whether it did.

        False, for whatever reason, says that ``name`` holds nothing that means anything; `upload_from` may replace it.
        """
        ...

    async def append(self, name: str, block: bytes, *, create: bool = False) -> None:
        """Add one block of up to 4 MiB at the end of an append blob, whole or not at all.

        Adding is repeated when the answer is lost, so a block may stand there twice: readers must not mind.

        Raises:
            StateChanged: with ``create`` when the blob is there, without when it is not; also when it cannot take
                one more block (its limit is 50,000; ``code`` is ``FULL``).
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob; one that is not there is fine.

        Raises:
            LeaseLost: when somebody holds a lease on it.
        """
        ...

    async def acquire_lease(self, name: str, *, seconds: int = 60) -> str:
        """Take the lease of an existing blob for 15 to 60 seconds and return its id.

        Raises:
            Busy: when somebody else holds it.
            StateChanged: when there is no such blob.
        """
        ...

    async def renew_lease(self, name: str, lease: str) -> None:
        """Hold the lease for its whole duration again, counted from now.

        Raises:
            LeaseLost: when it is not ours any more.
        """
        ...

    async def release_lease(self, name: str, lease: str) -> None:
        """Let go of the lease; one that is not ours any more is fine."""
        ...

    async def ensure(self) -> None:
        """Make the container when it is not there."""
        ...


@asynccontextmanager
async def open_service(
    *,
    connection_string: str | None = None,
    account_url: str | None = None,
    credential: AsyncTokenCredential | None = None,
    ca_bundle: str | None = None,
) -> AsyncIterator[BlobServiceClient]:
    """Open a storage account, by connection string (Azurite) or by URL and token credential; closes it in the end.

    All containers of the account share its connections and its token:
    ``AzureContainer(service.get_container_client("hr-exports"))``. The credential stays the caller's to close.

    Args:
        connection_string: either this, or the next two.
        account_url: the blob endpoint, ``https://ACCOUNT.blob.core.windows.net``.
        credential: who we are there.
        ca_bundle: a file of certificate authorities to trust instead of the system's. aiohttp reads SSL_CERT_FILE only
            when it is imported; a file named here holds whatever was imported first.

    Raises:
        ConfigurationError: when the connection string or the URL makes no sense. The message does not repeat it.
    """
    from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

    options: dict[str, Any] = {
        # 2, 4 and 8 seconds, give or take one: long enough for a partition to move, short enough for a tick.
        "retry_policy": ExponentialRetry(initial_backoff=0, increment_base=2, retry_total=3, random_jitter_range=1),
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "max_single_put_size": SINGLE_PUT_LIMIT,
        "max_block_size": SINGLE_PUT_LIMIT // 2,
        "max_single_get_size": PIECE_BYTES,
        "max_chunk_get_size": PIECE_BYTES,
    }
    if ca_bundle is not None:
        options["connection_verify"] = ca_bundle
    try:
        if connection_string is not None:
            service = BlobServiceClient.from_connection_string(connection_string, **options)
        else:
            service = BlobServiceClient(account_url or "", credential, **options)
    except ValueError:
        setting = "HR_STORAGE_URL" if connection_string is None else "HR_STORAGE_CONNECTION_STRING"
        problem = f"{setting}: the storage client cannot read it; copy it from the account's page in the portal"
        raise ConfigurationError([problem]) from None
    async with service:
        yield service


class AzureContainer:
    """A container in Azure Blob Storage or Azurite. The client is the caller's to close.

    ``page_size`` is how many names one request lists; 5,000 is the most.
    """

    def __init__(self, client: ContainerClient, *, page_size: int = 5000) -> None:
        self._client = client
        self._page_size = page_size
        self.requests = 0

    async def list(self, prefix: str = "", *, delimiter: str | None = None) -> Listing:
        """Return every blob whose name begins with ``prefix``; with a delimiter, one level of them."""
        from azure.storage.blob.aio import BlobPrefix

        dates: list[datetime] = []

        def note(response: Any) -> None:
            self._count(response)
            answer = response.http_response
            if answer.status_code == 200 and "Date" in answer.headers:
                dates.append(parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC))

        blobs: list[BlobInfo] = []
        prefixes: list[str] = []
        options: dict[str, Any] = {"results_per_page": self._page_size, "raw_response_hook": note}
        with self._translated(writing=False):
            found: Any = (
                self._client.list_blobs(name_starts_with=prefix, **options)
                if delimiter is None
                else self._client.walk_blobs(name_starts_with=prefix, delimiter=delimiter, **options)
            )
            async for entry in found:
                if isinstance(entry, BlobPrefix):
                    prefixes.append(entry.name)
                else:
                    blobs.append(_info(entry.name, entry.size, entry))
        if not dates:
            raise StoreUnavailable(f"storage sent no Date with the listing of container {self._name}: is it a proxy?")
        return Listing(blobs=tuple(blobs), prefixes=tuple(prefixes), date=dates[0])

    async def read(self, name: str) -> Blob | None:
        """Return a blob as a whole, or None when there is none."""
        try:
            with self._translated(writing=False):
                download = await self._blob(name).download_blob(
                    max_concurrency=_TRANSFERS, raw_response_hook=self._count
                )
                data = await download.readall()
        except StateChanged as error:
            if error.code == ABSENT:
                return None
            raise
        return Blob(data=data, info=_info(name, len(data), download.properties))

    async def download_to(self, name: str, stream: BinaryIO, *, if_match: str | None = None) -> BlobInfo:
        """Write a blob of any size into ``stream``, piece by piece, all of one version, and say which."""
        from azure.core import MatchConditions

        conditions: dict[str, Any] = {}
        if if_match is not None:
            conditions = {"etag": if_match, "match_condition": MatchConditions.IfNotModified}
        with self._translated(writing=False):
            download = await self._blob(name).download_blob(
                max_concurrency=1,  # pieces in their order, so that the stream need not be seekable
                raw_response_hook=self._count,
                **conditions,
            )
            # The client itself pins the later pieces to the version of the first one.
            size = await download.readinto(stream)
        return _info(name, size, download.properties)

    async def write(
        self,
        name: str,
        data: bytes,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
        lease: str | None = None,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Store a blob as a whole and return its ETag."""
        attempts = _Attempts()
        try:
            with self._translated(writing=True):
                answer = await self._blob(name).upload_blob(
                    data,
                    length=len(data),
                    retry_hook=attempts.note_retry,
                    **self._upload_options(content_type, if_match=if_match, if_none_match=if_none_match, lease=lease),
                )
        except StateChanged:
            # The first attempt may have succeeded and only its answer been lost; the condition then fails on the
            # second. What is stored tells.
            if attempts.repeated and (stored := await self.read(name)) is not None and stored.data == data:
                return stored.info.etag
            raise
        return _quoted(answer["etag"])

    async def upload_from(
        self,
        name: str,
        stream: BinaryIO,
        *,
        if_none_match: bool = False,
        content_type: str = "application/octet-stream",
    ) -> str:
        """Store what ``stream`` holds from where it stands, piece by piece, and return the ETag."""
        with self._translated(writing=True):
            answer = await self._blob(name).upload_blob(
                stream, **self._upload_options(content_type, if_none_match=if_none_match)
            )
        return _quoted(answer["etag"])

    async def copy_from(self, name: str, source: Container, blob: str, *, if_match: str) -> bool:
        """Let storage itself copy a version of a blob of another container of the account, and tell whether it did.

        One request, whatever the size. Within an account the source is read under the same authorisation, be it a
        token or a key, and the copy has mostly been made when the answer comes; one that takes longer is given up.
        https://learn.microsoft.com/rest/api/storageservices/copy-blob
        """
        from azure.core import MatchConditions

        if not isinstance(source, AzureContainer):
            return False
        target = self._blob(name)
        try:
            with self._translated(writing=True):
                copy = await target.start_copy_from_url(
                    source._blob(blob).url,  # noqa: SLF001 - one of ours
                    source_etag=if_match,
                    source_match_condition=MatchConditions.IfNotModified,
                    raw_response_hook=self._count,
                )
                if copy["copy_status"] == "pending":
                    await target.abort_copy(copy, raw_response_hook=self._count)
        except StoreError:
            return False
        return str(copy["copy_status"]) == "success"

    async def append(self, name: str, block: bytes, *, create: bool = False) -> None:
        """Add one block of up to 4 MiB at the end of an append blob, whole or not at all."""
        check_block(block)
        blob = self._blob(name)
        if create:
            await self._create_append_blob(blob)
        if block:
            with self._translated(writing=True):
                await blob.append_block(block, length=len(block), raw_response_hook=self._count)

    async def delete(self, name: str) -> None:
        """Remove a blob; one that is not there is fine."""
        try:
            with self._translated(writing=True):
                await self._blob(name).delete_blob(delete_snapshots="include", raw_response_hook=self._count)
        except StateChanged as error:
            if error.code != ABSENT:
                raise

    async def acquire_lease(self, name: str, *, seconds: int = 60) -> str:
        """Take the lease of an existing blob for 15 to 60 seconds and return its id."""
        from azure.storage.blob.aio import BlobLeaseClient

        # The client proposes the id, so asking again after a lost answer finds us as the holder.
        lease = BlobLeaseClient(self._blob(name))
        async with self._lease_request():
            await lease.acquire(lease_duration=seconds, **self._lease_options())
        return lease.id

    async def renew_lease(self, name: str, lease: str) -> None:
        """Hold the lease for its whole duration again, counted from now."""
        from azure.storage.blob.aio import BlobLeaseClient

        try:
            async with self._lease_request():
                await BlobLeaseClient(self._blob(name), lease_id=lease).renew(**self._lease_options())
        except StateChanged as error:
            raise LeaseLost(f"the leased blob in container {self._name} is gone") from error

    async def release_lease(self, name: str, lease: str) -> None:
        """Let go of the lease; one that is not ours any more is fine."""
        from azure.storage.blob.aio import BlobLeaseClient

        try:
            async with self._lease_request():
                await BlobLeaseClient(self._blob(name), lease_id=lease).release(**self._lease_options())
        except (LeaseLost, StateChanged):
            return

    async def ensure(self) -> None:
        """Make the container when it is not there.

        Looks first: a role on an existing container does not include making one.
        """
        with self._translated(writing=True):
            if not await self._client.exists(raw_response_hook=self._count):
                try:
                    await self._client.create_container(raw_response_hook=self._count)
                except Exception as error:
                    if _code(error) != "ContainerAlreadyExists":  # somebody else was faster
                        raise

    @property
    def _name(self) -> str:
        return str(self._client.container_name)

    def _blob(self, name: str) -> BlobClient:
        return self._client.get_blob_client(name)

    def _count(self, _response: object) -> None:
        self.requests += 1

    def _lease_options(self) -> dict[str, Any]:
        return {
            "retry_total": _LEASE_RETRIES,
            "read_timeout": _LEASE_READ_SECONDS,
            "raw_response_hook": self._count,
        }

    def _upload_options(
        self, content_type: str, *, if_none_match: bool, if_match: str | None = None, lease: str | None = None
    ) -> dict[str, Any]:
        from azure.core import MatchConditions
        from azure.storage.blob import ContentSettings

        options: dict[str, Any] = {
            "overwrite": True,  # the conditions below decide, not the client's own default one
            "max_concurrency": _TRANSFERS,
            "content_settings": ContentSettings(content_type=content_type),
            "lease": lease,
            "raw_response_hook": self._count,
        }
        if if_none_match:
            options["match_condition"] = MatchConditions.IfMissing
        elif if_match is not None:
            options |= {"etag": if_match, "match_condition": MatchConditions.IfNotModified}
        return options

    async def _create_append_blob(self, blob: BlobClient) -> None:
        from azure.core import MatchConditions

        attempts = _Attempts()
        try:
            with self._translated(writing=True):
                await blob.create_append_blob(
                    match_condition=MatchConditions.IfMissing,
                    retry_hook=attempts.note_retry,
                    raw_response_hook=self._count,
                )
        except StateChanged:
            # As in ``write``: after a lost answer, an empty blob is the one we made.
            if not attempts.repeated:
                raise
            with self._translated(writing=False):
                if (await blob.get_blob_properties(raw_response_hook=self._count)).size:
                    raise

    @contextmanager
    def _translated(self, *, writing: bool) -> Iterator[None]:
        """Let Azure's errors out as ours."""
        from azure.core.exceptions import AzureError

        try:
            yield
        except AzureError as error:
            raise _refusal(error, self._name, writing=writing) from error

    @asynccontextmanager
    async def _lease_request(self) -> AsyncIterator[None]:
        try:
            with self._translated(writing=True):
                async with asyncio.timeout(_LEASE_SECONDS):
                    yield
        except TimeoutError as error:
            raise StoreUnavailable(
                f"storage did not answer a lease request in container {self._name} for {_LEASE_SECONDS} s;"
                " check the network"
            ) from error


def check_block(block: bytes) -> None:
    """Refuse a block that storage would refuse.

    Raises:
        ValueError: when it is larger than APPEND_BLOCK_LIMIT; the caller makes its blocks, so the caller is wrong.
    """
    if len(block) > APPEND_BLOCK_LIMIT:
        raise ValueError(f"a block holds {len(block)} bytes; allowed: {APPEND_BLOCK_LIMIT}")


class _Attempts:
    """Whether the client repeated a request whose first answer was lost or unusable."""

    def __init__(self) -> None:
        self.repeated = False

    def note_retry(self, **_details: object) -> None:
        self.repeated = True


def _info(name: str, size: int, properties: Any) -> BlobInfo:
    return BlobInfo(
        name=name,
        size=size,
        etag=_quoted(properties.etag),
        last_modified=properties.last_modified.astimezone(UTC),
        # https://learn.microsoft.com/rest/api/storageservices/lease-blob (outcomes of lease operations by lease state)
        broken=properties.lease.state == "broken",
    )


def _quoted(etag: str) -> str:
    """Return an ETag as HTTP writes it: listings leave out the quotes, headers do not."""
    return '"' + etag.strip('"') + '"'


# https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
_LEASE_LOST = frozenset(
    {
        "LeaseAlreadyBroken", "LeaseIdMismatchWithBlobOperation", "LeaseIdMismatchWithLeaseOperation",
        "LeaseIdMissing", "LeaseIsBreakingAndCannotBeChanged", "LeaseIsBrokenAndCannotBeRenewed", "LeaseLost",
        "LeaseNotPresentWithBlobOperation", "LeaseNotPresentWithLeaseOperation",
    }
)  # fmt: skip

_BUSY = frozenset({"LeaseAlreadyPresent", "LeaseIsBreakingAndCannotBeAcquired"})

_CONDITION = frozenset(
    {
        "AppendPositionConditionNotMet", "BlobAlreadyExists", "ConditionNotMet", "InvalidBlobType",
        "TargetConditionNotMet", "UnauthorizedBlobOverwrite",
    }
)  # fmt: skip


def _code(error: object) -> str:
    """Return Azure's error code. HEAD answers have no body, so the header is looked at as well."""
    code = getattr(error, "error_code", None)
    if code is None:
        response = getattr(error, "response", None)
        code = response.headers.get("x-ms-error-code") if response is not None else None
    return str(getattr(code, "value", code) or "")


def _refusal(error: object, container: str, *, writing: bool) -> StoreError:
    """Return our error for one of Azure's: the only place where its codes are read."""
    status, code = getattr(error, "status_code", None), _code(error)
    if code in _LEASE_LOST:
        return LeaseLost(f"the lease on a blob in container {container} is not ours ({code})")
    if code in _BUSY:
        return Busy(f"another run holds the lease in container {container}")
    if code == "BlockCountExceedsLimit":
        return StateChanged(f"an append blob in container {container} holds 50,000 blocks and is full", code=FULL)
    if code in _CONDITION or status == 412:
        return StateChanged(f"a blob in container {container} is not the version this was based on ({code or status})")
    if code == "ContainerNotFound":
        return StoreUnavailable(f"container {container} does not exist; create it, or mend its name in the settings")
    if status == 404:
        return StateChanged(f"a blob in container {container} is not there", code=ABSENT)
    return StoreUnavailable(_advice(error, status, code, container, writing=writing))


def _advice(error: object, status: int | None, code: str, container: str, *, writing: bool) -> str:
    """Return what the operator can check when storage refuses or is silent."""
    role = "Storage Blob Data Contributor" if writing else "Storage Blob Data Reader (or Contributor)"
    found = code or status
    # Storage's own refusals have a code; without one it is the managed identity that gave no token.
    if not code and type(error).__name__ in ("ClientAuthenticationError", "CredentialUnavailableError"):
        return (
            f"no token for storage, container {container}: check that the managed identity is assigned to the app"
            " and that AZURE_CLIENT_ID is its client id (locally: az login)"
        )
    if status in (401, 403):
        return (
            f"storage refuses us container {container} ({found}): the identity needs the role {role} on it (a new"
            " assignment takes up to 10 minutes), and the account's network rules must admit this app"
        )
    if status is None:
        return (
            f"storage does not answer for container {container} ({type(error).__name__}): check HR_STORAGE_URL or"
            " HR_STORAGE_CONNECTION_STRING, name resolution, and the account's network rules"
        )
    return f"storage answers {found} for container {container}; it is tried again at the next tick"
