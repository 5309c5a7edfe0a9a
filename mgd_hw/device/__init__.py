"""Training of a core over a link, on a board or on a virtual board.

``train`` and ``serve`` are verbs. ``session`` implements the host's side of a training, and ``checkpoint`` the file from which a training
resumes after an interrupt.
"""
