"""The HTML page of a run, everything inside it; `pipeline.lineage.export.html` has its shell.

A part that has nothing to show says why, and so does one that cannot be made: after a refusal or a damaged artifact, the
rest is wanted the most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
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
    from markupsafe import Markup

    from pipeline.report.example_rows import ImageRows

FOLDER: Final = Path(__file__).parent / "templates"

FOLDED: Final = frozenset({"latent", "weights", "activations", "inputs", "environment"})
"""Parts for experts: closed until somebody opens them."""

SAMPLES: Final = {TRAIN: 4_000, VALIDATION: 2_000, TEST: TEST_ROWS}
"""Rows of each split that pictures are made from; counts come from ingest, which saw all of them."""


DRAFTED: Final = frozenset({"verdict", "standing", "flow", "data", "weights", "environment"})
"""Parts that show nothing of what the models answer."""

RECORDED: Final = frozenset(
    {
        "data",
        "network",
        "training",
        "reconstructions",
        "latent",
        "classification",
        "weights",
        "activations",
        "inputs",
    }
)
"""Parts that follow from what the run's nodes recorded; the others are about the run, its root and its audit."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of the page.

    Attributes:
      id: its anchor, and the name of its template.
      title: over it.
      html: what it shows; None where there is nothing.
      absent: why not.
      shown: what the template was filled with; None also for a part that was made before.
    """

    id: str
    title: str
    html: Markup | None = None
    absent: str = ""
    shown: Any = None

    @property
    def folds(self) -> bool:
        """Whether it is closed at first."""
        return self.id in FOLDED


class Draft:
    """The parts of a page that there are so far: what needs no answers of the models is made while they are asked.

    Args:
      evidence: what the run left.
      kept: {id: part} that an earlier report made of the same records.
    """

    def __init__(self, evidence: RunData, kept: Mapping[str, Chapter] | None = None) -> None:
        self._evidence = evidence
        self._chapters = dict(kept or {})

    @cached_property
    def rows(self) -> Mapping[str, ImageRows]:
        """{split: rows for pictures}, of the splits that can be read; the parts that need another say so."""
        return _rows(self._evidence)

    def chapter(self, id_: str, title: str, make: Callable[[], Any]) -> Chapter:
        """Return a part, which is made if it was not before."""
        if id_ not in self._chapters:
            self._chapters[id_] = _chapter(self._evidence, id_, title, make)
        return self._chapters[id_]

    def __getitem__(self, id_: str) -> Chapter:
        return self._chapters[id_]


def page(evidence: RunData, answers: Arrays, unanswered: str = "", draft: Draft | None = None) -> str:
    """Return the page about a run.

    Args:
      evidence: what the run left.
      answers: what its models answered; none where there is no model.
      unanswered: why they could not be asked, if so.
      draft: what was made before they answered.
    """
    return laid_out(evidence, chapters(evidence, answers, draft), unanswered)


def laid_out(evidence: RunData, parts: Iterable[Chapter], unanswered: str = "") -> str:
    """Return the page of these parts, in their order; see `page`."""
    parts = tuple(parts)
    [verdict] = (part for part in parts if part.id == "verdict")
    return rendered("page.html.j2", evidence=evidence, chapters=parts, verdict=verdict.shown, unanswered=unanswered)


def drafted(evidence: RunData, lineage: str = "", kept: Mapping[str, Chapter] | None = None) -> Draft:
    """Return the parts that show nothing of what the models answer.

    Args:
      evidence: what the run left.
      lineage: address of the page of its version's lineage; empty where there is none.
      kept: {id: part} that an earlier report made of the same records.
    """
    from pipeline.report.sections import data_sheet, environment, first_layer, flow, standing, verdict

    draft = Draft(evidence, kept)
    draft.chapter("verdict", "Verdict and gates", lambda: verdict.verdict(evidence))
    draft.chapter("standing", "Where it stands, and what is next", lambda: standing.standing(evidence, lineage))
    draft.chapter("flow", "The run", lambda: flow.flow(evidence))
    draft.chapter("data", "Data", lambda: data_sheet.data_sheet(evidence, draft.rows))
    draft.chapter("weights", "First-layer weights", lambda: first_layer.first_layer(evidence))
    draft.chapter("environment", "Settings and environment", lambda: environment.environment(evidence))
    return draft


def chapters(evidence: RunData, answers: Arrays, draft: Draft | None = None) -> tuple[Chapter, ...]:
    """Return the parts of the page in order; see `page`."""
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
    made = draft.chapter

    def tested() -> ImageRows:
        if TEST not in draft.rows:
            raise NotThereError("no test rows were ingested")
        return draft.rows[TEST]

    def rebuilt() -> ImageRows:
        if evidence.settings.autoencoder is None:
            raise NotThereError("this recipe has no autoencoder")
        return tested()

    first = (draft["verdict"], draft["standing"], draft["flow"], draft["data"])
    if evidence.outcome(SCHEMA_GATE) == "failed":
        first = (draft["data"], *first[:-1])  # what is wrong with images is seen before it is read
    return (
        *first,
        made("network", "The network", lambda: network.network(evidence, answers)),
        made("training", "Training", lambda: training_curves.training_curves(evidence, answers)),
        made("reconstructions", "Reconstructions", lambda: reconstructions.reconstructions(answers, rebuilt(), data)),
        made("latent", "Latent map", lambda: latent_map.latent_map(answers, rebuilt().labels, data.names)),
        made("classification", "Classification", lambda: classification.classification(answers, tested(), data)),
        draft["weights"],
        made("activations", "Hidden activations", lambda: activations.activations(answers, data.names)),
        made("inputs", "What excites each class", lambda: class_images.class_images(answers, tested(), TEST, data)),
        draft["environment"],
    )


def prepare(kept: Mapping[str, Chapter]) -> None:
    """Compile the templates of what `drafted` makes, and import what makes it: a tenth of a second that needs no evidence."""
    from pipeline.report.sections import environment, flow, standing, verdict  # noqa: F401

    for template in ("page", *(DRAFTED - kept.keys())):
        html.prepare(FOLDER / f"{template}.html.j2")


def rendered(template: str, **values: Any) -> str:
    """Return a template of this package with the report's style."""
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    return html.rendered(FOLDER / template, style=style, pictures=True, **values)


def _chapter(evidence: RunData, id_: str, title: str, make: Callable[[], Any]) -> Chapter:
    try:
        shown = make()
    except (NotThereError, MnistTfxError) as err:
        return Chapter(id=id_, title=title, absent=str(err))
    except Exception as err:  # noqa: BLE001  # an artifact may be damaged in any way
        return Chapter(id=id_, title=title, absent=f"cannot be made: {type(err).__name__}: {err}")
    text = html.fragment(FOLDER / f"{id_}.html.j2", it=shown, evidence=evidence)
    return Chapter(id=id_, title=title, html=text, shown=shown)


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
