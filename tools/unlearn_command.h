// The options of `lethe unlearn`, and how its runs are made; `lethe continual` makes several of them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tools/attack_options.h"
#include "tools/command.h"
#include "tools/unlearn_inputs.h"
#include "unlearn/run.h"

namespace lethe::tools {

class UnlearnCommand : public Command {
public:
    explicit UnlearnCommand(CLI::App& root)
        : UnlearnCommand(
              root, "unlearn", "forget chosen training images and compare methods",
              "lethe unlearn --weights runs/train/weights.safetensors --data synthetic --forget random:0:16") {
        input_options();
        option("forget", forget, std::string("D_f: ") + forget_forms);
        option("earlier", earlier,
               "training images that were forgotten before, in the forms of --forget: they do not count as D_r");
        option("methods", methods_text,
               "methods, comma-separated (lethe methods); without it " + usual_methods_text("recommended", false) +
                   ", in a correction " + usual_methods_text("recommended", true) +
                   ", with --protocol paper or reference " + usual_methods_text("reference", false));
        option("out", out, "run directory; an existing run of the same settings is continued");
        method_options();
    }

protected:
    static std::string usual_methods_text(const std::string& protocol_name, bool corrects);  // comma-separated
    // A command that makes such runs of its own, and says itself what is forgotten, with what, and where it goes.
    UnlearnCommand(CLI::App& root, const std::string& name, const std::string& summary, const std::string& example)
        : Command(root, name, summary, example) {}
    void input_options() {
        model_options(true);
        data_options("training and test images");
    }
    void method_options() {
        option("protocol", protocol_name,
               "preset of the compatibility switches and of optimizer, lr, weight-decay, lambda and forget-weight: "
               "recommended "
               "(their defaults below), paper or reference (sgd, 0.001, 0.0001, 1, 1)");
        option("switches", switches_text,
               "single switches on top, comma-separated, like label-fallback=on,attack-classes=10 (lethe inspect "
               "--switches)");
        optimizer_options();
        distill_options();
        comparison_options();
        stop_options();
        attack_options.declare([this](auto&&... arguments) { option(arguments...); });
        option("repeats", run_options.repeats, "adversarial images per image of D_f");
        option("relabel", run_options.relabel,
               "new labels of the relabel methods: random, second, a class name, or true, which corrects misclassified "
               "images");
        option("retain-limit", run_options.retain_limit, "evaluate at most this many images of D_r; 0 = all");
        option("retain-train-limit", run_options.retain_train_limit,
               "methods that look at D_r get at most this many images of it; 0 = all");
        option("checkpoint-seconds", run_options.checkpoint_seconds, "at most this much work is lost by a kill");
    }

    int run() override;
    // What the options say, loaded. Throws Error before anything is loaded where they make no sense.
    std::unique_ptr<UnlearnInputs> load_inputs();
    // Loads weights_file and what goes with it.
    void load_weights(UnlearnInputs& inputs);
    // Makes or continues the run in `directory`, up to its manifest.
    RunResult make_run(const UnlearnInputs& inputs, const std::vector<int64_t>& forget_set,
                       const RunDirectory& directory, Reporter& reporter);
    void check_inputs(const RunDirectory& directory, const Json& inputs) const;
    void say_switches() const;
    static int exit_code(Verdict verdict);

    static constexpr const char* forget_forms =
        "torch-randperm:SEED:K, random:SEED:K, class:NAME[:K], images:I,J,..., indices:FILE, misclassified[:K] or "
        "misclassified:SEED:K; test: before it takes test images";
    std::string forget = "random:0:16", earlier, methods_text, out = "runs/unlearn";
    std::string protocol_name = "recommended";
    RunOptions run_options;

private:
    void resolve();
    void optimizer_options() {
        using Options = UnlearnOptions;
        run_options.unlearn = protocol_options(protocol_name);
        preset(
            "optimizer", [](Options & o) -> auto& { return o.optimizer.name; }, "sgd or adam");
        preset(
            "lr", [](Options & o) -> auto& { return o.optimizer.lr; }, "learning rate");
        preset(
            "momentum", [](Options & o) -> auto& { return o.optimizer.momentum; }, "momentum of sgd");
        preset(
            "weight-decay", [](Options & o) -> auto& { return o.optimizer.weight_decay; }, "weight decay");
        preset(
            "lambda", [](Options & o) -> auto& { return o.lambda; }, "weight of the importance penalty");
        preset(
            "forget-weight", [](Options & o) -> auto& { return o.forget_weight; },
            "weight of the forgetting loss, where the switch size-weighted-ce is off");
        preset(
            "adversarial-weight", [](Options & o) -> auto& { return o.adversarial_weight; },
            "weight of the adversarial loss, where it is off");
        option("forget-batch", run_options.unlearn.forget_batch, "images of D_f per step");
        option("adversarial-batch", run_options.unlearn.adversarial_batch, "adversarial images per step");
        flag("shuffle", run_options.unlearn.shuffle, "shuffle the adversarial images each pass");
    }
    void distill_options() {
        DistillOptions& distill = run_options.unlearn.distill;
        option("distill-weight", distill.weight, "distill, distill+imp: weight of KL on the proxies");
        option("views-weight", distill.views_weight, "distill+views: the same");
        option("distill-temperature", distill.temperature, "distill methods: logits are compared divided by it");
        option("distill-lr", distill.lr, "distill methods: learning rate of Adam");
        option("distill-margin", distill.margin, "distill methods: push an image until it is wrong by so many logits");
        option("proxies", distill.proxies, "distill methods: proxies per step");
        option("proxies-from", distill.proxies_from,
               "distill methods: inversion (images made of the model), attack (D_f and its adversarial images), both, "
               "or auto: both where the model has BatchNorm, else attack");
        InversionOptions& inversion = run_options.inversion;
        option("inverted", inversion.images, "inversion: images to make");
        option("inversion-steps", inversion.steps, "inversion: steps of Adam on them");
        option("inversion-lr", inversion.lr, "inversion: its learning rate, in pixel units");
        option("views", distill.views, "distill+views: changed copies of each image of D_f per step");
        option("settle", distill.settle,
               "distill+views: once D_f and most copies are forgotten make so many steps more, which grow shorter");
    }
    void comparison_options() {
        ComparisonOptions& compare = run_options.unlearn.compare;
        option("fixed-steps", compare.fixed_steps, "steps of finetune, bad-teacher, scrub, eu-k and cf-k");
        option("retain-batch", compare.retain_batch, "methods that look at D_r: images of it per step");
        option("beta", compare.beta, "neggrad+: weight of D_r; that of D_f is 1 - beta");
        option("salient-share", compare.salient_share, "salun: share of the weights that may move");
        option("dampening-alpha", compare.dampening_alpha,
               "ssd, lfssd: how many times as important for D_f as for D_r a dampened weight is");
        option("dampening-lambda", compare.dampening_lambda, "ssd, lfssd: factor of the ratio of the two");
        option("scrub-alpha", compare.scrub_alpha, "scrub: weight of KL on D_r");
        option("scrub-gamma", compare.scrub_gamma, "scrub: weight of the cross entropy on D_r");
        option("scrub-rounds", compare.scrub_rounds, "scrub: passes over D_f");
        option("scrub-min-steps", compare.scrub_min_steps, "scrub: steps on D_r after each of them");
        option("boundary-eps", compare.boundary_eps, "boundary: step towards the nearest boundary, per pixel");
        option("noise-alpha", compare.noise_alpha, "fisher-noise: strength of the noise");
        option("last-layers", compare.last_layers, "eu-k, cf-k: how many layers are trained");
    }
    void stop_options() {
        StopRule& stop = run_options.unlearn.stop;
        option("stop-in-a-row", stop.in_a_row, "stop when D_f is forgotten after this many steps in a row");
        option("stop-margin", stop.margin, "forgotten means wrong by at least this many logits");
        option("stop-views", stop.views, "methods with views: also at most this share of changed copies recognised");
        option("max-steps", stop.max_steps, "step budget of each method");
        option("max-seconds", stop.max_seconds, "time budget of each method in seconds; 0 = none");
    }
    // An option whose default is the protocol's: the one shown is that of the recommended protocol.
    template <class Pick>
    void preset(const std::string& name, Pick pick, const std::string& help) {
        CLI::Option* declared = option(name, pick(run_options.unlearn), help);
        presets.push_back([this, declared, pick](UnlearnOptions& defaults) {
            if (declared->count() == 0) pick(run_options.unlearn) = pick(defaults);
        });
    }
    Json switch_table() const;
    int report(const RunResult& result, const RunDirectory& directory);

    std::string switches_text;
    AttackOptions attack_options;
    std::vector<std::function<void(UnlearnOptions&)>> presets;
};

}  // namespace lethe::tools
