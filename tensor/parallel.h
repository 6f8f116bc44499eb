// The thread pool: tasks are chunks of images, not slices of a loop.
#pragma once

#include <cstdint>
#include <type_traits>

namespace lethe {

// How many threads parallel_for uses, the caller included. set_threads(0) takes what the machine offers.
// Throws Error for a negative number or more than 1024. Call it from the main thread, outside parallel_for.
void set_threads(int count);
int threads();

// True inside a task. Operations then work on the calling thread alone.
bool in_parallel_task();

namespace detail {
void run_tasks(int64_t count, void (*call)(void*, int64_t), void* context);
}

// Calls task(i) for every i in [0, count) and returns when all have ended; which thread runs which is unspecified.
// A task therefore must write only what belongs to its i: results then do not depend on the number of threads.
// Nested calls run inline. The first exception thrown by a task is rethrown here once all tasks have ended.
template <class Task>
void parallel_for(int64_t count, Task&& task) {
    using Callable = std::remove_reference_t<Task>;
    detail::run_tasks(
        count, [](void* context, int64_t i) { (*static_cast<Callable*>(context))(i); },
        const_cast<std::remove_const_t<Callable>*>(&task));
}

}  // namespace lethe
