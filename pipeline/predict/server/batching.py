"""Micro-batching: requests that arrive while a model is busy are answered by its next call, together.

Nothing is ever held back for others to come: an idle model is asked at once, so a lone request pays nothing, and under
load a request waits for the call that is running and no longer. What TensorFlow costs is nearly all per call, not per row.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.predict.server.status import Code, RequestError

Arrays = Mapping[str, npt.NDArray[Any]]
Call = Callable[[Arrays], Arrays]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    inputs: Arrays
    rows: int
    answer: asyncio.Future[Arrays]


class Batcher:
    """Calls one signature of one version; used from the event loop's thread alone, so it needs no lock.

    Args:
      call: asks the model; runs on the executor.
      executor: its threads.
      most_rows: of one call; a request that has more is answered by a call of its own.
      most_waiting: rows that may wait; what comes then is refused, since memory is not for a queue.
    """

    def __init__(self, call: Call, executor: Executor, *, most_rows: int, most_waiting: int) -> None:
        self._call = call
        self._executor = executor
        self._most_rows = most_rows
        self._most_waiting = most_waiting
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._waiting = 0
        self._running = False

    async def ask(self, inputs: Arrays, rows: int) -> Arrays:
        """Return the outputs for some rows.

        Raises:
          RequestError: RESOURCE_EXHAUSTED if too many rows wait already; what the model raised, as INVALID_ARGUMENT.
        """
        if self._queue and self._waiting + rows > self._most_waiting:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{self._waiting} rows are waiting already: ask again later")
        waiting = _Waiting(inputs=inputs, rows=rows, answer=asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting += rows
        if not self._running:
            self._start()
        return await waiting.answer

    def _start(self) -> None:
        batch = self._next_batch()
        self._running = bool(batch)
        if batch:
            work = asyncio.get_running_loop().run_in_executor(self._executor, _answers, self._call, batch)
            work.add_done_callback(lambda done: self._finish(batch, done))

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._queue and (not batch or rows + self._queue[0].rows <= self._most_rows):
            first = self._queue.popleft()
            self._waiting -= first.rows
            # Whoever asked has gone, or run out of time: nobody would read the answer.
            if not first.answer.done():
                batch.append(first)
                rows += first.rows
        return batch

    def _finish(self, batch: list[_Waiting], done: asyncio.Future[list[Arrays | Exception]]) -> None:
        # The next call first: the model works while this one's answers are written.
        self._start()
        failure = done.exception()
        for index, waiting in enumerate(batch):
            if waiting.answer.done():
                continue
            answer = done.result()[index] if failure is None else failure
            if isinstance(answer, BaseException):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)


def _answers(call: Call, batch: list[_Waiting]) -> list[Arrays | Exception]:
    """Return each request's outputs, or what is wrong with it, from one call for all of them."""
    try:
        return [*_together(call, batch)]
    except Exception as err:  # noqa: BLE001  # raised again for whoever asked
        # One request's input is at fault, and the others' answers must not depend on it.
        return [err] if len(batch) == 1 else [_answers(call, [one])[0] for one in batch]


def _together(call: Call, batch: list[_Waiting]) -> list[Arrays]:
    if len(batch) == 1:
        return [call(batch[0].inputs)]
    stacked = {name: np.concatenate([one.inputs[name] for one in batch]) for name in batch[0].inputs}
    outputs = call(stacked)
    answers: list[Arrays] = []
    start = 0
    for one in batch:
        end = start + one.rows
        answers.append({name: value[start:end] for name, value in outputs.items()})
        start = end
    return answers
