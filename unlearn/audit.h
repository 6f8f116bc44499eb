// The audit of a finished run: everything it claims is computed again from the data, the weights before and the weights
// it saved. What the checks are, and what they cannot know: docs/audit.md.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "unlearn/run.h"
#include "unlearn/run_directory.h"

namespace lethe {

// One question and its answer.
struct AuditCheck {
    std::string name;                   // "files", "adv+imp: numbers"
    std::string question;               // one line: what was compared with what
    std::vector<std::string> findings;  // a sentence each, naming file and number; empty: passed
    bool passed() const { return findings.empty(); }
};

// Where a method stands against one rule that its verdict follows from.
struct Criterion {
    std::string rule, found;
    bool met = false;
};

// What the run claims about a method, recomputed.
struct AuditedMethod {
    MethodResult result;
    std::string weights_sha256;
    std::vector<Criterion> criteria;
};

struct AuditReport {
    Json manifest;     // manifest.json
    Json environment;  // environment.json: where the run was made
    bool exact = false;
    std::vector<AuditCheck> checks;
    Json forget_set;  // as forget_set.json, recomputed
    MethodResult before;
    std::vector<AuditedMethod> methods;

    bool accepted() const;  // all checks passed
};

// What the run says it worked on, loaded anew: from the run's config.json, or from where it has moved to.
struct AuditSubject {
    Model& model;  // with the weights before
    const Dataset &train, &test;
    std::function<std::vector<int64_t>()> select_forget_set;  // what config.json's expression names
    RunOptions options;
    Json config;  // config.json as the command would write it
    Json inputs;  // inputs.json likewise
};

// Numbers that are no counts may differ by this share of max(1, |number|) when the run was made by another version,
// compiler, processor or backend; else nothing may differ.
inline constexpr double audit_tolerance = 1e-4;

// The first check, before anything in the directory is interpreted: it holds the files of its manifest, and no others.
AuditCheck audit_files(const RunDirectory& run, AuditReport& report);
// The others, in the order of the report. They end early when the data or the weights before are not the run's.
void audit_contents(const RunDirectory& run, const AuditSubject& subject, AuditReport& report, Reporter& reporter);

}  // namespace lethe
