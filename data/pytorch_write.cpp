// Writes what torch.save writes since 1.6, for a dictionary of tensors that share nothing: NAME/data.pkl,
// NAME/byteorder, NAME/data/KEY for each storage, NAME/version; and NAME/lethe.json, which PyTorch passes over.
#include <set>
#include <string>

#include "data/archive.h"
#include "data/bounded_json.h"
#include "data/byte_reader.h"
#include "data/pytorch.h"

namespace lethe {
namespace {

// The pickle of collections.OrderedDict(name=tensor, ...), protocol 2. Opcodes: CPython's Lib/pickletools.py; the
// arguments of the calls: torch/_utils.py and torch/serialization.py.
class StatePickle {
public:
    explicit StatePickle(const StoredState& entries) {
        append("\x80\x02");
        empty_ordered_dict();
        append("(");  // MARK: names and tensors until SETITEMS
        for (std::size_t i = 0; i < entries.size(); ++i) {
            text(entries[i].first);
            tensor(entries[i].second, std::to_string(i));
        }
        append("u.");  // SETITEMS, STOP
    }

    const std::string& bytes() const { return bytes_; }

private:
    void append(std::string_view part) { bytes_ += part; }

    template <class T>
    void little_endian(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    }

    void text(std::string_view value) {  // BINUNICODE
        append("X");
        little_endian(static_cast<uint32_t>(value.size()));
        append(value);
    }

    void integer(int64_t value) {  // BININT, or LONG1 of 8 bytes
        if (value <= INT32_MAX) {
            append("J");
            little_endian(static_cast<int32_t>(value));
        } else {
            append("\x8a\x08");
            little_endian(value);
        }
    }

    void integers(const std::vector<int64_t>& values) {
        append("(");
        for (const int64_t value : values) integer(value);
        append("t");
    }

    void global(std::string_view module, std::string_view name) {  // GLOBAL
        append("c");
        append(module);
        append("\n");
        append(name);
        append("\n");
    }

    void empty_ordered_dict() {
        global("collections", "OrderedDict");
        append(")R");  // EMPTY_TUPLE, REDUCE
    }

    // torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward hooks)
    void tensor(const StoredTensor& stored, std::string_view key) {
        global("torch._utils", "_rebuild_tensor_v2");
        append("((");
        text("storage");
        global("torch", stored.element->torch_storage);
        text(key);
        text("cpu");
        integer(stored.numel());
        append("tQ");  // TUPLE, BINPERSID
        integer(0);
        integers(stored.sizes);
        integers(contiguous_layout(stored.sizes).strides);
        append("\x89");  // NEWFALSE
        empty_ordered_dict();
        append("tR");
    }

    std::string bytes_;
};

void check_names(const StoredState& entries) {
    std::set<std::string> names;
    for (const auto& [name, tensor] : entries) {
        check(is_utf8(name), "'", printable(name), "' is not valid UTF-8 and cannot be written to a PyTorch file");
        check(names.insert(name).second, "entry name '", printable(name), "' is used twice");
    }
}

std::span<const uint8_t> bytes_of(const std::string& text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

std::vector<uint8_t> format_pytorch_zip(const StoredState& entries, const Metadata& metadata) {
    check_names(entries);
    const StatePickle pickle(entries);
    const std::string order = "little", version = "3\n";
    std::string manifest;
    try {
        manifest = nlohmann::json(metadata).dump();
    } catch (const nlohmann::json::exception&) {
        fail("its metadata are not valid UTF-8 and cannot be written to a PyTorch file");
    }
    std::vector<std::pair<std::string, std::span<const uint8_t>>> records{
        {"archive/data.pkl", bytes_of(pickle.bytes())}, {"archive/byteorder", bytes_of(order)}};
    for (std::size_t i = 0; i < entries.size(); ++i)
        records.emplace_back("archive/data/" + std::to_string(i), entries[i].second.bytes);
    records.emplace_back("archive/version", bytes_of(version));
    if (!metadata.empty()) records.emplace_back("archive/lethe.json", bytes_of(manifest));
    constexpr std::size_t storage_alignment = 64;  // PyTorch maps storages into memory where they lie
    return format_archive(records, storage_alignment);
}

}  // namespace lethe
