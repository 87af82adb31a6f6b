"""Work that takes longer than a page may: on a thread of its own, one piece at a time, its last results remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")

MOST: Final = 64
"""Results that are remembered."""


class Background(Generic[Key, Result]):
    """Results of a function by its argument.

    Args:
      function: what is called; it does not raise.
    """

    def __init__(self, function: Callable[[Key], Result]) -> None:
        self._function = function
        self._one_at_a_time = threading.Lock()
        self._registry = threading.Lock()
        self._last: OrderedDict[Key, Result] = OrderedDict()
        self._running: dict[Key, Future[Result]] = {}

    def last(self, key: Key) -> Result | None:
        """Return the last result; None if there is none, or not any more."""
        return self._last.get(key)

    def is_running(self, key: Key) -> bool:
        """Return whether the function is being called, or waits for its turn."""
        return key in self._running

    def start(self, key: Key) -> Future[Result]:
        """Call the function; a call that is under way is joined."""
        with self._registry:
            future = self._running.get(key)
            if future is None:
                future = self._running[key] = Future()
                # From now on nobody who gives up waiting cancels it for the others.
                future.set_running_or_notify_cancel()
                # A daemon: the server does not wait for it when it ends.
                threading.Thread(target=self._call, args=(key, future), name="background", daemon=True).start()
            return future

    def _call(self, key: Key, future: Future[Result]) -> None:
        with self._one_at_a_time:
            result = self._function(key)
        with self._registry:
            self._last[key] = result
            self._last.move_to_end(key)
            while len(self._last) > MOST:
                self._last.popitem(last=False)
            del self._running[key]
        future.set_result(result)
