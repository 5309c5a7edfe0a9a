"""The core of networks with state, which are evaluated over the frames of a sample and learn by node perturbation."""
