"""The simulators that run a core: CXXRTL, Verilator with cocotb and without, Icarus with cocotb, and Amaranth's own."""
