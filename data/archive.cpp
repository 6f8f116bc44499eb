#include "data/archive.h"

#include <zip.h>

#include <algorithm>

#include "data/byte_reader.h"
#include "tensor/error.h"

namespace lethe {
namespace {

// "a/../b", "/a" and "a\b" make sense only to somebody who unpacks carelessly.
bool stays_inside(const std::string& name) {
    if (name.empty() || name.front() == '/' || name.find('\\') != std::string::npos) return false;
    return ("/" + name + "/").find("/../") == std::string::npos;
}

// Owns a zip_error_t while libzip fills it.
class ZipError {
public:
    ZipError() { zip_error_init(&error_); }
    ~ZipError() { zip_error_fini(&error_); }
    ZipError(const ZipError&) = delete;
    ZipError& operator=(const ZipError&) = delete;
    zip_error_t* get() { return &error_; }
    std::string text() { return zip_error_strerror(&error_); }

private:
    zip_error_t error_;
};

}  // namespace

void Archive::Discard::operator()(zip* archive) const { zip_discard(archive); }

Archive::Archive(std::span<const uint8_t> file, MemoryBudget& budget) : budget_(budget), file_bytes_(file.size()) {
    ZipError error;
    zip_source_t* source = zip_source_buffer_create(file.data(), file.size(), 0, error.get());
    if (source != nullptr) archive_.reset(zip_open_from_source(source, ZIP_RDONLY, error.get()));
    if (archive_ == nullptr && source != nullptr) zip_source_free(source);
    check(archive_ != nullptr, "is not a readable zip archive (", error.text(), "); is the file complete?");
    index_entries();
}

std::string Archive::name_ending_with(std::string_view end) const {
    for (const std::string& name : names_)
        if (name.ends_with(end)) return name;
    return {};
}

std::vector<uint8_t> Archive::read(const std::string& name) {
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

void Archive::index_entries() {
    const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < count; ++i) {
        const auto index = static_cast<zip_uint64_t>(i);
        const char* name = zip_get_name(archive_.get(), index, ZIP_FL_ENC_RAW);
        check(name != nullptr, "has an entry without a name");
        check(stays_inside(name), "has an entry named '", printable(name), "', which points out of the archive");
        check(entries_.emplace(name, index).second, "has the entry ", printable(name), " twice");
        names_.emplace_back(name);
    }
}

uint64_t Archive::checked_size(const std::string& name, uint64_t index) {
    zip_stat_t info;
    zip_stat_init(&info);
    constexpr zip_uint64_t needed =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    check(zip_stat_index(archive_.get(), index, 0, &info) == 0 && (info.valid & needed) == needed, "entry ",
          printable(name), " has no size");
    check(info.encryption_method == ZIP_EM_NONE, "entry ", printable(name), " is encrypted");
    check(info.comp_method == ZIP_CM_STORE || info.comp_method == ZIP_CM_DEFLATE, "entry ", printable(name),
          " is compressed with an unsupported method (", info.comp_method, "), stored or deflated is needed");
    // Before memory is taken for it: deflate makes at most 258 bytes of 2 bits, 1032 of one byte.
    const uint64_t packed = std::min<uint64_t>(info.comp_size, file_bytes_);
    const uint64_t most = info.comp_method == ZIP_CM_STORE ? packed : packed * 1032;
    check(info.size <= most, "entry ", printable(name), " is damaged (it claims ", info.size, " bytes, packed into ",
          packed, ")");
    budget_.charge(static_cast<int64_t>(info.size));
    return info.size;
}

namespace {

// An extra field that fills the local header of an entry at `offset`, so that what follows is aligned. PyTorch does the
// same, under the same identifier. Returns the field's bytes.
std::size_t add_padding(zip_t* archive, zip_uint64_t index, std::size_t header_end, std::size_t alignment) {
    constexpr std::size_t field_header = 4;  // identifier and length
    const std::size_t padding = (alignment - (header_end + field_header) % alignment) % alignment;
    const std::vector<zip_uint8_t> filler(padding, 'Z');
    constexpr zip_uint16_t identifier = 0x4246;  // "FB"
    check(zip_file_extra_field_set(archive, index, identifier, ZIP_EXTRA_FIELD_NEW, filler.data(),
                                   static_cast<zip_uint16_t>(padding), ZIP_FL_LOCAL) == 0,
          "zip: ", zip_strerror(archive));
    return field_header + padding;
}

}  // namespace

std::vector<uint8_t> format_archive(const std::vector<std::pair<std::string, std::span<const uint8_t>>>& entries,
                                    std::size_t alignment) {
    ZipError error;
    zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, error.get());
    check(target != nullptr, "zip: ", error.text());
    const std::unique_ptr<zip_source_t, decltype(&zip_source_free)> keeper(target, &zip_source_free);
    zip_source_keep(target);  // for the archive, which frees it when it is closed
    zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, error.get());
    if (archive == nullptr) zip_source_free(target);
    check(archive != nullptr, "zip: ", error.text());
    std::unique_ptr<zip_t, decltype(&zip_discard)> open(archive, &zip_discard);
    std::size_t offset = 0;
    for (const auto& [name, bytes] : entries) {
        zip_source_t* source = zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
        const zip_int64_t index = zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
        if (index < 0) zip_source_free(source);
        check(index >= 0, "zip: ", zip_strerror(archive));
        const auto added = static_cast<zip_uint64_t>(index);
        zip_set_file_compression(archive, added, ZIP_CM_STORE, 0);
        constexpr zip_uint16_t midnight = 0, first_of_1980 = 0x21;  // the format's earliest day
        zip_file_set_dostime(archive, added, midnight, first_of_1980, 0);
        constexpr std::size_t local_header = 30;  // then the name and the extra fields (APPNOTE.TXT, 4.3.7)
        offset += local_header + name.size();
        if (alignment > 1) offset += add_padding(archive, added, offset, alignment);
        offset += bytes.size();
    }
    check(zip_close(archive) == 0, "zip: ", zip_strerror(archive));
    static_cast<void>(open.release());

    check(zip_source_open(target) == 0, "zip: the archive cannot be read back");
    zip_source_seek(target, 0, SEEK_END);
    std::vector<uint8_t> bytes(static_cast<std::size_t>(zip_source_tell(target)));
    zip_source_seek(target, 0, SEEK_SET);
    const zip_int64_t got = zip_source_read(target, bytes.data(), bytes.size());
    zip_source_close(target);
    check(got == static_cast<zip_int64_t>(bytes.size()), "zip: the archive cannot be read back");
    return bytes;
}

}  // namespace lethe
