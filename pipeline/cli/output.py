"""Output of the command line: the answer as one JSON object, results and verdicts as lines, remarks on standard error."""

from __future__ import annotations

import contextvars
import dataclasses
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from components.errors import LONGEST_SENTENCE, CannotTell, ExitCode, MnistTfxError, printable, shortened
from components.ingest.copy_paths import readable
from components.layout import STAGED
from pipeline.audit.findings import FAIL, PASS, UNKNOWN, VERDICTS, Audit
from pipeline.cli.again import PROGRAM, complete, program
from pipeline.cli.parsing import COMMAND
from pipeline.process.signals import PROCESS, Interrupted
from pipeline.root.paths import RunPaths
from pipeline.stages import AUTOENCODER

if TYPE_CHECKING:
    from rich.console import Console

LAST_ERROR: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("last_error", default=None)
"""The error that was printed last, in one line."""

COLORS: Final = {PASS: "green", FAIL: "red"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a command.

    Attributes:
      data: JSON values, as `pipeline.cli.answers` has a model of them; None where the command did not get so far.
      error: why it did not do all its work; None if it did.
      findings: whether an audit or a check found something.
    """

    data: Mapping[str, Any] | None = None
    error: MnistTfxError | Interrupted | None = None
    findings: bool = False

    @property
    def status(self) -> str:
        """One of those that `components.errors.ExitCode` lists."""
        if isinstance(self.error, Interrupted):
            return ExitCode.INTERRUPTED.status
        if self.error is not None:
            return self.error.exit_code.status
        return (ExitCode.FINDINGS if self.findings else ExitCode.OK).status

    @property
    def exit_code(self) -> int:
        """Of the process."""
        return ExitCode.of(self.status, self.error.signal if isinstance(self.error, Interrupted) else None)


def print_answer(answer: Answer) -> None:
    """Print an answer as one JSON object, for the command that is being run.

    A signal that was held back until the work was recorded decides the exit code, and so it is in the answer.
    """
    if answer.status == ExitCode.OK.status and PROCESS.arrived is not None:
        answer = dataclasses.replace(answer, error=PROCESS.arrived)
    command, data = COMMAND.get(), answer.data
    if command is not None and data is not None:
        from pipeline.cli import answers  # some 100 ms, which help and usage errors do not take

        data = answers.checked(command, data)
    error = None if answer.error is None else _error_fields(answer.error)
    envelope = {"schema_version": 1, "command": command, "status": answer.status, "error": error, "data": data}
    click.echo(json.dumps(envelope, indent=2))


def _error_fields(error: MnistTfxError | Interrupted) -> dict[str, Any]:
    if isinstance(error, Interrupted):
        of_signal = {"what": str(error), "where": None, "wanted": None, "got": None, "hint": error.hint}
        ways_out: dict[str, Any] = {"facts": [], "commands": [], "page": None}
        return {**of_signal, **ways_out, "signal": error.signal, "problems": []}
    ways_out = {
        "facts": [shortened(fact) for fact in error.facts],
        "commands": [complete(command) for command in error.commands],
        "page": error.page,
    }
    return {**parts(error), **ways_out, "signal": None, "problems": [parts(problem) for problem in error.problems]}


def parts(error: MnistTfxError) -> dict[str, str | None]:
    """Return the parts of the line on standard error, as readable as they are there."""
    values = {"where": error.where, "wanted": error.wanted, "got": error.got}
    shown = {name: None if value is None else shortened(value) for name, value in values.items()}
    hint = None if error.hint is None else shortened(error.hint, LONGEST_SENTENCE)
    return {"what": shortened(error.what, LONGEST_SENTENCE), **shown, "hint": hint}


def print_error(error: object) -> None:
    """Print an error on standard error, after the program's name: one line, or a refusal with its way out."""
    LAST_ERROR.set(printable(error))
    lines = _lines(error) if isinstance(error, MnistTfxError) and (error.facts or error.commands) else [str(error)]
    click.echo(f"{PROGRAM}: " + readable("\n  ".join(lines)), err=True)


def _lines(error: MnistTfxError) -> Iterator[str]:
    """Yield the cause, the facts, what to do, and where there is more to read."""
    yield error.cause
    yield from map(shortened, error.facts)
    if error.hint is not None:
        yield shortened(error.hint, LONGEST_SENTENCE)
    for command in error.commands:
        line, _, remark = complete(command).partition(" # ")
        yield f"  {line}" + (f"   # {remark}" if remark else "")
    if error.page is not None:
        yield f"everything that was looked at: {shortened(below_here(Path(error.page)))}"


def say(message: str) -> None:
    """Tell the user something that is no part of the answer, such as what is being waited for."""
    click.echo(printable(readable(message)), err=True)


def figure(value: float | None) -> str:
    """Return a metric to four places; records hold null for what is no finite number."""
    return "not a number" if value is None else f"{value:.4f}"


def figures(metrics: Mapping[str, Any], nodes: Iterable[Mapping[str, Any]]) -> str:
    """Return the metrics of the test split in one line; without an autoencoder there is none of reconstructions."""
    reconstructs = any(node["id"] == AUTOENCODER for node in nodes)
    shown = ["accuracy", "loss", "reconstruction_mse"] if reconstructs else ["accuracy", "loss"]
    parts = [f"{name} {figure(metrics[name])}" for name in shown]
    return "   ".join(parts if reconstructs else [*parts, "no autoencoder"])


def print_results(data: Mapping[str, Any], root: Path, console: Console) -> None:
    """Print the metrics of a run, local or simulated, and what it serves, as far as it got."""
    if data["metrics"] is not None and data["blessed"] is not None:
        print_line(console, f"\ntest      {figures(data['metrics'], data['nodes'])}   baseline {data['baseline']}")
    if data["version"] is not None:
        shown = below_here(root)
        if Path(str(data["serving_path"])).parent.name == STAGED:
            print_line(console, f"staged    version {data['version']} at {shown}/{STAGED}/{data['version']}")
        else:
            print_line(console, f"served    version {data['version']} at {shown}/serving/{data['version']}")
        for path in data["exports"]:
            print_line(console, f"exported  {below_here(Path(path))}")
        print_line(console, f"lineage   {program()} lineage show --root {shlex.quote(str(shown))}")
    report = RunPaths(root).report(str(data["run_id"]))
    if report.is_file():
        print_line(console, f"report    {below_here(report)}")


def print_time(data: Mapping[str, Any], console: Console) -> None:
    """Print how long a run took."""
    print_line(console, f"time      {data['total_s']:.1f} s, of which {data['train_s']:.1f} s training")


def print_line(console: Console, text: str) -> None:
    """Print a line that is for copying, so it is never broken."""
    from rich.text import Text

    console.print(Text(text), soft_wrap=True)


def below_here(path: Path) -> Path:
    """Return a path as it is shortest from the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def audit_answer(audits: Sequence[Audit], data: Mapping[str, Any], *, allow_unknown: bool = False) -> Answer:
    """Return the answer of an audit: any FAIL is a finding, and else any UNKNOWN is no answer, unless it is allowed."""
    if any(audit.result == FAIL for audit in audits):
        return Answer(data=data, findings=True)
    unknown = [one for audit in audits for one in audit.findings if one.level == UNKNOWN and not allow_unknown]
    problems = [
        CannotTell(f"{one.verdict} {one.link}: {one.what}", where=one.where, wanted=one.wanted, got=one.got)
        for one in unknown
    ]
    return Answer(data=data, error=CannotTell.of_several(problems) if problems else None)


def print_audit(audit: Audit) -> None:
    """Print verdicts with what they are about, the anchor and all findings."""
    name = printable(audit.path) if audit.version is None else f"version {audit.version}  {printable(audit.path)}"
    click.echo(f"{name}  {(audit.sha256 or 'no digest')[:12]}")
    for verdict in VERDICTS:
        result = audit.verdicts[verdict]
        styled = click.style(result, fg=COLORS.get(result, "yellow"))
        click.echo(f"{verdict:<13} {styled}{_beside(audit, verdict)}")
    if audit.autoencoder is False:
        click.echo(f"{'model':<13} a classifier of the images themselves, no autoencoder")
    if audit.own_code:
        click.echo(f"{'own code':<13} {shortened(_own_code(audit.own_code))}")
    for approval in audit.approvals:
        click.echo(f"{'approval':<13} {shortened(str(approval))}")
    click.echo(f"{'anchor':<13} {audit.anchor.kind}: {audit.anchor.detail}")
    for finding in audit.findings:
        click.echo(f"  {finding}")


def _own_code(files: Mapping[str, tuple[str, ...]]) -> str:
    """Return whose code it was beside the project's: the user's files, node by node."""
    nodes = dict.fromkeys(node for nodes in files.values() for node in nodes)
    parts = [f"{node} ran {', '.join(path for path in files if node in files[path])}" for node in nodes]
    return f"{'; '.join(parts)}: not this project's, kept as they were"


def print_audited(audits: Sequence[Audit]) -> None:
    """Print that every version was audited, and which of them did not pass."""
    staged = [audit for audit in audits if Path(audit.path).parent.name == STAGED]
    places = [audit.path if audit.version is None or audit in staged else str(audit.version) for audit in audits]
    wrong = [place for place, audit in zip(places, audits, strict=True) if not audit.passed()]
    result = f"not all PASS: {', '.join(wrong)}" if wrong else "all PASS"
    where = "the serving directory and staged" if staged else "the serving directory"
    click.echo(printable(f"{'audited':<13} every version in {where} ({', '.join(places)}): {result}"))


def verdict_lines(audit: Audit) -> Iterator[str]:
    """Yield the verdicts and the findings alone, without colours."""
    for verdict in VERDICTS:
        yield f"{verdict:<13} {audit.verdicts[verdict]}{_beside(audit, verdict)}"
    yield from (f"  {finding}" for finding in audit.findings)


def _beside(audit: Audit, verdict: str) -> str:
    """Return the scope of a verdict, after the first broken link or the number of warnings."""
    result, first, scope = audit.verdicts[verdict], audit.first(verdict), audit.scopes[verdict]
    indent = " " * (7 - len(result))
    if first is None:
        return f"{indent} {scope}"
    if result != PASS:
        return f"{indent} {printable(first.where)}  ({scope})"
    count = sum(finding.verdict == verdict for finding in audit.findings)
    return f", {count} warning{'' if count == 1 else 's'}  ({scope})"
