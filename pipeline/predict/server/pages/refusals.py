"""What a page answers to something that it cannot look at: a status and one line."""

from __future__ import annotations

from typing import Final

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused, shortened
from pipeline.predict.server.status import RequestError

_STATUS: Final = {BadInput: 400, CannotTell: 422, Refused: 409, EnvironmentProblem: 409}
"""None of them a fault of this server: at fault is what was sent, or the state of the root."""

LONGEST: Final = 500


def status_of(error: MnistTfxError | RequestError) -> int:
    """Return the status of the HTTP answer."""
    if isinstance(error, RequestError):
        return error.http
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)


def one_line(error: MnistTfxError | RequestError) -> str:
    """Return what is wrong, in one line."""
    return shortened(error, LONGEST)
