// Rows of images [N,3,H,W], in memory or in a file: thousands of adversarial images of 224x224 pixels take gigabytes.
#pragma once

#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "data/row_file.h"
#include "tensor/tensor.h"

namespace lethe {

class ImageRows {
public:
    ImageRows() = default;
    ImageRows(const Tensor& images) : images_(images) {}
    ImageRows(const RowFile& file) : file_(file) {}

    bool defined() const { return images_.defined() || file_; }
    const Shape& shape() const { return file_ ? file_->shape() : images_.shape(); }

    // Copies of the named rows, in that order.
    Tensor gather(std::span<const int64_t> rows) const {
        if (file_) return file_->gather(rows);
        Tensor result = Tensor::empty(images_.shape().with_rows(static_cast<int64_t>(rows.size())));
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto to = static_cast<int64_t>(i);
            result.rows(to, to + 1).copy_from(images_.rows(rows[i], rows[i] + 1));
        }
        return result;
    }

    // Rows [begin, end); a view where they are in memory.
    Tensor rows(int64_t begin, int64_t end) const {
        if (!file_) return images_.rows(begin, end);
        std::vector<int64_t> numbers(static_cast<std::size_t>(end - begin));
        std::iota(numbers.begin(), numbers.end(), begin);
        return file_->gather(numbers);
    }

private:
    Tensor images_;
    std::optional<RowFile> file_;
};

}  // namespace lethe
