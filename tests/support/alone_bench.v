// A core that learns alone beside the flash model of cocotbext-qspi, which is in its power-down state at the start.
//
// Macros: TOP, the core's module; DEPTH, the bytes of the flash; BASE, the address of the image in image.hex; PATIENCE, in cycles.
// Writes the levels of cs, sck, mosi and miso in each cycle from the press of the button on, and at last the lights.

`timescale 1ns/1ps

module alone_bench;
    reg clk = 0, rst = 1, button = 0;
    wire cs, sck, mosi, running, wrong, done;
    wire [4:0] lights;
    wire [3:0] io;

    // The model drives io[0] as well while it sends, which a device does not.
    assign (weak0, weak1) io[0] = mosi;
    pulldown (io[1]);

    `TOP dut (
        .clk(clk), .rst(rst), .button(button), .cs(cs), .sck(sck), .mosi(mosi), .miso(io[1]), .running(running), .wrong(wrong), .done(done),
        .light0(lights[0]), .light1(lights[1]), .light2(lights[2]), .light3(lights[3]), .light4(lights[4])
    );
    qspi_flash #(.MEM_DEPTH(`DEPTH)) flash (.clk(sck), .csb(cs), .io(io));

    integer trace, cycle;
    reg ran = 0;

    initial begin
        trace = $fopen("trace.txt", "w");
        #1 $readmemh("image.hex", flash.memory, `BASE);
        flash.powered_up = 0;
        repeat (2) begin
            #5 clk = 1;
            #5 clk = 0;
        end
        rst = 0;
        button = 1;
        cycle = 0;
        while (cycle < `PATIENCE && !(ran && !running)) begin
            #5 clk = 1;
            #5 $fwrite(trace, "%b%b%b%b\n", cs, sck, mosi, io[1]);
            clk = 0;
            if (running && !ran) begin
                ran = 1;
                button = 0;
            end
            cycle = cycle + 1;
        end
        $display("end %0d %b %b", cycle - 1, wrong, lights);
        $fclose(trace);
        $finish;
    end
endmodule
