"""The tools that hardware descriptions go through: Yosys, its child processes, and the Verilog that it writes."""
