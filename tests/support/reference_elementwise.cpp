#include "tests/support/reference_elementwise.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lethe::test::reference {

const std::map<std::string, Function1>& unary_functions() {
    static const std::map<std::string, Function1> functions = {
        {"relu", {[](double x) { return std::max(x, 0.0); }, [](double x) { return x > 0 ? 1.0 : 0.0; }}},
        {"relu6",
         {[](double x) { return std::clamp(x, 0.0, 6.0); }, [](double x) { return x > 0 && x < 6 ? 1.0 : 0.0; }}},
        {"square", {[](double x) { return x * x; }, [](double x) { return 2 * x; }}},
        {"tanh", {[](double x) { return std::tanh(x); }, [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }}},
        {"sigmoid",
         {[](double x) { return 1 / (1 + std::exp(-x)); },
          [](double x) { return std::exp(-x) / ((1 + std::exp(-x)) * (1 + std::exp(-x))); }}},
        {"exp", {[](double x) { return std::exp(x); }, [](double x) { return std::exp(x); }}},
        {"gelu",
         {[](double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); },
          [](double x) {
              return 0.5 * std::erfc(-x / std::numbers::sqrt2) +
                     x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
          }}},
    };
    return functions;
}

const std::map<std::string, Function2>& binary_functions() {
    const auto one = [](double, double) { return 1.0; };
    const auto positive = [](double a, double b) { return a + b > 0 ? 1.0 : 0.0; };
    static const std::map<std::string, Function2> functions = {
        {"add", {[](double a, double b) { return a + b; }, one, one}},
        {"sub", {[](double a, double b) { return a - b; }, one, [](double, double) { return -1.0; }}},
        {"mul",
         {[](double a, double b) { return a * b; }, [](double, double b) { return b; },
          [](double a, double) { return a; }}},
        {"add_relu", {[](double a, double b) { return std::max(a + b, 0.0); }, positive, positive}},
    };
    return functions;
}

Array product(const Array& a, const Array& b) {
    return map([](double x, double y) { return x * y; }, a, b);
}

}  // namespace lethe::test::reference
