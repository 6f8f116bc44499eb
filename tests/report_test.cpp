// lethe report, as a person uses it: what is on the page, what is left out, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>

#include "data/file.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"
#include "unlearn/experiment/collect.h"
#include "unlearn/metrics/metric.h"
#include "unlearn/report/html.h"
#include "unlearn/report/records.h"
#include "unlearn/run_manifest.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// What is wrong with a page's markup: tags that do not match, ids that are there twice or are pointed at and missing,
// headings that skip a level, scripts, and anything that is loaded from elsewhere.
std::vector<std::string> markup_findings(const std::string& html) {
    static const std::regex attribute(R"re(\s+([a-zA-Z0-9-]+)="([^"]*)")re");
    static const std::set<std::string> empty_elements{"meta", "img"};
    std::vector<std::string> findings, open;
    std::set<std::string> ids, wanted;
    int level = 0;
    const auto look_at = [&](const std::string& name, const std::string& key, const std::string& value) {
        if (key == "id" && !ids.insert(value).second) findings.push_back("id " + value + " twice");
        if (key == "aria-labelledby") wanted.insert(value);
        if (key == "href" && value.starts_with("#"))
            wanted.insert(value.substr(1));
        else if ((key == "href" || key == "src") && !value.starts_with("data:"))
            findings.push_back(key + " leads to " + value);
        if (key.starts_with("on")) findings.push_back("a script in " + name);
    };
    for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
        const std::size_t end = html.find('>', at);
        std::string tag = html.substr(at + 1, end - at - 1);
        if (const std::size_t data = tag.find("\"data:"); data != std::string::npos)  // too long for std::regex
            tag.erase(data + 6, tag.find('"', data + 6) - data - 6);
        const std::size_t space = std::min(tag.find_first_of(" \n"), tag.size());
        const std::string name = tag.substr(0, space), attributes = tag.substr(space);
        if (name.starts_with("!DOCTYPE")) continue;
        if (name.starts_with("/")) {
            if (open.empty() || open.back() != name.substr(1)) findings.push_back("<" + name + "> closes nothing");
            if (!open.empty()) open.pop_back();
            continue;
        }
        if (name.empty() || std::isalpha(name[0]) == 0 ||
            std::regex_replace(attributes, attribute, "").find_first_not_of(' ') != std::string::npos)
            findings.push_back("<" + tag + "> is no tag");
        if (!empty_elements.contains(name)) open.push_back(name);
        if (name == "script" || name == "link" || name == "iframe") findings.push_back("<" + name + ">");
        if (name.size() == 2 && name[0] == 'h' && std::isdigit(name[1]) != 0) {
            if (name[1] - '0' > level + 1) findings.push_back("<" + name + "> skips a level");
            level = name[1] - '0';
        }
        for (std::sregex_iterator match(attributes.begin(), attributes.end(), attribute), last; match != last; ++match)
            look_at(name, (*match)[1], (*match)[2]);
        if (name == "img" && attributes.find("alt=\"") == std::string::npos) findings.push_back("img without alt");
    }
    for (const std::string& name : open) findings.push_back("<" + name + "> is never closed");
    for (const std::string& id : wanted)
        if (!ids.contains(id)) findings.push_back("nothing has the id " + id);
    return findings;
}

TEST(ReportMarkup, TheCheckFindsWhatIsWrong) {
    const std::string start = "<!DOCTYPE html>";
    EXPECT_THAT(markup_findings(start + "<p id=\"a\"><b>x</b><img alt=\"\" src=\"data:x\"></p>"), IsEmpty());
    EXPECT_THAT(markup_findings(start + "<p><b></p></b>"), testing::SizeIs(2));
    EXPECT_THAT(markup_findings(start + "<p>a <5</p>"), testing::Contains("<5</p> is no tag"));
    EXPECT_THAT(markup_findings(start + "<p a=b></p>"), ElementsAre("<p a=b> is no tag"));
    EXPECT_THAT(markup_findings(start + "<h1></h1><h3></h3>"), ElementsAre("<h3> skips a level"));
    EXPECT_THAT(markup_findings(start + "<p id=\"a\"></p><a id=\"a\" href=\"#b\"></a>"),
                ElementsAre("id a twice", "nothing has the id b"));
    EXPECT_THAT(markup_findings(start + "<a href=\"http://x\"></a><script></script>"),
                ElementsAre("href leads to http://x", "<script>"));
}

// A run of two methods, measured; each test that changes it works on a copy.
class Report : public testing::Test {
protected:
    static void SetUpTestSuite() {
        folder_ = new TemporaryFolder;
        train_resnet8(folder_->path());
        const ProgramResult unlearned =
            lethe({"unlearn", "--weights", "trained/weights.safetensors", "--data", "synthetic:0:64:64", "--forget",
                   "random:0:5", "--methods", "neggrad,relabel+adv", "--repeats", "1", "--steps", "2", "--max-steps",
                   "6", "--quiet", "--out", "run"});
        ASSERT_THAT(unlearned.code, testing::AnyOf(0, 3, 4)) << unlearned.err;
        const ProgramResult measured = lethe({"measure", "run", "--draws", "1", "--relearn-steps", "2", "--quiet"});
        ASSERT_EQ(measured.code, 0) << measured.err;
    }
    static void TearDownTestSuite() {
        delete folder_;
        folder_ = nullptr;
    }

    static ProgramResult lethe(const std::vector<std::string>& arguments) {
        return run_lethe(arguments, folder_->path());
    }
    static fs::path file(const std::string& name) { return folder_->path(name); }
    static Json json(const std::string& name) { return Json::parse(read_text(file(name))); }
    static std::string copy_of_run(const std::string& name) {
        fs::remove_all(file(name));
        fs::copy(file("run"), file(name), fs::copy_options::recursive);
        return name;
    }
    // The page of these folders, which must be well-formed.
    static std::string page(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "report");
        arguments.insert(arguments.end(), {"--out", "page.html"});
        const ProgramResult result = lethe(arguments);
        EXPECT_EQ(result.code, 0) << result.err;
        if (result.code != 0) return "";
        std::string html = read_text(file("page.html"));
        EXPECT_THAT(markup_findings(html), IsEmpty());
        return html;
    }
    static void expect_refusal(const std::string& run, const std::string& text) {
        const ProgramResult result = lethe({"report", run, "--out", "refused.html"});
        EXPECT_EQ(result.code, 1);
        EXPECT_THAT(result.err, HasSubstr(text));
        EXPECT_FALSE(fs::exists(file("refused.html")));
    }
    static std::size_t count(const std::string& text, const std::string& part) {
        std::size_t found = 0;
        for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
        return found;
    }

    static TemporaryFolder* folder_;
};

TemporaryFolder* Report::folder_ = nullptr;

TEST_F(Report, TellsEverythingOfARun) {
    const ProgramResult result = lethe({"report", "run"});
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr("written: run/report.html ("));
    EXPECT_EQ(result.err, "");
    const std::string html = read_text(file("run/report.html"));
    EXPECT_THAT(markup_findings(html), IsEmpty());
    for (const char* id : {"runs", "comparison", "left", "steps", "images", "others", "margins", "limits"})
        EXPECT_THAT(html, HasSubstr("<section id=\"" + std::string(id) + "\""));

    const Json images = json("run/forget_set.json").at("images");
    EXPECT_EQ(count(html, "<image id=\"picture-1-"), images.size());
    EXPECT_EQ(count(html, "data:image/png;base64,"), images.size() + 1);  // and the attack sheet
    for (const Json& image : images) {
        const std::string what =
            "training image " + image.at("index").dump() + ", " + image.at("class").get<std::string>();
        EXPECT_EQ(count(html, "aria-label=\"" + what + "\""), 3u) << what;  // in the head, on the sheet, in its dossier
        EXPECT_THAT(html, HasSubstr(image.at("sha256").get<std::string>()));
    }
    for (const Json& row : json("run/results.json")) {
        const Json& test = row.at("test");
        EXPECT_THAT(html, HasSubstr(report::share_html({test.at("correct"), test.at("total")})));
    }
    const Json arm = json("run/metrics.json").at("arms")[1];
    for (const Metric& metric : metrics()) {
        if (!arm.contains(metric.name)) continue;
        EXPECT_THAT(
            html, HasSubstr("<th scope=\"row\">" + metric.name + "<small>good: " + report::escaped(metric.direction)));
    }
    EXPECT_THAT(html, HasSubstr(report::fixed(arm.at("loss-attack").at("forget").at("auc"), 3)));
    EXPECT_THAT(html, HasSubstr(sha256_file(file("run/manifest.json"))));
    EXPECT_THAT(html, HasSubstr("Every file is as its manifest says."));
    EXPECT_THAT(html, HasSubstr("ends after "));
    EXPECT_THAT(html, HasSubstr("McNemar"));

    Json manifest;
    EXPECT_THAT(manifest_findings(file("run"), manifest), IsEmpty());  // an audit does not mind the report
    EXPECT_EQ(page({"run"}), html);                                    // nothing in it is of the moment
    fs::remove(file("run/report.html"));
}

TEST_F(Report, SaysWhatAMethodDid) {
    const std::string run = copy_of_run("said");
    const auto said_of = [&](int64_t correct) {
        Json result = json(run + "/neggrad/result.json");
        result["verdict"] = "not-forgotten";
        result["steps"] = 1200;
        result["seconds"] = 2.0;
        result["forget"]["correct"] = correct;
        write_text(file(run + "/neggrad/result.json"), result.dump());
        return page({run});
    };
    const std::string start = "\u25CB not forgotten</span>: after 1,200 steps (2.0\u00A0s) ";
    EXPECT_THAT(said_of(0), HasSubstr(start + "none of the 5 images is recognised any more. Of the test images "));
    EXPECT_THAT(said_of(1), HasSubstr(start + "1 of the 5 images is still recognised."));
    EXPECT_THAT(said_of(5), HasSubstr(start + "5 of the 5 images are still recognised."));

    const std::string html = page({"run"});
    const Json before = json("run/before.json"), result = json("run/neggrad/result.json");
    const double lost = before.at("D_test").get<double>() - result.at("D_test").get<double>();
    EXPECT_THAT(html, HasSubstr("<td class=\"n\">" + report::fixed(lost, 2) + "</td>"));
    const std::string verdict = result.at("verdict");
    EXPECT_THAT(html, HasSubstr(verdict == "forgotten"  ? "\u2713 forgotten"
                                : verdict == "diverged" ? "\u2715 diverged"
                                                        : "\u25CB not forgotten"));
}

TEST_F(Report, SaysWhatForgettingCost) {
    const std::string run = copy_of_run("cost");
    for (const auto& [name, correct] : {std::pair{"before.json", 60}, {"neggrad/result.json", 44}}) {
        Json result = json(run + "/" + name);
        result["test"]["correct"] = correct;  // of 64: 93.75 % and 68.75 %
        result["verdict"] = "forgotten";
        write_text(file(run + "/" + name), result.dump());
    }
    const std::string html = page({run});
    EXPECT_THAT(html, HasSubstr("Of the test images 68.75\u00A0% are right, 25.00 points fewer than before."));
    EXPECT_THAT(html, HasSubstr("<small>44 of 64</small></td><td class=\"n\">25.00</td>"));
}

// Of five images "f8" are all and "80" is the first. With two steps on the axis step 1 is its left end, 32.6, and step
// 2 its right one, 346; 100 % is 26 and 20 % is 196 - 170 / 5.
TEST_F(Report, DrawsWhatIsRecognisedAfterEachStep) {
    const std::string run = copy_of_run("stepped");
    std::string line = read_text(file(run + "/neggrad/trace.jsonl")), lines;
    line = line.substr(0, line.find('\n'));
    for (const auto& [number, recognised, margin] : {std::tuple{1, "f8", 1.5}, {2, "80", -0.5}}) {
        Json step = Json::parse(line);
        step["step"] = number;
        step["recognised"] = recognised;
        step["forget_correct"] = 3;  // of a relabel method it counts other labels
        step["mean_margin"] = margin;
        lines += step.dump() + "\n";
    }
    write_text(file(run + "/neggrad/trace.jsonl"), lines);
    fs::remove(file(run + "/relabel+adv/trace.jsonl"));
    const std::string html = page({run});
    EXPECT_THAT(html, HasSubstr("points=\"32.6,26 346,162\""));
    EXPECT_THAT(html, HasSubstr("ends after 2 steps at 20.0\u00A0%"));
    EXPECT_THAT(html, HasSubstr("ends after 2 steps at \u22120.5<"));
    EXPECT_THAT(html, HasSubstr("no trace.jsonl: relabel+adv."));
}

TEST_F(Report, KeepsADossierOfEachImage) {
    const std::string run = copy_of_run("dossiers");
    Json dossier = json(run + "/neggrad/dossier.json");
    Json& image = dossier["images"][0];
    image["before"] = {{"predicted", image["label"]}, {"probability", 0.75}, {"rank", 1}, {"margin", 2.5}};
    image["after"] = {{"predicted", image["label"]}, {"probability", nullptr}, {"rank", 0}, {"margin", nullptr}};
    image["first_lost"] = 0;
    image["lost_for_good"] = nullptr;
    const std::vector<double> margins{0, -1, 2, -3, -0.5};
    for (std::size_t i = 1; i < 5; ++i) dossier["images"][i]["after"]["margin"] = margins[i];
    write_text(file(run + "/neggrad/dossier.json"), dossier.dump());
    const std::string html = page({run});
    EXPECT_THAT(html, HasSubstr("neggrad: 1 of 5 above 0."));  // the first one has none
    const double share = json("run/metrics.json").at("arms")[1].at("reemergence").at("images")[0].at("share");
    EXPECT_THAT(html,
                HasSubstr("\u25CF</span></td><td class=\"n\">75.00 \u2192 \u2013</td><td class=\"n\">1 \u2192 0</td>"
                          "<td class=\"n\">2.50 \u2192 \u2013</td><td class=\"n\">before the first step</td>"
                          "<td class=\"n\">never</td><td class=\"n\">" +
                          report::fixed(100 * share, 1) + "\u00A0%</td>"));
}

TEST_F(Report, SaysWhichOtherImagesChangedSides) {
    const std::string run = copy_of_run("changed");
    Json changes = json(run + "/neggrad/collateral.json");
    changes["test"]["lost"] = 1300;
    changes["test"]["gained"] = 7;
    changes["test"]["p_value"] = 1e-9;
    changes["test"]["per_class"][1]["right_to_wrong"] = 40;
    changes["test"]["per_class"][2]["right_to_wrong"] = 10;
    write_text(file(run + "/neggrad/collateral.json"), changes.dump());
    const std::string html = page({run});
    EXPECT_THAT(html, HasSubstr("<th scope=\"row\">all</th><td class=\"n\">\u22121,300 / +7</td>"));
    EXPECT_THAT(html, HasSubstr("<th scope=\"row\">McNemar&#39;s test</th><td class=\"n\">p &lt; 0.001</td>"));
    // The bar of 10 is a quarter of the longest.
    const std::size_t first = html.find("style=\"width:100%\""), second = html.find("style=\"width:25%\"");
    EXPECT_LT(first, second);
    EXPECT_NE(second, std::string::npos);
}

TEST_F(Report, SetsRunsBesideEachOther) {
    const std::string other = copy_of_run("other");
    const std::string html = page({"run", other, "--title", "Two & two"});
    EXPECT_THAT(html, AllOf(HasSubstr("<title>Two &amp; two</title>"), HasSubstr("<h1>Two &amp; two</h1>")));
    EXPECT_EQ(count(html, "<article class=\"card\">"), 2u);
    EXPECT_THAT(html, HasSubstr("<th scope=\"rowgroup\" colspan=\"9\">other</th>"));
    EXPECT_EQ(count(html, "<image id=\"picture-2-"), 5u);
}

TEST_F(Report, LeavesOutWhatIsNotThere) {
    const std::string run = copy_of_run("bare");
    for (const char* name : {"metrics.json", "attack.png", "environment.json", "neggrad/trace.jsonl",
                             "neggrad/dossier.json", "relabel+adv/dossier.json", "neggrad/collateral.json"})
        fs::remove(file(run + "/" + name));
    const std::string html = page({run});
    for (const char* sentence :
         {"Not measured, for want of", "There is no attack.png", "there is no environment.json",
          "there is no trace.jsonl: neggrad", "there is no METHOD/dossier.json", "for want of METHOD/collateral.json",
          "neither METHOD/dossier.json nor metrics.json", "neggrad/dossier.json is missing"})
        EXPECT_THAT(html, HasSubstr(sentence));
    fs::remove(file(run + "/attack.json"));
    EXPECT_THAT(page({run}), Not(HasSubstr("adversarial images are taken for")));
}

TEST_F(Report, DoesWithoutPictures) {
    const ProgramResult result = lethe({"report", "run", "--data", "synthetic:1:64:64", "--out", "page.html"});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("shown without pictures: training image"));
    EXPECT_THAT(read_text(file("page.html")),
                AllOf(HasSubstr("is not the one that was forgotten"), Not(HasSubstr("<image"))));
    EXPECT_THAT(page({"run", "--data", "cifar10:/nowhere"}), HasSubstr("Without pictures: "));
}

TEST_F(Report, ShowsTestImagesWhereTheseWereForgotten) {
    const ProgramResult unlearned =
        lethe({"unlearn", "--weights", "trained/weights.safetensors", "--data", "synthetic:0:64:64", "--forget",
               "test:images:3,1", "--methods", "neggrad", "--max-steps", "1", "--quiet", "--out", "of-test"});
    ASSERT_THAT(unlearned.code, testing::AnyOf(0, 3, 4)) << unlearned.err;
    const ProgramResult result = lethe({"report", "of-test", "--out", "page.html"});
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.err, Not(HasSubstr("without pictures")));
    EXPECT_THAT(read_text(file("page.html")),
                AllOf(HasSubstr("<image"), HasSubstr("test image 3,"), Not(HasSubstr("training image 3"))));
}

TEST_F(Report, SaysOfACorrectionThatImagesAreToBeRight) {
    EXPECT_THAT(page({"run"}), AllOf(HasSubstr("to be forgotten: left is the goal"), HasSubstr("forgets")));
    const std::string run = copy_of_run("corrected");
    Json config = json(run + "/config.json");
    config["relabel"] = "true";
    write_text(file(run + "/config.json"), config.dump());
    EXPECT_THAT(page({run}), AllOf(HasSubstr("to be corrected: right is the goal"), HasSubstr("corrects"),
                                   Not(HasSubstr("left is the goal"))));
}

TEST_F(Report, TrustsNoText) {
    const std::string run = copy_of_run("hostile"), evil = "</td><script>alert(1)</script>\" onload=\"x";
    Json set = json(run + "/forget_set.json"), config = json(run + "/config.json");
    for (Json& image : set["images"]) image["class"] = evil;
    for (const char* key : {"model", "data", "weights", "forget", "protocol"}) config[key] = evil;
    write_text(file(run + "/forget_set.json"), set.dump());
    write_text(file(run + "/config.json"), config.dump());
    const std::string html = page({run, "--title", evil});
    EXPECT_THAT(html, AllOf(Not(HasSubstr("<script")), Not(HasSubstr("\" onload")), HasSubstr("&lt;script&gt;")));
    EXPECT_THAT(html, HasSubstr("The folder is not as the run left it"));
}

TEST_F(Report, RefusesWhatIsDamaged) {
    const std::string run = copy_of_run("damaged");
    const auto refused = [&] { return error_of([&] { report::read_run(file(run)); }); };
    for (const char* name : {"config.json", "inputs.json", "forget_set.json", "before.json", "attack.json",
                             "metrics.json", "neggrad/result.json", "neggrad/dossier.json", "neggrad/collateral.json"})
        for (const char* text : {"{", "[]", "{\"images\": 7}"}) {
            const std::string whole = read_text(file(run + "/" + name));
            write_text(file(run + "/" + name), text);
            EXPECT_THAT(refused(), HasSubstr(name));
            write_text(file(run + "/" + name), whole);
        }
    write_text(file(run + "/attack.png"), "no picture");
    expect_refusal(run, "attack.png is not a PNG file");
    copy_of_run("damaged");
    write_text(file(run + "/neggrad/trace.jsonl"), "{}\n");
    EXPECT_THAT(refused(), HasSubstr("trace.jsonl: line 1 is not a step of a trace"));
    copy_of_run("damaged");
    Json dossier = json(run + "/neggrad/dossier.json");
    dossier["images"].erase(0);
    write_text(file(run + "/neggrad/dossier.json"), dossier.dump());
    EXPECT_THAT(refused(), HasSubstr("dossier.json is not of the images in forget_set.json"));
    copy_of_run("damaged");
    write_text(file(run + "/forget_set.json"), "{\"split\": \"train\", \"images\": []}");
    EXPECT_THAT(refused(), HasSubstr("forget_set.json lists no image"));
    copy_of_run("damaged");
    Json config = json(run + "/config.json");
    config["methods"] = "../run/neggrad";
    write_text(file(run + "/config.json"), config.dump());
    EXPECT_THAT(refused(), HasSubstr("../run/neggrad"));
}

TEST_F(Report, RefusesWhatIsNoFinishedRun) {
    expect_refusal("nowhere", "nowhere is no folder; give the --out of");
    fs::create_directory(file("empty"));
    expect_refusal("empty", "empty has neither config.json");
    const std::string run = copy_of_run("begun");
    fs::remove(file(run + "/manifest.json"));
    expect_refusal(run, "begun has no manifest.json: its run has not ended");
    EXPECT_EQ(lethe({"report"}).code, 2);
}

MethodSummary summary_of(std::size_t group, const std::string& method, const std::vector<double>& accuracies) {
    MethodSummary summary{.group = group, .method = method, .values = {}, .summaries = {}};
    for (const std::string& quantity : quantities()) {
        summary.values[quantity] = accuracies;
        summary.summaries[quantity] = summarize(accuracies);
    }
    summary.forgotten = 1;
    return summary;
}

// What `lethe experiment` writes, of numbers whose interval is known: 80 and 90 have the mean 85, and t_1 = 12.706
// times 7.071 / sqrt(2) makes 63.5 on either side.
TEST_F(Report, ShowsAnExperiment) {
    ExperimentResults results;
    results.cells = 5;
    results.missing = {"net_data_k4_seed1"};
    results.groups = {{"net", "data<", "", 1, {0, 1}, {}, 2}, {"net", "data<", "", 4, {0, 1}, {}, 3}};
    for (std::size_t group : {0, 1}) {
        results.methods.push_back(summary_of(group, "before", {90, 90}));
        results.methods.push_back(summary_of(group, "adv", {80, 90}));
    }
    MethodComparison comparison{
        .group = 1, .first = "adv", .second = "neggrad", .set = "D_test", .accuracy = {}, .discordant = {}};
    comparison.accuracy = compare_paired(std::vector<double>{3, 5}, std::vector<double>{1, 2});
    comparison.discordant = {{4, 1, 0.375}, {7, 2, 0.18}};
    results.comparisons = {comparison};
    results.warnings = {"one < two"};
    fs::create_directories(file("experiment"));
    write_text(file("experiment/results.json"), to_json(results).dump());

    const std::string html = page({"experiment"});
    EXPECT_THAT(html, HasSubstr("4 of 5 runs are finished"));
    EXPECT_THAT(html, HasSubstr("85.00<small>21.47 to 148.53</small>"));
    EXPECT_THAT(html,
                HasSubstr("2.50<small>\u22123.85 to 8.85</small>"));  // of 2 and 3: 2.5 and 12.706 / 2 on either side
    EXPECT_THAT(html, HasSubstr("<td class=\"n\">11</td><td class=\"n\">3</td>"));
    EXPECT_THAT(html,
                AllOf(HasSubstr("net on data&lt;, k = 4"), HasSubstr("one &lt; two"), HasSubstr("net_data_k4_seed1")));
    // k = 1 at the left end, 5 / 2 + 6 inside; the interval cut at 100 %, which is the upper edge; 20 % is the lower
    // one.
    EXPECT_THAT(html, HasSubstr("<line class=\"whisker s0\" x1=\"41.1\" y1=\"192.9\" x2=\"41.1\" y2=\"26\">"));

    write_text(file("experiment/results.json"), "{\"cells\": 1}");
    expect_refusal("experiment", "results.json is damaged or of another version");
}

TEST_F(Report, ShowsOneRequestAfterAnother) {
    const auto share = [](int64_t correct, int64_t total) { return Json{{"correct", correct}, {"total", total}}; };
    const auto request = [&](const std::string& name, const Json& earlier, int64_t test) {
        return Json{{"name", name},
                    {"forget", {1, 2, 3}},
                    {"run", "requests/" + name},
                    {"verdict", "forgotten"},
                    {"steps", 4},
                    {"seconds", 1.5},
                    {"D_f", share(0, 3)},
                    {"earlier", earlier},
                    {"D_r", share(95, 100)},
                    {"D_test", share(test, 100)}};
    };
    Json first_again = share(2, 3);
    first_again["request"] = "1";
    Json sequence{{"method", "adv<imp"}, {"requests", Json::array()}};
    sequence["requests"].push_back(request("1", Json::array(), 90));
    sequence["requests"].push_back(request("2", Json::array(), 80));
    sequence["requests"][1]["earlier"].push_back(first_again);
    fs::create_directories(file("continual"));
    write_text(file("continual/continual.json"), sequence.dump());
    const std::string html = page({"continual"});
    EXPECT_THAT(html,
                HasSubstr("<th scope=\"row\">1</th><td class=\"n\"><strong>0.00\u00A0%<small>0 of 3</small></strong>"
                          "</td><td class=\"n\"></td>"));
    EXPECT_THAT(html, HasSubstr("<th scope=\"row\">2</th><td class=\"n\">66.67\u00A0%<small>2 of 3</small></td>"));
    // From 80 to 90 % and from request 1 to 2: corner to corner; the labels "80" to "90" begin the plot at 26.4.
    EXPECT_THAT(html, HasSubstr("points=\"26.4,26 346,196\""));
    EXPECT_THAT(html, HasSubstr("adv&lt;imp"));

    sequence["before"] = {{"D_r", share(99, 100)}, {"D_test", share(90, 100)}};
    write_text(file("continual/continual.json"), sequence.dump());
    const std::string from = page({"continual"});
    EXPECT_THAT(from, HasSubstr("<th scope=\"row\">none</th><td></td><td class=\"n\"></td><td class=\"n\">99.00"));
    EXPECT_THAT(from, HasSubstr("<line class=\"curve plain d4 thin\" x1=\"26.4\" y1=\"26\" x2=\"346\" y2=\"26\">"));

    sequence["requests"][1]["earlier"] = Json::array();
    write_text(file("continual/continual.json"), sequence.dump());
    expect_refusal("continual", "request 2 does not say what became of request 1");
    write_text(file("continual/continual.json"), "{\"method\": \"adv\", \"requests\": []}");
    expect_refusal("continual", "has no request");
}

}  // namespace
}  // namespace lethe::test
