"""Answers of served versions: photographs of digits that `predict` reads, and requests that `server` answers.

In: image files. Out: a digit with its probability for each, with a stated doubt where there is reason for one. The model
server is a package of its own, which shares no code with the reading of photographs.
`photograph` reads a file, `surroundings` crops what is not paper, `ink` separates strokes from it, `strokes` decides which
of them form the digit, `digit` fits it into the frame that the model was trained on, `answer` asks the model, `sheet`
draws the steps.
"""
