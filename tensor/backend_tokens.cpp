// The checked fronts of what works on rows of features: linear layers and the operations of transformers.
#include "tensor/backend.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// The rows' shape with `features` of them: [M,features] or [N,T,features].
Shape with_features(const Shape& rows, int64_t features) {
    return rows.rank() == 2 ? Shape{rows[0], features} : Shape{rows[0], rows[1], features};
}

int64_t features(const Tensor& rows) { return rows.dim(rows.rank() - 1); }

Shape tokens_shape(const char* op, const Shape& patches) {
    check(patches.rank() == 4, op, ": patches must be [N,D,H,W], got ", patches);
    return {patches[0], 1 + patches[2] * patches[3], patches[1]};
}

// Of qkv [N,T,3D]: [N,T,D].
Shape attended_shape(const char* op, const Shape& qkv, int64_t heads) {
    check(qkv.rank() == 3 && heads >= 1 && qkv[2] % (3 * heads) == 0 && qkv[1] > 0, op,
          ": qkv must be [N,T,3D] with T > 0 and D a multiple of the ", heads, " heads, got ", qkv);
    return {qkv[0], qkv[1], qkv[2] / 3};
}

}  // namespace

Tensor Backend::linear(const Tensor& x, const Tensor& w, const Tensor& b) {
    need_rows("linear", "x", x);
    need_rank("linear", "w", w, 2);
    check(w.dim(1) == features(x), "linear: w ", w.shape(), " expects ", w.dim(1), " features, x ", x.shape(), " has ",
          features(x));
    need_shape("linear", "b", b, {w.dim(0)});
    return linear_impl(x, w, b);
}

Tensor Backend::linear_grad_x(const Tensor& grad_y, const Tensor& w) {
    need_rank("linear_grad_x", "w", w, 2);
    need_rows("linear_grad_x", "grad_y", grad_y);
    need_shape("linear_grad_x", "grad_y", grad_y, with_features(grad_y.shape(), w.dim(0)));
    return linear_grad_x_impl(grad_y, w);
}

Tensor Backend::linear_grad_w(const Tensor& grad_y, const Tensor& x) {
    need_rows("linear_grad_w", "x", x);
    need_rows("linear_grad_w", "grad_y", grad_y);
    need_shape("linear_grad_w", "grad_y", grad_y, with_features(x.shape(), features(grad_y)));
    return linear_grad_w_impl(grad_y, x);
}

Tensor Backend::tokens(const Tensor& patches, const Tensor& class_token, const Tensor& position) {
    need_activation("tokens", "patches", patches);
    const Shape y = tokens_shape("tokens", patches.shape());
    need_shape("tokens", "class_token", class_token, {1, 1, y[2]});
    need_shape("tokens", "position", position, {1, y[1], y[2]});
    return tokens_impl(patches, class_token, position);
}

Tensor Backend::tokens_grad(const Tensor& grad_y, const Shape& patches, DType dtype) {
    need_shape("tokens_grad", "grad_y", grad_y, tokens_shape("tokens_grad", patches));
    return tokens_grad_impl(grad_y, patches, dtype);
}

Tensor Backend::layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps, LayerNormSaved& saved) {
    need_rows("layer_norm", "x", x);
    need_shape("layer_norm", "gamma", gamma, {features(x)});
    need_shape("layer_norm", "beta", beta, gamma.shape());
    check(features(x) > 0 && eps > 0, "layer_norm: x ", x.shape(), " must have features and eps must be > 0, got ",
          eps);
    return layer_norm_impl(x, gamma, beta, eps, saved);
}

LayerNormGrads Backend::layer_norm_grad(const Tensor& grad_y, const Tensor& x, const Tensor& gamma,
                                        const LayerNormSaved& saved, bool want_x, bool want_affine) {
    need_rows("layer_norm_grad", "x", x);
    need_shape("layer_norm_grad", "grad_y", grad_y, x.shape());
    need_shape("layer_norm_grad", "gamma", gamma, {features(x)});
    const Shape rows{x.as_matrix().dim(0)};
    need_shape("layer_norm_grad", "saved mean", saved.mean, rows);
    need_shape("layer_norm_grad", "saved inv_std", saved.inv_std, rows);
    return layer_norm_grad_impl(grad_y, x, gamma, saved, want_x, want_affine);
}

Tensor Backend::attention(const Tensor& qkv, int64_t heads, Tensor* probabilities) {
    need("attention", "qkv", qkv);
    attended_shape("attention", qkv.shape(), heads);
    return attention_impl(qkv, heads, probabilities);
}

Tensor Backend::attention_grad(const Tensor& grad_y, const Tensor& qkv, int64_t heads, const Tensor& probabilities) {
    need("attention_grad", "qkv", qkv);
    need_shape("attention_grad", "grad_y", grad_y, attended_shape("attention_grad", qkv.shape(), heads));
    need_shape("attention_grad", "probabilities", probabilities, {qkv.dim(0) * heads, qkv.dim(1), qkv.dim(1)});
    return attention_grad_impl(grad_y, qkv, heads, probabilities);
}

Tensor Backend::dropout_factors(const Shape& shape, const Dropout& op) {
    check(op.p >= 0.0f && op.p < 1.0f, "dropout: p is ", op.p, "; it must be in [0, 1)");
    check(shape.rank() >= 1, "dropout: values must be [N, ...], got ", shape);
    need("dropout", "counter", op.counter, DType::int64);
    check(op.counter.numel() == 1, "dropout: the counter must have one element, got ", op.counter.shape());
    return dropout_factors_impl(shape, op);
}

}  // namespace lethe
