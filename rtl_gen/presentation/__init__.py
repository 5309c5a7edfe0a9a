"""The core of node perturbation, which measures a sample once and then probes it many times."""
