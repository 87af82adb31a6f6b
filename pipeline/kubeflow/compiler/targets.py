"""Targets: what tells open-source Kubeflow Pipelines and Vertex AI apart as far as a compiled file goes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from components.errors import BadInput
from pipeline.kubeflow.document import OSS, VERTEX
from pipeline.kubeflow.kfp_version import NEWEST, KfpVersion

URI: Final = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]*)(/(?P<key>[^?]*))?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """One kind of cluster.

    Attributes:
      name: `oss` or `vertex`.
      title: its name in a sentence.
      suffixes: of the file that it takes, the usual one first.
      schemes: of the buckets that its launcher reads and writes.
      accelerator: the type that a Trainer asks for by default.
      accelerators: the types that are known, as regular expressions.
      likely_accelerators: what a type looks like that may be new, as a regular expression.
      version: of the server, on Kubeflow Pipelines.
      namespace: of the profile that runs belong to, where an installation serves several users and it is known.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    schemes: tuple[str, ...]
    accelerator: str
    accelerators: tuple[str, ...]
    likely_accelerators: str | None = None
    version: KfpVersion = NEWEST
    namespace: str | None = None

    def knows_accelerator(self, kind: str) -> bool:
        """Whether a type of accelerator is among the known ones."""
        return any(re.fullmatch(pattern, kind) for pattern in self.accelerators)

    def check_accelerator(self, kind: str, where: object) -> None:
        """Refuse a type of accelerator that no node of this target can have.

        Raises:
          BadInput: with the known ones.
        """
        likely = self.likely_accelerators is not None and re.fullmatch(self.likely_accelerators, kind)
        if not likely and not self.knows_accelerator(kind):
            names = ", ".join(name.replace("\\", "") for name in self.accelerators)
            raise BadInput(f"unknown accelerator for {self.title}", where=where, wanted=f"one of {names}", got=kind)

    def check_suffix(self, path: Path) -> None:
        """Refuse a file name by which nobody would know the form.

        Raises:
          BadInput: for another suffix.
        """
        if path.suffix not in self.suffixes:
            wanted = " or ".join(self.suffixes)
            raise BadInput(f"another suffix than {self.title} takes", where=path, wanted=wanted, got=path.suffix)

    def check_uri(self, uri: str, where: str) -> None:
        """Refuse what is no URI of a bucket that the launcher of this target knows.

        Raises:
          BadInput: for another scheme, or none.
        """
        match = URI.fullmatch(uri)
        if match is None or match["scheme"] not in self.schemes:
            wanted = " or ".join(f"{scheme}://bucket/prefix" for scheme in self.schemes)
            raise BadInput(f"no bucket that {self.title} can use", where=where, wanted=wanted, got=uri)


def is_top_of_bucket(uri: str) -> bool:
    """Whether a URI names a bucket and no folder in it: KFP's launcher has no key to ask for then."""
    match = URI.fullmatch(uri)
    return match is not None and not (match["key"] or "").strip("/")


TARGETS: Final[Mapping[str, Target]] = {
    OSS: Target(
        name=OSS,
        title="Kubeflow Pipelines",
        suffixes=(".yaml", ".yml"),
        schemes=("minio", "s3", "gs"),
        accelerator="nvidia.com/gpu",
        # Kubernetes' own names of device plugins; the image's TensorFlow knows CUDA alone.
        accelerators=(r"nvidia\.com/gpu", r"nvidia\.com/gpu\.shared", r"nvidia\.com/mig-[0-9a-z.]+"),
    ),
    VERTEX: Target(
        name=VERTEX,
        title="Vertex AI",
        suffixes=(".json",),
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
        likely_accelerators="NVIDIA_[A-Z0-9_]+",
    ),
}


def by_suffix(path: Path) -> str | None:
    """Return the name of the target that a file's suffix speaks for, if it speaks for one."""
    return next((target.name for target in TARGETS.values() if path.suffix in target.suffixes), None)
