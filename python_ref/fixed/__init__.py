"""The fixed-point machine, bit for bit as the hardware computes: what the core is proven against.

``machine``       the machine, one page: a state, a step
``network``       a forward pass in raw integers; ``cost`` what its outputs cost
``perturbation``  the sign of every quantity, and the words of stochastic rounding
``signature``     the running signatures
``batch``         steps between updates, as exact matrix products
``fast``          the same integers as ``machine``, at speed: ``plan`` is a design in plain integers, ``kernels`` the compiled loops
``shift_adam``    Adam whose division and root are shifts, in integers
"""
