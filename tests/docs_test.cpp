// What the documentation says about switches, methods, models and files, against the code.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "nn/model.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"
#include "unlearn/method.h"
#include "unlearn/protocol.h"
#include "unlearn/run_directory.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path root = LETHE_SOURCE_DIR;

std::string text_of(const fs::path& path) {
    std::ifstream in(path);
    EXPECT_TRUE(in) << path << " cannot be read";
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

// The cells of the page's table row whose first cell is `name` or `name=...` in backquotes; empty without such a row.
std::vector<std::string> row(const std::string& page, const std::string& name) {
    std::istringstream lines(page);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind("| `" + name + "`", 0) != 0 && line.rfind("| `" + name + "=", 0) != 0) continue;
        std::vector<std::string> cells;
        std::istringstream rest(line.substr(2));
        for (std::string cell; std::getline(rest, cell, '|');)
            cells.push_back(cell.substr(0, cell.find_last_not_of(' ') + 1));
        for (std::string& cell : cells) cell.erase(0, cell.find_first_not_of(' '));
        return cells;
    }
    return {};
}

TEST(Guide, TellsEverySwitchAndItsPresets) {
    const std::string guide = text_of(root / "docs/guide.md");
    for (const SwitchInfo& info : switch_list()) {
        const std::vector<std::string> cells = row(guide, info.name);
        ASSERT_EQ(cells.size(), 6u) << "docs/guide.md has no row of six cells for switch " << info.name;
        EXPECT_EQ(cells[3], get_switch(protocol("reference"), info.name)) << info.name << ", reference";
        EXPECT_EQ(cells[4], get_switch(protocol("paper"), info.name)) << info.name << ", paper";
        EXPECT_EQ(cells[5], get_switch(protocol("recommended"), info.name)) << info.name << ", recommended";
    }
}

TEST(Guide, TellsEveryMethod) {
    const std::string guide = text_of(root / "docs/guide.md");
    const std::string page = text_of(root / "docs/methods.md");
    for (const Method& method : methods()) {
        EXPECT_THAT(guide, HasSubstr("`" + method.name + "`"));
        if (method.make != nullptr) {
            EXPECT_THAT(page, HasSubstr("`" + method.name + "`"));
        }
    }
}

TEST(Models, TableIsWhatInspectPrints) {
    const TemporaryFolder folder;
    const ProgramResult result = run_lethe({"inspect", "--models", "--quiet", "--json", "models.json"}, folder.path());
    ASSERT_EQ(result.code, 0) << result.err;
    const Json models = Json::parse(text_of(folder.path("models.json")))["models"];
    ASSERT_EQ(models.size(), architectures().size());
    const std::string page = text_of(root / "docs/models.md");
    const auto joined = [](const Json& names) {
        std::string text;
        for (const Json& name : names) text += (text.empty() ? "`" : ", `") + name.get<std::string>() + "`";
        return text;
    };
    for (const Json& model : models) {
        const auto text = [&](const char* key) { return std::to_string(model[key].get<int64_t>()); };
        char giga[16];
        std::snprintf(giga, sizeof giga, "%.3f", model["multiply_adds"].get<double>() * 1e-9);
        const std::string name = model["name"];
        EXPECT_THAT(
            row(page, name),
            testing::ElementsAre("`" + name + "`", text("parameters"), giga, text("image_size"), text("classes"),
                                 joined(model["stems"]), joined(model["namings"]), model["summary"].get<std::string>()))
            << "docs/models.md and lethe inspect --models differ";
    }
}

TEST(Docs, LinksLeadToFiles) {
    static const std::regex link(R"re(\]\(([^)#: ]+)(#[^)]*)?\))re");
    std::vector<fs::path> pages = {root / "README.md", root / "CONTRIBUTING.md", root / "CHANGELOG.md"};
    for (const auto& entry : fs::recursive_directory_iterator(root / "docs"))
        if (entry.path().extension() == ".md") pages.push_back(entry.path());
    int links = 0;
    for (const fs::path& page : pages) {
        // Code may look like a link: fenced blocks are cut out.
        const std::string text = std::regex_replace(text_of(page), std::regex("```[^`]*```"), "");
        for (std::sregex_iterator match(text.begin(), text.end(), link), end; match != end; ++match, ++links)
            EXPECT_TRUE(fs::exists(page.parent_path() / (*match)[1].str())) << page << " links to " << (*match)[1];
    }
    EXPECT_GT(links, 5);
}

}  // namespace
}  // namespace lethe::test
