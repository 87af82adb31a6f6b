"""`mnist-tfx lineage audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from components.errors import BadInput
from pipeline import metadata_url
from pipeline.commands import audit_options, options
from pipeline.commands.parameters import MetadataStore, VersionOrFolder
from pipeline.commands.parsing import checked_by
from pipeline.commands.verdicts_text import print_audit
from pipeline.lineage.audit import run
from pipeline.lineage.audit.findings import Audit


def _needs_root(given: Mapping[str, Any]) -> None:
    """A version in a folder of its own is audited without a root."""
    if given["served"] is None or given["served"].isdecimal():
        options.require_root(given)


@options.command()
@click.argument("served", required=False, metavar="[PATH|VERSION]", type=VersionOrFolder())
@click.option("--all", "every", is_flag=True, help="Audit every served version.")
@audit_options.asked
@click.option(
    "--metadata",
    type=MetadataStore(new=False),
    metavar="URL",
    help="The metadata store to compare with; by default the one of the root's last run. "
    "A password may come from MNIST_TFX_METADATA_PASSWORD.",
)
@click.option("--allow-unknown", is_flag=True, help="Exit with 0 although something could not be told.")
@options.any_root
@options.as_json
@checked_by(_needs_root)
def audit(  # noqa: PLR0913  # one argument to each option
    served: str | None,
    every: bool,
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    metadata: str | None,
    allow_unknown: bool,
    root: Path,
    as_json: bool,
) -> int:
    """Prove what a served version was made from, or name the first broken link; by default the newest of the root.

    INTEGRITY: all bytes on the path are those that were recorded. COMPLETENESS: nothing on it is missing, and
    records, ledger and metadata store agree. POLICY: the rules hold. Exit 0 only if all three PASS; 1 otherwise.
    Nothing is loaded and no link is followed. A directory outside a root is checked by its manifest alone.

    \b
    Example:
      mnist-tfx lineage audit --root runs/mnist
      mnist-tfx lineage audit 3 --root runs/mnist --expect-head 27:439bb9...
      mnist-tfx lineage audit /srv/models/mnist/3 --key signer.pub.pem --allow-unknown
    """
    store = None if metadata is None else metadata_url.parse(metadata)
    asked = audit_options.chosen(policy_file, expect_head, key, store)
    audits = _audits(served, every, root.absolute(), asked)
    passed = all(found.passed(allow_unknown=allow_unknown) for found in audits)
    if as_json:
        status = "ok" if passed else "findings"
        answers = [found.to_dict() for found in audits]
        options.print_json({"status": status, "policy": asked.policy.to_dict(), "audits": answers})
    else:
        for found in audits:
            print_audit(found)
    return 0 if passed else 1


def _audits(served: str | None, every: bool, root: Path, asked: run.Options) -> Sequence[Audit]:
    if every and served is not None:
        raise BadInput("--all and a version or path", where="lineage audit", wanted="one of them", got=served)
    if every:
        return run.audit_all(root, asked)
    if served is None or served.isdecimal():
        return [run.audit_version(root, None if served is None else int(served), asked)]
    return [run.audit_path(Path(served).absolute(), asked)]
