"""A real S3 server (moto's), with buckets of their own for each test, and a proxy that cuts connections."""

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECRET = "a-secret-access-key-of-the-tests"


@dataclass(frozen=True)
class Bucket:
    """One bucket, and the environment in which a command finds it."""

    name: str
    client: Any
    env: dict[str, str]

    def put(self, key: str, content: bytes | Path) -> str:
        """Writes an object and returns its address."""
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"s3://{self.name}/{key}"

    def put_folder(self, prefix: str, folder: Path) -> str:
        """Writes all files of a folder below a prefix and returns its address."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path)
        return f"s3://{self.name}/{prefix}"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Runs moto's S3 and gives its endpoint."""
    from moto.server import ThreadedMotoServer

    running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        running.stop()


def environment(endpoint: str, cache: Path) -> dict[str, str]:
    """Returns what AWS' tools and ours read to find a server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDOFTHETESTS",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "MNIST_TFX_CACHE": str(cache),
    }


def make_bucket(endpoint: str, cache: Path, name: str | None = None) -> Bucket:
    """Makes a bucket that keeps versions."""
    import boto3

    name = name or f"bucket-{uuid.uuid4().hex[:12]}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIDOFTHETESTS",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Bucket(name=name, client=client, env=environment(endpoint, cache))


@dataclass
class Cutting:
    """A proxy that ends the first connections after so many bytes of the answer, and passes on what comes later.

    Attributes:
      port: of the server behind.
      after: bytes.
      times: connections that are cut.
      requests: first lines and `Range` headers of the requests.
    """

    port: int
    after: int
    times: int
    requests: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Gives the endpoint."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.port)) as far, contextlib.suppress(OSError):
            while request := near.recv(1 << 16):
                self.requests += [
                    line.decode() for line in request.split(b"\r\n") if line.startswith((b"GET", b"HEAD", b"Range"))
                ]
                far.sendall(request)
                if not self._answer(near, far, of_object=request.startswith(b"GET") and b"list-type" not in request):
                    return

    def _answer(self, near: socket.socket, far: socket.socket, *, of_object: bool) -> bool:
        sent, far_timeout = 0, 2.0
        far.settimeout(far_timeout)
        left: int | None = None
        while left is None or left > 0:
            block = far.recv(1 << 14)
            if not block:
                return False
            if left is None:
                head, _, body = block.partition(b"\r\n\r\n")
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                left = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
            else:
                left -= len(block)
            sent += len(block)
            if of_object and self.times > 0 and sent > self.after:
                self.times -= 1
                return False
            near.sendall(block)
        return True
