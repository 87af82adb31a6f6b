"""A Kubeflow Pipelines API server on a local port: v2beta1 REST, kept in memory, with faults to order.

Every body in and out goes through the models of kfp_server_api, so that those decide what is valid. What the real server
checks beside is checked here as well (backend/src/apiserver/server/api_converter.go in kubeflow/pipelines).
"""

import contextlib
import dataclasses
import datetime
import json
import re
import ssl
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from kubeflow.verdicts import Verdict

API = "/apis/v2beta1"
MODELS = kfp_server_api.ApiClient()
LISTS = {"runs": "V2beta1ListRunsResponse", "experiments": "V2beta1ListExperimentsResponse"}
LISTS["recurringruns"] = "V2beta1ListRecurringRunsResponse"
KINDS = {"runs": "V2beta1Run", "experiments": "V2beta1Experiment", "recurringruns": "V2beta1RecurringRun"}
IDS = {"runs": "run_id", "experiments": "experiment_id", "recurringruns": "recurring_run_id"}
HTML = "<html><body>Log in</body></html>"


@dataclasses.dataclass
class Fault:
    """What goes wrong with requests of a method below a path, so many times.

    `done` says whether the work is done first, `late` so many seconds after which it is done though the answer went out.
    """

    kind: str | int
    method: str = ""
    path: str = ""
    times: int = 10**6
    done: bool = False
    late: float = 0
    body: str = ""


class Wrong(Exception):
    """A request that the server refuses."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    @property
    def body(self) -> str:
        """What grpc-gateway makes of it; a path that is not the API's does not reach that."""
        message, code = str(self), {400: 3, 404: 5, 409: 6}.get(self.status, 13)
        if not message:
            return "404 page not found"
        details = [{"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": message}]
        return json.dumps({"error": message, "code": code, "message": message, "details": details})


GO_STACK = """
github.com/kubeflow/pipelines/backend/src/common/util.NewInternalServerError
\t/go/src/github.com/kubeflow/pipelines/backend/src/common/util/error.go:152
github.com/kubeflow/pipelines/backend/src/apiserver/resource.(*ResourceManager).CreateRun
\t/go/src/github.com/kubeflow/pipelines/backend/src/apiserver/resource/resource_manager.go:533
runtime.goexit
\t/usr/local/go/src/runtime/asm_amd64.s:1700
Failed to create a new run"""


def no_run(message: str) -> Wrong:
    """Returns how KFP 2.17.0 refuses to make a run: as an error of its own, with what its functions were about."""
    return Wrong(500, f"{message}{GO_STACK}")


def refusal(verdict: Verdict) -> Wrong:
    """Returns how KFP 2.17.0 refuses a run or a schedule of a file, by what it was found to say of the file."""
    argo = 'InternalServerError: Failed to validate workflow for ("digits-"): '
    return no_run(f"{argo if verdict.stage == 'argo' else ''}{verdict.words}")


class KfpServer:
    """What the server knows, and what it was asked.

    Attributes:
      things: {`runs`, `experiments` or `recurringruns`: {id: model}}.
      faults: to be met, the first that fits.
      asked: (method, path) of every request.
      headers: of the last request.
      prefix: path in front of the API.
      token: wanted as bearer token, if any.
      multi_user: whether namespaces count.
      verdict: on every file that it is sent; by default it looks at the file itself, as far as that goes.
      tag: its release, which the server's image knows by a variable.
    """

    def __init__(self) -> None:
        self.things: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.prefix = ""
        self.token: str | None = None
        self.multi_user = False
        self.verdict: Verdict | None = None
        self.tag = "unknown"
        self.url = ""
        self.closing = threading.Event()

    @property
    def runs(self) -> list[Any]:
        return list(self.things["runs"].values())

    @property
    def schedules(self) -> list[Any]:
        return list(self.things["recurringruns"].values())

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method in ("", method) and fault.path in path:
                fault.times -= 1
                return fault
        return None

    def answer(self, method: str, target: str, body: bytes) -> Any:
        """Returns the JSON value of the answer, as its model writes it."""
        path, query = urlsplit(target).path, {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
        path = path.removeprefix(self.prefix) if path.startswith(self.prefix) else ""
        if not path.startswith(API):
            raise Wrong(404, "")
        if path == f"{API}/healthz":
            # Not by the model, which lacks what main.go writes beside it.
            return {"commit_sha": "unknown", "tag_name": self.tag, "multi_user": self.multi_user}
        found = re.fullmatch(rf"{API}/(runs|experiments|recurringruns)(?:/([^:]+))?(?::(\w+))?", path)
        if found is None:
            raise Wrong(404, "Not Found")
        kind, name, verb = found.groups()
        if name is None:
            return self._listed(kind, query) if method == "GET" else self._created(kind, body)
        return self._one(method, kind, name, verb)

    def _one(self, method: str, kind: str, name: str, verb: str | None) -> Any:
        if name not in self.things[kind]:
            raise Wrong(404, f"{kind} {name} not found")
        if method == "DELETE":
            del self.things[kind][name]
            return {}
        if verb in ("enable", "disable"):
            self.things[kind][name].status = f"{verb.upper()}D"
            return {}
        return written(self.things[kind][name])

    def _listed(self, kind: str, query: dict[str, str]) -> Any:
        found = list(self.things[kind].values())
        if "experiment_id" in query:
            found = [one for one in found if one.experiment_id == query["experiment_id"]]
        for predicate in json.loads(query.get("filter", "{}")).get("predicates", ()):
            assert predicate["operation"] in (1, "EQUALS")
            value = predicate.get("stringValue", predicate.get("string_value"))
            found = [one for one in found if getattr(one, predicate["key"]) == value]
        if query.get("sort_by") == "created_at desc":
            found.sort(key=lambda one: one.created_at, reverse=True)
        size, start = int(query.get("page_size") or 20), int(query.get("page_token") or 0)
        page, rest = found[start : start + size], found[start + size :]
        field = next(name for name in getattr(kfp_server_api, LISTS[kind]).openapi_types if name.endswith("s"))
        token = str(start + size) if rest else ""
        return written(getattr(kfp_server_api, LISTS[kind])(**{field: page, "next_page_token": token}))

    def _created(self, kind: str, body: bytes) -> Any:
        model = read(body, KINDS[kind])
        if not model.display_name:
            message = "Invalid input error: the name is empty"
            raise no_run(message) if kind == "runs" else Wrong(400, message)
        if kind == "experiments":
            if any(one.display_name == model.display_name for one in self.things[kind].values()):
                raise Wrong(409, f"Already exist error: Experiment {model.display_name} already exists")
            model.storage_state = "AVAILABLE"
        else:
            self._check(model)
        model.created_at = datetime.datetime.now(datetime.timezone.utc)
        if kind == "runs":
            model.state, model.finished_at = "PENDING", datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        if kind == "recurringruns":
            check_recurring(model)
            model.status = "ENABLED" if model.mode == "ENABLE" else "DISABLED"
        return self.add(kind, model)

    def add(self, kind: str, model: Any) -> Any:
        """Keeps a thing under a new id, and returns it as JSON."""
        name = getattr(model, IDS[kind]) or str(uuid.uuid4())
        setattr(model, IDS[kind], name)
        self.things[kind][name] = model
        return written(model)

    def _check(self, model: Any) -> None:
        if model.experiment_id not in self.things["experiments"]:
            raise Wrong(404, f"Experiment {model.experiment_id} not found")
        if self.verdict is not None:
            if self.verdict.refused:
                raise refusal(self.verdict)
            return
        spec = model.pipeline_spec.get("pipeline_spec", model.pipeline_spec)
        if spec.get("schemaVersion") != "2.1.0":
            raise no_run("InvalidInputError: KFP only supports schema version 2.1.0: pipeline spec is invalid")
        text = json.dumps([written(model), model.pipeline_spec])
        if foreign := re.search(r"\{\{(?!\$).*?\}\}", text):
            templates = "templates.entrypoint.tasks.root templates.root.tasks.Pusher-driver"
            raise no_run(
                f"InternalServerError: Failed to validate workflow: {templates} failed to resolve {foreign[0]}"
            )


def check_recurring(model: Any) -> None:
    """Refuses what the real server refuses."""
    if not 1 <= int(model.max_concurrency) <= 10:
        raise Wrong(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
    if (model.trigger.cron_schedule is None) == (model.trigger.periodic_schedule is None):
        raise Wrong(400, "Invalid input error: no trigger, or two")


def read(body: bytes, kind: str) -> Any:
    """Returns the model in a body; refuses fields that the model does not have."""
    model = MODELS.deserialize(SimpleNamespace(data=body), kind)
    unknown = _keys(json.loads(body)) - _keys(written(model))
    if unknown:
        raise Wrong(400, f"unknown fields {sorted(unknown)}")
    return model


def written(model: Any) -> Any:
    """Returns a model as the JSON value that its attribute map makes of it."""
    return MODELS.sanitize_for_serialization(model)


def _keys(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict):
        own = {f"{path}/{key}" for key, below in value.items() if below is not None}
        return own.union(*(_keys(below, f"{path}/{key}") for key, below in value.items()))
    return set().union(*(_keys(below, path) for below in value)) if isinstance(value, list) else set()


class Handler(BaseHTTPRequestHandler):
    """Answers requests for a `KfpServer`, which `serving` fills in."""

    protocol_version = "HTTP/1.1"
    known: KfpServer

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.known.asked.append((self.command, self.path))
        self.known.headers = dict(self.headers)
        fault = self.known.fault(self.command, self.path)
        if fault is not None and fault.done:
            self.known.answer(self.command, self.path, body)
        if fault is not None and fault.late:
            threading.Timer(fault.late, self.known.answer, (self.command, self.path, body)).start()
        if fault is not None:
            return self._fail(fault)
        if self.known.token and self.headers.get("Authorization") != f"Bearer {self.known.token}":
            return self._send(401, json.dumps({"code": 16, "message": "Unauthenticated"}))
        try:
            return self._send(200, json.dumps(self.known.answer(self.command, self.path, body)))
        except Wrong as err:
            return self._send(err.status, err.body)

    def _fail(self, fault: Fault) -> None:
        if fault.kind == "hang":
            self.known.closing.wait(30)
        elif fault.kind == "drip":
            self._drip()
        elif fault.kind == "drop":
            self.connection.close()
            self.close_connection = True
        elif fault.kind == "redirect":
            self._send(302, "", {"Location": "https://login.example/auth?state=secret"})
        else:
            status = 200 if fault.kind == "garbage" else int(fault.kind)
            self._send(status, fault.body or json.dumps({"code": 13, "message": "ordered to fail"}))

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "10000")
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.known.closing.wait(0.05):
                self.wfile.write(b" ")

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # names that http.server looks for


@contextlib.contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[KfpServer]:
    """Serves on a free port for the duration."""
    server = KfpServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"known": server}))
    http.daemon_threads = True
    http.handle_error = lambda *_: None  # clients that break off are part of the tests
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    server.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
