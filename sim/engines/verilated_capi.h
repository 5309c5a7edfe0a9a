// The part of CXXRTL's C interface that cxxrtl_driver.cc uses, on top of a model that Verilator made of the core.
//
// verilated_ports.h, which sim/engines/verilated.py writes, includes the model and calls PORT(name, member, in, width) for each port.
// A port of at most 16 bits has a word of its own, since the driver reads and writes whole words; the others are the model's own
// words. cxxrtl_eval returns 0, so that the driver settles the core with the clock low before it looks at the outputs.

#pragma once

#include "Vtop.h"
#include "verilated.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

enum { CXXRTL_INPUT = 1, CXXRTL_OUTPUT = 2 };
enum { CXXRTL_VALUE = 0, CXXRTL_MEMORY = 2 };

struct cxxrtl_object {
    uint32_t type, flags;
    size_t width, depth;
    uint32_t *curr, *next;
};

struct Verilated_design {
    struct Small {
        void *member;
        size_t bytes;
        uint32_t flags, word;
    };
    VerilatedContext context;
    Vtop top{&context};
    std::vector<Small> small;
    std::map<std::string, cxxrtl_object> ports;

    Verilated_design() {
        small.reserve(256);  // the ports point to its words
#define PORT(name, member, flag, width) add(name, &top.member, sizeof top.member, flag, width);
#include "verilated_ports.h"
#undef PORT
    }

    void add(const char *name, void *member, size_t bytes, uint32_t flags, size_t width) {
        uint32_t *words = static_cast<uint32_t *>(member);
        if (bytes < sizeof(uint32_t)) {
            small.push_back({member, bytes, flags, 0});
            words = &small.back().word;
        }
        ports[name] = {CXXRTL_VALUE, flags, width, 0, words, words};
    }

    void eval() {
        for (Small &port : small)
            if (port.flags == CXXRTL_INPUT) {
                if (port.bytes == 1)
                    *static_cast<CData *>(port.member) = CData(port.word);
                else
                    *static_cast<SData *>(port.member) = SData(port.word);
            }
        top.eval();
        for (Small &port : small)
            if (port.flags == CXXRTL_OUTPUT)
                port.word = port.bytes == 1 ? *static_cast<CData *>(port.member) : *static_cast<SData *>(port.member);
    }
};

using cxxrtl_toplevel = Verilated_design *;
using cxxrtl_handle = Verilated_design *;

extern "C" cxxrtl_toplevel cxxrtl_design_create() { return new Verilated_design; }
inline cxxrtl_handle cxxrtl_create(cxxrtl_toplevel design) { return design; }
inline cxxrtl_object *cxxrtl_get_parts(cxxrtl_handle design, const char *name, size_t *parts) {
    auto found = design->ports.find(name);
    *parts = found != design->ports.end();
    return *parts ? &found->second : nullptr;
}
inline cxxrtl_object *cxxrtl_get(cxxrtl_handle, const char *) { return nullptr; }  // memories are not to be seen
inline void cxxrtl_step(cxxrtl_handle design) { design->eval(); }
inline int cxxrtl_eval(cxxrtl_handle design) {
    design->eval();
    return 0;
}
inline int cxxrtl_commit(cxxrtl_handle) { return 0; }
