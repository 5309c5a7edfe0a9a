"""The figures of the paper of 2025, run again at a size of one's choice, with the published points beside.

``published`` has the points, ``tasks`` what one run is, ``request`` which runs a figure consists of, ``paper`` has them done, and
``picture`` draws. ``figures`` and ``speed`` are programs: larger runs, and their speed. Jobs, workers and the journal are those of
:mod:`mgd_hw.sweeps`.
"""
