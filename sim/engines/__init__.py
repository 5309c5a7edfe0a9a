"""The simulators that run a core: CXXRTL, Verilator and Icarus through cocotb, and Amaranth's own."""
