#include "data/pytorch.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "tensor/error.h"

namespace lethe::pytorch {
namespace {

using pickle::Kind;
using pickle::Value;

constexpr std::array<std::string_view, 10> tensor_names{
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    "torch.device",
    // How NumPy pickles one number, such as a best accuracy. Only ever recorded, like every other call.
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
};

constexpr std::array<std::string_view, 13> dtype_names{
    "torch.float32",   "torch.float64",    "torch.float16", "torch.bfloat16", "torch.int64",
    "torch.int32",     "torch.int16",      "torch.int8",    "torch.uint8",    "torch.bool",
    "torch.complex64", "torch.complex128", "torch.strided"};

// Known so that a checkpoint which has one aside is still read; an entry that needs one is refused by name.
constexpr std::array<std::string_view, 7> unread_storages{
    "ComplexFloatStorage", "ComplexDoubleStorage", "QUInt8Storage",  "QInt8Storage",
    "QInt32Storage",       "QUInt4x2Storage",      "QUInt2x4Storage"};

template <class Names>
bool contains(const Names& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view after_torch(std::string_view name) {
    constexpr std::string_view prefix = "torch.";
    return name.starts_with(prefix) ? name.substr(prefix.size()) : std::string_view{};
}

const Value* find(const Value& dict, std::string_view key) {
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2)
        if (dict.items[i]->is(Kind::text) && dict.items[i]->text == key) return dict.items[i + 1];
    return nullptr;
}

bool is_call(const Value& value, std::string_view prefix) {
    return value.is(Kind::call) && value.items[0]->text.starts_with(prefix);
}

// The _rebuild_tensor call behind a value; looks through Parameter. Null when it is no tensor.
const Value* tensor_call(const Value& value) {
    const Value* call = &value;
    if (is_call(value, "torch._utils._rebuild_parameter") && !value.items[1]->items.empty())
        call = value.items[1]->items[0];
    return is_call(*call, "torch._utils._rebuild_tensor") ? call : nullptr;
}

struct NamedTensor {
    std::string name;
    const Value* call;
};

// The tensors of a dictionary and of the dictionaries in it, named "outer.inner". Dictionaries may be shared and may
// contain themselves, hence the bounds.
class TensorSearch {
public:
    // Depth-first through the usual names.
    std::vector<NamedTensor> find(const Value& value, int depth = 0) {
        constexpr int max_depth = 4;
        if (!value.is(Kind::dict) || depth > max_depth) return {};
        for (const std::string_view key : {"state_dict", "model_state_dict", "model", "net"})
            if (const Value* inner = pytorch::find(value, key))
                if (std::vector<NamedTensor> found = find(*inner, depth + 1); !found.empty()) return found;
        std::vector<NamedTensor> found;
        collect(value, "", 0, found);
        return found;
    }

private:
    void collect(const Value& dict, const std::string& prefix, int depth, std::vector<NamedTensor>& found) {
        constexpr int max_depth = 16;
        check(depth <= max_depth, "holds dictionaries nested more than ", max_depth,
              " deep, or one that contains itself");
        for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
            check(--steps_left_ > 0, "holds more dictionary entries than any checkpoint");
            const Value& value = *dict.items[i + 1];
            const Value* call = tensor_call(value);
            if (call == nullptr && !value.is(Kind::dict)) continue;
            const Value& key = *dict.items[i];
            check(key.is(Kind::text) || key.is(Kind::integer),
                  "has a tensor whose key in the dictionary is not a text");
            const std::string name = prefix + (key.is(Kind::text) ? key.text : std::to_string(key.integer));
            check(name.size() <= 4096, "has a tensor whose name is longer than 4096 characters");
            if (call == nullptr) {
                collect(value, name + ".", depth + 1, found);
                continue;
            }
            check(found.size() < max_tensors, "holds more than ", max_tensors, " tensors, no checkpoint has that many");
            found.push_back({name, call});
        }
    }

    static constexpr std::size_t max_tensors = 50'000;
    int64_t steps_left_ = 1'000'000;
};

std::vector<int64_t> integers(const Value& value, const char* what) {
    const Value& tuple =
        is_call(value, "torch.Size") && value.items[1]->items.size() == 1 ? *value.items[1]->items[0] : value;
    check(tuple.is(Kind::tuple) || tuple.is(Kind::list), "its ", what, " is not a tuple of integers");
    std::vector<int64_t> result;
    for (const Value* item : tuple.items) {
        check(item->is(Kind::integer), "its ", what, " is not a tuple of integers");
        result.push_back(item->integer);
    }
    return result;
}

// Part [view_offset, view_offset + view_numel) of a storage.
std::span<const uint8_t> view_bytes(const StorageReference& reference, std::span<const uint8_t> whole) {
    const int64_t size = reference.element->bytes;
    check(std::cmp_greater_equal(whole.size() / static_cast<std::size_t>(size), reference.numel), "storage ",
          printable(reference.key), " has ", whole.size(), " bytes, ", reference.numel, " elements were announced");
    check(reference.view_offset >= 0 && reference.view_numel >= 0 && reference.view_offset <= reference.numel &&
              reference.view_numel <= reference.numel - reference.view_offset,
          "a view reaches beyond the end of storage ", printable(reference.key));
    return whole.subspan(static_cast<std::size_t>(reference.view_offset * size),
                         static_cast<std::size_t>(reference.view_numel * size));
}

// Arguments: storage, offset, size, stride[, requires_grad, hooks].
StoredTensor load_tensor(const Value& call, const StorageSource& storages, MemoryBudget& budget) {
    const auto& arguments = call.items[1]->items;
    check(arguments.size() >= 4 && arguments[1]->is(Kind::integer), "is a tensor with malformed arguments");
    const StorageReference reference = storage_reference(*arguments[0]);
    check(reference.element != nullptr, "is stored as ", reference.type, ", which is not supported");
    const StridedLayout layout{arguments[1]->integer, integers(*arguments[2], "size"),
                               integers(*arguments[3], "stride")};
    return gather(*reference.element, view_bytes(reference, storages(reference)), layout, budget);
}

const char* describe(const Value& root) {
    if (tensor_call(root) != nullptr) return "a single tensor";
    switch (root.kind) {
        case Kind::dict:
            return "a dictionary without tensors";
        case Kind::list:
        case Kind::tuple:
            return "a list";
        default:
            return "something else";
    }
}

}  // namespace

bool is_known_name(std::string_view name) {
    const std::string_view storage = after_torch(name);
    return contains(tensor_names, name) || contains(dtype_names, name) ||
           element_by_torch_storage(storage) != nullptr || contains(unread_storages, storage);
}

StorageReference storage_reference(const Value& persistent) {
    check(persistent.is(Kind::persistent) && persistent.items[0]->is(Kind::tuple),
          "refers to a storage in an unknown way");
    const auto& id = persistent.items[0]->items;
    check(id.size() >= 5 && id[0]->text == "storage" && id[1]->is(Kind::global) && id[2]->is(Kind::text) &&
              id[4]->is(Kind::integer),
          "refers to a storage in an unknown way");
    StorageReference reference;
    reference.type = id[1]->text;
    reference.element = element_by_torch_storage(after_torch(reference.type));
    // PyTorch's are numbers. One long text that many references share would be copied for each of them.
    check(id[2]->text.size() <= 256, "refers to a storage by a key of ", id[2]->text.size(), " bytes");
    reference.key = id[2]->text;
    reference.numel = reference.view_numel = id[4]->integer;
    check(reference.numel >= 0, "storage ", printable(reference.key), " has a negative size");
    if (id.size() > 5 && !id[5]->is(Kind::none)) {
        const auto& view = id[5]->items;
        check(id[5]->is(Kind::tuple) && view.size() == 3 && view[1]->is(Kind::integer) && view[2]->is(Kind::integer),
              "refers to a part of a storage in an unknown way");
        reference.view_offset = view[1]->integer;
        reference.view_numel = view[2]->integer;
    }
    return reference;
}

WeightFile read_state(const Value& root, const StorageSource& storages, MemoryBudget& budget) {
    const std::vector<NamedTensor> tensors = TensorSearch().find(root);
    check(!tensors.empty(), "holds ", describe(root),
          "; a dictionary of tensors is needed, as it is or under 'state_dict', 'model_state_dict', 'model' or 'net'");
    WeightFile file;
    std::set<std::string> names;
    for (const auto& [name, call] : tensors) {
        check(names.insert(name).second, "has the name '", printable(name), "' twice");
        try {
            file.entries.emplace_back(name, load_tensor(*call, storages, budget));
        } catch (const Error& error) {
            fail("entry '", printable(name), "': ", error.what());
        }
    }
    return file;
}

}  // namespace lethe::pytorch
