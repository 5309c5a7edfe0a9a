// A host, a learner and a virtual chip: it plays the accesses of program.hex, which set the learner up and train it, and shows the cost.
//
//   iverilog -g2012 -o simulation.vvp ../design.v chip_bench.v virtual_chip.v && vvp simulation.vvp
`timescale 1ns / 1ps
`include "sizes.vh"

module chip_bench;
  reg clk = 0, rst = 1;
  reg [41:0] accesses[0:`OPS-1];  // two bits of the kind (0 write, 1 read, 2 wait for the end of a run), eight of the address, 32 of data
  integer at, words = 0, waited;
  real total = 0;
  reg [40:0] request = 0;
  reg request_valid = 0;
  wire request_ready, response_valid, busy;
  wire [31:0] response;
  wire sample_valid, sample_ready, apply_stb, measure_ready, cost_valid, cost_ready;
  wire [23:0] sample;
  localparam EACH = `WORD + `INDEX + 1 + `ERROR, BITS = `ERROR ? `ERROR : 1;
  wire [`LANES*EACH-1:0] word;  // of each stream its value, index, last and error, from the low bits on; the first stream is lowest
  wire [`LANES-1:0] word_valid, word_ready, last;
  wire [`LANES*`WORD-1:0] value;
  wire [`LANES*`INDEX-1:0] index;
  wire [`LANES*BITS-1:0] error;
  wire signed [`COST-1:0] cost;

  `LEARNER learner (
      .clk(clk), .rst(rst), .request__payload(request), .request__valid(request_valid), .request__ready(request_ready),
      .response__payload(response), .response__valid(response_valid), .response__ready(1'b1), .busy(busy),
      .sample__payload(sample), .sample__valid(sample_valid), .sample__ready(sample_ready),
      `STREAMS
      .apply_stb(apply_stb), .measure_ready(measure_ready),
      .cost__payload(cost), .cost__valid(cost_valid), .cost__ready(cost_ready));

  genvar lane;
  generate
    for (lane = 0; lane < `LANES; lane = lane + 1) begin : split
      assign {last[lane], index[lane*`INDEX+:`INDEX], value[lane*`WORD+:`WORD]} = word[lane*EACH+:EACH-`ERROR];
      assign error[lane*BITS+:BITS] = `ERROR ? word[lane*EACH+EACH-1-:BITS] : 0;  // only node currents have errors
    end
  endgenerate

  virtual_chip #(.N(`N), .LANES(`LANES), .INDEX(`INDEX), .WORD(`WORD), .WORD_FRACTION(`WORD_FRACTION), .COST(`COST), .COST_FRACTION(`COST_FRACTION),
                 .ERROR(`ERROR), .DELAY(`SETTLE)) chip (
      .clk(clk), .rst(rst), .sample_valid(sample_valid), .sample_ready(sample_ready), .sample(sample),
      .word_valid(word_valid), .word_ready(word_ready), .value(value), .index(index), .last(last), .error(error),
      .apply_stb(apply_stb), .measure_ready(measure_ready), .cost_valid(cost_valid), .cost_ready(cost_ready), .cost(cost));

  always #5 clk = ~clk;

  always @(posedge clk)
    if (cost_valid && cost_ready) begin
      total = total + cost;
      words = words + 1;
      if (words % `SHOWN == 0) begin
        $display("%0d cost words, mean of the last %0d: %f", words, `SHOWN, total / `SHOWN / (1 << `COST_FRACTION));
        total = 0;
      end
    end

  initial begin
    $readmemh("program.hex", accesses);
    repeat (4) @(negedge clk);
    rst = 0;
    for (at = 0; at < `OPS; at = at + 1)
      if (accesses[at][41:40] == 2) begin
        repeat (5) @(negedge clk);
        while (busy) @(negedge clk);
      end else begin
        request = {accesses[at][31:0], accesses[at][39:32], accesses[at][41:40] == 2'd0};
        request_valid = 1;
        #1;
        while (!request_ready) begin @(negedge clk); #1; end
        @(negedge clk);
        request_valid = 0;
        if (accesses[at][41:40] == 1) begin
          while (!response_valid) @(negedge clk);
          $display("register 0x%02x reads 0x%08x", accesses[at][39:32], response);
          @(negedge clk);
        end
      end
    $finish;
  end
endmodule
