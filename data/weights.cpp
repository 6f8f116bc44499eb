#include "data/weights.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "data/byte_reader.h"
#include "data/file.h"
#include "data/pytorch.h"
#include "data/safetensors.h"
#include "tensor/error.h"

namespace lethe {
namespace {

constexpr std::size_t length_bytes = 8;  // safetensors starts with its header's length

bool starts_with(std::span<const uint8_t> bytes, std::string_view text) {
    return bytes.size() >= text.size() && std::equal(text.begin(), text.end(), bytes.begin(),
                                                     [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

std::string first_bytes(std::span<const uint8_t> bytes) {
    std::ostringstream text;
    for (const uint8_t byte : bytes.first(std::min<std::size_t>(bytes.size(), 8)))
        text << ' ' << std::hex << std::setw(2) << std::setfill('0') << int{byte};
    return text.str();
}

WeightFile parse(std::span<const uint8_t> bytes) {
    check(!bytes.empty(), "is empty");
    // First, because a header length may begin with the bytes of any other magic. Those have no '{' as ninth byte.
    if (bytes.size() > length_bytes && bytes[length_bytes] == '{') return parse_safetensors(bytes);
    if (starts_with(bytes, "PK\x03\x04")) return parse_pytorch_zip(bytes);
    if (bytes[0] == 0x80) return parse_pytorch_legacy(bytes);  // the PROTO opcode
    check(!starts_with(bytes, "version https://git-lfs"), "is a Git LFS pointer; fetch the file itself (git lfs pull)");
    fail("is not a weight file: it starts with", first_bytes(bytes),
         "; safetensors or a file written by torch.save is needed");
}

}  // namespace

StateDict WeightFile::state() const {
    const std::size_t prefix = shared_prefix(entries).size();
    StateDict state;
    for (const auto& [name, stored] : entries) {
        try {
            state.emplace_back(name.substr(prefix), to_tensor(stored));
        } catch (const Error& error) {
            fail("entry '", printable(name), "': ", error.what());
        }
    }
    return state;
}

std::string shared_prefix(const StoredState& entries) {
    std::string prefix;
    for (bool longer = !entries.empty(); longer;) {
        longer = false;
        for (const std::string_view part : {"module.", "_orig_mod."}) {
            const std::string candidate = prefix + std::string(part);
            longer = std::all_of(entries.begin(), entries.end(),
                                 [&](const auto& entry) { return entry.first.starts_with(candidate); });
            if (longer) {
                prefix = candidate;
                break;
            }
        }
    }
    return prefix;
}

WeightFile read_weights(const std::filesystem::path& path) {
    const std::vector<uint8_t> bytes = read_file(path);
    try {
        return parse(bytes);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
}

void write_safetensors(const std::filesystem::path& path, const StoredState& entries, const Metadata& metadata) {
    std::vector<uint8_t> bytes;
    try {
        bytes = format_safetensors(entries, metadata);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
    write_file(path, bytes);
}

void write_safetensors(const std::filesystem::path& path, const StateDict& state, const Metadata& metadata) {
    StoredState entries;
    try {
        entries = to_stored(state);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
    write_safetensors(path, entries, metadata);
}

}  // namespace lethe
