"""A target's name -> what tells open-source Kubeflow Pipelines and Vertex AI apart as far as a compiled file goes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from components.errors import BadInput
from pipeline.kubeflow.document import OSS, VERTEX
from pipeline.kubeflow.places import FOLDERS

URI: Final = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(/(?P<key>.*))?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of cluster.

    Attributes:
      name: `oss` or `vertex`.
      title: its name in a sentence.
      suffix: of the file that it takes.
      schemes: of the buckets that its launcher reads and writes.
      accelerator: the type that a Trainer asks for by default.
      accelerators: the types that are known, as regular expressions.
    """

    name: str
    title: str
    suffix: str
    schemes: tuple[str, ...]
    accelerator: str
    accelerators: tuple[str, ...]

    def check_accelerator(self, kind: str, where: object) -> None:
        """Refuses a type of accelerator that no node of this target can have.

        Raises:
          BadInput: with the known ones.
        """
        if not any(re.fullmatch(known, kind) for known in self.accelerators):
            known = ", ".join(name.replace("\\", "") for name in self.accelerators)
            raise BadInput(f"unknown accelerator for {self.title}", where=where, wanted=f"one of {known}", got=kind)

    def check_suffix(self, path: Path) -> None:
        """Refuses a file name by which nobody would know the form.

        Raises:
          BadInput: for another suffix.
        """
        if path.suffix != self.suffix:
            raise BadInput(f"another suffix than {self.title} takes", where=path, wanted=self.suffix, got=path.suffix)

    def check_uri(self, uri: str, where: str) -> None:
        """Refuses what is no URI of a bucket that the launcher of this target knows.

        Raises:
          BadInput: for another scheme, or none.
        """
        found = URI.fullmatch(uri)
        if found is None or found["scheme"] not in self.schemes:
            wanted = " or ".join(f"{scheme}://bucket/prefix" for scheme in self.schemes)
            raise BadInput(f"no bucket that {self.title} can use", where=where, wanted=wanted, got=uri)


TARGETS: Final[Mapping[str, Target]] = {
    OSS: Target(
        name=OSS,
        title="Kubeflow Pipelines",
        suffix=".yaml",
        schemes=("minio", "s3", "gs"),
        accelerator="nvidia.com/gpu",
        # Kubernetes' own names of device plugins; the image's TensorFlow knows CUDA alone.
        accelerators=(r"nvidia\.com/gpu", r"nvidia\.com/gpu\.shared", r"nvidia\.com/mig-[0-9a-z.]+"),
    ),
    VERTEX: Target(
        name=VERTEX,
        title="Vertex AI",
        suffix=".json",
        schemes=("gs",),
        accelerator="NVIDIA_L4",
        # https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec#AcceleratorType, without TPUs.
        accelerators=(
            "NVIDIA_L4",
            "NVIDIA_TESLA_T4",
            "NVIDIA_TESLA_P4",
            "NVIDIA_TESLA_P100",
            "NVIDIA_TESLA_V100",
            "NVIDIA_TESLA_A100",
            "NVIDIA_A100_80GB",
            "NVIDIA_H100_80GB",
            "NVIDIA_H100_MEGA_80GB",
            "NVIDIA_H200_141GB",
        ),
    ),
}


def in_bucket(path: str) -> bool:
    """Whether a path in a pod, or a URI, leads into a bucket: below `/gcs` and its like are the launcher's copies."""
    return "://" in path or path.split("/")[1:2] in [[folder] for folder in FOLDERS.values()]


def by_suffix(path: Path) -> str | None:
    """Returns the name of the target that a file's suffix speaks for, if it speaks for one."""
    suffix = {".yml": ".yaml"}.get(path.suffix, path.suffix)
    return next((target.name for target in TARGETS.values() if target.suffix == suffix), None)
