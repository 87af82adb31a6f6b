"""`mnist-tfx lineage audit`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from pipeline.audit.audit import AuditOptions, audit_all, audit_path, audit_version
from pipeline.audit.findings import Audit
from pipeline.cli import audit_options, options, progress
from pipeline.cli.output import audit_answer, print_answer, print_audit, print_audited
from pipeline.cli.parameters import MetadataStore, VersionOrFolder
from pipeline.cli.parsing import checked_by
from pipeline.metadata.address import parse_address

NEWEST: Final = "newest"


def _needs_root(given: Mapping[str, Any]) -> None:
    if _is_in_root(given["served"]):
        options.require_root(given)


@options.command()
@click.argument("served", required=False, metavar="[newest|VERSION|PATH]", type=VersionOrFolder(NEWEST))
@audit_options.add
@click.option(
    "--metadata",
    type=MetadataStore(new=False),
    metavar="URL",
    help="The metadata store to compare with; by default the one of the root's last run. "
    "A password may come from MNIST_TFX_METADATA_PASSWORD.",
)
@click.option("--allow-unknown", is_flag=True, help="Exit with 0 although something could not be told.")
@options.optional_root()
@options.as_json
@checked_by(_needs_root)
def audit(  # noqa: PLR0913  # one argument to each option
    served: str | None,
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    require_approval: bool,
    approval_keys: tuple[Path, ...],
    metadata: str | None,
    allow_unknown: bool,
    root: Path | None,
    as_json: bool,
) -> int:
    """Prove what is served was made from, or name the first broken link; by default every version of the root.

    INTEGRITY: all bytes on the path are those that were recorded. COMPLETENESS: nothing on it is missing, and
    records, ledger and metadata store agree. POLICY: the rules hold. Each verdict says what was compared, and what
    was not. Nothing is loaded and no link is followed. A directory outside a root is checked by its manifest alone.

    Exit 0 only if all verdicts on all versions are PASS, 1 if any is FAIL, else 5: something could not be told, and
    --allow-unknown makes that 0.

    \b
    Example:
      mnist-tfx lineage audit --root runs/mnist
      mnist-tfx lineage audit newest --root runs/mnist
      mnist-tfx lineage audit 3 --root runs/mnist --expect-head 27:439bb9...
      mnist-tfx lineage audit /srv/models/mnist/3 --key signer.pub.pem --allow-unknown
    """
    store = None if metadata is None else parse_address(metadata)
    asked = audit_options.build_options(
        policy_file, expect_head, key, store, require_approval=require_approval, approval_keys=approval_keys
    )
    with progress.bars() as show:
        audits = _audits(served, root, dataclasses.replace(asked, show=show))
    data = {"policy": asked.policy.to_dict(), "audits": [found.to_dict() for found in audits]}
    answer = audit_answer(audits, data, allow_unknown=allow_unknown)
    if as_json:
        print_answer(answer)
    else:
        for found in audits:
            print_audit(found)
        if served is None:
            print_audited(audits)
    return answer.exit_code


def _audits(served: str | None, root: Path | None, asked: AuditOptions) -> Sequence[Audit]:
    if not _is_in_root(served):
        return [audit_path(Path(str(served)).absolute(), asked)]
    chosen = options.chosen_root(root)
    if served is None:
        return audit_all(chosen, asked)
    return [audit_version(chosen, None if served == NEWEST else int(served), asked)]


def _is_in_root(served: str | None) -> bool:
    """Return whether what is to be audited is not a folder: such a version is audited without a root."""
    return served in (None, NEWEST) or str(served).isdecimal()
