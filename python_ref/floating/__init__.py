"""Multiplexed gradient descent at the papers' scale, in real numbers: any forward pass, estimator, optimiser and device.

A run is a composition of frozen pieces, each a page of its own:

``passes``       what a forward pass is; ``layers`` and ``networks`` are passes, ``outside`` is the user's own
``objectives``   what a cost is
``codes``        the perturbations, regenerated from seeds
``estimators``   from costs to a gradient
``optimizers``   from a gradient to an update
``devices``      what hardware does to all that
``learner``      the loop

It shares no arithmetic with the fixed-point machine, and with the float machine no more than the order of parameters.
"""
