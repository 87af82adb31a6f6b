"""The frozen configuration of one run: settings, paths, data parts, schema, code digests."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from components.errors import BadInput
from components.ingest.origins import origin_of
from components.settings import Settings
from components.training.device import Device
from pipeline.config.beam import BEAM_ARGS
from pipeline.config.beam_engines import DIRECT
from pipeline.metadata.address import Address
from pipeline.provenance.code import Code
from pipeline.provenance.own_code import OwnCode
from pipeline.root.paths import RunPaths
from pipeline.stages import TRAINERS


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Everything `create_pipeline` needs; equal configurations compile to equal pipelines.

    Attributes:
      settings: the resolved recipe.
      paths: of the root.
      form: `idx` or `csv`.
      source: the data parts, as `components.ingest.source.parts_to_json` writes them.
      schema_digest: SHA-256 over the reviewed schema and its reference profile.
      schema_folder: where the reviewed schema was found.
      code: each node's code, by node id.
      lock_digest: SHA-256 of the lock file.
      own_code: {node id: the user's own code that it runs}.
      beam_engine: what the Beam nodes run on.
      beam_args: for every Beam node.
      metadata: where the metadata store is; None for the SQLite file in the root.
      device: what the Trainers see.
      stage: whether to push into `staged/`, where no server looks.
      by: who starts the run; None keeps nobody on record.
      workers: processes that a multiworker training starts on this machine; None where TF_CONFIG names them.
    """

    settings: Settings
    paths: RunPaths
    form: str
    source: str
    schema_digest: str
    schema_folder: Path
    code: Mapping[str, Code]
    lock_digest: str
    own_code: Mapping[str, OwnCode] = dataclasses.field(default_factory=dict)
    beam_engine: str = DIRECT
    beam_args: tuple[str, ...] = BEAM_ARGS
    metadata: Address | None = None
    device: Device = dataclasses.field(default_factory=Device)
    workers: int | None = None
    stage: bool = False
    by: str | None = None

    @property
    def pushed_to(self) -> Path:
        """The folder that a version is pushed into."""
        return self.paths.staged if self.stage else self.paths.serving

    @cached_property
    def data(self) -> str:
        """The data section as canonical JSON, as the stages after ingest are given it."""
        return self.settings.data.of_rows.to_json()

    @cached_property
    def identity(self) -> dict[str, object]:
        """What must stay the same for the life of a root."""
        return identity_of(self.settings)

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The data files, as absolute paths."""
        return tuple(self.names)

    @cached_property
    def names(self) -> dict[str, str]:
        """{absolute path of a data file: the name that records have for it}.

        That is the file's own, below that of its span; of a copy from an object store the object's address and version.
        """
        return {
            file: name if (origin := origin_of(file)) is None else origin.address
            for part in json.loads(self.source)
            for file, name in zip(part["files"], part.get("names") or map(os.path.basename, part["files"]), strict=True)
        }


def identity_of(settings: Settings) -> dict[str, object]:
    """Return what must stay the same for the life of a root: the recipe's name and the model's input signature."""
    data = settings.data
    signature = {"shape": list(data.shape), "pixel_max": data.pixel_max, "label_count": data.label_count}
    return {"pipeline": settings.name, "signature": signature}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reuse:
    """What may be reused.

    Attributes:
      none: whether every node is to execute (`--no-cache`).
      except_for: nodes that are to execute (`--force`).
      trainings: whether earlier trainings count, finished or not; without them (`--rebuild`) all Trainers start over.
    """

    none: bool = False
    except_for: frozenset[str] = frozenset()
    trainings: bool = True

    def forced(self, known: Sequence[str]) -> frozenset[str]:
        """Return the nodes to execute whatever was recorded.

        Raises:
          BadInput: for a node that is not there.
        """
        for node in self.except_for - set(known):
            raise BadInput("no such node", where="--force", wanted=f"one of {', '.join(known)}", got=node)
        if self.none:
            return frozenset(known)
        return self.except_for if self.trainings else self.except_for | frozenset(TRAINERS).intersection(known)
