// Runs a host's program on a core that CXXRTL has translated, and writes what the core shows to standard output.
//
//   model PROGRAM PORTS PATIENCE STALL_SEED STALL_SHARE [WAVES]
//
// PROGRAM is what sim.program.Program.save wrote; PORTS has a line "in|out name width" for each port, a line "send name 0" with
// the stream that carries the program's words, a line "take name 0" for each further stream of the core, whose words are
// dropped, a line "set name value" for each further input, which keeps this value, and a line "preset name" with the memory
// that the program may write to. Output is a row of frames: kind, rows (uint32 each), then the rows (see sim/engines/frames.py).
//
// A cycle is: write the inputs, clock low, settle, look at the outputs, clock high, settle. Looking before the rising edge
// sees every output as it stands with this cycle's inputs; after it, outputs that depend on registers through logic would be
// stale. A design without feedback through logic settles in one evaluation, and then the evaluation of the rising edge alone
// will do: until it is committed, registers have their old values, and all logic is computed from these.

#include <cxxrtl/capi/cxxrtl_capi.h>
#ifdef WAVES
#include <cxxrtl/capi/cxxrtl_capi_vcd.h>
#endif

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

extern "C" cxxrtl_toplevel cxxrtl_design_create();

namespace {

enum Frame : uint32_t { RESPONSE = 16, PROGRESS = 17, DONE = 18, STUCK = 19, CLEARED = 20 };  // lower ones are events
enum Op : uint32_t { WRITE = 0, READ = 1, WAIT = 2, RESET = 3, PRESET = 4, STREAM = 5, CUT = 6 };
const std::string STROBES = "probe_stb", PAYLOAD = "probe_";
const size_t BLOCK_WORDS = 1 << 18;  // of one kind of event, before all are written out
const uint64_t MAGIC = 0x6D67642D70726F67;

[[noreturn]] void fail(const std::string &message) {
    std::cerr << message << std::endl;
    std::exit(2);
}

struct Port {
    uint32_t *next = nullptr;
    const uint32_t *curr = nullptr;
    size_t words = 0;

    bool is() const { return *curr & 1; }
    void set(uint64_t value) {
        next[0] = uint32_t(value);
        if (words > 1)
            next[1] = uint32_t(value >> 32);
    }
};

// The events are the ports whose names begin with PAYLOAD, in the order of the file, which is that of the bits of STROBES.
std::map<std::string, Port> find_ports(cxxrtl_handle design, const char *path, std::vector<std::string> &events,
                                       std::string &sent, std::vector<std::string> &taken, std::string &preset) {
    std::map<std::string, Port> ports;
    std::ifstream file(path);
    std::string direction, name;
    size_t width;
    while (file >> direction) {
        if (direction == "preset") {
            std::getline(file >> std::ws, preset);
            continue;
        }
        if (!(file >> name >> width))
            break;
        if (direction == "send") {
            sent = name;
            continue;
        }
        if (direction == "take") {
            taken.push_back(name + "__ready");
            continue;
        }
        size_t parts = 0;
        cxxrtl_object *object = cxxrtl_get_parts(design, name.c_str(), &parts);
        if (direction == "set") {
            if (object == nullptr || parts != 1 || !(object->flags & CXXRTL_INPUT))
                fail("the module has no input " + name);
            object->next[0] = uint32_t(width);
            continue;
        }
        uint32_t flag = direction == "in" ? CXXRTL_INPUT : CXXRTL_OUTPUT;
        if (object == nullptr || parts != 1 || !(object->flags & flag))
            fail("the module has no " + direction + "put " + name);
        if (object->width != width)
            fail("the module's port " + name + " must have " + std::to_string(width) + " bits, not " + std::to_string(object->width));
        ports[name] = {object->next, object->curr, (width + 31) / 32};
        if (name != STROBES && name.compare(0, PAYLOAD.size(), PAYLOAD) == 0)
            events.push_back(name);
    }
    return ports;
}

struct Program {
    std::vector<uint64_t> header, table, order;
    std::vector<uint32_t> ops;
    size_t words = 0, position = 0;  // of the sample stream

    explicit Program(const char *path) : header(5) {
        std::ifstream file(path, std::ios::binary);
        auto read = [&](auto &into) { file.read(reinterpret_cast<char *>(into.data()), into.size() * sizeof(into[0])); };
        read(header);
        if (!file || header[0] != MAGIC)
            fail(std::string(path) + " is not a program");
        ops.resize(3 * header[1]);
        read(ops);
        table.resize(header[2] * header[3]);
        read(table);
        order.resize(header[4]);
        read(order);
        if (!file)
            fail(std::string(path) + " is cut short");
        words = order.size() * header[3];
    }
    // The stream goes on at a sample, and ends after ``most`` words, or with 0 at the end of the order.
    void seek(size_t sample, size_t most) {
        position = sample * header[3];
        words = most ? position + most : order.size() * header[3];
    }
    bool more() const { return position < words; }
    uint64_t word() const { return table[order[position / header[3]] * header[3] + position % header[3]]; }
};

struct Output {
    FILE *file;

    void frame(uint32_t kind, uint32_t rows, const void *data, size_t bytes) {
        uint32_t head[2] = {kind, rows};
        if (std::fwrite(head, sizeof head, 1, file) != 1 || (bytes && std::fwrite(data, bytes, 1, file) != 1) || std::fflush(file) != 0)
            std::exit(3);  // nobody listens
    }
};

struct Random {
    uint64_t state;
    uint64_t below;  // of 2^32

    bool stalls() {
        if (below == 0)
            return false;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return uint32_t(state >> 16) < below;
    }
};

}  // namespace

int main(int argc, char **argv) {
    if (argc < 6)
        fail("usage: model PROGRAM PORTS PATIENCE STALL_SEED STALL_SHARE [WAVES]");
    // What the design itself prints goes to standard error.
    Output output{fdopen(dup(1), "wb")};
    dup2(2, 1);
    Program program(argv[1]);
    cxxrtl_handle design = cxxrtl_create(cxxrtl_design_create());
    std::vector<std::string> names, others;
    std::string sent, preset;
    std::map<std::string, Port> ports = find_ports(design, argv[2], names, sent, others, preset);
    cxxrtl_object *memory = preset.empty() ? nullptr : cxxrtl_get(design, preset.c_str());
    if (!preset.empty() && (memory == nullptr || memory->type != CXXRTL_MEMORY))
        fail("the module has no memory " + preset);
    const uint64_t patience = std::strtoull(argv[3], nullptr, 10);
    Random random{std::strtoull(argv[4], nullptr, 10) * 0x9E3779B97F4A7C15u | 1, uint64_t(std::atof(argv[5]) * 4294967296.0)};

    Port &clk = ports["clk"], &rst = ports["rst"], &busy = ports["busy"], &stb = ports[STROBES];
    Port &request = ports["request__payload"], &request_valid = ports["request__valid"], &request_ready = ports["request__ready"];
    Port &response = ports["response__payload"], &response_valid = ports["response__valid"], &response_ready = ports["response__ready"];
    Port &sample = ports[sent + "__payload"], &sample_valid = ports[sent + "__valid"], &sample_ready = ports[sent + "__ready"];
    std::vector<Port> payload, takes;
    for (const std::string &name : others)
        takes.push_back(ports[name]);
    for (const std::string &name : names)
        payload.push_back(ports[name]);
    std::vector<std::vector<uint32_t>> events(payload.size());
    std::vector<uint32_t> responses;

    uint64_t time = 0;
#ifdef WAVES
    cxxrtl_vcd vcd = cxxrtl_vcd_create();
    cxxrtl_vcd_timescale(vcd, 1, "ns");
    cxxrtl_vcd_add_from_without_memories(vcd, design);
    std::ofstream waves(argc > 7 ? argv[7] : "waves.vcd", std::ios::binary);
#endif
    auto step = [&](bool level) {
        clk.set(level);
        cxxrtl_step(design);
#ifdef WAVES
        const char *data;
        size_t size;
        cxxrtl_vcd_sample(vcd, time);
        for (cxxrtl_vcd_read(vcd, &data, &size); size != 0; cxxrtl_vcd_read(vcd, &data, &size))
            waves.write(data, size);
#endif
        time += 5;
    };

    for (Port *port : {&request_valid, &sample_valid, &response_ready})
        port->set(0);
    for (Port &port : takes)
        port.set(0);
    const int reset_cycles = argc > 6 ? std::atoi(argv[6]) : 2;
    rst.set(1);
    for (int cycle = 0; cycle < reset_cycles; cycle++) {
        step(false);
        step(true);
    }
    rst.set(0);
    clk.set(0);
#ifdef WAVES
    const bool once = false;
#else
    const bool once = cxxrtl_eval(design) != 0;
    cxxrtl_commit(design);
#endif
    auto settle = [&] {
        if (!once)
            return step(false);
        clk.set(0);
        cxxrtl_commit(design);
        clk.set(1);
        cxxrtl_eval(design);
    };
    auto tick = [&] {
        if (!once)
            return step(true);
        cxxrtl_commit(design);
    };

    uint64_t state[4] = {0, 0, 0, 0};  // cycles, busy cycles, sample words taken, operation
    uint64_t &cycle = state[0], &busy_cycles = state[1], &taken = state[2], &op = state[3];
    const uint64_t n_ops = program.header[1];
    uint64_t idle = 0;
    int grace = 4;                     // cycles before WAIT believes that the core is idle
    bool asked = false;                // a read waits for its response
    bool requesting = false, offering = false;
    auto flush = [&] {
        for (size_t event = 0; event < events.size(); event++) {
            if (!events[event].empty())
                output.frame(event, events[event].size() / payload[event].words, events[event].data(), events[event].size() * 4);
            events[event].clear();
        }
        if (!responses.empty())
            output.frame(RESPONSE, responses.size(), responses.data(), responses.size() * 4);
        responses.clear();
    };

    while (op < n_ops) {
        const uint32_t *now = &program.ops[3 * op];
        if (now[0] == PRESET) {
            if (memory == nullptr || now[1] >= memory->depth)
                fail("the program writes to row " + std::to_string(now[1]) + " of a memory that is not there");
            memory->curr[now[1] * ((memory->width + 31) / 32)] = now[2];
            op++;
            continue;
        }
        if (now[0] == STREAM) {
            program.seek(now[2], now[1]);
            offering = false;
            op++;
            continue;
        }
        if (now[0] == CUT) {
            request.set(uint64_t(now[1] >> 8 & 1) | uint64_t(now[1] & 0xFF) << 1 | uint64_t(now[2]) << 9);
            request_valid.set(1);
            for (Port *port : {&sample_valid, &response_ready})
                port->set(0);
            for (uint32_t left = now[1] >> 9; left > 0; left--, cycle++) {
                settle();
                tick();
            }
            op++;
            continue;
        }
        if (now[0] == RESET) {
            flush();
            for (Port *port : {&request_valid, &sample_valid, &response_ready})
                port->set(0);
            for (Port &port : takes)
                port.set(0);
            rst.set(1);
            for (uint32_t left = now[1]; left > 0; left--, cycle++) {
                settle();
                tick();
            }
            rst.set(0);
            requesting = offering = asked = false;
            program.seek(now[2], 0);
            idle = 0;
            op++;
            output.frame(CLEARED, 1, state, sizeof state);
            continue;
        }
        if (!requesting)
            requesting = now[0] != WAIT && !asked && !random.stalls();
        if (requesting)
            request.set(uint64_t(now[0] == WRITE) | uint64_t(now[1]) << 1 | uint64_t(now[2]) << 9);
        if (!offering)
            offering = program.more() && !random.stalls();
        if (offering)
            sample.set(program.word());
        bool taking = !random.stalls();
        request_valid.set(requesting);
        sample_valid.set(offering);
        response_ready.set(taking);
        for (Port &port : takes)
            port.set(!random.stalls());
        settle();

        bool progress = false, requested = requesting && request_ready.is(), responded = taking && response_valid.is();
        if (uint32_t strobes = *stb.curr) {
            progress = true;
            bool full = false;
            for (size_t event = 0; event < events.size(); event++)
                if (strobes >> event & 1) {
                    events[event].insert(events[event].end(), payload[event].curr, payload[event].curr + payload[event].words);
                    full |= events[event].size() >= BLOCK_WORDS;
                }
            if (full)
                flush();
        }
        busy_cycles += busy.is();
        if (responded)
            responses.push_back(*response.curr);
        if (offering && sample_ready.is()) {
            program.position++;
            taken++;
            offering = false;
            progress = true;
        }
        bool advance = false;
        if (now[0] == WAIT) {
            if (grace > 0)
                grace--;
            else
                advance = !busy.is();
        } else {
            if (requested) {
                requesting = false;
                progress = true;
                asked = now[0] == READ;
                advance = now[0] == WRITE;
            }
            if (responded && asked) {
                asked = false;
                advance = true;
            }
        }
        tick();
        cycle++;
        if (advance) {
            op++;
            grace = 4;
        }
        idle = progress || advance ? 0 : idle + 1;
        if (idle > patience) {
            flush();
            output.frame(STUCK, 1, state, sizeof state);
            return 0;
        }
        if ((cycle & 0xFFFF) == 0) {
            flush();
            output.frame(PROGRESS, 1, state, sizeof state);
        }
    }
    flush();
    output.frame(DONE, 1, state, sizeof state);
    return 0;
}
