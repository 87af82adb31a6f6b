"""The sampler: keeps a share of the requests, as Examples, off the path of their answers.

What is offered waits in memory within a bound and is written by a thread; where that cannot keep up, or the disk is full,
samples are dropped and counted, and no request is slower for it.
"""

from __future__ import annotations

import dataclasses
import queue
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from components.errors import EnvironmentProblem
from components.features import IMAGE, RECONSTRUCT, SERVING_DEFAULT, SERVING_EXAMPLES, SERVING_IMAGES
from pipeline.predict import samples
from pipeline.predict.server.batching import Arrays
from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.model import LoadedModel, Signature
from pipeline.root.paths import RunPaths

KINDS: Final = (SERVING_DEFAULT, SERVING_IMAGES, SERVING_EXAMPLES, RECONSTRUCT)
"""Signatures of ours, whose one input is images or Examples of them; of others nobody knows what a row is."""

INTERVAL: Final = 5.0
"""Seconds between two writes: one file holds what came in between."""

MOST_WAITING: Final = 8192
"""Rows between two writes; of 28x28 images 6 MB."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    version: int
    digest: str
    rows: npt.NDArray[Any]


class Sampler:
    """Keeps a share of the requests.

    Args:
      paths: of the root, below which they are kept.
      share: of the requests, above 0 and at most 1; a request is kept with all its rows or not at all.
      most: bytes of all samples together; the oldest give way.
      metrics: counts rows that were kept and dropped.
      say: called with one line when samples cannot be written, and not again until they can.
    """

    def __init__(self, paths: RunPaths, share: float, most: int, metrics: Metrics, say: Callable[[str], None]) -> None:
        self._paths = paths
        self._share = share
        self._most = most
        self._metrics = metrics
        self._say = say
        self._queue: queue.SimpleQueue[_Sample] = queue.SimpleQueue()
        self._waiting = 0
        self._number = 0
        self._trouble: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="samples", daemon=True)

    def start(self) -> None:
        """Begin to write.

        Raises:
          EnvironmentProblem: if nothing can be written there.
        """
        try:
            samples.make_private(self._paths.samples)
        except OSError as err:
            raise EnvironmentProblem(
                "samples cannot be kept", where=self._paths.samples, got=err.strerror, hint="leave --sample away"
            ) from err
        self._thread.start()

    def offer(self, model: LoadedModel, signature: Signature, inputs: Arrays, rows: int) -> None:
        """Keep a request, or more often not; called on the event loop's thread once it is answered."""
        if random.random() >= self._share or signature.name not in KINDS:  # noqa: S311  # no secret
            return
        if self._waiting + rows > MOST_WAITING:
            self._metrics.samples.labels("dropped").inc(rows)
            return
        self._waiting += rows
        (images,) = inputs.values()
        self._queue.put(_Sample(version=model.version, digest=model.digest, rows=images))

    def stop(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.write()
        self.write()

    def write(self) -> None:
        """Write what waits, a file to each version."""
        waiting: dict[tuple[int, str], list[npt.NDArray[Any]]] = defaultdict(list)
        while not self._queue.empty():
            kept = self._queue.get()
            waiting[kept.version, kept.digest].append(kept.rows)
        for (version, digest), arrays in waiting.items():
            self._write(version, digest, arrays)

    def _write(self, version: int, digest: str, arrays: Iterable[npt.NDArray[Any]]) -> None:
        rows = sum(map(len, arrays))
        try:
            examples = [one for array in arrays for one in _examples(array)]
            self._number += 1
            samples.write(samples.folder(self._paths, version, digest), examples, self._number)
            samples.remove_oldest(self._paths, self._most)
        except Exception as err:  # noqa: BLE001  # whatever a disk does, requests are answered
            self._metrics.samples.labels("dropped").inc(rows)
            self._report(f"samples cannot be kept: {type(err).__name__}: {err}")
        else:
            self._metrics.samples.labels("kept").inc(rows)
            self._trouble = None
        finally:
            self._waiting -= rows

    def _report(self, line: str) -> None:
        if line != self._trouble:
            self._trouble = line
            self._say(line)


def _examples(rows: npt.NDArray[Any]) -> Iterable[bytes]:
    """Yield a serialised Example for each row, of its pixels and nothing else that a client may have put there."""
    from tensorflow.core.example.example_pb2 import Example

    for row in rows:
        example = Example()
        values = example.features.feature[IMAGE].int64_list.value
        if rows.dtype == object:
            values.extend(Example.FromString(row).features.feature[IMAGE].int64_list.value)
        else:
            values.extend(np.asarray(row).ravel().tolist())
        yield example.SerializeToString()
        # The interpreter is the event loop's too: it must not wait for a whole file's rows.
        time.sleep(0)
