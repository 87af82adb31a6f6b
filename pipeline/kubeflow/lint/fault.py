"""What a rule says about one place of a compiled file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Final

from pipeline.kubeflow.compiler.targets import Target
from pipeline.kubeflow.document import Document

ERROR: Final = "error"
WARNING: Final = "warning"
LEVELS: Final = (ERROR, WARNING)
"""The worst first."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
      where: the task, image or field at fault.
      what: is wrong, in a few words.
      hint: what to do about it.
      level: `error` for what a cluster would refuse or get wrong, `warning` for what may be meant.
    """

    where: str
    what: str
    hint: str
    level: str = ERROR


Rule = Callable[[Document, Target], Iterator[Fault]]
"""Yields what is wrong with a document that is meant for a target."""
