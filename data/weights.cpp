#include "data/weights.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "data/byte_reader.h"
#include "data/file.h"
#include "data/model_folder.h"
#include "data/npz.h"
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

WeightFile parse_zip(std::span<const uint8_t> bytes) {
    MemoryBudget budget(bytes.size());
    return is_npz(Archive(bytes, budget)) ? parse_npz(bytes) : parse_pytorch_zip(bytes);
}

WeightFile parse(std::span<const uint8_t> bytes) {
    check(!bytes.empty(), "is empty");
    // First, because a header length may begin with the bytes of any other magic. Those have no '{' as ninth byte.
    if (bytes.size() > length_bytes && bytes[length_bytes] == '{') return parse_safetensors(bytes);
    if (starts_with(bytes, "PK\x03\x04")) return parse_zip(bytes);
    if (bytes[0] == 0x80) return parse_pytorch_legacy(bytes);  // the PROTO opcode
    check(!starts_with(bytes, "version https://git-lfs"), "is a Git LFS pointer; fetch the file itself (git lfs pull)");
    fail("is not a weight file: it starts with", first_bytes(bytes),
         "; safetensors, an .npz or a file written by torch.save is needed");
}

void check_hash(const WeightFile& file) {
    const auto promised = file.metadata.find(tensors_sha256_key);
    if (promised == file.metadata.end()) return;
    const std::string actual = entries_sha256(file.entries);
    check(actual == promised->second, "its tensors are not those it was written with: their SHA-256 is ", actual,
          ", its manifest says ", printable(promised->second));
}

bool contains(std::initializer_list<std::string_view> known, const std::string& text) {
    return std::find(known.begin(), known.end(), text) != known.end();
}

// `format` returns the file's bytes; its Errors are about the entries.
template <class Format>
void write_formatted(const std::filesystem::path& path, Format format) {
    std::vector<uint8_t> bytes;
    try {
        bytes = format();
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
    write_file(path, bytes);
}

StoredState stored_for(const std::filesystem::path& path, const StateDict& state) {
    try {
        return to_stored(state);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
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
    if (is_folder(path)) return read_model_folder(path);
    const std::vector<uint8_t> bytes = read_file(path);
    try {
        WeightFile file = parse(bytes);
        check_hash(file);
        file.sha256 = sha256(bytes);
        return file;
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
}

std::string entries_sha256(const StoredState& entries) {
    std::vector<std::string> lines;
    for (const auto& [name, tensor] : entries)
        lines.push_back(concat(name, " ", tensor.element->safetensors, " ", shape_text(tensor.sizes), " ",
                               sha256(tensor.bytes), "\n"));
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) text += line;
    return sha256({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void write_weights(const std::filesystem::path& path, const StoredState& entries, Metadata metadata) {
    const std::string ending = path.extension().string();
    const bool pytorch = contains({".pt", ".pth", ".th", ".bin"}, ending);
    check(pytorch || contains({".safetensors", ""}, ending), path.string(),
          ": weights are written to .safetensors, or, ", "for PyTorch, to .pt, .pth, .th or .bin; not to ", ending);
    metadata[tensors_sha256_key] = entries_sha256(entries);
    write_formatted(
        path, [&] { return pytorch ? format_pytorch_zip(entries, metadata) : format_safetensors(entries, metadata); });
}

void write_weights(const std::filesystem::path& path, const StateDict& state, Metadata metadata) {
    write_weights(path, stored_for(path, state), std::move(metadata));
}

void write_safetensors(const std::filesystem::path& path, const StoredState& entries, const Metadata& metadata) {
    write_formatted(path, [&] { return format_safetensors(entries, metadata); });
}

// One entry after the other: a checkpoint takes no memory beside the model's.
void write_safetensors(const std::filesystem::path& path, const StateDict& state, const Metadata& metadata) {
    std::vector<EntryHead> heads;
    std::vector<uint8_t> head;
    try {
        for (const auto& [name, tensor] : state) {
            check(tensor.defined(), "entry '", printable(name), "' is undefined");
            const auto& dims = tensor.shape().dims();
            heads.push_back({name, &element_of(tensor.dtype()), {dims.begin(), dims.end()}});
        }
        head = safetensors_head(heads, metadata);
    } catch (const Error& error) {
        fail(path.string(), ": ", error.what());
    }
    NewFile file(path);
    file.write(head);
    for (const auto& [name, tensor] : state) file.write(to_stored(tensor).bytes);
    file.commit();
}

}  // namespace lethe
