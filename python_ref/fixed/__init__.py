"""The fixed-point model, bit for bit what the hardware computes, against which the core is verified.

``machine``       the machine: a state and a step; ``weight``, ``node`` and ``series`` a step of each kind of design on one page
``state``         what stays from one step to the next; ``narrowing`` the casts of a step
``network``       a forward pass in raw integers; ``neurons`` the neurons of each kind of layer, with their state; ``cost`` the cost and the
                  correctness of its outputs
``perturbation``  the signs of all perturbed quantities, and the words of stochastic rounding
``signature``     the running signatures
``fast``          the same integers as ``machine``, at speed: ``plan`` is a design in plain integers, ``kernels`` and ``node_kernels`` the
                  compiled loops, ``blocks`` a machine of each kind that runs them
"""
