"""What driver and launcher ask of a cluster, on 127.0.0.1 of a network of its own: `unshare --net python services.py FOLDER`.

ML Metadata over gRPC (an SQLite file), KFP's cache, the bucket (moto), and of Kubernetes the three objects that are read: the
configuration `kfp-launcher`, which a default installation lacks, the bucket's secret, and the pod.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

METADATA, CACHE, BUCKET, KUBERNETES = 8080, 8887, 9000, 6443
"""The ports of a default installation, which stand in every Workflow."""

SECRET: Final = "mlpipeline-minio-artifact"
KEYS: Final = {"accesskey": "minio", "secretkey": "minio123"}  # KFP's defaults, of an installation that lasts minutes
READY: Final = "ready"
CERTIFICATE, AWAY = "ca.crt", "cache-is-away"
"""Files of the folder: the authority that signed Kubernetes' certificate, and `task_cache.TaskCache`'s `away`."""


def main(folder: Path) -> None:
    """Serves until standard input ends."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _bucket()
    _kubernetes(folder)
    servers = [_metadata(folder / "metadata.sqlite"), _cache(folder / AWAY)]
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    sys.stdin.read()
    for server in servers:
        server.stop(grace=None)
    os._exit(0)  # threads of moto and of the HTTP server have nothing to end


def _metadata(file: Path) -> Any:
    from metadata_servers import metadata_service

    return _grpc(METADATA, metadata_service(file))


def _cache(away: Path) -> Any:
    from kubeflow.real.task_cache import TaskCache

    return _grpc(CACHE, TaskCache(away).handler())


def _grpc(port: int, handler: Any) -> Any:
    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


def _bucket() -> None:
    # Or moto takes `seaweedfs.kubeflow` for a bucket of that name.
    os.environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    from moto.server import ThreadedMotoServer

    ThreadedMotoServer(ip_address="127.0.0.1", port=BUCKET, verbose=False).start()


class _Kubernetes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, name = self.path.partition("?")[0].removeprefix("/api/v1/namespaces/kubeflow/").partition("/")
        found: dict[str, Any] | None = None
        if (kind, name) == ("secrets", SECRET):
            values = {key: base64.b64encode(value.encode()).decode() for key, value in KEYS.items()}
            found = {"kind": "Secret", "data": values}
        elif kind == "pods":
            found = {"kind": "Pod", "spec": {}, "status": {}}
        if found is None:
            self._answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})
        else:
            self._answer(200, {"apiVersion": "v1", "metadata": {"name": name, "namespace": "kubeflow"}, **found})

    def _refuse(self) -> None:
        """Answers a change: driver and launcher of our pipelines make none."""
        self._answer(
            405, {"kind": "Status", "status": "Failure", "code": 405, "message": f"{self.command} {self.path}"}
        )

    do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815  # the names that http.server calls

    def _answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps({"apiVersion": "v1", **body}).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002  # as the base class has it
        sys.stderr.write(f"kubernetes {self.command} {self.path}\n")


def _kubernetes(folder: Path) -> None:
    certificate, key = folder / CERTIFICATE, folder / "ca.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kubernetes"]
    made = ["-keyout", str(key), "-out", str(certificate), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", KUBERNETES), _Kubernetes)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the tests
    main(Path(sys.argv[1]))
