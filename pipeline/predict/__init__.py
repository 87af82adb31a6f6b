"""Photographs of digits -> what a served version makes of them.

`photograph` reads a file, `ink` tells strokes from paper, `strokes` says which of them are the digit, `digit` fits it
into the frame that the model was trained on, `answer` asks the model, `sheet` draws it all.
"""
