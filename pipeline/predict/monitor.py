"""Skew of what a version is asked about, against the rows that it was trained on: TFDV and the gate's own rules.

What comes in are the samples that `serve --sample` kept of one version, and the artifacts that its own run recorded: the
profile of its training rows, the reviewed schema with its thresholds, and the settings of the gate. What goes out is a
`Monitoring`, the same for the command line, for programs and for a page.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from components import disk
from components.digest import canonical_json, sha256_file
from components.errors import AGAIN, CannotTell, EnvironmentProblem, MnistTfxError, Refused
from components.features import IMAGE, LABEL, TRAIN
from components.files import replacing
from components.profile import Reference, profile, require_profile
from components.schema_files import PROFILE_NAME, SCHEMA_NAME, read_reference, read_schema
from components.schema_gate.check import Check
from components.schema_gate.diagnosis import diagnose, facts
from components.schema_gate.evidence import SplitEvidence
from components.schema_gate.rules import FEW_IN_ALL, anomaly_checks, drift_check, feature_checks
from components.settings import GateSettings
from components.shapes import Shape
from components.untrusted import read_object
from pipeline.predict import answer, samples
from pipeline.predict.answer import Version
from pipeline.process.child import CPU_ONLY, ENGINE_ENV
from pipeline.process.output import redirect_output
from pipeline.provenance import record_store
from pipeline.provenance.artifacts import ArtifactRef
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.statement import read_provenance
from pipeline.root.paths import RunPaths
from pipeline.stages import SCHEMA_GATE

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

State = Literal["as trained", "unlike", "too few"]

REQUESTS: Final = "requests"
"""In the place of a split's name: a check of the gate names what it is about."""

AGAINST: Final = "its training rows"
_SERVING: Final = "SERVING"
"""TFDV's environment of rows without a label."""

_LAST: Final = "monitoring.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Monitoring:
    """How the requests to a version compare with what it was trained on.

    Attributes:
      version: its number.
      digest: of its bytes.
      state: `unlike` where a check stops, by the actions that its own run's gate had; `too few` where there are fewer
        rows than the gate wants of any data.
      rows: sampled ones.
      since: UTC time of the oldest file of samples; None where there is none.
      until: of the newest.
      asked: UTC time of this comparison.
      cause: what looks wrong with the requests, in one sentence; None unless they are unlike.
      facts: what shows it.
      checks: every one, as the gate has them; none where there are too few rows.
    """

    version: int
    digest: str
    state: State
    rows: int
    since: str | None
    until: str | None
    asked: str
    cause: str | None = None
    facts: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "facts": list(self.facts),
            "checks": [check.to_dict() for check in self.checks],
        }

    @property
    def error(self) -> MnistTfxError | None:
        """Why a command that asks does not end well: CannotTell of too few rows, Refused of unlike ones."""
        where = f"the requests to version {self.version}"
        if self.state == "too few":
            return CannotTell(
                f"{self.rows} rows are too few to tell",
                where=where,
                wanted=f"at least {FEW_IN_ALL}",
                hint="`mnist-tfx serve --sample SHARE` keeps a share of the requests",
            )
        if self.cause is None:
            return None
        stops = sum(check.stops for check in self.checks)
        return Refused(
            self.cause,
            where=where,
            hint=f"{stops} of {len(self.checks)} checks refused; the version goes on being served",
            facts=self.facts,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Trained:
    """What a version's own run recorded: its training rows as a reference, the schema, the gate's settings."""

    reference: Reference
    schema: schema_pb2.Schema
    gates: GateSettings


def compare(root: Path, number: int | None = None) -> Monitoring:
    """Return how the sampled requests to a version, by default the newest, compare with its training rows.

    It imports TFDV, and keeps its answer beside the samples, for `latest`.

    Raises:
      BadInput: if there is no such version.
      Refused: if its bytes are not those that were pushed.
      CannotTell: if what its run recorded is not there any more, or was changed.
      EnvironmentProblem: if a file of samples is damaged.
    """
    paths = RunPaths(root.absolute())
    version = answer.choose(paths.root, number)
    place = samples.folder(paths, version.served.version, version.served.digest)
    found = samples.read(place, version.data.pixels)
    about = Monitoring(
        version=version.served.version,
        digest=version.served.digest,
        state="too few",
        rows=len(found.images) + found.misshapen,
        since=found.since,
        until=found.until,
        asked=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
    )
    if about.rows >= FEW_IN_ALL and len(found.images):
        checks = tuple(_checks(found, version, _trained(paths, version)))
        about = _judged(about, checks, version)
    if place.is_dir():
        _keep(place / _LAST, about)
    return about


def latest(root: Path, number: int, digest: str) -> Monitoring | None:
    """Return what `compare` last answered about a version; None if it was never asked, or its samples are gone.

    Raises:
      EnvironmentProblem: if the answer that was kept cannot be read.
    """
    file = samples.folder(RunPaths(root.absolute()), number, digest) / _LAST
    if not file.is_file():
        return None
    fields = read_object(file, error=EnvironmentProblem)
    told = fields.get("checks")
    fields["checks"] = [_without_passed(one) for one in told] if isinstance(told, list) else told
    return _KEPT.read(fields, what="not the answer of a comparison", where=file, error=EnvironmentProblem)


def _without_passed(check: Any) -> Any:
    return {name: value for name, value in check.items() if name != "passed"} if isinstance(check, dict) else check


def _keep(file: Path, found: Monitoring) -> None:
    try:
        with replacing(file, durable=False) as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(canonical_json(found.to_dict()))
    except OSError as err:
        raise disk.problem(err, "the answer cannot be kept", where=file) from err


def _judged(about: Monitoring, checks: tuple[Check, ...], version: Version) -> Monitoring:
    stops = [check for check in checks if check.stops]
    if not stops:
        return dataclasses.replace(about, state="as trained", checks=checks)
    failed = [check for check in checks if not check.passed and check.action != "off"]
    cause = diagnose(failed, version.data, AGAINST).cause
    return dataclasses.replace(about, state="unlike", checks=checks, cause=cause, facts=tuple(facts(stops, cause)))


def _checks(found: samples.Samples, version: Version, trained: _Trained) -> Iterator[Check]:
    data = version.data
    statistics, anomalies = _by_tfdv(found, trained.schema)
    seen = profile(found.images, np.full(len(found.images), -1, np.int64), data)  # no request has a label
    evidence = SplitEvidence(profile=seen, statistics=statistics, anomalies=anomalies, index=np.zeros(0, np.void))
    yield from anomaly_checks(REQUESTS, evidence)
    (image,) = [one for one in statistics.features if list(one.path.step) == [IMAGE]]
    yield from feature_checks(REQUESTS, IMAGE, image.num_stats, (data.pixels, data.pixel_max))
    for aspect in ("rows", "columns", "pixels"):  # what looks at labels has nothing to look at
        yield drift_check(REQUESTS, seen, trained.reference, aspect, trained.gates, AGAINST)


def _by_tfdv(
    found: samples.Samples, schema: schema_pb2.Schema
) -> tuple[statistics_pb2.DatasetFeatureStatistics, anomalies_pb2.Anomalies]:
    """Return TFDV's statistics of the rows, and its anomalies against the reviewed schema."""
    os.environ.update({**ENGINE_ENV, **CPU_ONLY})
    with redirect_output(Path(os.devnull)):
        import pandas as pd
        import tensorflow_data_validation as tfdv

        frame = pd.DataFrame({IMAGE: list(found.images.astype(np.int64))})
        statistics = tfdv.generate_statistics_from_dataframe(frame)
        anomalies = tfdv.validate_statistics(statistics, _without_label(schema), environment=_SERVING)
    return statistics.datasets[0], anomalies


def _without_label(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """Return a copy that expects no label of rows that are being served."""
    copied = type(schema)()
    copied.CopyFrom(schema)
    copied.default_environment.append(_SERVING)
    for feature in copied.feature:
        if feature.name == LABEL:
            feature.not_in_environment.append(_SERVING)
    return copied


def _trained(paths: RunPaths, version: Version) -> _Trained:
    where = f"version {version.served.version}"
    try:
        gate = _gate(paths, version)
        file = partial(_recorded_file, paths, gate)
        told = read_object(file("examples", PROFILE_NAME))["splits"][TRAIN]
        require_profile(told)
        reviewed = read_reference(file("reference", PROFILE_NAME))
        return _Trained(
            reference=Reference(profile=told, thresholds=reviewed.thresholds, calibration=reviewed.calibration),
            schema=read_schema(file("reviewed_schema", SCHEMA_NAME)),
            gates=GateSettings.from_json(str(gate.parameters["settings"])),
        )
    except CannotTell:
        raise
    except (MnistTfxError, OSError, LookupError, TypeError, ValueError) as err:
        got = err if isinstance(err, MnistTfxError | OSError) else f"{type(err).__name__}: {err}"
        raise CannotTell("what it was trained on is not there any more", where=where, got=got) from err


def _gate(paths: RunPaths, version: Version) -> ExecutionRecord:
    """Return the record of the gate that let the version's training rows pass."""
    provenance = read_provenance(paths.root, version.served.version)
    executions = provenance["predicate"]["buildDefinition"]["internalParameters"]["executions"]
    known = [execution["record"] for execution in executions if execution["node"] == SCHEMA_GATE]
    record = record_store.read(paths.records, known[-1])
    if not isinstance(record, ExecutionRecord):
        raise TypeError("not the record of an execution")
    return record


def _recorded_file(paths: RunPaths, gate: ExecutionRecord, channel: str, name: str) -> Path:
    """Return a file of what the gate read, as long as it is as it was recorded."""
    (read,) = gate.inputs[channel]
    file = paths.root / read.path / name
    if sha256_file(file) != _maker_files(paths, read)[name]["sha256"]:
        raise CannotTell("was changed since it was recorded", where=file, hint=f"{AGAIN} --no-cache")
    return file


def _maker_files(paths: RunPaths, read: ArtifactRef) -> Mapping[str, Any]:
    record = record_store.read(paths.records, str(read.record))
    if not isinstance(record, ExecutionRecord):
        raise TypeError("not the record of an execution")
    (entry,) = [one for outputs in record.outputs.values() for one in outputs if one.path == read.path]
    return entry.files


_KEPT: Final = Shape(Monitoring)
