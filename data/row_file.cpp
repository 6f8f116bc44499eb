#include "data/row_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "data/safetensors.h"
#include "tensor/error.h"

namespace lethe {
namespace {

std::span<const uint8_t> bytes_of(std::span<const float> values) {
    return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

std::vector<int64_t> sizes_of(const Shape& shape) {
    std::vector<int64_t> sizes;
    for (int i = 0; i < shape.rank(); ++i) sizes.push_back(shape[i]);
    return sizes;
}

}  // namespace

RowFileWriter::RowFileWriter(const std::filesystem::path& path, const std::string& name, const Shape& shape)
    : path_(path), shape_(shape), file_(path) {
    file_.write(safetensors_head({{name, &element_of(DType::float32), sizes_of(shape)}}, {}));
}

void RowFileWriter::append(const Tensor& rows) {
    check(rows.dtype() == DType::float32 && rows.shape() == shape_.with_rows(rows.dim(0)), path_.string(), ": rows ",
          rows.shape(), " do not belong to a tensor ", shape_);
    written_ += rows.dim(0);
    check(written_ <= shape_[0], path_.string(), ": is given ", written_, " rows and should hold ", shape_[0]);
    file_.write(bytes_of(rows.to_nchw()));
}

void RowFileWriter::commit() {
    check(written_ == shape_[0], path_.string(), ": was given ", written_, " of its ", shape_[0], " rows");
    file_.commit();
}

RowFile::RowFile(const std::filesystem::path& path) : path_(path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    check(file >= 0, path.string(), ": cannot be read (", system_reason(errno), ")");
    file_ = std::shared_ptr<const int>(new int(file), [](const int* fd) {
        ::close(*fd);
        delete fd;
    });
    struct stat info {};
    check(::fstat(file, &info) == 0 && S_ISREG(info.st_mode), path.string(), ": is not a regular file");
    try {
        const OnlyTensor tensor = only_tensor_of_safetensors(
            static_cast<uint64_t>(info.st_size), [this](uint64_t at, std::span<uint8_t> bytes) { read(at, bytes); });
        check(tensor.element->element == Element::float32 && tensor.sizes.size() >= 2 && tensor.sizes.size() <= 4,
              "its tensor is ", tensor.element->name, " ", shape_text(tensor.sizes),
              ", rows of float32 in two to four dimensions are needed");
        shape_ = Shape(tensor.sizes);
        begin_ = tensor.begin;
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
}

void RowFile::read(uint64_t at, std::span<uint8_t> bytes) const {
    while (!bytes.empty()) {
        const ssize_t got = ::pread(*file_, bytes.data(), bytes.size(), static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        check(got >= 0, "cannot be read (", system_reason(errno), ")");
        check(got > 0, "ends before its data does");
        at += static_cast<uint64_t>(got);
        bytes = bytes.subspan(static_cast<std::size_t>(got));
    }
}

Tensor RowFile::gather(std::span<const int64_t> rows) const {
    Tensor result = Tensor::empty(shape_.with_rows(static_cast<int64_t>(rows.size())));
    if (rows.empty()) return result;
    std::vector<float> row(static_cast<std::size_t>(result.numel()) / rows.size());
    try {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            check(rows[i] >= 0 && rows[i] < shape_[0], "row ", rows[i], " is outside [0, ", shape_[0], ")");
            read(begin_ + static_cast<uint64_t>(rows[i]) * row.size() * sizeof(float),
                 {reinterpret_cast<uint8_t*>(row.data()), row.size() * sizeof(float)});
            const auto at = static_cast<int64_t>(i);
            result.rows(at, at + 1).copy_from(Tensor::from_nchw(shape_.with_rows(1), row));
        }
    } catch (const Error& error) {
        fail(path_.string(), ": ", error.what());
    }
    return result;
}

}  // namespace lethe
