"""Whether there is anything to do: what is served was made from exactly what a run would use.

A pod has nothing but the serving directory at hand, so `same_work` asks the statement in the newest version alone, and
says no wherever it cannot say yes: a run too many is cheaper than data that nobody looks at. A local run knows more, and
asks its planner (`served_already`). A schedule asks again and again, so neither leaves a trace: no run, no record, no
line in the ledger and no log, which would all grow with every minute in which nothing happens.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.digest import content_entry, manifest_digest
from components.errors import MnistTfxError
from components.schema_files import PROFILE_NAME, SCHEMA_NAME, profile_file
from components.serving import PROVENANCE, versions
from components.settings import Settings
from pipeline.provenance.statement import read_statement
from pipeline.stages import INGEST, PUSHER, SECTIONS

if TYPE_CHECKING:
    from components.ingest.spans import Span
    from pipeline.config.pipeline_config import PipelineConfig
    from pipeline.runner.planner import CompletedNode
    from pipeline.runner.run import Outcome

DATA: Final = "data/"
CODE: Final = "code/"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Newest:
    """The newest version that was pushed and not changed since.

    Attributes:
      version: its number.
      provenance: its statement.
    """

    version: int
    provenance: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedAlready:
    """Everything that was asked for is there.

    Attributes:
      outcome: as of a run that found every node cached; its record has no run id, and is not written.
      why: what says so, in a line.
    """

    outcome: Outcome
    why: str


def newest_served(serving_dir: Path) -> Newest | None:
    """Return the newest version; None if there is none, or it is not as it was pushed, or its provenance is unreadable."""
    newest = next(reversed(versions(serving_dir)), None)
    # TF Serving takes the highest number: whatever else it is, it is not served on account of an older one.
    if newest is None or not newest.as_pushed:
        return None
    try:
        provenance = read_statement(newest.path / PROVENANCE)
    except MnistTfxError:
        return None
    return Newest(version=newest.version, provenance=provenance)


def newest_version_made_from(serving_dir: Path, payload_digests: Mapping[str, str]) -> int | None:
    """Return the newest served version if it was made from exactly these bytes, else None.

    Args:
      serving_dir: the folder with the numbered versions.
      payload_digests: {canonical name: payload digest}, as `components.ingest.source.read_contents` has them. The
        names count, as they follow from the data: the same files with train and test exchanged are other data.
    """
    newest = newest_served(serving_dir)
    if newest is None or _told(newest.provenance, DATA) != dict(payload_digests):
        return None
    return newest.version


def same_work(
    provenance: Mapping[str, Any],
    *,
    payload_digests: Mapping[str, str],
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    schema: Mapping[str, str],
) -> bool:
    """Return whether a version was made from the same data by the same code, with the same settings and schema.

    Args:
      provenance: of the version.
      payload_digests: as for `newest_version_made_from`.
      settings: {node id: its section of the recipe}, see `sections`.
      code: {node id: code digest}. Those of nodes that judge a model or serve it are not asked for: a model is no other
        one because of them, and provenance names the code behind the model alone.
      schema: see `schema_digests`.
    """
    known_code, known_schema = _told(provenance, CODE), _told(provenance, "ReviewedSchema/")
    return (
        _told(provenance, DATA) == dict(payload_digests)
        and _settings(provenance) == dict(settings)
        and bool(known_code)
        and all(code.get(node) == digest for node, digest in known_code.items())
        and known_schema == dict(schema)
    )


def sections(settings: Settings) -> dict[str, Any]:
    """Return {node id: its section of the recipe}, as a provenance statement tells it."""
    parts = {node: getattr(settings, section) for node, section in SECTIONS.items()}
    return {node: part.to_dict() for node, part in parts.items() if part is not None}


def schema_digests(schema: Path) -> dict[str, str]:
    """Return {channel of ReviewedSchema: artifact digest} for a reviewed schema and its reference profile.

    Args:
      schema: `Reviewed.schema`.
    """
    return {
        "schema": manifest_digest({SCHEMA_NAME: content_entry(schema)}),
        "reference": manifest_digest({PROFILE_NAME: content_entry(profile_file(schema))}),
    }


def served_already(config: PipelineConfig, spans: Sequence[Span]) -> ServedAlready | None:
    """Ask the planner whether a run would execute anything: data, schema, settings, code, artifacts, served version.

    Raises:
      MnistTfxError: as a run, for unusable data or another pipeline's root.
    """
    # These import TFX, which a pod that asks `same_work` does without.
    from pipeline.config.pipeline_config import Reuse
    from pipeline.provenance import results
    from pipeline.provenance.records import NodeOutcome
    from pipeline.runner.dry_run import dry_run
    from pipeline.runner.run import Outcome
    from pipeline.runner.run_record import run_record

    # The root is where the copies are already: nothing is written unless there is something to do.
    plan = dry_run(config, Reuse(), config.paths.root)
    done = {node: planned.reuse for node, planned in plan.nodes.items() if planned.reuse is not None}
    if len(done) < len(plan.nodes):
        return None
    served = results.pushed(config.paths.root, done[PUSHER].record)
    if served is None:
        return None
    nodes = [
        NodeOutcome(id=node, state="cached", seconds=0.0, why=planned.why, record=done[node].hash)
        for node, planned in plan.nodes.items()
    ]
    outcome = Outcome(record=run_record(config, "", nodes, done, None, time.time()), error=None, train_s=0.0)
    return ServedAlready(outcome=outcome, why=_why(served.version, done[INGEST], spans))


def _told(provenance: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Return {name: digest} of the dependencies whose names begin with `prefix`; one with two digests is none."""
    found: dict[str, str] = {}
    for resource in provenance["predicate"]["buildDefinition"]["resolvedDependencies"]:
        if resource["name"].startswith(prefix):
            name = resource["name"].removeprefix(prefix)
            digest = next(iter(resource["digest"].values()), "none of them")
            found[name] = digest if found.get(name, digest) == digest else "two of them"
    return found


def _settings(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(provenance["predicate"]["buildDefinition"]["externalParameters"]["settings"])


def _why(version: int, ingest: CompletedNode, spans: Sequence[Span]) -> str:
    *others, last = [str(span.number) for span in spans]
    numbers = f"spans {', '.join(others)} and {last}" if others else f"span {last}"
    made_from = numbers if ingest.record.parameters["span"] == spans[-1].number else f"the same data as {numbers}"
    return f"no new span: version {version} was made from {made_from}; nothing to do"
