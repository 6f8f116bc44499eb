#include "unlearn/manifest.h"

#include <charconv>
#include <sstream>

#include "data/byte_reader.h"
#include "tensor/error.h"

namespace lethe {
namespace {

std::string joined(const std::vector<float>& values) {
    std::ostringstream out;
    out.precision(9);
    for (std::size_t i = 0; i < values.size(); ++i) out << (i > 0 ? "," : "") << values[i];
    return out.str();
}

// One file's metadata, with its name for the errors.
class Manifest {
public:
    Manifest(const std::string& file, const Metadata& metadata) : file_(file), metadata_(metadata) {}

    // Empty when the manifest does not say.
    std::string text(const std::string& key) const {
        const auto found = metadata_.find(key);
        return found == metadata_.end() ? "" : found->second;
    }

    int64_t number(const std::string& key) const {
        const std::string value = text(key);
        if (value.empty()) return 0;
        int64_t result = 0;
        const char* end = value.data() + value.size();
        const auto [stop, error] = std::from_chars(value.data(), end, result);
        check(error == std::errc{} && stop == end && result >= 0, file_, ": its manifest says ", key, " = '",
              printable(value), "', which is not a number");
        return result;
    }

    // Whichever of the two says something; `option` is how a person would say it.
    template <class T>
    T agreed(const T& own, const T& given, const char* what, const char* option) const {
        check(own == T{} || given == T{} || own == given, file_, ": its manifest says ", what, " ", own, ", not ",
              given, " (", option, "); leave the option out, or give the weights that it is meant for");
        return own == T{} ? given : own;
    }

    void normalization(const std::string& given, ModelSpec& spec) const {
        if (!given.empty()) set_normalization(spec, given);
        const std::string mean = text("lethe.mean"), std = text("lethe.std");
        if (mean.empty() && std.empty()) return;
        ModelSpec own = spec;
        try {
            set_normalization(own, mean + "/" + std);
        } catch (const Error& error) {
            fail(file_, ": its manifest does not hold a normalisation: ", error.what());
        }
        check(given.empty() || (own.mean == spec.mean && own.std == spec.std), file_,
              ": its manifest says normalisation ", mean, "/", std, ", not ", given,
              " (--normalize); leave the option out, or convert the original file anew with the right one");
        spec.mean = own.mean;
        spec.std = own.std;
    }

private:
    const std::string& file_;
    const Metadata& metadata_;
};

}  // namespace

Metadata manifest_of(const ModelSpec& spec) {
    return {{"lethe.arch", spec.arch},
            {"lethe.classes", std::to_string(spec.classes)},
            {"lethe.stem", spec.stem},
            {"lethe.image_size", std::to_string(spec.image_size)},
            {"lethe.naming", spec.naming},
            {"lethe.mean", joined(spec.mean)},
            {"lethe.std", joined(spec.std)},
            {"lethe.transform", spec.transform},
            {"format", "pt"}};
}

ModelSpec agreed_spec(const std::string& file, const Metadata& metadata, const GivenModel& given) {
    const Manifest manifest(file, metadata);
    ModelSpec spec;
    spec.arch = manifest.agreed(manifest.text("lethe.arch"), given.arch, "model", "--model");
    check(!spec.arch.empty(), file, " does not say which architecture it is for; give --model");
    spec.stem = manifest.agreed(manifest.text("lethe.stem"), given.stem, "stem", "--stem");
    const int64_t classes = manifest.agreed(manifest.number("lethe.classes"), given.classes, "classes", "--classes");
    if (classes > 0) spec.classes = classes;
    spec.image_size =
        manifest.agreed(manifest.number("lethe.image_size"), given.image_size, "image size", "--image-size");
    spec.naming = manifest.text("lethe.naming");
    spec.transform = manifest.text("lethe.transform");
    manifest.normalization(given.normalize, spec);
    return spec;
}

}  // namespace lethe
