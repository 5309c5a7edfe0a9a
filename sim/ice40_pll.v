// The PLL of an iCE40 for simulation: its output is its input, since only the number of cycles matters.

module SB_PLL40_PAD (
    input PACKAGEPIN,
    input RESETB,
    input BYPASS,
    output PLLOUTGLOBAL,
    output LOCK
);
    parameter FEEDBACK_PATH = "SIMPLE";
    parameter PLLOUT_SELECT = "GENCLK";
    parameter DIVR = 4'd0;
    parameter DIVF = 7'd0;
    parameter DIVQ = 3'd0;
    parameter FILTER_RANGE = 3'd0;
    assign PLLOUTGLOBAL = PACKAGEPIN;
    assign LOCK = RESETB;
endmodule

module SB_PLL40_CORE (
    input REFERENCECLK,
    input RESETB,
    input BYPASS,
    output PLLOUTGLOBAL,
    output LOCK
);
    parameter FEEDBACK_PATH = "SIMPLE";
    parameter PLLOUT_SELECT = "GENCLK";
    parameter DIVR = 4'd0;
    parameter DIVF = 7'd0;
    parameter DIVQ = 3'd0;
    parameter FILTER_RANGE = 3'd0;
    assign PLLOUTGLOBAL = REFERENCECLK;
    assign LOCK = RESETB;
endmodule
