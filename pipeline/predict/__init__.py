"""Answers of served versions: to photographs of digits, to rows of data files, and to the requests that `server` gets.

In: image or data files. Out: a class with its probability for each, with a stated doubt where there is reason for one.

    prediction          the way through this package, for `predict` and for the page `/draw`
    photograph, surroundings, rules, ink, strokes, digit
                        read a file, crop what is not paper, remove printed lines, separate the strokes, choose those of
                        the digit, fit it into the frame that the model was trained on
    rows, tables        rows of data files instead of photographs, and the table of their answers
    answer, doubt       the model's answer; whether the version's own data give a reason to doubt it
    training_data, nearest
                        the rows that a version was trained on, and those nearest to an image
    samples, monitor    requests that a server kept, and how far they are from the training data
    sheet               a picture of the steps
"""
