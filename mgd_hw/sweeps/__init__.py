"""Sweeps: many runs of one design file with some of its keys varied, on this machine or on a Dask cluster.

A *combination* gives one value to each varied key. A *job* is the unit of work of a worker: either one training run of one combination
from one seed, or the area of its core on one FPGA part. The driver process assigns jobs to workers. It is the only process that writes the
journal, which has one row per job.
"""
