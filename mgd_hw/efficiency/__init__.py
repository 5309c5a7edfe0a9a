"""Efficiency of ways to learn on the same lanes: each kind and code of MGD, and back-propagation, by cycles, writes, energy, endurance."""
