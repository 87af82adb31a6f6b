"""`mnist-tfx serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from components.errors import BadInput
from components.untrusted import read_bytes
from pipeline.cli import audit_options, options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import Checked, InputFile, Integer, Pair, Share, Text
from pipeline.provenance.ledger import Head
from pipeline.root import identity
from pipeline.root.paths import RunPaths

if TYPE_CHECKING:
    from pipeline.predict.server.serve import Started  # brings TensorFlow
    from pipeline.predict.server.tokens import Token

TOKEN_LIMIT: Final = 4096
SHORTEST_TOKEN: Final = 16
LONGEST_VERSION: Final = 20


@options.command()
@options.root
@click.option("--host", type=Text(), default="127.0.0.1", show_default=True, metavar="ADDRESS", help="To listen on.")
@click.option("--port", type=Integer(0, 65535), default=8501, show_default=True, help="Of REST; 0 takes any free one.")
@click.option(
    "--grpc-port", type=Integer(0, 65535), default=8500, show_default=True, help="Of gRPC; 0 takes any free one."
)
@click.option("--model-name", type=Text(), metavar="NAME", help="In addresses.  [default: the pipeline's]")
@click.option("--latest", type=Integer(1, 100), default=1, show_default=True, help="Newest versions to serve.")
@click.option(
    "--label", "labels", multiple=True, type=Pair("NAME=VERSION"), metavar="NAME=VERSION", help="May be repeated."
)
@click.option("--key", type=InputFile(), metavar="FILE", help="Public key (PEM) that has to have signed a version.")
@click.option(
    "--expect-head",
    type=Checked(Head.from_str, name="head", as_given=True),
    metavar="LINES:HASH",
    help="A head of the ledger that was kept elsewhere.",
)
@click.option(
    "--require-approval", is_flag=True, help="Serve only what somebody approved with a key that was in force."
)
@audit_options.approval_key
@click.option(
    "--max-batch", type=Integer(1, 65536), default=256, show_default=True, help="Rows of one call; 1: no batching."
)
@click.option("--max-rows", type=Integer(1, 1_000_000), default=4096, show_default=True, help="Rows of one request.")
@click.option("--max-body", type=Integer(1, 1 << 30), default=16 << 20, show_default=True, help="Bytes of one request.")
@click.option(
    "--max-concurrency", type=Integer(1, 100_000), default=1024, show_default=True, help="Requests at the same time."
)
@click.option(
    "--timeout", type=Integer(1, 3600), default=30, show_default=True, help="Seconds that a request may take."
)
@click.option("--token-file", type=InputFile(), metavar="FILE", help="A bearer token that every request has to bear.")
@click.option("--tls-cert", type=InputFile(), metavar="FILE", help="The server's certificate (PEM).")
@click.option("--tls-key", type=InputFile(), metavar="FILE", help="Its key (PEM).")
@click.option("--tls-client-ca", type=InputFile(), metavar="FILE", help="Authority of the clients' certificates (PEM).")
@click.option(
    "--sample",
    type=Share(),
    metavar="SHARE",
    help="Of the requests, kept in the root for `serving monitor`.  [default: none]",
)
@click.option(
    "--sample-limit", type=Integer(1, 1 << 20), default=256, show_default=True, help="MiB of all samples together."
)
@click.option("--no-pages", is_flag=True, help="Serve the two interfaces alone, without pages for a browser.")
@options.as_json
def serve(  # noqa: PLR0913  # one argument to each option
    root: Path,
    host: str,
    port: int,
    grpc_port: int,
    model_name: str | None,
    latest: int,
    labels: tuple[str, ...],
    key: Path | None,
    expect_head: str | None,
    require_approval: bool,
    approval_keys: tuple[Path, ...],
    max_batch: int,
    max_rows: int,
    max_body: int,
    max_concurrency: int,
    timeout: int,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    sample: float | None,
    sample_limit: int,
    no_pages: bool,
    as_json: bool,
) -> None:
    """Serve the newest version over TensorFlow Serving's REST and gRPC interfaces, verified before it is loaded.

    A version whose bytes are not those that the ledger, its manifest and --key vouch for is refused, and what was served
    goes on being served. Pushes, rollbacks and prunes are followed within a second. With --json, the one object is
    printed once requests are answered. A signal ends the server, with exit code 0, once it has answered what was asked.

    \b
    Example:
      mnist-tfx serve --root runs/mnist --key public.pem
      curl -d '{"instances": [[0, ...]]}' http://127.0.0.1:8501/v1/models/mnist:predict
    """
    from pipeline.predict.server import serve as serving
    from pipeline.predict.server.service import Limits
    from pipeline.predict.server.verification import Conditions

    chosen = serving.Options(
        root=root,
        name=model_name or _name(root),
        host=host,
        port=port,
        grpc_port=grpc_port,
        conditions=Conditions(
            key=key,
            head=None if expect_head is None else Head.from_str(expect_head),
            approval=require_approval,
            approval_keys=approval_keys,
        ),
        limits=Limits(body=max_body, rows=max_rows, concurrency=max_concurrency, seconds=float(timeout)),
        latest=latest,
        labels=dict(map(_label, labels)),
        most_rows=max_batch,
        token=None if token_file is None else _token(token_file),
        certificate=tls_cert,
        private_key=tls_key,
        clients=tls_client_ca,
        pages=not no_pages,
        sample=sample or 0.0,
        sample_bytes=sample_limit << 20,
    )
    serving.serve(chosen, say=say, started=_print_json if as_json else _print)


def _print(started: Started) -> None:
    click.echo(f"REST   {started.rest}:predict")
    click.echo(f"gRPC   {started.grpc}")


def _print_json(started: Started) -> None:
    versions = [{"version": version, "digest": digest} for version, digest in started.versions.items()]
    print_answer(Answer(data={"rest": started.rest, "grpc": started.grpc, "versions": versions}))


def _name(root: Path) -> str:
    found = identity.read(RunPaths(root).identity).get("pipeline")
    return found if isinstance(found, str) and found else root.absolute().name


def _label(text: str) -> tuple[str, int]:
    name, version = text.split("=", 1)
    if not (version.isdecimal() and len(version) < LONGEST_VERSION):
        raise BadInput("no version number", where=f"--label {name}", wanted="a number", got=version)
    return name, int(version)


def _token(file: Path) -> Token:
    from pipeline.predict.server.tokens import Token

    token = read_bytes(file, limit=TOKEN_LIMIT).decode("utf-8", "replace").strip()
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise BadInput(
            "no bearer token",
            where=file,
            wanted=f"at least {SHORTEST_TOKEN} printable ASCII characters",
            got=f"{len(token)} characters",
        )
    return Token(token)
