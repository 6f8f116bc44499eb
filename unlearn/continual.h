// Continual unlearning: forget requests one after the other over one model. What is known of each of them, and how the
// images of earlier ones are looked at again. Each request is a run of its own (unlearn/run.h); docs/scenarios.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "unlearn/metrics.h"
#include "unlearn/run.h"

namespace lethe {

struct ForgetRequest {
    std::string name;             // its number in the sequence, from "1"
    std::string asked;            // how it was asked for: "random:0:16"
    std::vector<int64_t> forget;  // training images
};

// Throws Error naming an image that is in two requests, and which two.
void check_disjoint(const std::vector<ForgetRequest>& requests);
// The images of the first `count` requests, in the order of the requests.
std::vector<int64_t> images_of(const std::vector<ForgetRequest>& requests, std::size_t count);

// The images of a request as the model sees them at some time after it.
struct Recheck {
    std::string request;              // its name
    std::vector<int64_t> recognised;  // images that are given their true label, in the request's order
    int64_t total = 0;
    double reemergence =
        0;  // as Reemergence::mean: share of mirrored, shifted, noisy ... copies given it; NaN: unknown
    Accuracy accuracy() const { return {static_cast<int64_t>(recognised.size()), total}; }
};
// Through a folded twin. `seed` is that of the views.
Recheck look_again(Model& twin, const Dataset& train, const ForgetRequest& request, uint64_t seed);

struct RequestResult {
    ForgetRequest request;
    std::string run;             // its run directory, relative to the sequence's folder
    std::string weights_sha256;  // of the weights it left
    Verdict verdict = Verdict::not_forgotten;
    std::string reason;
    int64_t steps = 0;
    double seconds = 0;            // of unlearning alone
    Accuracy forget_before;        // its own images by the weights it began with
    Recheck own;                   // and by those it left
    std::vector<Recheck> earlier;  // the requests before it, in order; empty unless `finite`
    Accuracy retain, test;
    bool finite = true;  // all of the model's logits are; else nothing can begin with it
};
// What the run of a request says; `own` and `earlier` are left to look_again(), but for the count of `own`.
RequestResult result_of(const ForgetRequest& request, const MethodResult& before, const MethodResult& after);

// continual.json
struct ContinualRecord {
    std::string method;
    bool again = false;                   // every D_f was the union of all requests so far
    Accuracy retain_before, test_before;  // by the weights that the sequence began with; D_r without the first request
    std::vector<RequestResult> requests;
};
Json to_json(const ContinualRecord& record);
ContinualRecord record_from(const Json& json);  // its inverse; throws Json::exception for anything else

// One row per request, and what of all requests the last model recognises.
std::string continual_table(const ContinualRecord& record);
// A square of counts: for each request (down) how many of its images are recognised before it and after it and every
// later one (across), with the accuracy on D_r and D_test below.
void write_continual_picture(const std::filesystem::path& path, const ContinualRecord& record);

}  // namespace lethe
