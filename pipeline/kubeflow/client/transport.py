"""Requests of kfp's generated client, with retries, and errors that their reader can act on.

kfp's client passes no time limit, follows a redirect to a login page and takes its HTML for an empty answer. All of its
requests go through one urllib3 pool, and `Transport` stands in for that pool.
"""

from __future__ import annotations

import dataclasses
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.untrusted import parse_json

READ: Final = "GET"
TOKEN_HINT: Final = "give a token with --token-file FILE or in MNIST_TFX_KFP_TOKEN"  # noqa: S105  # says how
PATH_HINT: Final = "the address of the API, not of a page; behind Kubeflow's gateway it ends in /pipeline"
OTHER_VERSION: Final = "the API of this server may be of another version"
LONGEST_MESSAGE: Final = 300
"""Characters of the server's own words; KFP repeats itself at every layer."""

_DENIED: Final = {401: "credentials are wanted (401)", 403: "not allowed (403)"}
_REFUSED: Final = (400, 409, 422)
_REFUSALS: Final = ("Failed to validate workflow", "Failed to compile job", "InvalidInputError", "Invalid input error")
"""What KFP's server says where it refuses to make a run; the status is 500 (seen on 2.17.0), as if it had broken down."""

_GO_STACK: Final = re.compile(r"\n[\w./()*-]+\n\t\S+:\d+.*", re.DOTALL)
"""What stands behind the server's sentence: `package.Function`, and indented the file and line, once for each caller."""


class NotFound(BadInput):
    """The API answered that what was asked for by its id does not exist."""


class ServerUnavailable(EnvironmentProblem):
    """The server gave no usable answer: what was asked for may have been done or not.

    Attributes:
      again: whether asking again soon may help who only reads.
      declined: whether the API itself says that it has not taken the request on: then nothing is under way.
    """

    def __init__(self, what: str, *, again: bool, declined: bool = False, **parts: Any) -> None:
        super().__init__(what, **parts)
        self.again = again
        self.declined = declined


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long a server is waited for.

    Attributes:
      timeout: seconds for one request, from the name's look-up to the last byte.
      attempts: how often a request is made at most.
      first_pause: seconds before the second attempt; they double from attempt to attempt.
      search: seconds for which something is looked for that a silent server may still be making.
    """

    timeout: float = 30.0
    attempts: int = 4
    first_pause: float = 0.5
    search: float = 20.0

    def pauses(self) -> Iterator[float]:
        """Yield the seconds before each further attempt, spread so that clients do not come back all at once."""
        for attempt in range(self.attempts - 1):
            yield self.first_pause * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  # spreads load, hides nothing

    def looks(self) -> Iterator[float]:
        """Yield the seconds before each look for something that may still be made; they double and add up to `search`."""
        waited, pause = 0.0, self.first_pause
        while waited < self.search:
            pause = min(pause, self.search - waited)
            yield pause
            waited, pause = waited + pause, 2 * pause


DEFAULT_RETRY: Final = RetryPolicy()


class Transport:
    """Stands in for the urllib3 pool of `kfp_server_api.rest.RESTClientObject`.

    Reads are asked again after a lost connection or a 5xx. Nothing else is: only who created something can tell whether
    it is there already (`connection.create_once`).
    """

    def __init__(self, pool: Any, *, host: str, token: str | None, retry: RetryPolicy) -> None:
        self._pool = pool
        self._host = host
        self._token = token
        self._retry = retry

    def request(self, method: str, url: str, **how: Any) -> Any:
        """Return urllib3's response, whose status is 2xx and whose body is JSON.

        Raises:
          NotFound: if the API knows of no such thing.
          BadInput: if it refuses what it was sent.
          ServerUnavailable: if it gave no usable answer in time.
          EnvironmentProblem: if it cannot be reached, wants other credentials or is no API.
        """
        pauses = self._retry.pauses() if method == READ else iter(())
        while True:
            try:
                response = self._in_time(method, url, how)
                self._check(response)
            except ServerUnavailable as err:  # noqa: PERF203  # one request takes longer than any handler
                pause = next(pauses, None)
                if pause is None or not err.again:
                    raise
                time.sleep(pause)
            else:
                return response

    def _in_time(self, method: str, url: str, how: dict[str, Any]) -> Any:
        """Send a request from a thread of its own, since a socket's time limit starts again with every byte."""
        seconds = self._retry.timeout
        limits = {"timeout": urllib3.Timeout(connect=seconds, read=seconds), "retries": False, "redirect": False}
        answer: futures.Future[Any] = futures.Future()
        call = lambda: self._pool.request(method, url, **{**how, **limits})  # noqa: E731  # said where it is used
        threading.Thread(target=_fulfil, args=(answer, call), daemon=True).start()
        try:
            return answer.result(seconds)
        except urllib3.exceptions.NewConnectionError as err:  # one of urllib3's timeouts, by its class alone
            raise self._unreachable(err) from err
        except (futures.TimeoutError, urllib3.exceptions.TimeoutError) as err:
            hint = "--timeout SECONDS sets the limit"
            raise ServerUnavailable(
                f"no answer within {seconds:g} s", again=False, where=self._host, hint=hint
            ) from err
        except (urllib3.exceptions.HTTPError, OSError) as err:
            raise self._unreachable(err) from err

    def _unreachable(self, err: Exception) -> MnistTfxError:
        cause = err.__cause__ or err.__context__ or err
        where, got = self._host, self._clean(str(cause))
        if isinstance(err, urllib3.exceptions.SSLError) or isinstance(cause, urllib3.exceptions.SSLError):
            hint = "a server without TLS wants http://, one with a certificate of its own --ca-cert FILE"
            return EnvironmentProblem("no TLS connection", where=where, got=got, hint=hint)
        if isinstance(cause, socket.gaierror):
            return EnvironmentProblem(
                "no such host", where=where, got=got, hint="is the name right, and its network up?"
            )
        if isinstance(cause, ConnectionRefusedError):
            hint = "is the port right, and a port-forward still running?"
            return EnvironmentProblem("the connection was refused", where=where, hint=hint)
        if isinstance(err, urllib3.exceptions.ProtocolError | ConnectionError):
            return ServerUnavailable("the connection was lost", again=True, where=where, got=got)
        return EnvironmentProblem("cannot be reached", where=where, got=got)

    def _check(self, response: Any) -> None:
        status = int(response.status)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            if not isinstance(_json(response.data), dict):
                raise ServerUnavailable(
                    "an answer that is no JSON object",
                    again=False,
                    where=self._host,
                    got=self._excerpt(response.data),
                    hint=f"is this the API, or a login page before it? {TOKEN_HINT}",
                )
            return
        raise self._refusal(status, response)

    def _refusal(self, status: int, response: Any) -> MnistTfxError:
        parts: dict[str, Any] = {"where": self._host, "got": self._excerpt(response.data) or None}
        if status in _DENIED:
            hint = TOKEN_HINT if self._token is None else "is the token expired, or for another user or namespace?"
            return EnvironmentProblem(_DENIED[status], hint=hint, **parts)
        if status in _REFUSED or _is_refusal(status, response):
            return BadInput(f"the server refuses it ({status})", **parts)
        if status == HTTPStatus.NOT_FOUND:
            return self._not_found(response, parts)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return ServerUnavailable(
                f"the server failed ({status})", again=True, declined=_declined(status, response), **parts
            )
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return self._redirected(status, response)
        return EnvironmentProblem(f"an unforeseen answer ({status})", hint=OTHER_VERSION, **parts)

    def _not_found(self, response: Any, parts: dict[str, Any]) -> MnistTfxError:
        if isinstance(_json(response.data), dict):
            return NotFound("not found (404)", **parts)
        return EnvironmentProblem("no API at this address (404)", hint=PATH_HINT, **parts)

    def _redirected(self, status: int, response: Any) -> MnistTfxError:
        # Without the query, which may hold what is nobody's business.
        target = urlsplit(str(response.headers.get("location", "")))._replace(query="", fragment="")
        got = self._clean(target.geturl())
        hint = f"is that a login page? {TOKEN_HINT}"
        return EnvironmentProblem(f"sent elsewhere ({status})", where=self._host, got=got, hint=hint)

    def _excerpt(self, body: bytes) -> str:
        """Return what the server says, in its own words if it says anything but markup."""
        fields = _json(body)
        if isinstance(fields, dict):
            return self._clean(str(fields.get("message") or fields.get("error") or ""))
        text = body.decode("utf-8", "replace").strip()
        return "an HTML page" if text.startswith("<") else self._clean(text)

    def _clean(self, text: str) -> str:
        if self._token:
            text = text.replace(self._token, "***")
        text = " ".join(_GO_STACK.sub("", text).split())
        return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]} ..."


def _fulfil(answer: futures.Future[Any], call: Callable[[], Any]) -> None:
    try:
        answer.set_result(call())
    except BaseException as err:  # noqa: BLE001  # raised again by whoever waits for it
        answer.set_exception(err)


def _declined(status: int, response: Any) -> bool:
    """Whether the API has turned a request away; a gateway in front of it also gives a 5xx for one that goes on."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    said = _json(response.data)
    return status == HTTPStatus.SERVICE_UNAVAILABLE and isinstance(said, dict) and {"code", "message"} <= said.keys()


def _is_refusal(status: int, response: Any) -> bool:
    """Whether the API itself says by a 500 that it will not do what it was asked: asking again would not help."""
    said = _json(response.data) if status == HTTPStatus.INTERNAL_SERVER_ERROR else None
    message = str(said.get("message", "")) if isinstance(said, dict) else ""
    return any(refusal in message for refusal in _REFUSALS)


def _json(body: bytes) -> Any:
    """Return the value in a body; None if it is none."""
    try:
        return parse_json(body, where="the server's answer")
    except BadInput:
        return None
