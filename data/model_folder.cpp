#include "data/model_folder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <sstream>

#include "data/bounded_json.h"
#include "data/byte_reader.h"
#include "data/file.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t max_classes = 1'000'000;

// "../x", "/x" and "a/x" could be anywhere; a shard lies beside its index.
bool is_plain_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." &&
           name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

const json* find(const json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> text_at(const json& object, const char* key) {
    const json* value = find(object, key);
    if (value == nullptr) return std::nullopt;
    check(value->is_string(), "'", key, "' is not a text");
    return value->get<std::string>();
}

int64_t positive(const json& value, const char* key, int64_t most) {
    check(value.is_number_unsigned() && value.get<uint64_t>() >= 1 && std::cmp_less_equal(value.get<uint64_t>(), most),
          "'", key, "' is not a whole number from 1 to ", most);
    return value.get<int64_t>();
}

// 224, [3, 224, 224], [224, 224], {"height": 224, "width": 224} or {"shortest_edge": 224}
int64_t image_size(const json& value, const char* key) {
    constexpr int64_t most = 16384;
    if (value.is_array()) {
        check(value.size() >= 2 && value[value.size() - 1] == value[value.size() - 2], "'", key,
              "' does not describe square images");
        return positive(value.back(), key, most);
    }
    if (!value.is_object()) return positive(value, key, most);
    const json* height = find(value, "height");
    if (height == nullptr) height = find(value, "shortest_edge");
    check(height != nullptr, "'", key, "' has neither 'height' nor 'shortest_edge'");
    const json* width = find(value, "width");
    check(width == nullptr || *width == *height, "'", key, "' does not describe square images");
    return positive(*height, key, most);
}

// Three numbers as a manifest holds them, "0.485,0.456,0.406"; `least` is not among the values allowed.
std::string channels(const json& value, const char* key, double least) {
    check(value.is_array() && value.size() == 3, "'", key, "' is not a list of three numbers");
    std::ostringstream text;
    text.precision(9);
    for (const json& number : value) {
        check(number.is_number() && std::abs(number.get<double>()) < 1e6 && number.get<double>() > least, "'", key,
              "' holds something else than numbers ", least < 0 ? "" : "> 0 ", "that pixels can be normalised with");
        text << (text.tellp() > 0 ? "," : "") << static_cast<float>(number.get<double>());
    }
    return text.str();
}

void read_normalization(const json& object, const char* mean_key, const char* std_key, Metadata& settings) {
    const json *mean = find(object, mean_key), *std = find(object, std_key);
    if (mean == nullptr && std == nullptr) return;
    check(mean != nullptr && std != nullptr, "'", mean_key, "' and '", std_key, "' must both be given");
    settings["lethe.mean"] = channels(*mean, mean_key, -1e6);
    settings["lethe.std"] = channels(*std, std_key, 0);
}

// {"0": "cat", "1": "dog"} in the order of the numbers, which must be 0, 1, 2, ...
json class_names(const json& id2label) {
    check(id2label.is_object() && !id2label.empty() && std::cmp_less_equal(id2label.size(), max_classes),
          "'id2label' is not an object with a name for each class");
    json names = json::array();
    for (std::size_t i = 0; i < id2label.size(); ++i) {
        const json* name = find(id2label, std::to_string(i).c_str());
        check(name != nullptr && name->is_string(), "'id2label' has no name for class ", i);
        names.push_back(*name);
    }
    return names;
}

void read_classes(const json& config, Metadata& settings) {
    std::optional<int64_t> classes;
    for (const char* key : {"num_classes", "num_labels"})
        if (const json* count = find(config, key); count != nullptr && !classes)
            classes = positive(*count, key, max_classes);
    if (const json* id2label = find(config, "id2label")) {
        const json names = class_names(*id2label);
        check(!classes || std::cmp_equal(names.size(), *classes), "it has ", classes.value_or(0), " classes, but ",
              names.size(), " names in 'id2label'");
        classes = static_cast<int64_t>(names.size());
        settings["lethe.class_names"] = names.dump();
    }
    if (classes) settings["lethe.classes"] = std::to_string(*classes);
}

// Reads at most 64 MiB: the largest index of a published model has a few.
std::vector<uint8_t> read_json_file(const fs::path& path) {
    constexpr uintmax_t most = uintmax_t{64} << 20;
    std::error_code error;
    const uintmax_t size = fs::file_size(path, error);
    check(error || size <= most, path.string(), ": has ", size, " bytes, at most ", most, " are read");
    return read_file(path);
}

template <class Parse>
auto parse_json_file(const fs::path& path, Parse parse) {
    const std::vector<uint8_t> text = read_json_file(path);
    try {
        return parse(text);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
}

// Adds the entries of one shard; `listed` are those that the index expects in it.
void add_shard(const fs::path& path, const std::vector<std::string>& listed, std::map<std::string, fs::path>& holders,
               StoredState& entries) {
    check(!is_folder(path), path.string(), ": is a folder, the index lists it as a shard");
    std::set<std::string> expected(listed.begin(), listed.end());
    for (auto& [name, tensor] : read_weights(path).entries) {
        const auto [holder, inserted] = holders.emplace(name, path);
        check(inserted, path.string(), ": holds '", printable(name), "', which ", holder->second.filename().string(),
              " holds too");
        check(expected.erase(name) == 1, path.string(), ": holds '", printable(name),
              "', which the index does not list for it");
        entries.emplace_back(name, std::move(tensor));
    }
    check(expected.empty(), path.string(), ": does not hold '", printable(expected.empty() ? "" : *expected.begin()),
          "', which the index lists for it");
}

WeightFile read_shards(const fs::path& index) {
    WeightFile result;
    std::map<std::string, fs::path> holders;
    for (const auto& [shard, listed] : parse_json_file(index, parse_shard_index))
        add_shard(index.parent_path() / shard, listed, holders, result.entries);
    return result;
}

WeightFile read_first_present(const fs::path& folder) {
    for (const char* name : {"model.safetensors", "pytorch_model.bin", "weights.safetensors"})
        if (is_file(folder / name)) return read_weights(folder / name);
    for (const char* name : {"model.safetensors.index.json", "pytorch_model.bin.index.json"})
        if (is_file(folder / name)) return read_shards(folder / name);
    fail(folder.string(), ": is a folder without model.safetensors, pytorch_model.bin, an index of shards of either ",
         "(*.index.json) or weights.safetensors");
}

void check_classes(const fs::path& path, const Metadata& settings, const Metadata& manifest) {
    const auto said = settings.find("lethe.classes"), known = manifest.find("lethe.classes");
    check(said == settings.end() || known == manifest.end() || said->second == known->second, path.string(), ": says ",
          said == settings.end() ? "" : said->second, " classes, the manifest of the weights beside it says ",
          known == manifest.end() ? "" : printable(known->second));
}

}  // namespace

std::map<std::string, std::vector<std::string>> parse_shard_index(std::span<const uint8_t> text) {
    const json index = parse_bounded_json(text, "its JSON");
    const json* map = find(index, "weight_map");
    check(map != nullptr && map->is_object() && !map->empty(), "has no 'weight_map' of entries and shards");
    constexpr std::size_t max_shards = 10'000;
    std::map<std::string, std::vector<std::string>> shards;
    for (const auto& [entry, shard] : map->items()) {
        check(shard.is_string(), "the shard of '", printable(entry), "' is not a text");
        const auto& name = shard.get_ref<const std::string&>();
        check(is_plain_name(name), "puts '", printable(entry), "' into '", printable(name),
              "', which is not the plain name of a file beside it");
        shards[name].push_back(entry);
        check(shards.size() <= max_shards, "lists more than ", max_shards, " shards");
    }
    return shards;
}

Metadata parse_model_config(std::span<const uint8_t> text) {
    const json config = parse_bounded_json(text, "its JSON");
    Metadata settings;
    if (const auto type = text_at(config, "model_type")) settings["huggingface.model_type"] = *type;
    if (const auto arch = text_at(config, "architecture")) settings["lethe.arch"] = *arch;
    read_classes(config, settings);
    if (const json* size = find(config, "image_size"))
        settings["lethe.image_size"] = std::to_string(image_size(*size, "image_size"));
    if (const json* pretrained = find(config, "pretrained_cfg")) {
        check(pretrained->is_object(), "'pretrained_cfg' is not an object");
        read_normalization(*pretrained, "mean", "std", settings);
        if (const json* size = find(*pretrained, "input_size"))
            settings["lethe.image_size"] = std::to_string(image_size(*size, "input_size"));
    }
    return settings;
}

Metadata parse_preprocessor_config(std::span<const uint8_t> text) {
    const json config = parse_bounded_json(text, "its JSON");
    Metadata settings;
    if (const json* rescale = find(config, "do_rescale"))
        check(*rescale != false, "'do_rescale' is false; only images divided by 255 are supported");
    if (const json* factor = find(config, "rescale_factor"))
        check(factor->is_number() && std::abs(factor->get<double>() * 255 - 1) < 1e-3,
              "'rescale_factor' is not 1/255; only images divided by 255 are supported");
    read_normalization(config, "image_mean", "image_std", settings);
    if (const json* normalize = find(config, "do_normalize"); normalize != nullptr && *normalize == false)
        settings = {{"lethe.mean", "0,0,0"}, {"lethe.std", "1,1,1"}};
    for (const char* key : {"crop_size", "size"})
        if (const json* size = find(config, key); size != nullptr && !settings.contains("lethe.image_size"))
            settings["lethe.image_size"] = std::to_string(image_size(*size, key));
    return settings;
}

WeightFile read_model_folder(const fs::path& folder) {
    WeightFile result = read_first_present(folder);
    result.format = "folder";
    result.sha256 = entries_sha256(result.entries);
    // The weights' own manifest says more than the settings beside them; the model's say more than the images'.
    if (const fs::path path = folder / "config.json"; is_there(path)) {
        Metadata settings = parse_json_file(path, parse_model_config);
        check_classes(path, settings, result.metadata);
        result.metadata.merge(settings);
    }
    if (const fs::path path = folder / "preprocessor_config.json"; is_there(path))
        result.metadata.merge(parse_json_file(path, parse_preprocessor_config));
    return result;
}

}  // namespace lethe
