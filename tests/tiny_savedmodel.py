"""Writes small SavedModels with the served signatures, sound or broken on purpose; run as a script, since it needs TensorFlow.

    python tiny_savedmodel.py HEIGHT WIDTH LABELS DIR=DEFECT [DIR=DEFECT ...]

The model is exact on images whose pixels `p` with `p % LABELS == label` are bright. A sound model has the defect `none`.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

DEFECTS = (
    "none",
    "weaker",
    "always_zero",
    "nan",
    "unnormalised",
    "wrong_classes",
    "wrong_name",
    "wrong_shape",
    "wrong_type",
    "missing_signature",
    "negative_pixels",
)


class Tiny(tf.Module):
    """Logits are the mean brightness of each label's own pixels."""

    def __init__(self, shape: tuple[int, int], labels: int, defect: str) -> None:
        super().__init__()
        self.shape, self.labels, self.defect = shape, labels, defect
        self.pixels = shape[0] * shape[1]
        own = np.arange(self.pixels)[:, None] % labels == np.arange(labels)[None, :]
        weights = own / own.sum(axis=0, keepdims=True) / 16
        if defect == "always_zero":
            weights = weights * 0 - np.arange(labels)
        if defect == "weaker":
            weights[:, :1] *= 1.2
        self.weights = tf.Variable(weights.astype(np.float32))

    def predict(self, images):
        logits = tf.cast(images, tf.float32) @ self.weights
        probabilities = tf.nn.softmax(logits)
        classes = tf.argmax(probabilities, axis=-1)
        if self.defect == "nan":
            probabilities = probabilities * np.nan
        if self.defect == "unnormalised":
            probabilities = probabilities * 1.5
        if self.defect == "wrong_classes":
            classes = (classes + 1) % self.labels
        if self.defect == "wrong_shape":
            probabilities = probabilities[:, :-1]
        if self.defect == "wrong_type":
            classes = tf.cast(classes, tf.float32)
        if self.defect == "wrong_name":
            return {"klass": classes, "probabilities": probabilities}
        return {"classes": classes, "probabilities": probabilities}

    def named(self, answers):
        names = tf.constant([str(label) for label in range(self.labels)])
        classes = tf.cast(answers.get("classes", answers.get("klass")), tf.int64)
        return {**answers, "class_names": tf.gather(names, classes)}

    def decode(self, images):
        restored = tf.cast(images, tf.float32) * 0.75
        return restored - 300.0 if self.defect == "negative_pixels" else restored

    def parse(self, serialized):
        spec = {"image": tf.io.FixedLenFeature([self.pixels], tf.int64)}
        return tf.io.parse_example(serialized, spec)["image"]

    def signatures(self):
        pixels = self.pixels

        @tf.function(input_signature=[tf.TensorSpec([None, pixels], tf.uint8, name="images")])
        def serving_default(images):
            return self.named(self.predict(images))

        @tf.function(input_signature=[tf.TensorSpec([None, *self.shape], tf.uint8, name="images")])
        def serving_images(images):
            return self.named(self.predict(tf.reshape(images, [-1, pixels])))

        @tf.function(input_signature=[tf.TensorSpec([None, pixels], tf.uint8, name="images")])
        def reconstruct(images):
            return {"images": self.decode(images)}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serving_examples(examples):
            images = self.parse(examples)
            error = (self.decode(images) - tf.cast(images, tf.float32)) / 255.0
            return {**self.predict(images), "reconstruction_mse": tf.reduce_mean(error**2, axis=-1)}

        found = {
            "serving_default": serving_default,
            "serving_images": serving_images,
            "reconstruct": reconstruct,
            "serving_examples": serving_examples,
        }
        return {k: v for k, v in found.items() if not (self.defect == "missing_signature" and k == "reconstruct")}


def main(height: str, width: str, labels: str, *wanted: str) -> None:
    for item in wanted:
        folder, _, defect = item.rpartition("=")
        if defect not in DEFECTS:
            raise SystemExit(f"no such defect: {defect}")
        model = Tiny((int(height), int(width)), int(labels), defect)
        tf.saved_model.save(model, folder, signatures=model.signatures())


if __name__ == "__main__":
    main(*sys.argv[1:])
