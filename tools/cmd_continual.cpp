#include <algorithm>
#include <sstream>

#include "data/file.h"
#include "data/split.h"
#include "tensor/error.h"
#include "tools/progress.h"
#include "tools/unlearn_command.h"
#include "unlearn/continual.h"
#include "unlearn/run_manifest.h"

namespace lethe::tools {
namespace {

constexpr const char* record_file = "continual.json";

class ContinualCommand : public UnlearnCommand {
public:
    explicit ContinualCommand(CLI::App& root)
        : UnlearnCommand(
              root, "continual", "a sequence of forget requests over one model; earlier ones are re-checked",
              "lethe continual --weights runs/train/weights.safetensors --data synthetic --requests 5 --k 8") {
        methods_text = "adv+imp";
        out = "runs/continual";
        input_options();
        list_option("request", asked,
                    "D_f of the next request, as often as there are requests, in the forms of lethe unlearn --forget")
            ->type_name("SPEC");
        option("request-file", request_file, "requests after those, one to a line, '#' starts a comment")
            ->type_name("FILE");
        option("requests", drawn, "instead: this many requests of --k images each, drawn from the seed");
        option("k", k, "images of each request that is drawn");
        option("method", methods_text, "the method, the same for all requests (lethe methods)");
        flag("again", again, "every request forgets the images of all earlier ones again: D_f is the union");
        flag("stop-on-failure", stop_on_failure, "end with the first request whose method does not forget");
        option("out", out, "folder of the sequence; one that is there is continued");
        method_options();
    }

protected:
    int run() override;

private:
    // Those that `lethe unlearn` does not have.
    static const std::vector<std::string>& own_keys() {
        static const std::vector<std::string> keys{"request", "request-file", "requests",       "k",
                                                   "method",  "again",        "stop-on-failure"};
        return keys;
    }
    std::vector<std::string> keys_that_may_differ() const;
    std::vector<std::string> expressions() const;
    std::vector<ForgetRequest> find_requests(const UnlearnInputs& inputs) const;
    ContinualRecord begun(const RunDirectory& directory, const std::vector<ForgetRequest>& requests) const;
    RequestResult answer(UnlearnInputs& inputs, const std::vector<ForgetRequest>& requests, ContinualRecord& record,
                         const RunDirectory& directory);
    Json request_config(const std::vector<ForgetRequest>& requests, std::size_t number, const std::string& run) const;
    void go_on_from(UnlearnInputs& inputs, const RequestResult& result, const RunDirectory& directory);
    int conclude(const ContinualRecord& record, std::size_t requests, const RunDirectory& directory) const;

    std::vector<std::string> asked;
    std::string request_file;
    int64_t drawn = 0, k = 8;
    bool again = false, stop_on_failure = false;
};

// When a sequence is continued; the images of its requests are compared themselves.
std::vector<std::string> ContinualCommand::keys_that_may_differ() const {
    std::vector<std::string> keys = free_keys();
    keys.insert(keys.end(), {"request", "request-file", "requests", "k", "stop-on-failure"});
    return keys;
}

// What was asked on the command line and in the file.
std::vector<std::string> ContinualCommand::expressions() const {
    std::vector<std::string> all = asked;
    if (request_file.empty()) return all;
    std::istringstream lines(read_text(request_file));
    for (std::string line; std::getline(lines, line);) {
        line = line.substr(0, line.find('#'));
        const std::size_t first = line.find_first_not_of(" \t\r");
        if (first != std::string::npos) all.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    }
    return all;
}

std::vector<ForgetRequest> ContinualCommand::find_requests(const UnlearnInputs& inputs) const {
    std::vector<ForgetRequest> requests;
    const auto add = [&](const std::string& expression, const std::vector<int64_t>& images) {
        requests.push_back({std::to_string(requests.size() + 1), expression, images});
    };
    const std::vector<std::string> listed = expressions();
    check(listed.empty() != (drawn == 0),
          "continual: give the requests one by one (--request, --request-file) or let them be drawn (--requests N --k "
          "K)");
    for (const std::string& expression : listed) {
        check(forget_split(expression) == Split::train, "continual: request ", expression,
              " is of test images; only training images can be forgotten");
        add(expression, inputs.select(expression));
    }
    if (drawn == 0) return check_disjoint(requests), requests;
    check(drawn >= 1 && k >= 1, "continual: --requests and --k must be >= 1, got ", drawn, " and ", k);
    check(k <= inputs.train.size() / drawn, "continual: ", drawn, " requests of ", k, " images are more than the ",
          inputs.train.size(), " of the training set");
    const std::string expression = concat("random:", seed, ":", drawn * k);
    const std::vector<int64_t> images = inputs.select(expression);
    for (auto first = images.begin(); first != images.end(); first += k)
        add(concat(expression, ", part ", requests.size() + 1), {first, first + k});
    return requests;
}

// What is there of a sequence that is continued. Requests may be added to it, those that were answered stay.
ContinualRecord ContinualCommand::begun(const RunDirectory& directory,
                                        const std::vector<ForgetRequest>& requests) const {
    const std::string path = directory.file(record_file).string();
    ContinualRecord record;
    record.method = methods_text;
    record.again = again;
    if (!directory.has(record_file)) return record;
    try {
        record = record_from(directory.read_json(record_file));
    } catch (const Json::exception& error) {
        fail(path, " is not one that lethe continual writes (", error.what(), ")");
    }
    check(record.requests.size() <= requests.size(), path, " holds ", record.requests.size(),
          " requests that were answered, this command names ", requests.size(), "; give another --out, or all of them");
    for (std::size_t i = 0; i < record.requests.size(); ++i)
        check(record.requests[i].request.forget == requests[i].forget, path, ": request ", i + 1, " was answered as ",
              record.requests[i].request.asked, ", this command has ", requests[i].asked,
              " in its place; give another --out, or the requests in their order");
    return record;
}

// config.json of a request: `lethe unlearn --config` repeats it.
Json ContinualCommand::request_config(const std::vector<ForgetRequest>& requests, std::size_t number,
                                      const std::string& run) const {
    const std::vector<int64_t> before = images_of(requests, number);
    Json config = resolved();
    for (const std::string& key : own_keys()) config.erase(key);
    config["forget"] = images_expression(again ? images_of(requests, number + 1) : requests[number].forget);
    config["earlier"] = before.empty() ? "" : images_expression(before);
    config["methods"] = methods_text;
    config["out"] = run;
    return config;
}

// Makes the weights that a request left those that the next begins with.
void ContinualCommand::go_on_from(UnlearnInputs& inputs, const RequestResult& result, const RunDirectory& directory) {
    weights_file = directory.file(result.run + "/" + methods_text + "/weights.safetensors").string();
    load_weights(inputs);
    check(weights_hash == result.weights_sha256, weights_file, " is not the file that request ", result.request.name,
          " left: it has another hash");
}

// The next request: its run, and what the model it leaves makes of it and of those before.
RequestResult ContinualCommand::answer(UnlearnInputs& inputs, const std::vector<ForgetRequest>& requests,
                                       ContinualRecord& record, const RunDirectory& directory) {
    const std::size_t number = record.requests.size();
    const ForgetRequest& request = requests[number];
    const std::string folder = directory.file("requests/" + request.name).string();
    const RunDirectory run(folder, "unlearn", request_config(requests, number, folder), free_keys());
    run_options.earlier = images_of(requests, number);
    say(concat("\nrequest ", request.name, " of ", requests.size(), ": ", request.asked, ", ", request.forget.size(),
               " images", run.resumed() ? "; continuing" : ""));

    TerminalReporter reporter(quiet);
    const std::vector<int64_t> forget_set = again ? images_of(requests, number + 1) : request.forget;
    const RunResult made = make_run(inputs, forget_set, run, reporter);
    const MethodResult &before = made.rows.front(), &after = made.rows.back();
    if (number == 0) {
        record.retain_before = before.retain.accuracy;
        record.test_before = before.test.accuracy;
    }
    RequestResult result = result_of(request, before, after);
    result.weights_sha256 = sha256_file(run.file(methods_text + "/weights.safetensors"));
    if (!result.finite) return result;
    go_on_from(inputs, result, directory);
    const std::unique_ptr<Model> twin = fold_batchnorm(*inputs.model);
    result.own = look_again(*twin, inputs.train, request, seed);
    if (number == 0) return result;
    reporter.begin("earlier requests", static_cast<int64_t>(number), "requests");
    int64_t recognised = 0;
    for (std::size_t i = 0; i < number; ++i) {
        result.earlier.push_back(look_again(*twin, inputs.train, requests[i], seed));
        recognised += result.earlier.back().accuracy().correct;
        reporter.progress(static_cast<int64_t>(i) + 1, "");
    }
    reporter.end(concat(recognised, " of ", images_of(requests, number).size(), " images recognised again"));
    return result;
}

int ContinualCommand::run() {
    check(split_list(methods_text).size() == 1, "continual: --method must name one method, got '", methods_text, "'");
    check(!run_options.corrects(),
          "continual: relabel true corrects images, which lethe unlearn does; a sequence "
          "forgets");
    const std::unique_ptr<UnlearnInputs> inputs = load_inputs();
    const std::vector<ForgetRequest> requests = find_requests(*inputs);
    const RunDirectory directory(out, "continual", inputs->config, keys_that_may_differ());
    check_inputs(directory, inputs->inputs);
    ContinualRecord record = begun(directory, requests);
    if (directory.resumed()) {  // requests may have been added
        Json config{{"command", "continual"}};
        config.update(inputs->config);
        directory.write_json("config.json", config);
    }
    say(concat(device_line(), "; ", requests.size(), " requests, method ", methods_text, ", protocol ", protocol_name));
    say_switches();
    if (directory.resumed()) say(concat("continuing ", out, " after ", record.requests.size(), " requests"));

    const auto goes_on = [&] {
        const auto failed = [](const RequestResult& result) { return result.verdict != Verdict::forgotten; };
        if (record.requests.size() == requests.size()) return false;
        if (stop_on_failure && std::any_of(record.requests.begin(), record.requests.end(), failed)) return false;
        return record.requests.empty() || record.requests.back().finite;
    };
    if (goes_on() && !record.requests.empty()) go_on_from(*inputs, record.requests.back(), directory);
    while (goes_on()) {
        record.requests.push_back(answer(*inputs, requests, record, directory));
        directory.write_json(record_file, to_json(record));
    }
    return conclude(record, requests.size(), directory);
}

int ContinualCommand::conclude(const ContinualRecord& record, std::size_t requests,
                               const RunDirectory& directory) const {
    write_continual_picture(directory.file("continual.png"), record);
    say("\n" + continual_table(record));
    if (record.requests.size() < requests)
        say(concat("request ", record.requests.size() + 1, " was not begun: request ",
                   record.requests.back().request.name, " ended as ", name(record.requests.back().verdict), ", ",
                   record.requests.back().reason));
    say("folder: " + directory.path().string() + "  (continual.json, continual.png, requests/N)");
    write_json_option(directory.read_json(record_file));
    int code = 0;
    for (const RequestResult& result : record.requests) code = std::max(code, exit_code(result.verdict));
    return code;
}

}  // namespace

std::unique_ptr<Command> make_continual(CLI::App& root) { return std::make_unique<ContinualCommand>(root); }

}  // namespace lethe::tools
