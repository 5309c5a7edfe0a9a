// A virtual chip, and a host that plays a program, around the emitted Verilog of a learner. Its twin is tests/support/verilog_chip.py.
`timescale 1ns / 1ps

module chip #(
    parameter N = 4, L = 1, W = 8, I = 2, C = 8, FLOOR = 2, SCALE = 4, DELAY = 7, GAP = 2, SILENT = -1
) (
    input clk, input rst,
    input sample_valid, output sample_ready, input [23:0] sample,
    input [L-1:0] word_valid, output [L-1:0] word_ready, input [L*(W+I+1)-1:0] word,
    input apply_stb, input measure_ready,
    output cost_valid, input cost_ready, output signed [C-1:0] cost
);
  localparam signed [63:0] MOST = (64'sd1 <<< (C - 1)) - 1;
  reg signed [W-1:0] sent[0:N-1];
  reg [23:0] shown;
  reg signed [63:0] sum, distance, target;
  reg signed [63:0] analog;       // what the chip's output has settled to
  integer settling, pause, words, measurements, slow, k;
  reg was_ready;

  // Each stream has a pace of its own.
  genvar lane;
  generate
    for (lane = 0; lane < L; lane = lane + 1) begin : paces
      assign word_ready[lane] = slow == lane % 3;
    end
  endgenerate
  assign sample_ready = slow == 1;
  assign cost_valid = measure_ready && was_ready && pause == 0 && measurements - 1 != SILENT;
  wire signed [63:0] noisy = analog + (words * 7) % 5 - 2;
  wire signed [63:0] limited = noisy > MOST ? MOST : noisy;
  assign cost = limited[C-1:0];

  always @(posedge clk)
    if (rst) begin
      settling <= 0; pause <= 0; words <= 0; measurements <= 0; slow <= 0; analog <= 0; was_ready <= 0; shown <= 0;
    end else begin
      slow <= (slow + 1) % 3;
      was_ready <= measure_ready;
      if (measure_ready && !was_ready) measurements <= measurements + 1;
      if (sample_valid && sample_ready) shown <= sample;
      for (k = 0; k < L; k = k + 1)
        if (word_valid[k] && word_ready[k]) begin
          sent[word[k*(W+I+1)+W+:I]] <= word[k*(W+I+1)+:W];
          if (word[k*(W+I+1)+W+I] != (word[k*(W+I+1)+W+:I] + L >= N)) begin
            $display("FATAL: %s", "last does not mark the last quantity");
            $finish;
          end
        end
      if (apply_stb) settling <= DELAY;
      else if (settling > 1) settling <= settling - 1;
      else if (settling == 1) begin
        sum = 0;
        for (k = 0; k < N; k = k + 1) begin
          target = (shown * 37 + k * 11) % 64 - 32;
          distance = (sent[k] >>> FLOOR) - target;
          sum = sum + distance * distance;
        end
        analog <= sum >>> SCALE;
        settling <= 0;
      end
      if (cost_valid && cost_ready) begin
        words <= words + 1;
        pause <= GAP;
        if (settling != 0) begin $display("FATAL: %s", "the cost is measured before the chip has settled"); $finish; end
      end else if (pause != 0) pause <= pause - 1;
    end
endmodule

module bench;
  parameter OPS = 1;
  reg clk = 0, rst = 1;
  reg [41:0] ops[0:OPS-1];        // two bits of the kind, eight of the address, 32 of data
  integer at = 0, file, waited = 0;
  reg [40:0] request = 0;
  reg request_valid = 0;
  wire request_ready, response_valid, busy;
  wire [31:0] response;
  wire sample_valid, sample_ready, apply_stb, measure_ready, cost_valid, cost_ready;
  wire [23:0] sample;
  localparam EACH = `W + `I + 1;
  wire [`L*EACH-1:0] word;
  wire [`L-1:0] word_valid, word_ready;
  wire signed [`C-1:0] cost;

  `TOP learner (
      .clk(clk), .rst(rst), .request__payload(request), .request__valid(request_valid), .request__ready(request_ready),
      .response__payload(response), .response__valid(response_valid), .response__ready(1'b1), .busy(busy),
      .sample__payload(sample), .sample__valid(sample_valid), .sample__ready(sample_ready),
      `STREAMS
      .apply_stb(apply_stb), .measure_ready(measure_ready),
      .cost__payload(cost), .cost__valid(cost_valid), .cost__ready(cost_ready));
  chip #(.N(`N), .L(`L), .W(`W), .I(`I), .C(`C), .FLOOR(`FLOOR), .SCALE(`SCALE), .SILENT(`SILENT)) outside (
      .clk(clk), .rst(rst), .sample_valid(sample_valid), .sample_ready(sample_ready), .sample(sample),
      .word_valid(word_valid), .word_ready(word_ready), .word(word),
      .apply_stb(apply_stb), .measure_ready(measure_ready),
      .cost_valid(cost_valid), .cost_ready(cost_ready), .cost(cost));

  always #5 clk = ~clk;
  initial begin
    $readmemh("ops.hex", ops);
    file = $fopen("answers.txt", "w");
    repeat (4) @(negedge clk);
    rst = 0;
    for (at = 0; at < OPS; at = at + 1)
      if (ops[at][41:40] == 2) begin
        repeat (5) @(negedge clk);
        for (waited = 0; busy; waited = waited + 1) begin
          if (waited == 1_000_000) begin $display("FATAL: %s", "the core hangs"); $finish; end
          @(negedge clk);
        end
      end else begin
        request = {ops[at][31:0], ops[at][39:32], ops[at][41:40] == 2'd0};
        request_valid = 1;
        #1;
        while (!request_ready) begin @(negedge clk); #1; end
        @(negedge clk);
        request_valid = 0;
        if (ops[at][41:40] == 1) begin
          while (!response_valid) @(negedge clk);
          $fdisplay(file, "%08x", response);
          @(negedge clk);
        end
      end
    $fclose(file);
    $finish;
  end
endmodule
