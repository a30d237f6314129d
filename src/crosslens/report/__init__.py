"""The main job: measure a cross-encoder layer by layer, and say on one page what was found.

`question` is what was asked, `measure` puts it to the model and writes tables, `summary` says
in words what the numbers support, `figures` draws them, `page` makes one file of it all.
"""
