"""Connection to a Kubeflow Pipelines server through `kfp.Client`: quiet, limited in time and safe.

Importing kfp takes seconds, so only `connect` does it. kfp's client prints links to standard output, keeps settings in
the home directory and asks a silent server five times over when it is made; none of that happens here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from pipeline.kubeflow.client import transport
from pipeline.kubeflow.client.transport import NotFound, RetryPolicy, ServerUnavailable, Transport

Made = TypeVar("Made")

LOCAL: Final = ("localhost", "127.0.0.1", "::1")

PAGE: Final = 100
"""Entries asked for at a time; the server gives 200 at most."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server is, and who asks.

    Attributes:
      host: URL of the API.
      namespace: Kubernetes namespace; an installation for several users wants one.
      token: bearer token; never printed.
      ca_cert: PEM file with the certificates to trust in place of the usual ones.
      retry: how long it is waited for.
    """

    host: str
    namespace: str | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    ca_cert: str | None = None
    retry: RetryPolicy = transport.DEFAULT_RETRY

    def __post_init__(self) -> None:
        parts = urlsplit(self.host)
        if parts.username is not None or parts.password is not None:
            raise BadInput("credentials in a URL end up in logs", where="--host", hint=transport.TOKEN_HINT)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadInput("no address", where="--host", wanted="http://... or https://...", got=self.host)
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise BadInput("the token holds characters that no token has", where="--token-file or MNIST_TFX_KFP_TOKEN")

    @property
    def api(self) -> str:
        """The host as requests begin; a page's `#/...` and slashes at the end are left out."""
        parts = urlsplit(self.host)
        return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")

    @property
    def exposes_token(self) -> bool:
        """Whether a token goes over a network in the clear."""
        parts = urlsplit(self.host)
        return self.token is not None and parts.scheme == "http" and parts.hostname not in LOCAL


class Connection:
    """A server that has answered.

    Attributes:
      address: where it is.
      kfp: the `kfp.Client`; its methods are called through `call`.
    """

    def __init__(self, address: Address, kfp: Any) -> None:
        self.address = address
        self.kfp = kfp

    def call(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """Return what a method of `kfp` returns, without what it prints.

        Raises:
          MnistTfxError: as `Transport.request`; EnvironmentProblem if the answer cannot be read.
        """
        from google.protobuf import json_format
        from kfp_server_api import OpenApiException

        try:
            with _silenced():
                return method(**arguments)
        except json_format.Error as err:
            hint = "a newer kfp may: this one belongs to the installed TFX"
            raise BadInput("kfp cannot read the compiled pipeline", got=err, hint=hint) from err
        except (OpenApiException, ValueError, TypeError, AttributeError, KeyError) as err:
            got = " ".join(str(err).split())[: transport.LONGEST_MESSAGE]
            raise EnvironmentProblem(
                "an answer that kfp cannot read", where=self.address.api, got=got, hint=transport.OTHER_VERSION
            ) from err

    def paginate(self, method: Callable[..., Any], field: str, **arguments: Any) -> Iterator[Any]:
        """Yield the entries of a list, page by page, as far as they are asked for; raises as `call`."""
        token = ""
        while True:
            page = self.call(method, page_token=token, page_size=PAGE, **arguments)
            yield from getattr(page, field) or ()
            token = page.next_page_token or ""
            if not token:
                return

    def health(self) -> dict[str, Any]:
        """Return what the server says of itself: kfp's model leaves out `tag_name`, its release. Raises as `call`."""
        api = self.kfp._run_api.api_client  # noqa: SLF001  # the transport that `_client` put there
        how = {"response_type": "object", "auth_settings": ["Bearer"], "_return_http_data_only": True}
        return dict(self.call(lambda: api.call_api("/apis/v2beta1/healthz", "GET", **how)))

    def link(self, kind: str, name: str) -> str:
        """Return the address of a page in KFP's user interface."""
        return f"{self.address.api}/#/{kind}/{name}"

    def run_page(self, run_id: str) -> str:
        """Return the address of a run's page."""
        return self.link("runs/details", run_id)


def connect(address: Address) -> Connection:
    """Ask the server whether it is there and speaks this API.

    Raises:
      BadInput: if it serves several users and no namespace is given.
      EnvironmentProblem: if it cannot be reached, wants other credentials or is no API that kfp can talk to.
    """
    connection = Connection(address, _client(address))
    try:
        health = connection.call(connection.kfp.get_kfp_healthz)
    except (NotFound, EnvironmentProblem) as err:
        if isinstance(err, ServerUnavailable) and err.again:
            raise
        raise _elsewhere(connection, err) from err
    if health.multi_user and not address.namespace:
        raise BadInput("an installation for several users", where=address.api, wanted="--namespace NAME")
    return connection


def equals(**fields: str) -> str:
    """Return KFP's filter for entries whose fields have these values.

    https://github.com/kubeflow/pipelines/blob/master/backend/api/v2beta1/filter.proto
    """
    predicates = [{"operation": "EQUALS", "key": key, "stringValue": value} for key, value in fields.items()]
    return json.dumps({"predicates": predicates})


def create_once(make: Callable[[], Made], find: Callable[[], Made | None], retry: RetryPolicy, what: str) -> Made:
    """Create something on the server; asks for it again only after it was turned away, so that there is never a second one.

    Without an answer of the API itself the work may be done, or still go on behind a gateway that has lost its patience.
    Then the thing is looked for until it is there or `retry` ends, and not asked for again.

    Args:
      make: creates it.
      find: returns it if it is there.
      retry: how often to try, and for how long to look.
      what: it is, for the message.

    Raises:
      MnistTfxError: as `make` raises; ServerUnavailable says so if it may be there nonetheless.
    """
    pauses = retry.pauses()
    while True:
        try:
            return make()
        except ServerUnavailable as err:  # noqa: PERF203  # one request takes longer than any handler
            pause = next(pauses, None) if err.declined else None
            waits = retry.looks() if pause is None else (pause,)
            if (thing := _look_for(find, waits, err, what)) is not None:
                return thing
            if pause is None:
                raise _unsure(err, what, f"it was not there when looked for: look again before another {what}") from err


def _look_for(
    find: Callable[[], Made | None], waits: Iterable[float], err: ServerUnavailable, what: str
) -> Made | None:
    try:
        for wait in waits:
            time.sleep(wait)
            if (thing := find()) is not None:
                return thing
    except MnistTfxError as also:
        raise _unsure(err, what, f"nor could it be looked for ({also.what}): look before another {what}") from also
    return None


def _unsure(err: ServerUnavailable, what: str, hint: str) -> ServerUnavailable:
    said = f"{err.what}, so it is not known whether the {what} was made"
    return ServerUnavailable(said, again=False, where=err.where, got=err.got, hint=hint)


def _client(address: Address) -> Any:
    with _silenced():
        import kfp

        try:
            # Any namespace but the default keeps it from asking the server, before it has a time limit.
            client = kfp.Client(
                host=address.api, namespace="-", existing_token=address.token, ssl_ca_cert=address.ca_cert
            )
        except Exception as err:
            got = type(err).__name__
            hint = "~/.config/kfp/context.json may be broken"
            raise EnvironmentProblem("kfp's client cannot be made", got=got, hint=hint) from err
    client._context_setting["namespace"] = address.namespace or ""  # noqa: SLF001  # else it writes it to the home directory
    rest = client._run_api.api_client.rest_client  # noqa: SLF001  # all APIs share it; nothing public leads there
    rest.pool_manager = Transport(rest.pool_manager, host=address.api, token=address.token, retry=address.retry)
    return client


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _elsewhere(connection: Connection, err: MnistTfxError) -> MnistTfxError:
    """Return the error with where the API is, if it is found close by or in an older version."""
    api = connection.address.api
    if isinstance(err, ServerUnavailable) or "(404)" not in err.what:
        return err
    if _answers(connection, f"{api}/pipeline/apis/v2beta1/healthz"):
        return EnvironmentProblem("no API at this address (404)", where=api, hint=f"it is at --host {api}/pipeline")
    if _answers(connection, f"{api}/apis/v1beta1/healthz"):
        return EnvironmentProblem("speaks API v1beta1 alone", where=api, wanted="Kubeflow Pipelines 2.0 or newer")
    return EnvironmentProblem("no API at this address (404)", where=api, hint=transport.PATH_HINT)


def _answers(connection: Connection, url: str) -> bool:
    rest = connection.kfp._run_api.api_client.rest_client  # noqa: SLF001  # the transport that `_client` put there
    try:
        rest.pool_manager.request("GET", url)
    except MnistTfxError:
        return False
    return True
