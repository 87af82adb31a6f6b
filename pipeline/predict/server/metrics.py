"""What the server counts, for Prometheus."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters of one server, in a registry of their own: two servers in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        requests = Counter(
            "mnist_tfx_requests",
            "Requests, by how they ended.",
            ("method", "protocol", "code"),
            registry=self._registry,
        )
        seconds = Histogram(
            "mnist_tfx_request_seconds",
            "Seconds from a request to its answer.",
            ("method", "protocol"),
            buckets=SECONDS,
            registry=self._registry,
        )
        rows = Counter("mnist_tfx_rows", "Rows answered.", ("model", "version", "signature"), registry=self._registry)
        self.refused_tokens = Counter(
            "mnist_tfx_refused_tokens",
            "Requests without the token that is asked for.",
            ("protocol",),
            registry=self._registry,
        )
        # Found once for each labels: a look-up takes a lock and makes strings of all of them.
        self._of_requests = functools.lru_cache(maxsize=1024)(requests.labels)
        self._of_seconds = functools.lru_cache(maxsize=1024)(seconds.labels)
        self._of_rows = functools.lru_cache(maxsize=1024)(rows.labels)
        self.samples = Counter(
            "mnist_tfx_sampled_rows",
            "Rows of requests that were kept for `serving monitor`, or dropped since there was no room.",
            ("state",),
            registry=self._registry,
        )
        self._version = Gauge(
            "mnist_tfx_served_version",
            "1 for each version that is loaded.",
            ("version", "digest"),
            registry=self._registry,
        )

    def count(self, method: str, protocol: str, code: str, seconds: float) -> None:
        """Count one request."""
        self._of_requests(method, protocol, code).inc()
        self._of_seconds(method, protocol).observe(seconds)

    def count_rows(self, model: str, version: int, signature: str, rows: int) -> None:
        """Count the rows of one answer."""
        self._of_rows(model, str(version), signature).inc(rows)

    def page(self, loaded: Mapping[str, str]) -> bytes:
        """Return all of them, in Prometheus' text format.

        Args:
          loaded: {version: digest} of what is served now.
        """
        self._version.clear()
        for version, digest in loaded.items():
            self._version.labels(version, digest).set(1)
        return bytes(generate_latest(self._registry))
