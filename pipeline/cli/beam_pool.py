"""`mnist-tfx beam-pool`."""

from __future__ import annotations

import threading

import click

from pipeline.cli import options
from pipeline.cli.output import Answer, print_answer, say
from pipeline.cli.parameters import Integer, Text
from pipeline.process import lean_imports
from pipeline.process.signals import PROCESS, Interrupted


@options.command()
@click.option("--host", type=Text(), default="127.0.0.1", show_default=True, metavar="ADDRESS", help="To listen on.")
@click.option("--port", type=Integer(0, 65535), default=50000, show_default=True, help="0 takes any free one.")
@options.as_json
def beam_pool(host: str, port: int, as_json: bool) -> None:
    """Start workers for Flink or Spark, one pool beside each task manager or executor.

    A cluster runs our Python code in processes that it asks a pool for, at the address that --beam-option
    environment_config names. Whoever reaches the pool has it run code: by default that is this machine alone. Workers
    must see the pipeline's root under the same path as the run. A signal ends the pool, with exit code 0, and every
    worker. With --json, the one object is printed once requests are answered.

    \b
    Example:
      mnist-tfx beam-pool --port 50000 &
      mnist-tfx run --beam flink --beam-option flink_master=http://127.0.0.1:8081 --beam-option environment_config=127.0.0.1:50000
    """
    lean_imports.install(lean_imports.COMPONENTS)
    from pipeline.runner.beam import pool  # Beam, 2 s

    try:
        with pool.listening(host, port, say) as address:
            if as_json:
                print_answer(Answer(data={"address": address}))
            else:
                click.echo(f"workers at {address}")
            threading.Event().wait()
    except Interrupted as err:
        say(f"{err.signal}: ended, with every worker")
        PROCESS.forget()
