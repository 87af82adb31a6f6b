"""Sampled requests, and what `serving monitor` says about them beside the rows that a version was trained on."""

import json
import shutil
import stat
import threading
import types

import numpy as np
import pytest
from command_line import in_process

from components.errors import CannotTell, EnvironmentProblem, Refused
from components.features import SERVING_DEFAULT, SERVING_EXAMPLES, SERVING_IMAGES
from pipeline.predict import samples
from pipeline.predict.answer import choose
from pipeline.predict.monitor import compare, latest
from pipeline.predict.server.metrics import Metrics
from pipeline.predict.server.sampling import MOST_WAITING, Sampler, _examples
from pipeline.predict.training_data import examples
from pipeline.report import example_rows
from pipeline.root.paths import RunPaths

DIGEST = "d" * 64
MODEL = types.SimpleNamespace(version=1, digest=DIGEST)


def signature(name=SERVING_DEFAULT):
    return types.SimpleNamespace(name=name)


@pytest.fixture
def said():
    return []


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def sampler(tmp_path, metrics, said):
    return Sampler(RunPaths(tmp_path), 1.0, 1 << 20, metrics, said.append)


def kept(root, digest=DIGEST, pixels=64):
    return samples.read(samples.folder(RunPaths(root), 1, digest), pixels)


def offer(sampler, images, name=SERVING_DEFAULT):
    sampler.offer(MODEL, signature(name), {"images": images}, len(images))


def some(rows=3, shape=(64,)):
    return np.random.default_rng(0).integers(0, 256, (rows, *shape), np.uint8)


@pytest.mark.parametrize(("name", "shape"), [(SERVING_DEFAULT, (64,)), (SERVING_IMAGES, (8, 8))])
def test_what_was_asked_is_kept_row_by_row(sampler, tmp_path, name, shape):
    images = some(shape=shape)
    offer(sampler, images, name)
    sampler.write()
    np.testing.assert_array_equal(kept(tmp_path).images, images.reshape(3, 64))


def test_of_an_example_the_image_alone_is_kept(sampler, tmp_path):
    from tensorflow.core.example.example_pb2 import Example

    given = Example()
    given.features.feature["image"].int64_list.value.extend(range(64))
    given.features.feature["name"].bytes_list.value.append(b"somebody")
    offer(sampler, np.array([given.SerializeToString()], object), SERVING_EXAMPLES)
    sampler.write()
    (file,) = samples.files(samples.folder(RunPaths(tmp_path), 1, DIGEST))
    assert b"somebody" not in file.read_bytes()
    assert kept(tmp_path).images.tolist() == [list(range(64))]


def test_nobody_else_may_read_it(sampler, tmp_path):
    offer(sampler, some())
    sampler.write()
    (file,) = samples.files(samples.folder(RunPaths(tmp_path), 1, DIGEST))
    assert [stat.S_IMODE(one.stat().st_mode) for one in (file, file.parent, file.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert list(file.parent.iterdir()) == [file]


def test_a_share_of_the_requests_is_kept(tmp_path, metrics, said):
    sampler = Sampler(RunPaths(tmp_path), 0.25, 1 << 20, metrics, said.append)
    for _ in range(2000):
        offer(sampler, some(1))
    sampler.write()
    assert 400 < len(kept(tmp_path).images) < 600


def test_the_oldest_samples_give_way(tmp_path, metrics, said):
    sampler = Sampler(RunPaths(tmp_path), 1.0, 3000, metrics, said.append)
    for start in range(5):
        offer(sampler, np.full((10, 64), start, np.uint8))
        sampler.write()
    found = kept(tmp_path)
    assert sum(one.stat().st_size for one in samples.files(samples.folder(RunPaths(tmp_path), 1, DIGEST))) <= 3000
    assert found.images[-1][0] == 4
    assert found.images.min() > 0


def page(metrics):
    return metrics.page({}).decode()


def test_what_waits_is_bounded_and_the_rest_counted(sampler, metrics):
    for _ in range(3):
        offer(sampler, np.zeros((MOST_WAITING // 2, 64), np.uint8))
    assert f'mnist_tfx_sampled_rows_total{{state="dropped"}} {float(MOST_WAITING // 2)}' in page(metrics)


def test_a_disk_that_takes_nothing_is_said_once_and_no_request_fails(sampler, tmp_path, said, metrics):
    (tmp_path / "samples").write_text("in the way")
    for _ in range(2):
        offer(sampler, some())
        sampler.write()
    assert len(said) == 1
    assert 'state="dropped"} 6.0' in page(metrics)


def test_a_folder_that_leads_elsewhere_gets_no_samples(sampler, tmp_path):
    (tmp_path / "public").mkdir()
    (tmp_path / "samples").symlink_to(tmp_path / "public")
    with pytest.raises(EnvironmentProblem, match="it is a link"):
        sampler.start()


def test_what_waits_when_the_server_ends_is_written(sampler, tmp_path):
    sampler.start()
    offer(sampler, some())
    sampler.stop()
    assert len(kept(tmp_path).images) == 3
    assert not [one for one in threading.enumerate() if one.name == "samples"]


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-9] + b"x" + data[-8:], lambda _: b"x"])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = samples.write(tmp_path / "samples" / f"1-{DIGEST}", list(_examples(some())), 1)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(EnvironmentProblem, match="no file of samples"):
        kept(tmp_path)


# --- beside what the version was trained on ---


@pytest.fixture(scope="module")
def root(first_run, tmp_path_factory):
    copied = tmp_path_factory.mktemp("monitored") / "root"
    shutil.copytree(first_run[0], copied, symlinks=True)
    return copied


@pytest.fixture(scope="module")
def version(root):
    return choose(root, 1)


@pytest.fixture(scope="module")
def trained(root, version):
    return example_rows.read(examples(root, version)[0], "test", 64).images


@pytest.fixture
def ask(root, version):
    place = samples.folder(RunPaths(root), 1, version.served.digest)
    shutil.rmtree(place.parent, ignore_errors=True)

    def write(images):
        samples.write(place, list(_examples(images)), 1)
        return compare(root)

    yield write
    shutil.rmtree(place.parent, ignore_errors=True)


def test_requests_like_the_rows_of_the_training_pass(ask, trained, root, version):
    found = ask(trained)
    assert (found.state, found.error, found.rows) == ("as trained", None, len(trained))
    assert {check.rule for check in found.checks} == {"anomaly", "presence", "shape", "range", "drift"}
    assert latest(root, 1, version.served.digest) == found


def test_requests_that_were_changed_are_told_as_the_gate_tells_them(ask, trained):
    found = ask(16 - trained)
    assert (found.state, type(found.error)) == ("unlike", Refused)
    assert found.cause == "the images look inverted (ink and background swapped)"
    assert any("its training rows" in fact for fact in found.facts)


def test_requests_on_another_scale_are_out_of_range(ask, trained):
    found = ask(trained * 15)
    assert found.cause.startswith("the rows are not as the schema 8x8-max16-labels10 has them")


def test_too_few_rows_tell_nothing(ask, trained):
    found = ask(trained[:49])
    assert (found.state, type(found.error), found.checks) == ("too few", CannotTell, ())


def test_samples_of_other_bytes_under_the_same_number_are_no_samples_of_it(root, trained):
    samples.write(samples.folder(RunPaths(root), 1, DIGEST), list(_examples(trained)), 1)
    assert compare(root).rows == 0


def test_without_what_it_was_trained_on_nobody_can_tell(ask, root, trained):
    (file,) = root.glob("artifacts/ExampleGen/examples/*/profile.json")
    text = file.read_text()
    file.write_text(text + " ")
    try:
        with pytest.raises(CannotTell, match="was changed since it was recorded"):
            ask(trained)
    finally:
        file.write_text(text)


def test_the_command_answers_with_the_exit_code_of_the_gate(ask, root, trained):
    ask(16 - trained)
    answer = in_process("serving", "monitor", "--version", "1", "--root", root)
    assert (answer.code, "the images look inverted" in answer.err) == (3, True), answer.err
    answer = in_process("serving", "monitor", "--root", root, "--json")
    told = json.loads(answer.out)
    assert (told["status"], told["data"]["state"], told["error"]["what"]) == (
        "refused",
        "unlike",
        "the images look inverted (ink and background swapped)",
    )
