"""The cluster of a multiworker training by TF_CONFIG, and which of its processes this one is.

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}

Worker 0 is the chief: what it writes is the result, and its checkpoint is the one that all go on from.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Final

from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem
from components.shapes import Shape
from components.untrusted import parse_json

TF_CONFIG: Final = "TF_CONFIG"
"""Environment variable, by TensorFlow's name."""


class _Workers(TypedDict):
    worker: list[str]


class _Task(TypedDict):
    type: str
    index: int | str  # Kubernetes' operators write it as text


class _Config(TypedDict):
    cluster: _Workers
    task: _Task


_SHAPE: Final = Shape(_Config)


@dataclass(frozen=True)
class Cluster:
    """The workers of a training.

    Attributes:
      addresses: `host:port` of each; none for a training in one process.
      index: which of them this process is.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    @classmethod
    def from_environment(cls) -> Cluster:
        """Read $TF_CONFIG.

        Raises:
          EnvironmentProblem: where it is set and does not describe this process as one of some workers.
        """
        text = os.environ.get(TF_CONFIG)
        if not text:
            return cls()
        try:
            told = _SHAPE.read(parse_json(text, where=TF_CONFIG), what="no cluster", where=TF_CONFIG)
            return cls._from_fields(told)
        except (BadInput, ValueError) as err:
            raise EnvironmentProblem(
                "does not name this worker",
                where=TF_CONFIG,
                wanted='{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": N}}',
                got=text[:200],
            ) from err

    @classmethod
    def _from_fields(cls, fields: _Config) -> Cluster:
        addresses, index = tuple(fields["cluster"]["worker"]), int(fields["task"]["index"])
        if set(fields["cluster"]) != {"worker"} or fields["task"]["type"] != "worker":
            raise ValueError("every process is a worker")
        if not 0 <= index < len(addresses):
            raise ValueError(f"worker {index} of {len(addresses)}")
        return cls(addresses, index)

    @property
    def is_chief(self) -> bool:
        """Return whether this process keeps what the training leaves."""
        return self.index == 0

    def to_json(self) -> str:
        """Return the text of TF_CONFIG."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.addresses)}, "task": task})

    def require_workers(self) -> None:
        """Check that there are workers at all.

        Raises:
          BadInput: where neither TF_CONFIG nor `--workers` names any.
        """
        if not self.addresses:
            raise BadInput(
                "strategy multiworker without workers",
                where=TF_CONFIG,
                hint="set it in every worker's process, or try it on this machine with `run --workers 2`",
            )
