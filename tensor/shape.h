// Shape: the logical dimensions of a tensor.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

namespace lethe {

// Up to 4 dimensions, in the order people say them: images [N,C,H,W], convolution weights [K,C,R,S],
// linear weights [out,in]. Throws Error for more dimensions, a negative one, or an element count over 2^40.
class Shape {
public:
    static constexpr int max_rank = 4;

    Shape() = default;
    Shape(std::initializer_list<int64_t> dims);
    explicit Shape(const std::vector<int64_t>& dims);

    int rank() const { return rank_; }
    int64_t operator[](int axis) const;  // throws Error when axis is outside [0, rank)
    int64_t numel() const { return numel_; }
    std::vector<int64_t> dims() const { return {dims_.begin(), dims_.begin() + rank_}; }
    std::string str() const;  // "[16, 3, 32, 32]"

    // The same shape with its first dimension replaced.
    Shape with_rows(int64_t rows) const;

    bool operator==(const Shape& other) const = default;

private:
    void assign(const int64_t* dims, std::size_t rank);

    std::array<int64_t, max_rank> dims_{};
    int rank_ = 0;
    int64_t numel_ = 1;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace lethe
