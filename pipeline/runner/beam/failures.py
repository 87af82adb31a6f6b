"""What a cluster says about a job that failed, in one line: Java's own is kilobytes of stack."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from components.errors import EnvironmentProblem

FRAME: Final = re.compile(r"\s+at (?:org\.apache\.|java\.|[\w$.]+\([\w$]+\.java)")
"""Where the stack begins."""

CLASS: Final = re.compile(r"^(?:[a-z][\w$]*\.)+[A-Z][\w$]*(?:Exception|Error): ")
"""What stands before a message: the class of an exception."""

AGAIN: Final = "the same command again goes on from here"


class Known(NamedTuple):
    """A failure with a cure."""

    pattern: re.Pattern[str]
    what: str
    hint: str


KNOWN: Final = (
    Known(
        re.compile(r"Insufficient number of network buffers[^.]*"),
        "the task managers have too few network buffers",
        "give each more, such as taskmanager.memory.network.min and .max: 1536m for two slots, or ask for less "
        "--beam-option parallelism",
    ),
    Known(
        # By whom it is missed first: the resource manager, a task that reads from it, or the job's master, which sends it one.
        re.compile(
            r"TaskManager with id \S+ is no longer reachable|Heartbeat of TaskManager|TaskExecutor .*disconnected"
            r"|Connection unexpectedly closed by remote task manager '[^']*'|Lost connection to task manager '[^']*'"
            r"|(?:Could not send message|Invocation of) \[RemoteRpcInvocation\(TaskExecutorGateway\.\w+"
        ),
        "a task manager was lost",
        f"its log says why, most often that it had too little memory; {AGAIN}",
    ),
    Known(
        re.compile(r"ExecutorLostFailure[^\n]*|Lost executor[^\n]*|Master removed our application"),
        "an executor was lost",
        f"its log says why, most often that it had too little memory; {AGAIN}",
    ),
    Known(
        re.compile(r"OutOfMemoryError: Metaspace"),
        "a Java process has no room for more classes",
        "give it more, such as jobmanager.memory.jvm-metaspace.size: 768m, and start it again: every job leaves some",
    ),
    Known(
        re.compile(r"NoResourceAvailableException[^\n]*"),
        "no task manager had free slots",
        "start one with bin/taskmanager.sh start, or ask for less --beam-option parallelism",
    ),
    Known(
        re.compile(r"record exceeds the maximum size of a sort buffer[^\n]*"),
        "a task has too little memory to sort in",
        "give each slot more managed memory, and set taskmanager.runtime.large-record-handler: true",
    ),
)


def problem(text: str, engine: str) -> EnvironmentProblem:
    """Return the error about a job that failed, from all that the cluster said."""
    for known in KNOWN:
        if (found := known.pattern.search(text)) is not None:
            return EnvironmentProblem(known.what, where=engine, got=found[0], hint=known.hint)
    return EnvironmentProblem("the job failed", where=engine, got=message(text), hint="the whole text is in the log")


def message(text: str) -> str:
    """Return what is said before the stack, without classes of exceptions; of causes the last, which began it."""
    said = text.rpartition("Caused by: ")[2]
    said = " ".join(FRAME.split(said, maxsplit=1)[0].split())
    while (shorter := CLASS.sub("", said)) != said:
        said = shorter
    return said
