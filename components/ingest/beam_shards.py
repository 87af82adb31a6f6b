"""The Beam pipeline of the steps in `components.ingest.shards`, for engines that share the work out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apache_beam as beam

from components.ingest import shards

if TYPE_CHECKING:
    from components.ingest.units import Job


def write_examples(pipeline: beam.Pipeline, job: Job) -> None:
    """Add all stages to `pipeline`; `shards.WriteShard` says what they write."""
    _ = (
        pipeline
        | "Units" >> beam.Create(job.units)
        # Or all would be read by the task that made them.
        | "Spread" >> beam.Reshuffle()
        | "Read" >> beam.ParDo(Read(job))
        | "Group" >> beam.GroupByKey()
        | "Write" >> beam.ParDo(WriteShard(job))
        | "Gather" >> beam.GroupByKey()
        | "Facts" >> beam.ParDo(WriteFacts(job))
        # Only now is it known how many rows come before those of a shard.
        | "Spread buckets" >> beam.Reshuffle()
        | "Hash" >> beam.ParDo(HashBucket(job))
        | "Gather buckets" >> beam.GroupByKey()
        | "Digests" >> beam.ParDo(WriteDigests(job))
    )


class Read(shards.Read, beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """On a worker of Beam."""


class WriteShard(shards.WriteShard, beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """On a worker of Beam."""


class WriteFacts(shards.WriteFacts, beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """On a worker of Beam."""


class HashBucket(shards.HashBucket, beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """On a worker of Beam."""


class WriteDigests(shards.WriteDigests, beam.DoFn):  # type: ignore[misc]  # beam has no annotations
    """On a worker of Beam."""
