#include "unlearn/continual.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "data/picture.h"
#include "tensor/error.h"
#include "unlearn/metrics/reemergence.h"

namespace lethe {
namespace {

Json count_json(const Accuracy& accuracy) { return {{"correct", accuracy.correct}, {"total", accuracy.total}}; }

Accuracy count_from(const Json& json) { return {json.at("correct"), json.at("total")}; }

Json recheck_json(const Recheck& check) {
    return {{"request", check.request},
            {"correct", check.accuracy().correct},
            {"total", check.total},
            {"recognised", check.recognised},
            {"reemergence", check.reemergence}};
}

Recheck recheck_from(const Json& json) {
    const Json& share = json.at("reemergence");  // JSON has no NaN: it is written as null
    return {.request = json.at("request"),
            .recognised = json.at("recognised").get<std::vector<int64_t>>(),
            .total = json.at("total"),
            .reemergence = share.is_null() ? std::nan("") : share.get<double>()};
}

Json request_json(const RequestResult& result) {
    Json earlier = Json::array();
    for (const Recheck& check : result.earlier) earlier.push_back(recheck_json(check));
    return {{"name", result.request.name},
            {"asked", result.request.asked},
            {"forget", result.request.forget},
            {"run", result.run},
            {"verdict", name(result.verdict)},
            {"reason", result.reason},
            {"steps", result.steps},
            {"seconds", result.seconds},
            {"D_f_before", count_json(result.forget_before)},
            {"D_f", recheck_json(result.own)},
            {"earlier", earlier},
            {"D_r", count_json(result.retain)},
            {"D_test", count_json(result.test)},
            {"finite", result.finite},
            {"weights_sha256", result.weights_sha256}};
}

RequestResult request_from(const Json& json) {
    RequestResult result;
    result.request = {json.at("name"), json.at("asked"), json.at("forget").get<std::vector<int64_t>>()};
    result.run = json.at("run");
    result.verdict = verdict_from(json.at("verdict"));
    result.reason = json.at("reason");
    result.steps = json.at("steps");
    result.seconds = json.at("seconds");
    result.forget_before = count_from(json.at("D_f_before"));
    result.own = recheck_from(json.at("D_f"));
    for (const Json& check : json.at("earlier")) result.earlier.push_back(recheck_from(check));
    result.retain = count_from(json.at("D_r"));
    result.test = count_from(json.at("D_test"));
    result.finite = json.at("finite");
    result.weights_sha256 = json.at("weights_sha256");
    return result;
}

// How many of `images` are not in the ascending list `wrong`.
std::vector<int64_t> right_of(const std::vector<int64_t>& images, const std::vector<int64_t>& wrong) {
    std::vector<int64_t> right;
    for (const int64_t image : images)
        if (!std::binary_search(wrong.begin(), wrong.end(), image)) right.push_back(image);
    return right;
}

Accuracy sum_of(const std::vector<Recheck>& checks) {
    Accuracy sum;
    for (const Recheck& check : checks) {
        sum.correct += check.accuracy().correct;
        sum.total += check.total;
    }
    return sum;
}

std::string percent_text(const Accuracy& accuracy) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f %%", accuracy.percent());
    return text;
}

std::string count_text(const Accuracy& accuracy) { return concat(accuracy.correct, "/", accuracy.total); }

std::string share_text(double share) {
    if (!std::isfinite(share)) return "-";
    char text[32];
    std::snprintf(text, sizeof text, "%.0f %%", 100 * share);
    return text;
}

std::string table_line(const std::vector<std::string>& cells) {
    static constexpr int widths[] = {8, 10, 10, 17, 10, 10, 6, 9, 0};
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        line += cells[i] + "  ";
        line.append(static_cast<std::size_t>(std::max<int64_t>(0, widths[i] - std::ssize(cells[i]))), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
}

// The picture: requests down, time across, a square for each count.
class CountSquare {
public:
    explicit CountSquare(const ContinualRecord& record)
        : record_(record),
          first_(std::max(0, static_cast<int>(record.requests.size()) - most)),
          shown_(static_cast<int>(record.requests.size()) - first_),
          canvas_(std::max(left + (shown_ + 1) * side + 20, 640), top + (shown_ + 2) * side + 20) {}

    void write(const std::filesystem::path& path) {
        canvas_.text(15, 14, concat("Recognised of each request, ", record_.method, record_.again ? ", all held" : ""),
                     ink, 2);
        canvas_.text(15, 46, "grey: before its turn; then after its request and every later one", soft);
        row_title(-1, "after request");
        row_title(shown_, "D_r, percent");
        row_title(shown_ + 1, "D_test, percent");
        centred(0, -1, first_ == 0 ? "none" : record_.requests[static_cast<std::size_t>(first_) - 1].request.name);
        if (first_ == 0) accuracies(0, record_.retain_before, record_.test_before);
        for (int i = 0; i < shown_; ++i) request(i, record_.requests[static_cast<std::size_t>(first_ + i)]);
        canvas_.write_png(path);
    }

private:
    static constexpr int left = 120, top = 92, side = 46;  // pixels
    static constexpr int most = 100;                       // requests, the last ones: a picture is for looking at
    static constexpr Colour ink{40, 40, 40}, soft{120, 120, 120}, border{225, 225, 225};
    static constexpr Colour grey{190, 190, 190}, vermilion{213, 94, 0};  // Okabe and Ito's, colour-blind safe

    void row_title(int row, const std::string& text) { canvas_.text(15, top + row * side + side / 2 - 4, text, ink); }
    void centred(int column, int row, const std::string& text) {
        canvas_.text(left + column * side + (side - Canvas::text_width(text)) / 2, top + row * side + side / 2 - 4,
                     text, ink);
    }
    // White where none is recognised, `full` where all are.
    void cell(int column, int row, const Accuracy& seen, Colour full) {
        const double share = seen.percent() / 100;
        Colour colour{};
        for (std::size_t i = 0; i < 3; ++i)
            colour[i] = static_cast<uint8_t>(std::lround(255 - share * (255 - full[i])));
        const int x = left + column * side, y = top + row * side;
        canvas_.rectangle(x, y, side - 1, side - 1, border);
        canvas_.rectangle(x + 1, y + 1, side - 3, side - 3, colour);
        centred(column, row, count_text(seen));
    }
    void accuracies(int column, const Accuracy& retain, const Accuracy& test) {
        for (const auto& [row, accuracy] : {std::pair(shown_, retain), std::pair(shown_ + 1, test)}) {
            char text[16];
            std::snprintf(text, sizeof text, "%.1f", accuracy.percent());
            centred(column, row, text);
        }
    }
    void request(int i, const RequestResult& result) {
        row_title(i, "request " + result.request.name);
        centred(i + 1, -1, result.request.name);
        cell(i, i, result.forget_before, grey);
        cell(i + 1, i, result.own.accuracy(), vermilion);
        for (std::size_t row = static_cast<std::size_t>(first_); row < result.earlier.size(); ++row)
            cell(i + 1, static_cast<int>(row) - first_, result.earlier[row].accuracy(), vermilion);
        accuracies(i + 1, result.retain, result.test);
    }

    const ContinualRecord& record_;
    const int first_, shown_;  // the first request in the picture, and how many there are
    Canvas canvas_;
};

}  // namespace

void check_disjoint(const std::vector<ForgetRequest>& requests) {
    std::map<int64_t, const ForgetRequest*> owners;
    for (const ForgetRequest& request : requests) {
        check(!request.forget.empty(), "continual: request ", request.name, " (", request.asked, ") names no image");
        for (const int64_t image : request.forget) {
            const auto [owner, is_new] = owners.emplace(image, &request);
            check(is_new, "continual: image ", image, " is in request ", owner->second->name, " (",
                  owner->second->asked, ") and in request ", request.name, " (", request.asked,
                  "); an image can be forgotten once");
        }
    }
}

std::vector<int64_t> images_of(const std::vector<ForgetRequest>& requests, std::size_t count) {
    std::vector<int64_t> images;
    for (std::size_t i = 0; i < count; ++i)
        images.insert(images.end(), requests[i].forget.begin(), requests[i].forget.end());
    return images;
}

Recheck look_again(Model& twin, const Dataset& train, const ForgetRequest& request, uint64_t seed) {
    const std::vector<uint64_t> items(request.forget.begin(), request.forget.end());
    std::vector<int64_t> labels;
    for (const int64_t image : request.forget) labels.push_back(train.labels[static_cast<std::size_t>(image)]);
    const Tensor images = train.images(request.forget);
    return {
        .request = request.name,
        .recognised = right_of(request.forget, evaluate_logits(predict(twin, images), labels, request.forget).wrong),
        .total = static_cast<int64_t>(request.forget.size()),
        .reemergence = reemergence(twin, images, labels, items, {.seed = seed}).mean};
}

RequestResult result_of(const ForgetRequest& request, const MethodResult& before, const MethodResult& after) {
    const auto total = static_cast<int64_t>(request.forget.size());
    const auto known = [&](const MethodResult& result) { return right_of(request.forget, result.forget.wrong); };
    return {.request = request,
            .run = "requests/" + request.name,
            .weights_sha256 = {},
            .verdict = after.verdict,
            .reason = after.reason,
            .steps = after.steps,
            .seconds = after.seconds,
            .forget_before = {static_cast<int64_t>(known(before).size()), total},
            .own = {.request = request.name, .recognised = known(after), .total = total, .reemergence = std::nan("")},
            .earlier = {},
            .retain = after.retain.accuracy,
            .test = after.test.accuracy,
            .finite = after.forget.finite && after.retain.finite && after.test.finite};
}

Json to_json(const ContinualRecord& record) {
    Json requests = Json::array();
    for (const RequestResult& result : record.requests) requests.push_back(request_json(result));
    return {{"method", record.method},
            {"again", record.again},
            {"before", {{"D_r", count_json(record.retain_before)}, {"D_test", count_json(record.test_before)}}},
            {"requests", requests}};
}

ContinualRecord record_from(const Json& json) {
    ContinualRecord record{.method = json.at("method"),
                           .again = json.at("again"),
                           .retain_before = count_from(json.at("before").at("D_r")),
                           .test_before = count_from(json.at("before").at("D_test")),
                           .requests = {}};
    for (const Json& request : json.at("requests")) record.requests.push_back(request_from(request));
    return record;
}

std::string continual_table(const ContinualRecord& record) {
    std::string text =
        table_line({"request", "D_f before", "D_f", "earlier sets", "D_r", "D_test", "steps", "seconds", "verdict"});
    text += table_line({"before", "", "", "", percent_text(record.retain_before), percent_text(record.test_before)});
    for (const RequestResult& result : record.requests) {
        char seconds[32];
        std::snprintf(seconds, sizeof seconds, "%.1f", result.seconds);
        const std::string earlier = result.earlier.empty() ? "" : count_text(sum_of(result.earlier)) + " recognised";
        text += table_line({result.request.name, count_text(result.forget_before), count_text(result.own.accuracy()),
                            earlier, percent_text(result.retain), percent_text(result.test),
                            std::to_string(result.steps), seconds, name(result.verdict)});
    }
    if (record.requests.empty()) return text;
    const RequestResult& last = record.requests.back();
    text += concat("changed copies (mirrored, shifted, noisy, ...) that the last model gives their true label: ",
                   share_text(last.own.reemergence), " of request ", last.request.name);
    for (const Recheck& check : last.earlier)
        text += concat(", ", share_text(check.reemergence), " of ", check.request);
    text += "\n";
    for (const Recheck& check : last.earlier) {
        if (check.recognised.empty()) continue;
        text += concat("images that the last model recognises again, of request ", check.request, ":");
        for (const int64_t image : check.recognised) text += concat(" ", image);
        text += "\n";
    }
    return text;
}

void write_continual_picture(const std::filesystem::path& path, const ContinualRecord& record) {
    CountSquare(record).write(path);
}

}  // namespace lethe
