"""OpenLineage facets for the digests of a dataset, a job and a run; imported only where events are written."""

from __future__ import annotations

from typing import Final

import attr
from openlineage.client.generated.base import DatasetFacet, JobFacet, RunFacet

SCHEMA: Final = "urn:mnist-tfx:schema:openlineage_digests:1"


class _OurSchema:
    """Names our schema where a facet of the library names its own."""

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA


@attr.define
class DatasetDigests(_OurSchema, DatasetFacet):
    """Digests of a dataset and of what is in it."""

    digests: list[dict[str, str]]


@attr.define
class JobDigests(_OurSchema, JobFacet):
    """Digests of the code that a job runs."""

    digests: list[dict[str, str]]


@attr.define
class RunDigests(_OurSchema, RunFacet):
    """Digest of the record of a run."""

    digests: list[dict[str, str]]
