"""The Pusher: serves a model that has both blessings, and records the served version in its PushedModel.

What is served is made by `components.publish`; this is its TFX node. The PushedModel artifact holds `pushed.json`
(version, path, digest) and carries the stock Pusher's properties.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.base import Component, Driver, Executor
from components.declaration import OWN_PARAMETERS
from components.digest import tree_digest
from components.errors import EnvironmentProblem
from components.layout import STAGED
from components.publish import Publication, publish
from components.serving import FORMAT_SERVING, locate

PUSHED_FILE: Final = "pushed.json"
PROVENANCE_FILE: Final = "provenance.json"
"""Written by the runner into the executor's temporary folder, once everything it names is known."""

SIGNATURE_FILE: Final = "provenance.dsse.json"
"""Beside it, where the run was given a key."""

NOWHERE: Final = ""
"""In place of the serving directory where nothing is to be served."""

NOTHING_SERVED: Final = (
    "nothing is served from an InteractiveContext, which keeps no record of what the model was made from: "
    "`mnist_tfx.run()` and `mnist-tfx run` do, and serve it"
)

BLESSINGS: Final = ("model_blessing", "infra_blessing")


class AtomicPusherSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """The stock Pusher's channels; the destination is a folder of the root."""

    PARAMETERS = {"serving_dir": ExecutionParameter(type=str), **OWN_PARAMETERS}
    INPUTS = {
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
    }
    OUTPUTS = {
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }


class AtomicPusherExecutor(Executor):
    """Pushes what both blessings allow."""

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Run the push.

        Raises:
          BadInput: if the serving directory is a bucket.
          EnvironmentProblem: if it cannot be written, or the provenance manifest is missing.
          Refused: if the model's bytes are not those that were checked.
        """
        model, pushed_model = inputs["model"], outputs["pushed_model"]
        if properties["serving_dir"] == NOWHERE:
            pushed_model.set_int_custom_property("pushed", 0)
            return
        serving_dir = locate(properties["serving_dir"], pushed_model.uri)
        # A missing blessing reads as 0.
        if not all(inputs[channel].get_int_custom_property("blessed") == 1 for channel in BLESSINGS):
            pushed_model.set_int_custom_property("pushed", 0)
            return
        saved_model = Path(model.uri) / FORMAT_SERVING
        # The runner put the digest there when the model was trained; without a runner it is taken here.
        digest = model.get_string_custom_property("sha256") or tree_digest(saved_model)
        provenance = self._provenance()
        envelope = provenance.with_name(SIGNATURE_FILE)
        signature = envelope if envelope.is_file() else None
        anew = properties["serving_dir"] == STAGED
        made = publish(saved_model, serving_dir, provenance, digest, signature=signature, anew=anew)
        record(pushed_model, made, properties["serving_dir"])

    def _provenance(self) -> Path:
        manifest = Path(self._get_tmp_dir()) / PROVENANCE_FILE
        if not manifest.is_file():
            raise EnvironmentProblem(
                "the provenance manifest is missing", where=manifest, hint="nothing is served without its origin"
            )
        return manifest


def record(pushed_model: Any, made: Publication, serving_dir: str) -> None:
    """Fill a PushedModel: the stock Pusher's properties, and pushed.json with the path below the root."""
    pushed_model.set_int_custom_property("pushed", 1)
    pushed_model.set_string_custom_property("pushed_destination", str(made.path))
    pushed_model.set_string_custom_property("pushed_version", str(made.version))
    fields = {
        "version": made.version,
        "path": f"{serving_dir}/{made.version}",
        "digest": made.digest,
        "repeated": made.repeated,
    }
    Path(pushed_model.uri).mkdir(parents=True, exist_ok=True)
    (Path(pushed_model.uri) / PUSHED_FILE).write_text(json.dumps(fields, indent=1) + "\n")


class AtomicPusherDriver(Driver):
    """Keeps a model from being served where nobody could say afterwards what it was made from."""

    def resolved(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return the properties as they are."""
        del inputs, root
        return properties

    def unrecorded(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return the properties without a serving directory, and say so: there is no manifest to serve the model with."""
        del inputs, root
        warnings.warn(NOTHING_SERVED, stacklevel=2)
        return {**properties, "serving_dir": NOWHERE}


class AtomicPusher(Component):
    """Serves a blessed model, atomically, under a number that was never used before."""

    SPEC_CLASS = AtomicPusherSpec
    DRIVER_CLASS = AtomicPusherDriver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(AtomicPusherExecutor)
