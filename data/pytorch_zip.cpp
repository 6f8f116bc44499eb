// torch.save since 1.6: a zip archive with NAME/data.pkl, NAME/data/KEY for each storage and, in newer files,
// NAME/byteorder. Files that Lethe wrote have NAME/lethe.json too, their metadata.
#include <map>

#include "data/archive.h"
#include "data/bounded_json.h"
#include "data/pytorch.h"

namespace lethe {
namespace {

using pytorch::StorageReference;

// "archive/" of "archive/data.pkl".
std::string find_prefix(const Archive& archive) {
    constexpr std::string_view pickle_name = "/data.pkl";
    const std::string found = archive.name_ending_with(pickle_name);
    check(!found.empty(), "is a zip archive, but torch.save did not write it (it has no data.pkl)");
    std::string prefix = found.substr(0, found.size() - pickle_name.size() + 1);
    check(!archive.has(prefix + "constants.pkl"),
          "is a TorchScript program; save the weights with torch.save(model.state_dict(), path)");
    return prefix;
}

void check_byte_order(Archive& archive, const std::string& name) {
    if (!archive.has(name)) return;
    const std::vector<uint8_t> order = archive.read(name);
    check(std::string(order.begin(), order.end()) == "little", "is not little-endian; only such files are read");
}

Metadata read_metadata(Archive& archive, const std::string& name) {
    if (!archive.has(name)) return {};
    return parse_metadata(parse_bounded_json(archive.read(name), "its lethe.json"), "its lethe.json");
}

}  // namespace

WeightFile parse_pytorch_zip(std::span<const uint8_t> file) {
    MemoryBudget budget(file.size());
    Archive archive(file, budget);
    const std::string prefix = find_prefix(archive);
    check_byte_order(archive, prefix + "byteorder");
    const std::vector<uint8_t> object_bytes = archive.read(prefix + "data.pkl");
    ByteReader in(object_bytes);
    const pickle::Pickle object = pickle::read(in, pytorch::is_known_name);

    std::map<std::string, std::vector<uint8_t>> storages;  // several tensors may share one
    const pytorch::StorageSource source = [&](const StorageReference& reference) {
        auto found = storages.find(reference.key);
        if (found == storages.end())
            found = storages.emplace(reference.key, archive.read(prefix + "data/" + reference.key)).first;
        return std::span<const uint8_t>(found->second);
    };
    WeightFile result = pytorch::read_state(*object.root, source, budget);
    result.format = "pytorch-zip";
    result.metadata = read_metadata(archive, prefix + "lethe.json");
    return result;
}

}  // namespace lethe
