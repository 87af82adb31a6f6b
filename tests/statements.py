"""What tests ask of a provenance statement that nothing in the product needs to know."""

from pipeline.provenance.statement import RECORDS, SHA256


def records_of(provenance):
    """The hashes of all records behind the model, each after the ones it was made from."""
    byproducts = provenance["predicate"]["runDetails"]["byproducts"]
    named = [item for item in byproducts if item["name"].startswith(RECORDS)]
    return tuple(item["digest"][SHA256] for item in named if SHA256 in item["digest"])
