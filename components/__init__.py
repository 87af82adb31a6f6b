"""What each stage does: one module or folder per stage, in the order of the flow line.

ingest -> statistics -> reviewed schema -> example validator -> schema gate -> transform -> autoencoder -> classifier
-> baseline -> evaluation -> SavedModel check -> atomic pusher.

`errors`, `features`, `digest`, `files`, `settings`, `declaration`, `profile`, `schema_files`, `serving` and `training/` are the
shared floor: any stage may import them, no stage imports a sibling, and nothing here imports `pipeline`.
"""
