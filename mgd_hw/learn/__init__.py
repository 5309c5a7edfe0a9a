"""How well a design learns: its models compared, what they cost, and what stands in the way.

``compare`` and ``diagnose`` are verbs. ``runs`` are those of a model, which ``trainers`` train, and ``learners`` where only the float
model does what the design requests; ``agreement``, ``profile`` and ``divergence`` look at gradients, numbers and failures; ``costs``
counts what a run costs, ``curves`` draws, and ``parameters`` reads and writes them as files.
"""
