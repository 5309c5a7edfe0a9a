"""Multiplexed gradient descent at the papers' scale, in real numbers: any forward pass, estimator, optimiser and device.

A run is a composition of frozen pieces, each a page of its own:

``passes``           what a forward pass is; ``layers`` and ``networks`` are passes, ``outside`` is the user's own
``objectives``       what a cost is
``codes``            the perturbations, regenerated from seeds
``estimators``       from costs to a gradient
``optimizers``       from a gradient to an update
``devices``          what hardware does to all that
``learner``          the loop
``of_design``        all of these, built from the description of a design
``online``           the learner of a design at speed: a sample at a time, compiled
``backpropagation``  the loop on exact gradients: the baseline that MGD is compared with

It shares the description of a design with the fixed-point machine, and no arithmetic.
"""
