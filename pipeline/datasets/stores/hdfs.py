"""HDFS, by hdfs-native, which speaks the NameNode's own protocol without a JVM.

`hdfs://namenode:8020/path`, or a name service of the files in HADOOP_CONF_DIR. Kerberos takes the ticket that `kinit` got.
HDFS has no ETag: size and time of modification are all that says that a file was written again.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
from collections.abc import Iterator
from typing import Any

from hdfs_native import Client

from components.errors import EnvironmentProblem
from pipeline.datasets.stores.address import Address
from pipeline.datasets.stores.store import CONNECT_S, BrokenError, ChangedError, StoredObject


class Hdfs:
    """One HDFS."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.endpoint = f"hdfs://{address.bucket}"
        with self._in_words():
            _require_reachable(address.bucket)
            self._client = Client(self.endpoint)

    def find(self, key: str) -> StoredObject | None:
        """Return the file at a path."""
        with self._in_words(key), contextlib.suppress(FileNotFoundError):
            told = self._client.get_file_info(f"/{key}")
            return None if told.isdir else _stored(told)
        return None

    def below(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all files below a folder."""
        with self._in_words(prefix), contextlib.suppress(FileNotFoundError):
            yield from (_stored(one) for one in self._client.list_status(f"/{prefix}", recursive=True) if not one.isdir)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names in a folder; those of folders end with a slash."""
        with self._in_words(prefix), contextlib.suppress(FileNotFoundError):
            for one in self._client.list_status(f"/{prefix}"):
                yield one.path.rpartition("/")[2] + ("/" if one.isdir else "")

    def read(self, one: StoredObject, start: int) -> _Reading:
        """Open a file at an offset."""
        if self.find(one.key) != one:
            raise ChangedError
        with self._in_words(one.key):
            return _Reading(self, one, self._client.read(f"/{one.key}"), start)

    @contextlib.contextmanager
    def _in_words(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ChangedError, BrokenError, EnvironmentProblem):
            raise
        except Exception as err:  # hdfs-native raises nothing narrower
            hint = "see to the NameNode's address, HADOOP_CONF_DIR and, with Kerberos, `klist`"
            got = (str(err) or type(err).__name__).splitlines()[0]
            where = self._address.of(key) if key else self._address
            raise EnvironmentProblem("HDFS does not answer as it should", where=where, got=got, hint=hint) from err


class _Reading:
    """The blocks of one file."""

    version = ""

    def __init__(self, store: Hdfs, one: StoredObject, reader: Any, start: int) -> None:
        self._store = store
        self._one = one
        self._reader = reader
        self._start = start

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes; the file is looked at again at the end, as nothing else says that it is still the same."""
        try:
            yield from map(bytes, self._reader.read_range_stream(self._start, self._one.bytes - self._start))
        except FileNotFoundError as err:
            raise ChangedError from err
        except Exception as err:  # as above
            raise BrokenError(str(err)) from err
        if self._store.find(self._one.key) != self._one:
            raise ChangedError


def _require_reachable(authority: str) -> None:
    """Connect once to a NameNode that is named with its port: hdfs-native tries for three minutes."""
    host, _, port = authority.partition(":")
    if port:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()


def _stored(told: Any) -> StoredObject:
    written = datetime.datetime.fromtimestamp(told.modification_time / 1000, tz=datetime.timezone.utc)
    return StoredObject(key=told.path.lstrip("/"), bytes=told.length, etag="", modified=written.isoformat())
