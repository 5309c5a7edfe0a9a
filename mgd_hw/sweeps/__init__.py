"""Sweeps: many runs of one design file with some of its keys varied, on this machine or on a Dask cluster.

A *combination* gives one value to each varied key. A *job* is what a worker does in one go: a run of one combination from one seed, or
what its core takes of an FPGA. The driver hands jobs out, and alone writes the journal, a row for each.
"""
