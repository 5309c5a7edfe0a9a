"""Reports: one page per design on the generated core, its comparison with the model, how well it learns, and what it costs.

``report`` and ``demo`` are verbs. ``chapter`` collects all results for a design, ``summary`` answers the main questions, ``sections``
turns the results into text, tables and figures, ``page`` writes the file, and ``provenance`` records how to reproduce the results.
"""
