"""Training on a core at the end of a link, which is a board or a virtual board.

``train`` and ``serve`` are verbs. ``session`` is a host's side of a training, and ``checkpoint`` where it goes on after an interrupt.
"""
