"""The record of a run, in every outcome, without a path of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from components.errors import MnistTfxError, Refused
from components.ingest.copy_paths import address_of
from components.ingest.source import SOURCES, read_contents, read_sources
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.process.signals import Interrupted
from pipeline.provenance import records, results
from pipeline.provenance.artifacts import ROOT_MARK
from pipeline.runner.part import Part
from pipeline.runner.planner import CompletedNode
from pipeline.stages import INGEST

Stopped = MnistTfxError | Interrupted | None


def run_record(  # noqa: PLR0913  # a record is the sum of what is known
    config: PipelineConfig,
    run_id: str,
    nodes: Sequence[records.NodeOutcome],
    done: Mapping[str, CompletedNode],
    error: Stopped,
    started: float,
    part: Part | None = None,
) -> records.RunRecord:
    """Return the record of a run.

    Args:
      config: what was asked for.
      run_id: of the run.
      nodes: what became of each, in the order of the pipeline.
      done: nodes whose outputs are there.
      error: what stopped it.
      started: seconds since the epoch.
      part: in a sweep; None for a run of its own.
    """
    return results.run_record(
        config.paths.root,
        {node: found.record for node, found in done.items()},
        run_id=run_id,
        recipe=config.settings.name,
        settings=config.settings.model_dump(mode="json"),
        status=_status(error) if part is None or error is not None else part.status,
        error=_error_fields(config, error),
        nodes=nodes,
        sources=_sources(config, done),
        started=records.utc(started),
        finished=records.utc(time.time()),
        sweep=None if part is None else part.facts,
    )


def skipped(node: str, why: str = "the run had stopped") -> records.NodeOutcome:
    """Return the outcome of a node that the run did not get to."""
    return records.NodeOutcome(id=node, state="skipped", seconds=0.0, why=why, record=None)


def portable(config: PipelineConfig, text: str) -> str:
    """Return a message without this machine's folders."""
    text = text.replace(str(config.paths.root), ROOT_MARK)
    for file, name in config.names.items():
        text = text.replace(file, name)
    for folder in {os.path.dirname(file) for file in config.files}:
        text = text.replace(f"{folder}/", "")
    return text


def _status(error: Stopped) -> str:
    if error is None:
        return "ok"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "refused" if isinstance(error, Refused) else "failed"


def _error_fields(config: PipelineConfig, error: Stopped) -> Mapping[str, Any] | None:
    if error is None:
        return None
    if isinstance(error, Interrupted):
        return {"kind": "Interrupted", "what": str(error)}
    fields = {name: value for name, value in error.to_dict().items() if name != "report"}  # has a file of its own
    return {name: _portable_value(config, value) for name, value in fields.items()}


def _portable_value(config: PipelineConfig, value: Any) -> Any:
    if isinstance(value, list):
        return [portable(config, text) for text in value]
    return portable(config, value) if isinstance(value, str) else value


def _sources(config: PipelineConfig, done: Mapping[str, CompletedNode]) -> tuple[records.DataSource, ...]:
    """Return the data files as this run was given them, also where ingest was cached under other names."""
    if INGEST not in done:
        return ()
    folder = config.paths.root / str(done[INGEST].record.parameters["input_base"])
    payload_bytes = {entry["payload_digest"]: entry["bytes"] for entry in read_contents(folder)}
    # Later entries of the same path replace earlier ones: the file was compressed again since.
    noted = {entry["path"]: entry for entry in read_sources(folder / SOURCES)}
    names = {address_of(file) or file: name for file, name in config.names.items()}
    return tuple(
        records.DataSource(
            name=names[path],
            payload_digest=entry["payload_digest"],
            container_digest=entry["container_digest"],
            bytes=payload_bytes[entry["payload_digest"]],
        )
        for path, entry in noted.items()
        if path in names
    )
