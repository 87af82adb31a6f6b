"""The bucket, from inside the cluster's network: `python bucket.py make BUCKET`, `copy BUCKET PREFIX FOLDER`."""

import sys
from pathlib import Path
from typing import Any


def main(do: str, bucket: str, *arguments: str) -> None:
    """Makes a bucket, or copies what lies below a prefix, as `mc mirror` does."""
    import boto3

    # Of services.KEYS.
    keys = {"aws_access_key_id": "minio", "aws_secret_access_key": "minio123", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", **keys)
    if do == "make":
        client.create_bucket(Bucket=bucket)
        return
    prefix, folder = arguments
    for key in _keys(client, bucket, prefix):
        to = Path(folder, key.removeprefix(prefix))
        to.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(to))


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


if __name__ == "__main__":
    main(*sys.argv[1:])
