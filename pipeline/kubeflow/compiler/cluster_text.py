"""Text of a new cluster file: the values that were given, and every other key as an example behind a `#`.

A comment above each key says what it is for. `kubeflow/cluster.example.yaml` shows the keys of single tasks as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import yaml

from pipeline.kubeflow.compiler import cluster

HEAD: Final = """\
# What the tasks of a compiled pipeline ask their cluster for.
#   mnist-tfx kubeflow compile --cluster {file} -o p.yaml
# An option of the command line goes over what stands here. A key behind a # is not in force; what stands there is an
# example. Keys of a single task, such as memory, are in kubeflow/cluster.example.yaml.
"""


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of the file.

    Attributes:
      name: of the key.
      comment: what it is for, in lines.
      example: what is shown where no value is given; None for a key that always has one.
    """

    name: str
    comment: tuple[str, ...]
    example: Any = None


KEYS: Final = (
    Key("version", ("Version of this format.",)),
    Key("target", ("Kubeflow Pipelines (oss) or Vertex AI (vertex).",), "oss"),
    Key(
        "pipeline_root",
        (
            "Bucket and prefix where artifacts are kept. KFP has credentials for this bucket alone, so data has to be in it",
            "too. KFP 3.0 refuses a place outside its `defaultPipelineRoot`, which is minio://mlpipeline/v2/artifacts.",
        ),
        "minio://mlpipeline/v2/artifacts/mnist",
    ),
    Key(
        "kfp_version",
        ("Version of the server: an older one refuses a file with fields that it does not know.",),
        "2.17.0",
    ),
    Key(
        "image",
        ("Image of every task, best with its digest: KFP's cache takes the name for the content.",),
        "registry.example/mnist-tfx:1",
    ),
    Key(
        "gpu_image",
        ("Image of the tasks that ask for a GPU; by default the tag of `image` with -gpu.",),
        "registry.example/mnist-tfx:1-gpu",
    ),
    Key(
        "serving",
        (
            "Volume that served versions are pushed to and TensorFlow Serving reads: a PersistentVolumeClaim, and where the",
            "pods mount it. Pipelines that share a claim need a `folder` of their own on it.",
        ),
        {"claim": cluster.CLAIM, "path": cluster.SERVING},
    ),
    Key(
        "schema",
        ("Folder in the pods with your reviewed schemas, on a volume of `defaults`; without it, those in the image.",),
        "/schemas",
    ),
    Key(
        "sign_key",
        ("Entry of a Secret with the private key that provenance is signed with (mnist-tfx lineage keygen).",),
        {"secret": "mnist-tfx-signing", "key": "key.pem"},
    ),
    Key("service_account", ("Account that the pods run as; by default KFP's own.",), "pipeline-runner"),
    Key(
        "defaults",
        ("What every task asks for: cpu, memory, retries, volumes, labels, env and more.",),
        {"cpu": 1, "memory": "4Gi"},
    ),
    Key(
        "nodes",
        ("What single tasks ask for; it goes over `defaults`. A Trainer trains on a GPU where its count is not 0.",),
        {"Classifier": {"accelerator": {"count": 1}}},
    ),
)


def text(values: Mapping[str, Any], file: str) -> str:
    """Return the text of a file with these values, in the order of `KEYS`.

    Args:
      values: {key: value}, without `version`.
      file: its name, for the command in its head.
    """
    values = {"version": 1, **values}
    return "\n".join([HEAD.format(file=file), *(_entry(key, values.get(key.name)) for key in KEYS)])


def _entry(key: Key, value: Any) -> str:
    mark, shown = ("", value) if value is not None else ("#", key.example)
    lines = yaml.safe_dump({key.name: shown}, sort_keys=False, width=1000).splitlines()
    return "".join(f"{line}\n" for line in (*(f"# {line}" for line in key.comment), *(mark + line for line in lines)))
