"""Signals at points drawn by a seed: `make test-kill POINTS=200 SEED=1`, or `ONLY=17` for one of them again."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import click

from kill.points import Outcome, Point, points
from pipeline.cli.progress import bars


def main() -> int:
    """Tries each point, prints those that did not survive, and returns 1 if there are any."""
    parser = argparse.ArgumentParser(prog="test-kill", description=__doc__)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one point")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    began = time.monotonic()
    chosen = dict(enumerate(points(given.points, given.seed), 1))
    if given.only is not None:
        chosen = {given.only: chosen[given.only]}
    polls = failed = 0
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("fork")) as workers:
        trying: dict[Future[Outcome], int] = {workers.submit(_try, point): n for n, point in chosen.items()}
        with bars() as progress:
            for done, trial in enumerate(as_completed(trying), 1):
                outcome, number = trial.result(), trying[trial]
                polls += outcome.polls
                progress("points", done, len(chosen))
                if outcome.wrong:
                    failed += 1
                    repeat = f"make test-kill POINTS={given.points} SEED={given.seed} ONLY={number}"
                    click.echo("\n  ".join([f"point {number}: {outcome.name}: {repeat}", *outcome.wrong]))
    took = time.monotonic() - began
    click.echo(
        f"{len(chosen) - failed} of {len(chosen)} points survived, {polls} polls, {took:.0f} s (seed {given.seed})"
    )
    return 1 if failed else 0


def _try(point: Point) -> Outcome:
    return point.run()


if __name__ == "__main__":
    sys.exit(main())
