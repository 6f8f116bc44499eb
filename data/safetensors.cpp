#include "data/safetensors.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>

#include "data/bounded_json.h"
#include "data/byte_reader.h"

namespace lethe {
namespace {

using nlohmann::json;

constexpr uint64_t max_header_bytes = 100'000'000;  // the limit of the reference implementation
constexpr const char* metadata_key = "__metadata__";

struct Entry {
    std::string name;
    const ElementInfo* element;
    std::vector<int64_t> sizes;
    uint64_t begin, end;
};

const json& field(const json& object, const std::string& name, const char* key) {
    const auto found = object.find(key);
    check(found != object.end(), "entry '", printable(name), "' has no '", key, "'");
    return *found;
}

std::vector<uint64_t> unsigned_numbers(const json& array, const std::string& name, const char* key) {
    check(array.is_array(), "entry '", printable(name), "': '", key, "' is not a list");
    std::vector<uint64_t> numbers;
    for (const json& number : array) {
        check(number.is_number_unsigned(), "entry '", printable(name), "': '", key,
              "' holds something else than non-negative integers");
        numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
}

Entry parse_entry(const std::string& name, const json& object) {
    check(object.is_object(), "entry '", printable(name), "' is not a JSON object");
    const json& dtype = field(object, name, "dtype");
    check(dtype.is_string(), "entry '", printable(name), "': 'dtype' is not a text");
    Entry entry{name, element_by_safetensors(dtype.get<std::string>()), {}, 0, 0};
    check(entry.element != nullptr, "entry '", printable(name), "' has the unsupported dtype '",
          printable(dtype.get<std::string>()), "'; F32, F64, F16, BF16 and integers are read");
    for (const uint64_t size : unsigned_numbers(field(object, name, "shape"), name, "shape")) {
        check(size <= uint64_t{1} << 40, "entry '", printable(name), "' has an absurd shape");
        entry.sizes.push_back(static_cast<int64_t>(size));
    }
    const auto offsets = unsigned_numbers(field(object, name, "data_offsets"), name, "data_offsets");
    check(offsets.size() == 2 && offsets[0] <= offsets[1], "entry '", printable(name),
          "': 'data_offsets' is not [begin, end]");
    std::tie(entry.begin, entry.end) = std::tuple(offsets[0], offsets[1]);
    return entry;
}

// Entries, sorted by offset, must cover the data exactly: no overlap, no hole, nothing left over.
void check_coverage(const std::vector<Entry>& entries, uint64_t data_bytes) {
    uint64_t expected = 0;
    for (const Entry& entry : entries) {
        check(entry.end <= data_bytes, "entry '", printable(entry.name), "' ends at byte ", entry.end,
              " of the data, which has only ", data_bytes);
        check(entry.begin >= expected, "entry '", printable(entry.name), "' overlaps the entry before it");
        check(entry.begin == expected, "there is a hole of ", entry.begin - expected, " bytes before entry '",
              printable(entry.name), "'");
        expected = entry.end;
    }
    check(expected == data_bytes, data_bytes - expected, " bytes at the end belong to no entry");
}

void check_size(const Entry& entry) {
    const int64_t wanted = element_count(entry.sizes) * entry.element->bytes;
    check(std::cmp_equal(entry.end - entry.begin, wanted), "its shape ", shape_text(entry.sizes), " needs ", wanted,
          " bytes, its offsets give ", entry.end - entry.begin);
}

StoredTensor entry_tensor(const Entry& entry, std::span<const uint8_t> data, MemoryBudget& budget) {
    try {
        check_size(entry);
        const auto bytes = data.subspan(entry.begin, entry.end - entry.begin);
        return gather(*entry.element, bytes, contiguous_layout(entry.sizes), budget);
    } catch (const Error& error) {
        fail("entry '", printable(entry.name), "': ", error.what());
    }
}

struct Head {
    std::vector<Entry> entries;  // by offset
    std::map<std::string, std::string> metadata;
};

Head parse_head(std::span<const uint8_t> text, uint64_t data_bytes) {
    Head head;
    const json header = parse_bounded_json(text, "its JSON header");
    for (const auto& [name, object] : header.items()) {
        if (name == metadata_key)
            head.metadata = parse_metadata(object, "its __metadata__");
        else
            head.entries.push_back(parse_entry(name, object));
    }
    std::sort(head.entries.begin(), head.entries.end(), [](const Entry& a, const Entry& b) {
        return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    check_coverage(head.entries, data_bytes);
    return head;
}

void check_header_size(uint64_t header_bytes) {
    check(header_bytes <= max_header_bytes, "its header claims ", header_bytes,
          " bytes, more than the format's limit of ", max_header_bytes);
}

void append(std::vector<uint8_t>& out, const void* data, std::size_t bytes) {
    const std::size_t at = out.size();
    out.resize(at + bytes);
    if (bytes > 0) std::memcpy(out.data() + at, data, bytes);
}

std::string quoted(const std::string& text) {
    try {
        return json(text).dump();
    } catch (const json::exception&) {
        fail("'", printable(text), "' is not valid UTF-8 and cannot be written to a safetensors file");
    }
}

// Written by hand and not through a JSON object, so that the entries stay in the model's order.
std::string format_header(const std::vector<EntryHead>& entries, const std::map<std::string, std::string>& metadata) {
    std::set<std::string> names;
    std::string header, separator = "{";
    if (!metadata.empty()) {
        header += separator + quoted(metadata_key) + ":";
        separator = "{";
        for (const auto& [key, value] : metadata) {
            header += separator + quoted(key) + ":" + quoted(value);
            separator = ",";
        }
        header += "}";
        separator = ",";
    }
    uint64_t offset = 0;
    for (const auto& [name, element, sizes] : entries) {
        check(name != metadata_key && names.insert(name).second, "entry name '", printable(name),
              "' is used twice or reserved");
        const uint64_t end = offset + static_cast<uint64_t>(element_count(sizes) * element->bytes);
        const json entry = {{"dtype", element->safetensors}, {"shape", sizes}, {"data_offsets", {offset, end}}};
        header += separator + quoted(name) + ":" + entry.dump();
        separator = ",";
        offset = end;
    }
    if (header.empty()) header = "{";
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');  // data starts 8-byte aligned, as the format recommends
    return header;
}

}  // namespace

WeightFile parse_safetensors(std::span<const uint8_t> file) {
    ByteReader reader(file);
    const auto header_bytes = reader.little_endian<uint64_t>();
    check_header_size(header_bytes);
    const auto header = reader.take(header_bytes);
    const auto data = reader.take(reader.remaining());
    const Head head = parse_head(header, data.size());

    WeightFile result;
    result.format = "safetensors";
    result.metadata = head.metadata;
    MemoryBudget budget(file.size());
    for (const Entry& entry : head.entries) result.entries.emplace_back(entry.name, entry_tensor(entry, data, budget));
    return result;
}

std::vector<uint8_t> format_safetensors(const StoredState& state, const std::map<std::string, std::string>& metadata) {
    std::vector<EntryHead> entries;
    for (const auto& [name, tensor] : state) entries.push_back({name, tensor.element, tensor.sizes});
    std::vector<uint8_t> out = safetensors_head(entries, metadata);
    std::size_t total = out.size();
    for (const auto& [name, tensor] : state) total += tensor.bytes.size();
    out.reserve(total);
    for (const auto& [name, tensor] : state) append(out, tensor.bytes.data(), tensor.bytes.size());
    return out;
}

std::vector<uint8_t> safetensors_head(const std::vector<EntryHead>& entries,
                                      const std::map<std::string, std::string>& metadata) {
    const std::string header = format_header(entries, metadata);
    const uint64_t header_bytes = header.size();
    std::vector<uint8_t> out;
    append(out, &header_bytes, sizeof(header_bytes));
    append(out, header.data(), header.size());
    return out;
}

OnlyTensor only_tensor_of_safetensors(uint64_t file_bytes,
                                      const std::function<void(uint64_t at, std::span<uint8_t> bytes)>& read) {
    std::vector<uint8_t> bytes(sizeof(uint64_t));
    read(0, bytes);
    const auto header_bytes = ByteReader(bytes).little_endian<uint64_t>();
    check_header_size(header_bytes);
    const uint64_t begin = bytes.size() + header_bytes;
    check(begin <= file_bytes, "its header of ", header_bytes, " bytes does not fit into its ", file_bytes, " bytes");
    bytes.resize(header_bytes);
    read(sizeof(uint64_t), bytes);
    const Head head = parse_head(bytes, file_bytes - begin);
    check(head.entries.size() == 1, "it holds ", head.entries.size(), " tensors, one is needed");
    check_size(head.entries[0]);
    return {head.entries[0].element, head.entries[0].sizes, begin};
}

}  // namespace lethe
