#include <limits>

#include "cuda/attention.cuh"
#include "cuda/backend.h"
#include "cuda/launch_product.h"

namespace LETHE_CUDA {
namespace {

using Product = FmaProduct<Tile<64, 64>>;

// The products of one attention: sizes, and where the matrices of each head lie.
class Heads {
public:
    Heads(const Shape& qkv, int64_t heads, cudaStream_t stream)
        : tokens(product_size(qkv[1], "attention")),
          size(product_size(qkv[2] / 3 / heads, "attention")),
          tasks(qkv[0] * heads),
          scale(1.0f / std::sqrt(static_cast<float>(size))),
          heads_(product_size(heads, "attention")),
          features_(qkv[2] / 3),
          stream_(stream) {}

    // Of queries (0), keys (1) or values (2) in [N,T,3D]; of results [N,T,D]; of probabilities [N*heads,T,T].
    template <class T>
    HeadMatrix<T> packed(T* qkv, int64_t which) const {
        return {qkv + which * features_, tokens * 3 * features_, size, 3 * features_};
    }
    template <class T>
    HeadMatrix<T> result(T* y) const {
        return {y, tokens * features_, size, features_};
    }
    template <class T>
    HeadMatrix<T> square(T* p) const {
        const int64_t each = int64_t{tokens} * tokens;
        return {p, heads_ * each, each, tokens};
    }

    // c [rows,columns] = a b with sums over `depth`.
    template <template <class> class A, template <class> class B>
    void multiply(int rows, int columns, int depth, HeadMatrix<const float> a, HeadMatrix<const float> b,
                  HeadMatrix<float> c) const {
        const auto across = static_cast<int>(ceil_div(columns, Product::Tile::columns));
        const int64_t each = tiles<Product>(rows, columns), blocks = tasks * each;
        check(blocks <= std::numeric_limits<int>::max(), "attention: ", tasks, " heads of ", tokens,
              " tokens are more than it can do at once; use a smaller batch");
        const HeadProduct of{heads_, rows, columns, depth, across, static_cast<int>(each)};
        const auto grid = static_cast<unsigned>(blocks);
        if (in_runs(a, A<float>::along_depth ? depth : rows) && in_runs(b, B<float>::along_depth ? depth : columns))
            launch<head_product_kernel<Product, wide_run, A, B>>(grid, product_threads, 0, stream_, a, b, c, of);
        else
            launch<head_product_kernel<Product, 1, A, B>>(grid, product_threads, 0, stream_, a, b, c, of);
    }

    int tokens, size;
    int64_t tasks;
    float scale;

private:
    // Whether every run of 4 along memory is aligned and complete.
    static bool in_runs(const HeadMatrix<const float>& m, int64_t along) {
        return aligned(m.data) && (m.sample_step | m.head_step | m.stride | along) % wide_run == 0;
    }

    int heads_;
    int64_t features_;
    cudaStream_t stream_;
};

}  // namespace

Tensor CudaBackend::attention_impl(const Tensor& qkv, int64_t heads, Tensor* probabilities) {
    const Heads h(qkv.shape(), heads, stream_.get());
    Tensor y = empty({qkv.dim(0), qkv.dim(1), qkv.dim(2) / 3}), p = empty({h.tasks, h.tokens, h.tokens});
    const float *from = in<float>(qkv), *ps = in<float>(p);
    h.multiply<LinesAlongMemory, LinesAlongMemory>(h.tokens, h.tokens, h.size, h.packed(from, 0), h.packed(from, 1),
                                                   h.square(out<float>(p)));
    const int64_t rows = h.tasks * h.tokens;
    launch<softmax_rows_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), out<float>(p), h.scale, rows,
                                h.tokens);
    h.multiply<LinesAlongMemory, LinesSideBySide>(h.tokens, h.size, h.tokens, h.square(ps), h.packed(from, 2),
                                                  h.result(out<float>(y)));
    if (probabilities != nullptr) *probabilities = std::move(p);
    return y;
}

Tensor CudaBackend::attention_grad_impl(const Tensor& grad_y, const Tensor& qkv, int64_t heads,
                                        const Tensor& probabilities) {
    const Heads h(qkv.shape(), heads, stream_.get());
    Tensor grad = empty(qkv.shape()), scores = empty(probabilities.shape());
    const float *g = in<float>(grad_y), *from = in<float>(qkv), *ps = in<float>(probabilities);
    float *to = out<float>(grad), *of_scores = out<float>(scores);
    const float* s = of_scores;
    h.multiply<LinesSideBySide, LinesSideBySide>(h.tokens, h.size, h.tokens, h.square(ps), h.result(g),
                                                 h.packed(to, 2));
    h.multiply<LinesAlongMemory, LinesAlongMemory>(h.tokens, h.tokens, h.size, h.result(g), h.packed(from, 2),
                                                   h.square(of_scores));
    const int64_t rows = h.tasks * h.tokens;
    launch<softmax_rows_grad_kernel>(blocks_for_rows(rows), row_threads, 0, stream_.get(), ps, of_scores, h.scale, rows,
                                     h.tokens);
    h.multiply<LinesAlongMemory, LinesSideBySide>(h.tokens, h.size, h.tokens, h.square(s), h.packed(from, 1),
                                                  h.packed(to, 0));
    h.multiply<LinesSideBySide, LinesSideBySide>(h.tokens, h.size, h.tokens, h.square(s), h.packed(from, 0),
                                                 h.packed(to, 1));
    return grad;
}

}  // namespace LETHE_CUDA
