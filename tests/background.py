"""Work that goes on beside a test."""

import threading


class Background:
    """Does `work` in a thread, which has to look at `ended`, until it is left; a context manager."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self._thread.join()

    def work(self) -> None:
        """Goes on until `ended` is set."""
        raise NotImplementedError
