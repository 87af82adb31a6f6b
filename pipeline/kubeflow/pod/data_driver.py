"""Driver of the data: its fingerprint, before KFP's cache is asked, and whether there is anything new in it.

What `lifecycle.preCacheCheck` is for; open-source KFP ignores that, and its cache would hand out the Examples of files
that have been replaced since. So this is a task of its own, which is never cached.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.ingest import spans
from components.schema_files import find_reviewed
from components.settings import Settings
from components.untrusted import parse_json
from components.wording import validated
from pipeline.kubeflow import names, places
from pipeline.kubeflow.pod import data, delivery, image_code, schemas
from pipeline.kubeflow.pod.data import Digested
from pipeline.kubeflow.pod.delivery import Output
from pipeline.kubeflow.pod.invocation import Invocation
from pipeline.kubeflow.pod.public_names import public_names
from pipeline.kubeflow.pod.served import require_same_pipeline
from pipeline.provenance.code import lock_digest
from pipeline.runner import up_to_date
from pipeline.runner.up_to_date import Newest


def run(invocation: Invocation, pipeline: str, serving: str, scratch: Path) -> None:
    """Digest the data in a pod.

    Args:
      invocation: what KFP sent.
      pipeline: name of the recipe.
      serving: where the serving volume is mounted. The pod does not write there; but a run that could not push in the
        end, for what is mounted, its permissions or what is served there, is refused here, before anything is trained.
      scratch: an empty folder on a local disk.

    Raises:
      BadInput: for unusable data, a serving directory in a bucket, or one that another pipeline serves from.
      Refused: if the image does not hold a function that the recipe names.
      EnvironmentProblem: if no volume is mounted, or the pod's user may not write there.
    """
    served = places.writable(serving)
    recipe = parse_json(str(invocation.parameters[names.RECIPE]), where=names.RECIPE)
    settings = validated(Settings, recipe, where=names.RECIPE)
    image_code.of_recipe(settings, lock_digest())  # here, and not when hours of training would begin
    newest = up_to_date.newest_served(served)
    with public_names({str(served): serving}):
        require_same_pipeline(served, newest, pipeline, settings.data)
    digested = data.digest(data.find(invocation, scratch), settings.data)
    folder = scratch / names.LINEAGE
    folder.mkdir()
    (folder / names.RUN_FILE).write_text(json.dumps({names.RECIPE: recipe, "sources": digested.told}, indent=1) + "\n")
    is_new = not spans.is_pattern(str(invocation.parameters[names.SOURCE])) or _is_new(
        invocation, settings, digested, newest
    )
    answers = {names.FINGERPRINT: digested.fingerprint, names.IS_NEW: "true" if is_new else "false"}
    delivery.deliver(invocation, {names.LINEAGE: Output(folder=folder)}, answers)


def _is_new(invocation: Invocation, settings: Settings, digested: Digested, newest: Newest | None) -> bool:
    """Whether the newest served version was made from other data, or by other code or settings; says so if not."""
    if newest is None or not up_to_date.same_work(newest.provenance, **_work(invocation, settings, digested)):
        return True
    print(f"no new span: version {newest.version} was made from it; nothing to do", flush=True)  # noqa: T201  # the log
    return False


def _work(invocation: Invocation, settings: Settings, digested: Digested) -> dict[str, Any]:
    folder = schemas.folder(str(invocation.parameters.get(names.SCHEMA, names.IMAGE_SCHEMA)))
    return {
        "payload_digests": digested.payloads,
        "settings": up_to_date.sections(settings),
        "code": image_code.of_recipe(settings, lock_digest()),
        "schema": up_to_date.schema_digests(find_reviewed(settings.data.geometry, folder).schema),
    }
