"""Reproduction of the figures of the 2025 paper at a network size of the user's choice, with the published points for comparison.

``published`` reads the published points, ``tasks`` performs one run, ``fashion`` sets up its data and learner, ``request`` lists the runs
of a figure, ``paper`` is the verb, ``point`` summarises the runs of one setting, ``theory`` predicts their length, and ``picture`` draws
the figure. ``figures`` and ``speed`` are programs for larger runs and for benchmarks. Jobs, workers and the journal are those of
:mod:`mgd_hw.sweeps`.
"""
