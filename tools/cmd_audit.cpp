#include <cstdio>

#include "data/file.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "tools/progress.h"
#include "tools/unlearn_inputs.h"
#include "unlearn/audit.h"
#include "unlearn/certificate.h"
#include "unlearn/run_manifest.h"

namespace lethe::tools {
namespace {

class AuditCommand : public Command {
public:
    explicit AuditCommand(CLI::App& root)
        : Command(root, "audit", "recompute what a run of lethe unlearn claims; certify or refuse it",
                  "lethe audit runs/unlearn --data cifar10:/elsewhere/cifar-10-batches-bin") {
        app().add_option("RUN", run_folder, "run directory of lethe unlearn, which has ended")->required();
        option("data", data_source, "where the images are now; default: where they were");
        option("weights", weights_file, "where the weights before are now; default: where they were")
            ->type_name("FILE");
        option("out", out, "folder of certificate.json and certificate.html; default: RUN");
    }

protected:
    int run() override;

private:
    std::unique_ptr<UnlearnInputs> load_inputs(const RunDirectory& directory) const;
    int conclude(const AuditReport& report);
    Json report_json(const AuditReport& report) const;
    std::filesystem::path certificate_folder() const { return out.empty() ? run_folder : out; }

    std::string run_folder, out;
};

// Loads as `lethe unlearn --config RUN/config.json` would, with what has moved; config.json is then compared with what
// that command writes, but for the options given here and those that change no result.
std::unique_ptr<UnlearnInputs> AuditCommand::load_inputs(const RunDirectory& directory) const {
    std::vector<std::string> arguments{"--config", directory.file("config.json").string(), "--quiet", "--threads",
                                       std::to_string(threads)};
    std::vector<std::string> replaced = free_keys();
    for (const char* key : {"data", "weights", "device", "precision"}) {
        const CLI::Option* given = app().get_option(concat("--", key));
        if (given->count() == 0) continue;
        arguments.insert(arguments.end(), {concat("--", key), given->as<std::string>()});
        replaced.push_back(key);
    }
    std::unique_ptr<UnlearnInputs> loaded = load_unlearn_inputs(arguments);
    const Json claimed = directory.read_json("config.json");
    Json config{{"command", "unlearn"}};
    config.update(loaded->config);
    for (const std::string& key : replaced)
        if (claimed.contains(key)) config[key] = claimed.at(key);
    loaded->config = config;
    loaded->inputs["weights"] = config.at("weights");
    return loaded;
}

int AuditCommand::run() {
    const RunDirectory directory{std::filesystem::path(run_folder)};
    AuditReport report;
    if (!audit_files(directory, report).passed()) return conclude(report);  // what was changed is not interpreted
    const std::unique_ptr<UnlearnInputs> loaded = load_inputs(directory);
    const AuditSubject subject{.model = *loaded->model,
                               .train = loaded->train,
                               .test = loaded->test,
                               .select_forget_set = loaded->select_forget_set,
                               .options = loaded->options,
                               .config = loaded->config,
                               .inputs = loaded->inputs};
    TerminalReporter reporter(quiet);
    audit_contents(directory, subject, report, reporter);
    if (report.accepted())
        write_certificate(certificate_folder(),
                          make_certificate(report, subject, sha256_file(directory.file(manifest_file)),
                                           environment(loaded->model->device())));
    return conclude(report);
}

int AuditCommand::conclude(const AuditReport& report) {
    std::string text;
    for (const AuditCheck& check : report.checks) {
        text += concat(check.passed() ? "holds    " : "REFUSED  ", check.name, ": ", check.question, "\n");
        for (const std::string& finding : check.findings) text += "           " + finding + "\n";
    }
    const std::filesystem::path folder = certificate_folder();
    if (report.accepted()) {
        for (const AuditedMethod& method : report.methods)
            text += concat("verdict  ", method.result.method, ": ", name(method.result.verdict), ", ",
                           method.result.reason, "\n");
        text += concat("accepted, numbers compared ", report.exact ? "exactly" : "within rounding", ": ",
                       (folder / "certificate.html").string(), ", certificate.json\n");
    } else {
        const bool removed = remove_certificate(folder);
        text += concat("refused: no certificate", removed ? ", and the one of an earlier audit was removed" : "", "\n");
    }
    say(text);
    write_json_option(report_json(report));
    return report.accepted() ? 0 : exit_refused;
}

Json AuditCommand::report_json(const AuditReport& report) const {
    Json checks = Json::array();
    for (const AuditCheck& check : report.checks)
        checks.push_back({{"check", check.name},
                          {"question", check.question},
                          {"passed", check.passed()},
                          {"findings", check.findings}});
    return {{"run", run_folder}, {"accepted", report.accepted()}, {"exact", report.exact}, {"checks", checks}};
}

}  // namespace

std::unique_ptr<Command> make_audit(CLI::App& root) { return std::make_unique<AuditCommand>(root); }

}  // namespace lethe::tools
