#include "unlearn/protocol.h"

#include <charconv>

#include "tensor/error.h"

namespace lethe {
namespace {

struct Entry {
    SwitchInfo info;
    bool Switches::*flag;  // null for attack-classes, the one switch that is a number
    const char* on;
    const char* off;
};

const char* const attack_classes_name = "attack-classes";
constexpr int64_t reference_attack_classes = 10;  // a literal in the reference code, whatever the dataset

const std::vector<Entry>& entries() {
    static const std::vector<Entry> list{
        {{"label-fallback", "attack label drawn equal to the true one becomes class C/2 / is drawn among the others"},
         &Switches::label_fallback,
         "on",
         "off"},
        {{attack_classes_name, "attack labels lie in the first N classes / 0: in all of the model's"},
         nullptr,
         nullptr,
         nullptr},
        {{"adv-order", "adversarial rows batch by batch of D_f (batch) / all of D_f, then all again (repeat)"},
         &Switches::adv_order_batch,
         "batch",
         "repeat"},
        {{"imp-train-bn", "importance with BatchNorm's batch statistics / running statistics"},
         &Switches::imp_train_bn,
         "on",
         "off"},
        {{"imp-no-zero-grad", "importance gradients pile up over batches / are cleared for each"},
         &Switches::imp_no_zero_grad,
         "on",
         "off"},
        {{"imp-unsquared", "importance of |f(x)| / of |f(x)|^2, as Memory Aware Synapses defines it"},
         &Switches::imp_unsquared,
         "on",
         "off"},
        {{"imp-batch-abs", "importance is |gradient of the batch mean| / mean of |gradient| per sample"},
         &Switches::imp_batch_abs,
         "on",
         "off"},
        {{"bn-train-steps", "steps use batch statistics and update the running ones / BatchNorm is frozen"},
         &Switches::bn_train_steps,
         "on",
         "off"},
        {{"size-weighted-ce", "the two cross entropies are weighted by their batch sizes / by options"},
         &Switches::size_weighted_ce,
         "on",
         "off"},
        {{"plain-ce", "forgetting lowers log p of all of D_f / log-odds of the images still recognised"},
         &Switches::plain_ce,
         "on",
         "off"},
        {{"stop-on-first-zero", "the first step that meets the goal ends the run / the stop rule decides"},
         &Switches::stop_on_first_zero,
         "on",
         "off"},
        {{"decay-all", "weight decay on biases and BatchNorm too / on weights of several dimensions only"},
         &Switches::decay_all,
         "on",
         "off"},
        {{"utk-double-scale", "pixels are divided by 255 twice, as in the reference's UTKFace script / once"},
         &Switches::utk_double_scale,
         "on",
         "off"},
    };
    return list;
}

const Entry& find_entry(const std::string& name) {
    std::string known;
    for (const Entry& entry : entries()) {
        if (entry.info.name == name) return entry;
        known += (known.empty() ? "" : ", ") + entry.info.name;
    }
    fail("switch: unknown name '", name, "'; known ones are ", known);
}

int64_t parse_classes(const std::string& value) {
    int64_t number = -1;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    check(error == std::errc() && stop == end && number >= 0 && number != 1, "switch: ", attack_classes_name, "=",
          value, " must be 0 (all classes) or a number >= 2");
    return number;
}

// The published code at its last revisions that run (b8b335b to 03b3007): every peculiarity but the one of the UTKFace
// script, which concerns that dataset's pixels only.
Switches reference() {
    Switches switches;
    switches.label_fallback = true;
    switches.attack_classes = reference_attack_classes;
    switches.adv_order_batch = false;
    switches.imp_train_bn = true;
    switches.imp_no_zero_grad = true;
    switches.imp_unsquared = true;
    switches.imp_batch_abs = true;
    switches.bn_train_steps = true;
    switches.size_weighted_ce = true;
    switches.plain_ce = true;
    switches.stop_on_first_zero = true;
    switches.decay_all = true;
    return switches;
}

// What the text says where it differs from the code: attack labels other than the true one among all classes, MAS as
// defined, the two cross entropies summed. Where the text is silent, the code is followed.
Switches paper() {
    Switches switches;
    switches.bn_train_steps = true;
    switches.plain_ce = true;
    switches.stop_on_first_zero = true;
    switches.decay_all = true;
    return switches;
}

// Every peculiarity corrected but one: with frozen BatchNorm all arms end with far less of the retained accuracy.
Switches recommended() {
    Switches switches;
    switches.bn_train_steps = true;
    return switches;
}

}  // namespace

const std::vector<SwitchInfo>& switch_list() {
    static const std::vector<SwitchInfo> list = [] {
        std::vector<SwitchInfo> infos;
        for (const Entry& entry : entries()) infos.push_back(entry.info);
        return infos;
    }();
    return list;
}

void set_switch(Switches& switches, const std::string& text) {
    const std::size_t equals = text.find('=');
    const Entry& entry = find_entry(text.substr(0, equals));
    const bool bare = equals == std::string::npos;
    const std::string value = bare ? "" : text.substr(equals + 1);
    if (entry.flag == nullptr) {
        switches.attack_classes = bare ? reference_attack_classes : parse_classes(value);
        return;
    }
    const bool on = value == entry.on || (bare && entry.on == std::string("on"));
    check(on || value == entry.off, "switch: ", entry.info.name, " must be given as ", entry.info.name, "=", entry.on,
          " or ", entry.info.name, "=", entry.off, ", not '", text, "'");
    switches.*entry.flag = on;
}

std::string get_switch(const Switches& switches, const std::string& name) {
    const Entry& entry = find_entry(name);
    if (entry.flag == nullptr) return std::to_string(switches.attack_classes);
    return switches.*entry.flag ? entry.on : entry.off;
}

Switches protocol(const std::string& name) {
    if (name == "reference") return reference();
    if (name == "paper") return paper();
    if (name == "recommended") return recommended();
    fail("protocol: unknown name '", name, "'; known ones are reference, paper, recommended");
}

std::vector<std::string> usual_methods(const std::string& protocol_name, bool corrects) {
    protocol(protocol_name);  // it may be unknown
    if (corrects) return {"relabel"};
    if (protocol_name == "recommended") return {"distill+views"};
    return {"neggrad", "adv", "imp", "adv+imp"};
}

}  // namespace lethe
