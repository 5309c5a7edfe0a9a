"""Runs the hardware, and compares what happens with what must happen."""
