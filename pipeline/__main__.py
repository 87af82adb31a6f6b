"""Entry point of `mnist-tfx` and `python -m pipeline`: signals are handled before anything that takes time is imported."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from pipeline.process.arguments import hide_passwords

hide_passwords()
try:
    from pipeline.process.signals import PROCESS
except KeyboardInterrupt:  # Python's own handler is still there, and would print a traceback of ours
    os.write(2, b"mnist-tfx: interrupted by SIGINT\n")
    os._exit(130)  # ExitCode.INTERRUPTED, which is not imported yet

if TYPE_CHECKING:
    from pipeline.process.signals import Interrupted


def main() -> NoReturn:
    """Run the command line and exit."""
    PROCESS.install()
    with PROCESS.leaving(_leave):
        from pipeline.cli import main as cli
    cli.main()


def _leave(error: Interrupted) -> NoReturn:
    """End the process while the command line is imported, with what `pipeline.cli.main.leave` would print."""
    if "--json" in sys.argv:
        nothing = '"where": null, "wanted": null, "got": null, "hint": null'
        ways = '"facts": [], "commands": [], "page": null'
        fields = f'{{"what": "{error}", {nothing}, "signal": "{error.signal}", "problems": [], {ways}}}'
        envelope = f'"schema_version": 1, "command": null, "status": "interrupted", "error": {fields}, "data": null'
        _write(1, f"{{{envelope}}}\n")
    _write(2, f"mnist-tfx: {error}\n")
    os._exit(error.exit_code)


def _write(descriptor: int, text: str) -> None:
    try:
        os.write(descriptor, text.encode())
    except OSError:
        return


if __name__ == "__main__":
    main()
