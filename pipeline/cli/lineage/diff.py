"""`mnist-tfx lineage diff`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from components.errors import CannotTell
from pipeline.cli import options
from pipeline.cli.lineage.diff_text import diff_lines
from pipeline.cli.output import Answer, print_answer
from pipeline.cli.parameters import Version
from pipeline.lineage.diff import diff as versions


@options.command()
@click.argument("before", type=Version())
@click.argument("after", type=Version())
@options.root
@options.as_json
def diff(before: int, after: int, root: Path, as_json: bool) -> int:
    """Say what changed between two served versions: the smallest set of causes first, then what came of them.

    Rows are compared by digest, so files may have been renamed, compressed or turned into another form in between.
    Where nothing that changed is on record and not all of it can be read any more, the exit code is 5.

    \b
    Example:
      mnist-tfx lineage diff 1 2 --root runs/mnist
    """
    found = versions.diff(root.absolute(), before, after)
    unknown = [CannotTell(cause) for cause in found.unknown_causes] if found.is_open else []
    answer = Answer(data=found.to_dict(), error=CannotTell.of_several(unknown) if unknown else None)
    if as_json:
        print_answer(answer)
    else:
        console = Console(markup=False, highlight=False)
        for line in diff_lines(found):
            console.print(line, soft_wrap=True)  # paths are for copying: never broken
    return answer.exit_code
