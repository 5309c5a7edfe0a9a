"""Simulation of the hardware, and its comparison with the reference."""
