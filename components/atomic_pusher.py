"""A model and its two blessings -> the next served version and its PushedModel, or a PushedModel that says not pushed.

What is served is made by `components.publish`; this is its TFX node. The PushedModel artifact holds `pushed.json`
(version, path, digest) and carries the stock Pusher's properties.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, channel, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.declaration import OWN_PARAMETERS
from components.digest import tree_digest
from components.errors import EnvironmentProblem
from components.publish import Publication, publish
from components.serving import FORMAT_SERVING, locate

PUSHED_FILE: Final = "pushed.json"
PROVENANCE_FILE: Final = "provenance.json"
"""Written by the runner into the executor's temporary folder, once everything it names is known."""

SIGNATURE_FILE: Final = "provenance.dsse.json"
"""Beside it, where the run was given a key."""

BLESSINGS: Final = ("model_blessing", "infra_blessing")


class AtomicPusherSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """The stock Pusher's channels; the destination is a folder of the root."""

    PARAMETERS = {"serving_dir": ExecutionParameter(type=str), **OWN_PARAMETERS}  # noqa: RUF012  # TFX's idiom
    INPUTS = {  # noqa: RUF012  # TFX's idiom
        "model": ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
    }
    OUTPUTS = {  # noqa: RUF012  # TFX's idiom
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }


class AtomicPusherExecutor(base_executor.BaseExecutor):  # type: ignore[misc]  # tfx has no annotations
    """Pushes what both blessings allow."""

    def Do(  # noqa: N802  # TFX's name
        self,
        input_dict: Mapping[str, list[Any]],
        output_dict: Mapping[str, list[Any]],
        exec_properties: Mapping[str, Any],
    ) -> None:
        """Runs the push.

        Raises:
          BadInput: if the serving directory is a bucket.
          EnvironmentProblem: if it cannot be written, or the provenance manifest is missing.
          Refused: if the model's bytes are not those that were checked.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        pushed_model = artifact_utils.get_single_instance(output_dict["pushed_model"])
        serving_dir = locate(exec_properties["serving_dir"], pushed_model.uri)
        if not all(_is_blessed(input_dict, channel_name) for channel_name in BLESSINGS):
            pushed_model.set_int_custom_property("pushed", 0)
            return
        model = artifact_utils.get_single_instance(input_dict["model"])
        saved_model = Path(model.uri) / FORMAT_SERVING
        # The runner put the digest there when the model was trained; without a runner it is taken here.
        digest = model.get_string_custom_property("sha256") or tree_digest(saved_model)
        provenance = self._provenance()
        envelope = provenance.with_name(SIGNATURE_FILE)
        signature = envelope if envelope.is_file() else None
        made = publish(saved_model, serving_dir, provenance, digest, signature=signature)
        record(pushed_model, made, exec_properties["serving_dir"])

    def _provenance(self) -> Path:
        manifest = Path(self._get_tmp_dir()) / PROVENANCE_FILE
        if not manifest.is_file():
            raise EnvironmentProblem(
                "the provenance manifest is missing", where=manifest, hint="nothing is served without its origin"
            )
        return manifest


def _is_blessed(input_dict: Mapping[str, list[Any]], channel_name: str) -> bool:
    blessing = artifact_utils.get_single_instance(input_dict[channel_name])
    # A missing blessing reads as 0.
    return bool(blessing.get_int_custom_property("blessed") == 1)


def record(pushed_model: Any, made: Publication, serving_dir: str) -> None:
    """Fills a PushedModel: the stock Pusher's properties, and pushed.json with the path below the root."""
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


class AtomicPusher(base_component.BaseComponent):  # type: ignore[misc]  # tfx has no annotations
    """Serves a blessed model, atomically, under a number that was never used before."""

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(AtomicPusherExecutor)

    def __init__(
        self,
        *,
        model: channel.BaseChannel,
        model_blessing: channel.BaseChannel,
        infra_blessing: channel.BaseChannel,
        serving_dir: str,
        code_digest: str,
    ) -> None:
        """Declares the node.

        Args:
          model: the candidate.
          model_blessing: the Evaluator's.
          infra_blessing: the SavedModelCheck's.
          serving_dir: absolute, or relative to the root.
          code_digest: of this node's code.
        """
        super().__init__(
            AtomicPusherSpec(
                model=model,
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                serving_dir=serving_dir,
                code_digest=code_digest,
                pushed_model=channel.Channel(type=standard_artifacts.PushedModel),
            )
        )
