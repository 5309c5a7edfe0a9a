// A large memory of an iCE40 UltraPlus for simulation, in the place of Yosys's model of it, whose contents become unknown word by word
// when the power goes, and from which a simulator cannot be built in reasonable time. Here the power stays on, and the inputs that
// switch it are constants of the netlist. Where Yosys's model has an unknown output, after a write and in standby, this one has the
// complement of the data that are written: what must not be used differs from what a memory that writes through would give.

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
