"""Google Cloud Storage, by Google's own client.

Credentials are found as its tools find them: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, the
account of a pod or machine. Where there are none the bucket is asked without, as public ones allow.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any, Final

with warnings.catch_warnings():
    # Google says on every import that it no longer supports Python 3.10; which lane is which, our documents say.
    warnings.simplefilter("ignore", FutureWarning)
    import google.auth
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud import storage
    from google.cloud.storage.retry import DEFAULT_RETRY
    from google.resumable_media import DataCorruption, InvalidResponse
from requests.exceptions import RequestException

from components.errors import BadInput, EnvironmentProblem
from pipeline.datasets.stores.address import Address
from pipeline.datasets.stores.store import CHUNK, CONNECT_S, READ_S, BrokenError, ChangedError, StoredObject

_EMULATOR: Final = "STORAGE_EMULATOR_HOST"
_LISTED: Final = "items(name,size,etag,generation,updated),prefixes,nextPageToken"
_AHEAD: Final = 16 * CHUNK
"""Bytes of one request; the client asks for an object in ranges."""

_TIMEOUT: Final = (CONNECT_S, READ_S)
_RETRY: Final = DEFAULT_RETRY.with_timeout(3 * CONNECT_S)
"""The client's own goes on for two minutes where there is no network."""


class Gcs:
    """One bucket."""

    def __init__(self, address: Address) -> None:
        self._address = address
        with self._in_words():
            self._client = _client()
            self._bucket = self._client.bucket(address.bucket)
        self.endpoint = str(self._client._connection.API_BASE_URL)  # noqa: SLF001  # nothing public says it

    def find(self, key: str) -> StoredObject | None:
        """Return the object of a key."""
        with self._in_words(key):
            blob = self._bucket.get_blob(key, timeout=_TIMEOUT, retry=_RETRY)
        return None if blob is None else _stored(blob)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a prefix, a thousand to a request."""
        with self._in_words(prefix):
            yield from map(
                _stored,
                self._client.list_blobs(self._bucket, prefix=prefix, fields=_LISTED, timeout=_TIMEOUT, retry=_RETRY),
            )

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below a prefix."""
        with self._in_words(prefix):
            blobs = self._client.list_blobs(
                self._bucket, prefix=prefix, delimiter="/", fields=_LISTED, timeout=_TIMEOUT, retry=_RETRY
            )
            yield from (blob.name[len(prefix) :] for blob in blobs)
            yield from (name[len(prefix) :] for name in blobs.prefixes)

    def read(self, one: StoredObject, start: int) -> _Reading:
        """Open the generation of an object that was listed, at an offset."""
        blob = self._bucket.blob(one.key, generation=int(one.version))
        return _Reading(self, one, blob, start)

    @contextlib.contextmanager
    def _in_words(self, key: str | None = None) -> Iterator[None]:
        where = self._address if key is None else self._address.of(key)
        try:
            yield
        except api.NotFound as err:
            hint = "`gcloud storage ls` lists your buckets"
            wanted = self._address.bucket
            raise BadInput("no such bucket", where=self._address, wanted=wanted, got="404", hint=hint) from err
        except (api.Forbidden, api.Unauthorized, auth.GoogleAuthError) as err:
            hint = "storage.objects.list and .get are needed; `gcloud auth application-default login` gives credentials"
            what = "the store does not let us read"
            raise EnvironmentProblem(what, where=where, got=_said(err), hint=hint) from err
        except (api.RetryError, RequestException, ConnectionError) as err:
            hint = f"see to the network, and to {_EMULATOR} where it is set"
            raise EnvironmentProblem("the store cannot be reached", where=where, got=_said(err), hint=hint) from err
        except api.GoogleAPICallError as err:
            raise EnvironmentProblem("the store fails", where=where, got=_said(err), hint="try again") from err


class _Reading:
    """The ranges of one object."""

    def __init__(self, store: Gcs, one: StoredObject, blob: Any, start: int) -> None:
        self.version = one.version
        self._store = store
        self._key = one.key
        self._reader = blob.open("rb", chunk_size=_AHEAD, timeout=_TIMEOUT, retry=_RETRY)
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes."""
        with self._store._in_words(self._key):  # noqa: SLF001  # one module
            try:
                self._reader.seek(self._start)
                yield from iter(lambda: self._reader.read(CHUNK), b"")
            except api.NotFound as err:
                raise ChangedError from err
            except (RequestException, ConnectionError, InvalidResponse, DataCorruption) as err:
                raise BrokenError(_said(err)) from err


def _client() -> Any:
    if os.environ.get(_EMULATOR):
        return storage.Client()
    try:
        google.auth.default()
    except auth.DefaultCredentialsError:
        return storage.Client.create_anonymous_client()
    # Reading needs no project, and the client insists on one.
    return storage.Client(project=os.environ.get("GOOGLE_CLOUD_PROJECT", "none"))


def _stored(blob: Any) -> StoredObject:
    return StoredObject(
        key=blob.name,
        bytes=blob.size,
        etag=blob.etag,
        version=str(blob.generation),
        modified=blob.updated.isoformat(),
    )


def _said(err: BaseException) -> str:
    return str(getattr(err, "message", None) or err).splitlines()[0].partition("?")[0]
