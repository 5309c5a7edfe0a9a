"""The core of a learner, whose network is outside: it streams perturbed quantities, takes costs, and learns."""
