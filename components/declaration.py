"""How our nodes are declared: executors named by import path, and the execution properties that every node carries.

A stock component imports its executor, and importing any `tfx.components.X` imports every component there is: 12 s
and 0.8 GB in a process that only has to describe a graph. Here the executor is a path, resolved where it runs.
"""

from __future__ import annotations

from typing import Any, Final

from tfx.dsl.components.base import executor_spec
from tfx.types.component_spec import ExecutionParameter
from tfx.utils import import_utils, json_utils

CODE_DIGEST: Final = "code_digest"
SETTINGS: Final = "settings"

OWN_PARAMETERS: Final = {
    CODE_DIGEST: ExecutionParameter(type=str),
    SETTINGS: ExecutionParameter(type=str, optional=True),
}
"""For the PARAMETERS of every spec: the digest of the node's code and lock, and its section of the recipe as JSON."""


def custom_config(settings: str, data: str, code_digest: str) -> str:
    """Return the parameter in which stock Transform and Trainer hand the user's function what it may know.

    Args:
      settings: the node's section of the recipe, as canonical JSON.
      data: `DataSettings` as canonical JSON.
      code_digest: here too, since TFX's cache knows the function by its name alone.
    """
    return str(json_utils.dumps({SETTINGS: settings, "data": data, CODE_DIGEST: code_digest}))


class _ByPath(executor_spec.ExecutorClassSpec):  # type: ignore[misc]  # tfx has no annotations
    """An executor class by its import path; `executor_class` imports it on first use (compiling for Kubeflow does)."""

    def __init__(self, class_path: str) -> None:
        # Not the parent's __init__, which wants the class itself.
        executor_spec.ExecutorSpec.__init__(self)
        self._class_path = class_path
        self.extra_flags: list[str] = []

    @property
    def executor_class(self) -> Any:
        return import_utils.import_class_by_path(self._class_path)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._class_path,)


class PythonExecutorByPath(_ByPath):
    """A plain Python executor, named by import path."""


class BeamExecutorByPath(_ByPath, executor_spec.BeamExecutorSpec):  # type: ignore[misc]  # tfx has no annotations
    """A Beam executor, named by import path; the pipeline's Beam arguments reach it as they reach a stock one."""

    def __init__(self, class_path: str) -> None:
        super().__init__(class_path)
        self.beam_pipeline_args: list[str] = []
