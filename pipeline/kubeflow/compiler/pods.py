"""Plan of each container task: image, devices, and the rest of its resources."""

from __future__ import annotations

import dataclasses
from typing import Final

from components.errors import BadInput
from pipeline.kubeflow.compiler.cluster import NODES, Accelerator, Cluster, TaskResources
from pipeline.kubeflow.compiler.images import gpu_variant, require_reference
from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.names import DRIVER
from pipeline.stages import STAGES, TRAINERS

SERVING_READERS: Final = (DRIVER, *(stage.id for stage in STAGES.values() if stage.reads_serving))
"""The tasks that the volume of served versions is mounted in; what is served now, and what the data holds now, is in no
key of KFP's, so they are never cached."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Images:
    """What the command line says about images and devices.

    Attributes:
      cpu: image of most containers; None to take the cluster file's.
      gpu: image of those that ask for devices; None to take the cluster file's, or that of the CPU image's name.
      gpus: number of devices of each Trainer; None to take the cluster file's, or none.
    """

    cpu: str | None
    gpu: str | None = None
    gpus: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pod:
    """What one task asks its cluster for.

    Attributes:
      image: of its container.
      accelerator: type and number of its devices; None for none.
      resources: everything else.
    """

    image: str
    accelerator: tuple[str, int] | None
    resources: TaskResources


def pods(cluster: Cluster, target: Target, images: Images) -> dict[str, Pod]:
    """Return {task: what it asks for}, in the order of the flow.

    Raises:
      BadInput: if no image is named, or what is named is none, or the GPU image cannot be told, or the target has no
        such accelerator.
    """
    for option, image in (("--image", images.cpu), ("--gpu-image", images.gpu)):
        if image is not None:
            require_reference(image, where=option)
    cpu_image = images.cpu or cluster.image
    if cpu_image is None:
        raise BadInput("no image", where="--image", wanted="the image that `kubeflow/Dockerfile` builds")
    result = {}
    for node in NODES:
        resources = cluster.of(node)
        accelerator = _accelerator(node, resources, target, images.gpus)
        image = resources.image
        if image is None:
            image = cpu_image if accelerator is None else images.gpu or cluster.gpu_image or gpu_variant(cpu_image)
        result[node] = Pod(image=image, accelerator=accelerator, resources=resources)
    return result


def _accelerator(node: str, resources: TaskResources, target: Target, gpus: int | None) -> tuple[str, int] | None:
    trains = node in TRAINERS
    wanted = resources.accelerator or Accelerator(count=0)
    count = gpus if trains and gpus is not None else wanted.count
    kind = wanted.type or target.accelerator
    target.check_accelerator(kind, where=f"{node}: accelerator.type")
    return (kind, count) if count else None
