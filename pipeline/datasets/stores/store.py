"""What a store of objects can do: find one object, list those below a prefix in pages, read one version from an offset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from components.errors import EnvironmentProblem
from pipeline.datasets.stores.address import Address

CHUNK: Final = 1 << 20
"""Bytes of one read."""

PARALLEL: Final = 8
"""Objects that are read at a time; one connection to S3 gives some 50 to 100 MB/s, and small objects wait for answers."""

CONNECT_S: Final = 10
READ_S: Final = 60
"""Seconds without an answer, or without a byte, after which an attempt is given up."""


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object as a listing has it.

    Attributes:
      key: its key.
      bytes: its size.
      etag: what the store calls this content; on HDFS size and time are all there is, and it is empty.
      version: generation, on Google's store; S3 tells it with the content.
      modified: ISO 8601, in UTC.
    """

    key: str
    bytes: int
    etag: str
    version: str = ""
    modified: str

    @property
    def state(self) -> tuple[object, ...]:
        """What is equal as long as nobody wrote the object again, as far as the store says."""
        return self.bytes, self.etag, self.modified


class ChangedError(Exception):
    """An object is not, or no longer, what the listing said."""


class BrokenError(Exception):
    """A connection ended in the middle of an object; the rest can be asked for."""


class Reading(Protocol):
    """An object that is being read."""

    version: str

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes from the offset on.

        Raises:
          ChangedError: if it was written or removed meanwhile.
          BrokenError: if the connection ended before the object.
        """
        ...


class Store(Protocol):
    """One bucket, or one HDFS; every method raises `BadInput` or `EnvironmentProblem` in words of the user."""

    endpoint: str
    """The server, without anything secret."""

    def find(self, key: str) -> StoredObject | None:
        """Return the object of a key; None where there is none."""
        ...

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects whose keys begin with a prefix, which ends with a slash or is empty; page by page."""
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names directly below a prefix; those of prefixes end with a slash."""
        ...

    def read(self, one: StoredObject, start: int) -> Reading:
        """Open an object, as it was listed, at an offset.

        Raises:
          ChangedError: if it is another one now, or gone.
        """
        ...


def open_store(address: Address) -> Store:
    """Return the store of an address; what speaks to it is imported here.

    Raises:
      EnvironmentProblem: if the package is missing, or there is no way to the store.
    """
    try:
        if address.scheme == "s3":
            from pipeline.datasets.stores.s3 import S3

            return S3(address)
        if address.scheme == "gs":
            from pipeline.datasets.stores.gcs import Gcs

            return Gcs(address)
        from pipeline.datasets.stores.hdfs import Hdfs

        return Hdfs(address)
    except ImportError as err:
        hint = "install the locked environment with `make install`"
        package = (err.name or str(err)).partition(".")[0]
        what = "a package that reads this store is not installed"
        raise EnvironmentProblem(what, where=address, wanted=package, got=str(err), hint=hint) from err
