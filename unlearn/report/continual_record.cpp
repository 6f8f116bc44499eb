#include "unlearn/report/record_file.h"
#include "unlearn/report/records.h"

namespace lethe::report {
namespace {

RequestRecord request_from(const Json& json) {
    RequestRecord request{.name = json.at("name"), .run = json.at("run"), .verdict = json.at("verdict")};
    request.forget = json.at("forget").get<std::vector<int64_t>>();
    request.steps = json.at("steps");
    request.seconds = json.at("seconds");
    request.forgotten = accuracy_from(json.at("D_f"));
    request.retain = accuracy_from(json.at("D_r"));
    request.test = accuracy_from(json.at("D_test"));
    for (const Json& earlier : json.at("earlier")) request.earlier[earlier.at("request")] = accuracy_from(earlier);
    return request;
}

}  // namespace

ContinualRecord read_continual(const std::filesystem::path& folder) {
    ContinualRecord record{.name = name_of(folder), .folder = folder.string()};
    const char* const file = "continual.json";
    read_record(folder, file, [&](const Json& json) {
        record.method = json.at("method");
        if (json.contains("before")) {
            record.retain_before = accuracy_from(json.at("before").at("D_r"));
            record.test_before = accuracy_from(json.at("before").at("D_test"));
        }
        for (const Json& entry : json.at("requests")) {
            RequestRecord request = request_from(entry);
            for (const RequestRecord& earlier : record.requests)
                check(request.earlier.contains(earlier.name), "report: ", (folder / file).string(), ": request ",
                      request.name, " does not say what became of request ", earlier.name);
            check(request.earlier.size() == record.requests.size(), "report: ", (folder / file).string(), ": request ",
                  request.name, " tells of requests that are not earlier ones");
            record.requests.push_back(std::move(request));
        }
    });
    check(!record.requests.empty(), "report: ", (folder / file).string(), " has no request");
    return record;
}

}  // namespace lethe::report
