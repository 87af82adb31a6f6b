"""Data in object stores: an address (s3://, gs://, hdfs://) goes in, a folder of verified copies comes out.

`address` parses, `store` says what a store can do, `s3`, `gcs` and `hdfs` do it, `copies` keeps what was fetched and
fetches what is new. Everything behind reads the copies as it reads any folder. Only data is read from a store: a root and
a serving directory need locks and atomic renames, which object stores do not have.
"""
