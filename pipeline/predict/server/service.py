"""The requests that both protocols share: predictions, the state of versions, and what signatures they declare."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

from components.errors import shortened
from pipeline.predict.server.batching import Arrays
from pipeline.predict.server.deadline import deadline
from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.model import LoadedModel, Signature
from pipeline.predict.server.sampling import Sampler
from pipeline.predict.server.status import Code, RequestError
from pipeline.predict.server.versions import Versions, VersionStatus

Result = TypeVar("Result")

SIGNATURE_DEF: Final = "signature_def"
"""The one field of metadata that TensorFlow Serving knows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What one server takes on.

    Attributes:
      body: bytes of one request.
      rows: of one request.
      concurrency: requests that are answered at the same time.
      seconds: that a request may take.
    """

    body: int = 16 << 20
    rows: int = 4096
    concurrency: int = 1024
    seconds: float = 30.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spec:
    """Which model a request is for.

    Attributes:
      name: of the model.
      version: its number; None asks the newest.
      label: instead of a number.
    """

    name: str
    version: int | None = None
    label: str | None = None


class Service:
    """Answers requests about one model.

    Args:
      name: under which it is served.
      versions: what is loaded.
      limits: what is refused.
      executor: on which models are asked.
      metrics: counts.
      say: called with one line for each request that failed by a fault of this server.
      sampler: keeps a share of the requests; None keeps none.
    """

    def __init__(  # noqa: PLR0913  # what one server is made of
        self,
        name: str,
        versions: Versions,
        limits: Limits,
        executor: Executor,
        metrics: Metrics,
        say: Callable[[str], None],
        sampler: Sampler | None = None,
    ) -> None:
        self.name = name
        self.versions = versions
        self.limits = limits
        self.metrics = metrics
        self._executor = executor
        self._say = say
        self._sampler = sampler
        self._running = 0

    def find(self, spec: Spec) -> LoadedModel:
        """Return the version that a request is for.

        Raises:
          RequestError: NOT_FOUND if it is not served here.
        """
        if spec.name != self.name:
            raise RequestError(Code.NOT_FOUND, f"Servable not found for request: {_requested(spec)}")
        try:
            return self.versions.find(spec.version, spec.label)
        except RequestError as err:
            if err.code == Code.NOT_FOUND:
                raise RequestError(Code.NOT_FOUND, f"Servable not found for request: {_requested(spec)}") from None
            raise

    async def predict(self, model: LoadedModel, signature: Signature, inputs: Arrays) -> Arrays:
        """Return the outputs of a signature.

        Raises:
          RequestError: INVALID_ARGUMENT for inputs that do not fit or too many rows; RESOURCE_EXHAUSTED where too many
            wait.
        """
        rows = signature.rows(inputs)
        if rows > self.limits.rows:
            raise RequestError(Code.INVALID_ARGUMENT, f"{rows} rows in one request: at most {self.limits.rows}")
        outputs = await model.ask(signature, inputs, rows, self._executor)
        self.metrics.count_rows(self.name, model.version, signature.name, rows)
        if self._sampler is not None:
            self._sampler.offer(model, signature, inputs, rows)
        return outputs

    async def limited(self, method: str, protocol: str, answer: Callable[[], Awaitable[Result]]) -> Result:
        """Answer one request within the limits of concurrency and time, and count it.

        Raises:
          RequestError: RESOURCE_EXHAUSTED where too many are being answered, DEADLINE_EXCEEDED after too long, INTERNAL for
            whatever is a fault of ours.
        """
        started, code = time.perf_counter(), Code.INTERNAL
        self._running += 1
        try:
            self._require_room()
            async with deadline(self.limits.seconds):
                result = await answer()
            code = Code.OK
        except asyncio.TimeoutError:
            code = Code.DEADLINE_EXCEEDED
            raise RequestError(code, f"no answer within {self.limits.seconds:g} s") from None
        except RequestError as err:
            code = err.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception as err:
            self._say(f"cannot answer {method} over {protocol}: {type(err).__name__}: {shortened(err)}")
            raise RequestError(code, "internal error; the server's standard error has more") from err
        finally:
            self._running -= 1
            self.metrics.count(method, protocol, code.name, time.perf_counter() - started)
        return result

    def metrics_page(self) -> bytes:
        """Return what was counted, for Prometheus."""
        return self.metrics.page({str(one.version): one.digest for one in self.versions.loaded.values()})

    def statuses(self, spec: Spec) -> Iterator[VersionStatus]:
        """Yield where versions stand, newest first; one alone if the request names it.

        Raises:
          RequestError: NOT_FOUND if there is no such model or version.
        """
        known = self.versions.statuses if spec.name == self.name else {}
        version = spec.version if spec.label is None else self.versions.find(None, spec.label).version
        if version is not None:
            if version not in known:
                raise RequestError(Code.NOT_FOUND, f"Could not find version {version} of model {spec.name}")
            yield known[version]
            return
        if not known:
            raise RequestError(Code.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        yield from (known[number] for number in sorted(known, reverse=True))

    def metadata(self, model: LoadedModel) -> Any:
        """Return TensorFlow Serving's `GetModelMetadataResponse` for a version."""
        from tensorflow_serving.apis import get_model_metadata_pb2

        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = model.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, declared in model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(declared)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response

    def status(self, spec: Spec) -> Any:
        """Return TensorFlow Serving's `GetModelStatusResponse`.

        Raises:
          RequestError: as `statuses`.
        """
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse()
        for one in self.statuses(spec):
            added = response.model_version_status.add(version=one.version)
            added.state = added.State.Value(one.state)
            added.status.error_code = int(one.code)
            added.status.error_message = one.message
        return response

    def _require_room(self) -> None:
        if self._running > self.limits.concurrency:
            raise RequestError(Code.RESOURCE_EXHAUSTED, f"{self.limits.concurrency} requests are being answered")


def _requested(spec: Spec) -> str:
    return f"Latest({spec.name})" if spec.version is None else f"Specific({spec.name}, {spec.version})"
