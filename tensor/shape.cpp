#include "tensor/shape.h"

#include "tensor/error.h"

namespace lethe {

Shape::Shape(std::initializer_list<int64_t> dims) { assign(dims.begin(), dims.size()); }

Shape::Shape(const std::vector<int64_t>& dims) { assign(dims.data(), dims.size()); }

void Shape::assign(const int64_t* dims, std::size_t rank) {
    constexpr int64_t limit = int64_t{1} << 40;
    check(rank <= max_rank, "shape: ", rank, " dimensions, at most ", max_rank, " are supported");
    rank_ = static_cast<int>(rank);
    numel_ = 1;
    for (int axis = 0; axis < rank_; ++axis) {
        const int64_t size = dims[axis];
        check(size >= 0, "shape: dimension ", axis, " is negative (", size, ")");
        dims_[static_cast<std::size_t>(axis)] = size;
        check(size == 0 || numel_ <= limit / size, "shape: more than 2^40 elements");
        numel_ *= size;
    }
}

int64_t Shape::operator[](int axis) const {
    check(axis >= 0 && axis < rank_, "shape: no dimension ", axis, " in ", *this);
    return dims_[static_cast<std::size_t>(axis)];
}

std::string Shape::str() const {
    std::string text = "[";
    for (int axis = 0; axis < rank_; ++axis) {
        if (axis > 0) text += ", ";
        text += std::to_string(dims_[static_cast<std::size_t>(axis)]);
    }
    return text + "]";
}

Shape Shape::with_rows(int64_t rows) const {
    check(rank_ > 0, "shape: a scalar has no rows");
    std::vector<int64_t> changed = dims();
    changed[0] = rows;
    return Shape(changed);
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

}  // namespace lethe
