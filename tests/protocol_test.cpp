#include "unlearn/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/compare.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string values_of(const Switches& switches) {
    std::string text;
    for (const SwitchInfo& info : switch_list()) text += info.name + "=" + get_switch(switches, info.name) + " ";
    return text;
}

TEST(Switches, HaveDistinctNamesAndSummaries) {
    std::set<std::string> names, summaries;
    for (const SwitchInfo& info : switch_list()) {
        names.insert(info.name);
        summaries.insert(info.summary);
    }
    EXPECT_EQ(names.size(), switch_list().size());
    EXPECT_EQ(summaries.size(), switch_list().size());
    EXPECT_EQ(summaries.count(""), 0u);
}

TEST(Switches, DefaultsAreAllOff) {
    for (const SwitchInfo& info : switch_list()) {
        const std::string value = get_switch({}, info.name);
        EXPECT_EQ(value, info.name == "attack-classes" ? "0" : info.name == "adv-order" ? "repeat" : "off");
    }
}

// Each name sets one switch and no other.
TEST(Switches, SettingOneChangesThatOneOnly) {
    for (const SwitchInfo& info : switch_list()) {
        const std::string value = info.name == "attack-classes" ? "7" : info.name == "adv-order" ? "batch" : "on";
        Switches switches;
        set_switch(switches, info.name + "=" + value);
        for (const SwitchInfo& other : switch_list())
            EXPECT_EQ(get_switch(switches, other.name), other.name == info.name ? value : get_switch({}, other.name));
        const std::string off = get_switch({}, info.name);
        set_switch(switches, info.name + "=" + off);
        EXPECT_EQ(values_of(switches), values_of({}));
    }
}

TEST(Switches, ABareNameTurnsItOn) {
    Switches switches;
    set_switch(switches, "decay-all");
    EXPECT_TRUE(switches.decay_all);
    set_switch(switches, "attack-classes");
    EXPECT_EQ(switches.attack_classes, 10);
}

TEST(Switches, RefusesWhatItDoesNotKnow) {
    Switches switches;
    EXPECT_THAT(error_of([&] { set_switch(switches, "imp-squared"); }), HasSubstr("imp-unsquared"));
    EXPECT_THAT(error_of([&] { set_switch(switches, "decay-all=yes"); }), HasSubstr("decay-all=on or decay-all=off"));
    EXPECT_THAT(error_of([&] { set_switch(switches, "decay-all="); }), HasSubstr("decay-all=on"));
    EXPECT_THAT(error_of([&] { set_switch(switches, "adv-order"); }), HasSubstr("adv-order=batch"));
    EXPECT_THAT(error_of([&] { set_switch(switches, "adv-order=on"); }), HasSubstr("adv-order=repeat"));
    for (const char* text : {"attack-classes=", "attack-classes=ten", "attack-classes=-1", "attack-classes=1",
                             "attack-classes=10x", "attack-classes=99999999999999999999"})
        EXPECT_THAT(error_of([&] { set_switch(switches, text); }), HasSubstr("attack-classes"));
    EXPECT_THAT(error_of([&] { get_switch(switches, "nothing"); }), HasSubstr("nothing"));
    EXPECT_EQ(values_of(switches), values_of({}));
}

TEST(Protocol, Reference) {
    EXPECT_EQ(values_of(protocol("reference")),
              "label-fallback=on attack-classes=10 adv-order=repeat imp-train-bn=on imp-no-zero-grad=on "
              "imp-unsquared=on imp-batch-abs=on bn-train-steps=on size-weighted-ce=on plain-ce=on "
              "stop-on-first-zero=on "
              "decay-all=on utk-double-scale=off ");
}

TEST(Protocol, PaperAndRecommended) {
    EXPECT_EQ(values_of(protocol("paper")),
              "label-fallback=off attack-classes=0 adv-order=repeat imp-train-bn=off imp-no-zero-grad=off "
              "imp-unsquared=off imp-batch-abs=off bn-train-steps=on size-weighted-ce=off plain-ce=on "
              "stop-on-first-zero=on "
              "decay-all=on utk-double-scale=off ");
    Switches expected;
    expected.bn_train_steps = true;
    EXPECT_EQ(values_of(protocol("recommended")), values_of(expected));
}

TEST(Protocol, MethodsOfARunThatNamesNone) {
    EXPECT_THAT(usual_methods("recommended", false), ElementsAre("distill+views"));
    for (const char* name : {"paper", "reference"})
        EXPECT_THAT(usual_methods(name, false), ElementsAre("neggrad", "adv", "imp", "adv+imp"));
    EXPECT_THAT(usual_methods("recommended", true), ElementsAre("relabel"));
    EXPECT_THAT(error_of([] { usual_methods("l2ul", true); }), HasSubstr("recommended"));
}

TEST(Protocol, RefusesAnUnknownName) {
    EXPECT_THAT(error_of([] { protocol("l2ul"); }), HasSubstr("reference, paper, recommended"));
}

}  // namespace
}  // namespace lethe::test
