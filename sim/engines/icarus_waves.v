// Records the waves of the module MGD_HW_TOP in Icarus Verilog. (cocotb's own way needs SystemVerilog.)
module mgd_hw_waves;
  initial begin
    $dumpfile("waves.fst");
    $dumpvars(0, `MGD_HW_TOP);
  end
endmodule
