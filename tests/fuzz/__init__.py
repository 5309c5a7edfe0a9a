"""Fuzzing: what users give to the programs is damaged, and nothing may end in a traceback, a hang, or a file half-written.

``inputs``   what is given, sound and damaged, as strategies of Hypothesis
``targets``  the programs' ends that take it, each with its strategy
``axi``      a compiled core behind AXI4-Lite and AXI4-Stream, to which anything is done
``run``      runs a target, and judges how each input ends

``python -m tests.fuzz`` runs all of them, with 100,000 inputs together unless it is told otherwise.
"""
