"""Photographs of digits, read by a served version.

In: image files. Out: a digit with its probability for each, and doubt where there is reason for it. `photograph` reads a
file, `surroundings` cuts off what is around the paper, `ink` separates strokes from it, `strokes` decides which of them
are the digit, `digit` fits it into the frame that the model was trained on, `answer` asks the model, `sheet` draws it all.
"""
