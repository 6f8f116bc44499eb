// CIFAR in its version for Python: pickled dictionaries, read as data.
#include <algorithm>

#include "data/cifar.h"
#include "data/file.h"
#include "data/pickle.h"
#include "tensor/error.h"

namespace lethe {
namespace {

namespace fs = std::filesystem;
using pickle::Kind;
using pickle::Value;

constexpr int64_t image_bytes = 3 * 32 * 32, most_rows = 50'000;

// How NumPy pickles an array, before and since 2.0, and how Python 3 writes bytes for Python 2.
bool is_known(std::string_view name) {
    constexpr std::string_view names[] = {"numpy.core.multiarray._reconstruct",
                                          "numpy._core.multiarray._reconstruct",
                                          "numpy.core.numeric._frombuffer",
                                          "numpy._core.numeric._frombuffer",
                                          "numpy.ndarray",
                                          "numpy.dtype",
                                          "_codecs.encode"};
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// The value of a key, or null.
const Value* find(const Value& dictionary, std::string_view key) {
    const Value* found = nullptr;
    for (std::size_t i = 0; i + 1 < dictionary.items.size(); i += 2)
        if (dictionary.items[i]->is(Kind::text) && dictionary.items[i]->text == key) found = dictionary.items[i + 1];
    return found;
}

const Value& entry(const Value& dictionary, const std::string& key) {
    const Value* found = find(dictionary, key);
    check(found != nullptr, "the pickled dictionary has no entry '", key, "'");
    return *found;
}

bool is_call(const Value& value, std::string_view function) {
    return value.is(Kind::call) && value.items[0]->text.ends_with(function);
}

// Python 2 can only write bytes as text whose characters are their values: _codecs.encode(text, "latin1").
std::string from_latin1_text(std::string_view utf8) {
    std::string bytes;
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        const auto first = static_cast<uint8_t>(utf8[i]);
        if (first < 0x80) {
            bytes += utf8[i];
            continue;
        }
        check((first & 0xfe) == 0xc2 && i + 1 < utf8.size(), "pickled bytes hold a character beyond 255");
        bytes += static_cast<char>((first & 3) << 6 | (static_cast<uint8_t>(utf8[++i]) & 0x3f));
    }
    return bytes;
}

// The bytes of an array of uint8; `rows` times 3072 of them.
struct ByteArray {
    std::string bytes;
    int64_t rows = 0;
};

std::string bytes_of(const Value& value) {
    if (value.is(Kind::text)) return value.text;
    check(
        is_call(value, "_codecs.encode") && !value.items[1]->items.empty() && value.items[1]->items[0]->is(Kind::text),
        "'data' is an array whose bytes are stored in a way that is not known");
    return from_latin1_text(value.items[1]->items[0]->text);
}

ByteArray make_array(const Value& shape, const Value& type, const Value& bytes, bool in_rows) {
    const bool bytes_type =
        is_call(type, "numpy.dtype") && !type.items[1]->items.empty() && type.items[1]->items[0]->text == "u1";
    check(bytes_type && in_rows, "'data' must be an array of uint8 stored row by row");
    check(shape.is(Kind::tuple) && shape.items.size() == 2 && shape.items[0]->is(Kind::integer) &&
              shape.items[1]->is(Kind::integer) && shape.items[1]->integer == image_bytes &&
              shape.items[0]->integer >= 1 && shape.items[0]->integer <= most_rows,
          "'data' must be an array of up to ", most_rows, " rows of ", image_bytes, " bytes");
    ByteArray array{bytes_of(bytes), shape.items[0]->integer};
    check(static_cast<int64_t>(array.bytes.size()) == array.rows * image_bytes, "'data' has ", array.bytes.size(),
          " bytes for ", array.rows, " rows of ", image_bytes);
    return array;
}

// _reconstruct(ndarray, (0,), b"b") with the state (version, shape, type, column-major?, bytes), or, in protocol 5,
// _frombuffer(bytes, type, shape, order).
ByteArray read_array(const Value& value) {
    const bool reconstructed = is_call(value, "._reconstruct") && value.items.size() == 3;
    const std::vector<const Value*>& parts =
        value.is(Kind::call) ? value.items[reconstructed ? 2 : 1]->items : value.items;
    if (reconstructed && parts.size() == 5) return make_array(*parts[1], *parts[2], *parts[4], parts[3]->integer == 0);
    check(is_call(value, "._frombuffer") && parts.size() == 4, "'data' is not a NumPy array");
    return make_array(*parts[2], *parts[1], *parts[0], parts[3]->text == "C");
}

const Value& read_dictionary(std::span<const uint8_t> bytes, pickle::Pickle& storage) {
    ByteReader in(bytes);
    storage = pickle::read(in, is_known);
    check(storage.root->is(Kind::dict), "the pickle holds no dictionary; CIFAR's batches do");
    return *storage.root;
}

const char* label_key(CifarLabels labels) {
    return labels == CifarLabels::cifar10 ? "labels" : labels == CifarLabels::coarse ? "coarse_labels" : "fine_labels";
}

std::vector<std::string> read_pickled_names(const fs::path& file, CifarLabels labels) {
    if (!is_there(file)) return default_names(labels);
    const std::vector<uint8_t> bytes = read_file(file);
    const std::string key = labels == CifarLabels::cifar10  ? "label_names"
                            : labels == CifarLabels::coarse ? "coarse_label_names"
                                                            : "fine_label_names";
    try {
        pickle::Pickle storage;
        const Value& list = entry(read_dictionary(bytes, storage), key);
        std::vector<std::string> names;
        for (const Value* item : list.items) names.push_back(printable(item->text));
        check(static_cast<int64_t>(names.size()) == class_count(labels), "'", key, "' names ", names.size(),
              " classes; it should name ", class_count(labels));
        return names;
    } catch (const Error& error) {
        fail("cifar-pickle: ", file.string(), ": ", error.what());
    }
}

}  // namespace

PixelBlock parse_cifar_pickle(std::span<const uint8_t> bytes, CifarLabels labels) {
    pickle::Pickle storage;
    const Value& batch = read_dictionary(bytes, storage);
    const ByteArray data = read_array(entry(batch, "data"));
    const Value& list = entry(batch, label_key(labels));
    check(list.is(Kind::list) && static_cast<int64_t>(list.items.size()) == data.rows, "'", label_key(labels),
          "' must be a list of ", data.rows, " labels, as many as there are images");
    PixelBlock block{.height = 32, .width = 32, .labels = {}, .pixels = {}};
    for (std::size_t i = 0; i < list.items.size(); ++i) {
        const Value& label = *list.items[i];
        check(label.is(Kind::integer) && label.integer >= 0 && label.integer < class_count(labels), "'",
              label_key(labels), "' must hold whole numbers from 0 to ", class_count(labels) - 1, "; number ", i,
              " is none");
        block.labels.push_back(label.integer);
    }
    const std::span<const uint8_t> pixels(reinterpret_cast<const uint8_t*>(data.bytes.data()), data.bytes.size());
    block.pixels.reserve(pixels.size());
    for (std::size_t row = 0; row < pixels.size(); row += image_bytes)
        append_planes(pixels.subspan(row, image_bytes), block.pixels);
    return block;
}

Dataset load_cifar_pickle(const std::string& argument, Split split) {
    CifarFolder from = parse_cifar_folder(argument, "cifar-pickle");
    if (is_there(from.folder / "test_batch") || is_there(from.folder / "data_batch_1"))
        from.labels = CifarLabels::cifar10;
    std::vector<std::string> files{split == Split::train ? "train" : "test"};
    if (from.labels == CifarLabels::cifar10) files = {"test_batch"};
    if (from.labels == CifarLabels::cifar10 && split == Split::train)
        files = {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"};
    Dataset dataset;
    for (const std::string& file : files) {
        check(is_file(from.folder / file), "cifar-pickle: ", (from.folder / file).string(), " is missing");
        const std::vector<uint8_t> bytes = read_file(from.folder / file);
        append(dataset, "cifar-pickle: " + (from.folder / file).string(),
               [&] { return parse_cifar_pickle(bytes, from.labels); });
    }
    const char* names_file = from.labels == CifarLabels::cifar10 ? "batches.meta" : "meta";
    dataset.class_names = read_pickled_names(from.folder / names_file, from.labels);
    return dataset;
}

}  // namespace lethe
