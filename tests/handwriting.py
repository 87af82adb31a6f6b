"""How a served version reads pictures, in figures: `make handwriting ROOT=runs/mnist`, with LEAST=0.9 to fail below that.

Distorted validation rows of the root's own data come first, then pictures without a digit; both are the same at every
call. FOLDER, with pictures and a `truth.csv` (file, truth, kind, note), is other people's handwriting: by default what
lies in ../shared/handwriting, and nothing where that is not there. Pictures whose note says that the label looks wrong
are left out. `tests/predict/test_handwriting.py` holds the model of a first run against a floor.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from distorted import KINDS, picture, without_digit
from rich.console import Console
from rich.table import Table

from components.features import VALIDATION
from pipeline.predict import training_data
from pipeline.predict.answer import choose
from pipeline.predict.files import NAMES
from pipeline.predict.prediction import Prediction, Predictions, Request, predict
from pipeline.report import example_rows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "handwriting"
EACH = 30
"""Pictures of each kind of distortion; of pictures without a digit, twice as many."""


def read(root: Path, folder: Path, *, labelled: bool) -> Predictions:
    request = Request(named=(folder,), root=root, labels=NAMES if labelled else None)
    return predict(request, lambda _: None, lambda *_: None)


def distortions(root: Path, folder: Path, seed: int = 11) -> dict[str, str]:
    """Writes distorted validation rows into a folder, and returns the kind of each file."""
    version = choose(root, None)
    examples, _ = training_data.examples(root, version)
    rows = example_rows.read(examples, VALIDATION, version.data.pixels, EACH * len(KINDS))
    rng, kinds = np.random.default_rng(seed), {}
    for number, (image, label) in enumerate(zip(rows.images, rows.labels, strict=True)):
        kind = KINDS[number % len(KINDS)]
        name = f"{label}-{number:04}.png"
        made = picture(kind, image.reshape(version.data.shape) / version.data.pixel_max, rng)
        made.save(folder / name, compress_level=1)
        kinds[name] = kind
    return kinds


def of_people(folder: Path) -> dict[str, str]:
    with (folder / "truth.csv").open(newline="") as file:
        return {row["file"]: row["kind"].split(" (")[0] for row in csv.DictReader(file) if "wrong" not in row["note"]}


def table_of(title: str, found: Iterable[Prediction], kinds: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("kind", "pictures", "right", "share", "empty", "several", "doubted", "of these wrong"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    known = [(one, kinds[one.source.path.name]) for one in found if one.source.path.name in kinds]
    for kind in [*sorted(set(kinds.values())), "all"]:
        own = [one for one, its in known if kind in (its, "all")]
        right = sum(bool(one.right) for one in own)
        doubted = [one for one in own if one.doubts]
        figures = (len(own), right, f"{right / len(own):.3f}", sum(one.state == "empty" for one in own))
        wrong = sum(not one.right for one in doubted)
        table.add_row(kind, *map(str, (*figures, sum(one.state == "several" for one in own), len(doubted), wrong)))
    return table


def share_right(found: Iterable[Prediction], kinds: Mapping[str, str]) -> float:
    known = [bool(one.right) for one in found if one.source.path.name in kinds]
    return sum(known) / len(known)


def main(root: Path, folder: Path, least: float) -> None:
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as made:
        kinds = distortions(root, Path(made))
        found = read(root, Path(made), labelled=True)
        console.print(table_of("distorted validation rows", found.files, kinds))
        held_out = found.calibration
    if held_out is not None:
        unlike = f"{held_out.unlike:.1%} said to be unlike the training data"
        console.print(f"held-out rows: {held_out.rows}, of which {held_out.doubted:.1%} doubted, {unlike}")
    with tempfile.TemporaryDirectory() as made:
        rng = np.random.default_rng(5)
        for number in range(2 * EACH):
            without_digit(number, rng).save(Path(made) / f"{number:03}.png")
        files = read(root, Path(made), labelled=False).files
    for name, numbers in (("letters and signs", 0), ("stars", 1), ("scribbles", 2)):
        own = [one for one in files if int(one.source.path.stem) % 3 == numbers]
        unlike = sum("unlike the training data" in one.doubts for one in own)
        answered = sum(one.answer is not None for one in own)
        doubted = sum(bool(one.doubts) for one in own)
        console.print(f"{name}: {len(own)}, of which {answered} answered, {doubted} doubted, {unlike} unlike")
    if not (folder / "truth.csv").is_file():
        raise SystemExit(f"no {folder / 'truth.csv'}: other people's handwriting was not read" if least else 0)
    people = of_people(folder)
    answers = read(root, folder, labelled=True).files
    console.print(table_of(f"{folder.name}, {len(people)} pictures", answers, people))
    if (share := share_right(answers, people)) < least:
        raise SystemExit(f"{share:.3f} of other people's handwriting is read right, wanted at least {least}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", default=SHARED)
    parser.add_argument("--least", type=float, default=0.0, help="share of other people's handwriting to be right")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    main(given.root.absolute(), given.folder, given.least)
