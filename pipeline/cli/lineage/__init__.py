"""`mnist-tfx lineage`: one module per verb."""

from __future__ import annotations

from typing import Final

import click

from components.errors import BadInput
from pipeline.cli.main import LazyGroup

VERBS: Final = {
    "show": "Draw the tree from a served version back to its data files.",
    "audit": "Prove a served version, or name the first broken link.",
    "head": "Print the ledger's head, to keep elsewhere.",
    "keygen": "Make a pair of signing keys.",
    "sign": "Sign the provenance of a served version.",
    "verify": "Check a signed directory against a public key.",
    "trace": "Everything upstream of a served version.",
    "impact": "The models that a data file, a picture or a digest went into.",
    "evidence": "Write what an auditor is shown of a version: a page, a PDF, or a package to check offline.",
    "erase-request": "Where an image is, what learned from it, and how to train without it.",
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


MOVED: Final = {"rows": "impact"}
"""Verbs of older releases, and which one answers their question now."""


class _Verbs(LazyGroup):
    """The verbs, with a pointer from those that went."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that the first argument names.

        Raises:
          BadInput: if there is none, or none any more.
        """
        if args[0] in MOVED and not ctx.resilient_parsing:
            raise BadInput(f"No such command '{args[0]}'; `{ctx.command_path} {MOVED[args[0]]}` answers that now")
        return super().resolve_command(ctx, args)


def _path(verb: str) -> str:
    name = verb.replace("-", "_")
    return f"pipeline.cli.lineage.{name}:{name}"


@click.group(cls=_Verbs, lazy={verb: (_path(verb), text) for verb, text in VERBS.items()})
def lineage() -> None:
    """Prove what the served bytes were made from.

    \b
    Example:
      mnist-tfx lineage audit --root runs/mnist
      mnist-tfx lineage show --root runs/mnist
    """
