"""The filter of a run's log: standard input to the file that is named, without lines that are known to say nothing.

A line is left out only if it is word for word one of those below; whatever else a library says is kept, of whatever
level. The file runs as a script of its own, with nothing but the standard library: it is there before the first line, and
goes on until the last process that writes has ended.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

NOISE: Final = tuple(
    tuple(re.compile(line.encode()) for line in message.split(r"\n"))
    for message in (
        # Each library of CUDA is registered once by TensorFlow and once by XLA: on every machine, with or without a GPU.
        (
            r"[-0-9: .]*E external/local_xla/xla/stream_executor/cuda/cuda_(fft|dnn|blas)\.cc:\d+\] Unable to register "
            r"cu(FFT|DNN|BLAS) factory: Attempting to register factory for plugin cu(FFT|DNN|BLAS) when one has already "
            r"been registered"
        ),
        # Said by absl of the lines that C++ prints while modules are imported: they follow, and are kept.
        r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR",
        (
            r"I0000 [\d:. ]+port\.cc:\d+\] oneDNN custom operations are on\. You may see slightly different numerical "
            r"results due to floating-point round-off errors from different computation orders\. To turn them off, set the "
            r"environment variable `TF_ENABLE_ONEDNN_OPTS=0`\."
        ),
        # Beam looks for a library that only its MongoDB source needs.
        r"Could not find a compatible bson package\.",
        # TFX's Launcher says these of every node of every pipeline that no server runs.
        r"WARNING:absl:metadata_connection_config is not provided by IR\.",
        r"WARNING:absl:ArtifactQuery\.property_predicate is not supported\.",
        (
            r"WARNING:absl:Fallback to non-ZetaSQL contexts execution query due to: filter_query is not supported - "
            r"ZetaSQL dependency removed"
        ),
        # What we ask for (`components/transform.py`).
        (
            r"WARNING:absl:Using the in-place Transform since disable_statistics=True, it does not materialize "
            r"transformed data, and the configured preprocessing_fn appears to not require analyzing the data\."
        ),
        # TFMA's own call, with TensorFlow's advice to TFMA; the last line comes with it.
        (
            r"WARNING:tensorflow:From .*/tensorflow_model_analysis/writers/metrics_plots_and_validations_writer\.py:\d+: "
            r"tf_record_iterator \(from tensorflow\.python\.lib\.io\.tf_record\) is deprecated and will be removed in a "
            r"future version\.\nInstructions for updating:\nUse eager execution and: \n`tf\.data\.TFRecordDataset\(path\)`"
        ),
    )
)
"""Messages, of one line or of several that follow each other."""

UNFILTERED: Final = "MNIST_TFX_DEBUG"
"""Environment variable: set, the log has every line."""

BLOCK: Final = 1 << 16


class Filter:
    """Passes lines on; a message of several lines is held until it is complete, or is another one after all.

    Attributes:
      left_out: number of lines.
    """

    def __init__(self) -> None:
        self.left_out = 0
        self._held: list[bytes] = []

    def passed(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield those of the lines that say something, and of what is held what turned out to."""
        for line in lines:
            self._held.append(line)
            while self._held and not self._begins_message():
                yield self._held.pop(0)
            if self._held in self._complete():
                self.left_out += len(self._held)
                self._held = []

    def rest(self) -> list[bytes]:
        """Return what is still held at the end."""
        held, self._held = self._held, []
        return held

    def _begins_message(self) -> bool:
        return any(True for message in NOISE if self._matches(message))

    def _complete(self) -> list[list[bytes]]:
        return [self._held for message in NOISE if len(message) == len(self._held) and self._matches(message)]

    def _matches(self, message: tuple[re.Pattern[bytes], ...]) -> bool:
        held = self._held
        return len(held) <= len(message) and all(
            pattern.fullmatch(line) for pattern, line in zip(message, held, strict=False)
        )


def main() -> None:
    """Copy standard input to the file, line by line as they come, and say at the end how many were left out."""
    os.setsid()  # no signal from the terminal
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    noise, part = Filter(), b""
    while block := os.read(0, BLOCK):
        *whole, part = (part + block).split(b"\n")
        _write(log, noise.passed(whole))
    _write(log, [*noise.passed([part] if part else []), *noise.rest()])
    if noise.left_out:
        _write(
            log,
            [
                f"lines of the libraries that every run prints, left out: {noise.left_out}; {UNFILTERED}=1 keeps them".encode()
            ],
        )


def _write(log: int, lines: Iterable[bytes]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    try:
        while data:
            data = data[os.write(log, data) :]
    except OSError:
        pass  # a log that cannot be written is no reason to block those who write to it


if __name__ == "__main__":
    main()
