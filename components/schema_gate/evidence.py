"""The gate's evidence: for each split its profile, statistics, anomalies and row index.

Splits are those that ingest profiled, and anomalies come from `SchemaDiff.pb`. Neither is read from artifact
properties, which Kubeflow hands over wrapped or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf.message import DecodeError, Message
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from typing_extensions import TypedDict

from components.arrays import map_npy
from components.errors import BadInput, EnvironmentProblem
from components.profile import require_profile
from components.schema_files import LARGEST, PROFILE_NAME, read_reference
from components.shapes import Shape
from components.untrusted import read_bytes, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from components.profile import Reference

STATISTICS_NAME: Final = "FeatureStats.pb"
ANOMALIES_NAME: Final = "SchemaDiff.pb"
INCOMPLETE: Final = "the artifact is incomplete; run again with --no-cache"


_INDEX: Final = np.dtype([("row", "V32"), ("pixels", "V32"), ("label", "<i8")])
"""An entry of the row index, as ingest writes it."""


class _Profiles(TypedDict):
    splits: dict[str, dict[str, Any]]


_PROFILES: Final = Shape(_Profiles)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitEvidence:
    """All that is known of one split.

    Attributes:
      profile: as `components.profile.profile` returns it.
      statistics: TFDV's statistics, one `datasets` entry.
      anomalies: TFDV's findings against the schema; None where no ExampleValidator ran.
      index: structured array [rows] with `row` and `pixels` (32-byte digests) and `label` (int64), sorted by
        `row`; mapped.
    """

    profile: Mapping[str, Any]
    statistics: statistics_pb2.DatasetFeatureStatistics
    anomalies: anomalies_pb2.Anomalies | None
    index: NDArray[np.void]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Everything the gate looks at.

    Attributes:
      reference: the reviewed profile and its thresholds.
      splits: {split name: `SplitEvidence`}.
    """

    reference: Reference
    splits: Mapping[str, SplitEvidence]


def read_evidence(examples: Path, statistics: Path, reference: Path, anomalies: Path | None = None) -> Evidence:
    """Read the folders of the four artifacts.

    Raises:
      EnvironmentProblem: when a file that its node should have written is missing or damaged.
    """
    profiles = _read_profiles(examples / "profile.json")
    splits = {
        split: SplitEvidence(
            profile=profile,
            statistics=_read_statistics(_split_folder(statistics, split) / STATISTICS_NAME),
            anomalies=None if anomalies is None else _read_anomalies(_split_folder(anomalies, split) / ANOMALIES_NAME),
            index=_open_index(examples / "row_index" / f"{split}.npy"),
        )
        for split, profile in profiles.items()
    }
    return Evidence(reference=read_reference(reference / PROFILE_NAME), splits=splits)


def _split_folder(artifact: Path, split: str) -> Path:
    return artifact / f"Split-{split}"


def _read_profiles(path: Path) -> dict[str, Any]:
    what = "not the profiles of an ingest"
    try:
        told = _PROFILES.read(read_object(path), what=what, where=path)["splits"]
        for profile in told.values():
            require_profile(profile)
    except (BadInput, ValueError) as err:
        got = (err.got or err.what) if isinstance(err, BadInput) else err
        raise EnvironmentProblem(what, where=path, got=got, hint=INCOMPLETE) from err
    return dict(told)


def _read_statistics(path: Path) -> statistics_pb2.DatasetFeatureStatistics:
    found = _read_proto(path, statistics_pb2.DatasetFeatureStatisticsList())
    if len(found.datasets) != 1:
        raise EnvironmentProblem(
            "not the statistics of a split", where=path, wanted="one dataset", got=len(found.datasets), hint=INCOMPLETE
        )
    return found.datasets[0]


def _read_anomalies(path: Path) -> anomalies_pb2.Anomalies:
    return _read_proto(path, anomalies_pb2.Anomalies())


def _read_proto(path: Path, message: Message) -> Any:
    try:
        message.ParseFromString(read_bytes(path, limit=LARGEST))
    except (BadInput, DecodeError) as err:
        name = message.DESCRIPTOR.name
        raise EnvironmentProblem("cannot be read", where=path, wanted=name, got=err, hint=INCOMPLETE) from err
    return message


def _open_index(path: Path) -> NDArray[np.void]:
    """Return a row index that is read from disk where it is looked at: all of it at once are 72 bytes a row."""
    try:
        index: NDArray[np.void] = map_npy(path)
    except BadInput as err:
        raise EnvironmentProblem("not a row index", where=path, got=err, hint=INCOMPLETE) from err
    if index.dtype != _INDEX or index.ndim != 1:
        got = f"{index.dtype} {index.shape}"
        raise EnvironmentProblem("not a row index", where=path, wanted=_INDEX, got=got, hint=INCOMPLETE)
    return index
