"""What a report asks of a run's models, asked ahead: while the exported one is checked, so that the report need not wait.

Asking takes two seconds of both cores and depends on the models alone. It begins once they are evaluated: until then the
Evaluator has one core and the check's interpreter the other, and a third process raised the peak of a run's memory.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final

from components.errors import EnvironmentProblem
from pipeline.process.child import CPU_ONLY

if TYPE_CHECKING:
    from components.settings import DataSettings
    from pipeline.process.forkserver_client import StageProcesses
    from pipeline.provenance.records import ExecutionRecord
    from pipeline.root.paths import RunPaths

NAME: Final = "answers_ahead"


class AnswersAhead:
    """Asks a warm process, ahead where it was told to; what a report calls to have its question answered.

    Args:
      processes: the fork server of the runs of a command.
    """

    def __init__(self, processes: StageProcesses) -> None:
        self._processes = processes
        self._begun: Future[tuple[Mapping[str, Any], bytes] | None] | None = None

    def begin(self, paths: RunPaths, executions: Mapping[str, ExecutionRecord], data: DataSettings) -> None:
        """Begin to ask, unless the answers were kept; a thread does all of it, the imports too.

        Args:
          paths: of the root.
          executions: {node: record}, of those that have ended.
          data: settings of the run's data.
        """
        begun = self._begun = Future()

        def ask() -> None:
            try:
                begun.set_result(self._asked(paths, executions, data))
            except Exception as err:  # noqa: BLE001  # for the report to say
                begun.set_exception(err)

        # Not waited for by a process that ends: what it waits for is ended with the processes.
        threading.Thread(target=ask, name=NAME, daemon=True).start()

    def _asked(
        self, paths: RunPaths, executions: Mapping[str, ExecutionRecord], data: DataSettings
    ) -> tuple[Mapping[str, Any], bytes] | None:
        """Return the whole question, and the answers but for the latency, as others are at work; None where they were kept."""
        from pipeline.report import asking, model_answers

        kept = asking.kept_answers(paths, executions)
        if kept is None or kept.exists():
            return None
        question = dataclasses.asdict(asking.question_about(paths, executions, data))
        return question, self._call({**question, "part": model_answers.BUT_LATENCY})

    def __call__(self, question: Mapping[str, Any]) -> bytes:
        """Return the answers to a question as an .npz file, those that were asked for ahead if it is the same.

        Raises:
          EnvironmentProblem: if the process that is asked fails.
        """
        found = None if self._begun is None else self._begun.result()
        if found is None or found[0] != question:
            return self._call(question)
        from components.arrays import parse_npz
        from pipeline.report import model_answers

        latency = self._call({**question, "part": model_answers.LATENCY_ALONE})
        parts = [parse_npz(part, where="report", error=EnvironmentProblem) for part in (found[1], latency)]
        return model_answers.as_npz({**parts[0], **parts[1]})

    def _call(self, question: Mapping[str, Any]) -> bytes:
        from pipeline.report import asking

        return self._processes.call(asking.FUNCTION, question, CPU_ONLY)
