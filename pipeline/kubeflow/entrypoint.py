"""Entry point of the containers, `python -m pipeline.kubeflow.entrypoint`: does one task, on KFP as on Vertex AI.

It ends with `os._exit`: TensorFlow's and Beam's threads have aborted interpreters that were done, and a pod that fails
after its work is a pod that failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from components.errors import EnvironmentProblem, MnistTfxError
from components.untrusted import parse_object
from pipeline.config.beam import engine_of
from pipeline.kubeflow import places, termination
from pipeline.kubeflow.pod import invocation
from pipeline.process import lean_imports, lifeline
from pipeline.process.child import ENGINE_ENV
from pipeline.process.signals import PROCESS, Interrupted


def main(argv: Sequence[str] | None = None) -> int:
    """Do one task and return the exit code of `components.errors.ExitCode`, which KFP's launcher turns into 1.

    A signal that arrives while a push is delivered changes nothing: what is served has to be recorded, and the platform
    records what a task has delivered only if it ends well.
    """
    PROCESS.install()
    if lifeline.PARENT in os.environ:  # a simulated pod; a real one ends with its container
        lifeline.die_with_parent(parent=0)  # a shell may be between the two
    arguments, beam_args = _parser().parse_known_args(argv)
    os.environ.update({name: value for name, value in ENGINE_ENV.items() if name not in os.environ})
    try:
        with tempfile.TemporaryDirectory(prefix="mnist-tfx-") as scratch:
            give_home(Path(scratch))
            _run(arguments, tuple(beam_args), Path(scratch))
    except Exception as err:  # noqa: BLE001  # whatever it is, the pod says so in one line
        return _failed(PROCESS.arrived or _as_our_error(err))
    return 0


def give_home(scratch: Path) -> None:
    """Give libraries a home that they can write to: a user whom the image does not know, or a read-only root, has none."""
    home = os.environ.get("HOME", "")
    if not os.path.isdir(home) or not os.access(home, os.W_OK):
        (scratch / "home").mkdir()
        os.environ["HOME"] = str(scratch / "home")


def _as_our_error(err: Exception) -> MnistTfxError:
    if isinstance(err, MnistTfxError):
        return err
    if isinstance(err, OSError):
        return EnvironmentProblem(err.strerror or str(err), where=err.filename)
    traceback.print_exc()
    return EnvironmentProblem(f"{type(err).__name__}: {' '.join(str(err).split())[:500]}")


def _run(arguments: argparse.Namespace, beam_args: tuple[str, ...], scratch: Path) -> None:
    parsed = invocation.parse(
        arguments.json_serialized_invocation_args,
        parse_object(arguments.json_serialized_inputs_spec_args, where="--json_serialized_inputs_spec_args"),
    )
    if arguments.driver is not None:
        from pipeline.kubeflow.pod import data_driver

        data_driver.run(parsed, arguments.pipeline, arguments.serving, scratch)
        return
    engine = engine_of(beam_args)
    if engine is None or not engine.google:
        lean_imports.install(lean_imports.COMPONENTS)
    from pipeline.kubeflow.pod import node  # TFX: some seconds

    node.run(
        node.Task(
            node=arguments.node,
            pipeline=arguments.pipeline,
            executor=arguments.executor_class_path,
            invocation=parsed,
            serving=arguments.serving,
            sign_key=None if arguments.sign_key is None else places.volume(arguments.sign_key),
            beam_args=beam_args,
        ),
        scratch,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.kubeflow.entrypoint",
        description="Does one task of a compiled pipeline; other arguments go to Beam.",
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--node", help="id of the TFX node to execute")
    what.add_argument("--driver", choices=["ExampleGen"], help="node whose driver is to run")
    parser.add_argument("--pipeline", required=True, help="name of the recipe")
    parser.add_argument("--executor_class_path", help="import path of the executor's class")
    parser.add_argument("--json_serialized_invocation_args", required=True, help="KFP's ExecutorInput")
    parser.add_argument("--json_serialized_inputs_spec_args", default="{}", help="the component's inputs")
    parser.add_argument("--pipeline-root", help="URI of the pipeline root; named so that it is in KFP's cache key")
    parser.add_argument("--serving", help="where the serving volume is mounted")
    parser.add_argument("--sign-key", help="private key to sign the served provenance with")
    return parser


def _failed(err: MnistTfxError | Interrupted) -> int:
    line = f"mnist-tfx: {err}" if isinstance(err, Interrupted) else termination.line(err)
    print(line, file=sys.stderr)  # noqa: T201  # the pod's answer
    with contextlib.suppress(OSError):
        places.volume(termination.LOG).write_text(f"{line}\n")
    return err.exit_code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
