"""Pushes, rollbacks, prunes and tampered versions under the load of 50 clients."""

import asyncio
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from server.running_server import serving
from server.tiny_root import KINDS, LABELS, PIXELS, TinyRoot, models

from pipeline.maintenance.prune import prune

CLIENTS = 50
PAUSE = 0.2
"""Seconds between two requests of a client: two cores serve, push and ask here."""

PUSHES, ROLLBACKS = 20, 5
"""With each rollback comes a prune and a tampered version."""

KEEP = 3
MOST_GROWTH = 16.0
"""MB over the last 20 swaps; of which each cost 1 before dropped versions were collected."""


class Load:
    """Clients that ask all the time, each over its own connection, and keep what was answered."""

    def __init__(self, server, image):
        self.host, self.port = server.rest.split("/")[2].split(":")
        body = json.dumps({"instances": [image]}).encode()
        path = "/" + server.rest.split("/", 3)[3] + ":predict"
        head = f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.request = head.encode() + body
        self.answers, self.failures, self.count = {}, [], 0
        self.stopping = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()

    async def _all(self):
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    async def _client(self):
        try:
            reader, writer = await asyncio.open_connection(self.host, int(self.port))
            while not self.stopping:
                writer.write(self.request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
                self._note(head[0], headers, body)
                await asyncio.sleep(PAUSE)
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as err:
            self.failures.append(repr(err))

    def _note(self, status, headers, body):
        self.count += 1
        if " 200 " not in status:
            self.failures.append((status, body))
            return
        said = (headers["x-model-digest"], body)
        self.answers.setdefault(int(headers["x-model-version"]), set()).add(said)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, PIXELS).tolist()


@pytest.fixture(scope="module")
def expected(image):
    import tensorflow as tf

    found = {}
    for kind, folder in models().items():
        model = tf.saved_model.load(str(folder))
        outputs = model.signatures["serving_default"](images=tf.constant([image], tf.uint8))
        found[kind] = {name: value.numpy()[0] for name, value in outputs.items()}
    return found


def memory(server):
    """Returns the MB that are the process's own and not files'."""
    lines = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Private_Dirty:")).split()[1]) / 1000


def require_answer(predictions, wanted):
    (answer,) = predictions
    assert answer["classes"] == wanted["classes"]
    assert len(answer["probabilities"]) == LABELS
    np.testing.assert_allclose(answer["probabilities"], wanted["probabilities"], atol=1e-6)


@pytest.mark.slow
def test_whatever_is_pushed_no_request_fails_and_no_answer_is_of_other_bytes(tmp_path, image, expected):
    root = TinyRoot(tmp_path / "root")
    root.push(KINDS[0])
    refused, strays, before = [], [], None
    # What is imported for pages after the start would be counted as growth.
    with serving(root.paths.root, "--model-name", "tiny", "--no-pages", folder=tmp_path) as server:
        with Load(server, image) as load:
            for number in range(1, PUSHES + ROLLBACKS + 1):
                turn = number % 5 == 0
                version = root.roll_back(root.newest - 1) if turn else root.push(KINDS[number % len(KINDS)])
                server.wait_for(f"serving version {version} ")
                if turn:
                    prune(root.paths.root, KEEP)
                    refused.append(root.tamper_with_a_push(KINDS[number % len(KINDS)]))
                    server.wait_for(f"refused version {refused[-1]}: ")
                    strays.append(root.stray(version))
                if number == 5:
                    before = memory(server)
            time.sleep(0.5)  # the last version is to answer too
        after = memory(server)
        assert server.end() == 0
    assert load.failures == []
    assert load.count > CLIENTS * 10
    assert not load.answers.keys() & {*refused, *strays}
    assert len(load.answers) > PUSHES // 2
    for version, said in load.answers.items():
        assert {digest for digest, _ in said} == {root.digests[version]}
        for _, body in said:
            require_answer(json.loads(body)["predictions"], expected[root.kinds[version]])
    assert after - before < MOST_GROWTH, f"{before} MB, then {after} MB"
