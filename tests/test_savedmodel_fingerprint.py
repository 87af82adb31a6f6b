"""A SavedModel's bytes without what TensorFlow draws anew for every writing."""

import shutil

import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from components.digest import tree_digest
from components.savedmodel_fingerprint import FINGERPRINT, UUID, drop_uuid


class Doubler(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, numbers):
        return {"doubled": 2 * numbers}


def test_what_names_the_writing_is_taken_out_and_the_model_loads(tmp_path):
    first, second = tmp_path / "one", tmp_path / "two"
    tf.saved_model.save(Doubler(), str(first))
    shutil.copytree(first, second)
    fields = FingerprintDef.DESCRIPTOR.fields_by_name
    if UUID in fields:
        another = FingerprintDef.FromString((second / FINGERPRINT).read_bytes())
        another.uuid = "another"
        (second / FINGERPRINT).write_bytes(another.SerializeToString())
        assert tree_digest(first) != tree_digest(second)
    for folder in (first, second):
        drop_uuid(folder)
    assert tree_digest(first) == tree_digest(second)
    # TensorFlow reads the fingerprint as it loads a model.
    assert tf.saved_model.load(str(first))(tf.constant([2.0]))["doubled"].numpy() == [4.0]
    assert tf.saved_model.experimental.read_fingerprint(str(first)).saved_model_checksum
