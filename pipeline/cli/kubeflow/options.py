"""Options that say which server to talk to, and what is to run there; each defined once."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console

from components.errors import BadInput
from pipeline.cli.output import say
from pipeline.cli.parameters import Checked, InputFile, Pair, Seconds, Text
from pipeline.kubeflow.client import submission
from pipeline.kubeflow.client.connection import Address
from pipeline.kubeflow.client.submission import Work
from pipeline.kubeflow.client.transport import RetryPolicy
from pipeline.kubeflow.compiler.targets import TARGETS
from pipeline.kubeflow.document import OSS
from pipeline.kubeflow.kfp_version import NEWEST, OLDEST, parse, written
from pipeline.process.signals import PROCESS

TOKEN: Final = "MNIST_TFX_KFP_TOKEN"  # noqa: S105  # the variable's name
HOST: Final = "KF_PIPELINES_ENDPOINT"
"""The variable that kfp itself reads."""

PIPED_WIDTH: Final = 240

kfp_version: Final = click.option(
    "--kfp-version",
    "version",
    type=Checked(parse, name="version", usual=map(written, (OLDEST, NEWEST))),
    metavar="VERSION",
    help="Version of the Kubeflow Pipelines server.  [default: what the file says, else 2.17.0]",
)
"""The option that says which fields a server takes."""

Command = TypeVar("Command", bound=Callable[..., Any])

_FILE: Final = InputFile()


def _host(text: str) -> None:
    Address(host=text)


def server(*, required: bool = True) -> Callable[[Command], Callable[..., Any]]:
    """Add the options that say where the server is; the command gets an `Address` or None as `address`."""
    given = [
        click.option(
            "--host",
            type=Checked(_host, name="URL", as_given=True, secret=True),
            metavar="URL",
            envvar=HOST,
            required=required,
            show_envvar=True,
            help="URL of the Pipelines API.",
        ),
        click.option(
            "--namespace", type=Text(), metavar="NAME", help="Your namespace, if the installation serves several users."
        ),
        click.option(
            "--token-file",
            type=_FILE,
            metavar="FILE",
            help=f"File with a bearer token; {TOKEN} may hold one as well. It is never shown.",
        ),
        click.option("--ca-cert", type=_FILE, metavar="FILE", help="PEM file with the certificates to trust."),
        click.option(
            "--timeout",
            type=Seconds(3600),
            default=RetryPolicy().timeout,
            show_default=True,
            help="Seconds that a request may take.",
        ),
    ]

    def add(command: Command) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_address(
            *,
            host: str | None,
            namespace: str | None,
            token_file: Path | None,
            ca_cert: Path | None,
            timeout: float,
            **others: Any,
        ) -> Any:
            address = None
            if host is not None:
                address = Address(
                    host=host,
                    namespace=namespace,
                    token=_token(token_file),
                    ca_cert=None if ca_cert is None else str(ca_cert),
                    retry=RetryPolicy(timeout=timeout),
                )
                if address.exposes_token:
                    say(f"warning: {address.api}: the token is sent in the clear: https:// would protect it")
            return command(address=address, **others)

        return functools.reduce(lambda wrapped, option: option(wrapped), reversed(given), with_address)

    return add


def work(command: Command) -> Command:
    """Add the options that say what is to run, for one run and for a schedule alike."""
    given = [
        click.option(
            "--experiment",
            type=Text(),
            metavar="NAME",
            help="Experiment to file it under.  [default: the pipeline's name]",
        ),
        click.option(
            "--param", "params", multiple=True, type=Pair(), metavar="NAME=VALUE", help="Runtime parameter; repeatable."
        ),
        click.option(
            "--pipeline-root",
            type=Text("URI", longest=2048),
            metavar="URI",
            callback=_bucket,
            help="Where to keep artifacts.  [default: what the file says]",
        ),
        click.option(
            "--service-account", type=Text(), metavar="NAME", help="Account of the pods.  [default: what the file says]"
        ),
        click.option("--no-cache", is_flag=True, help="Execute every task."),
        click.option("--skip-lint", is_flag=True, help="Do not ask the linter first."),
    ]
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(given), command)


def checked(work: Work, name: str | None, *, skip_lint: bool, namespace: str | None = None) -> Sequence[Any]:
    """Return the linter's warnings after saying them; raises as `submission.check` and `submission.check_places`."""
    submission.check_places(work, name)
    warnings = submission.check(work.as_run, lint=not skip_lint, namespace=namespace)
    for warning in warnings:
        say(f"warning: {warning.where}: {warning.what}")
    return warnings


@contextlib.contextmanager
def changing() -> Iterator[tuple[Callable[[], None], contextlib.ExitStack]]:
    """Yield what is to be called before a change on the server, and the stack that holds signals back from then on.

    What the server has begun has an id that somebody must be told. Looking things up before may be broken off.
    """
    with contextlib.ExitStack() as untold:

        def begun() -> None:
            PROCESS.check()
            untold.enter_context(PROCESS.held_back())

        yield begun, untold


def table_console() -> Console:
    """Return a console whose tables keep an entry on one line where they are piped on."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=PIPED_WIDTH)


def _bucket(_: click.Context, parameter: click.Parameter, uri: str | None) -> str | None:
    if uri is not None:
        TARGETS[OSS].check_uri(uri, parameter.opts[0])
    return uri


def _token(file: Path | None) -> str | None:
    """Return the token from the file, else from the environment; without the blanks around it.

    Raises:
      BadInput: if the file holds none.
    """
    if file is None:
        return os.environ.get(TOKEN, "").strip() or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as err:
        raise BadInput("cannot be read", where=file, wanted="a token", got=type(err).__name__) from err
    if not token:
        raise BadInput("holds no token", where=file)
    return token
