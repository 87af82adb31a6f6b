"""KFP's `kfp-launcher` configmap: where artifacts go by default, and which Secret opens a bucket.

The rules are those of backend/src/v2/config (env.go, minio.go, s3.go, gcs.go) of kubeflow/pipelines, 2.17.0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.errors import BadInput
from components.untrusted import parse_yaml

CONFIGMAP: Final = "kfp-launcher"
DEFAULT_ROOT: Final = "minio://mlpipeline/v2/artifacts"

_FIELDS: Final = ("accessKeyKey", "secretKeyKey", "tokenKey")


@dataclasses.dataclass(frozen=True)
class SecretRef:
    """Entries of a Secret with a bucket's credentials."""

    name: str
    keys: tuple[str, ...]


MINIO: Final = SecretRef("mlpipeline-minio-artifact", ("accesskey", "secretkey"))
"""Taken for minio:// where no provider is configured."""


def default_root(data: Mapping[str, str] | None) -> str:
    """Return the root that artifacts go to by default, and which KFP 3.0 keeps pipelines to."""
    return (data or {}).get("defaultPipelineRoot") or DEFAULT_ROOT


def credentials(data: Mapping[str, str] | None, root: str) -> SecretRef | None:
    """Return the Secret that the launcher opens a pipeline root with; None if it takes what its environment gives.

    Args:
      data: of the configmap; None if there is none.
      root: URI of the pipeline root.

    Raises:
      BadInput: if the providers are not of KFP's form.
    """
    scheme, _, rest = root.partition("://")
    bucket, _, prefix = rest.partition("/")
    text = (data or {}).get("providers", "")
    where = f"{CONFIGMAP}: providers"
    try:
        provider = (parse_yaml(text, where=where) or {}).get(scheme) if text else None
        if not provider:
            return MINIO if scheme == "minio" else None
        fitting = (one for one in _overrides(provider) if _fits(one, bucket, prefix))
        chosen = next(fitting, provider.get("default") or {})["credentials"]
        if chosen.get("fromEnv"):
            return None
        entry = chosen["secretRef"]
        return SecretRef(str(entry["secretName"]), tuple(str(entry[field]) for field in _FIELDS if field in entry))
    except (AttributeError, KeyError, TypeError) as err:
        raise BadInput(f"no credentials for {scheme}:// that KFP could read", where=where, got=err) from err


def _overrides(provider: Mapping[str, Any]) -> list[Any]:
    # Go reads the key in either case, and the documentation has both.
    return list(provider.get("overrides") or provider.get("Overrides") or ())


def _fits(override: Mapping[str, Any], bucket: str, prefix: str) -> bool:
    wanted = str(override.get("keyPrefix", "")).strip("/")
    inside = prefix.strip("/")
    return override.get("bucketName") == bucket and (not wanted or f"{inside}/".startswith(f"{wanted}/"))
