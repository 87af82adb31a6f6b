"""Termination message of a container: the one line by which a failed pod says what kind of failure it was.

KFP's launcher ends with 1 whatever our process ended with (`cmd/launcher-v2/main.go` of kubeflow/pipelines), so an exit
code reaches nobody: neither Argo's retries nor the page of a run. The message does.
"""

from __future__ import annotations

import re
from typing import Final

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused

LOG: Final = "/dev/termination-log"
"""What is written there, Kubernetes shows as the reason why a container ended."""

KINDS: Final[dict[str, type[MnistTfxError]]] = {
    "bad input": BadInput,
    "refused": Refused,
    "environment": EnvironmentProblem,
    "cannot tell": CannotTell,
}
"""{kind in the message: its class}; the exit code beside it is the command line's."""

_LINE: Final = re.compile(rf"mnist-tfx: ({'|'.join(KINDS)}) \(exit code ([0-9]+)\): (.+)")


def line(err: MnistTfxError) -> str:
    """Return the message of a failure, such as `mnist-tfx: refused (exit code 3): Evaluator: not blessed`."""
    kind = next(name for name, class_ in KINDS.items() if class_.exit_code == err.exit_code)
    return f"mnist-tfx: {kind} (exit code {int(err.exit_code)}): {err}"


def kind_and_text(message: str) -> tuple[type[MnistTfxError], str] | None:
    """Return the class of failure and the text of a message; None for a message that no container of ours wrote."""
    match = _LINE.fullmatch(message.strip())
    if match is None or int(KINDS[match[1]].exit_code) != int(match[2]):
        return None
    return KINDS[match[1]], match[3]
