"""Training of a design's models: comparison, costs, and diagnosis of what prevents learning.

``compare`` and ``diagnose`` are verbs. ``trainers`` train the models, ``learners`` those of designs that only the float model can run,
and ``runs`` holds the results. ``agreement`` compares gradients, ``profile`` records the ranges of numbers, ``judging`` evaluates the
fixed model, and ``divergence`` recognises failed runs. ``costs`` counts what a run costs, ``curves`` draws learning curves, and
``parameters`` reads and writes files of parameters.
"""
