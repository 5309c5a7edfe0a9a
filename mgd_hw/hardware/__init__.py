"""From a design to a core: its Verilog, the proof that it is the same machine, its size, and its bitstream for a board.

``generate``, ``cosim``, ``synth``, ``fit``, ``boards``, ``build`` and ``doctor`` are verbs. ``timeline`` is the cycles of a step,
``netlists`` a synthesised core for ``cosim``, ``top`` what the verbs for a board share, and ``tools`` what may go wrong with tools.
"""
