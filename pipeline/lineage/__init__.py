"""Questions about served versions: show one, trace it upstream, find what a file or picture went into, compare, export.

In: the records of a root. Out: answers that are yes, no, or cannot tell. Nothing here imports TensorFlow.

    index, versions     what everything else asks: who made and read which artifact; the records behind a version
    show, trace         the lineage of a served version; everything upstream of it
    impact, erasure     the models that something went into; a request to delete an image
    history, periods    every run and version, and what changed between them; when a version was in service
    rows                single images, and proofs of their use or its absence
    diff                two versions compared
    export              other tools' formats, drawings, and the shell of every HTML page
    evidence            all of it about one version, for an auditor
"""
