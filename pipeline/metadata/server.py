"""ml_metadata's own store of a server, or one line that says why not; without TFX.

MLMD waits without end for a server that does not answer, and says nothing about a wrong password.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.metadata.address import PASSWORD_VARIABLE, GrpcService, MysqlDatabase

REACH: Final = 5.0
"""Seconds that a server may take to answer at all."""


def connect(address: MysqlDatabase | GrpcService) -> Any:
    """Return ml_metadata's store on a server.

    Raises:
      EnvironmentProblem: if it cannot be reached, or refuses.
    """
    from ml_metadata import errors
    from ml_metadata.metadata_store import metadata_store

    check_server(address)
    try:
        probe(address)
        return metadata_store.MetadataStore(address.config())
    except (errors.StatusError, RuntimeError) as err:
        raise problem(address, err) from err


def probe(address: MysqlDatabase | GrpcService) -> None:
    """Ask a service something that it can answer at once: its connection is made with the first call."""
    from ml_metadata.metadata_store import metadata_store

    if isinstance(address, GrpcService):
        config = address.config()
        config.client_timeout_sec = REACH
        metadata_store.MetadataStore(config).get_context_types()


def check_server(address: MysqlDatabase | GrpcService) -> None:
    """Ask whether anybody listens, and speaks first, as MySQL does: MLMD would wait for both without end.

    Raises:
      EnvironmentProblem: if not.
    """
    greeting = b""
    try:
        with socket.create_connection((address.host, address.port), timeout=REACH) as connected:
            if isinstance(address, MysqlDatabase):
                greeting = connected.makefile("rb").read(5)
    except OSError as err:
        got = err.strerror or str(err) or type(err).__name__
        raise EnvironmentProblem("cannot be reached", where=address, got=got, hint="is the server running?") from err
    # Three bytes of length, a number, and the version of the protocol.
    if isinstance(address, MysqlDatabase) and greeting[4:] != b"\x0a":
        raise EnvironmentProblem("does not answer as a MySQL server does", where=address)


def problem(address: MysqlDatabase | GrpcService, error: Exception) -> EnvironmentProblem:
    """Return what MLMD raised as one line, without the password."""
    text = " ".join(str(error).split()).partition(" query: ")[0][:300]  # MLMD adds some lines of SQL
    if isinstance(address, MysqlDatabase):
        if "mysql_real_connect failed" in text:  # all that MLMD says
            hint = f"is the password ({PASSWORD_VARIABLE}) right, and does the user log in by mysql_native_password?"
            return EnvironmentProblem("the server refused the user", where=address, hint=hint)
        text = text.replace(address.password, "***") if address.password else text
    return EnvironmentProblem("cannot use the metadata store", where=address, got=text)
