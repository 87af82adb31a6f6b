"""Folder of the reviewed schemas in a pod."""

from __future__ import annotations

from pathlib import Path

from pipeline.kubeflow import names, places


def folder(told: str) -> Path | None:
    """Return the folder; None for the image's own, as `components.schema_files.find_reviewed` takes it."""
    return None if told == names.IMAGE_SCHEMA else places.volume(told)
