#include "cuda/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "tensor/error.h"

#if defined(__has_feature)  // how clang tells what g++ tells by macros
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__
#elif __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#ifndef LETHE_UCONTEXT
// Saves what a called function must preserve (System V ABI for x86-64) on the old stack, changes stacks, and restores
// it from the new one. Kernels leave the floating-point control words alone.
asm(R"(
.text
.globl lethe_switch_stacks
.type lethe_switch_stacks, @function
lethe_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size lethe_switch_stacks, .-lethe_switch_stacks
)");
extern "C" void lethe_switch_stacks(void** save_stack_pointer, void* to_stack_pointer);
#endif

namespace lethe::emulation {

namespace {

std::size_t page_bytes() {
    static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    return bytes;
}

#if defined(__SANITIZE_ADDRESS__)
thread_local Context* left = nullptr;  // the context that the latest switch came from

void before_switch(Context& from, const Context& to) {
    left = &from;
    __sanitizer_start_switch_fiber(&from.fake_stack, to.stack_bottom, to.stack_size);
}
void after_switch(void* fake_stack) {
    __sanitizer_finish_switch_fiber(fake_stack, &left->stack_bottom, &left->stack_size);
}
void new_stack(Context& context) { __asan_unpoison_memory_region(context.stack_bottom, context.stack_size); }
void old_stack(Context&) {}
#elif defined(__SANITIZE_THREAD__)
void before_switch(Context& from, const Context& to) {
    from.tsan_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan_fiber, 0);
}
void after_switch(void*) {}
void new_stack(Context& context) { context.tsan_fiber = __tsan_create_fiber(0); }
void old_stack(Context& context) {
    if (context.tsan_fiber != nullptr) __tsan_destroy_fiber(context.tsan_fiber);
}
#else
void before_switch(Context&, const Context&) {}
void after_switch(void*) {}
void new_stack(Context&) {}
void old_stack(Context&) {}
#endif

}  // namespace

void switch_context(Context& from, Context& to) {
    before_switch(from, to);
#ifdef LETHE_UCONTEXT
    swapcontext(&from.registers, &to.registers);
#else
    lethe_switch_stacks(&from.stack_pointer, to.stack_pointer);
#endif
    after_switch(from.fake_stack);
}

void fiber_entered() { after_switch(nullptr); }

Fiber::Fiber(void (*entry)(), std::size_t number) : entry_(entry), offset_(number % 16 * 256) {
    const std::size_t bytes = page_bytes() + stack_bytes;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED, "emulator: no memory for the stack of thread ", number);
    memory_ = static_cast<char*>(memory);
    mprotect(memory_, page_bytes(), PROT_NONE);
    restart();
}

Fiber::~Fiber() {
    old_stack(context);
    munmap(memory_, page_bytes() + stack_bytes);
}

void Fiber::restart() {
    char* bottom = memory_ + page_bytes();
    const std::size_t size = stack_bytes - offset_;
    old_stack(context);
    context = Context{};
    context.stack_bottom = bottom;
    context.stack_size = size;
    new_stack(context);
#ifdef LETHE_UCONTEXT
    getcontext(&context.registers);
    context.registers.uc_stack.ss_sp = bottom;
    context.registers.uc_stack.ss_size = size;
    context.registers.uc_link = nullptr;
    makecontext(&context.registers, entry_, 0);
#else
    // What lethe_switch_stacks pops: six registers and the address to return to. The null above it ends backtraces, and
    // leaves the stack as a call does: 8 bytes off a multiple of 16.
    void** top = reinterpret_cast<void**>(bottom + size);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry_);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    context.stack_pointer = top;
#endif
}

}  // namespace lethe::emulation
