"""The export as PROV-JSON: entities with their digests, the activities that used and generated them, the agent.

https://www.w3.org/TR/prov-dm/ and https://www.w3.org/submissions/prov-json/. The code of a node is the plan that its
execution followed.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline.lineage.export.evidence import CODE, Evidence, Item

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACE: Final = "urn:mnist-tfx:prov:"
PREFIX: Final = "mnist"
AGENT: Final = f"{PREFIX}:runner"


def prov(evidence: Evidence) -> str:
    """Return the document, sorted by key."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace(PREFIX, NAMESPACE)
    _agent(document, evidence)
    for item in evidence.items:
        document.entity(_entity(item), _attributes(item, evidence))
    for known in evidence.executions:
        _activity(document, evidence, known)
    for file in evidence.files:
        document.membership(_entity(evidence.model), _entity(file))
    fields = json.loads(str(document.serialize(format="json")))
    return json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _agent(document: ProvDocument, evidence: Evidence) -> None:
    from prov.constants import PROV

    told: dict[Any, Any] = {"prov:type": PROV["SoftwareAgent"], "prov:label": "mnist-tfx"}
    told |= {f"{PREFIX}:{name}": version for name, version in sorted(evidence.packages.items())}
    document.agent(AGENT, told)


def _activity(document: ProvDocument, evidence: Evidence, known: str) -> None:
    """Add an execution with all that it used and generated; every relation has a name, or it would get a number."""
    record = evidence.executions[known]
    activity = f"{PREFIX}:execution/{record.node}/{known[:16]}"
    told = {"prov:label": record.node, f"{PREFIX}:run": record.run_id, f"{PREFIX}:device": record.environment.device}
    document.activity(activity, record.started, record.finished, told)
    plan = None
    for number, (channel, item) in enumerate(evidence.used(record)):
        plan = _entity(item) if channel == "code" else plan
        if channel != "code":
            told = {"prov:role": channel}
            document.usage(activity, _entity(item), None, _relation("used", known, number), told)
    for number, (channel, item) in enumerate(evidence.made(known)):
        told = {"prov:role": channel}
        document.generation(_entity(item), activity, record.finished, _relation("generated", known, number), told)
    document.association(activity, AGENT, plan, _relation("associated", known, 0))


def _entity(item: Item) -> str:
    name = "model" if item.name == "." else re.sub(r"[^A-Za-z0-9._/-]", "_", item.name)  # less than PROV-N allows
    return f"{PREFIX}:{name}/{item.digest[:16]}"


def _relation(kind: str, known: str, number: int) -> str:
    return f"{PREFIX}:{kind}/{known[:16]}/{number}"


def _attributes(item: Item, evidence: Evidence) -> dict[str, Any]:
    from prov.constants import PROV

    is_model = item == evidence.model
    kind = PROV["Collection"] if is_model else PROV["Plan"] if item.name.startswith(CODE) else None
    told = {
        "prov:type": kind,
        "prov:location": evidence.lineage.path if is_model else item.annotations.get("path"),
        "prov:label": f"version {evidence.lineage.version}" if is_model else item.name,
        f"{PREFIX}:{item.algorithm}": item.digest,
    }
    return {name: value for name, value in told.items() if value is not None}
