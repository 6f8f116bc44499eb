// Audits: an untouched run is accepted; whatever is changed in it is found, by its hash or, where the one who changed
// it has hashed everything again, by computing it again.
#include "unlearn/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "data/file.h"
#include "data/image_file.h"
#include "data/weights.h"
#include "tests/support/compare.h"
#include "tests/support/program.h"
#include "unlearn/run_manifest.h"

namespace lethe::test {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// One run, made once; each test works on a copy.
class Audit : public testing::Test {
protected:
    static void SetUpTestSuite() {
        shared_ = new TemporaryFolder;
        const ProgramResult trained = run_lethe(
            {"train", "--data", "synthetic:0:200:50", "--model", "resnet8", "--epochs", "12", "--out", "trained"},
            shared_->path());
        ASSERT_EQ(trained.code, 0) << trained.err;
        const ProgramResult unlearned = run_lethe({"unlearn",
                                                   "--data",
                                                   "synthetic:0:200:50",
                                                   "--weights",
                                                   "trained/weights.safetensors",
                                                   "--forget",
                                                   "random:0:6",
                                                   "--repeats",
                                                   "2",
                                                   "--steps",
                                                   "3",
                                                   "--max-steps",
                                                   "8",
                                                   "--stop-in-a-row",
                                                   "9",
                                                   "--methods",
                                                   "adv+imp,relabel,scrub",
                                                   "--fixed-steps",
                                                   "4",
                                                   "--out",
                                                   "run"},
                                                  shared_->path());
        ASSERT_THAT(unlearned.code, testing::AnyOf(3, 4)) << unlearned.err;  // the goal is out of reach: 8 steps
    }
    static void TearDownTestSuite() {
        delete shared_;
        shared_ = nullptr;
    }
    void SetUp() override {
        fs::copy(shared_->path("trained"), folder_.path("trained"), fs::copy_options::recursive);
        fs::copy(shared_->path("run"), folder_.path("run"), fs::copy_options::recursive);
    }

    fs::path file(const std::string& name) const { return folder_.path("run/" + name); }
    Json json(const std::string& name) const { return Json::parse(read_text(file(name))); }
    void write(const std::string& name, const Json& value) const { write_text(file(name), value.dump(2) + "\n"); }
    void flip_bit(const std::string& name, std::size_t at) const {
        std::vector<uint8_t> bytes = read_file(file(name));
        bytes.at(at) ^= 1;
        write_file(file(name), bytes);
    }
    // What somebody does who knows how: hashes everything again.
    void hash_again() const {
        const RunDirectory run{fs::path(folder_.path("run"))};
        write_manifest(run, run.read_json("inputs.json"));
    }

    // A run of its own, by distillation.
    void distil(const std::string& out, const std::vector<std::string>& more) const {
        std::vector<std::string> arguments{"unlearn",
                                           "--data",
                                           "synthetic:0:200:50",
                                           "--weights",
                                           "trained/weights.safetensors",
                                           "--forget",
                                           "random:0:6",
                                           "--methods",
                                           "distill",
                                           "--max-steps",
                                           "2",
                                           "--proxies",
                                           "4",
                                           "--out",
                                           out};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const ProgramResult unlearned = run_lethe(arguments, folder_.path());
        ASSERT_THAT(unlearned.code, testing::AnyOf(0, 3, 4)) << unlearned.err;
    }

    ProgramResult audit(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"audit", "run"});
        return run_lethe(more, folder_.path());
    }
    void expect_accepted(const std::vector<std::string>& more = {}) const {
        const ProgramResult result = audit(more);
        EXPECT_EQ(result.code, 0) << result.out << result.err;
        EXPECT_THAT(result.out, AllOf(HasSubstr("accepted"), Not(HasSubstr("REFUSED"))));
    }
    void expect_refused(const std::string& check, const std::string& sentence,
                        const std::vector<std::string>& more = {}) const {
        const ProgramResult result = audit(more);
        EXPECT_EQ(result.code, 5) << result.out << result.err;
        EXPECT_THAT(result.out, AllOf(HasSubstr("REFUSED  " + check + ":"), HasSubstr(sentence)));
        EXPECT_FALSE(fs::exists(file("certificate.json")));
        EXPECT_FALSE(fs::exists(file("certificate.html")));
    }

    static TemporaryFolder* shared_;
    TemporaryFolder folder_;
};

TemporaryFolder* Audit::shared_ = nullptr;

TEST_F(Audit, AcceptsAnUntouchedRunAndCertifiesIt) {
    expect_accepted({"--json", "report.json"});
    const Json report = Json::parse(read_text(folder_.path("report.json")));
    EXPECT_TRUE(report.at("accepted").get<bool>());
    EXPECT_TRUE(report.at("exact").get<bool>());
    std::vector<std::string> names;
    for (const Json& check : report.at("checks")) names.push_back(check.at("check"));
    EXPECT_THAT(names, ElementsAre("files", "inputs", "configuration", "forget set", "before", "attack", "importance",
                                   "adv+imp", "relabel", "scrub", "tables", "pictures"));

    const Json certificate = json("certificate.json");
    EXPECT_EQ(certificate.at("manifest_sha256"), sha256_file(file("manifest.json")));
    EXPECT_EQ(certificate.at("forget_set"), json("forget_set.json").at("images"));
    EXPECT_EQ(certificate.at("weights").at("before"), sha256_file(folder_.path("trained/weights.safetensors")));
    EXPECT_EQ(certificate.at("weights").at("relabel"), sha256_file(file("relabel/weights.safetensors")));
    EXPECT_EQ(certificate.at("methods").at(0).at("D_f").at("correct"),
              json("results.json").at(1).at("forget").at("correct"));
    EXPECT_EQ(certificate.at("audited_by").at("program_sha256"), sha256_file(LETHE_BINARY));
    EXPECT_THAT(certificate.at("not_claimed").dump(), HasSubstr("never saw"));
    const std::string page = read_text(file("certificate.html"));
    EXPECT_THAT(page, AllOf(HasSubstr("never saw"), HasSubstr("prefers-color-scheme"), HasSubstr("@media print")));
    EXPECT_THAT(
        page, Not(testing::AnyOf(HasSubstr("src="), HasSubstr("href="), HasSubstr("url("))));  // it needs no other file
    EXPECT_THAT(page, HasSubstr(certificate.at("forget_set").at(5).at("sha256").get<std::string>()));
    expect_accepted();  // the certificate is no file that was added
}

TEST_F(Audit, NamesEveryCriterionAndHowItStands) {
    expect_accepted();
    const Json method = json("certificate.json").at("methods").at(0);
    EXPECT_NE(method.at("verdict"), "forgotten");
    const Json& in_a_row = method.at("criteria").at(1);
    EXPECT_EQ(in_a_row.at("criterion"), "after 9 steps in a row");
    EXPECT_FALSE(in_a_row.at("met").get<bool>());
    // One that makes a number of steps and looks at D_r.
    const Json scrub = json("certificate.json").at("methods").at(2);
    EXPECT_EQ(scrub.at("data"), "D_f + D_r");
    EXPECT_EQ(scrub.at("criteria").at(1).at("criterion"), "after the method's 4 steps");
    EXPECT_EQ(scrub.at("criteria").at(1).at("found"), "at step 4");
}

TEST_F(Audit, TheCertificateCanGoElsewhere) {
    expect_accepted({"--out", "there"});
    EXPECT_TRUE(fs::exists(folder_.path("there/certificate.html")));
    EXPECT_FALSE(fs::exists(file("certificate.html")));
}

TEST_F(Audit, TakesWeightsFromWhereTheyAreNow) {
    fs::rename(folder_.path("trained"), folder_.path("moved"));
    EXPECT_EQ(audit().code, 1);
    expect_accepted({"--weights", "moved/weights.safetensors"});
}

TEST_F(Audit, AThreadMoreOrLessChangesNothing) { expect_accepted({"--threads", "1"}); }

// Every file, one byte.

TEST_F(Audit, AnyChangedByteIsFoundAndNamed) {
    std::vector<std::string> names{"manifest.json"};
    const Json listed = json("manifest.json");
    for (const Json& record : listed.at("files")) names.push_back(record.at("name"));
    EXPECT_GT(names.size(), 15u);
    for (const std::string& name : names) {
        const std::size_t size = fs::file_size(file(name));
        for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
            flip_bit(name, at);
            Json manifest;
            EXPECT_THAT(manifest_findings(folder_.path("run"), manifest), ElementsAre(HasSubstr(name)))
                << "byte " << at;
            flip_bit(name, at);
        }
    }
    Json manifest;
    for (std::size_t at = 0; at < fs::file_size(file("manifest.json")); at += 61) {
        flip_bit("manifest.json", at);
        EXPECT_THAT(manifest_findings(folder_.path("run"), manifest), ElementsAre(HasSubstr("manifest.json"))) << at;
        flip_bit("manifest.json", at);
    }
    EXPECT_THAT(manifest_findings(folder_.path("run"), manifest), IsEmpty());
}

TEST_F(Audit, AFlippedBitInWeightsIsFoundWithItsBytes) {
    expect_accepted();
    flip_bit("relabel/weights.safetensors", 300'000);
    expect_refused("files",
                   "relabel/weights.safetensors is not the file that the run wrote: another SHA-256 in bytes "
                   "262144 to ");
}

TEST_F(Audit, AddedMissingAndLinkedFiles) {
    write_text(file("adv+imp/notes.txt"), "hello");
    expect_refused("files", "adv+imp/notes.txt is not in manifest.json");
    fs::remove(file("adv+imp/notes.txt"));
    fs::remove(file("trace.png"));
    expect_refused("files", "trace.png is missing");
    fs::create_symlink(shared_->path("run/trace.png"), file("trace.png"));
    expect_refused("files", "trace.png is no plain file");
    fs::remove(file("manifest.json"));
    expect_refused("files", "manifest.json");
}

TEST_F(Audit, AnEditedAccuracyIsFoundByItsHash) {
    Json results = json("results.json");
    results[1]["D_f"] = 0;
    write("results.json", results);
    expect_refused("files", "results.json");
}

TEST_F(Audit, OtherDataAreRefused) {
    expect_refused("inputs", "the training set of synthetic:1:200:50 has SHA-256", {"--data", "synthetic:1:200:50"});
    expect_refused("inputs", "the test set", {"--data", "synthetic:0:200:40"});
}

TEST_F(Audit, OtherWeightsBeforeAreRefused) {
    expect_refused("inputs", "the file of the weights before has SHA-256",
                   {"--weights", "run/relabel/weights.safetensors"});
}

// The same by somebody who has hashed everything again.

TEST_F(Audit, HashedAgainAnEditedAccuracyIsRecomputed) {
    const Json original = json("results.json");
    Json results = original;
    results[1]["test"]["correct"] = original[1]["test"]["correct"].get<int64_t>() + 1;
    write("results.json", results);
    hash_again();
    expect_refused("tables", "results.json[1]: test: correct is");

    // In every file at once, as it would have to be.
    Json result = json("adv+imp/result.json");
    result["test"]["correct"] = results[1]["test"]["correct"];
    write("adv+imp/result.json", result);
    hash_again();
    expect_refused("adv+imp", "adv+imp/result.json: test: correct is");
}

TEST_F(Audit, HashedAgainLossesAndWrongListsAreRecomputed) {
    Json result = json("relabel/result.json");
    result["retain"]["loss"] = result["retain"]["loss"].get<double>() * (1 + 1e-12);
    write("relabel/result.json", result);
    hash_again();
    expect_refused("relabel", "relabel/result.json: retain: loss is");

    Json before = json("before.json");
    before["test"]["wrong"][0] = before["test"]["wrong"][0].get<int64_t>() + 1;
    write("before.json", before);
    hash_again();
    expect_refused("before", "before.json: test: wrong[0] is");
}

TEST_F(Audit, HashedAgainASwappedForgetIndexIsNotTheOneSelected) {
    Json set = json("forget_set.json");
    set["images"][0]["index"] = set["images"][0]["index"].get<int64_t>() + 10;  // of the same class
    write("forget_set.json", set);
    hash_again();
    expect_refused("forget set", "forget_set.json: images[0]: index is");
}

TEST_F(Audit, HashedAgainAnotherSelectionHasOtherImages) {
    Json config = json("config.json");
    config["forget"] = "random:1:6";
    write("config.json", config);
    hash_again();
    expect_refused("forget set", "forget_set.json: images[0]: index is");
}

TEST_F(Audit, HashedAgainAMissingTraceLineIsFound) {
    std::istringstream lines(read_text(file("adv+imp/trace.jsonl")));
    std::string without, line;
    for (int number = 1; std::getline(lines, line); ++number)
        if (number != 3) without += line + "\n";
    write_text(file("adv+imp/trace.jsonl"), without);
    hash_again();
    expect_refused("adv+imp", "adv+imp/trace.jsonl: line 3 is step 4; step 3 is missing");
}

TEST_F(Audit, HashedAgainATraceThatEndsEarlyIsNoEnd) {
    std::istringstream lines(read_text(file("adv+imp/trace.jsonl")));
    std::string shorter, line;
    for (int number = 1; std::getline(lines, line) && number < 8; ++number) shorter += line + "\n";
    write_text(file("adv+imp/trace.jsonl"), shorter);
    hash_again();
    expect_refused("adv+imp", "adv+imp/trace.jsonl has 7 steps, the result claims 8");
}

TEST_F(Audit, HashedAgainEvidenceFollowsFromWeightsAndTrace) {
    Json dossier = json("relabel/dossier.json");
    dossier["images"][2]["after"]["rank"] = 7;
    write("relabel/dossier.json", dossier);
    Json collateral = json("adv+imp/collateral.json");
    collateral["test"]["lost"] = 0;
    write("adv+imp/collateral.json", collateral);
    hash_again();
    expect_refused("relabel", "relabel/dossier.json: images[2]: after: rank is 7");
    expect_refused("adv+imp", "adv+imp/collateral.json: test: lost is 0");
}

TEST_F(Audit, HashedAgainTheRecognisedImagesAreAsManyAsCounted) {
    std::string trace = read_text(file("adv+imp/trace.jsonl"));
    const std::string key = "\"recognised\":\"";
    const std::size_t at = trace.find(key) + key.size();
    trace[at] = trace[at] == '0' ? '8' : '0';
    write_text(file("adv+imp/trace.jsonl"), trace);
    hash_again();
    expect_refused("adv+imp", "adv+imp/trace.jsonl: line 1: its set of recognised images is not one of");
}

TEST_F(Audit, HashedAgainReplacedWeightsHaveOtherNumbers) {
    // The weights of relabel under the name of adv+imp, and whatever says their hash.
    WeightFile weights = read_weights(file("relabel/weights.safetensors"));
    weights.metadata["lethe.unlearned"] = "adv+imp";
    weights.metadata.erase(tensors_sha256_key);
    write_weights(file("adv+imp/weights.safetensors"), weights.entries, weights.metadata);
    Json result = json("adv+imp/result.json");
    result["weights_sha256"] = sha256_file(file("adv+imp/weights.safetensors"));
    write("adv+imp/result.json", result);
    hash_again();
    expect_refused("adv+imp", "adv+imp/result.json: ");
}

TEST_F(Audit, HashedAgainAdversarialImagesAreLookedAt) {
    const Json attack = json("attack.json");
    Json changed = attack;
    changed["report"][1]["hit"] = !attack["report"][1]["hit"].get<bool>();
    write("attack.json", changed);
    hash_again();
    expect_refused("attack", "attack.json: report[1]: hit is");

    write("attack.json", attack);
    std::vector<uint8_t> images = read_file(file("adversarial.safetensors"));
    const float outside = 1.5f;
    std::memcpy(images.data() + images.size() - sizeof outside, &outside, sizeof outside);
    write_file(file("adversarial.safetensors"), images);
    hash_again();
    expect_refused("attack", "outside the box");
}

TEST_F(Audit, HashedAgainAdversarialImagesOutsideTheBallAreRefused) {
    WeightFile saved = read_weights(file("adversarial.safetensors"));
    std::vector<uint8_t>& bytes = saved.entries.at(0).second.bytes;
    std::fill(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 12), uint8_t{0});  // black
    write_safetensors(file("adversarial.safetensors"), saved.entries, saved.metadata);
    hash_again();
    expect_refused("attack", "row 0 is ");
}

// Methods may look at the attack without being adversarial.
TEST_F(Audit, HashedAgainTheAttackOfDistillationIsLookedAt) {
    distil("distilled", {"--proxies-from", "attack", "--repeats", "2", "--steps", "3"});
    EXPECT_EQ(run_lethe({"audit", "distilled"}, folder_.path()).code, 0);
    const RunDirectory run{fs::path(folder_.path("distilled"))};
    Json attack = run.read_json("attack.json");
    attack["report"][1]["hit"] = !attack["report"][1]["hit"].get<bool>();
    write_text(run.file("attack.json"), attack.dump(2) + "\n");
    write_manifest(run, run.read_json("inputs.json"));
    const ProgramResult audited = run_lethe({"audit", "distilled"}, folder_.path());
    EXPECT_EQ(audited.code, 5) << audited.err;
    EXPECT_THAT(audited.out + audited.err, HasSubstr("attack.json: report[1]: hit is"));
}

TEST_F(Audit, HashedAgainInvertedImagesAreLookedAt) {
    distil("inverted", {"--proxies-from", "inversion", "--inverted", "12", "--inversion-steps", "2"});
    const RunDirectory run{fs::path(folder_.path("inverted"))};
    EXPECT_FALSE(run.has("attack.json"));
    const auto audit = [&] {
        write_manifest(run, run.read_json("inputs.json"));
        return run_lethe({"audit", "inverted"}, folder_.path());
    };
    EXPECT_EQ(audit().code, 0);
    const Json whole = run.read_json("inversion.json");
    EXPECT_EQ(whole.at("labels").size(), 12u);
    Json other = whole;
    other["hits"] = whole["hits"].get<int64_t>() + 1;
    write_text(run.file("inversion.json"), other.dump(2) + "\n");
    ProgramResult audited = audit();
    EXPECT_EQ(audited.code, 5) << audited.err;
    EXPECT_THAT(audited.out + audited.err, HasSubstr("inversion.json: hits is"));
    write_text(run.file("inversion.json"), whole.dump(2) + "\n");
    std::vector<uint8_t> images = read_file(run.file("inverted.safetensors"));
    const float outside = 1.5f;
    std::memcpy(images.data() + images.size() - sizeof outside, &outside, sizeof outside);
    write_file(run.file("inverted.safetensors"), images);
    audited = audit();
    EXPECT_EQ(audited.code, 5) << audited.err;
    EXPECT_THAT(audited.out + audited.err, HasSubstr("inverted.safetensors: a pixel is 1.5"));
}

TEST_F(Audit, HashedAgainImportanceIsRecomputed) {
    WeightFile saved = read_weights(file("importance.safetensors"));
    saved.entries.at(2).second.bytes.at(2) ^= 1;
    write_safetensors(file("importance.safetensors"), saved.entries, saved.metadata);
    hash_again();
    expect_refused("importance", "importance.safetensors: " + saved.entries.at(2).first);
}

TEST_F(Audit, HashedAgainPicturesAreDrawnAgain) {
    ImageBytes image = read_image(file("results.png"));
    image.pixels.at(30'000) ^= 0x80;
    write_file(file("results.png"), encode_png(image.height, image.width, image.pixels));
    hash_again();
    expect_refused("pictures", "results.png");
}

TEST_F(Audit, HashedAgainSwitchesAndOptionsMustAgree) {
    Json inputs = json("inputs.json");
    inputs["switches"]["plain-ce"] = "on";
    write("inputs.json", inputs);
    hash_again();
    expect_refused("configuration", "inputs.json: switches: plain-ce is \"on\"; recomputed it is \"off\"");
}

TEST_F(Audit, HashedAgainAVerdictMustFollowFromTheTrace) {
    Json result = json("adv+imp/result.json");
    result["verdict"] = "forgotten";
    result["reason"] = "the goal was met at step 8, 9 in a row, with 0 of 6 images given their true label";
    write("adv+imp/result.json", result);
    hash_again();
    expect_refused("adv+imp", "adv+imp/result.json: verdict is \"forgotten\"");
}

TEST_F(Audit, HashedAgainNonsenseIsNoCrash) {
    write_text(file("adv+imp/result.json"), "[" + std::string(2000, '[') + std::string(2000, ']') + "]");
    write_text(file("attack.json"), "nothing");
    write_text(file("relabel/trace.jsonl"), "{\"step\":1e300}\n");
    hash_again();
    const ProgramResult result = audit();
    EXPECT_EQ(result.code, 5) << result.err;
    for (const char* name : {"attack", "adv+imp", "relabel", "tables"})
        EXPECT_THAT(result.out, HasSubstr(concat("REFUSED  ", name, ":")));
}

TEST_F(Audit, ARefusalRemovesTheCertificateOfBefore) {
    expect_accepted();
    flip_bit("results.png", 100);
    expect_refused("files", "results.png");
}

TEST_F(Audit, WhatIsNoRunIsAnError) {
    const ProgramResult absent = run_lethe({"audit", "nowhere"}, folder_.path());
    EXPECT_EQ(absent.code, 1);
    EXPECT_THAT(absent.err, HasSubstr("nowhere is no folder"));
    EXPECT_EQ(run_lethe({"audit"}, folder_.path()).code, 2);
    EXPECT_EQ(run_lethe({"audit", "trained"}, folder_.path()).code, 5);  // it has no manifest
}

TEST_F(Audit, AContinuedRunIsAccepted) {
    fs::remove(file("manifest.json"));
    fs::remove_all(file("relabel"));
    const Json config = json("config.json");
    const ProgramResult again = run_lethe({"unlearn", "--config", "run/config.json", "--out", "run"}, folder_.path());
    EXPECT_THAT(again.code, testing::AnyOf(3, 4)) << again.err;
    expect_accepted();
}

}  // namespace
}  // namespace lethe::test
