"""Nodes of a cluster against what a task asks for: labels, taints, processors, memory and devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.kubeflow.compiler.cluster import Toleration
from pipeline.kubeflow.compiler.pods import Pod

_KEEPS_AWAY = ("NoSchedule", "NoExecute")


@dataclasses.dataclass(frozen=True)
class Demand:
    """What a task asks of a node.

    Attributes:
      amounts: {resource: quantity}, as Kubernetes writes it.
      labels: that the node must have.
      tolerations: taints that it may have.
    """

    amounts: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]

    @classmethod
    def of(cls, pod: Pod) -> Demand:
        """Return what the pod of a task asks for."""
        resources = pod.resources
        kind, count = pod.accelerator or ("", 0)
        amounts = {"cpu": resources.cpu, "memory": resources.memory, kind: str(count) if count else None}
        return cls(
            tuple((name, amount) for name, amount in amounts.items() if amount is not None),
            tuple(sorted(resources.node_selector.items())),
            resources.tolerations,
        )

    def __str__(self) -> str:
        asked = [f"{name} {amount}" for name, amount in self.amounts] + [
            f"{name}={value}" for name, value in self.labels
        ]
        return ", ".join(asked) or "nothing in particular"


def by_demand(pods: Mapping[str, Pod]) -> dict[Demand, list[str]]:
    """Return {demand: tasks that have it}."""
    demands: dict[Demand, list[str]] = {}
    for name, pod in pods.items():
        demands.setdefault(Demand.of(pod), []).append(name)
    return demands


def obstacle(node: Any, demand: Demand) -> str | None:
    """Return the first thing that keeps a pod from a node, in a few words; None if nothing does."""
    return next(_obstacles(node, demand), None)


def _obstacles(node: Any, demand: Demand) -> Iterator[str]:
    from kubernetes.utils import parse_quantity

    labels, free = node.metadata.labels or {}, node.status.allocatable or {}
    yield from (f"no label {name}={value}" for name, value in demand.labels if labels.get(name) != value)
    for name, amount in demand.amounts:
        if name not in free:
            yield f"no {name}"
        elif parse_quantity(free[name]) < parse_quantity(amount):
            yield f"{name} {free[name]} in all"
    if node.spec.unschedulable:
        yield "no new pods (cordoned)"
    for taint in node.spec.taints or ():
        if taint.effect in _KEEPS_AWAY and not any(_tolerates(one, taint) for one in demand.tolerations):
            yield f"taint {taint.key}"


def _tolerates(toleration: Toleration, taint: Any) -> bool:
    """Whether a taint does not keep the pod away, by Kubernetes' rules."""
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    return toleration.operator == "Exists" or toleration.value == (taint.value or "")


def summary(obstacles: Iterable[str]) -> str:
    """Return how many nodes have which obstacle, the most frequent first."""
    counts: dict[str, int] = {}
    for one in obstacles:
        counts[one] = counts.get(one, 0) + 1
    return "; ".join(f"{count} with {one}" for one, count in sorted(counts.items(), key=lambda entry: -entry[1]))
