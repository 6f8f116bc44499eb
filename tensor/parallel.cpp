#include "tensor/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/error.h"

namespace lethe {
namespace {

using Call = void (*)(void*, int64_t);

constexpr int max_threads = 1024;
// Long enough that the next parallel_for of a running step finds the workers awake, short enough that a waiting pool
// does not take the cores away from other programs.
constexpr int spins = 4000;

thread_local bool inside_task = false;

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
}

// Marks the current thread as running a task, so that nested calls run inline.
class TaskScope {
public:
    TaskScope() : previous_(inside_task) { inside_task = true; }
    ~TaskScope() { inside_task = previous_; }
    TaskScope(const TaskScope&) = delete;
    TaskScope& operator=(const TaskScope&) = delete;

private:
    bool previous_;
};

void run_inline(int64_t count, Call call, void* context) {
    const TaskScope scope;
    std::exception_ptr error;
    for (int64_t i = 0; i < count; ++i) {
        try {
            call(context, i);
        } catch (...) {
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

// Workers take task numbers from `ticket_`, whose upper half is the job's number and whose lower half is the next task.
// A worker may look at the job's fields while the next job is being written: taking a task succeeds only if the ticket
// has not changed since before the fields were read, and the ticket is closed before they are written. So nobody waits
// for a worker that sleeps or lost its core; the tasks it would have taken are done by the others.
class Pool {
public:
    explicit Pool(int threads) {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    }

    ~Pool() {
        stopping_.store(true);
        wake();
        for (std::thread& worker : workers_) worker.join();
    }

    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    void run(int64_t count, Call call, void* context) {
        // A second thread that asks while the workers are busy does its tasks itself.
        const std::unique_lock owner(submit_, std::try_to_lock);
        if (!owner.owns_lock()) return run_inline(count, call, context);
        publish(count, call, context);
        {
            const TaskScope scope;
            take_tasks();
        }
        wait_for_last_task();
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

private:
    static constexpr uint64_t index_mask = 0xffffffffU;
    static constexpr uint64_t closed = index_mask;

    void publish(int64_t count, Call call, void* context) {
        job_ = (job_ + 1) & index_mask;
        ticket_.store(job_ << 32 | closed);
        count_.store(count);
        call_.store(call);
        context_.store(context);
        remaining_.store(count);
        ticket_.store(job_ << 32);
        wake();
    }

    void wake() {
        wake_.fetch_add(1);
        wake_.notify_all();
    }

    // Runs tasks of the current job until none is left; false if there was none.
    bool take_tasks() {
        bool any = false;
        uint64_t ticket = ticket_.load();
        for (;;) {
            const int64_t count = count_.load();
            const Call call = call_.load();
            void* const context = context_.load();
            const auto index = static_cast<int64_t>(ticket & index_mask);
            if ((ticket & index_mask) == closed || index >= count) return any;
            if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
            run_task(call, context, index);
            any = true;
            ticket = ticket_.load();
        }
    }

    void run_task(Call call, void* context, int64_t index) {
        try {
            call(context, index);
        } catch (...) {
            const std::lock_guard lock(error_mutex_);
            if (!error_) error_ = std::current_exception();
        }
        if (remaining_.fetch_sub(1) == 1) remaining_.notify_one();
    }

    void wait_for_last_task() {
        for (int i = 0; i < spins; ++i) {
            if (remaining_.load() == 0) return;
            pause();
        }
        for (int left = remaining_.load(); left != 0; left = remaining_.load()) remaining_.wait(left);
    }

    void work() {
        inside_task = true;
        while (!stopping_.load()) {
            const int seen = wake_.load();
            if (take_tasks()) continue;
            for (int i = 0; i < spins && wake_.load() == seen; ++i) pause();
            if (!stopping_.load()) wake_.wait(seen);
        }
    }

    std::mutex submit_;  // held by the thread whose job is running
    uint64_t job_ = 0;   // written under submit_
    std::atomic<uint64_t> ticket_{closed};
    std::atomic<int64_t> count_{0};
    std::atomic<Call> call_{nullptr};
    std::atomic<void*> context_{nullptr};
    std::atomic<int> remaining_{0};
    std::atomic<int> wake_{0};
    std::atomic<bool> stopping_{false};
    std::mutex error_mutex_;
    std::exception_ptr error_;
    std::vector<std::thread> workers_;
};

int machine_threads() {
    const auto count = static_cast<int>(std::thread::hardware_concurrency());
    return count < 1 ? 1 : std::min(count, max_threads);
}

struct State {
    std::mutex mutex;
    int threads = machine_threads();
    std::shared_ptr<Pool> pool;  // started by the first job that can use it
};

State& state() {
    static State instance;
    return instance;
}

std::shared_ptr<Pool> current_pool() {
    State& current = state();
    const std::lock_guard lock(current.mutex);
    if (current.threads < 2) return nullptr;
    if (!current.pool) current.pool = std::make_shared<Pool>(current.threads);
    return current.pool;
}

}  // namespace

void set_threads(int count) {
    check(count >= 0 && count <= max_threads, "threads: ", count, " asked for; 1 to ", max_threads,
          " are possible, 0 takes what the machine offers");
    check(!inside_task, "threads: set_threads() was called inside a parallel task");
    State& current = state();
    std::shared_ptr<Pool> old;
    {
        const std::lock_guard lock(current.mutex);
        old = std::move(current.pool);
        current.pool = nullptr;
        current.threads = count == 0 ? machine_threads() : count;
    }
}

int threads() {
    State& current = state();
    const std::lock_guard lock(current.mutex);
    return current.threads;
}

bool in_parallel_task() { return inside_task; }

namespace detail {

void run_tasks(int64_t count, Call call, void* context) {
    if (count <= 0) return;
    check(count < INT32_MAX, "parallel_for: ", count, " tasks are too many");
    const std::shared_ptr<Pool> pool = count > 1 && !inside_task ? current_pool() : nullptr;
    if (pool) {
        pool->run(count, call, context);
    } else {
        run_inline(count, call, context);
    }
}

}  // namespace detail
}  // namespace lethe
