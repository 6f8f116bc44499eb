// Every differentiable operation. Shapes and formulas are in tensor/backend.h and tensor/ops.h; here each becomes a
// function of Vars whose gradient stands right under its forward in autograd/<op>.cpp. All throw Error on shapes that
// do not fit.
#pragma once

#include "autograd/var.h"
#include "tensor/backend.h"

namespace lethe {

Var conv2d(const Var& x, const Var& w, const Conv2d& op);
// relu?(conv(x, w) + bias + residual?): convolution with a folded BatchNorm. residual may be undefined.
Var conv2d_fused(const Var& x, const Var& w, const Var& bias, const Var& residual, bool relu, const Conv2d& op);

// running_mean and running_var [C] are buffers: read, or updated in place, as op says. residual may be undefined.
Var batchnorm(const Var& x, const Var& gamma, const Var& beta, Tensor& running_mean, Tensor& running_var,
              const Var& residual, const BatchNorm& op);

Var max_pool2d(const Var& x, const Pool2d& op);
Var avg_pool2d(const Var& x, const Pool2d& op);
Var concat_channels(const std::vector<Var>& parts);    // [N,Ci,H,W] -> [N,sum Ci,H,W]
Var global_avg_pool(const Var& x);                     // [N,C,H,W] -> [N,C]
Var linear(const Var& x, const Var& w, const Var& b);  // [N,F] or [N,T,F], [O,F], [O] -> [N,O] or [N,T,O]
// Of transformers; x [N,T,F].
Var tokens(const Var& patches, const Var& class_token, const Var& position);  // [N,D,H,W] -> [N,1+H*W,D]
Var first_token(const Var& x);                                                // [N,T,F] -> [N,F]
Var layer_norm(const Var& x, const Var& gamma, const Var& beta, float eps);
Var attention(const Var& qkv, int64_t heads);  // [N,T,3D] -> [N,T,D]
Var dropout(const Var& x, const Dropout& op);
Var shortcut_a(const Var& x, int64_t channels, int64_t stride);
Var normalize(const Var& x, const Tensor& mean, const Tensor& std);

// Per-row losses [N]; combine with mean() or sum().
Var softmax_cross_entropy(const Var& logits, const Tensor& labels, const CrossEntropy& op = {});

Var unary(Unary op, const Var& x);
Var binary(Binary op, const Var& a, const Var& b);
inline Var relu(const Var& x) { return unary(Unary::relu, x); }
inline Var relu6(const Var& x) { return unary(Unary::relu6, x); }
inline Var gelu(const Var& x) { return unary(Unary::gelu, x); }
inline Var square(const Var& x) { return unary(Unary::square, x); }
inline Var add(const Var& a, const Var& b) { return binary(Binary::add, a, b); }
inline Var sub(const Var& a, const Var& b) { return binary(Binary::sub, a, b); }
inline Var mul(const Var& a, const Var& b) { return binary(Binary::mul, a, b); }
Var scale(const Var& x, float factor);

Var sum(const Var& x);       // [1]
Var mean(const Var& x);      // [1]
Var row_norm(const Var& x);  // [N, ...] -> [N], L2 norm of each row; the gradient at a zero row is 0

}  // namespace lethe
