"""The HTML page of a run, everything inside it; `pipeline.lineage.export.html` has its shell.

A part that has nothing to show says why, and so does one that cannot be made: after a refusal or a damaged artifact, the
rest is wanted the most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import MnistTfxError
from components.features import TEST, TRAIN, VALIDATION
from pipeline.lineage.export import html
from pipeline.report import example_rows
from pipeline.report.model_answers import TEST_ROWS, Arrays
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import INGEST, SCHEMA_GATE

if TYPE_CHECKING:
    from pipeline.report.example_rows import ImageRows

FOLDER: Final = Path(__file__).parent / "templates"

FOLDED: Final = frozenset({"latent", "weights", "activations", "inputs", "environment"})
"""Parts for experts: closed until somebody opens them."""

SAMPLES: Final = {TRAIN: 4_000, VALIDATION: 2_000, TEST: TEST_ROWS}
"""Rows of each split that pictures are made from; counts come from ingest, which saw all of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of the page.

    Attributes:
      id: its anchor, and the name of its template.
      title: over it.
      shown: what it shows; None where there is nothing.
      absent: why not.
    """

    id: str
    title: str
    shown: Any = None
    absent: str = ""

    @property
    def folds(self) -> bool:
        """Whether it is closed at first."""
        return self.id in FOLDED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """What can be made before the models have answered: some parts by id, and rows for the others."""

    rows: Mapping[str, ImageRows]
    chapters: Mapping[str, Chapter]


def page(evidence: RunData, answers: Arrays, unanswered: str = "", draft: Draft | None = None) -> str:
    """Return the page about a run.

    Args:
      evidence: what the run left.
      answers: what its models answered; none where there is no model.
      unanswered: why they could not be asked, if so.
      draft: what was made before they answered.
    """
    parts = chapters(evidence, answers, draft)
    return rendered("page.html.j2", evidence=evidence, chapters=parts, unanswered=unanswered)


def drafted(evidence: RunData, lineage: str = "") -> Draft:
    """Return the parts that show nothing of what the models answer.

    Args:
      evidence: what the run left.
      lineage: address of the page of its version's lineage; empty where there is none.
    """
    from pipeline.report.sections import data_sheet, environment, first_layer, flow, standing, verdict

    rows = _rows(evidence)
    drawn = (
        _chapter("verdict", "Verdict and gates", lambda: verdict.verdict(evidence)),
        _chapter("standing", "Where it stands, and what is next", lambda: standing.standing(evidence, lineage)),
        _chapter("flow", "The run", lambda: flow.flow(evidence)),
        _chapter("data", "Data", lambda: data_sheet.data_sheet(evidence, rows)),
        _chapter("weights", "First-layer weights", lambda: first_layer.first_layer(evidence)),
        _chapter("environment", "Settings and environment", lambda: environment.environment(evidence)),
    )
    return Draft(rows=rows, chapters={chapter.id: chapter for chapter in drawn})


def chapters(evidence: RunData, answers: Arrays, draft: Draft | None = None) -> tuple[Chapter, ...]:
    """Return the parts of the page in order."""
    from pipeline.report.sections import (
        activations,
        class_images,
        classification,
        latent_map,
        network,
        reconstructions,
        training_curves,
    )

    data = evidence.settings.data
    draft = drafted(evidence) if draft is None else draft
    rows, early = draft.rows, draft.chapters

    def tested() -> ImageRows:
        if TEST not in rows:
            raise NotThereError("no test rows were ingested")
        return rows[TEST]

    def rebuilt() -> ImageRows:
        if evidence.settings.autoencoder is None:
            raise NotThereError("this recipe has no autoencoder")
        return tested()

    first = (early["verdict"], early["standing"], early["flow"], early["data"])
    if evidence.outcome(SCHEMA_GATE) == "failed":
        first = (early["data"], *first[:-1])  # what is wrong with images is seen before it is read
    return (
        *first,
        _chapter("network", "The network", lambda: network.network(evidence, answers)),
        _chapter("training", "Training", lambda: training_curves.training_curves(evidence, answers)),
        _chapter(
            "reconstructions", "Reconstructions", lambda: reconstructions.reconstructions(answers, rebuilt(), data)
        ),
        _chapter("latent", "Latent map", lambda: latent_map.latent_map(answers, rebuilt().labels, data.names)),
        _chapter("classification", "Classification", lambda: classification.classification(answers, tested(), data)),
        early["weights"],
        _chapter("activations", "Hidden activations", lambda: activations.activations(answers, data.names)),
        _chapter("inputs", "What excites each class", lambda: class_images.class_images(answers, tested(), TEST, data)),
        early["environment"],
    )


def rendered(template: str, **values: Any) -> str:
    """Return a template of this package with the report's style."""
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    return html.rendered(FOLDER / template, style=style, pictures=True, **values)


def _chapter(id_: str, title: str, make: Callable[[], Any]) -> Chapter:
    try:
        return Chapter(id=id_, title=title, shown=make())
    except (NotThereError, MnistTfxError) as err:
        return Chapter(id=id_, title=title, absent=str(err))
    except Exception as err:  # noqa: BLE001  # an artifact may be damaged in any way
        return Chapter(id=id_, title=title, absent=f"cannot be made: {type(err).__name__}: {err}")


def _rows(evidence: RunData) -> Mapping[str, ImageRows]:
    try:
        examples = evidence.artifact(INGEST, "examples")
    except NotThereError:
        return {}
    result = {}
    for split, limit in SAMPLES.items():
        try:
            result[split] = example_rows.read(examples, split, evidence.settings.data.pixels, limit)
        except (OSError, ValueError, IndexError, KeyError):  # noqa: PERF203  # three splits
            continue  # the parts that need it say so
    return result
