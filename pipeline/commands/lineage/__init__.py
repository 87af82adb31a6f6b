"""`mnist-tfx lineage`: one module per verb."""

from __future__ import annotations

from typing import Final

import click

from pipeline.cli import LazyGroup

VERBS: Final = {
    "show": "Draw the tree from a served version back to its data files.",
    "audit": "Prove a served version, or name the first broken link.",
    "head": "Print the ledger's head, to keep elsewhere.",
    "keygen": "Make a pair of signing keys.",
    "sign": "Sign the provenance of a served version.",
    "verify": "Check a signed directory against a public key.",
    "trace": "Everything upstream of a served version.",
    "impact": "The models that a data file or digest went into.",
    "rows": "The models that an image was used for.",
    "prove": "Write a proof that an image was used, or was not.",
    "check-proof": "Check a proof with nothing but its root digest.",
    "diff": "What changed between two served versions.",
    "reproduce": "Run a version again and compare.",
    "orphans": "What is served, recorded or stored without its counterpart.",
    "repair": "Attach again what a crash left unrecorded.",
    "gc": "Remove what nothing refers to.",
    "rebuild": "Make a metadata store again from the records.",
    "export": "Write the lineage as SLSA, OpenLineage, CycloneDX, PROV, DOT, Mermaid or HTML.",
}


def _path(verb: str) -> str:
    name = verb.replace("-", "_")
    return f"pipeline.commands.lineage.{name}:{name}"


@click.group(cls=LazyGroup, lazy={verb: (_path(verb), text) for verb, text in VERBS.items()})
def lineage() -> None:
    """Prove what the served bytes were made from.

    \b
    Example:
      mnist-tfx lineage audit --root runs/mnist
      mnist-tfx lineage show --root runs/mnist
    """
