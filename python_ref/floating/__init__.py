"""Multiplexed gradient descent at the papers' scale, in real numbers, for any forward pass, estimator, optimiser and device.

A run is composed of frozen pieces, each in a module of its own:

``passes``           interfaces of a forward pass; ``layers`` and ``networks`` implement them, ``outside`` wraps the user's own
``objectives``       costs of outputs
``codes``            perturbations, regenerated from seeds
``estimators``       gradients from costs
``optimizers``       updates from gradients
``devices``          imperfections of hardware
``learner``          the training loop
``of_design``        all of these, built from the description of a design
``online``           the learner of a design at speed: one sample at a time, compiled
``backpropagation``  the training loop with exact gradients, the baseline for MGD

The package shares the description of a design with the fixed-point machine, but no arithmetic.
"""
