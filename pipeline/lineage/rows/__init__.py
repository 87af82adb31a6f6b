"""Single images in the data that models were trained on: recognise them, look them up, prove their use or its absence.

In: a file, a picture or a digest. Out: the rows it stands for, and Merkle proofs that verify without the data.
"""
