"""A program that gives every parameter of every command values that it must refuse, and prints what came of it as JSON.

It runs in a process of its own, where nothing heavy has been imported: `python every_parameter.py FOLDER`. With
`twice` after the folder, every option is given twice instead.
"""

import contextlib
import io
import json
import os
import sys
import time
from importlib.abc import MetaPathFinder
from pathlib import Path

import click

from pipeline.cli import main as cli
from pipeline.cli import parameters as kinds
from pipeline.cli.parsing import Command, Group, name_of
from pipeline.cli.person_options import PersonName

HEAVY = {"tensorflow", "tfx", "apache_beam", "keras", "sklearn", "matplotlib", "kfp", "kubernetes"}

MISSING, FILE, FOLDER, DEVICE, FIFO = "nowhere/x", "a file", "a folder", "/dev/null", "fifo"
LOOP, DANGLING, LONG = "loop", "dangling", "n" * 300
ANYWHERE = ("", "  ", "\0", "a\0b", "\udcff", LONG, LOOP)

TEXT = ("", " ", "\0", "two\nlines", "\udcff", "x" * 5000)
PAIR = (*TEXT, "=", "=x", "no equals sign")

WRONG = {
    kinds.InputFile: (*ANYWHERE, MISSING, FOLDER, DEVICE, FIFO, DANGLING),
    kinds.InputFolder: (*ANYWHERE, MISSING, FILE, DEVICE, FIFO, DANGLING),
    kinds.InputPath: (*ANYWHERE, MISSING, DEVICE, FIFO, DANGLING),
    kinds.InputData: (*ANYWHERE, MISSING, DEVICE, FIFO, DANGLING, "s3://", "s3a://", "s3://bucket/a//b"),
    kinds.Data: (*ANYWHERE, MISSING, DEVICE, FIFO, DANGLING, "nowhere/{SPAN}", "{SPAN}{SPAN}", "{SPAM}"),
    kinds.OutputFile: (*ANYWHERE, MISSING, FOLDER, DEVICE, FIFO, DANGLING, f"{FILE}/x", "new/"),
    kinds.NewFolder: (*ANYWHERE, FILE, DEVICE, FIFO, f"{FILE}/x"),
    kinds.FolderToFill: (*ANYWHERE, FILE, DEVICE, FIFO, f"{FILE}/x"),
    kinds.NewRoot: (*ANYWHERE, FILE, DEVICE, f"{FILE}/x", "a*", "a?", "[a]", "a\\b", "a\nb", "n/" * 300),
    kinds.PipelineRoot: (*ANYWHERE, MISSING, FILE, DEVICE, FIFO, FOLDER, "runs", "rnus/one"),
    kinds.AnyRoot: (*ANYWHERE, FILE, DEVICE, FIFO, f"{FILE}/x"),
    kinds.VersionOrFolder: (*ANYWHERE, MISSING, FILE, DEVICE, "9" * 30, "-1"),
    kinds.FileOrDigest: (*ANYWHERE, MISSING, DEVICE, FIFO, "abc123"),
    kinds.MetadataStore: (*TEXT, "mysql://", "mysql://host", "ftp://host/x", MISSING, FOLDER, DEVICE, "none of these"),
    kinds.Recipe: (*TEXT, "digit", "nowhere.yaml", f"{FOLDER}.yaml"),
    kinds.Text: TEXT,
    PersonName: TEXT,
    kinds.NamedText: TEXT,
    kinds.Pair: PAIR,
    kinds.PairWithFolder: ("", "=", "=x", "x=", "no equals sign", f"a={FILE}", f"a={FILE}/x", "a=b\0"),
    kinds.OneOf: (*TEXT, "nonesuch"),
    kinds.Integer: ("", "x", "1.5", "1e3", "\0", "1_000", "\u0663", "9" * 5000, "-9" * 12),
    kinds.Version: ("", "x", "1.5", "-1", "9" * 20, "9" * 5000),
    kinds.Seconds: ("", "x", "0", "-1", "nan", "inf", "1e9"),
    kinds.Share: ("", "x", "0", "-1", "nan", "inf", "1.1"),
    kinds.Checked: (*TEXT, "://", "none of these"),
}
"""A kind of parameter that is not here has no test; it is either described here, or it checks nothing."""

MAY_BE_ANYTHING = {("run", "--metadata", "none of these")}
"""A new file of that name is where the store is to be."""


class Tripwire(MetaPathFinder):
    """Ends a command that imports what it needs for work: with a wrong value there is none to do."""

    def find_spec(self, fullname, path=None, target=None):
        """Finds nothing."""
        del path, target
        if fullname.partition(".")[0] in HEAVY:
            raise RuntimeError(f"imports {fullname}")


def commands(group: click.Group, path: tuple[str, ...] = ()):
    """Yields the words and the command of each one that is no group."""
    assert isinstance(group, Group), path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def wrong_values(parameter: click.Parameter) -> tuple[str, ...]:
    """Returns what a parameter has to refuse."""
    given = WRONG[type(parameter.type)]
    if isinstance(parameter.type, kinds.Integer):
        given = (*given, str(parameter.type.lowest - 1), str(parameter.type.highest + 1))
    return tuple(dict.fromkeys(given))


def invocation(path: tuple[str, ...], parameter: click.Parameter, value: str) -> list[str]:
    """Returns a command line with one value in it; what else the command needs is left out, or is wrong as well."""
    if isinstance(parameter, click.Argument):
        return [*path, "--", value]
    option = max(parameter.opts, key=len)
    return [*path, *([option, value, value] if parameter.nargs == 2 else [f"{option}={value}"])]


def answer(arguments: list[str]) -> dict:
    """Runs the command line as a process does, and returns how it ended."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["mnist-tfx", *arguments]
    started = time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        # `main` takes over signals and streams, once for a process.
        code = int(cli.run())
    return {
        "code": code,
        "seconds": time.perf_counter() - started,
        "out": out.getvalue(),
        "err": err.getvalue(),
    }


def furnished(folder: Path) -> None:
    """Makes the files that wrong values name."""
    os.chdir(folder)
    Path(FILE).write_text("text")
    Path(FOLDER).mkdir()
    Path(f"{FOLDER}.yaml").mkdir()
    Path("runs/one/records").mkdir(parents=True)
    os.mkfifo(FIFO)
    Path(LOOP).symlink_to(LOOP)
    Path(DANGLING).symlink_to("gone")


def tree(folder: Path) -> list[str]:
    """Returns every path below a folder."""
    return sorted(str(path) for path in folder.rglob("*"))


def main() -> None:
    """Prints what came of each wrong value of each parameter, or of each option that is given twice."""
    folder, what = Path(sys.argv[1]), sys.argv[2:]
    furnished(folder)
    before = tree(folder)
    sys.meta_path.insert(0, Tripwire())
    give_twice() if what == ["twice"] else give_wrong_values(folder, before)


def give_twice() -> None:
    """Prints one object for each option; values of a repeatable one have two names at first, and then one."""
    for path, command in commands(cli.cli):
        for option in (one for one in command.params if isinstance(one, click.Option)):
            named = {"command": " ".join(path), "parameter": name_of(option), "repeatable": option.multiple}
            if option.is_flag:
                given = [[option.opts[0], option.secondary_opts[0]]] if option.secondary_opts else []
            else:
                names = [("a=1", "b=2"), ("a=1", "a=2")]
                given = [
                    [text for value in pair for text in (name_of(option), *[value] * option.nargs)] for pair in names
                ]
            for arguments in given:
                click.echo(json.dumps({**named, "arguments": arguments, **answer([*path, *arguments])}))


def give_wrong_values(folder: Path, before: list[str]) -> None:
    """Prints one object for each wrong value of each parameter."""
    for path, command in commands(cli.cli):
        for parameter in command.params:
            named = {"command": " ".join(path), "parameter": name_of(parameter)}
            if isinstance(parameter, click.Option) and parameter.is_flag:
                continue
            if type(command) is not Command or type(parameter.type) not in WRONG:
                click.echo(json.dumps({**named, "kind": type(parameter.type).__name__, "unchecked": True}))
                continue
            for value in wrong_values(parameter):
                if (named["command"], named["parameter"], value) in MAY_BE_ANYTHING:
                    continue
                found = answer(invocation(path, parameter, value))
                left = sorted(set(tree(folder)) ^ set(before))
                click.echo(json.dumps({**named, "value": value, "left": left, **found}))


if __name__ == "__main__":
    main()
