"""What a page answers to something that it cannot look at: a status and one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused, shortened
from pipeline.predict.server.status import RequestError
from pipeline.report.run_data import NotThereError

Result = TypeVar("Result")

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


def why_not(error: Exception) -> str:
    """Return in one line why there is no answer; of an error that nobody foresaw, its kind too."""
    foreseen = isinstance(error, MnistTfxError | NotThereError)
    return shortened(error) if foreseen else shortened(f"{type(error).__name__}: {error}")


def attempt(function: Callable[[], Result], otherwise: Callable[[str], Result]) -> Result:
    """Return what a function returns; where it fails, what is made of the reason.

    A root may be damaged in any way, and a page waits for an answer.
    """
    try:
        return function()
    except Exception as err:  # noqa: BLE001  # of whatever kind: a thread that ends without a word is waited for
        return otherwise(why_not(err))
