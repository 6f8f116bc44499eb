#include "tensor/parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

class ParallelTest : public testing::TestWithParam<int> {
protected:
    ParallelTest() { set_threads(GetParam()); }
    ~ParallelTest() override { set_threads(0); }
};

TEST_P(ParallelTest, RunsEveryTaskOnce) {
    for (const int64_t count : {0, 1, 2, 3, 7, 100, 5000}) {
        std::vector<int> runs(static_cast<std::size_t>(count), 0);
        parallel_for(count, [&](int64_t i) { ++runs[static_cast<std::size_t>(i)]; });
        EXPECT_THAT(runs, testing::Each(1)) << count << " tasks";
    }
}

TEST_P(ParallelTest, ResultsAreVisibleAfterEachOfManyJobs) {
    std::vector<int64_t> values(37, 0);
    for (int64_t round = 1; round <= 2000; ++round) {
        parallel_for(37, [&](int64_t i) { values[static_cast<std::size_t>(i)] += i * round; });
        ASSERT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 36 * 37 / 2 * (round * (round + 1) / 2));
    }
}

TEST_P(ParallelTest, TasksSpreadOverTheThreads) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    // Each task waits until as many threads as there should be are inside one; the limit keeps a broken pool from
    // hanging.
    std::atomic<int> inside{0};
    parallel_for(GetParam(), [&](int64_t) {
        ++inside;
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (inside.load() < GetParam() && std::chrono::steady_clock::now() < limit) std::this_thread::yield();
        const std::lock_guard lock(mutex);
        seen.insert(std::this_thread::get_id());
    });
    EXPECT_EQ(static_cast<int>(seen.size()), GetParam());
}

TEST_P(ParallelTest, NestedCallsRunInline) {
    EXPECT_FALSE(in_parallel_task());
    std::atomic<int> total{0};
    parallel_for(8, [&](int64_t) {
        EXPECT_TRUE(in_parallel_task());
        const auto outer = std::this_thread::get_id();
        parallel_for(5, [&](int64_t) {
            EXPECT_EQ(std::this_thread::get_id(), outer);
            EXPECT_TRUE(in_parallel_task());
            ++total;
        });
        EXPECT_TRUE(in_parallel_task());
    });
    EXPECT_FALSE(in_parallel_task());
    EXPECT_EQ(total.load(), 40);
}

TEST_P(ParallelTest, AnExceptionComesBackAfterAllTasks) {
    std::atomic<int> ended{0};
    const auto run = [&] {
        parallel_for(50, [&](int64_t i) {
            ++ended;
            if (i == 13) throw std::runtime_error("task 13");
        });
    };
    EXPECT_THROW(run(), std::runtime_error);
    EXPECT_EQ(ended.load(), 50);
    ended = 0;
    parallel_for(50, [&](int64_t) { ++ended; });  // the pool still works
    EXPECT_EQ(ended.load(), 50);
}

TEST_P(ParallelTest, SeveralThreadsMayAskAtOnce) {
    std::atomic<int64_t> total{0};
    std::vector<std::thread> users;
    for (int user = 0; user < 4; ++user)
        users.emplace_back([&] {
            for (int round = 0; round < 200; ++round) parallel_for(9, [&](int64_t i) { total += i; });
        });
    for (std::thread& user : users) user.join();
    EXPECT_EQ(total.load(), 4 * 200 * 36);
}

INSTANTIATE_TEST_SUITE_P(Threads, ParallelTest, testing::Values(1, 2, 3, 5));

TEST(Threads, CountIsKeptAndCanChangeAnyTime) {
    for (const int count : {3, 1, 2, 4, 2}) {
        set_threads(count);
        EXPECT_EQ(threads(), count);
        std::atomic<int> ran{0};
        parallel_for(20, [&](int64_t) { ++ran; });
        EXPECT_EQ(ran.load(), 20);
    }
    set_threads(0);
    EXPECT_EQ(threads(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
}

TEST(Threads, RefusesNonsense) {
    EXPECT_THAT(error_of([] { set_threads(-1); }), testing::HasSubstr("-1 asked for"));
    EXPECT_THAT(error_of([] { set_threads(1025); }), testing::HasSubstr("1 to 1024"));
    EXPECT_THAT(error_of([] { parallel_for(2, [](int64_t) { set_threads(2); }); }),
                testing::HasSubstr("inside a parallel task"));
}

}  // namespace
}  // namespace lethe::test
