// torch.save before 1.6: four pickles (magic number, protocol version, system information, the object), a fifth with
// the list of storage keys, then for each key its int64 number of elements and its raw data.
#include <map>
#include <utility>

#include "data/pytorch.h"

namespace lethe {
namespace {

using pickle::Kind;
using pickle::Pickle;
using pickle::Value;
using pytorch::StorageReference;

// 0x1950a86a20f9469cfc6c, little-endian as LONG1 stores it.
const std::string magic_number = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t protocol_version = 1001;

void read_preamble(ByteReader& in) {
    const Pickle magic = pickle::read(in, pytorch::is_known_name);
    check(magic.root->is(Kind::big_integer) && magic.root->text == magic_number,
          "is a pickle, but not one that torch.save wrote (its magic number is missing)");
    const Pickle version = pickle::read(in, pytorch::is_known_name);
    check(version.root->is(Kind::integer) && version.root->integer == protocol_version,
          "has an unknown protocol version, ", protocol_version, " is read");
    const Pickle system = pickle::read(in, pytorch::is_known_name);
    for (std::size_t i = 0; system.root->is(Kind::dict) && i + 1 < system.root->items.size(); i += 2)
        if (system.root->items[i]->text == "little_endian")
            check(system.root->items[i + 1]->integer == 1, "was written on a big-endian machine");
}

// What the object's pickle says about each storage.
std::map<std::string, StorageReference> announced_storages(const Pickle& object) {
    std::map<std::string, StorageReference> announced;
    for (const Value* persistent : object.persistent) {
        const StorageReference reference = pytorch::storage_reference(*persistent);
        const auto [known, inserted] = announced.emplace(reference.key, reference);
        check(known->second.type == reference.type && known->second.numel == reference.numel, "storage ",
              printable(reference.key), " is described in two different ways");
    }
    return announced;
}

std::span<const uint8_t> read_storage(ByteReader& in, const StorageReference& reference) {
    check(reference.element != nullptr, "holds a ", reference.type, ", which is not supported");
    const auto numel = in.little_endian<int64_t>();
    check(numel == reference.numel, "storage ", printable(reference.key), " has ", numel, " elements, ",
          reference.numel, " were announced");
    check(std::cmp_less_equal(numel, in.remaining() / static_cast<uint64_t>(reference.element->bytes)),
          "truncated: storage ", printable(reference.key), " needs ", numel, " elements, ", in.remaining(),
          " bytes are left");
    return in.take(static_cast<uint64_t>(numel * reference.element->bytes));
}

using Storages = std::map<std::string, std::span<const uint8_t>>;

Storages read_storages(ByteReader& in, const std::map<std::string, StorageReference>& announced) {
    const Pickle keys = pickle::read(in, pytorch::is_known_name);
    check(keys.root->is(Kind::list), "has no list of storages");
    Storages storages;
    for (const Value* key : keys.root->items) {
        const auto reference = announced.find(key->text);
        check(key->is(Kind::text) && reference != announced.end(), "lists a storage that nothing refers to");
        const auto bytes = read_storage(in, reference->second);
        check(storages.emplace(key->text, bytes).second, "lists storage ", printable(key->text), " twice");
    }
    check(in.remaining() == 0, "has ", in.remaining(), " bytes after the last storage");
    return storages;
}

}  // namespace

WeightFile parse_pytorch_legacy(std::span<const uint8_t> file) {
    ByteReader in(file);
    read_preamble(in);
    const Pickle object = pickle::read(in, pytorch::is_known_name);
    const Storages storages = read_storages(in, announced_storages(object));
    const pytorch::StorageSource source = [&](const StorageReference& reference) {
        const auto found = storages.find(reference.key);
        check(found != storages.end(), "storage ", printable(reference.key), " is missing from the file");
        return found->second;
    };
    MemoryBudget budget(file.size());
    WeightFile result = pytorch::read_state(*object.root, source, budget);
    result.format = "pytorch-legacy";
    return result;
}

}  // namespace lethe
