"""`mnist-tfx kubeflow audit`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options
from pipeline.commands.kubeflow import cluster_options
from pipeline.commands.verdicts_text import print_audit
from pipeline.kubeflow.client.connection import Address
from pipeline.lineage import policy
from pipeline.lineage.audit.run import Options
from pipeline.lineage.chain import Head


@click.command()
@click.argument("run")
@cluster_options.server(required=False)
@click.option(
    "--root",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Local copy of what lies below the pipeline root, with the serving volume as `serving`.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file that sets rules to fail, warn or off.",
)
@click.option("--expect-head", metavar="LINES:HASH", help="A head of the ledger that was kept elsewhere.")
@click.option(
    "--key", type=click.Path(dir_okay=False, path_type=Path), help="Public key (PEM) that has to have signed it."
)
@options.as_json
def audit(  # noqa: PLR0913  # one argument to each option
    run: str,
    address: Address | None,
    root: Path,
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    as_json: bool,
) -> int:
    """Audit what a finished run pushed, as `lineage audit` does; exit 0 only if all three verdicts PASS.

    RUN is a run's id; with --host it may be its name, and the server is asked first whether the run succeeded. The
    records that the run left in the bucket are gathered into --root, so that every command of `lineage` works on it.

    \b
    Example:
      mc mirror cluster/mlpipeline/mnist copy && kubectl cp POD:/serving copy/serving
      mnist-tfx kubeflow audit 5f0c7a52-... --host http://localhost:8080 --root copy
    """
    from pipeline.kubeflow.client import audit as auditing
    from pipeline.kubeflow.client.connection import connect

    asked = Options(
        policy=policy.default() if policy_file is None else policy.read(policy_file),
        head=None if expect_head is None else Head.from_str(expect_head),
        key=key,
    )
    told = None if address is None else auditing.succeeded(connect(address), run)
    found = auditing.audit_run(root.absolute(), run if told is None else told.id, asked, options.say)
    passed = found.passed()
    if as_json:
        status = "ok" if passed else "findings"
        answer = {"run": None if told is None else told.to_dict(), "policy": asked.policy.to_dict()}
        options.print_json({"status": status, "error": None, **answer, "audits": [found.to_dict()]})
    else:
        print_audit(found)
    return 0 if passed else 1
