"""From a design to a core: its Verilog, a bit-exact comparison with the model, its resources, and its bitstream for a board.

``generate``, ``cosim``, ``synth``, ``fit``, ``boards``, ``build`` and ``doctor`` are verbs. ``timeline`` lays out the clock cycles of a
step, ``netlists`` prepares a synthesised core for ``cosim``, ``top`` has functions that the verbs for a board share, and ``tools`` checks
a Verilog file that the user supplies.
"""
