"""A core behind a bus of a processor: AXI4-Lite or Wishbone, with samples over the bus or as an AXI4-Stream."""
