"""Resources of a container, in the fields that backends of every age know.

Later ones are strings (`resourceMemoryLimit`), which a server of before 2025 refuses as unknown. Limits alone:
Kubernetes takes them for requests as well, and Vertex AI chooses the machine by them.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.kubeflow.compiler.cluster import TaskResources

GIGABYTE: Final = 1000**3
_POWERS: Final = {"M": 2.0, "G": 3.0, "T": 4.0}


def resources(task: TaskResources, accelerator: tuple[str, int] | None) -> dict[str, Any]:
    """Return a ResourceSpec as JSON values, empty where nothing is task for.

    Args:
      task: of the node.
      accelerator: type and number of its devices.
    """
    result: dict[str, Any] = {}
    if task.cpu is not None:
        result["cpuLimit"] = cores(task.cpu)
    if task.memory is not None:
        result["memoryLimit"] = gigabytes(task.memory)
    if accelerator is not None:
        kind, count = accelerator
        result["accelerator"] = {"type": kind, "count": str(count)}  # an int64 is a string in proto3's JSON
    return result


def cores(cpu: str) -> float:
    """Return `500m` as 0.5."""
    return int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)


def gigabytes(memory: str) -> float:
    """Return `4Gi` as 4.294967296."""
    binary = memory.endswith("i")
    number, unit = (memory[:-2], memory[-2]) if binary else (memory[:-1], memory[-1])
    base = 1024.0 if binary else 1000.0
    return float(float(number) * base ** _POWERS[unit]) / GIGABYTE
