"""The commands that write, each with what it needs, and the state that it has to reach once it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from command_line import in_process
from kill.scenarios import GEOMETRY, RUN, SCENARIOS, Scenario
from lineage.audited_copy import audited_copy
from lineage.staged_root import staged_copy
from PIL import Image

from components.digest import row_digest, row_prefix
from components.ingest import idx
from components.schema_files import find_reviewed
from pipeline.provenance.ledger import Event, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.schema_approvals import note_approval
from pipeline.root.paths import RunPaths

BY: Final = ("--by", "Ada")
PERSON: Final = (*BY, "--reason", "as agreed")


def _pair(folder: Path) -> None:
    """Data that the digits' schema describes in form, as two files."""
    folder.mkdir()
    drawn = np.random.default_rng(0)
    idx.write_images(folder / "train-images-idx3-ubyte", drawn.integers(0, 17, (600, 8, 8), dtype=np.uint8))
    idx.write_labels(folder / "train-labels-idx1-ubyte", (np.arange(600) % 10).astype(np.uint8))


def _with_pair(folder: Path) -> None:
    _pair(folder / "data")


def _with_pictures(folder: Path) -> None:
    drawn = np.random.default_rng(0)
    for number in range(40):
        place = folder / "data" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.integers(0, 256, (28, 28), dtype=np.uint8)).save(place / f"{number}.png")


def _with_rows(folder: Path) -> None:
    _pair(folder / "data")
    [chunk] = idx.iter_chunks(*sorted((folder / "data").iterdir()), rows=1000)
    gone = row_digest(row_prefix(8, 8), chunk.pixels[0].tobytes(), 0)
    (folder / "rows.txt").write_text(f"{gone.hex()}\n")


def _audited(folder: Path) -> None:
    audited_copy(folder / "root")


def _keys(folder: Path, *names: str) -> None:
    for name in names:
        assert in_process("lineage", "keygen", "--to", folder / name).code == 0


def _staged(folder: Path) -> None:
    staged_copy(folder / "root")
    _keys(folder, "keys", "new")


def _with_key(folder: Path) -> None:
    _staged(folder)
    added = in_process("keys", "add", folder / "keys/public.pem", *BY, "--root", folder / "root")
    assert added.code == 0


def _approved(folder: Path) -> None:
    _audited(folder)
    assert in_process("serving", "approve", 2, *BY, "--root", folder / "root").code == 0


def _schema_approved(folder: Path) -> None:
    SCENARIOS["approve"].prepare(folder)
    draft, schemas = folder / "drafts" / f"{GEOMETRY}.pbtxt", folder / "schemas"
    assert in_process("schema", "approve", draft, *BY, "--schema", schemas).code == 0
    schema = find_reviewed(GEOMETRY, schemas)
    note_approval(Ledger.open(RunPaths(folder / "root").ledger), schema.schema, schema.digest)


def _said(event: str, count: int = 1) -> Callable[[Path], bool]:
    return lambda folder: (
        [one.event for one in read_ledger(RunPaths(folder / "root").ledger).lines].count(event) >= count
    )


def _written(*names: str) -> Callable[[Path], bool]:
    return lambda folder: all((folder / name).is_file() and (folder / name).stat().st_size > 0 for name in names)


def _writes(
    name: str, *arguments: object, prepare: Callable[[Path], object], root: bool = False, again: tuple[int, ...] = (0,)
) -> Scenario:
    """A command that writes a file or folder `out/NAME`."""

    def prepared(folder: Path) -> None:
        (folder / "out").mkdir()
        prepare(folder)

    def command(folder: Path) -> Sequence[object]:
        filled = [str(one).replace("@", f"{folder}/") for one in arguments]
        return (*filled, "--root", folder / "root") if root else filled

    return Scenario(
        prepare=prepared, command=command, done=_written(f"out/{name}"), roots=("root",) if root else (), again=again
    )


def _on_root(
    *arguments: object,
    prepare: Callable[[Path], object],
    done: Callable[[Path], bool],
    again: tuple[int, ...] = (0,),
) -> Scenario:
    return Scenario(
        prepare=prepare,
        command=lambda folder: (*(str(one).replace("@", f"{folder}/") for one in arguments), "--root", folder / "root"),
        done=done,
        again=again,
    )


COMMANDS: Final = {
    # A run that ends for want of room leaves its log, and reports: tests/e2e/test_refusals.py has it.
    **{name: scenario for name, scenario in SCENARIOS.items() if name != RUN},
    "keys add": _on_root(
        *("keys", "add", "@keys/public.pem", *BY), prepare=_staged, done=_said(Event.KEY_ADDED), again=(3,)
    ),
    "keys rotate": _on_root(
        *("keys", "rotate", "@new/public.pem", "--key", "@keys/private.pem", *BY),
        prepare=_with_key,
        done=_said(Event.KEY_ROTATED),
        again=(3,),
    ),
    "approve a version": _on_root("serving", "approve", 2, *BY, prepare=_audited, done=_said(Event.APPROVED)),
    "withdraw": _on_root(
        "serving", "withdraw", 2, *PERSON, prepare=_approved, done=_said(Event.WITHDRAWN), again=(2, 3)
    ),
    "schema withdraw": _on_root(
        "schema", "withdraw", GEOMETRY, *PERSON, prepare=_schema_approved, done=_said(Event.WITHDRAWN), again=(2, 3)
    ),
    "schema propose": _writes(
        f"{GEOMETRY}.pbtxt",
        *("schema", "propose", "--data", "@data", "--pixel-max", 16, "--to", "@out"),
        prepare=_with_pair,
    ),
    "sign": _on_root(
        *("lineage", "sign", 2, "--key", "@keys/private.pem"),
        prepare=_staged,
        done=lambda folder: any((folder / "root/serving/2").rglob("*.dsse*")),
    ),
    **{
        f"export {name}": _writes(
            *("export", "lineage", "export", "--format", name, "-o", "@out/export"), prepare=_audited, root=True
        )
        for name in ("slsa", "html")
    },
    **{
        f"evidence {form}": _writes(
            *(f"e.{form}", "lineage", "evidence", "-o", f"@out/e.{form}"), prepare=_audited, root=True
        )
        for form in ("html", "zip")
    },
    "keygen": _writes("private.pem", "lineage", "keygen", "--to", "@out", prepare=lambda _: None, again=(2,)),
    "fetch": _writes(
        "digits/train-images-idx3-ubyte", "data", "fetch", "digits", "--to", "@out/digits", prepare=lambda _: None
    ),
    "import": _writes(
        *("letters/train-images-idx3-ubyte.gz", "data", "import", "@data", "--to", "@out/letters", "--no-invert"),
        prepare=_with_pictures,
        again=(0,),
    ),
    "exclude": _writes(
        *("less/train-images-idx3-ubyte", "data", "exclude", "@data", "--rows", "@rows.txt", "--to", "@out/less"),
        prepare=_with_rows,
        again=(2,),
    ),
    "recipe new": _writes(
        *("new.yaml", "recipe", "new", "--from", "@data", "-o", "@out/new.yaml"), prepare=_with_pair, again=(2,)
    ),
    "kubeflow init": _writes(
        *("c.yaml", "kubeflow", "init", "--target", "oss", "--image", "registry.example/mnist-tfx:1"),
        *("--pipeline-root", "minio://bucket/m", "-o", "@out/c.yaml"),
        prepare=lambda _: None,
        again=(2,),
    ),
    "kubeflow compile": _writes(
        *("p.yaml", "kubeflow", "compile", "--target", "oss", "--image", "registry.example/mnist-tfx:1"),
        *("--pipeline-root", "minio://bucket/m", "-o", "@out/p.yaml"),
        prepare=lambda _: None,
    ),
}
