"""A long co-simulation of random designs: ``python -m tests.soak`` compares values by the hundred million, and counts them."""
