"""The coverage-guided search for bytes over which a reader stumbles: `make fuzz TARGET=ledger MINUTES=10`.

Atheris (https://github.com/google/atheris) instruments `components` and `pipeline` and lets libFuzzer choose what to
change next; every second change is one of `mutations`, which knows what a value in a document is. A fault does not end
the search: it is kept in corpus/, one file to each place, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["components", "pipeline"], enable_loader_override=False):
    from fuzz.outcome import Fault, fault, load_and_dump
    from fuzz.targets import KINDS

from lineage.audited_copy import audited_copy
from mutations import mutated

from components.errors import MnistTfxError

CORPUS = Path(__file__).parent / "corpus"
MEMORY_MB = 500
"""Beyond what the process has once everything is imported."""


class Search:
    """One kind of file: what was tried, and what was found."""

    def __init__(self, kind: str, seed_file: bytes, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._seed_file = seed_file
        self.tried = 0
        self.found: dict[str, Fault] = {}

    def one(self, data: bytes) -> None:
        """Read one file, and keep it if it is the first to fail at its place."""
        self.tried += 1
        wrong = fault(self._kind, data, self._folder)
        if wrong is None or wrong.place in self.found:
            return
        self.found[wrong.place] = wrong
        sys.stdout.write(f"{self._kind}: {wrong.place}: {wrong.what}\n")
        sys.stdout.flush()
        place = CORPUS / self._kind.replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        (place / wrong.place.replace(":", "-").replace("<", "").replace(">", "")).write_bytes(data)

    def changed(self, data: bytes, longest: int, seed: int) -> bytes:
        """Return what libFuzzer makes of a file, or one of our own changes."""
        if random.Random(seed).random() < 0.5:
            return bytes(atheris.Mutate(data, longest))
        load, dump = load_and_dump(self._kind)
        try:
            return mutated(data or self._seed_file, seed, load=load, dump=dump)[:longest]
        except (MnistTfxError, ValueError, LookupError, RecursionError):
            return bytes(atheris.Mutate(data, longest))  # it is no document any more


def explore(kind: str, minutes: float, seed: int) -> int:
    """Search one kind of file, print how many were tried and return how many faults were found.

    libFuzzer ends the process when its time is over, without a way back: the search runs in a child.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        seeds, scratch = folder / "seeds", folder / "scratch"
        seeds.mkdir(), scratch.mkdir()
        first = KINDS[kind][0](audited_copy(folder / "root"))
        (seeds / "first").write_bytes(first)
        for number, path in enumerate(sorted((CORPUS / kind.replace(" ", "_")).glob("*"))):
            (seeds / str(number)).write_bytes(path.read_bytes())
        search = Search(kind, first, scratch)
        ends = time.monotonic() + 60 * minutes

        def one(data: bytes) -> None:
            if time.monotonic() > ends:
                sys.stdout.write(f"{kind}: {search.tried} files, {len(search.found)} faults, seed {seed}\n")
                sys.stdout.flush()
                os._exit(bool(search.found))  # libFuzzer would go on to report a crash
            search.one(data)

        options = [f"-seed={seed}", f"-max_len={max(4096, 4 * len(first))}", f"-rss_limit_mb={1500 + MEMORY_MB}"]
        atheris.Setup(
            [sys.argv[0], *options, "-timeout=60", f"-artifact_prefix={folder}/", "-verbosity=0", str(seeds)],
            one,
            custom_mutator=search.changed,
        )
        atheris.Fuzz()
    return 0


def main() -> None:
    """Search the kind that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    explore(asked.kind, asked.minutes, asked.seed)


if __name__ == "__main__":
    main()
