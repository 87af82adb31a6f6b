"""The choice that a served model came out of, where it was one of several candidates of a sweep."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import MnistTfxError
from components.shapes import Shape
from pipeline.provenance.records import RunRecord

CHOSEN: Final = "chosen"
"""Role, in a run's record, of the candidate that was pushed."""

BY: Final = "accuracy on the validation split, then the lower loss there, then the order given"
"""What is compared, as records say it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One of the candidates.

    Attributes:
      run_id: of its run.
      values: {key of the recipe: the value that was tried}.
      validation_accuracy: that it was judged by; None where nothing was trained.
    """

    run_id: str
    values: Mapping[str, Any]
    validation_accuracy: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A choice among candidates.

    Attributes:
      sweep: its id.
      by: what was compared.
      values: those of the chosen one.
      candidates: all of them, in the order given.
    """

    sweep: str
    by: str
    values: Mapping[str, Any]
    candidates: tuple[Contender, ...]

    @property
    def chosen(self) -> Contender | None:
        """The candidate that was chosen, if the record has it."""
        return next((one for one in self.candidates if dict(one.values) == dict(self.values)), None)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The candidates' runs."""
        return tuple(one.run_id for one in self.candidates)

    @property
    def sentence(self) -> str:
        """The choice in words, without a full stop."""
        best = self.chosen
        figure = "" if best is None or best.validation_accuracy is None else f" ({best.validation_accuracy:.4f})"
        return f"chosen among {len(self.candidates)} candidates by validation accuracy{figure}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**dataclasses.asdict(self), "candidates": [dataclasses.asdict(one) for one in self.candidates]}


class _Candidate(TypedDict):
    run_id: str
    values: dict[str, Any]
    validation_accuracy: float | None


class _Sweep(TypedDict):
    id: str
    by: str
    values: dict[str, Any]
    candidates: list[_Candidate]


_CHOICE: Final = Shape(_Sweep)


def of_run(run: RunRecord | None) -> Choice | None:
    """Return the choice that ended in a run; None for a run of its own, and for what no release of ours has written."""
    if run is None or run.sweep is None or run.sweep.get("role") != CHOSEN:
        return None
    try:
        fields = _CHOICE.read(run.sweep, what="not a choice", where=run.run_id)
    except MnistTfxError:
        return None
    candidates = tuple(
        Contender(run_id=one["run_id"], values=one["values"], validation_accuracy=one["validation_accuracy"])
        for one in fields["candidates"]
    )
    return Choice(sweep=fields["id"], by=fields["by"], values=fields["values"], candidates=candidates)


def part_of(run: RunRecord) -> str:
    """Return the part that a run had in a sweep, in words; empty for a run of its own."""
    if (choice := of_run(run)) is not None:
        return choice.sentence
    if run.sweep is None:
        return ""
    values = run.sweep.get("values")
    tried = " ".join(f"{key}={json.dumps(value)}" for key, value in values.items()) if isinstance(values, dict) else ""
    return f"candidate {tried}".rstrip()
