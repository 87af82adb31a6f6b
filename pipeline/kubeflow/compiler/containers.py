"""Containers of a compiled spec: image, arguments, variables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from components.digest import canonical_json
from components.training.process import DEVICE
from pipeline.kubeflow import names
from pipeline.kubeflow.compiler.cluster import Cluster
from pipeline.kubeflow.compiler.platform_document import sign_key_file
from pipeline.kubeflow.compiler.pods import SERVING_READERS, Pod
from pipeline.kubeflow.compiler.resources import resources
from pipeline.kubeflow.compiler.stock import Stock
from pipeline.stages import INGEST, PUSHER

COMMAND: Final = ("python", "-m", names.ENTRYPOINT)
NO_GPU: Final = {"CUDA_VISIBLE_DEVICES": "-1"}
"""For a container that asks for no device, on a machine that has one."""

GPU: Final = {DEVICE: "gpu"}
"""For a container that asks for one: where a broken driver leaves it only the CPU, a Trainer ends before it reads data."""


def complete(stock: Stock, pods: Mapping[str, Pod], cluster: Cluster, root: str, beam_args: Iterable[str]) -> None:
    """Complete container, caching and retries of every container task of `stock.spec`.

    Args:
      stock: what TFX compiled.
      pods: {task: what it asks for}.
      cluster: the cluster file.
      root: URI of the pipeline root.
      beam_args: for every Beam node.
    """
    spec, beam_args = stock.spec, tuple(beam_args)
    for node, pod in pods.items():
        args = [
            *_what_to_run(node, stock),
            # KFP leaves URIs out of its key: without this, artifacts below another root would be handed out.
            *("--pipeline-root", root),
            *_invocation(spec["components"][node]),
            *_mounted_files(node, cluster),
            # Only where they mean something: KFP's key holds the arguments.
            *(beam_args if node in stock.beam else ()),
        ]
        spec["deploymentSpec"]["executors"][f"{node}_executor"] = {"container": _container(pod, args)}
        task = spec["root"]["dag"]["tasks"][node]
        task["cachingOptions"] = {"enableCache": node not in SERVING_READERS}
        if pod.resources.retries:
            task["retryPolicy"] = _retry_policy(pod.resources.retries)


def _container(pod: Pod, args: list[str]) -> dict[str, Any]:
    variables = {**(GPU if pod.accelerator else NO_GPU), **pod.resources.env}
    container: dict[str, Any] = {"image": pod.image, "command": list(COMMAND), "args": args}
    if variables:
        container["env"] = [{"name": name, "value": value} for name, value in sorted(variables.items())]
    if limits := resources(pod.resources, pod.accelerator):
        container["resources"] = limits
    return container


def _what_to_run(node: str, stock: Stock) -> list[str]:
    pipeline = ["--pipeline", stock.spec["pipelineInfo"]["name"]]
    if node == names.DRIVER:
        return ["--driver", INGEST, *pipeline]
    return ["--node", node, *pipeline, "--executor_class_path", stock.executors[node]]


def _invocation(component: Mapping[str, Any]) -> list[str]:
    definitions = canonical_json(component["inputDefinitions"]).decode()
    return ["--json_serialized_invocation_args", "{{$}}", "--json_serialized_inputs_spec_args", definitions]


def _mounted_files(node: str, cluster: Cluster) -> list[str]:
    serving = ["--serving", cluster.serving.directory] if node in SERVING_READERS else []
    if node != PUSHER or cluster.sign_key is None:
        return serving
    return [*serving, "--sign-key", sign_key_file(cluster.sign_key)]


def _retry_policy(retries: int) -> dict[str, Any]:
    # All four, as KFP's own compiler has them: its server hands what is left out to Argo as an empty text.
    return {
        "maxRetryCount": retries,
        "backoffDuration": "30s",
        "backoffFactor": 2.0,
        "backoffMaxDuration": "3600s",
    }
