"""The export as PROV-JSON: entities with their digests, the activities that used and generated them, the agent.

https://www.w3.org/TR/prov-dm/ and https://www.w3.org/submissions/prov-json/. The code of a node is the plan that its
execution followed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline.lineage.export.origin import CODE, Item, Origin

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACE: Final = "urn:mnist-tfx:prov:"
PREFIX: Final = "mnist"
AGENT: Final = f"{PREFIX}:runner"


def prov(origin: Origin) -> str:
    """Return the document, sorted by key."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace(PREFIX, NAMESPACE)
    _agent(document, origin)
    for item in origin.items:
        document.entity(_entity(item), _attributes(item, origin))
    for hash_ in origin.executions:
        _activity(document, origin, hash_)
    for file in origin.files:
        document.membership(_entity(origin.model), _entity(file))
    fields = json.loads(str(document.serialize(format="json")))
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _agent(document: ProvDocument, origin: Origin) -> None:
    from prov.constants import PROV

    attributes: dict[Any, Any] = {"prov:type": PROV["SoftwareAgent"], "prov:label": "mnist-tfx"}
    attributes |= {f"{PREFIX}:{name}": version for name, version in sorted(origin.packages.items())}
    document.agent(AGENT, attributes)


def _activity(document: ProvDocument, origin: Origin, hash_: str) -> None:
    """Add an execution with all that it used and generated; every relation has a name, or it would get a number."""
    record = origin.executions[hash_]
    activity = f"{PREFIX}:execution/{record.node}/{hash_[:16]}"
    attributes = {
        "prov:label": record.node,
        f"{PREFIX}:run": record.run_id,
        f"{PREFIX}:device": record.environment.device,
    }
    document.activity(activity, record.started, record.finished, attributes)
    plan = None
    for number, (channel, item) in enumerate(origin.inputs_of(record)):
        plan = _entity(item) if channel == "code" else plan
        if channel != "code":
            attributes = {"prov:role": channel}
            document.usage(activity, _entity(item), None, _relation("used", hash_, number), attributes)
    for number, (channel, item) in enumerate(origin.outputs_of(hash_)):
        attributes = {"prov:role": channel}
        document.generation(_entity(item), activity, record.finished, _relation("generated", hash_, number), attributes)
    document.association(activity, AGENT, plan, _relation("associated", hash_, 0))


def _entity(item: Item) -> str:
    name = "model" if item.name == "." else re.sub(r"[^A-Za-z0-9._/-]", "_", item.name)  # less than PROV-N allows
    return f"{PREFIX}:{name}/{item.digest[:16]}"


def _relation(kind: str, hash_: str, number: int) -> str:
    return f"{PREFIX}:{kind}/{hash_[:16]}/{number}"


def _attributes(item: Item, origin: Origin) -> dict[str, Any]:
    from prov.constants import PROV

    is_model = item == origin.model
    kind = PROV["Collection"] if is_model else PROV["Plan"] if item.name.startswith(CODE) else None
    attributes = {
        "prov:type": kind,
        "prov:location": origin.lineage.path if is_model else item.annotations.get("path"),
        "prov:label": f"version {origin.lineage.version}" if is_model else item.name,
        f"{PREFIX}:{item.algorithm}": item.digest,
    }
    return {name: value for name, value in attributes.items() if value is not None}
