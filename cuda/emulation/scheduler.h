// Runs the blocks of a launch one after another, each with one fiber per thread that waits at a barrier.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulation/device.h"
#include "cuda/emulation/fiber.h"
#include "cuda/emulation/guarded.h"
#include "cuda/emulation/order.h"

namespace lethe::emulation {

using emulated::dim3;
using emulated::uint3;

struct Launch {
    std::string kernel;
    dim3 grid, block;
    std::size_t shared = 0;
    std::function<void()> body;  // the kernel with its arguments
};

// A CUDA thread: runnable, waiting at `site`, or ended.
struct Thread {
    enum class State : std::uint8_t { runnable, block_barrier, warp_barrier, exchange, vote, ended };

    State state = State::runnable;
    Site site{};
    std::uint32_t mask = 0;   // the lanes it waits for
    std::uint64_t value = 0;  // given to the other lanes; then, received from them
    int source = 0;           // the lane it wants the value of
    Fiber* fiber = nullptr;   // none before it starts and after it has ended
    uint3 index{};
};

// Lanes by state, one bit each. Lanes beyond the end of the block count as ended.
struct Warp {
    std::uint32_t runnable = 0;
    std::uint32_t at_warp_operation = 0;
    std::uint32_t ended = 0;
};

class Scheduler {
public:
    void run(const Launch& launch);

    // For the running thread. running() throws Error when no kernel runs.
    Thread& running();
    void wait(Thread::State state, std::uint32_t mask, const Site& site);
    std::size_t rank() { return static_cast<std::size_t>(&running() - threads_.data()); }
    int lane() { return static_cast<int>(rank() % 32); }
    Warp& warp() { return warps_[rank() / 32]; }
    void* dynamic_shared() { return shared_.data(); }
    void look_for_watched();  // call when the watched thread has changed
    bool watched() const;
    std::string where() const;  // which thread runs, for messages

private:
    static void enter_fiber();
    void fiber_main();
    void run_thread();
    void leave(Context& self);
    void take_next();
    Fiber* take_fiber();

    void prepare(const Launch& launch);
    void run_block(uint3 block);
    void run_to_block_barrier();
    void run_warp(std::size_t warp);
    void release_warp(std::size_t warp);
    void complete(std::size_t warp, std::uint32_t group);
    void release_block();
    void abandon_block();
    [[noreturn]] void report_divergence() const;

    Thread& thread(std::size_t warp, int lane) { return threads_[warp * 32 + static_cast<std::size_t>(lane)]; }

    const Launch* launch_ = nullptr;  // null while no kernel runs
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::size_t unfinished_ = 0;
    Thread* running_ = nullptr;
    std::vector<std::size_t> turns_;  // warps still to run before the block barrier, the next one last
    std::vector<Thread*> queue_;      // still to run in this turn of a warp, the next one last
    std::exception_ptr error_;
    Context main_;
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<Fiber*> idle_;
    GuardedBuffer shared_;
    bool watched_block_ = false;
};

Scheduler& scheduler();  // of the calling thread of the CPU

}  // namespace lethe::emulation
