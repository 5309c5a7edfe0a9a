"""One page about a design: what was generated, what was proven, how well it learns and what it costs.

``report`` and ``demo`` are verbs. ``chapter`` is all that is known of a design, ``sections`` how it reads, ``page`` the file, and
``provenance`` how to do it again.
"""
