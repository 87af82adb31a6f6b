"""What Kubeflow's own server said of broken files, as a table where it lies beside the checkout, and a sample of it."""

import csv
from dataclasses import dataclass
from pathlib import Path

from command_line import PROJECT

FILE = PROJECT.parent / "shared" / "kfp" / "verdicts.tsv"


@dataclass(frozen=True)
class Verdict:
    """What became of one file.

    Attributes:
      change: what was done to a compiled file.
      stage: `ok`, or where it was refused: by the template (`upload`), by the compiler for Argo (`run`), by Argo's own
        validation (`argo`).
      words: of the server.
    """

    change: str
    stage: str
    words: str

    @property
    def refused(self) -> bool:
        return self.stage != "ok"


SAMPLE = (
    Verdict("nothing", "ok", ""),
    Verdict("an old version", "upload", "InvalidInputError: KFP only supports schema version 2.1.0: pipeline spec is invalid"),
    Verdict("an empty graph", "run", 'Failed to compile job: compiling DAG "root": DAG root must contain one or more tasks'),
    Verdict("no value", "run", "invalid pipeline job inputs: Invalid input error: parameter source is not optional"),
    Verdict("a circle", "argo", "templates.entrypoint.tasks.root templates.root sorting failed: graph with cycle"),
)  # fmt: skip


def read(path: Path = FILE) -> tuple[Verdict, ...]:
    """Returns the table of KFP 2.17.0, 135 files; the sample where it is not at hand."""
    if not path.is_file():
        return SAMPLE
    with path.open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    return tuple(Verdict(change, stage, words) for change, _, _, stage, words in rows)
