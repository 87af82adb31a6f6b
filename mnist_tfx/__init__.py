"""The pipeline from Python: run it, and ask a root what is served there and what that was made from.

    import mnist_tfx

    done = mnist_tfx.run(root="runs/digits")
    root = mnist_tfx.open("runs/digits")
    root.newest.audit().passed()
    root.newest.predict(["seven.png"])
    root.used_in("seven.png").models

What is listed in `__all__` is stable, and a test holds its signatures. Everything else in `components` and `pipeline` may
change with any release. Importing this package imports neither NumPy nor TensorFlow: what needs them imports them.
"""

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused
from pipeline.cli.python.models import Model, Prediction
from pipeline.cli.python.roots import Root, Version
from pipeline.cli.python.roots import open_root as open  # noqa: A004  # as gzip.open and tarfile.open are called
from pipeline.cli.python.running import RunResult, run
from pipeline.process.signals import Interrupted

__all__ = [
    "BadInput",
    "CannotTell",
    "EnvironmentProblem",
    "Interrupted",
    "MnistTfxError",
    "Model",
    "Prediction",
    "Refused",
    "Root",
    "RunResult",
    "Version",
    "open",
    "run",
]
