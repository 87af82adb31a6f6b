"""`mnist-tfx completion`: the script by which a shell completes commands, options and their values."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from pipeline.cli.again import PROGRAM
from pipeline.cli.main import cli
from pipeline.cli.parameters import OneOf
from pipeline.cli.parsing import command

SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}

VARIABLE: Final = f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()
"""The variable in which the script tells click what to do; the name is click's."""


@command()
@click.argument("shell", type=OneOf(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes a shell complete commands, options and their values.

    \b
    Example:
      eval "$(mnist-tfx completion bash)"       # in ~/.bashrc; bash 4.4 or newer
      eval "$(mnist-tfx completion zsh)"        # in ~/.zshrc, after compinit
      mnist-tfx completion fish > ~/.config/fish/completions/mnist-tfx.fish
    """
    click.echo(SHELLS[shell](cli, {}, PROGRAM, VARIABLE).source())
