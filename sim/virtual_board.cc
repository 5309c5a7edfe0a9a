// A board made of software: a design that CXXRTL has translated, its serial line at a pseudo-terminal.
//
//   model TERMINAL DIVISOR PATIENCE CLK RST RX TX BUSY
//
// TERMINAL is the file descriptor of the controlling side; DIVISOR the cycles per bit of the line; PATIENCE is in seconds; the others
// are the names of the ports, "-" for a port that the design has not. The board runs until it is told to end, or until standard input
// is closed. It sleeps while nothing happens: no byte on the line either way, and no run under way; or while a run is, of which nobody
// has asked for PATIENCE: its driver has died, and the run waits for samples. The next byte wakes it, and it goes on.
//
// The last line on standard error is "cycles N seconds S": those in which it was awake.

#include <cxxrtl/capi/cxxrtl_capi.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>

extern "C" cxxrtl_toplevel cxxrtl_design_create();

namespace {

const int BATCH = 256;               // cycles between two looks at the terminal
const int LOOK = 256;                // batches between two looks at standard input
const uint64_t QUIET = 50'000;       // cycles without a sign of life after which the board sleeps: longer than a full ring takes
const size_t UNREAD = 1 << 16;       // bytes that wait for a host; what comes then is lost, as on a cable

volatile sig_atomic_t stopping = 0;

[[noreturn]] void fail(const std::string &message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::exit(2);
}

struct Port {
    uint32_t *next = nullptr;
    const uint32_t *curr = nullptr;

    bool is() const { return curr != nullptr && (*curr & 1); }
    void set(bool value) {
        if (next != nullptr)
            *next = value;
    }
};

Port find_port(cxxrtl_handle design, const char *name, uint32_t flag) {
    if (!std::strcmp(name, "-"))
        return {};
    size_t parts = 0;
    cxxrtl_object *object = cxxrtl_get_parts(design, name, &parts);
    if (object == nullptr || parts != 1 || object->width != 1 || !(object->flags & flag))
        fail(std::string("the module has no ") + (flag == CXXRTL_INPUT ? "input " : "output ") + name + " of one bit");
    return {object->next, object->curr};
}

// The host's transmitter: start bit, eight bits, lowest first, stop bit.
struct ToBoard {
    int divisor;
    const uint8_t *data = nullptr, *end = nullptr;
    uint32_t bits = 1;  // those to come, the line's own in bit 0
    int left = 0, wait = 0;

    bool busy() const { return left != 0 || data != end; }
    bool step() {
        if (wait > 0) {
            wait--;
        } else if (left > 1) {
            left--;
            bits >>= 1;
            wait = divisor - 1;
        } else if (data != end) {
            bits = uint32_t(*data++) << 1 | 1u << 9;
            left = 10;
            wait = divisor - 1;
        } else {
            bits = 1;
            left = 0;
        }
        return bits & 1;
    }
};

// The host's receiver: samples each bit in the cycle nearest to its middle.
struct FromBoard {
    int divisor;
    int left = 0, wait = 0;
    uint32_t bits = 0;

    bool busy() const { return left != 0; }
    // Whether a byte is complete; it is in bits then. A byte without a stop bit is lost.
    bool step(bool line) {
        if (left == 0) {
            if (!line) {
                left = 9;
                wait = divisor + (divisor - 1) / 2 - 1;
                bits = 0;
            }
            return false;
        }
        if (wait > 0) {
            wait--;
            return false;
        }
        wait = divisor - 1;
        if (--left == 0)
            return line;
        bits = bits >> 1 | uint32_t(line) << 7;
        return false;
    }
};

void stop(int) { stopping = 1; }

}  // namespace

int main(int argc, char **argv) {
    if (argc != 9)
        fail("usage: model TERMINAL DIVISOR PATIENCE CLK RST RX TX BUSY");
    const int terminal = std::atoi(argv[1]), divisor = std::atoi(argv[2]);
    const double patience = std::atof(argv[3]);
    struct sigaction action = {};
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
    fcntl(terminal, F_SETFL, fcntl(terminal, F_GETFL) | O_NONBLOCK);
    cxxrtl_handle design = cxxrtl_create(cxxrtl_design_create());
    Port clk = find_port(design, argv[4], CXXRTL_INPUT), rst = find_port(design, argv[5], CXXRTL_INPUT);
    Port rx = find_port(design, argv[6], CXXRTL_INPUT), tx = find_port(design, argv[7], CXXRTL_OUTPUT);
    Port busy = find_port(design, argv[8], CXXRTL_OUTPUT);

    rx.set(1);
    rst.set(1);
    for (int cycle = 0; cycle < 2; cycle++) {
        clk.set(0);
        cxxrtl_step(design);
        clk.set(1);
        cxxrtl_step(design);
    }
    rst.set(0);
    clk.set(0);
    // A design without feedback through logic settles in one evaluation; see cxxrtl_driver.cc.
    const bool once = cxxrtl_eval(design) != 0;
    cxxrtl_commit(design);
    auto cycle = [&] {
        if (once) {
            clk.set(0);
            cxxrtl_commit(design);
            clk.set(1);
            cxxrtl_eval(design);
            cxxrtl_commit(design);
        } else {
            clk.set(0);
            cxxrtl_step(design);
            clk.set(1);
            cxxrtl_step(design);
        }
    };

    uint8_t buffer[4096];
    ToBoard to{divisor};
    FromBoard from{divisor};
    std::deque<uint8_t> answers;
    uint64_t cycles = 0, quiet = 0;
    double awake = 0;
    using Clock = std::chrono::steady_clock;
    auto since = Clock::now(), heard = since;
    auto rest = [&] { awake += std::chrono::duration<double>(Clock::now() - since).count(); };
    for (uint64_t batch = 0; !stopping; batch++) {
        if (to.data == to.end) {
            ssize_t got = read(terminal, buffer, sizeof buffer);
            to.data = buffer;
            to.end = buffer + (got > 0 ? got : 0);
            if (got > 0)
                heard = Clock::now();
        }
        bool alive = to.busy() || from.busy() || !answers.empty() || busy.is() || argv[8][0] == '-';
        for (int n = 0; n < BATCH; n++) {
            rx.set(to.step());
            cycle();
            if (from.step(tx.is()) && answers.size() < UNREAD)
                answers.push_back(uint8_t(from.bits));
        }
        cycles += BATCH;
        quiet = alive || from.busy() || !answers.empty() ? 0 : quiet + BATCH;
        while (!answers.empty()) {
            uint8_t block[1024];
            size_t count = answers.size() < sizeof block ? answers.size() : sizeof block;
            std::copy(answers.begin(), answers.begin() + count, block);
            ssize_t put = write(terminal, block, count);
            if (put <= 0)
                break;
            answers.erase(answers.begin(), answers.begin() + put);
        }
        bool looks = batch % LOOK == 0;
        bool deserted = looks && std::chrono::duration<double>(Clock::now() - heard).count() > patience;
        bool sleeps = quiet > QUIET || (deserted && !to.busy() && !from.busy());
        if (sleeps || looks) {
            const short events = answers.empty() ? POLLIN : POLLIN | POLLOUT;  // what nobody has read goes on when somebody does
            pollfd watched[2] = {{terminal, events, 0}, {0, POLLIN, 0}};
            if (sleeps)
                rest();
            poll(watched, 2, sleeps ? -1 : 0);
            if (sleeps)
                since = heard = Clock::now();
            char ignored[64];
            if (watched[1].revents && read(0, ignored, sizeof ignored) <= 0)
                break;
        }
    }
    rest();
    std::fprintf(stderr, "cycles %llu seconds %.3f\n", (unsigned long long)cycles, awake);
    return 0;
}
