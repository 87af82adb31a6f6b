"""Work shared out among forks of this process, where threads would wait for the interpreter's lock."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

MOST: Final = 8
"""Processes at most, this one included."""


def joined(work: Callable[[range], bytes], numbers: range, size: int) -> bytes:
    """Return what `work` gives for all of `numbers`, of which each core takes a part.

    A process with several threads is not forked: a lock that another thread holds would stay locked in the fork. What a fork
    does not answer, because it was killed or there is no memory for it, is computed here.

    Args:
      work: gives `size` bytes for each number, in order; reads files and memory, and changes nothing.
      numbers: consecutive ones.
      size: bytes.
    """
    cores = 1 if threading.active_count() > 1 else min(MOST, len(os.sched_getaffinity(0)), len(numbers))
    mine, *others = _parts(numbers, max(1, cores))
    with contextlib.ExitStack() as ended:
        answers = [ended.enter_context(_fork(work, part)) for part in others]
        results = [work(mine)]
        for part, answer in zip(others, answers, strict=True):
            result = _read(answer)
            results.append(result if len(result) == size * len(part) else work(part))
    return b"".join(results)


def _parts(numbers: range, count: int) -> Sequence[range]:
    ends = [len(numbers) * part // count for part in range(count + 1)]
    return [numbers[start:end] for start, end in itertools.pairwise(ends)]


@contextlib.contextmanager
def _fork(work: Callable[[range], bytes], part: range) -> Iterator[int | None]:
    """Begin the work in a fork, and give where its answer is read; None where there can be none. It ends with the block."""
    reading, writing = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        yield None
        return
    if not child:
        # Whatever happens: nothing of this process may go on in the fork, its clean-up included.
        with contextlib.suppress(BaseException), open(writing, "wb") as answer:
            os.close(reading)
            answer.write(work(part))
        os._exit(0)
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # not waited for yet, so that the number is still its own
        os.waitpid(child, 0)


def _read(answer: int | None) -> bytes:
    if answer is None:
        return b""
    with open(answer, "rb", closefd=False) as file:
        return file.read()
