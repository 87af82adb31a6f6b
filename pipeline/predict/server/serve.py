"""The server process: sockets first, then TensorFlow, then a verified model, and only then the first answer."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import uvicorn
import uvloop
from starlette.types import ASGIApp

from components.errors import BadInput, EnvironmentProblem, Refused
from pipeline.predict.server import memory, model
from pipeline.predict.server.batching import Batcher, Call
from pipeline.predict.server.bounded import BoundedProtocol, raise_descriptor_limit
from pipeline.predict.server.later import Later
from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.sampling import Sampler
from pipeline.predict.server.service import Limits, Service
from pipeline.predict.server.tokens import Token
from pipeline.predict.server.verification import Conditions
from pipeline.predict.server.versions import Versions, Wanted
from pipeline.process.child import CPU_ONLY, ENGINE_ENV
from pipeline.process.output import redirect_output
from pipeline.process.scratch import temporary_folder
from pipeline.process.signals import PROCESS, Interrupted
from pipeline.provenance import keys
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.paths import RunPaths

BACKLOG: Final = 2048
THREADS: Final = 2
"""On which models are asked: TensorFlow uses all cores within one call, and a second call fills its gaps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How to serve.

    Attributes:
      root: of the pipeline.
      name: of the model, in addresses.
      host: address to listen on.
      port: of REST; 0 takes any free one.
      grpc_port: of gRPC; 0 takes any free one, None serves none.
      conditions: what a version has to meet.
      limits: what is refused.
      latest: how many of the newest versions are served.
      labels: {label: version}.
      most_rows: of one call of the model; 1 turns micro-batching off.
      token: that every request has to bear.
      certificate: PEM file of the server's certificate, for TLS.
      private_key: PEM file of its key.
      clients: PEM file of the authority that has to have signed a client's certificate.
      pages: whether there are pages beside the interfaces.
      sample: share of the requests that is kept for `serving monitor`; 0 keeps none.
      sample_bytes: of all samples together.
      grace: seconds that requests have to be answered when the server is asked to end.
    """

    root: Path
    name: str
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = 8500
    conditions: Conditions = dataclasses.field(default_factory=Conditions)
    limits: Limits = dataclasses.field(default_factory=Limits)
    latest: int = 1
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    most_rows: int = 256
    token: Token | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    clients: Path | None = None
    pages: bool = True
    sample: float = 0.0
    sample_bytes: int = 256 << 20
    grace: float = 10.0

    def __post_init__(self) -> None:
        if re.search("[/:]", self.name):
            raise BadInput(
                "no name for an address", where="--model-name", wanted="a name without / and :", got=self.name
            )
        if self.port == self.grpc_port != 0:
            raise BadInput("one port for both protocols", where="--grpc-port", wanted="another", got=str(self.port))
        if (self.certificate is None) != (self.private_key is None):
            raise BadInput("a certificate and its key belong together", where="--tls-cert", hint="give --tls-key too")
        if self.clients is not None and self.certificate is None:
            raise BadInput(
                "client certificates need TLS", where="--tls-client-ca", hint="give --tls-cert and --tls-key"
            )
        if not _is_loopback(self.host) and self.token is None and self.clients is None:
            raise BadInput(
                "whoever reaches this address could ask the model",
                where="--host",
                wanted="127.0.0.1, or a token or client certificates",
                got=self.host,
                hint="add --token-file FILE, or --tls-client-ca FILE with --tls-cert and --tls-key",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Started:
    """A server that answers.

    Attributes:
      rest: address of the model's REST resource.
      grpc: address of the gRPC services.
      versions: {number: digest} of what is loaded.
    """

    rest: str
    grpc: str | None
    versions: Mapping[int, str]


def serve(options: Options, *, say: Callable[[str], None], started: Callable[[Started], None]) -> None:
    """Serve until a signal asks to end; then answer what was asked, and return.

    Args:
      options: how.
      say: called with one line for each version that comes, goes or is refused.
      started: called once the first answer can be given.

    Raises:
      BadInput: if nothing is served by this root.
      Refused: if no version meets its conditions.
      EnvironmentProblem: if an address is taken.
    """
    _require_pem_files(options)
    paths = RunPaths(options.root.absolute())
    directory = ServingDirectory.of(paths)
    if not directory.recorded:
        raise directory.nothing_served()
    with _bound(options.host, options.port, "--port") as rest, temporary_folder() as scratch:
        grpc_port = None if options.grpc_port is None else _free_port(options.host, options.grpc_port)
        say("importing TensorFlow")
        running = _Running(options, scratch, rest, grpc_port, say)
        running.run(started)


class _WithoutSignals(uvicorn.Server):
    """Says when it listens, and leaves signals to the command line, which handles them in the main thread."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Running:
    """One server: its thread with the event loop, and the thread that looks for versions."""

    def __init__(
        self, options: Options, scratch: Path, rest: socket.socket, grpc_port: int | None, say: Callable[[str], None]
    ) -> None:
        _import_tensorflow()
        say("TensorFlow imported")
        self._options = options
        self._rest = rest
        self._grpc_port = grpc_port
        self._say = say
        self._stop = threading.Event()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="model")
        most_waiting = max(options.limits.rows, options.most_rows) * 4

        def batching(call: Call) -> Batcher:
            return Batcher(call, self._executor, most_rows=options.most_rows, most_waiting=most_waiting)

        def load(folder: Path, version: int, digest: str) -> model.LoadedModel:
            return model.load(folder, version, digest, batching)

        wanted = Wanted(latest=options.latest, labels=options.labels, conditions=options.conditions)
        paths, metrics = RunPaths(options.root.absolute()), Metrics()
        self._versions = Versions(paths, wanted, load=load, scratch=scratch, say=say)
        self._sampler = Sampler(paths, options.sample, options.sample_bytes, metrics, say) if options.sample else None
        self._service = Service(
            options.name, self._versions, options.limits, self._executor, metrics, say, self._sampler
        )
        self._failure: BaseException | None = None
        self._loop_failures: set[str] = set()

    def run(self, started: Callable[[Started], None]) -> None:
        self._versions.refresh()
        if not self._versions.loaded:
            refused = next((one.message for one in self._versions.statuses.values() if one.message), None)
            raise Refused(
                "no version can be served", where=self._options.root, got=refused, hint="mnist-tfx lineage audit"
            )
        if self._sampler is not None:
            self._sampler.start()
        ready, loop = threading.Event(), uvloop.new_event_loop()
        server = threading.Thread(target=self._run_loop, args=(loop, ready), name="server", daemon=True)
        watcher = threading.Thread(target=self._versions.watch, args=(self._stop,), name="versions", daemon=True)
        server.start()
        ready.wait()
        try:
            if self._failure is None:
                started(self._started())
                watcher.start()
                server.join()
        except Interrupted as err:
            self._say(f"{err.signal}: answering what was asked, then ending")
            PROCESS.forget()
        finally:
            self._stop.set()
            loop.call_soon_threadsafe(self._ask_to_end)
            server.join(self._options.grace + 5)
            if self._sampler is not None:
                self._sampler.stop()
            self._executor.shutdown(wait=False, cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def _started(self) -> Started:
        scheme = "http" if self._options.certificate is None else "https"
        host, port = self._rest.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return Started(
            rest=f"{scheme}://{shown}:{port}/v1/models/{quote(self._options.name)}",
            grpc=None if self._grpc_port is None else f"{shown}:{self._grpc_port}",
            versions={version: one.digest for version, one in self._versions.loaded.items()},
        )

    def _ask_to_end(self) -> None:
        self._ending.set()

    def _run_loop(self, loop: asyncio.AbstractEventLoop, ready: threading.Event) -> None:
        asyncio.set_event_loop(loop)
        loop.set_exception_handler(self._loop_failed)
        raise_descriptor_limit()
        self._ending = asyncio.Event()
        try:
            loop.run_until_complete(self._serve(ready))
        except BaseException as err:  # noqa: BLE001  # raised again in the main thread
            self._failure = err
        finally:
            ready.set()

    def _loop_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Say what asyncio would print with its traceback, such as that a connection cannot be accepted; once."""
        line = f"{context['message']}: {context.get('exception')}"
        if line not in self._loop_failures:
            self._loop_failures.add(line)
            self._say(line)

    async def _serve(self, ready: threading.Event) -> None:
        from pipeline.predict.server.rest import RestApi

        options = self._options
        pages = Later(self._pages, self._say) if options.pages else None
        tls: dict[str, Any] = {}
        if options.certificate is not None:
            tls = {"ssl_certfile": str(options.certificate), "ssl_keyfile": str(options.private_key)}
            if options.clients is not None:
                tls |= {"ssl_ca_certs": str(options.clients), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        config = uvicorn.Config(
            RestApi(self._service, options.token, self._say, pages),
            access_log=False,
            log_config=None,
            # What clients send wrong is answered; a line each would let them fill the log.
            log_level="critical",
            http=BoundedProtocol,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=int(options.grace) or 1,
            **tls,
        )
        server = _WithoutSignals(config)
        grpc_server = await self._serve_grpc()
        rest = asyncio.ensure_future(server.serve(sockets=[self._rest]))
        await server.listening.wait()
        if not server.started:
            await self._require_listening(rest)
        ready.set()
        if pages is not None:
            pages.begin()
        await asyncio.wait({rest, asyncio.ensure_future(self._ending.wait())}, return_when=asyncio.FIRST_COMPLETED)
        # New connections are refused first; then what was asked is answered.
        server.should_exit = True
        if grpc_server is not None:
            await grpc_server.stop(options.grace)
        await rest

    def _pages(self) -> ASGIApp:
        from pipeline.predict.server.pages.routes import routes
        from pipeline.predict.server.pages.site import Pages, Site

        options = self._options
        site = Site(root=options.root.absolute(), name=options.name, service=self._service)
        return Pages(site, routes(site), guarded=options.token is not None or options.clients is not None)

    async def _require_listening(self, rest: asyncio.Future[None]) -> None:
        try:
            await rest
        except OSError as err:  # bound by somebody else as well, who was faster to listen
            host, port = self._rest.getsockname()[:2]
            raise _cannot_listen(host, port, "--port", err.strerror) from err

    async def _serve_grpc(self) -> Any:
        if self._grpc_port is None:
            return None
        import grpc

        from pipeline.predict.server import grpc_api

        most = self._options.limits.body
        limits = [
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            # REST has its own bound; here a connection more is closed at once.
            ("grpc.max_allowed_incoming_connections", self._options.limits.concurrency),
        ]
        server = grpc.aio.server(options=limits, maximum_concurrent_rpcs=self._options.limits.concurrency)
        grpc_api.register(server, self._service, self._options.token)
        host = self._options.host
        address = f"[{host}]:{self._grpc_port}" if ":" in host else f"{host}:{self._grpc_port}"
        credentials = self._credentials()
        try:
            if credentials is None:
                self._grpc_port = server.add_insecure_port(address)
            else:
                self._grpc_port = server.add_secure_port(address, credentials)
        except RuntimeError as err:  # taken since it was tried
            raise _cannot_listen(host, self._grpc_port, "--grpc-port", "Address already in use") from err
        await server.start()
        return server

    def _credentials(self) -> Any:
        import grpc

        options = self._options
        if options.certificate is None or options.private_key is None:
            return None
        pair = (options.private_key.read_bytes(), options.certificate.read_bytes())
        roots = None if options.clients is None else options.clients.read_bytes()
        return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


def _import_tensorflow() -> None:
    # As `predict` does: a few rows are not worth a GPU's start, and what TensorFlow prints nobody needs for an answer.
    os.environ.update({**ENGINE_ENV, **CPU_ONLY})
    # gRPC's core prints a line for every handshake that a client gets wrong.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with redirect_output(Path(os.devnull)), memory.imports():
        import tensorflow  # noqa: F401

        from pipeline.predict.server import grpc_api  # noqa: F401


def _require_pem_files(options: Options) -> None:
    """Refuse certificates and keys that cannot be used, before TensorFlow is imported."""
    for path in options.conditions.approval_keys:
        keys.load_public(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if options.certificate is not None and options.private_key is not None:
        try:
            # Without the callback a key with a passphrase would be asked for on the terminal.
            context.load_cert_chain(options.certificate, options.private_key, password=lambda: "")
        except (OSError, ValueError) as err:
            raise BadInput(
                "no certificate with its key",
                where=f"{options.certificate}, {options.private_key}",
                wanted="PEM files that belong together, the key without a passphrase",
                got=str(err),
            ) from err
    if options.clients is not None:
        try:
            context.load_verify_locations(options.clients)
        except (OSError, ValueError) as err:
            raise BadInput("no certificate", where=options.clients, wanted="a PEM file", got=str(err)) from err


def _bound(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # Connections inherit it. Head and body of an answer are two writes, and between them Nagle's algorithm would wait
    # 40 ms for a client that acknowledges late.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as err:
        listening.close()
        raise _cannot_listen(host, port, option, err.strerror) from err
    return listening


def _cannot_listen(host: str, port: int, option: str, why: str | None) -> EnvironmentProblem:
    return EnvironmentProblem(
        "cannot listen", where=f"{host}:{port}", got=why, hint=f"give another {option}, or 0 for any free one"
    )


def _free_port(host: str, port: int) -> int:
    """Return a port once it is known to be free; gRPC binds it itself, after TensorFlow is imported."""
    if port == 0:
        return 0  # gRPC takes one; what is free now need not be so then
    with _bound(host, port, "--grpc-port") as trial:
        return int(trial.getsockname()[1])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
