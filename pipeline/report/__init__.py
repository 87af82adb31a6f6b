"""A run's records and artifacts -> one HTML page for people.

`evidence` finds what a run left; `answers` asks its model, in a process that has TensorFlow; each module of `sections`
makes what one part of the page shows, a frozen value without markup; `page` lays them out; `written` keeps the file.
Nothing here is imported by a run before it has ended.
"""
