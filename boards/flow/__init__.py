"""From a core and a board to a bitstream: sources, constraints, place and route, timing, and the tools that do it."""
