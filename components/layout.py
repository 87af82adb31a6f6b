"""The layout of a root as the stages need it: where the root of an artifact is.

Our runner and the pods keep artifacts below `<root>/artifacts`, beside `inputs` and `serving`. TFX's InteractiveContext
has a pipeline root of any name, often one of its own below the folder for temporary files: then that is the root, lest
data be written beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

ARTIFACTS: Final = "artifacts"
"""The pipeline root, in TFX's words, below a root of ours."""

LEDGER: Final = "ledger.jsonl"
"""The ledger of a root of ours, which whoever writes there has to keep."""

STAGED: Final = "staged"
"""The folder of versions that wait for their promotion, beside the serving directory."""


def root_of(artifact_uri: str) -> Path:
    """Return the root of the pipeline that an artifact belongs to.

    Args:
      artifact_uri: `<pipeline root>/<node>/<channel>/<execution id>`, as TFX decides.
    """
    return root_above(str(Path(artifact_uri).absolute().parents[2]))


def root_above(pipeline_root: str) -> Path:
    """Return the root that a pipeline root belongs to."""
    place = Path(pipeline_root).absolute()
    return place.parent if place.name == ARTIFACTS else place
