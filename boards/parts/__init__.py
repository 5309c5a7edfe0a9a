"""What a core takes of an FPGA: the parts, synthesis for them, predictions of it, and what they need of a netlist."""
