"""The messages of a platform document: those of kfp-kubernetes, release by release, and what a server of each refuses.

`kfp_kubernetes.json` has the fields of the descriptors in releases of that package, of which none with tolerations can be
installed beside TFX on Python 3.10.
"""

import json
from pathlib import Path

import pytest
from kubeflow.broken_files import platform
from kubeflow.compiled_files import broken, digits

from components.errors import BadInput
from pipeline.kubeflow import kfp_version
from pipeline.kubeflow.lint import kubernetes_messages
from pipeline.kubeflow.lint.check import lint

RELEASED = json.loads(Path(__file__).with_name("kfp_kubernetes.json").read_text())
SERVERS = {"2.5.0": "1.5.0", "2.14.4": "2.14.4", "2.15.0": "2.15.0", "2.16.1": "2.16.1", "2.17.0": "2.17.3"}
"""{server: release of kfp-kubernetes that goes with it}."""


@pytest.mark.parametrize(("server", "release"), SERVERS.items())
def test_the_messages_are_those_of_the_release(server, release):
    ours = kubernetes_messages.fields_at(kfp_version.parse(server))
    released = RELEASED[release]
    in_use = {name: fields for name, fields in ours.items() if name in released}
    assert in_use == released
    assert set(ours) - set(released) <= {
        "SecurityContext",
        "InitContainer",
        "EnvVar",
        "VolumeMount",
        "ResourceRequirements",
    }


FIELDS = {
    "initContainers": ({"initContainers": [{"name": "a", "image": "a"}]}, "3.0.0"),
    "securityContext": ({"securityContext": {"runAsNonRoot": True}}, "2.16.0"),
    "pvcMount[1].subPath": ({"pvcMount": [{"constant": "b", "mountPath": "/b", "subPath": "c"}]}, "2.16.0"),
    "secretAsEnv[0].optional": (
        {"secretAsEnv": [{"secretName": "a", "keyToEnv": [{"secretKey": "a", "envVar": "A"}], "optional": True}]},
        "2.15.0",
    ),
    "configMapAsEnv[0].optional": (
        {
            "configMapAsEnv": [
                {"configMapName": "a", "keyToEnv": [{"configMapKey": "a", "envVar": "A"}], "optional": True}
            ]
        },
        "2.15.0",
    ),
    "nodeAffinity[0].nodeAffinityJson": ({"nodeAffinity": [{"nodeAffinityJson": {}}]}, "2.14.0"),
}
"""{field: (what holds it, the first server that knows it)}."""


def asking(fields):
    """Returns the digits with this for the Pusher, beside the volume that it has."""

    def change(document):
        config = platform(document)["Pusher_executor"]
        config.pop("securityContext", None)
        for name, value in fields.items():
            config[name] = [*config.get(name, []), *value] if isinstance(value, list) else value

    return broken(digits(), change)


def unknown(document, version):
    found = lint(document, version=None if version is None else kfp_version.parse(version))
    about = [one for one in found if (one.rule, one.where) == ("platform-fields", "Pusher_executor")]
    return [one.what.partition(" is unknown to ")[0] for one in about]


@pytest.mark.parametrize(("field", "fields", "since"), [(name, *value) for name, value in FIELDS.items()], ids=FIELDS)
@pytest.mark.parametrize("server", ["2.5.0", "2.14.4", "2.15.0", "2.16.1", "2.17.0", "3.0.0"])
def test_a_field_is_refused_by_servers_that_do_not_know_it_and_by_no_other(field, fields, since, server):
    is_newer = kfp_version.parse(since) > kfp_version.parse(server)
    assert unknown(asking(fields), server) == [field] * is_newer


def test_without_a_version_the_newest_release_is_meant():
    assert unknown(asking(FIELDS["initContainers"][0]), None) == ["initContainers"]
    assert unknown(asking(FIELDS["securityContext"][0]), None) == []


def test_names_in_the_protos_own_spelling_are_fields_too():
    document = asking({"security_context": {"run_as_non_root": True}})
    assert unknown(document, "2.17.0") == []
    assert unknown(document, "2.15.0") == ["securityContext"]


@pytest.mark.parametrize(("text", "version"), [("2.17.0", (2, 17, 0)), ("v2.15", (2, 15, 0)), ("3.0.1", (3, 0, 1))])
def test_a_version_is_read(text, version):
    assert kfp_version.parse(text) == version


@pytest.mark.parametrize("text", ["", "2", "2.4.1", "latest", "2.17.0-rc1", "1.8.22", "2.x"])
def test_what_is_no_version_of_a_server_is_refused(text):
    with pytest.raises(BadInput, match=r"--kfp-version: no version of a server: wanted 2\.5\.0 or newer|wanted 2"):
        kfp_version.parse(text)
