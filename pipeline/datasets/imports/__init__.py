"""Import of what is no data file yet: pictures by class, NumPy arrays, Parquet, ARFF, and zip archives of any of these.

In: a file or folder of somebody's. Out: IDX files under MNIST's names, names of classes, and a record of every row's origin.
"""
