"""How the embedded reranker is made: a bi-encoder's judgement, distilled into a cross-encoder.

A collection gives queries and documents; the teacher says which documents lie near a query and by
how much; pools keep that; the objective makes the reranker's scores follow it; the run does so
until the schedule ends and can be interrupted anywhere.
"""
