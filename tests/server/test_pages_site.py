"""The place of pages beside the model server's interfaces; no model is loaded here."""

import asyncio
import base64
import concurrent.futures
import threading

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.pages.site import MOST, Pages, Site
from pipeline.predict.server.rest import RestApi
from pipeline.predict.server.service import Limits, Service
from pipeline.predict.server.tokens import Token

SECRET = "0123456789abcdef"


def api(tmp_path, said, *, token=None, endpoints=None, limits=None):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        service = Service("digits", None, limits or Limits(), executor, Metrics(), said.append)
    site = Site(root=tmp_path, name="digits", service=service)

    async def name_of_thread(_):
        return PlainTextResponse(await site.run(lambda: threading.current_thread().name))

    async def size(request):
        return PlainTextResponse(str(len(await site.body(request))))

    async def broken(request):
        raise KeyError(request.url.path)

    async def waits(_):
        await asyncio.sleep(3600)

    table = {"/thread": name_of_thread, "/size": size, "/broken": broken, "/waits": waits, **(endpoints or {})}
    routes = [Route(path, endpoint, methods=["GET", "POST"]) for path, endpoint in table.items()]
    return RestApi(service, token, said.append, Pages(site, routes, guarded=token is not None))


async def asked(app, path, headers=None, body=b"", method="GET"):
    """Return the status, the headers and the body that an application answers."""
    sent = []
    pairs = {"host": "127.0.0.1:8501", **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 8501),
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(one.get("body", b"") for one in sent[1:]).decode()


@pytest.fixture
def said():
    return []


@pytest.fixture
def app(tmp_path, said):
    return api(tmp_path, said)


def test_what_blocks_runs_on_threads_of_the_pages_own(app):
    status, headers, body = asyncio.run(asked(app, "/thread"))
    assert (status, body.startswith("pages")) == (200, True)
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_takes_a_body_within_the_limits_of_the_server(tmp_path, said):
    app = api(tmp_path, said, limits=Limits(body=10))
    assert asyncio.run(asked(app, "/size", body=b"x" * 10, method="POST"))[::2] == (200, "10")
    assert asyncio.run(asked(app, "/size", body=b"x" * 11, method="POST"))[0] == 413


@pytest.mark.parametrize("path", ["/nothing", "/v2/models/digits", "/thread/"])
def test_what_is_neither_page_nor_interface_is_not_there(app, path):
    assert asyncio.run(asked(app, path))[0] == 404


def test_a_fault_in_a_page_is_said_once_and_answered(app, said):
    assert asyncio.run(asked(app, "/broken"))[0] == 500
    assert [line.count("KeyError") for line in said] == [1]


def test_a_page_that_takes_too_long_is_given_up(tmp_path, said):
    app = api(tmp_path, said, limits=Limits(seconds=0.05))
    assert asyncio.run(asked(app, "/waits"))[0] == 504


def test_more_pages_than_a_browser_asks_for_are_refused_and_the_interface_answers(tmp_path, said):
    app = api(tmp_path, said, limits=Limits(seconds=0.5))

    async def crowd():
        waiting = [asyncio.ensure_future(asked(app, "/waits")) for _ in range(MOST)]
        await asyncio.sleep(0)
        answers = await asked(app, "/thread"), await asked(app, "/openapi.json")
        await asyncio.gather(*waiting)
        return [status for status, _, _ in answers]

    assert asyncio.run(crowd()) == [429, 200]


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:8501", 200), ("[::1]:8501", 200), ("10.0.0.1", 200), ("evil.example", 404)]
)
def test_the_name_of_somebody_elses_site_reaches_no_page_of_this_machine(app, host, status):
    assert asyncio.run(asked(app, "/thread", {"host": host}))[0] == status


def basic(password):
    return "Basic " + base64.b64encode(b"any:" + password.encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {SECRET}", 200),
        (basic(SECRET), 200),
        (basic("wrong"), 401),
        ("Basic !", 401),
        ("Bearer wrong", 401),
        ("", 401),
    ],
)
def test_a_token_protects_the_pages_and_a_browser_can_give_it_as_a_password(tmp_path, said, authorization, status):
    app = api(tmp_path, said, token=Token(SECRET))
    found, headers, _ = asyncio.run(asked(app, "/thread", {"authorization": authorization}))
    assert found == status
    assert headers.get("www-authenticate", "Basic").startswith("Basic")
    page = app._service.metrics.page({}).decode()
    assert f'mnist_tfx_refused_tokens_total{{protocol="rest"}} {float(status == 401)}' in page or status == 200


def test_a_token_does_not_print():
    assert SECRET not in repr(Token(SECRET))
