"""Data of a compiled pipeline: the default of the runtime parameter, and what an importer has to fetch."""

from __future__ import annotations

import dataclasses

from components.errors import BadInput
from components.ingest import spans
from pipeline.kubeflow.compiler.targets import Target, is_top_of_bucket
from pipeline.kubeflow.names import EMBEDDED


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """Where the pods find the data.

    Attributes:
      value: a bucket's URI, an absolute path in the pod, or `embedded`; perhaps a pattern of spans.
      spans: number of newest spans.
    """

    value: str
    spans: int = 1

    @property
    def in_bucket(self) -> bool:
        """Whether the launcher has to fetch it."""
        return "://" in self.value

    @property
    def is_pattern(self) -> bool:
        """Whether the spans in it are found where it is read."""
        return spans.is_pattern(self.value)

    @property
    def folder(self) -> str:
        """The URI of the folder to fetch: all of it, or the longest folder at its start without a field in it."""
        if not self.is_pattern:
            return self.value
        scheme, _, path = self.value.partition("://")
        return f"{scheme}://{spans.base_of(path)}/"


def _as_folder(value: str) -> str:
    """Return a bucket's URI with a slash at its end, unless its last part looks like a file's name.

    KFP's launcher up to 2.16.1 fetches whatever begins with a URI: `lake/mnist2` along with `lake/mnist`.
    """
    _, separator, place = value.partition("://")
    last = place.rpartition("/")[2]
    return value if not separator or not last or "." in last or spans.is_pattern(value) else f"{value}/"


def parse(data: str | None, count: int | None, target: Target) -> DataSource:
    """Check what can be checked without a look at the data.

    Args:
      data: as it was given; None for the embedded digits.
      count: of newest spans, if that was given.
      target: whose buckets count.

    Raises:
      BadInput: for a relative path, a bucket of another kind or as a whole, a malformed pattern, or spans of what is no
        pattern.
    """
    source = DataSource(value=_as_folder(data or EMBEDDED), spans=count or 1)
    if source.is_pattern:
        spans.require_fields(source.value)
    elif count is not None:
        raise BadInput("spans of data that has none", where="--spans", wanted=f"--data with {spans.FIELDS}")
    if source.in_bucket:
        target.check_uri(source.folder, "--data")
        if is_top_of_bucket(source.folder):
            raise BadInput(
                "a whole bucket cannot be fetched", where="--data", wanted="a folder in the bucket", got=source.folder
            )
    elif data is not None and not data.startswith("/"):
        wanted = "a bucket's URI, or an absolute path in the pod"
        raise BadInput("no place that a pod could read", where="--data", wanted=wanted, got=data)
    return source
