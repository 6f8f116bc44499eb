#include "tensor/error.h"
#include "unlearn/method.h"

// One line per method: the name of the function its file defines.
#define LETHE_METHODS(METHOD) \
    METHOD(neggrad)           \
    METHOD(adv)               \
    METHOD(imp)               \
    METHOD(adv_imp)           \
    METHOD(relabel)           \
    METHOD(relabel_adv)       \
    METHOD(relabel_imp)       \
    METHOD(relabel_adv_imp)   \
    METHOD(distill)           \
    METHOD(distill_imp)       \
    METHOD(distill_views)     \
    METHOD(distill_views_imp) \
    METHOD(random_label)      \
    METHOD(salun)             \
    METHOD(boundary)          \
    METHOD(oracle)            \
    METHOD(neggrad_plus)      \
    METHOD(finetune)          \
    METHOD(salun_retain)      \
    METHOD(bad_teacher)       \
    METHOD(scrub)             \
    METHOD(eu_k)              \
    METHOD(cf_k)              \
    METHOD(ssd)               \
    METHOD(lfssd)             \
    METHOD(fisher_noise)

namespace lethe {
namespace method {
#define LETHE_DECLARE(function) Method function();
LETHE_METHODS(LETHE_DECLARE)
#undef LETHE_DECLARE
}  // namespace method

const std::vector<Method>& methods() {
#define LETHE_CALL(function) method::function(),
    static const std::vector<Method> list{LETHE_METHODS(LETHE_CALL)};
#undef LETHE_CALL
    return list;
}

const Method& find_method(const std::string& name) {
    std::string known;
    for (const Method& candidate : methods()) {
        if (candidate.name == name) return candidate;
        known += (known.empty() ? "" : ", ") + candidate.name;
    }
    fail("method: unknown name '", name, "'; known ones are ", known);
}

}  // namespace lethe
