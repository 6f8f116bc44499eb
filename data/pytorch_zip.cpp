// torch.save since 1.6: a zip archive with NAME/data.pkl, NAME/data/KEY for each storage and, in newer files,
// NAME/byteorder.
#include <zip.h>

#include <map>
#include <memory>

#include "data/pytorch.h"

namespace lethe {
namespace {

using pytorch::StorageReference;

class Archive {
public:
    Archive(std::span<const uint8_t> file, MemoryBudget& budget) : budget_(budget) {
        zip_error_t error;
        zip_error_init(&error);
        zip_source_t* source = zip_source_buffer_create(file.data(), file.size(), 0, &error);
        if (source != nullptr) archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
        const std::string reason = zip_error_strerror(&error);
        zip_error_fini(&error);
        if (archive_ == nullptr && source != nullptr) zip_source_free(source);
        check(archive_ != nullptr, "is not a readable zip archive (", reason, "); is the file complete?");
        index_entries();
    }

    bool has(const std::string& name) const { return entries_.contains(name); }

    // The one name that ends so; empty when there is none.
    std::string name_ending_with(std::string_view end) const {
        for (const auto& [name, index] : entries_)
            if (name.ends_with(end)) return name;
        return {};
    }

    std::vector<uint8_t> read(const std::string& name) {
        const auto entry = entries_.find(name);
        check(entry != entries_.end(), "has no entry ", printable(name));
        const uint64_t bytes = checked_size(name, entry->second);
        const std::unique_ptr<zip_file_t, decltype(&zip_fclose)> file(zip_fopen_index(archive_.get(), entry->second, 0),
                                                                      &zip_fclose);
        check(file != nullptr, "entry ", printable(name), " cannot be opened (", zip_strerror(archive_.get()), ")");
        std::vector<uint8_t> contents(bytes);
        uint64_t done = 0;
        while (done < bytes) {
            const zip_int64_t got = zip_fread(file.get(), contents.data() + done, bytes - done);
            check(got > 0, "entry ", printable(name), " is damaged (", zip_file_strerror(file.get()), ")");
            done += static_cast<uint64_t>(got);
        }
        uint8_t beyond = 0;  // reading past the end is what makes libzip compare the checksum
        check(zip_fread(file.get(), &beyond, 1) == 0, "entry ", printable(name), " is damaged (",
              zip_file_strerror(file.get()), ")");
        return contents;
    }

private:
    void index_entries() {
        const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
        for (zip_int64_t i = 0; i < count; ++i) {
            const auto index = static_cast<zip_uint64_t>(i);
            const char* name = zip_get_name(archive_.get(), index, ZIP_FL_ENC_RAW);
            check(name != nullptr, "has an entry without a name");
            check(entries_.emplace(name, index).second, "has the entry ", printable(name), " twice");
        }
    }

    uint64_t checked_size(const std::string& name, zip_uint64_t index) {
        zip_stat_t info;
        zip_stat_init(&info);
        constexpr zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
        check(zip_stat_index(archive_.get(), index, 0, &info) == 0 && (info.valid & needed) == needed, "entry ",
              printable(name), " has no size");
        check(info.encryption_method == ZIP_EM_NONE, "entry ", printable(name), " is encrypted");
        check(info.comp_method == ZIP_CM_STORE || info.comp_method == ZIP_CM_DEFLATE, "entry ", printable(name),
              " is compressed with an unsupported method (", info.comp_method, "), stored or deflated is needed");
        check(info.size <= uint64_t{1} << 40, "entry ", printable(name), " claims ", info.size, " bytes");
        budget_.charge(static_cast<int64_t>(info.size));
        return info.size;
    }

    MemoryBudget& budget_;
    std::unique_ptr<zip_t, decltype(&zip_discard)> archive_{nullptr, &zip_discard};
    std::map<std::string, zip_uint64_t> entries_;
};

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
    return result;
}

}  // namespace lethe
