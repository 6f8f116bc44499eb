// The caching allocator: what is handed out again, and to whom.
#include "tensor/allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::HasSubstr;

class Allocator : public testing::Test {
protected:
    Allocator()
        : allocator({.allocate = [this](std::size_t bytes) -> void* {
                         if (in_use() + bytes > limit) return nullptr;
                         void* block = std::malloc(bytes);
                         taken[block] = bytes;
                         return block;
                     },
                     .release =
                         [this](void* block) {
                             taken.erase(block);
                             std::free(block);
                         },
                     .poison = [](void* block, std::size_t bytes) { std::memset(block, 0xff, bytes); },
                     .small_step = 64,
                     .large_step = 4096}) {}

    std::size_t in_use() const {
        std::size_t bytes = 0;
        for (const auto& [block, size] : taken) bytes += size;
        return bytes;
    }
    void TearDown() override {
        allocator.trim();
        for (const auto& [block, size] : taken) std::free(block);  // those that a test kept
    }

    std::size_t limit = 1 << 20;         // of the source
    std::map<void*, std::size_t> taken;  // from it
    CachingAllocator allocator;
};

TEST_F(Allocator, HandsBlocksOfNearEqualSizesOutAgain) {
    void* block = allocator.allocate(100);
    allocator.release(block, 100);
    EXPECT_EQ(allocator.allocate(128), block);  // both are two steps of 64
    EXPECT_NE(allocator.allocate(129), block);
    const CachingAllocator::Stats stats = allocator.stats();
    EXPECT_EQ(stats.system_allocations, 2u);
    EXPECT_EQ(stats.hits, 1u);
    EXPECT_EQ(stats.live_bytes, 128u + 192u);
    EXPECT_EQ(stats.peak_bytes, 128u + 192u);
    allocator.release(block, 128);
    EXPECT_EQ(allocator.stats().cached_bytes, 128u);
    allocator.trim();
    EXPECT_EQ(allocator.stats().cached_bytes, 0u);
    EXPECT_EQ(taken.size(), 1u);
}

TEST_F(Allocator, SaysWhenThereIsNoMoreMemory) {
    EXPECT_THAT(error_of([&] { allocator.allocate(2 << 20); }), HasSubstr("cannot allocate 2097152 bytes"));
}

TEST_F(Allocator, PoisonedBlocksHoldNaN) {
    allocator.set_poison(true);
    const auto* values = static_cast<const float*>(allocator.allocate(64));
    for (int i = 0; i < 16; ++i) EXPECT_NE(values[i], values[i]);
}

TEST_F(Allocator, AnArenaKeepsItsBlocksToItself) {
    void* common = allocator.allocate(64);
    allocator.release(common, 64);
    const CachingAllocator::Arena arena = allocator.begin_arena();
    EXPECT_EQ(allocator.allocate(64), common);  // what ran before leaves its memory to the recording
    allocator.release(common, 64);
    EXPECT_EQ(allocator.allocate(64), common);  // within the arena a block may be used again
    allocator.release(allocator.allocate(4096), 4096);
    allocator.end_arena();

    EXPECT_NE(allocator.allocate(64), common);
    allocator.release(common, 64);  // after the end it still goes back to the arena
    EXPECT_NE(allocator.allocate(64), common);
    allocator.drop_arena(arena);
    EXPECT_EQ(allocator.allocate(64), common);
    const uint64_t before = allocator.stats().system_allocations;
    allocator.allocate(4096);  // the temporary that nobody held
    EXPECT_EQ(allocator.stats().system_allocations, before);
}

// Or else every attack of a long run would take its memory anew.
TEST_F(Allocator, OneArenaAfterAnotherUsesTheSameMemory) {
    for (int i = 0; i < 4; ++i) {
        const CachingAllocator::Arena arena = allocator.begin_arena();
        void *first = allocator.allocate(64), *second = allocator.allocate(640);
        allocator.release(second, 640);
        allocator.end_arena();
        allocator.release(first, 64);
        allocator.drop_arena(arena);
        EXPECT_EQ(allocator.stats().system_allocations, 2u);
    }
}

TEST_F(Allocator, GivesCachedBlocksBackBeforeItGivesUp) {
    limit = 100'000;
    allocator.release(allocator.allocate(60'000), 60'000);
    EXPECT_NE(allocator.allocate(70'000), nullptr);
    EXPECT_EQ(allocator.stats().cached_bytes, 0u);
    EXPECT_THAT(error_of([&] { allocator.allocate(70'000); }), HasSubstr("out of memory"));
}

TEST_F(Allocator, ABlockThatOutlivesItsArenaJoinsTheOthers) {
    const CachingAllocator::Arena arena = allocator.begin_arena();
    void* block = allocator.allocate(64);
    allocator.end_arena();
    allocator.drop_arena(arena);
    allocator.release(block, 64);
    EXPECT_EQ(allocator.allocate(64), block);
}

TEST_F(Allocator, ArenasDoNotNest) {
    allocator.begin_arena();
    EXPECT_THAT(error_of([&] { allocator.begin_arena(); }), HasSubstr("an arena is open already"));
}

}  // namespace
}  // namespace lethe::test
