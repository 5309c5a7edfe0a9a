// A virtual analogue chip for a learner, to simulate with before there is a real one: put yours in its place.
//
// It has what a learner does not know: converters with steps, gains and offsets of its own, an output that settles, offsets that drift, and
// a readout with noise and pauses, which may still carry a part of the last reading. Its cost is the mean of (x_k - t_k)^2 over the
// quantities, where x_k is quantity k as the chip has it, and t_k its target, which bit k mod 4 of the sample's index shifts a little.
// Where the quantities are currents of nodes, each node has four inputs as well, bit i of the sample's index as -1 or 1, with weights that
// the chip keeps. They begin with 0, and change by the errors that come with the words. The same SEED gives the same chip.
`timescale 1ns / 1ps

module virtual_chip #(
    parameter N = 4,            // quantities
    parameter LANES = 1,        // streams of words; quantity k comes in stream k mod LANES
    parameter INDEX = 2,        // bits of a quantity's index
    parameter WORD = 16,        // bits of a word, and how many of them are its fraction
    parameter WORD_FRACTION = 12,
    parameter COST = 16,        // bits of a cost word, and how many of them are its fraction
    parameter COST_FRACTION = 12,
    parameter ERROR = 0,        // bits of the error of a node current, in last places of a word; 0 without node currents
    parameter DROPPED = 4,      // low bits of a word that the converters ignore
    parameter GAIN = 26,        // most by which a gain is off, in 1/256
    parameter OFFSET = 400,     // most by which an offset is off, in last places of a word
    parameter DRIFT = 1,        // most by which an offset moves from one measurement to the next
    parameter NOISE = 40,       // most noise on a cost word, in its last places
    parameter LAG = 0,          // part of the last reading that a reading still carries, in 1/256
    parameter DELAY = 12,       // cycles until the output has settled
    parameter PAUSE = 3,        // cycles between two cost words
    parameter SEED = 1
) (
    input clk, input rst,
    input sample_valid, output sample_ready, input [23:0] sample,
    input [LANES-1:0] word_valid, output [LANES-1:0] word_ready,  // of all streams, the first one lowest
    input [LANES*WORD-1:0] value, input [LANES*INDEX-1:0] index, input [LANES-1:0] last,
    input [LANES*(ERROR ? ERROR : 1)-1:0] error,  // 0 without node currents
    input apply_stb, input measure_ready,
    output cost_valid, input cost_ready, output reg signed [COST-1:0] cost
);
  localparam signed [63:0] MOST = (64'sd1 <<< (COST - 1)) - 1;
  localparam BITS = ERROR ? ERROR : 1;
  reg signed [WORD-1:0] sent[0:N-1], held[0:N-1];
  reg signed [BITS-1:0] failed[0:N-1];
  integer gain[0:N-1], offset[0:N-1], target[0:N-1], weight[0:4*N-1];  // weight i of node k is number 4*k + i
  integer random, settling, pause, k, i;
  reg [23:0] shown, measured;  // the sample that is shown, and the one that was measured last
  reg offered, was_ready;
  reg signed [63:0] sum, distance, reading, settled;

  // Each stream gives a word in a cycle, and all words become effective at apply_stb.
  assign word_ready = {LANES{1'b1}};
  assign sample_ready = 1;
  assign cost_valid = offered && measure_ready;

  function integer drawn(input integer most);  // from -most to most
    begin
      random = random * 1103515245 + 12345;
      drawn = most == 0 ? 0 : $signed({1'b0, random[30:8]}) % (2 * most + 1) - most;
    end
  endfunction

  initial begin
    random = SEED;
    for (k = 0; k < N; k = k + 1) begin
      gain[k] = 256 + drawn(GAIN);
      offset[k] = drawn(OFFSET);
      target[k] = drawn(1 << WORD_FRACTION);
      sent[k] = 0;
      held[k] = 0;
      failed[k] = 0;
      for (i = 0; i < 4; i = i + 1) weight[4*k+i] = 0;
    end
    reading = 0;
    measured = 0;
  end

  // What the readout would show without noise, in last places of a cost word.
  task measure;
    begin
      sum = 0;
      for (k = 0; k < N; k = k + 1) begin
        offset[k] = offset[k] + drawn(DRIFT);
        distance = (gain[k] * ((held[k] >>> DROPPED) <<< DROPPED)) / 256 + offset[k] - target[k];
        for (i = 0; i < 4; i = i + 1) distance = shown[i] ? distance + weight[4*k+i] : distance - weight[4*k+i];
        if (shown[k%4]) distance = distance + (1 <<< (WORD_FRACTION - 4));
        sum = sum + distance * distance;
      end
      settled = (sum / N) >>> (2 * WORD_FRACTION - COST_FRACTION);
      reading = settled + (reading - settled) * LAG / 256;
      measured = shown;
    end
  endtask

  always @(posedge clk)
    if (rst) begin
      settling <= 0; pause <= 0; shown <= 0; offered <= 0; was_ready <= 0; cost <= 0;
    end else begin
      was_ready <= measure_ready;
      if (sample_valid) shown <= sample;
      for (k = 0; k < LANES; k = k + 1)
        if (word_valid[k]) begin
          sent[index[k*INDEX+:INDEX]] <= value[k*WORD+:WORD];
          failed[index[k*INDEX+:INDEX]] <= ERROR ? error[k*BITS+:BITS] : 0;
          if (last[k] != (index[k*INDEX+:INDEX] + LANES >= N)) $display("The last word is not marked: quantity %0d", index[k*INDEX+:INDEX]);
        end
      if (apply_stb) begin
        settling <= DELAY;
        for (k = 0; k < N; k = k + 1) begin
          held[k] <= sent[k];
          for (i = 0; i < 4; i = i + 1) weight[4*k+i] = measured[i] ? weight[4*k+i] - failed[k] : weight[4*k+i] + failed[k];
        end
      end else if (settling != 0) settling <= settling - 1;
      // Words are measured from the cycle on in which measure_ready has risen; a chip that has not settled shows it.
      if (measure_ready && !was_ready) begin
        if (settling != 0) $display("The cost is measured %0d cycles before the chip has settled: settle is too small", settling);
        measure;
        pause <= PAUSE;
        offered <= 0;
      end else if (offered && measure_ready && cost_ready) begin
        offered <= 0;
        pause <= PAUSE;
      end else if (measure_ready && !offered) begin
        if (pause != 0) pause <= pause - 1;
        else begin
          distance = reading + drawn(NOISE);
          cost <= distance > MOST ? MOST[COST-1:0] : distance[COST-1:0];
          offered <= 1;
        end
      end else if (!measure_ready) offered <= 0;
    end
endmodule
