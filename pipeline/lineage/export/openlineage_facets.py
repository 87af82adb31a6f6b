"""OpenLineage facets for the digests of a dataset, a job and a run; imported only where events are written."""

from __future__ import annotations

from typing import Final

import attr
from openlineage.client.generated.base import DatasetFacet, JobFacet, RunFacet

SCHEMA: Final = "urn:mnist-tfx:schema:openlineage_digests:1"


@attr.define
class DatasetDigests(DatasetFacet):
    """Digests of a dataset and of what is in it."""

    digests: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA


@attr.define
class JobDigests(JobFacet):
    """Digests of the code that a job runs."""

    digests: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA


@attr.define
class RunDigests(RunFacet):
    """Digest of the record of a run."""

    digests: list[dict[str, str]]

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA
