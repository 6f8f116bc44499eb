// oneDNN's calls run on the thread that makes them: the pool's threads are the parallelism.
#pragma once

#include <omp.h>

namespace lethe {

// While alive, OpenMP regions started by this thread have one thread.
class OneOmpThread {
public:
    OneOmpThread() : previous_(omp_get_max_threads()) {
        if (previous_ != 1) omp_set_num_threads(1);
    }
    ~OneOmpThread() {
        if (previous_ != 1) omp_set_num_threads(previous_);
    }
    OneOmpThread(const OneOmpThread&) = delete;
    OneOmpThread& operator=(const OneOmpThread&) = delete;

private:
    int previous_;
};

}  // namespace lethe
