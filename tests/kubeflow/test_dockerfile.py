"""The images' recipe against each rule, a broken variant for every one, and what it shares with the code."""

import dataclasses
import re

import dockerfile
import dockerfile_rules as rules
import pytest
import yaml
from command_line import PROJECT
from dockerfile_rules import Recipe

from pipeline.kubeflow.compiler.cluster import CLAIM, SERVING
from pipeline.process.child import ENGINE_ENV

FOLDER = PROJECT / "kubeflow"


@pytest.fixture(scope="module")
def ours() -> Recipe:
    return Recipe(text=(FOLDER / "Dockerfile").read_text(), script=(FOLDER / "install.sh").read_text())


def _pins(path) -> set[str]:
    return set(re.findall(r"^[a-z0-9.-]+==[^\s;]+", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_our_images_keep_the_rule(rule, ours):
    assert list(rule(ours)) == []


IN_THE_DOCKERFILE = [
    (rules.foreign_images_are_pinned, "debian:13.7-slim\n", "debian:trixie-slim\n"),
    (rules.foreign_images_are_pinned, "debian:13.7-slim\n", "debian:latest\n"),
    (rules.foreign_images_are_pinned, "debian:13.7-slim\n", "debian\n"),
    (rules.images_run_as_a_numbered_user, "USER 10001", "USER mnist-tfx"),
    (rules.images_run_as_a_numbered_user, "USER 10001", "USER 0"),
    (rules.images_run_as_a_numbered_user, "USER 10001\n", ""),
    (rules.nothing_is_added_by_address, "COPY . /opt", "ADD https://example.org/checkout.tar /opt"),
    (rules.nothing_downloaded_is_piped_into_a_shell, "install.sh runtime", "x; curl -sS example.org/uv | sh"),
    (rules.apt_installs_no_more_than_it_is_asked, "install.sh runtime", "x; apt-get install -y python3"),
    (rules.apt_leaves_no_lists, "install.sh runtime", "x; apt-get update"),
    (rules.files_are_copied_from_stages_there_are, "--from=project", "--from=projects"),
    (rules.files_are_copied_from_stages_there_are, "FROM environment AS cuda", "FROM environment AS late"),
    (rules.both_images_are_there, "FROM cpu AS gpu", "FROM cpu AS graphics"),
    (rules.the_commit_is_baked_in, "=${GIT_COMMIT}", "=unknown"),
    (rules.the_commit_is_baked_in, "ARG GIT_TREE=none\n", ""),
    (rules.images_are_labelled, "image.revision", "image.version"),
    (rules.every_run_is_a_step_of_the_script, "install.sh environment", "install.sh everything"),
    (rules.every_run_is_a_step_of_the_script, "install.sh runtime", "install.sh runtime && rm -rf /usr/share/doc"),
    (rules.what_builds_stays_out_of_the_images, "FROM base AS cpu", "FROM project AS cpu"),
]


@pytest.mark.parametrize(("rule", "right", "wrong"), IN_THE_DOCKERFILE)
def test_a_broken_dockerfile_is_caught(rule, right, wrong, ours):
    assert right in ours.text
    assert list(rule(dataclasses.replace(ours, text=ours.text.replace(right, wrong))))


IN_THE_SCRIPT = [
    (rules.apt_installs_no_more_than_it_is_asked, " --no-install-recommends", ""),
    (rules.apt_leaves_no_lists, "rm -rf /var/lib/apt/lists/*", "true"),
    (rules.nothing_downloaded_is_piped_into_a_shell, "python3 -m venv", "curl -L uv.example | bash -s --"),
    (rules.nothing_is_added_by_address, "from_index pip sync", "from_index pip sync --index-url https://index.example"),
    (rules.every_run_is_a_step_of_the_script, "cuda() {", "rocm() {"),
]


@pytest.mark.parametrize(("rule", "right", "wrong"), IN_THE_SCRIPT)
def test_a_broken_script_is_caught(rule, right, wrong, ours):
    assert right in ours.script
    assert list(rule(dataclasses.replace(ours, script=ours.script.replace(right, wrong))))


def test_the_engines_see_in_a_container_what_they_see_in_a_local_run(ours):
    found = dockerfile.environment(dockerfile.inherited("cpu", ours.stages))
    assert {name: found.get(name) for name in ENGINE_ENV} == dict(ENGINE_ENV)


def test_the_gpu_image_is_the_cpu_image_and_the_libraries_of_cuda(ours):
    assert ours.stages[-1].base == "cpu"
    copied = [step for step in ours.stages[-1].instructions if step.word == "COPY"]
    assert [step.option("from") for step in copied] == ["cuda"]


def test_the_gpu_lock_adds_only_what_cuda_needs():
    added = _pins(FOLDER / "gpu-requirements.lock") - _pins(PROJECT / "requirements.lock")
    assert {pin for pin in added if not pin.startswith("nvidia-")} == set()
    assert added


def test_the_gpu_lock_has_hashes_and_no_address():
    text = (FOLDER / "gpu-requirements.lock").read_text()
    assert text.count("==") == len(re.findall(r"== ?\S+ (?:; [^\\]*)?\\\n    --hash=sha256:[0-9a-f]{64}", text))
    assert "://" not in text
    assert "nvidia-cudnn-cu12==" in text


def test_the_script_takes_uv_in_the_makefiles_version(ours):
    assert re.search(r"^UV_VERSION := \d+\.\d+\.\d+$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert "s/^UV_VERSION := //p" in ours.script


def test_the_example_volume_is_the_one_that_pods_mount_and_belongs_to_their_user(ours):
    claim, job = yaml.safe_load_all((FOLDER / "serving-claim.example.yaml").read_text())
    assert claim["metadata"]["name"] == CLAIM
    [volume], [container] = (job["spec"]["template"]["spec"][part] for part in ("volumes", "containers"))
    assert volume["persistentVolumeClaim"]["claimName"] == CLAIM
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": SERVING}]
    user = dockerfile.user(dockerfile.inherited("cpu", ours.stages))
    assert container["command"][-5:] == ["-o", user, "-g", "0", SERVING]
