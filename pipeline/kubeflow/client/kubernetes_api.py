"""Kubernetes' API through its own client: quiet, limited in time, and with one error for whatever keeps it from answering.

Importing the client takes a second, so only `connect` does it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from components.errors import CannotTell
from components.untrusted import parse_json

NAMESPACE: Final = "kubeflow"
"""Where an installation for one user runs its pods."""

IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"
"""Set in every pod."""

_IN_POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """An API server, and who asks it.

    Attributes:
      core: the client's API of pods, secrets, claims, nodes and namespaces.
      storage: that of storage classes.
      rights: that of access reviews.
      host: URL of the API.
      namespace: that the context names, if it names one.
      timeout: seconds for one request.
    """

    core: Any
    storage: Any
    rights: Any
    host: str
    namespace: str | None
    timeout: float

    def ask(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what a method of the client returns; None if there is no such thing.

        Raises:
          CannotTell: if the API does not say, because it is not allowed to, or cannot be reached.
        """
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return method(*arguments, _request_timeout=self.timeout, **named)
        except ApiException as err:
            if err.status == HTTPStatus.NOT_FOUND:
                return None
            raise CannotTell(f"Kubernetes does not say ({err.status})", got=_message(err)) from err
        except HTTPError as err:
            got = " ".join(str(err.__cause__ or err).split())
            raise CannotTell("Kubernetes' API cannot be reached", where=self.host, got=got) from err
        except (ValueError, TypeError, OSError) as err:
            raise CannotTell("an answer of Kubernetes' that its client cannot read", got=type(err).__name__) from err


def connect(kubeconfig: Path | None = None, context: str | None = None, *, timeout: float) -> Kubernetes:
    """Return the API that a kubeconfig names, or in a pod the one of its cluster; nothing is asked yet.

    Args:
      kubeconfig: the file; by default KUBECONFIG, or ~/.kube/config.
      context: in it; by default the current one.
      timeout: seconds for one request.

    Raises:
      CannotTell: if there is neither, or the file cannot be used.
    """
    from kubernetes import client, config

    settings, namespace = client.Configuration(), None
    try:
        if kubeconfig is None and context is None and not _has_kubeconfig() and IN_CLUSTER in os.environ:
            config.load_incluster_config(settings)
            namespace = _IN_POD.read_text(encoding="utf-8").strip() if _IN_POD.is_file() else None
        else:
            # The client reads KUBECONFIG when it is imported, which is too early for whoever sets it afterwards.
            file = _named_files() if kubeconfig is None else str(kubeconfig)
            config.load_kube_config(file, context, client_configuration=settings, persist_config=False)
            namespace = _namespace(config.list_kube_config_contexts(file), context)
    except Exception as err:
        # The client reads the file by yaml, base64 and programs that it names: any of them fails in its own way.
        if kubeconfig is None and not _has_kubeconfig():
            raise CannotTell("no kubeconfig, so Kubernetes was not asked", hint="--kubeconfig FILE names one") from err
        where = kubeconfig or "kubeconfig"
        raise CannotTell("the kubeconfig cannot be used", where=where, got=" ".join(str(err).split())) from err
    settings.retries = False  # urllib3's word for: none, and no warnings about them
    api = client.ApiClient(settings)
    return Kubernetes(
        core=client.CoreV1Api(api),
        storage=client.StorageV1Api(api),
        rights=client.AuthorizationV1Api(api),
        host=str(settings.host),
        namespace=namespace,
        timeout=timeout,
    )


def _named_files() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _has_kubeconfig() -> bool:
    return any(Path(one).expanduser().is_file() for one in _named_files().split(os.pathsep) if one)


def _namespace(contexts: Any, name: str | None) -> str | None:
    every, current = contexts
    chosen = current if name is None else next(one for one in every if one["name"] == name)
    namespace = chosen.get("context", {}).get("namespace")
    return None if namespace is None else str(namespace)


def _message(err: Any) -> str | None:
    """Return what Kubernetes itself says, without the headers that the client's own text holds."""
    with contextlib.suppress(Exception):
        return str(parse_json(err.body, where="Kubernetes' answer")["message"])
    return None if err.reason is None else str(err.reason)
