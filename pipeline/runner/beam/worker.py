"""The process of one Beam worker, started by `pipeline.runner.beam.pool` as `python -m ... CONTROL_ADDRESS WORKER_ID`.

It runs where nothing of the run is, from an interpreter that knows the installed packages and what Beam pickled, as on a
machine of a cluster, until its job ends or whoever started it does.
"""

from __future__ import annotations

import contextlib
import signal
import sys

from pipeline.process import lean_imports, lifeline


def main() -> None:
    """Work for one job; what Beam's own pool has its workers do."""
    lifeline.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pool, which ends its workers
    lean_imports.install(lean_imports.COMPONENTS)
    import grpc
    from apache_beam.runners.worker.sdk_worker import SdkHarness  # Beam, 2 s

    # Executors close the connection when their job is over, or are gone: either way there is nothing left to do.
    with contextlib.suppress(grpc.RpcError):
        SdkHarness(sys.argv[1], worker_id=sys.argv[2]).run()


if __name__ == "__main__":
    main()
