// Drives a core behind AXI4-Lite and AXI4-Stream that CXXRTL has translated: channel by channel, at any pace, and also wrongly.
//
// Standard input has jobs: the number of operations, and these, of four words each. Each operation that waits answers on standard output
// with nine words (whether it came to its end in time, cycles, accepted write addresses, write data, read addresses and words of the
// stream, interrupt, number of write responses, number of read responses), the write responses, and a response and a word for each read.

#include <cxxrtl/capi/cxxrtl_capi.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

extern "C" cxxrtl_toplevel cxxrtl_design_create();

namespace {

enum Op : uint32_t { RESET, AW, W, AR, T, SYNC, STREAM, PACE, POLL, FORGET };

cxxrtl_handle design;

cxxrtl_object *port(const char *name) {
    size_t parts = 0;
    cxxrtl_object *found = cxxrtl_get_parts(design, name, &parts);
    if (found == nullptr || parts != 1) {
        std::cerr << "the module has no port " << name << std::endl;
        std::exit(2);
    }
    return found;
}

struct Item {
    uint32_t value, more, delay, hold;  // hold: cycles after which the offer is withdrawn; 0 never
};

// A channel whose items are offered one after the other.
struct Channel {
    cxxrtl_object *valid, *ready, *value, *more, *last;
    std::deque<Item> items;
    uint32_t accepted = 0;

    Channel(const std::string &name, const char *first, const char *second, const char *third = nullptr)
        : valid(port((name + "valid").c_str())), ready(port((name + "ready").c_str())), value(port((name + first).c_str())),
          more(second ? port((name + second).c_str()) : nullptr), last(third ? port((name + third).c_str()) : nullptr) {}

    void offer() {
        bool offers = !items.empty() && items.front().delay == 0;
        valid->next[0] = offers;
        if (offers) {
            value->next[0] = items.front().value;
            if (more)
                more->next[0] = items.front().more;
        }
    }
    void pass() {
        if (items.empty())
            return;
        Item &front = items.front();
        if (front.delay > 0) {
            front.delay--;
        } else if (*ready->curr & 1) {
            accepted++;
            items.pop_front();
        } else if (front.hold != 0 && --front.hold == 0) {
            items.pop_front();
        }
    }
};

uint32_t word() {
    uint32_t found;
    if (std::fread(&found, sizeof found, 1, stdin) != 1)
        std::exit(0);
    return found;
}

}  // namespace

int main() {
    design = cxxrtl_create(cxxrtl_design_create());
    cxxrtl_object *clock = port("aclk"), *reset = port("aresetn"), *irq = port("irq");
    cxxrtl_object *bvalid = port("s_axi_bvalid"), *bready = port("s_axi_bready"), *bresp = port("s_axi_bresp");
    cxxrtl_object *rvalid = port("s_axi_rvalid"), *rready = port("s_axi_rready"), *rresp = port("s_axi_rresp"), *rdata = port("s_axi_rdata");
    Channel aw("s_axi_aw", "addr", nullptr), w("s_axi_w", "data", "strb"), ar("s_axi_ar", "addr", nullptr), t("s_axis_t", "data", "last");
    std::vector<uint32_t> written, read;
    uint64_t state = 1, below = 0;
    auto goes = [&] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return uint32_t(state >> 16) >= below;
    };
    // As in sim/engines/cxxrtl_driver.cc: a design without feedback through logic settles in one evaluation.
    clock->next[0] = 0;
    const bool once = cxxrtl_eval(design) != 0;
    cxxrtl_commit(design);
    auto cycle = [&] {
        for (Channel *each : {&aw, &w, &ar, &t})
            each->offer();
        bready->next[0] = goes();
        rready->next[0] = goes();
        clock->next[0] = 0;
        if (once) {
            cxxrtl_commit(design);
            clock->next[0] = 1;
            cxxrtl_eval(design);
        } else {
            cxxrtl_step(design);
        }
        for (Channel *each : {&aw, &w, &ar, &t})
            each->pass();
        if ((*bvalid->curr & 1) && bready->next[0])
            written.push_back(*bresp->curr);
        if ((*rvalid->curr & 1) && rready->next[0]) {
            read.push_back(*rresp->curr);
            read.push_back(*rdata->curr);
        }
        clock->next[0] = 1;
        if (once)
            cxxrtl_commit(design);
        else
            cxxrtl_step(design);
    };
    uint32_t answered_writes = 0, answered_reads = 0;
    auto answer = [&](bool ended, uint32_t cycles) {
        answered_writes += written.size();
        answered_reads += read.size() / 2;
        uint32_t head[9] = {ended, cycles, aw.accepted, w.accepted, ar.accepted, t.accepted, *irq->curr & 1, uint32_t(written.size()),
                            uint32_t(read.size() / 2)};
        std::fwrite(head, sizeof head, 1, stdout);
        std::fwrite(written.data(), 4, written.size(), stdout);
        std::fwrite(read.data(), 4, read.size(), stdout);
        written.clear();
        read.clear();
    };
    auto quiet = [&] {
        uint32_t writes = std::min(aw.accepted, w.accepted);
        bool whole = answered_writes + written.size() == writes && answered_reads + read.size() / 2 == ar.accepted;
        return whole && aw.items.empty() && w.items.empty() && ar.items.empty();
    };
    while (true) {
        for (uint32_t left = word(); left > 0; left--) {
            uint32_t kind = word(), a = word(), b = word(), c = word(), cycles = 0;
            switch (kind) {
            case RESET:
                for (Channel *each : {&aw, &w, &ar, &t}) {
                    each->items.clear();
                    each->accepted = 0;
                }
                reset->next[0] = 0;
                for (; cycles < a; cycles++)
                    cycle();
                reset->next[0] = 1;
                written.clear();
                read.clear();
                answered_writes = answered_reads = 0;
                break;
            case AW:
                aw.items.push_back({a, 0, b, c});
                break;
            case W:
                w.items.push_back({a, b & 15, b >> 4, c});
                break;
            case AR:
                ar.items.push_back({a, 0, b, c});
                break;
            case T:
                t.items.push_back({a, b, c, 0});
                break;
            case SYNC:
                for (; cycles < a && !quiet(); cycles++)
                    cycle();
                answer(quiet(), cycles);
                break;
            case STREAM:
                for (; cycles < a && !t.items.empty(); cycles++)
                    cycle();
                answer(t.items.empty(), cycles);
                break;
            case PACE:
                state = uint64_t(a) * 0x9E3779B97F4A7C15u | 1;
                below = b;
                break;
            case POLL: {
                bool ended = false;
                while (!ended && cycles < c) {
                    read.clear();
                    ar.items.push_back({a, 0, 0, 0});
                    for (; cycles < c && read.empty(); cycles++)
                        cycle();
                    answered_reads += !read.empty();
                    ended = !read.empty() && read[0] == 0 && (read[1] & b) == 0;
                }
                read.clear();
                answer(ended, cycles);
                break;
            }
            case FORGET:
                t.items.clear();
                break;
            default:
                return 2;
            }
        }
        std::fflush(stdout);
    }
}
