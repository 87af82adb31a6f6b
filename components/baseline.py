"""The baseline: the served model that the candidate must not be worse than, or an explicit "none".

That is the highest version that was pushed and not changed since, and whose bytes differ from the candidate's: its own
digest is the one that its provenance tells. A numbered folder of anybody else's is none. A Resolver would be no help: it makes an
unchanged second run evaluate and push again, and open-source Kubeflow has none. Here the driver puts the baseline's
digest among the execution properties, so the cache sees exactly what matters.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.base import Component, Driver, Executor
from components.declaration import OWN_PARAMETERS
from components.digest import tree_digest
from components.errors import EnvironmentProblem
from components.serving import BASELINE_PROPERTY, FORMAT_SERVING, NO_BASELINE, ServedVersion, locate, versions

BASELINE_DIGEST: Final = "baseline_digest"
NONE_FILE: Final = "none.json"


def baseline_version(serving_dir: Path, candidate_digest: str | None) -> ServedVersion | None:
    """Return the highest version, as it was pushed, with another digest than the candidate's, or None.

    Args:
      serving_dir: the serving directory; it may be missing.
      candidate_digest: 64 hex digits, or None while the candidate is not trained yet.
    """
    # What is not as it was pushed is nothing to compare with; the audit reports it.
    pushed = (served for served in reversed(versions(serving_dir)) if served.as_pushed)
    return next((served for served in pushed if served.digest != candidate_digest), None)


class BaselineDriver(Driver):
    """Puts the digest of the baseline into the cache key."""

    @staticmethod
    def resolve(
        parameters: Mapping[str, Any], root: Path, digests: Mapping[str, Sequence[str | None]]
    ) -> dict[str, Any]:
        """Return the execution properties with `baseline_digest` filled in; read, and changes nothing.

        Args:
          parameters: as declared.
          root: of the pipeline.
          digests: {channel: digests of its artifacts}; `model` may be absent or empty before it is trained.
        """
        candidate = next(iter(digests.get("model", ())), None)
        served = baseline_version(root / parameters["serving_dir"], candidate)
        return {**parameters, BASELINE_DIGEST: NO_BASELINE if served is None else served.digest}

    def resolved(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Resolve for TFX's own launchers, which hand over artifacts and no digests."""
        digest = tree_digest(Path(inputs["model"].uri) / FORMAT_SERVING)
        return self.resolve(properties, root, {"model": [digest]})


class BaselineSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """The candidate in, what is served instead of it out."""

    PARAMETERS = {
        "serving_dir": ExecutionParameter(type=str),
        BASELINE_DIGEST: ExecutionParameter(type=str, optional=True),
        **OWN_PARAMETERS,
    }
    INPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"baseline": ChannelParameter(type=standard_artifacts.Model)}


class BaselineExecutor(Executor):
    """Copies the version that the driver chose."""

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Write the baseline artifact.

        Raises:
          EnvironmentProblem: if the chosen version is gone or has changed since.
        """
        del inputs
        output = outputs["baseline"]
        Path(output.uri).mkdir(parents=True, exist_ok=True)
        wanted = properties[BASELINE_DIGEST]
        if wanted == NO_BASELINE:
            reason = {"baseline": NO_BASELINE, "reason": "no other pushed version is served"}
            (Path(output.uri) / NONE_FILE).write_text(json.dumps(reason, indent=1) + "\n")
            output.set_string_custom_property(BASELINE_PROPERTY, NO_BASELINE)
            return
        served = _with_digest(locate(properties["serving_dir"], output.uri), wanted)
        _copy(served, Path(output.uri) / FORMAT_SERVING)
        output.set_string_custom_property(BASELINE_PROPERTY, str(served))


def _with_digest(serving_dir: Path, digest: str) -> ServedVersion:
    for served in reversed(versions(serving_dir)):
        if served.as_pushed and served.digest == digest:
            return served
    raise EnvironmentProblem(
        "the baseline is gone", where=serving_dir, wanted=f"a version with digest {digest}", hint="run again"
    )


def _copy(served: ServedVersion, target: Path) -> None:
    # Bytes, no hard links: whoever wrote into the artifact would write into what is being served.
    shutil.copytree(served.path, target, symlinks=True, dirs_exist_ok=True)
    if (got := tree_digest(target)) != served.digest:
        raise EnvironmentProblem(
            "the baseline changed while it was copied",
            where=served.path,
            wanted=served.digest,
            got=got,
            hint="run again",
        )


class Baseline(Component):
    """What the candidate is compared with."""

    SPEC_CLASS = BaselineSpec
    DRIVER_CLASS = BaselineDriver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(BaselineExecutor)
