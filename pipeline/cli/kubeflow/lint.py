"""`mnist-tfx kubeflow lint`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from components.errors import printable
from pipeline.cli import options
from pipeline.cli.kubeflow.options import kfp_version
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import InputFile, OneOf, Text
from pipeline.kubeflow.compiler.targets import by_suffix
from pipeline.kubeflow.document import TARGETS, read
from pipeline.kubeflow.kfp_version import KfpVersion
from pipeline.kubeflow.lint.check import lint as findings_of
from pipeline.kubeflow.lint.fault import ERROR

COLORS = {ERROR: "red"}


@options.command()
@click.argument("file", type=InputFile())
@click.option("--target", type=OneOf(TARGETS), help="What the file is for.  [default: by its suffix, else by its form]")
@kfp_version
@click.option(
    "--namespace", type=Text(), metavar="NAME", help="Namespace of the runs, if the installation serves several users."
)
@options.as_json
def lint(file: Path, target: str | None, version: KfpVersion | None, namespace: str | None, as_json: bool) -> int:
    """Check a compiled file for what a cluster would refuse or get wrong.

    Ends with 0, with 1 if there is an error among the findings, and with 2 if FILE is no compiled pipeline. Warnings
    are printed and change nothing.

    \b
    Example:
      mnist-tfx kubeflow lint p.yaml
      mnist-tfx kubeflow lint p.yaml --kfp-version 2.15.0
      mnist-tfx kubeflow lint p.json --json
    """
    document = read(file)
    meant_for = target or by_suffix(file) or document.target
    findings = findings_of(document, meant_for, version, namespace)
    errors = sum(finding.level == ERROR for finding in findings)
    data = {
        "file": str(file),
        "target": meant_for,
        "pipeline": document.name,
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [dataclasses.asdict(finding) for finding in findings],
    }
    answer = Answer(data=data, findings=errors > 0)
    if as_json:
        print_answer(answer)
    else:
        for finding in findings:
            click.echo(f"{click.style(finding.level, fg=COLORS.get(finding.level, 'yellow'))}  {printable(finding)}")
        counts = (_count(errors, "error"), _count(len(findings) - errors, "warning"))
        click.echo(f"{file}: {', '.join(counts)} in {_count(len(document.tasks), 'task')}")
    return answer.exit_code


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
