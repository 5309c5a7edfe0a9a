// A large memory of an iCE40 UltraPlus for simulation, in the place of Yosys's model of it. That one makes its contents unknown, word by
// word, when the power goes, and no simulator can be built from it in reasonable time. Here the power stays on: the inputs that switch it
// are constants of the netlist. What a core must not use has a value of its own: the contents before they are written are those of
// ice40_spram.hex, and the output after a write, and in standby, is the complement of the data.

module SB_SPRAM256KA (
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    input [3:0] MASKWREN,
    input WREN,
    input CHIPSELECT,
    input CLOCK,
    input STANDBY,
    input SLEEP,
    input POWEROFF,
    output reg [15:0] DATAOUT
);
    reg [15:0] mem [0:16383];
    initial DATAOUT = 16'ha55a;
    initial $readmemh("ice40_spram.hex", mem);
    wire writes = CHIPSELECT & WREN & ~STANDBY;

    always @(posedge CLOCK) begin
        if (SLEEP | ~POWEROFF)
            DATAOUT <= 16'b0;
        else if (STANDBY | writes)
            DATAOUT <= ~DATAIN;
        else if (CHIPSELECT)
            DATAOUT <= mem[ADDRESS];
        if (writes & ~SLEEP & POWEROFF) begin
            if (MASKWREN[0]) mem[ADDRESS][3:0] <= DATAIN[3:0];
            if (MASKWREN[1]) mem[ADDRESS][7:4] <= DATAIN[7:4];
            if (MASKWREN[2]) mem[ADDRESS][11:8] <= DATAIN[11:8];
            if (MASKWREN[3]) mem[ADDRESS][15:12] <= DATAIN[15:12];
        end
    end
endmodule
