"""Readiness of a cluster: what a run of a compiled pipeline asks of server and namespace, and whether it is there."""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError
from pipeline.kubeflow import kfp_version
from pipeline.kubeflow.client import launcher_config, node_fit
from pipeline.kubeflow.client.connection import Address, Connection, connect
from pipeline.kubeflow.client.kubernetes_api import NAMESPACE, Kubernetes
from pipeline.kubeflow.client.transport import ServerUnavailable
from pipeline.kubeflow.compiler.cluster import Cluster, SecretKey
from pipeline.kubeflow.compiler.platform_document import SECURITY_SINCE
from pipeline.kubeflow.compiler.pods import Images, pods
from pipeline.kubeflow.compiler.targets import TARGETS
from pipeline.kubeflow.document import OSS
from pipeline.kubeflow.kfp_version import KfpVersion

OK: Final = "ok"
MISSING: Final = "missing"
UNKNOWN: Final = "cannot tell"

RUNNER: Final = "pipeline-runner"
EDITOR: Final = "default-editor"
"""Accounts that KFP runs pods as: of an installation for one user, and of a user's namespace."""

ENFORCED: Final = "pod-security.kubernetes.io/enforce"

LOGIN: Final = ".dockerconfigjson"
"""Entry of a Secret with the credentials of a registry."""

LOGIN_OPTIONS: Final = "--docker-server=REGISTRY --docker-username=NAME --docker-password=PASSWORD"

POD_RIGHTS: Final = (
    ("", "configmaps", "get"),
    ("", "secrets", "get"),
    ("argoproj.io", "workflowtaskresults", "create"),
)
"""(group, resource, verb): without the first two KFP's launcher cannot open a bucket, without the last Argo's pods fail."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a run needs.

    Attributes:
      what: it is.
      state: `ok`, `missing` or `cannot tell`.
      said: what there is, or what keeps it from being known.
      command: that helps; None where nothing has to be done.
    """

    what: str
    state: str
    said: str
    command: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Check:
    what: str
    ask: Callable[[Kubernetes], Finding]

    def finding(self, kubernetes: Kubernetes | CannotTell) -> Finding:
        try:
            if isinstance(kubernetes, CannotTell):
                raise kubernetes
            return dataclasses.replace(self.ask(kubernetes), what=self.what)
        except CannotTell as err:
            return Finding(what=self.what, state=UNKNOWN, said=str(err))


def examine(address: Address, kubernetes: Kubernetes | CannotTell, cluster: Cluster) -> Iterator[Finding]:
    """Yield what a run needs of server and namespace.

    Args:
      address: the Pipelines API.
      kubernetes: Kubernetes' API, or why it cannot be asked.
      cluster: the cluster file.
    """
    connection, found = _server(address)
    yield found
    multi_user, version = None, None
    if connection is not None:
        health = connection.health()
        multi_user = bool(health.get("multi_user"))
        version, found = _version(health, cluster)
        yield found
        yield _pipeline_api(connection)
    namespace = address.namespace
    if namespace is None:
        namespace = (None if isinstance(kubernetes, CannotTell) else kubernetes.namespace) or NAMESPACE
    yield from (check.finding(kubernetes) for check in checks(cluster, namespace, multi_user, version))


def checks(cluster: Cluster, namespace: str, multi_user: bool | None, version: KfpVersion | None) -> Iterator[_Check]:
    """Yield what is asked of Kubernetes, in the order in which a run would need it; None is what is not known."""
    asked = _Namespace(namespace)
    contexts = [section.security_context for _, section in cluster.sections()]
    as_root = any(context is not None and not context.run_as_non_root for context in contexts)
    yield _Check(what=f"namespace {namespace}", ask=partial(asked.itself, version=version, as_root=as_root))
    yield _Check(what="your rights", ask=partial(asked.own_rights, multi_user=multi_user))
    account = cluster.service_account or (EDITOR if multi_user else RUNNER)
    yield _Check(what=f"service account {account}", ask=partial(asked.account, name=account))
    yield _Check(what="kfp-launcher", ask=partial(asked.launcher, root=cluster.pipeline_root))
    yield _Check(what="bucket credentials", ask=partial(asked.bucket, root=cluster.pipeline_root))
    for name, keys in _secrets(cluster).items():
        yield _Check(what=f"secret {name}", ask=partial(asked.secret, name=name, keys=keys))
    for name in _claims(cluster):
        shared = name == cluster.serving.claim
        yield _Check(what=f"claim {name}", ask=partial(asked.claim, name=name, shared=shared))
    images = Images(cpu=cluster.image or "any", gpu=cluster.gpu_image or "any")
    for demand, tasks in node_fit.by_demand(pods(cluster, TARGETS[OSS], images)).items():
        what = f"a node for {', '.join(tasks)}" if len(tasks) < 4 else f"a node for {len(tasks)} tasks"
        yield _Check(what=what, ask=partial(asked.nodes, demand=demand))


def _server(address: Address) -> tuple[Connection | None, Finding]:
    what = "server"
    try:
        return connect(address), Finding(what=what, state=OK, said=address.api)
    except ServerUnavailable as err:
        return None, Finding(what=what, state=UNKNOWN, said=str(err))
    except (BadInput, EnvironmentProblem) as err:
        forward = f"kubectl -n {NAMESPACE} port-forward svc/ml-pipeline-ui 8080:80"
        return None, Finding(what=what, state=MISSING, said=str(err), command=forward)


def _version(health: dict[str, Any], cluster: Cluster) -> tuple[KfpVersion | None, Finding]:
    """Return the server's version, and whether it takes what is compiled for this cluster file."""
    tag, what = str(health.get("tag_name") or "unknown"), "version"
    try:
        version = kfp_version.parse(tag, what)
    except BadInput:
        if tag[:1].isdigit():
            wanted = kfp_version.written(kfp_version.OLDEST)
            return None, Finding(what=what, state=MISSING, said=f"{tag}, and {wanted} or newer is wanted")
        command = f"kubectl -n {NAMESPACE} get deployment ml-pipeline -o jsonpath='{{..image}}'"
        return None, Finding(what=what, state=UNKNOWN, said=f"the server says {tag}", command=command)
    asked = kfp_version.NEWEST if cluster.kfp_version is None else kfp_version.parse(cluster.kfp_version)
    if version < SECURITY_SINCE <= asked:
        said = f"{tag}, which does not know the fields of a file for {kfp_version.written(asked)}"
        command = f"mnist-tfx kubeflow compile --kfp-version {kfp_version.written(version)} ..."
        return version, Finding(what=what, state=MISSING, said=said, command=command)
    return version, Finding(what=what, state=OK, said=f"Kubeflow Pipelines {tag}")


def _pipeline_api(connection: Connection) -> Finding:
    what = "runs on the server"
    try:
        connection.call(connection.kfp.list_runs, page_size=1, namespace=connection.address.namespace)
    except ServerUnavailable as err:
        return Finding(what=what, state=UNKNOWN, said=str(err))
    except MnistTfxError as err:
        return Finding(what=what, state=MISSING, said=str(err))
    return Finding(what=what, state=OK, said="may be listed")


def _secrets(cluster: Cluster) -> dict[str, set[str]]:
    """Return {Secret that the cluster file names: entries of it}."""
    entries: list[SecretKey] = [] if cluster.sign_key is None else [cluster.sign_key]
    entries += [entry for _, section in cluster.sections() for entry in section.secrets.values()]
    named: dict[str, set[str]] = {}
    for entry in entries:
        named.setdefault(entry.secret, set()).add(entry.key)
    pulls = (name for _, section in cluster.sections() for name in section.image_pull_secrets)
    return named | {name: {LOGIN} for name in pulls}


def _claims(cluster: Cluster) -> list[str]:
    others = (volume.claim for _, section in cluster.sections() for volume in section.volumes)
    return list(dict.fromkeys((cluster.serving.claim, *others)))


@dataclasses.dataclass(frozen=True)
class _Namespace:
    """Questions about one namespace."""

    name: str

    def itself(self, api: Kubernetes, version: KfpVersion | None, *, as_root: bool) -> Finding:
        found = api.ask(api.core.read_namespace, self.name)
        if found is None:
            return _missing("there is none", f"kubectl create namespace {self.name}")
        level = (found.metadata.labels or {}).get(ENFORCED)
        said = "no Pod Security Standard is enforced" if level is None else f"Pod Security Standard: {level}"
        if level != "restricted":
            return _ok(said)
        if version is None:
            raise CannotTell(f"{said}: whether the server's pods meet it depends on its version")
        if version < SECURITY_SINCE or as_root:
            asked = f"Kubeflow Pipelines {kfp_version.written(SECURITY_SINCE)} and run_as_non_root"
            return _missing(f"{said}: only pods of {asked} meet it", f"kubectl describe namespace {self.name}")
        return _ok(said)

    def own_rights(self, api: Kubernetes, *, multi_user: bool | None) -> Finding:
        """Ask whether who asks may start runs; KFP asks Kubernetes the same, if it serves several users."""
        if multi_user is None:
            raise CannotTell("the server was not reached, so it is not known whether it asks for rights")
        if not multi_user:
            return _ok("the server serves one user, and asks for none")
        denied = [
            f"{verb} {resource}"
            for verb, resource in itertools.product(("create", "get"), ("runs", "experiments"))
            if not self._allowed(api, "pipelines.kubeflow.org", resource, verb)
        ]
        if not denied:
            return _ok("runs may be created")
        command = f"kubectl -n {self.name} auth can-i create runs.pipelines.kubeflow.org"
        return _missing(f"not allowed: {', '.join(denied)}", command)

    def account(self, api: Kubernetes, name: str) -> Finding:
        if api.ask(api.core.read_namespaced_service_account, name, self.name) is None:
            return _missing(f"not in {self.name}", f"kubectl -n {self.name} get serviceaccounts")
        user = f"system:serviceaccount:{self.name}:{name}"
        denied = [
            f"{verb} {kind}" for group, kind, verb in POD_RIGHTS if not self._allowed(api, group, kind, verb, user)
        ]
        if denied:
            command = f"kubectl -n {self.name} auth can-i --list --as {user}"
            return _missing(f"not allowed: {', '.join(denied)}", command)
        return _ok("has the rights of a pod")

    def launcher(self, api: Kubernetes, root: str | None) -> Finding:
        data = self._launcher_data(api)
        inside = launcher_config.default_root(data)
        said = f"defaultPipelineRoot {inside}" if data is not None else f"no such configmap, so {inside} is the default"
        if root is not None and not f"{root}/".startswith(f"{inside.rstrip('/')}/"):
            said += f"; {root} is outside, which KFP 3.0 refuses"
        return _ok(said)

    def bucket(self, api: Kubernetes, root: str | None) -> Finding:
        data = self._launcher_data(api)
        root = root or launcher_config.default_root(data)
        edit = f"kubectl -n {self.name} edit configmap {launcher_config.CONFIGMAP}"
        try:
            entry = launcher_config.credentials(data, root)
        except BadInput as err:
            return _missing(str(err), edit)
        if entry is None:
            raise CannotTell(f"{root} is opened with what the pods' service account may, which no API tells")
        return self.secret(api, entry.name, set(entry.keys))

    def secret(self, api: Kubernetes, name: str, keys: set[str]) -> Finding:
        found = api.ask(api.core.read_namespaced_secret, name, self.name)
        entries = " ".join(f"--from-file={shlex.quote(key)}=FILE" for key in sorted(keys))
        if found is None:
            kind = f"docker-registry {name} {LOGIN_OPTIONS}" if keys == {LOGIN} else f"generic {name} {entries}"
            return _missing(f"{name} is not in {self.name}", f"kubectl -n {self.name} create secret {kind}")
        if lacking := sorted(keys - set(found.data or {})):
            return _missing(f"{name} has no {', '.join(lacking)}", f"kubectl -n {self.name} describe secret {name}")
        return _ok(f"{name} has {', '.join(sorted(keys))}")

    def claim(self, api: Kubernetes, name: str, *, shared: bool) -> Finding:
        """Ask for a volume; a shared one is read by other pods than the run's while it is written."""
        found = api.ask(api.core.read_namespaced_persistent_volume_claim, name, self.name)
        apply = f"kubectl -n {self.name} apply -f kubeflow/serving-claim.example.yaml"
        if found is None:
            return _missing(f"not in {self.name}", apply if shared else f"kubectl -n {self.name} get pvc")
        modes = found.status.access_modes or found.spec.access_modes or []
        said = f"{found.status.phase}, {', '.join(modes)}, class {found.spec.storage_class_name or 'none'}"
        if found.status.phase == "Lost" or (found.status.phase == "Pending" and not self._comes(api, found)):
            return _missing(f"{said}: no volume will come", f"kubectl -n {self.name} describe pvc {name}")
        if "ReadWriteMany" in modes:
            return _ok(said)
        if "ReadWriteOnce" not in modes and shared:
            return _missing(f"{said}: pods beside each other cannot write and read it", apply)
        if "ReadWriteOnce" in modes and self._count_nodes(api) > 1:
            raise CannotTell(f"{said}: pods on different nodes wait for each other, and who lands where is not known")
        return _ok(said)

    def nodes(self, api: Kubernetes, demand: node_fit.Demand) -> Finding:
        every = self._nodes(api)
        obstacles = [one for node in every if (one := node_fit.obstacle(node, demand)) is not None]
        fit = len(every) - len(obstacles)
        if fit:
            return _ok(f"{fit} of {len(every)} fit ({demand})")
        return _missing(
            f"none of {len(every)} fits ({demand}): {node_fit.summary(obstacles)}", "kubectl describe nodes"
        )

    def _launcher_data(self, api: Kubernetes) -> dict[str, str] | None:
        found = api.ask(api.core.read_namespaced_config_map, launcher_config.CONFIGMAP, self.name)
        return None if found is None else dict(found.data or {})

    def _nodes(self, api: Kubernetes) -> list[Any]:
        return list(api.ask(api.core.list_node).items)

    def _count_nodes(self, api: Kubernetes) -> int:
        return len(self._nodes(api))

    def _comes(self, api: Kubernetes, claim: Any) -> bool:
        """Whether a claim that waits has a class that makes a volume once a pod asks for it."""
        name = claim.spec.storage_class_name
        found = None if not name else api.ask(api.storage.read_storage_class, name)
        return found is not None and found.provisioner != "kubernetes.io/no-provisioner"

    def _allowed(self, api: Kubernetes, group: str, resource: str, verb: str, user: str | None = None) -> bool:
        """Ask Kubernetes for a right of who asks, or of somebody else."""
        from kubernetes import client

        attributes = client.V1ResourceAttributes(namespace=self.name, group=group, resource=resource, verb=verb)
        if user is None:
            own = client.V1SelfSubjectAccessReview(
                spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            )
            answer = api.ask(api.rights.create_self_subject_access_review, own)
        else:
            theirs = client.V1SubjectAccessReview(
                spec=client.V1SubjectAccessReviewSpec(resource_attributes=attributes, user=user)
            )
            answer = api.ask(api.rights.create_subject_access_review, theirs)
        if answer is None:
            raise CannotTell("Kubernetes has no access reviews")
        return bool(answer.status.allowed)


def _ok(said: str) -> Finding:
    return Finding(what="", state=OK, said=said)


def _missing(said: str, command: str) -> Finding:
    return Finding(what="", state=MISSING, said=said, command=command)
