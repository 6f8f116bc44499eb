// Zip archives in memory: the container of PyTorch's and NumPy's files. libzip does the work.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/stored_tensor.h"

struct zip;

namespace lethe {

// Reads entries one by one, stored or deflated, and checks their checksums. Throws Error for an archive that is
// damaged or encrypted, has a name twice or one that points out of the archive ("../x", "/x"), or wants more memory
// than `budget` allows. `file` must outlive it.
class Archive {
public:
    Archive(std::span<const uint8_t> file, MemoryBudget& budget);

    bool has(const std::string& name) const { return entries_.contains(name); }
    // In the archive's order.
    const std::vector<std::string>& names() const { return names_; }
    // The first name that ends so; empty when there is none.
    std::string name_ending_with(std::string_view end) const;
    std::vector<uint8_t> read(const std::string& name);

private:
    void index_entries();
    uint64_t checked_size(const std::string& name, uint64_t index);

    struct Discard {
        void operator()(zip* archive) const;
    };
    MemoryBudget& budget_;
    uint64_t file_bytes_;
    std::unique_ptr<zip, Discard> archive_;
    std::vector<std::string> names_;
    std::map<std::string, uint64_t> entries_;
};

// The bytes of an archive with these entries, stored (not deflated), in this order. The same entries give the same
// bytes: no time is recorded. The contents of each begin at a multiple of `alignment` bytes, at most 4096, of the file
// (in archives below 4 GiB).
std::vector<uint8_t> format_archive(const std::vector<std::pair<std::string, std::span<const uint8_t>>>& entries,
                                    std::size_t alignment = 1);

}  // namespace lethe
