"""From a design to a core: its Verilog, the proof that it is the same machine, its size, and its bitstream for a board."""
