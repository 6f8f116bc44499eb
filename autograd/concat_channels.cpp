#include "autograd/ops.h"

namespace lethe {

Var concat_channels(const std::vector<Var>& parts) {
    std::vector<Tensor> values;
    for (const Var& part : parts) values.push_back(part.value());
    Tensor y = backend(values.at(0)).concat_channels(values);
    return Var::computed(std::move(y), parts, [parts](detail::Node& node) {
        int64_t begin = 0;
        for (const Var& part : parts) {
            const int64_t end = begin + part.shape()[1];
            if (part.requires_grad()) Var::accumulate(part, backend(node.grad).slice_channels(node.grad, begin, end));
            begin = end;
        }
    });
}

}  // namespace lethe
