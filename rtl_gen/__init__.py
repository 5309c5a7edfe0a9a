"""The machine in Amaranth: blocks, their composition, and the Verilog they become."""
