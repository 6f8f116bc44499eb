// The elementwise functions, once, for every device: f and its derivative df, as functors that compile for host and
// GPU.
#pragma once

#include <cmath>

#if defined(__CUDACC__)
#define LETHE_HD __host__ __device__ inline
#else
#define LETHE_HD inline
#endif

namespace lethe {

namespace elementwise {

// df receives both x and y = f(x), so that each function may use the cheaper one.
// relu: df(0) = 0 and NaN stays NaN, as in PyTorch; a relu that hid NaN would hide a diverged model.
struct Relu {
    LETHE_HD static float f(float x) { return x < 0.0f ? 0.0f : x; }
    LETHE_HD static float df(float /*x*/, float y) { return y > 0.0f ? 1.0f : 0.0f; }
};
// relu6 = min(max(x, 0), 6): the gradient passes for 0 < x < 6 only, as in PyTorch's hardtanh.
struct Relu6 {
    LETHE_HD static float f(float x) { return x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x); }
    LETHE_HD static float df(float /*x*/, float y) { return y > 0.0f && y < 6.0f ? 1.0f : 0.0f; }
};
struct Square {
    LETHE_HD static float f(float x) { return x * x; }
    LETHE_HD static float df(float x, float /*y*/) { return 2.0f * x; }
};
struct Tanh {
    LETHE_HD static float f(float x) { return tanhf(x); }
    LETHE_HD static float df(float /*x*/, float y) { return 1.0f - y * y; }
};
struct Sigmoid {
    LETHE_HD static float f(float x) { return 1.0f / (1.0f + expf(-x)); }
    LETHE_HD static float df(float /*x*/, float y) { return y * (1.0f - y); }
};
struct Exp {
    LETHE_HD static float f(float x) { return expf(x); }
    LETHE_HD static float df(float /*x*/, float y) { return y; }
};

// gelu = x Phi(x), with the normal distribution's Phi (Hendrycks and Gimpel, 2016): PyTorch's default, the exact one.
// Phi(-u) = exp(-u^2/2) R(u) for u >= 0, where R is erfc's scaled form; R is a polynomial in t = 1 / (1 + 0.21 u),
// fitted to its relative error, which is below 1.7e-8 everywhere, so that small values keep their digits.
struct Gelu {
    LETHE_HD static float f(float x) { return x * distribution(x, density(x)); }
    LETHE_HD static float df(float x, float /*y*/) {
        const float bell = density(x);
        return distribution(x, bell) + 0.39894228f * x * bell;  // 1 / sqrt(2 pi)
    }

private:
    LETHE_HD static float density(float x) { return expf(-0.5f * x * x); }  // times sqrt(2 pi)
    LETHE_HD static float distribution(float x, float bell) {
        const float t = 1.0f / (1.0f + 0.21f * (x < 0.0f ? -x : x));
        float r = -0.0716548661f;
        r = r * t + 0.283581443f;
        r = r * t - 0.330238359f;
        r = r * t + 0.349383351f;
        r = r * t - 0.0939125787f;
        r = r * t + 0.124867107f;
        r = r * t + 0.0691936887f;
        r = r * t + 0.0850686303f;
        r = r * t + 0.0837115902f;
        const float tail = bell * (r * t);
        return x < 0.0f ? tail : 1.0f - tail;
    }
};

// Two inputs: da and db are the derivatives for each.
struct Add {
    LETHE_HD static float f(float a, float b) { return a + b; }
    LETHE_HD static float da(float, float, float) { return 1.0f; }
    LETHE_HD static float db(float, float, float) { return 1.0f; }
};
struct Sub {
    LETHE_HD static float f(float a, float b) { return a - b; }
    LETHE_HD static float da(float, float, float) { return 1.0f; }
    LETHE_HD static float db(float, float, float) { return -1.0f; }
};
struct Mul {
    LETHE_HD static float f(float a, float b) { return a * b; }
    LETHE_HD static float da(float, float b, float) { return b; }
    LETHE_HD static float db(float a, float, float) { return a; }
};
// relu(a + b): the end of every residual block, in one pass.
struct AddRelu {
    LETHE_HD static float f(float a, float b) { return a + b < 0.0f ? 0.0f : a + b; }
    LETHE_HD static float da(float, float, float y) { return y > 0.0f ? 1.0f : 0.0f; }
    LETHE_HD static float db(float, float, float y) { return y > 0.0f ? 1.0f : 0.0f; }
};

}  // namespace elementwise

// The lists. A new function is a functor above and one entry here: op name, functor. Backends, autograd, tests and
// benchmarks iterate over them.
#define LETHE_UNARY_OPS(X) \
    X(relu, Relu) X(relu6, Relu6) X(square, Square) X(tanh, Tanh) X(sigmoid, Sigmoid) X(exp, Exp) X(gelu, Gelu)
#define LETHE_BINARY_OPS(X) X(add, Add) X(sub, Sub) X(mul, Mul) X(add_relu, AddRelu)

enum class Unary {
#define LETHE_ENUM(op, functor) op,
    LETHE_UNARY_OPS(LETHE_ENUM)
};
enum class Binary { LETHE_BINARY_OPS(LETHE_ENUM) };
#undef LETHE_ENUM

const char* name(Unary op);
const char* name(Binary op);

}  // namespace lethe
