"""TFX's orchestration without its engines: import `tfx` in 1 s and 0.1 GB instead of 12 s and 0.8 GB.

The process that orchestrates only describes the graph, keeps ML Metadata and starts executors. TFX itself is published
for that use without TensorFlow (`ml-pipelines-sdk`), but its modules still import the engines' packages on the way to
a few protobuf modules. Here those packages are *bare*: their `__init__` does not run, their submodules load as ever.
Clients of cloud services that a local run never calls are left out likewise. Nothing of TFX is changed. `MNIST_TFX_FULL_IMPORTS=1` turns this off; the compiled pipeline is the same either way.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

ENGINES: Final = (
    "tensorflow",
    "tensorflow_data_validation",
    "tensorflow_model_analysis",
)
COMPONENTS: Final = "tfx.components"
"""Its `__init__` imports every component and with them Kubernetes, BigQuery and Keras Tuner clients: 3.5 s."""


MODEL_ANALYSIS: Final = "tensorflow_model_analysis"
"""All of TFX's components ask it for one protobuf module; the Evaluator alone needs the rest, which takes 0.4 s."""


CLOUD_CLIENTS: Final = (
    "google.cloud",
    "google.api_core",
    "google.pubsub",
    "pymongo",
    "oauth2client",
    "google_auth_httplib2",
)
"""Beam looks for the first four and does without, as when it is installed without its extras: 1 s; so does googleapiclient,
which TFX derives a class from, with the last two."""


BEAM: Final = "apache_beam"
LOOK_FOR_BEAM: Final = (
    "tfx.dsl.components.base.base_beam_executor",
    "tfx.orchestration.portable.beam_executor_operator",
)
"""What of TFX that describes and starts executors imports Beam, or does without where it is not installed: 1.3 s."""


SETUPTOOLS: Final = "setuptools"
"""TFX asks with every artifact that it makes whether this is there, and imports it for that: 0.05 s."""


FULL_IMPORTS: Final = "MNIST_TFX_FULL_IMPORTS"
"""Environment variable that turns all this off; the fork server inherits it."""


LATE: Final = ("docker", "httplib2.auth")
"""What TFX imports for executors in containers and for cloud services; executed when somebody uses it: 0.2 s."""


class LeanFinder(MetaPathFinder):
    """Finds some packages as namespaces, a search path without an `__init__`, and does not find others at all.

    Args:
      bare: the namespaces.
      absent: what is not found.
      late: modules that are executed when an attribute of theirs is first asked for.
    """

    def __init__(self, bare: Sequence[str], absent: Sequence[str], late: Sequence[str] = ()) -> None:
        self.bare = frozenset(bare)
        self.absent = frozenset(absent)
        self.late = frozenset(late)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec without a loader for a bare package, with a lazy one for what comes late, and none for all others.

        Raises:
          ModuleNotFoundError: for an absent one.
        """
        del target
        if fullname in self.absent:
            raise ModuleNotFoundError(f"left out by {__name__}", name=fullname)
        if fullname not in self.bare | self.late:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if fullname in self.late:
            if spec is not None and spec.loader is not None:
                spec.loader = importlib.util.LazyLoader(spec.loader)
            return spec
        if spec is None or spec.submodule_search_locations is None:
            return None
        bare = ModuleSpec(fullname, None, is_package=True)
        bare.submodule_search_locations = list(spec.submodule_search_locations)
        return bare


@contextlib.contextmanager
def orchestrating(*, beam: bool = False) -> Iterator[None]:
    """Surround the first import of TFX in a process that orchestrates: lean, and without collecting garbage.

    A fifth of an import's time goes into looking for garbage among modules that stay.

    Args:
      beam: whether this process starts Beam pipelines, on an engine that shares their work out.
    """
    lean = install(*ENGINES, COMPONENTS)
    if lean:
        sys.meta_path.insert(0, LeanFinder((), (), [name for name in LATE if name not in sys.modules]))
    gc.disable()
    try:
        if lean and not beam:
            _without_beam()
        yield
        if lean:
            _prefer_local_files()
    finally:
        gc.freeze()
        gc.enable()


def _without_beam() -> None:
    """Import what looks for Beam while Beam is not to be found; whoever imports Beam itself later finds it."""
    if BEAM in sys.modules:
        return
    with without(BEAM):
        for module in LOOK_FOR_BEAM:
            importlib.import_module(module)


@contextlib.contextmanager
def without(package: str) -> Iterator[None]:
    """Have a package that is not imported yet not found for a while, by code that does without where it is not installed."""
    finder = LeanFinder((), (package,))
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _prefer_local_files() -> None:
    # TFX saw a package called tensorflow, and would read and write files through it.
    from tfx.dsl.io import filesystem_registry
    from tfx.dsl.io.plugins.local import LocalFilesystem

    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(LocalFilesystem, priority=-1)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return False for Beam 2.74's warning that one of Google's clients is not there, which it says by the root logger."""
    return not record.getMessage().startswith("apitools not found, ")


def complete(name: str) -> None:
    """Run the `__init__` of a bare package after all, in the very module that others have imported already."""
    for finder in sys.meta_path:
        if isinstance(finder, LeanFinder):
            finder.bare -= {name}
    module = sys.modules.get(name)
    if module is None or getattr(module, "__file__", None) is not None:
        return
    spec = PathFinder.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("is gone", name=name)
    module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, spec.origin
    spec.loader.exec_module(module)


def install(*names: str) -> bool:
    """Make the named packages bare and the cloud clients absent in this process.

    What is imported already stays as it is; where full imports are asked for, nothing is done.

    Returns:
      Whether any package is bare now.
    """
    if os.environ.get(FULL_IMPORTS) == "1":
        return False
    missing = [name for name in names if name not in sys.modules]
    logging.getLogger("apache_beam.io.mongodbio").setLevel(logging.ERROR)  # it warns that pymongo is not there
    logging.getLogger().addFilter(_is_worth_a_line)
    sys.meta_path.insert(0, LeanFinder(missing, [name for name in CLOUD_CLIENTS if name not in sys.modules]))
    return bool(missing)
