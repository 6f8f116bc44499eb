#include "data/npz.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "data/byte_reader.h"

namespace lethe {
namespace {

constexpr std::string_view suffix = ".npy";
constexpr std::string_view magic = "\x93NUMPY";

// What {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } says.
struct ArrayHeader {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<int64_t>> shape;
};

// A cursor over the header's text. Of Python's literals it knows what such a header needs: a flat dictionary of texts,
// truth values and tuples of integers.
class LiteralReader {
public:
    explicit LiteralReader(std::string_view text) : left_(text) {}

    ArrayHeader header() {
        ArrayHeader header;
        expect('{');
        while (!consume('}')) {
            const std::string key = text();
            expect(':');
            if (key == "descr")
                set(header.descr, key, descr());
            else if (key == "fortran_order")
                set(header.fortran_order, key, truth());
            else if (key == "shape")
                set(header.shape, key, integers());
            else
                fail("its header has the unknown key '", printable(key), "'");
            if (consume('}')) break;
            expect(',');
        }
        skip_space();
        check(left_.empty(), "its header goes on behind its dictionary");
        check(header.descr && header.fortran_order && header.shape,
              "its header must have 'descr', 'fortran_order' and 'shape'");
        return header;
    }

private:
    template <class T>
    static void set(std::optional<T>& field, const std::string& key, T value) {
        check(!field.has_value(), "its header has '", key, "' twice");
        field = std::move(value);
    }

    void skip_space() {
        const std::size_t at = std::min(left_.find_first_not_of(" \n"), left_.size());
        left_.remove_prefix(at);
    }

    bool consume(char wanted) {
        skip_space();
        if (left_.empty() || left_.front() != wanted) return false;
        left_.remove_prefix(1);
        return true;
    }

    void expect(char wanted) {
        check(consume(wanted), "its header is damaged ('", std::string(1, wanted), "' missing)");
    }

    bool consume_word(std::string_view word) {
        skip_space();
        if (!left_.starts_with(word)) return false;
        left_.remove_prefix(word.size());
        return true;
    }

    std::string text() {
        skip_space();
        const char quote = left_.empty() ? '\0' : left_.front();
        check(quote == '\'' || quote == '"', "its header is damaged (a text is missing)");
        const std::size_t end = left_.find(quote, 1);
        check(end != std::string_view::npos, "its header is damaged (a text has no end)");
        std::string result(left_.substr(1, end - 1));
        left_.remove_prefix(end + 1);
        return result;
    }

    std::string descr() {
        check(!consume('['), "is an array of records; plain numbers are needed");
        return text();
    }

    bool truth() {
        if (consume_word("True")) return true;
        check(consume_word("False"), "its header is damaged ('fortran_order' is neither True nor False)");
        return false;
    }

    std::vector<int64_t> integers() {
        std::vector<int64_t> numbers;
        expect('(');
        while (!consume(')')) {
            skip_space();
            int64_t number = 0;
            const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), number);
            check(error == std::errc{}, "its header is damaged ('shape' is not a tuple of integers below 2^63)");
            left_.remove_prefix(static_cast<std::size_t>(end - left_.data()));
            consume('L');  // Python 2's long integers
            numbers.push_back(number);
            if (consume(')')) break;
            expect(',');
        }
        return numbers;
    }

    std::string_view left_;
};

std::string header_text(ByteReader& in) {
    check(in.remaining() >= magic.size() && in.text(magic.size()) == magic, "is not an array that NumPy wrote");
    const uint8_t version = in.u8();
    in.u8();  // minor
    check(version >= 1 && version <= 3, "has the unknown format version ", int{version}, ", 1 to 3 are read");
    constexpr uint64_t max_bytes = 10'000;  // NumPy's own limit
    const uint64_t bytes = version == 1 ? in.little_endian<uint16_t>() : in.little_endian<uint32_t>();
    check(bytes <= max_bytes, "its header claims ", bytes, " bytes, at most ", max_bytes, " are read");
    return in.text(bytes);
}

const ElementInfo& element_of_descr(const std::string& descr) {
    check(descr != "|O" && descr != "O", "holds Python objects, which are never read; plain numbers are needed");
    check(!descr.starts_with('>'), "is big-endian ('", printable(descr), "'); only little-endian arrays are read");
    const ElementInfo* element = element_by_numpy(descr);
    check(element != nullptr, "has the type '", printable(descr),
          "', which is not supported; float16, 32 and 64, int8 to int64, uint8 and bool are");
    return *element;
}

// Fortran's order: the first axis is the fastest.
StridedLayout fortran_layout(const std::vector<int64_t>& sizes) {
    const StridedLayout reversed = contiguous_layout({sizes.rbegin(), sizes.rend()});
    return {0, sizes, {reversed.strides.rbegin(), reversed.strides.rend()}};
}

StoredTensor parse_array(std::span<const uint8_t> bytes, MemoryBudget& budget) {
    ByteReader in(bytes);
    const ArrayHeader header = LiteralReader(header_text(in)).header();
    const ElementInfo& element = element_of_descr(*header.descr);
    const std::vector<int64_t>& sizes = *header.shape;
    const int64_t wanted = element_count(sizes) * element.bytes;
    check(std::cmp_equal(in.remaining(), wanted), "its shape ", shape_text(sizes), " needs ", wanted, " bytes, it has ",
          in.remaining());
    return gather(element, in.take(in.remaining()),
                  *header.fortran_order ? fortran_layout(sizes) : contiguous_layout(sizes), budget);
}

}  // namespace

bool is_npz(const Archive& archive) {
    return archive.name_ending_with("/data.pkl").empty() && !archive.name_ending_with(suffix).empty();
}

WeightFile parse_npz(std::span<const uint8_t> file) {
    MemoryBudget budget(file.size());
    Archive archive(file, budget);
    check(!archive.names().empty(), "is an archive without arrays");
    WeightFile result;
    result.format = "npz";
    for (const std::string& entry : archive.names()) {
        check(entry.ends_with(suffix), "holds ", printable(entry), ", which is not an array (.npy)");
        const std::string name = entry.substr(0, entry.size() - suffix.size());
        try {
            result.entries.emplace_back(name, parse_array(archive.read(entry), budget));
        } catch (const Error& error) {
            fail("entry '", printable(name), "': ", error.what());
        }
    }
    return result;
}

}  // namespace lethe
