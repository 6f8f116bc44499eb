#include "tests/support/cpu.h"

#include <cstdlib>

#include "tensor/error.h"

namespace lethe::test {
namespace {

// Sets an environment variable for one scope.
class ScopedVariable {
public:
    ScopedVariable(const char* name, const std::string& value) : name_(name) {
        if (const char* old = std::getenv(name)) previous_ = old;
        ::setenv(name, value.c_str(), 1);
    }
    ~ScopedVariable() {
        if (previous_.empty()) {
            ::unsetenv(name_);
        } else {
            ::setenv(name_, previous_.c_str(), 1);
        }
    }
    ScopedVariable(const ScopedVariable&) = delete;
    ScopedVariable& operator=(const ScopedVariable&) = delete;

private:
    const char* name_;
    std::string previous_;
};

}  // namespace

std::unique_ptr<Backend> cpu_backend(const std::string& isa) {
    const ScopedVariable variable("LETHE_ISA", isa);
    return make_cpu_backend();
}

std::vector<std::string> available_isas() {
    std::vector<std::string> found;
    for (const char* isa : {"avx512", "avx2", "baseline"}) {
        try {
            cpu_backend(isa);
            found.emplace_back(isa);
        } catch (const Error&) {
            // this processor lacks it
        }
    }
    return found;
}

}  // namespace lethe::test
