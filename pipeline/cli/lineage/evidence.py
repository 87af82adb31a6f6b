"""`mnist-tfx lineage evidence`."""

from __future__ import annotations

from pathlib import Path

import click

from components.digest import sha256_file
from pipeline.cli import audit_options, options
from pipeline.cli.output import audit_answer, print_answer, verdict_lines
from pipeline.cli.parameters import OutputFile, Version
from pipeline.lineage.evidence import write_evidence


@options.command()
@click.argument("version", required=False, type=Version())
@click.option(
    "-o",
    "--output",
    type=OutputFile(),
    required=True,
    metavar="FILE",
    help="File to write: .html or .pdf, one page to read or print; .zip, everything that is needed to check it offline.",
)
@click.option("--with-model", is_flag=True, help="Put the served files into the zip as well.")
@audit_options.add
@options.root
@options.as_json
def evidence(  # noqa: PLR0913  # one argument to each option
    version: int | None,
    output: Path,
    with_model: bool,
    policy_file: Path | None,
    expect_head: str | None,
    key: Path | None,
    require_approval: bool,
    approval_keys: tuple[Path, ...],
    root: Path,
    as_json: bool,
) -> int:
    """Write what an auditor is shown of a served version, by default the newest; it is audited for that.

    The page says what was served and when, which data, whose code, what the audit found, who signed, what is not proven
    and how to check it. A PDF needs Chromium. The zip holds statement, records, ledger and signatures too, with a script,
    check.py, that needs Python alone. The same root gives the same bytes.

    The exit code is that of the audit: evidence is written whatever it found.

    \b
    Example:
      mnist-tfx lineage evidence -o evidence.html --root runs/mnist
      mnist-tfx lineage evidence 1 -o evidence.zip --key keys/public.pem --root runs/mnist
    """
    how = audit_options.build_options(
        policy_file, expect_head, key, require_approval=require_approval, approval_keys=approval_keys
    )
    facts = write_evidence(root.absolute(), version, output, options=how, with_model=with_model)
    size, sha256 = output.stat().st_size, sha256_file(output)
    fields = {"version": facts.version, "path": str(output), "bytes": size, "sha256": sha256, "head": str(facts.head)}
    answer = audit_answer([facts.audit], {**fields, "audit": facts.audit.to_dict()})
    if as_json:
        print_answer(answer)
    else:
        click.echo(f"{output}: version {facts.version}, {size} bytes, sha256 {sha256}")
        for line in verdict_lines(facts.audit):
            click.echo(line)
        click.echo(f"keep these two elsewhere: the sha256 above, and the ledger's head {facts.head}")
    return answer.exit_code
