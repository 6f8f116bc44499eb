// Protocols: the switches that turn each peculiarity of the reference implementation on or off.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lethe {

// Each switch is named after what the reference code (csm9493/L2UL) does when it is on; off is the corrected behaviour.
// See docs/guide.md for what each one costs.
struct Switches {
    bool label_fallback = false;   // attack label drawn equal to the true one becomes C/2 instead of being excluded
    int64_t attack_classes = 0;    // attack labels lie in [0, this); 0 = the model's number of classes
    bool adv_order_batch = false;  // adversarial rows batch-major (an image's repeats together) instead of repeat-major
    bool imp_train_bn = false;     // importance with batch statistics instead of running ones
    bool imp_no_zero_grad = false;  // importance gradients of earlier batches are never cleared
    bool imp_unsquared = false;     // importance of |f(x)| instead of MAS's |f(x)|^2
    bool imp_batch_abs = false;     // |gradient of the batch mean| instead of the mean of per-sample |gradient|
    bool bn_train_steps = false;    // unlearning steps use batch statistics and update running ones; off: frozen
    bool size_weighted_ce =
        false;              // the two cross entropies are weighted by their batch sizes; off: weights are options
    bool plain_ce = false;  // the forgetting loss is -CE; off: the log-odds of the images still recognised
    bool stop_on_first_zero = false;  // one touch of D_f accuracy 0 ends the run; off: StopRule::in_a_row
    bool decay_all = false;           // weight decay on BatchNorm and bias parameters too
    bool utk_double_scale = false;    // pixels are divided by 255 twice (the reference's UTKFace script)
};

struct SwitchInfo {
    std::string name;     // "label-fallback"
    std::string summary;  // one line: on / off
};
const std::vector<SwitchInfo>& switch_list();
// Sets one from text: "NAME", "NAME=on|off", "attack-classes=N", "adv-order=repeat|batch". Throws Error naming the
// known ones.
void set_switch(Switches& switches, const std::string& text);
std::string get_switch(const Switches& switches, const std::string& name);  // "on", "off", "10", "repeat", ...

// "reference": what the published code does. "paper": what the paper's text says. "recommended": what we advise.
// Throws Error for another name, naming these.
Switches protocol(const std::string& name);

// The methods of a run that names none: the one we recommend, or under another protocol the paper's four arms.
// `corrects`: images are to be given their true label. Throws Error as protocol() does.
std::vector<std::string> usual_methods(const std::string& protocol_name, bool corrects);

}  // namespace lethe
