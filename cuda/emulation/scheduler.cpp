#include "cuda/emulation/scheduler.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "cuda/emulation/trace.h"
#include "tensor/error.h"

namespace lethe::emulation {

namespace {

constexpr std::uint32_t bit(int lane) { return std::uint32_t{1} << lane; }

std::size_t volume(dim3 d) { return std::size_t{d.x} * d.y * d.z; }

uint3 index_in(dim3 shape, std::size_t rank) {
    const std::size_t row = rank / shape.x;
    return {static_cast<unsigned>(rank % shape.x), static_cast<unsigned>(row % shape.y),
            static_cast<unsigned>(row / shape.y)};
}

std::string describe(const Thread& thread) {
    switch (thread.state) {
        case Thread::State::runnable:
            return "are running";
        case Thread::State::ended:
            return "have ended";
        case Thread::State::block_barrier:
            return concat("wait at ", thread.site.operation, ", ", show(thread.site));
        default:
            return concat("wait at ", thread.site.operation, ", ", show(thread.site), ", for lanes ",
                          show_mask(thread.mask));
    }
}

bool same_place(const Site& a, const Site& b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

template <class Function>
void for_each_lane(std::uint32_t lanes, Function&& function) {
    for (; lanes != 0; lanes &= lanes - 1) function(std::countr_zero(lanes));
}

}  // namespace

Scheduler& scheduler() {
    static thread_local Scheduler instance;
    return instance;
}

void Scheduler::run(const Launch& launch) {
    check(launch_ == nullptr, "emulator: kernel ", launch.kernel, " is launched from inside a kernel");
    prepare(launch);
    std::vector<std::size_t> blocks(volume(launch.grid));
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
    shuffle(blocks);
    launch_ = &launch;
    try {
        for (const std::size_t block : blocks) run_block(index_in(launch.grid, block));
    } catch (...) {
        abandon_block();
        launch_ = nullptr;
        throw;
    }
    launch_ = nullptr;
    running_ = nullptr;
}

void Scheduler::prepare(const Launch& launch) {
    emulated::gridDim = launch.grid;
    emulated::blockDim = launch.block;
    threads_.assign(volume(launch.block), Thread{});
    for (std::size_t i = 0; i < threads_.size(); ++i) threads_[i].index = index_in(launch.block, i);
    warps_.resize((threads_.size() + 31) / 32);
    if (shared_.size() != launch.shared || shared_.data() == nullptr) shared_ = GuardedBuffer(launch.shared);
}

void Scheduler::run_block(uint3 block) {
    emulated::blockIdx = block;
    for (Thread& thread : threads_) thread.state = Thread::State::runnable;
    for (std::size_t w = 0; w < warps_.size(); ++w) {
        const std::size_t lanes = std::min<std::size_t>(32, threads_.size() - w * 32);
        const std::uint32_t inside = ~std::uint32_t{0} >> (32 - lanes);
        warps_[w] = {.runnable = inside, .at_warp_operation = 0, .ended = ~inside};
    }
    unfinished_ = threads_.size();
    look_for_watched();
    shared_.poison();
    while (unfinished_ > 0) {
        run_to_block_barrier();
        if (unfinished_ > 0) release_block();
    }
    if (!shared_.intact())
        shared_.report(concat("kernel ", launch_->kernel, ", block ", show(block)), "its dynamic shared memory");
}

// Each warp runs as far as it can before the next one: nothing but a barrier keeps warps together. Under a seed a warp
// now and then loses its turn, so that it may also fall behind.
void Scheduler::run_to_block_barrier() {
    turns_.clear();
    for (std::size_t w = warps_.size(); w-- > 0;)
        if (warps_[w].runnable != 0) turns_.push_back(w);
    shuffle(turns_);
    while (!turns_.empty()) {
        const std::size_t w = turns_.back();
        run_warp(w);
        release_warp(w);
        if (warps_[w].runnable == 0) {
            turns_.pop_back();
        } else if (seed() != 0 && random_below(8) == 0) {
            std::rotate(turns_.begin(), turns_.end() - 1, turns_.end());
        }
    }
}

// Every runnable thread of the warp runs once, until it waits or ends.
void Scheduler::run_warp(std::size_t w) {
    queue_.clear();
    for (int lane = 31; lane >= 0; --lane)
        if ((warps_[w].runnable & bit(lane)) != 0) queue_.push_back(&thread(w, lane));
    shuffle(queue_);
    warps_[w].runnable = 0;
    leave(main_);
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

// Suspends `self` in favour of the next thread in the queue, or of the scheduler when there is none.
void Scheduler::leave(Context& self) {
    if (queue_.empty()) {
        switch_context(self, main_);
        return;
    }
    take_next();
    if (running_->fiber == nullptr) running_->fiber = take_fiber();
    switch_context(self, running_->fiber->context);
}

void Scheduler::take_next() {
    running_ = queue_.back();
    queue_.pop_back();
    emulated::threadIdx = running_->index;
}

Fiber* Scheduler::take_fiber() {
    if (idle_.empty()) {
        fibers_.push_back(std::make_unique<Fiber>(&Scheduler::enter_fiber, fibers_.size()));
        return fibers_.back().get();
    }
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
}

void Scheduler::enter_fiber() {
    fiber_entered();
    scheduler().fiber_main();
}

// A fiber runs one thread after another for as long as they end without waiting, so that kernels without barriers cost
// a call per thread. A thread that waits keeps the fiber until it ends.
void Scheduler::fiber_main() {
    for (;;) {
        run_thread();
        Fiber* fiber = std::exchange(running_->fiber, nullptr);
        if (!queue_.empty() && queue_.back()->fiber == nullptr) {
            take_next();
            running_->fiber = fiber;
        } else {
            idle_.push_back(fiber);
            leave(fiber->context);
        }
    }
}

void Scheduler::run_thread() {
    try {
        if (watched()) trace(where(), "starts");
        launch_->body();
        if (watched()) trace(where(), "ends");
    } catch (const std::exception& error) {
        error_ = std::make_exception_ptr(Error(concat(where(), ": ", error.what())));
        queue_.clear();
    }
    running_->state = Thread::State::ended;
    warp().ended |= bit(lane());
    --unfinished_;
}

Thread& Scheduler::running() {
    if (running_ == nullptr) fail("emulator: device code that needs a block or a warp runs outside a kernel");
    return *running_;
}

void Scheduler::wait(Thread::State state, std::uint32_t mask, const Site& site) {
    running().state = state;
    running_->site = site;
    if (watched()) trace(where(), concat(site.operation, " at ", show(site)));
    if (state != Thread::State::block_barrier) {
        if ((mask & bit(lane())) == 0)
            fail(site.operation, " at ", show(site), ": lane ", lane(), " is not in its own mask ", show_mask(mask));
        running_->mask = mask;
        warp().at_warp_operation |= bit(lane());
    }
    leave(running_->fiber->context);
}

// Completes the warp operations that all lanes of their masks have reached.
void Scheduler::release_warp(std::size_t w) {
    for (std::uint32_t left = warps_[w].at_warp_operation; left != 0;) {
        const Thread& first = thread(w, std::countr_zero(left));
        std::uint32_t group = 0;
        for_each_lane(left, [&](int lane) {
            const Thread& other = thread(w, lane);
            if (other.state == first.state && other.mask == first.mask) group |= bit(lane);
        });
        left &= ~group;
        if ((first.mask & ~warps_[w].ended) == group) complete(w, group);
    }
}

void Scheduler::complete(std::size_t w, std::uint32_t group) {
    std::uint64_t given[32];
    std::uint64_t votes = 0;
    for_each_lane(group, [&](int lane) {
        given[lane] = thread(w, lane).value;
        if (given[lane] != 0) votes |= bit(lane);
    });
    for_each_lane(group, [&](int lane) {
        Thread& to = thread(w, lane);
        if (to.state == Thread::State::exchange)
            to.value = (group & bit(to.source)) != 0 ? given[to.source] : ~std::uint64_t{0};
        if (to.state == Thread::State::vote) to.value = votes;
        to.state = Thread::State::runnable;
    });
    warps_[w].at_warp_operation &= ~group;
    warps_[w].runnable |= group;
}

// A block barrier needs every thread of the block at one and the same place: a GPU also accepts others that have ended
// or wait elsewhere, but CUDA does not promise it.
void Scheduler::release_block() {
    const Site& first = threads_.front().site;
    for (const Thread& thread : threads_)
        if (thread.state != Thread::State::block_barrier || !same_place(thread.site, first)) report_divergence();
    for (Thread& thread : threads_) thread.state = Thread::State::runnable;
    for (Warp& warp : warps_) warp.runnable = ~warp.ended;
}

// Leaves the threads of a failed block where they are; their stacks hold nothing that would need destruction.
void Scheduler::abandon_block() {
    running_ = nullptr;
    idle_.clear();
    for (const auto& fiber : fibers_) {
        fiber->restart();
        idle_.push_back(fiber.get());
    }
}

void Scheduler::look_for_watched() { watched_block_ = is_watched_block(emulated::blockIdx); }

bool Scheduler::watched() const { return watched_block_ && is_watched_thread(emulated::threadIdx); }

std::string Scheduler::where() const {
    return concat("kernel ", launch_->kernel, ", block ", show(emulated::blockIdx), ", thread ",
                  show(emulated::threadIdx));
}

// Says what every thread of the block waits for, alike threads together.
void Scheduler::report_divergence() const {
    std::vector<std::pair<std::string, std::string>> groups;  // what they do, who they are
    for (std::size_t first = 0; first < threads_.size();) {
        const std::string what = describe(threads_[first]);
        std::size_t end = first + 1;
        while (end < threads_.size() && describe(threads_[end]) == what) ++end;
        auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == what; });
        if (group == groups.end()) group = groups.insert(groups.end(), {what, "threads"});
        group->second += ' ' + show(threads_[first].index);
        if (end > first + 1) group->second += "-" + show(threads_[end - 1].index);
        first = end;
    }
    std::string text;
    for (const auto& [what, who] : groups) text += concat(text.empty() ? "" : "; ", who, ' ', what);
    fail("kernel ", launch_->kernel, ", block ", show(emulated::blockIdx), ": divergent barrier: ", text);
}

// What kernels call.

void wait_for_block(const Site& site) { scheduler().wait(Thread::State::block_barrier, 0, site); }

void wait_for_warp(std::uint32_t mask, const Site& site) { scheduler().wait(Thread::State::warp_barrier, mask, site); }

std::uint64_t exchange(std::uint32_t mask, std::uint64_t value, int source, const Site& site) {
    Scheduler& s = scheduler();
    s.running().value = value;
    s.running().source = source;
    s.wait(Thread::State::exchange, mask, site);
    return s.running().value;
}

std::uint32_t vote(std::uint32_t mask, bool predicate, const Site& site) {
    Scheduler& s = scheduler();
    s.running().value = predicate ? 1 : 0;
    s.wait(Thread::State::vote, mask, site);
    return static_cast<std::uint32_t>(s.running().value);
}

int lane() { return scheduler().lane(); }

int group(int width) {
    if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width)))
        fail("a shuffle among groups of ", width, " lanes; the width must be 1, 2, 4, 8, 16 or 32");
    return lane() & ~(width - 1);
}

bool is_watched() { return scheduler().watched(); }

void trace_exchange(const std::string& given, const std::string& received, int source) {
    trace(scheduler().where(), concat("gives ", given, ", gets ", received, " from lane ", source));
}

std::uint32_t lanes_not_ended() { return ~scheduler().warp().ended; }
void* dynamic_shared() { return scheduler().dynamic_shared(); }

void check_aligned16(const void* address) {
    check(reinterpret_cast<std::uintptr_t>(address) % 16 == 0, "16-byte access to the misaligned address ", address);
}

}  // namespace lethe::emulation
