// Fibers: several stacks in one thread of the CPU, and the switch from one to another.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(LETHE_UCONTEXT)
#define LETHE_UCONTEXT
#endif
#ifdef LETHE_UCONTEXT
#include <ucontext.h>
#endif

namespace lethe::emulation {

// A suspended flow of control: where its stack stands and, for the sanitizers, which stack that is.
struct Context {
#ifdef LETHE_UCONTEXT
    ucontext_t registers;
#else
    void* stack_pointer = nullptr;
#endif
    const void* stack_bottom = nullptr;
    std::size_t stack_size = 0;
    void* fake_stack = nullptr;  // of AddressSanitizer
    void* tsan_fiber = nullptr;  // of ThreadSanitizer
};

// Suspends `from` and goes on where `to` was suspended; returns when somebody switches to `from`.
void switch_context(Context& from, Context& to);

// A stack of its own, with an inaccessible page under it that turns an overflow into a fault instead of a riddle.
class Fiber {
public:
    // `entry` must never return. `number` spreads the tops of the stacks over the cache's sets.
    Fiber(void (*entry)(), std::size_t number);
    ~Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;

    // Forgets what the fiber was doing: the next switch to it starts `entry`.
    void restart();

    Context context;

private:
    static constexpr std::size_t stack_bytes = 64 * 1024;

    void (*entry_)();
    std::size_t offset_;
    char* memory_;  // the guard page, then the stack
};

// The first call of every `entry`: completes the switch for AddressSanitizer.
void fiber_entered();

}  // namespace lethe::emulation
