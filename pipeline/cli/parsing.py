"""Parsing of the command line: all parameters are checked before a command runs, and all problems are raised together."""

from __future__ import annotations

import contextlib
import contextvars
import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import click
from click.core import UNSET, iter_params_for_processing  # type: ignore[attr-defined]  # the mark of what is not given

from components.errors import EMPTY, BadInput, MnistTfxError, Problems, printable
from components.suggestions import closest, did_you_mean

Check = Callable[[Mapping[str, Any]], None]
"""Checks several parameters together; those that are wrong themselves or were not given are None. Raises `BadInput`."""

Function = TypeVar("Function", bound=Callable[..., Any])

COMMAND: Final[contextvars.ContextVar[str | None]] = contextvars.ContextVar("command", default=None)
"""What is being run, such as `lineage audit`; a group's name until its command is known, None before that."""

PASSPHRASE: Final = "--passphrase"  # noqa: S105  # an option's name
"""The flag that has a passphrase asked for."""

_CHECKS: Final = "__checks__"


def name_of(parameter: click.Parameter | None) -> str | None:
    """Return what a parameter is called on the command line: its longest option, or an argument's metavar."""
    if parameter is None or isinstance(parameter, click.Option):
        return max(parameter.opts, key=len) if parameter is not None else None
    return (parameter.metavar or (parameter.name or "").upper()).strip("[].")


def checked_by(*checks: Check) -> Callable[[Function], Function]:
    """Add checks of several parameters together; it stands below the `command` decorator."""

    def add(function: Function) -> Function:
        setattr(function, _CHECKS, (*getattr(function, _CHECKS, ()), *checks))
        return function

    return add


def set_command(path: str) -> None:
    """Remember the command of a context's path, which begins with the program's name."""
    COMMAND.set(path.partition(" ")[2] or None)


class Command(click.Command):
    """A command that raises all problems of its parameters together, before it does any work."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check every parameter, and the command's checks of several; then parse as click does."""
        set_command(ctx.command_path)
        if not ctx.resilient_parsing:
            problems = Problems()
            known = self._without_unknown_options(ctx, args, problems)
            self._check_each(ctx, known, problems)
            given = {name: None if value is UNSET else value for name, value in ctx.params.items()}
            for parameter in self.get_params(ctx):
                given.setdefault(parameter.name or "", None)
            checked = Problems()
            for check in getattr(self.callback, _CHECKS, ()):
                with checked.noted():
                    check(given)
            problems.found.extend(_news(checked.found, problems.found))
            problems.raise_any()
            ctx.params.clear()
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Fetch what was given as an address in an object store, and run the command."""
        from pipeline.cli import remote_data  # which shows progress, and stands above parsing

        with remote_data.fetched(ctx.params):
            return super().invoke(ctx)

    def _check_each(self, ctx: click.Context, args: Sequence[str], problems: Problems) -> None:
        """Leave in the context's parameters the values of those that are right."""
        opts: Mapping[str, Any] = {}
        rest, order = list(args), list[click.Parameter]()
        with problems.noted(), _usage():
            opts, rest, order = self.make_parser(ctx).parse_args(args=list(args))
        if problems.found and not order and args:
            return  # an option without its value: what the others are cannot be told
        problems.found.extend(self._given_twice(ctx, args, order))
        for parameter in iter_params_for_processing(order, self.get_params(ctx)):
            wrong = _wrong_values(ctx, parameter, opts.get(parameter.name or ""))
            problems.found.extend(wrong)
            if wrong:
                continue
            with problems.noted(), _usage(parameter):
                _, rest = parameter.handle_parse_result(ctx, opts, rest)
        if rest and not any(problem.what.startswith("No such option") for problem in problems.found):
            # The option asks; a passphrase that was typed behind it stays unsaid.
            got = "a value that is not repeated here" if PASSPHRASE in args else " ".join(rest)
            problems.found.append(BadInput(f"more than {ctx.command_path} takes", got=got))

    def _given_twice(
        self, ctx: click.Context, args: Sequence[str], order: Sequence[click.Parameter]
    ) -> Iterator[BadInput]:
        """Yield a problem for each option of one value that was given several, of which click would take the last."""
        times = Counter(order)
        twice = [option for option in times if times[option] > 1 and _takes_one(option)]
        if not twice:
            return
        # Only the parser knows what is an option's value; as options that may be repeated they keep all of theirs.
        repeatable = [_repeatable(parameter) if parameter in twice else parameter for parameter in self.params]
        values, _, _ = click.Command(self.name, params=repeatable).make_parser(ctx).parse_args(args=list(args))
        for option in twice:
            got = ", ".join(_shown(option, value) for value in values[option.name or ""])
            hint = f"`{ctx.command_path} --help` says what may be repeated"
            yield BadInput("given more than once", where=name_of(option), wanted="one value", got=got, hint=hint)

    def _without_unknown_options(self, ctx: click.Context, args: Sequence[str], problems: Problems) -> list[str]:
        """Return the arguments without the options that there are not, each of which is noted as a problem."""
        try:
            self.make_parser(ctx).parse_args(args=list(args))
        except click.NoSuchOption as err:
            options = {opt: parameter for parameter in self.get_params(ctx) for opt in parameter.opts}
            meant = closest(err.option_name, options, str.lower)
            hint = did_you_mean(meant) or f"`{ctx.command_path} --help` lists them"
            problems.found.append(BadInput(f"No such option '{printable(err.option_name)}'; {hint}"))
            # One letter among several, such as -vx, is no argument of its own.
            place = next((n for n, arg in enumerate(args) if arg.partition("=")[0] == err.option_name), len(args))
            # Its value goes with it, if the option that was probably meant has one.
            likely = options.get(meant or "")
            has_value = isinstance(likely, click.Option) and not likely.is_flag and "=" not in "".join(args[place:][:1])
            left = [*args[:place], *args[place + 1 + has_value :]]
            return left if place == len(args) else self._without_unknown_options(ctx, left, problems)
        except click.UsageError:
            pass  # raised again, and noted, when the parameters are checked
        return list(args)


def command(name: str | None = None) -> Callable[[Function], Command]:
    """Make a `Command` of a function, as `click.command` does."""
    return click.command(name, cls=Command)


class Group(click.Group):
    """A group whose commands are `Command`s, and which suggests one for a name that is none."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does."""
        set_command(ctx.command_path)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names.

        Raises:
          BadInput: if there is none.
        """
        known = self.list_commands(ctx)
        if ctx.resilient_parsing:  # a shell completes a line: there is nobody to tell
            return super().resolve_command(ctx, args)
        if args[0] not in known and not args[0].startswith("-"):
            hint = did_you_mean(closest(args[0], known, str.lower)) or f"`{ctx.command_path} --help` lists them"
            raise BadInput(f"No such command '{printable(args[0])}'; {hint}")
        return super().resolve_command(ctx, args)


def _wrong_values(ctx: click.Context, parameter: click.Parameter, given: Any) -> list[MnistTfxError]:
    """Return what is wrong with each of several values of one parameter; click itself stops at the first."""
    if not isinstance(given, (list, tuple)) or parameter.multiple == (parameter.nargs != 1):
        return []
    problems = Problems()
    for value in dict.fromkeys(given):
        with problems.noted(), _usage(parameter):
            parameter.type(value, param=parameter, ctx=ctx)
    if parameter.multiple:
        problems.found.extend(_named_twice(parameter, given))
    return problems.found


def _news(later: Sequence[MnistTfxError], known: Sequence[MnistTfxError]) -> Iterator[MnistTfxError]:
    """Yield later problems but those about a parameter that is known to be wrong, which checks took for not given."""
    wrong = {_parameter_in(problem) for problem in known} - {""}
    yield from (problem for problem in later if _parameter_in(problem) not in wrong)


def _parameter_in(problem: MnistTfxError) -> str:
    """Return the parameter that a problem is about, which may have a name of the user's behind it: `--set seed`."""
    return str(problem.where or "").partition(" ")[0]


def _takes_one(parameter: click.Parameter) -> bool:
    """Whether a parameter is an option that a second value would contradict; a flag without an opposite only repeats."""
    if not isinstance(parameter, click.Option) or parameter.multiple or parameter.count:
        return False
    return not parameter.is_flag or bool(parameter.secondary_opts)


def _repeatable(option: click.Parameter) -> click.Parameter:
    copied = copy.copy(option)
    copied.multiple = True
    return copied


def _shown(option: click.Parameter, value: Any) -> str:
    """Return one value of an option as a message may repeat it: one that may be secret is not."""
    if isinstance(value, bool) and isinstance(option, click.Option):
        return (option.opts if value else option.secondary_opts)[0]
    shown = getattr(option.type, "shown", str)
    return " ".join(map(shown, value)) if isinstance(value, tuple) else shown(value) or EMPTY


def _named_twice(parameter: click.Parameter, given: Sequence[str]) -> Iterator[BadInput]:
    """Yield a problem for each name to which several `NAME=VALUE` of one option give a value."""
    key_of = getattr(parameter.type, "key_of", None)
    if key_of is None:
        return
    times = Counter(key for text in given if (key := key_of(text)))
    for key in (key for key in times if times[key] > 1):
        got = ", ".join(text for text in given if key_of(text) == key)
        yield BadInput("given more than once", where=f"{name_of(parameter)} {key}", wanted="one value", got=got)


@contextlib.contextmanager
def _usage(parameter: click.Parameter | None = None) -> Iterator[None]:
    """Turn what click says about a parameter into `BadInput`."""
    try:
        yield
    except click.MissingParameter as err:
        what = "an option that is needed" if isinstance(parameter, click.Option) else "an argument that is needed"
        raise BadInput(f"{what} is missing", where=name_of(parameter)) from err
    except click.UsageError as err:
        raise BadInput(err.message, where=name_of(parameter)) from err
