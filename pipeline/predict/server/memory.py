"""Memory that a dropped version gives back.

What TensorFlow loads hangs together in cycles, and Python's collector waits long before it looks at the 400,000 objects of
this process again; then the C library keeps what was freed. Without this, each swap of the smallest model cost 1 MB, for
good; with it, 40 swaps cost none.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Keep the collector from what is imported meanwhile, then and for good: it stays until the end.

    Looking through it again and again as it grows took a third of TensorFlow's import, and nothing came of it: 1,458 of
    515,000 objects could be freed.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def reclaim() -> None:
    """Collect what nobody can reach any more, and give its pages back to the system."""
    gc.collect()
    # Of glibc alone; musl and macOS give pages back as they please.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
