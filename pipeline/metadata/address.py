"""Addresses of ML Metadata's store: an SQLite file, a MySQL database or a gRPC service.

A password comes from the text or from the environment. No message and no `repr` carries it, so the text itself is
never repeated in an error either: a misspelt address has its password in any place.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import SplitResult, quote, unquote, urlsplit

from components import untrusted
from components.errors import BadInput, EnvironmentProblem
from pipeline.root import identity
from pipeline.root.paths import RunPaths

if TYPE_CHECKING:
    from ml_metadata.proto import metadata_store_pb2

OPTION: Final = "--metadata"
PASSWORD_VARIABLE: Final = "MNIST_TFX_METADATA_PASSWORD"  # noqa: S105  # a variable's name

FORMS: Final = {
    "sqlite": "sqlite:///file or sqlite:////absolute/file",
    "mysql": "mysql://user@host:port/database",
    "grpc": "grpc://host:port",
}
MYSQL_PORT: Final = 3306
GRPC_PORT: Final = 8080
"""Of Kubeflow's metadata service (`metadata-grpc-service`)."""

RPC_TIMEOUT: Final = 30.0
"""Seconds for one call of the gRPC service, which would otherwise be waited for without end."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SqliteFile:
    """A store in a file; its path is absolute."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def url(self) -> str:
        """Return what `parse` takes."""
        return str(self)

    def config(self) -> metadata_store_pb2.ConnectionConfig:
        """Return what ml_metadata wants to hear."""
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(self.path)
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return config


@dataclasses.dataclass(frozen=True, kw_only=True)
class MysqlDatabase:
    """A store in a database of a MySQL or MariaDB server."""

    host: str
    port: int
    database: str
    user: str
    password: str = dataclasses.field(default="", repr=False)

    def __str__(self) -> str:
        return f"mysql://{quote(self.user, safe='')}@{_netloc(self.host, self.port)}/{self.database}"

    def url(self) -> str:
        """Return what `parse` takes, with the password."""
        user = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"mysql://{user}@{_netloc(self.host, self.port)}/{self.database}"

    def config(self) -> metadata_store_pb2.ConnectionConfig:
        """Return what ml_metadata wants to hear."""
        from ml_metadata.proto import metadata_store_pb2

        mysql = metadata_store_pb2.MySQLDatabaseConfig(
            # The client takes `localhost` for a socket's path of its own and ignores the port.
            host="127.0.0.1" if self.host == "localhost" else self.host,
            port=self.port,
            database=self.database,
            user=self.user,
            password=self.password,
        )
        return metadata_store_pb2.ConnectionConfig(mysql=mysql)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrpcService:
    """A store behind MLMD's gRPC service, such as Kubeflow's."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"grpc://{_netloc(self.host, self.port)}"

    def url(self) -> str:
        """Return what `parse` takes."""
        return str(self)

    def config(self) -> metadata_store_pb2.MetadataStoreClientConfig:
        """Return what ml_metadata wants to hear."""
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.MetadataStoreClientConfig(
            host=_bracketed(self.host), port=self.port, client_timeout_sec=RPC_TIMEOUT
        )
        # gRPC's own limit of 4 MB is some thousand executions.
        config.channel_arguments.max_receive_message_length = -1
        return config


Address = SqliteFile | MysqlDatabase | GrpcService


def recorded_address(paths: RunPaths) -> str | None:
    """Return the address, without a password, that a root's last run wrote to; None for the file in the root.

    A store below the root moves along with it.
    """
    if paths.identity.is_symlink() or not untrusted.is_file(paths.identity):
        return None
    try:
        fields = identity.read(paths.identity)
    except EnvironmentProblem:
        return None
    address, before = fields.get(identity.RECORDED), fields.get(identity.PLACE)
    if not address:
        return None
    if before is not None and address.startswith(f"{before}/"):
        address = f"{paths.root}{address[len(before) :]}"
    return None if address == str(paths.metadata) else address


def parse_address(text: str, environ: Mapping[str, str] | None = None) -> Address:
    """Return the address in a URL or path; nothing is connected to.

    Args:
      text: the path of an SQLite file, or one of `FORMS`. User and password may be percent-encoded.
      environ: where a password is looked up that the URL lacks; the process's environment by default.

    Raises:
      BadInput: if it is no such address.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or not (rest.startswith("//") or scheme in FORMS):
        return _sqlite(text)
    if scheme not in FORMS:
        raise BadInput(
            "no such kind of metadata store", where=OPTION, wanted=f"a path, or {', '.join(FORMS)}", got=scheme
        )
    if not rest.startswith("//"):
        _refuse(scheme, "no // after the colon")
    if not text.isprintable():
        _refuse(scheme, "control characters")
    if scheme == "sqlite":
        if not rest.startswith("///"):
            _refuse(scheme, "a host")
        return _sqlite(unquote(rest[3:]))
    parts = _split(text, scheme)
    return _mysql(parts, os.environ if environ is None else environ) if scheme == "mysql" else _grpc(parts)


def _sqlite(path: str) -> SqliteFile:
    if not path or "\0" in path:
        raise BadInput("not a path", where=OPTION, wanted=f"a file, or {FORMS['sqlite']}", got=repr(path))
    # SQLite reads `file:` and ml_metadata a question mark as parts of a URI; an absolute path has no scheme.
    return SqliteFile(path=Path(path).absolute())


def _mysql(parts: SplitResult, environ: Mapping[str, str]) -> MysqlDatabase:
    database = parts.path.removeprefix("/")
    if not parts.username:
        _refuse("mysql", "no user (in a password: / is %2F)")
    if not database:
        _refuse("mysql", "no database")
    # MLMD writes the name into SQL as it is.
    if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", database):
        _refuse("mysql", "a database's name with more than letters, digits and _")
    password = environ.get(PASSWORD_VARIABLE, "") if parts.password is None else unquote(parts.password)
    return MysqlDatabase(
        host=_host(parts),
        port=_port(parts, MYSQL_PORT),
        database=database,
        user=unquote(parts.username or ""),
        password=password,
    )


def _grpc(parts: SplitResult) -> GrpcService:
    if "@" in parts.netloc:
        _refuse("grpc", "a user or a password")
    if parts.path not in ("", "/"):
        _refuse("grpc", "a path after the port")
    return GrpcService(host=_host(parts), port=_port(parts, GRPC_PORT))


def _split(text: str, scheme: str) -> SplitResult:
    try:
        parts = urlsplit(text)
    except ValueError:  # its message repeats the text
        _refuse(scheme, "brackets that are not an IPv6 address")
    if not parts.hostname:
        _refuse(scheme, "no host")
    if parts.query or parts.fragment:
        _refuse(scheme, "a ? or # (in a password: %3F, %23)")
    return parts


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        _refuse(parts.scheme, "a host's name with other characters (in a password: @ is %40, / is %2F)")
    return host


def _port(parts: SplitResult, default: int) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        _refuse(parts.scheme, "a port that is none of 1 to 65535 (in a password: / is %2F)")
    return port or default


def _refuse(scheme: str, got: str) -> NoReturn:
    # `from None`, since urllib repeats a part of the text, which may be a password.
    raise BadInput("not the address of a metadata store", where=OPTION, wanted=FORMS[scheme], got=got) from None


def _netloc(host: str, port: int) -> str:
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
