#include "tools/command.h"

#include <algorithm>
#include <charconv>
#include <iostream>
#include <sstream>

#include "data/file.h"
#include "data/weights.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "unlearn/manifest.h"

namespace lethe::tools {

double shortest(float value) {
    char text[32];
    const char* end = std::to_chars(text, text + sizeof text, value).ptr;
    double result = 0;
    std::from_chars(text, end, result);
    return result;
}

Command::Command(CLI::App& root, const std::string& name, const std::string& summary, const std::string& example)
    : app_(root.add_subcommand(name, summary)) {
    app_->footer("Example:\n  " + example);
    option(
        "device", device,
        "where to compute: auto (a GPU when one works, else the CPU), cpu, cuda, or emulated (the CUDA kernels on the "
        "CPU, thread by thread: slow, for study)")
        ->check(CLI::IsMember({"auto", "cpu", "cuda", "emulated"}));
    option("precision", precision, "on a GPU: strict float32, tf32, or bf16 activations with float32 weights")
        ->check(CLI::IsMember({"strict", "tf32", "bf16"}));
    option("threads", threads, "threads to use; 0 = all of this machine. Results do not depend on it");
    option("seed", seed, "seed of every random stream");
    app_->add_option("--config", config_file_, "JSON file of options, as a run's config.json; the command line wins")
        ->type_name("FILE");
    app_->add_option("--json", json_file, "also write the results to this file")->type_name("FILE");
    app_->add_flag("--quiet", quiet, "print errors only");
}

CLI::Option* Command::flag(const std::string& name, bool& value, const std::string& help) {
    resolved_.emplace_back(name, [&value] { return Json(value); });
    return app_->add_flag("--" + name, value, help)->take_last();
}

CLI::Option* Command::list_option(const std::string& name, std::vector<std::string>& values, const std::string& help) {
    resolved_.emplace_back(name, [&values] { return Json(values); });
    return app_->add_option("--" + name, values, help)->allow_extra_args(false);
}

int Command::start() {
    set_threads(threads);
    choose_device();
    for (const Precision known : {Precision::strict, Precision::tf32, Precision::bf16})
        if (precision == name(known)) backend(device_named(device)).set_precision(known);
    return run();
}

void Command::choose_device() {
    if (device != "auto") {
        backend(device_named(device));  // throws, saying what is missing
        return;
    }
    device = "cpu";
    try {
        backend(Device::cuda);
        device = "cuda";
    } catch (const std::exception&) {
        return;  // no GPU here: that is what "auto" is for
    }
    say(concat("device cuda: ", backend(Device::cuda).description()));
}

std::string Command::device_line() const {
    if (device == "cpu") return concat("device cpu, ", lethe::threads(), " threads");
    return concat("device ", device, ", ", precision);
}

void Command::model_options(bool required) {
    auto* weights =
        option("weights", weights_file,
               "weights: safetensors, a PyTorch file (.pt, .pth, .th, .bin), .npz, or a Hugging Face folder");
    weights->type_name("FILE");
    if (required) weights->required();
    option("model", model_name, "architecture (lethe inspect --models); default: what the weights file says");
    option("stem", stem,
           "first layers of resnet18/34/50: imagenet, cifar or cifar-maxpool; default: the file's, or imagenet");
    option("classes", classes, "number of classes; 0 = the file's, or as many as the data have");
    option("image-size", image_size, "side of the images, for models whose weights depend on it; 0 = the file's");
    option("normalize", normalize,
           "input normalisation: cifar10, cifar100, imagenet, none or MEANS/STDS; default: the file's, or none");
    transform_option("the file's, or what the data or the model usually have");
}

void Command::transform_option(const std::string& fallback) {
    option("transform", transform,
           "how images become the model's input: steps such as resize=256,crop=224 or a preset (lethe inspect "
           "--datasets); default: " +
               fallback);
}

void Command::data_options(const std::string& help) {
    option("data", data_source,
           help +
               ": KIND:PATH, such as cifar10:DIR, folder:DIR or synthetic (lethe inspect "
               "--datasets)");
    option("corrupt", corrupt, "image files that cannot be decoded: fail, when one is asked for, or skip them all")
        ->check(CLI::IsMember({"fail", "skip"}));
    option("cache-mib", cache_mib, "memory for decoded images of each split, in MiB; 0 = decode them every time");
}

Json Command::resolved() const {
    Json config;
    for (const auto& [name, value] : resolved_) config[name] = value();
    return config;
}

const std::vector<std::string>& Command::free_keys() {
    static const std::vector<std::string> keys{"threads", "out", "checkpoint-seconds", "cache-mib"};
    return keys;
}

std::unique_ptr<Model> Command::load_model() { return load_model(read_weights(weights_file)); }

std::unique_ptr<Model> Command::load_model(const WeightFile& file) {
    ModelSpec spec = agreed_spec(weights_file, file.metadata, {model_name, stem, classes, image_size, normalize});
    if (normalize.empty() && !file.metadata.contains("lethe.mean"))
        std::cerr << "lethe: warning: no --normalize given and the weights file does not say; using raw pixels\n";
    if (!transform.empty()) spec.transform = describe(parse_transform(transform));
    weights_metadata = file.metadata;
    weights_hash = file.sha256;
    auto model = std::make_unique<Model>(spec, std::nullopt);
    try {
        model->load_state(file.state());
    } catch (const Error& error) {
        fail(weights_file, ": ", error.what());
    }
    model->to(device_named(device));
    return model;
}

// For a model of 224 pixels 256 before the crop, other sizes in proportion. Models for small images, and larger ones
// with the stem for them, take images as they are unless --image-size asks for another size.
Transform Command::usual_transform(const ModelSpec& spec, bool training) const {
    const int64_t own = find_architecture(spec.arch).image_size;
    if ((own < 64 || spec.stem.starts_with("cifar")) && image_size == 0) return {};
    const int64_t side = spec.image_size > 0 ? spec.image_size : own;
    Transform usual{.resize = (side * 8 + 3) / 7};
    (training ? usual.random_resized_crop : usual.crop) = side;
    usual.flip = training;
    return usual;
}

namespace {

void warn_of_skipped(const Dataset& data) {
    constexpr std::size_t most = 10;
    for (std::size_t i = 0; i < std::min(most, data.skipped.size()); ++i)
        std::cerr << "lethe: warning: left out: " << data.skipped[i] << "\n";
    if (!data.skipped.empty())
        std::cerr << "lethe: warning: " << data.skipped.size() << " unreadable " << name(data.split)
                  << (data.skipped.size() == 1 ? " image is" : " images are") << " left out, " << data.size()
                  << " remain\n";
}

}  // namespace

Dataset Command::load_data(Split split, const ModelSpec& spec, bool training) const {
    check(!data_source.empty(), app_->get_name(), ": give --data, for example --data cifar10:DIR or --data synthetic");
    check(cache_mib >= 0 && cache_mib <= int64_t{1} << 40, app_->get_name(), ": --cache-mib must be 0 or more, got ",
          cache_mib);
    LoadOptions options{.for_files = usual_transform(spec, training),
                        .cache_bytes = cache_mib << 20,
                        .on_corrupt = corrupt == "skip" ? OnCorrupt::skip : OnCorrupt::fail};
    const std::string& text = transform.empty() ? spec.transform : transform;
    try {
        if (!text.empty()) options.transform = parse_transform(text);
    } catch (const Error& error) {
        if (!transform.empty()) throw;
        fail(weights_file, ": its manifest's lethe.transform: ", error.what());
    }
    Dataset data = load_dataset(data_source, split, options);
    warn_of_skipped(data);
    return data;
}

Dataset Command::load_data(Split split, const Model& model) const {
    Dataset data = load_data(split, model.spec());
    check(data.classes() == model.spec().classes, app_->get_name(), ": ", data_source, " has ", data.classes(),
          " classes, the model of ", weights_file, " has ", model.spec().classes);
    return data;
}

void Command::say(const std::string& text) const {
    if (!quiet) std::cout << text << (text.ends_with('\n') ? "" : "\n") << std::flush;
}

void Command::write_json_option(const Json& value) const {
    if (json_file.empty()) return;
    constexpr auto handler = Json::error_handler_t::replace;  // names in old PyTorch files may be no UTF-8
    write_text(json_file, value.dump(2, ' ', false, handler) + "\n");
}

namespace {

// The subcommand named first on the command line, or null (then CLI11 complains in its own words).
CLI::App* chosen_command(CLI::App& root, const std::vector<std::string>& arguments) {
    for (const std::string& argument : arguments)
        for (CLI::App* command : root.get_subcommands({}))
            if (command->get_name() == argument) return command;
    return nullptr;
}

std::string text_of(const Json& value, const std::string& where) {
    if (value.is_string()) return value.get<std::string>();
    check(value.is_number() || value.is_boolean(), where, " must be a string, a number, true or false");
    return value.dump();
}

std::string known_options(const CLI::App& command) {
    std::string names;
    for (const CLI::Option* known : command.get_options())
        for (const std::string& name : known->get_lnames())
            if (name != "help" && name != "config") names += (names.empty() ? "" : ", ") + name;
    return names;
}

std::vector<std::string> options_from(const CLI::App& command, const std::string& file) {
    Json config;
    try {
        config = Json::parse(read_text(file));
    } catch (const Json::exception& error) {
        fail("config ", file, " is not valid JSON: ", error.what());
    }
    check(config.is_object(), "config ", file, " must hold one JSON object of options");
    std::vector<std::string> options;
    for (const auto& [key, value] : config.items()) {
        if (key == "command") {
            check(value == command.get_name(), "config ", file, " is for command ", value.dump(), ", not ",
                  command.get_name());
            continue;
        }
        check(key != "config" && command.get_option_no_throw("--" + key) != nullptr, "config ", file, ": unknown key '",
              key, "'; ", command.get_name(), " knows: ", known_options(command));
        const bool is_list = value.is_array() && command.get_option("--" + key)->get_expected_max() > 1;
        for (const Json& item : is_list ? value : Json::array({value})) {
            const std::string text = text_of(item, concat("config ", file, ": ", key));
            if (item.is_string() && text.empty()) continue;  // an empty string is "not given"
            options.push_back("--" + key + "=" + text);
        }
    }
    return options;
}

}  // namespace

std::vector<std::string> expand_config(CLI::App& root, const std::vector<std::string>& arguments) {
    const CLI::App* command = chosen_command(root, arguments);
    std::vector<std::string> expanded;
    std::string file;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (arguments[i] == "--config" && i + 1 < arguments.size())
            file = arguments[++i];
        else if (arguments[i].starts_with("--config="))
            file = arguments[i].substr(9);
        else
            expanded.push_back(arguments[i]);
    }
    if (file.empty() || command == nullptr) return arguments;
    const std::vector<std::string> options = options_from(*command, file);
    const auto position = std::find(expanded.begin(), expanded.end(), command->get_name());
    expanded.insert(position + 1, options.begin(), options.end());
    return expanded;
}

std::vector<std::string> split_list(const std::string& text) {
    std::vector<std::string> items;
    std::istringstream in(text);
    std::string item;
    while (std::getline(in, item, ','))
        if (!item.empty()) items.push_back(item);
    return items;
}

}  // namespace lethe::tools
