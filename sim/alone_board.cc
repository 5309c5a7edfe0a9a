// A board that learns alone, made of software: its top level, which CXXRTL has translated, and a model of its serial flash.
//
//   model IMAGE BASE HELD_OUT WAKE PATIENCE STOP TRACE MEMORIES CLK RST CS SCK MOSI MISO BUTTON RUNNING WRONG LIGHT...
//
// IMAGE is the file of the image, BASE its address, HELD_OUT the address of the samples to judge by; WAKE the cycles that the flash takes
// to leave its power-down state; PATIENCE the cycles after which the simulation gives up; STOP the cycle in which the button is pressed
// once more, 0 for never; TRACE a file for the levels of the flash's pins
// in each cycle, "-" for none; MEMORIES a file for the memories of the lanes at the end. The others are the names of the ports, "-" for a
// port that the design has not, with "!" in front of one that is active low.
//
// The button is pressed, and let go once the board runs. Each line on standard output is one event, with its cycle:
//
//   lights CYCLE BITS       the board has judged the held-out samples
//   end CYCLE WRONG BITS    the board has ended
//
// and the last line on standard error is "cycles N seconds S".

#include <cxxrtl/capi/cxxrtl_capi.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" cxxrtl_toplevel cxxrtl_design_create();

namespace {

[[noreturn]] void fail(const std::string &message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(2);
}

struct Port {
    uint32_t *next = nullptr;
    const uint32_t *curr = nullptr;
    bool inverted = false;

    bool is() const { return curr != nullptr && ((*curr & 1) != 0) != inverted; }
    void set(bool value) {
        if (next != nullptr)
            *next = value != inverted;
    }
};

Port find_port(cxxrtl_handle design, const char *name, uint32_t flag) {
    if (!std::strcmp(name, "-"))
        return {};
    const bool inverted = *name == '!';
    name += inverted;
    size_t parts = 0;
    cxxrtl_object *object = cxxrtl_get_parts(design, name, &parts);
    if (object == nullptr || parts != 1 || object->width != 1 || !(object->flags & flag))
        fail(std::string("the module has no ") + (flag == CXXRTL_INPUT ? "input " : "output ") + name + " of one bit");
    return {object->next, object->curr, inverted};
}

// The commands of a serial flash that a board uses: read (03), power down (B9) and its end (AB); it begins in power-down.
struct Flash {
    const std::vector<uint8_t> image;
    const uint32_t base;
    const uint64_t wake;
    bool powered = false, selected = false, clock = false, out = false;
    uint64_t ready = 0;  // cycle from which commands are obeyed
    uint32_t bits = 0, shifted = 0, address = 0;
    uint8_t command = 0, byte = 0;
    uint32_t sought = UINT32_MAX;  // address of a read that begins; UINT32_MAX in all other cycles

    uint8_t at(uint32_t place) const { return place >= base && place - base < image.size() ? image[place - base] : 0xFF; }

    void step(uint64_t cycle, bool cs, bool sck, bool mosi) {
        sought = UINT32_MAX;
        if (cs) {
            if (selected && bits == 8 && command == 0xAB && !powered)
                powered = true, ready = cycle + wake;
            if (selected && bits == 8 && command == 0xB9)
                powered = false;
            selected = out = false;
        } else if (!selected) {
            selected = true;
            bits = 0;
        } else if (sck && !clock) {
            shifted = shifted << 1 | uint32_t(mosi);
            bits++;
            if (bits == 8)
                command = uint8_t(shifted);
            if (bits == 32 && reads(cycle))
                sought = address = shifted & 0xFFFFFF;
            if (bits >= 32 && bits % 8 == 0 && reads(cycle))
                byte = at(address++ & 0xFFFFFF);
        } else if (!sck && clock && bits >= 32) {
            out = byte >> 7;
            byte = uint8_t(byte << 1);
        }
        clock = sck;
    }

    bool reads(uint64_t cycle) const { return command == 0x03 && powered && cycle >= ready; }
};

struct Memory {
    std::string name;
    const cxxrtl_object *object;
};

void find_memory(void *found, const char *name, cxxrtl_object *object, size_t parts) {
    if (object->type == CXXRTL_MEMORY && parts == 1 && std::strstr(name, "lane") != nullptr)
        static_cast<std::vector<Memory> *>(found)->push_back({name, object});
}

// A line for each memory: its name, and its words.
void write_memories(cxxrtl_handle design, const char *path) {
    std::vector<Memory> found;
    cxxrtl_enum(design, &found, find_memory);
    std::FILE *file = std::fopen(path, "w");
    if (file == nullptr)
        fail(std::string("cannot write ") + path);
    for (const Memory &memory : found) {
        std::fprintf(file, "%s\t", memory.name.c_str());
        const size_t chunks = (memory.object->width + 31) / 32;
        for (size_t word = 0; word < memory.object->depth; word++)
            std::fprintf(file, " %x", memory.object->curr[word * chunks]);
        std::fprintf(file, "\n");
    }
    std::fclose(file);
}

}  // namespace

int main(int argc, char **argv) {
    const int FIRST = 9, FIXED = 9;
    if (argc < FIRST + FIXED)
        fail("usage: model IMAGE BASE HELD_OUT WAKE PATIENCE STOP TRACE MEMORIES CLK RST CS SCK MOSI MISO BUTTON RUNNING WRONG LIGHT...");
    std::ifstream file(argv[1], std::ios::binary);
    Flash flash{{std::istreambuf_iterator<char>(file), {}}, uint32_t(std::strtoul(argv[2], nullptr, 0)), std::strtoull(argv[4], nullptr, 0)};
    const uint32_t held_out = uint32_t(std::strtoul(argv[3], nullptr, 0));
    const uint64_t patience = std::strtoull(argv[5], nullptr, 0);
    const uint64_t stop = std::strtoull(argv[6], nullptr, 0);
    std::FILE *trace = std::strcmp(argv[7], "-") ? std::fopen(argv[7], "w") : nullptr;
    cxxrtl_handle design = cxxrtl_create(cxxrtl_design_create());
    char **names = argv + FIRST;
    Port clk = find_port(design, names[0], CXXRTL_INPUT), rst = find_port(design, names[1], CXXRTL_INPUT);
    Port cs = find_port(design, names[2], CXXRTL_OUTPUT), sck = find_port(design, names[3], CXXRTL_OUTPUT);
    Port mosi = find_port(design, names[4], CXXRTL_OUTPUT), miso = find_port(design, names[5], CXXRTL_INPUT);
    Port button = find_port(design, names[6], CXXRTL_INPUT);
    Port running = find_port(design, names[7], CXXRTL_OUTPUT), wrong = find_port(design, names[8], CXXRTL_OUTPUT);
    std::vector<Port> lights;
    for (int number = FIRST + FIXED; number < argc; number++)
        lights.push_back(find_port(design, argv[number], CXXRTL_OUTPUT));
    auto shown = [&] {
        uint32_t bits = 0;
        for (size_t number = 0; number < lights.size(); number++)
            bits |= uint32_t(lights[number].is()) << number;
        return bits;
    };

    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    button.set(false);
    miso.set(false);
    rst.set(true);
    for (int cycle = 0; cycle < 2; cycle++) {
        clk.set(true);
        cxxrtl_step(design);
        clk.set(false);
        cxxrtl_step(design);  // what follows from registers is known only after this step
    }
    rst.set(false);
    button.set(true);
    // A design without feedback through logic settles in one evaluation, and then one evaluation of the rising edge does for a cycle: until
    // it is committed, registers have their old values, and the outputs are computed from these (see engines/cxxrtl_driver.cc). The edge
    // has then seen the inputs of the cycle before: what is set in a cycle below, the design sees a cycle later than without. The level
    // of miso has that time, since it changes at a falling edge of the flash's clock, and is looked at a cycle after that, at the earliest.
    const bool once = cxxrtl_eval(design) != 0;
    cxxrtl_commit(design);
    auto rising = [&] {
        clk.set(false);
        cxxrtl_commit(design);
        clk.set(true);
        cxxrtl_eval(design);
    };
    if (once)
        rising();
    auto tick = [&] {
        if (once) {
            cxxrtl_commit(design);
            rising();
        } else {
            clk.set(true);
            cxxrtl_step(design);
            clk.set(false);
            cxxrtl_step(design);  // what follows from registers is known only after this step
        }
    };
    const auto began = std::chrono::steady_clock::now();
    uint64_t cycle = 0;
    bool ran = false;
    int awaited = 0;
    for (; cycle < patience; cycle++) {
        tick();
        flash.step(cycle, cs.is(), sck.is(), mosi.is());
        miso.set(flash.out);
        if (trace != nullptr)
            std::fprintf(trace, "%d%d%d%d\n", cs.is(), sck.is(), mosi.is(), flash.out);
        // A read of the samples to judge by, one of the thresholds, and by the next one the lights have changed.
        if (flash.sought == held_out)
            awaited = 2;
        else if (flash.sought != UINT32_MAX && awaited > 0 && --awaited == 0)
            std::printf("lights %llu %u\n", (unsigned long long)cycle, shown());
        if (running.is() && !ran) {
            ran = true;
            button.set(false);
        }
        if (stop != 0 && cycle + once == stop)
            button.set(true);
        if (ran && !running.is())
            break;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    if (awaited > 0)
        std::printf("lights %llu %u\n", (unsigned long long)cycle, shown());
    if (cycle < patience)
        std::printf("end %llu %d %u\n", (unsigned long long)cycle, wrong.is(), shown());
    write_memories(design, argv[8]);
    if (trace != nullptr)
        std::fclose(trace);
    std::fprintf(stderr, "cycles %llu seconds %.3f\n", (unsigned long long)cycle, seconds);
    return 0;
}
