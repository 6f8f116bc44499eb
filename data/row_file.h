// A float32 tensor [N,...] alone in a safetensors file, written and read some rows at a time: for what is larger than
// the memory it should take. The bytes are those of write_safetensors().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "data/file.h"
#include "tensor/tensor.h"

namespace lethe {

// Writes a new file row by row under a temporary name; commit() puts it in its place. Without commit() nothing is left.
class RowFileWriter {
public:
    // Throws Error with the system's reason when the file cannot be written, as append() and commit() do.
    RowFileWriter(const std::filesystem::path& path, const std::string& name, const Shape& shape);

    void append(const Tensor& rows);  // the next rows, on the CPU; throws Error for other sizes or too many rows
    void commit();                    // throws Error when rows are missing

private:
    std::filesystem::path path_;
    Shape shape_;
    NewFile file_;
    int64_t written_ = 0;
};

// The same file for reading. Copies share it.
class RowFile {
public:
    // Throws Error, naming the file, when it is missing or not a whole safetensors file of one float32 tensor of two to
    // four dimensions.
    explicit RowFile(const std::filesystem::path& path);

    const Shape& shape() const { return shape_; }
    // Copies of the named rows, in that order. Throws Error for a row out of range, or when the file has shrunk.
    Tensor gather(std::span<const int64_t> rows) const;

private:
    void read(uint64_t at, std::span<uint8_t> bytes) const;  // its errors do not name the file

    std::filesystem::path path_;
    Shape shape_;
    uint64_t begin_ = 0;  // of the data
    std::shared_ptr<const int> file_;
};

}  // namespace lethe
