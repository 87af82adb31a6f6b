"""`mnist-tfx kubeflow audit`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import audit_options, options
from pipeline.cli.kubeflow import options as cluster_options
from pipeline.cli.output import audit_answer, print_answer, print_audit, say
from pipeline.cli.parameters import InputFolder, Text
from pipeline.kubeflow.client.connection import Address


@options.command()
@click.argument("run", type=Text("run"))
@cluster_options.server(required=False)
@click.option(
    "--root",
    required=True,
    type=InputFolder(),
    metavar="FOLDER",
    help="Local copy of what lies below the pipeline root, with the serving volume as `serving`.",
)
@audit_options.add
@options.as_json
def audit(  # noqa: PLR0913  # one argument to each option
    run: str,
    address: Address | None,
    root: Path,
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    require_approval: bool,
    approval_keys: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Audit what a finished run pushed, as `lineage audit` does, with its exit codes: 0, 1, or 5 for cannot tell.

    RUN is a run's id; with --host it may be its name, and the server is asked first whether the run succeeded. The
    records that the run left in the bucket are gathered into --root, so that every command of `lineage` works on it.

    \b
    Example:
      mc mirror cluster/mlpipeline/mnist copy && kubectl cp POD:/serving copy/serving
      mnist-tfx kubeflow audit 5f0c7a52-... --host http://localhost:8080 --root copy
    """
    from pipeline.kubeflow.client import audit as auditing
    from pipeline.kubeflow.client.connection import connect

    asked = audit_options.build_options(
        policy_file, expect_head, key, require_approval=require_approval, approval_keys=approval_keys
    )
    told = None if address is None else auditing.succeeded(connect(address), run)
    found = auditing.audit_run(root.absolute(), run if told is None else told.id, asked, say)
    run_fields = None if told is None else told.to_dict()
    answer = audit_answer([found], {"run": run_fields, "policy": asked.policy.to_dict(), "audits": [found.to_dict()]})
    if as_json:
        print_answer(answer)
    else:
        print_audit(found)
    return answer.exit_code
