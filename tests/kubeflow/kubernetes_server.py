"""A Kubernetes API server on a local port: it answers GETs and access reviews with the client's own models."""

import base64
import contextlib
import dataclasses
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

NAMESPACE = "kubeflow"
MODELS = client.ApiClient(client.Configuration())
IN_NAMESPACE = {
    client.V1Secret: "api/v1/namespaces/{}/secrets",
    client.V1ConfigMap: "api/v1/namespaces/{}/configmaps",
    client.V1PersistentVolumeClaim: "api/v1/namespaces/{}/persistentvolumeclaims",
    client.V1ServiceAccount: "api/v1/namespaces/{}/serviceaccounts",
    client.V1Pod: "api/v1/namespaces/{}/pods",
}
ANYWHERE = {
    client.V1Namespace: "api/v1/namespaces",
    client.V1Node: "api/v1/nodes",
    client.V1StorageClass: "apis/storage.k8s.io/v1/storageclasses",
}
LISTS = {client.V1Node: client.V1NodeList, client.V1Pod: client.V1PodList}


def meta(name: str, **labels: str) -> client.V1ObjectMeta:
    """Returns a name with labels."""
    return client.V1ObjectMeta(name=name, labels=labels or None)


def secret(name: str, *keys: str) -> client.V1Secret:
    """Returns a Secret with these entries."""
    return client.V1Secret(metadata=meta(name), data={key: base64.b64encode(b"x").decode() for key in keys})


def claim(name: str, mode: str = "ReadWriteMany", phase: str = "Bound", kind: str = "standard") -> Any:
    """Returns a claim."""
    return client.V1PersistentVolumeClaim(
        metadata=meta(name),
        spec=client.V1PersistentVolumeClaimSpec(access_modes=[mode], storage_class_name=kind),
        status=client.V1PersistentVolumeClaimStatus(phase=phase, access_modes=[mode] if phase == "Bound" else None),
    )


def node(
    name: str, *taints: client.V1Taint, cordoned: bool = False, labels: dict[str, str] | None = None, **more: str
) -> Any:
    """Returns a node with 4 processors and 16 GiB, and other resources with `__` for a slash and `_` for a dot."""
    others = {key.replace("__", "/").replace("_", "."): value for key, value in more.items()}
    return client.V1Node(
        metadata=client.V1ObjectMeta(name=name, labels=labels),
        spec=client.V1NodeSpec(taints=list(taints) or None, unschedulable=cordoned or None),
        status=client.V1NodeStatus(allocatable={"cpu": "4", "memory": "16Gi", **others}),
    )


@dataclasses.dataclass
class KubernetesServer:
    """What the server knows.

    Attributes:
      things: by their path.
      denied: (user or None, verb, resource) that access reviews deny.
      forbidden: parts of paths that the asker may not read.
    """

    url: str = ""
    things: dict[str, Any] = dataclasses.field(default_factory=dict)
    denied: set[tuple[str | None, str, str]] = dataclasses.field(default_factory=set)
    forbidden: set[str] = dataclasses.field(default_factory=set)
    asked: list[str] = dataclasses.field(default_factory=list)

    def add(self, *things: Any, namespace: str = NAMESPACE) -> None:
        """Keeps things under their paths."""
        for thing in things:
            folder = (IN_NAMESPACE | ANYWHERE)[type(thing)].format(namespace)
            self.things[f"/{folder}/{thing.metadata.name}"] = thing

    def remove(self, kind: type, name: str) -> None:
        """Forgets a thing."""
        del self.things[f"/{(IN_NAMESPACE | ANYWHERE)[kind].format(NAMESPACE)}/{name}"]

    def kubeconfig(self, folder: Path) -> Path:
        """Writes a kubeconfig for it."""
        file = folder / "kubeconfig"
        context = {"cluster": "here", "user": "me", "namespace": NAMESPACE}
        values = {
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "here", "context": context}],
        }
        file.write_text(yaml.safe_dump(values))
        return file

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Returns status and JSON value."""
        path = path.partition("?")[0]
        self.asked.append(path)
        if any(part in path for part in self.forbidden):
            return 403, status(403, "Forbidden", f'{path} is forbidden: User "me" cannot do that')
        if method == "POST" and path.endswith("accessreviews"):
            return 201, self._reviewed(json.loads(body))
        if path in self.things:
            return 200, MODELS.sanitize_for_serialization(self.things[path])
        for kind, model in LISTS.items():
            if path == f"/{(IN_NAMESPACE | ANYWHERE)[kind].format(NAMESPACE)}":
                found = [thing for name, thing in self.things.items() if name.startswith(f"{path}/")]
                return 200, MODELS.sanitize_for_serialization(model(items=found))
        return 404, status(404, "NotFound", f"{path.rpartition('/')[2]} not found")

    def _reviewed(self, review: dict[str, Any]) -> dict[str, Any]:
        wanted = review["spec"]["resourceAttributes"]
        denied = (review["spec"].get("user"), wanted["verb"], wanted["resource"]) in self.denied
        return {**review, "status": {"allowed": not denied}}


def status(code: int, reason: str, message: str) -> Any:
    """Returns how Kubernetes says what went wrong."""
    return MODELS.sanitize_for_serialization(
        client.V1Status(api_version="v1", kind="Status", status="Failure", code=code, reason=reason, message=message)
    )


class Handler(BaseHTTPRequestHandler):
    """Answers for a `KubernetesServer`, which `serving` fills in."""

    protocol_version = "HTTP/1.1"
    known: KubernetesServer

    def log_message(self, *_: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        code, value = self.known.answer(self.command, self.path, body)
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _serve  # noqa: N815  # names that http.server looks for


@contextlib.contextmanager
def serving() -> Iterator[KubernetesServer]:
    """Serves on a free port for the duration."""
    server = KubernetesServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"known": server}))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
