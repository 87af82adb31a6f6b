"""Metadata servers as the tests run them: Debian's MariaDB, and MLMD's gRPC service over an SQLite file."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
from ml_metadata import errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

HAS_MARIADB = all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("mariadbd", "mariadb-install-db"))
NO_MARIADB = "needs MariaDB: apt-get install mariadb-server"

PASSWORD = "p@ss/w:rd#1%"  # of a server that lives as long as the tests; every character needs escaping
PASSWORD_IN_URL = "p%40ss%2Fw%3Ard%231%25"  # the same

_SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def mariadb() -> Iterator[int]:
    """Runs MariaDB on a port of 127.0.0.1, where user `mlmd` may do anything."""
    with tempfile.TemporaryDirectory(prefix="db-") as name:  # short, since a socket's path has 107 characters
        folder = Path(name)
        common = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
        subprocess.run(
            ["/usr/bin/mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
        )
        setup = folder / "setup.sql"
        setup.write_text(
            f"CREATE USER mlmd@'127.0.0.1' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');"
            "\nGRANT ALL ON *.* TO mlmd@'127.0.0.1';\n"
        )
        port = free_port()
        server = subprocess.Popen(
            [
                "/usr/sbin/mariadbd",
                *common,
                f"--socket={folder / 'socket'}",
                f"--pid-file={folder / 'pid'}",
                f"--init-file={setup}",
                f"--port={port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )
        try:
            _await_port(port, server, folder / "log")
            yield port
        finally:
            server.terminate()
            server.wait(timeout=60)


def _await_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"MariaDB did not start: {log.read_text()}")


@contextlib.contextmanager
def grpc_service(file: Path) -> Iterator[int]:
    """Serves the SQLite store `file` as Kubeflow's metadata service does, on a port of 127.0.0.1."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((metadata_service(file),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()


def metadata_service(file: Path) -> grpc.GenericRpcHandler:
    """Returns MLMD's service over the SQLite store `file`."""
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    forward = _Forward(metadata_store.MetadataStore(config))
    handlers = {method.name: forward.handler(method) for method in _SERVICE.methods}
    return grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)


class _Forward:
    """Every method of the service -> the method of the same name of a local store, one call at a time."""

    def __init__(self, store: metadata_store.MetadataStore) -> None:
        self._store = store
        self._lock = threading.Lock()

    def handler(self, method):
        request_type, response_type = map(_message_class, (method.input_type, method.output_type))

        def forward(request, context):
            response = response_type()
            try:
                with self._lock:
                    self._store._call(method.name, request, response)
            except errors.StatusError as err:
                context.abort(_STATUS[err.error_code], err.message)
            return response

        return grpc.unary_unary_rpc_method_handler(
            forward, request_deserializer=request_type.FromString, response_serializer=response_type.SerializeToString
        )


_STATUS = {status.value[0]: status for status in grpc.StatusCode}


def _message_class(descriptor):
    # The module's own: a factory of older protobuf makes a second class, and the first one's messages are of neither.
    return getattr(metadata_store_service_pb2, descriptor.name)
