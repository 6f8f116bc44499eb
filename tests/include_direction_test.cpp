// The house rules that a compiler does not check: who may include whom, how long a file may be, and that no test is
// switched off or passes by declaration.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Folder -> folders it may include: tools -> unlearn -> {nn -> autograd, data} -> tensor, cpu -> tensor, cuda ->
// tensor. A device's folder is seen by itself and the benchmarks only; tests may see cuda/ for its emulation.
const std::map<std::string, std::set<std::string>>& allowed_includes() {
    static const std::map<std::string, std::set<std::string>> allowed = [] {
        std::map<std::string, std::set<std::string>> table;
        table["tensor"] = {};
        table["cpu"] = table["cuda"] = table["autograd"] = table["data"] = {"tensor"};
        table["nn"] = {"autograd", "tensor"};
        table["unlearn"] = {"nn", "autograd", "data", "tensor"};
        table["tools"] = {"unlearn", "nn", "autograd", "data", "tensor"};
        table["fuzz"] = {"data", "tensor"};
        table["tests"] = {"fuzz", "cuda", "bench", "tools", "unlearn", "nn", "autograd", "data", "tensor"};
        table["bench"] = {"cpu", "cuda", "unlearn", "nn", "autograd", "data", "tensor"};
        for (auto& [folder, reachable] : table) reachable.insert(folder);
        return table;
    }();
    return allowed;
}

std::string first_folder(const std::string& path) { return path.substr(0, path.find('/')); }

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

// What is wrong with the #include lines of the file `path` (relative to the project) holding `text`. `exists` tells
// whether a path of the project exists.
std::vector<std::string> include_violations(const std::string& path, const std::string& text,
                                            const std::function<bool(const std::string&)>& exists) {
    static const std::regex pattern(R"re(^\s*#\s*include\s*(["<])([^">]+)[">])re");
    const std::string from = first_folder(path);
    std::vector<std::string> found;
    int number = 0;
    for (const std::string& line : lines_of(text)) {
        ++number;
        std::smatch match;
        if (!std::regex_search(line, match, pattern)) continue;
        const std::string target = match[2];
        const std::string to = first_folder(target);
        const std::string where = path + ":" + std::to_string(number) + ": ";
        const bool ours = target.find('/') != std::string::npos && allowed_includes().count(to) > 0;
        if (!ours) {
            if (match[1] == "\"") found.push_back(where + "\"" + target + "\" is not rooted at the project");
            continue;
        }
        if (match[1] == "<") found.push_back(where + "<" + target + "> is ours and wants quotes");
        if (!exists(target)) found.push_back(where + target + " does not exist");
        if (allowed_includes().at(from).count(to) == 0) {
            found.push_back(where + from + "/ must not include " + to + "/");
        }
    }
    return found;
}

constexpr std::size_t longest_file = 550;

std::vector<std::string> length_violations(const std::string& path, const std::string& text) {
    const std::size_t lines = lines_of(text).size();
    if (lines <= longest_file) return {};
    return {path + ": " + std::to_string(lines) + " lines, more than " + std::to_string(longest_file)};
}

// Spelled in two halves, so that this file does not report itself.
std::vector<std::string> idle_test_violations(const std::string& path, const std::string& text) {
    std::vector<std::string> found;
    for (const std::string& word : {std::string("SUCC") + "EED(", std::string("DISAB") + "LED_"}) {
        if (text.find(word) != std::string::npos) found.push_back(path + ": holds " + word);
    }
    return found;
}

struct SourceFile {
    std::string path;  // relative to the project, with '/'
    std::string text;
};

// Every file of the project's folders with one of `extensions`.
std::vector<SourceFile> source_files(const std::set<std::string>& extensions) {
    std::vector<SourceFile> files;
    const fs::path root = LETHE_SOURCE_DIR;
    for (const auto& [folder, reachable] : allowed_includes()) {
        if (!fs::exists(root / folder)) continue;
        for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
            if (!entry.is_regular_file() || extensions.count(entry.path().extension().string()) == 0) continue;
            std::ifstream in(entry.path(), std::ios::binary);
            std::ostringstream text;
            text << in.rdbuf();
            files.push_back({fs::relative(entry.path(), root).generic_string(), text.str()});
        }
    }
    return files;
}

const std::set<std::string> cpp_extensions = {".h", ".cpp", ".cu", ".cuh"};

TEST(IncludeDirection, HoldsForEveryFile) {
    const auto exists = [](const std::string& path) { return fs::exists(fs::path(LETHE_SOURCE_DIR) / path); };
    const auto files = source_files(cpp_extensions);
    std::set<std::string> folders;
    for (const SourceFile& file : files) {
        folders.insert(first_folder(file.path));
        EXPECT_THAT(include_violations(file.path, file.text, exists), IsEmpty());
    }
    for (const char* folder : {"tensor", "cpu", "autograd", "nn", "data", "unlearn", "tools", "tests", "bench"}) {
        EXPECT_EQ(folders.count(folder), 1u)
            << "no sources seen in " << folder << "/: the test looks in the wrong place";
    }
}

TEST(FileLength, HoldsForEveryFile) {
    for (const SourceFile& file : source_files({".h", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake"})) {
        EXPECT_THAT(length_violations(file.path, file.text), IsEmpty());
    }
}

TEST(IdleTests, ThereAreNone) {
    for (const SourceFile& file : source_files(cpp_extensions)) {
        if (first_folder(file.path) != "tests") continue;
        EXPECT_THAT(idle_test_violations(file.path, file.text), IsEmpty());
    }
}

// The checks themselves, on planted text.

std::vector<std::string> planted(const std::string& path, const std::string& text) {
    return include_violations(path, text, [](const std::string&) { return true; });
}

TEST(IncludeDirection, ReportsAPlantedViolation) {
    EXPECT_THAT(planted("tensor/shape.cpp", "#include <vector>\n#include \"nn/model.h\"\n"),
                ElementsAre("tensor/shape.cpp:2: tensor/ must not include nn/"));
    EXPECT_THAT(planted("data/split.cpp", "#include \"nn/model.h\"\n"),
                ElementsAre("data/split.cpp:1: data/ must not include nn/"));
    EXPECT_THAT(planted("unlearn/pgd.cpp", "  #  include \"cpu/conv2d.h\"\n"),
                ElementsAre("unlearn/pgd.cpp:1: unlearn/ must not include cpu/"));
    EXPECT_THAT(planted("tests/pgd_test.cpp", "#include \"cpu/conv2d.h\"\n"),
                ElementsAre("tests/pgd_test.cpp:1: tests/ must not include cpu/"));
}

TEST(IncludeDirection, ReportsIncludesThatEscapeTheRule) {
    EXPECT_THAT(planted("nn/model.cpp", "#include \"model.h\"\n"), ElementsAre(HasSubstr("not rooted at the project")));
    EXPECT_THAT(planted("nn/model.cpp", "#include \"../tools/main.h\"\n"),
                ElementsAre(HasSubstr("not rooted at the project")));
    EXPECT_THAT(planted("nn/model.cpp", "#include <tools/main.h>\n"),
                ElementsAre(HasSubstr("wants quotes"), HasSubstr("nn/ must not include tools/")));
    EXPECT_THAT(include_violations("nn/model.cpp", "#include \"nn/gone.h\"\n", [](const auto&) { return false; }),
                ElementsAre("nn/model.cpp:1: nn/gone.h does not exist"));
}

TEST(IncludeDirection, AcceptsWhatIsAllowed) {
    EXPECT_THAT(
        planted("tools/main.cpp", "#include <CLI/CLI.hpp>\n#include \"unlearn/pgd.h\"\n#include \"tools/a.h\"\n"),
        IsEmpty());
    EXPECT_THAT(planted("bench/conv2d_bench.cpp", "#include \"cpu/conv2d.h\"\n"), IsEmpty());
    EXPECT_THAT(planted("nn/model.cpp", "// see #include \"tools/main.h\"\n"), IsEmpty());
}

TEST(FileLength, ReportsAPlantedViolation) {
    std::string text;
    for (std::size_t i = 0; i < longest_file; ++i) text += "\n";
    EXPECT_THAT(length_violations("a.cpp", text), IsEmpty());
    EXPECT_THAT(length_violations("a.cpp", text + "\n"), ElementsAre("a.cpp: 551 lines, more than 550"));
}

TEST(IdleTests, ReportsAPlantedViolation) {
    EXPECT_THAT(idle_test_violations("a_test.cpp", std::string("    SUCC") + "EED();\n"),
                ElementsAre(HasSubstr("a_test.cpp")));
    EXPECT_THAT(idle_test_violations("a_test.cpp", std::string("TEST(A, DISAB") + "LED_B)"),
                ElementsAre(HasSubstr("a_test.cpp")));
    EXPECT_THAT(idle_test_violations("a_test.cpp", "EXPECT_EQ(1, f());"), IsEmpty());
}

}  // namespace
