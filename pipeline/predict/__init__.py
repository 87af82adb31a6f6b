"""Photographs of digits -> what a served version makes of them.

`photograph` reads a file, `surroundings` cuts off what lies around the paper, `ink` tells strokes from it, `strokes`
says which of them are the digit, `digit` fits it into the frame that the model was trained on, `answer` asks the model,
`sheet` draws it all.
"""
