#include "data/row_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/file.h"
#include "data/weights.h"
#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RowFileTest : public testing::Test {
protected:
    std::string text(const std::string& contents) {
        write_text(path, contents);
        return error_of([&] { RowFile file(path); });
    }

    TemporaryFolder folder;
    std::string path = folder.path("rows.safetensors");
    Tensor rows = random_tensor({7, 3, 4, 5}, 1);
};

TEST_F(RowFileTest, HoldsTheBytesOfAWholeFileAndGivesBackAnyRows) {
    write_safetensors(folder.path("whole.safetensors"), StateDict{{"images", rows}});
    RowFileWriter writer(path, "images", rows.shape());
    for (const auto& [begin, end] : {std::pair{0, 3}, {3, 4}, {4, 7}}) writer.append(rows.rows(begin, end));
    EXPECT_FALSE(std::filesystem::exists(path));
    writer.commit();
    EXPECT_EQ(read_file(path), read_file(folder.path("whole.safetensors")));

    const RowFile file(path);
    EXPECT_EQ(file.shape(), rows.shape());
    const std::vector<int64_t> order{6, 0, 6, 3};
    const Tensor some = file.gather(order);
    ASSERT_EQ(some.dim(0), 4);
    for (int64_t i = 0; i < 4; ++i)
        EXPECT_TRUE(identical(some.rows(i, i + 1),
                              rows.rows(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(i)] + 1)));
    EXPECT_EQ(file.gather({}).dim(0), 0);
}

TEST_F(RowFileTest, RefusesRowsThatDoNotBelongAndFilesThatAreNotWhole) {
    RowFileWriter writer(path, "images", rows.shape());
    writer.append(rows.rows(0, 5));
    EXPECT_THAT(error_of([&] { writer.append(random_tensor({1, 3, 5, 4}, 2)); }), HasSubstr("[1, 3, 5, 4]"));
    EXPECT_THAT(error_of([&] { writer.commit(); }), HasSubstr("5 of its 7 rows"));
    EXPECT_THAT(error_of([&] { writer.append(rows.rows(0, 3)); }), HasSubstr("8 rows and should hold 7"));
}

TEST_F(RowFileTest, NothingIsLeftWithoutACommit) {
    write_text(path, "old");
    { RowFileWriter(path, "images", rows.shape()).append(rows.rows(0, 5)); }
    EXPECT_EQ(read_text(path), "old");
    EXPECT_THAT(error_of([&] { RowFileWriter(path, "images", {1 << 20, 2, 1 << 10, 1 << 10}); }), HasSubstr("shape"));
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST_F(RowFileTest, RefusesAPlaceThatCannotBeWritten) {
    const auto error = [&](const std::string& name) {
        return error_of([&] { RowFileWriter(folder.path(name), "images", rows.shape()); });
    };
    EXPECT_THAT(error("none/rows.safetensors"), HasSubstr("cannot be written (No such file or directory)"));
    EXPECT_THAT(error_of([&] { RowFileWriter("/dev/full", "images", rows.shape()); }), HasSubstr("not a regular file"));
}

TEST_F(RowFileTest, RefusesDamagedFiles) {
    write_safetensors(path, StateDict{{"images", rows}});
    const std::string good = read_text(path);
    EXPECT_THAT(error_of([&] { RowFile file(folder.path("none")); }), HasSubstr("none: cannot be read"));
    EXPECT_THAT(error_of([&] { RowFile file(folder.path()); }), HasSubstr("not a regular file"));
    EXPECT_THAT(text(""), HasSubstr("rows.safetensors: ends before its data does"));
    EXPECT_THAT(text(good.substr(0, 20)), HasSubstr("does not fit"));
    EXPECT_THAT(text(good.substr(0, good.size() - 4)), HasSubstr("which has only"));
    EXPECT_THAT(text(good + "more"), HasSubstr("belong to no entry"));
    std::string huge = good;
    huge[6] = 1;
    EXPECT_THAT(text(huge), HasSubstr("more than the format's limit"));
    std::string shape = good;
    shape.replace(shape.find("7,3,4,5"), 7, "9,3,4,5");
    EXPECT_THAT(text(shape), HasSubstr("needs"));

    write_safetensors(path, StateDict{{"a", rows}, {"b", rows}});
    EXPECT_THAT(error_of([&] { RowFile file(path); }), HasSubstr("2 tensors"));
    write_safetensors(path, StateDict{{"labels", Tensor::from_int64({2, 1}, std::vector<int64_t>{1, 2})}});
    EXPECT_THAT(error_of([&] { RowFile file(path); }), AllOf(HasSubstr("int64 [2, 1]"), HasSubstr("float32")));
}

TEST_F(RowFileTest, RefusesRowsOutsideAndAFileThatHasShrunk) {
    write_safetensors(path, StateDict{{"images", rows}});
    const RowFile file(path);
    for (const int64_t row : {int64_t{-1}, int64_t{7}})
        EXPECT_THAT(error_of([&] { file.gather(std::vector{row}); }), HasSubstr("is outside [0, 7)"));
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 100);
    file.gather(std::vector<int64_t>{0});
    EXPECT_THAT(error_of([&] { file.gather(std::vector<int64_t>{6}); }), HasSubstr("ends before its data does"));
}

}  // namespace
}  // namespace lethe::test
