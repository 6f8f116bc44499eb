// The oracle of the elementwise functions: what each entry of tensor/elementwise.h means, in double and by name.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "tests/support/reference.h"

namespace lethe::test::reference {

// A function and its derivative; of two inputs, the derivatives for each.
struct Function1 {
    std::function<double(double)> f, df;
};
struct Function2 {
    std::function<double(double, double)> f, da, db;
};

// By name(op). A new entry of the lists comes with an entry here; tests look each one up and fail where it is missing.
const std::map<std::string, Function1>& unary_functions();
const std::map<std::string, Function2>& binary_functions();

// f of each element; all arrays have the shape of the first.
template <class Function, class... Arrays>
Array map(const Function& f, const Array& first, const Arrays&... rest) {
    Array result(first.shape);
    for (std::size_t i = 0; i < result.values.size(); ++i) result.values[i] = f(first.values[i], rest.values[i]...);
    return result;
}
Array product(const Array& a, const Array& b);

}  // namespace lethe::test::reference
