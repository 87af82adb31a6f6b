"""The page of a run, and of two runs compared: one HTML file for people, with nothing to load from elsewhere.

In: a run's records and artifacts. Out: the page. `run_data` collects what a run left; `model_answers` asks its models, in a
process that has TensorFlow; each module of `sections` returns what one part shows, a frozen value without markup; `page`
lays them out; `compare` sets two runs side by side, and `significance` says whether they differ by more than chance; `write`
keeps the file. A run imports none of it before its model is checked, when the models are asked ahead.
"""
