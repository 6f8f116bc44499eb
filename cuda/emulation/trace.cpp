#include "cuda/emulation/trace.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cuda/emulation/scheduler.h"
#include "tensor/error.h"

namespace lethe::emulation {

namespace {

using emulated::uint3;

bool same(uint3 a, uint3 b) { return a.x == b.x && a.y == b.y && a.z == b.z; }

struct Watch {
    bool on = false;
    uint3 block{}, thread{};

    Watch() {
        const char* text = std::getenv("LETHE_EMULATION_TRACE");
        if (text == nullptr) return;
        on = std::sscanf(text, "%u,%u", &block.x, &thread.x) == 2;
        check(on, "LETHE_EMULATION_TRACE is \"", text, "\"; expected \"block,thread\", such as \"0,33\"");
    }
};

Watch& watched() {
    static Watch instance;
    return instance;
}

}  // namespace

void watch(uint3 block, uint3 thread) {
    watched().on = true;
    watched().block = block;
    watched().thread = thread;
    scheduler().look_for_watched();
}

void watch_none() {
    watched().on = false;
    scheduler().look_for_watched();
}

bool is_watched_block(uint3 block) { return watched().on && same(watched().block, block); }
bool is_watched_thread(uint3 thread) { return watched().on && same(watched().thread, thread); }

void trace(const std::string& who, const std::string& what) {
    std::fprintf(stderr, "[emulator] %s: %s\n", who.c_str(), what.c_str());
}

std::string show(uint3 index) { return concat('(', index.x, ',', index.y, ',', index.z, ')'); }

std::string show(const Site& site) {
    const std::string_view file = site.file;
    return concat(file.substr(file.rfind('/') + 1), ':', site.line);
}

std::string show_mask(std::uint32_t mask) {
    char text[16];
    std::snprintf(text, sizeof(text), "0x%08x", mask);
    return text;
}

}  // namespace lethe::emulation
