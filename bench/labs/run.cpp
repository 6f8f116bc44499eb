#include "bench/labs/run.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "bench/labs/check.h"
#include "bench/labs/timing.h"
#include "tensor/error.h"

namespace LETHE_CUDA::labs {
namespace {

Operands operands_of(const Problem& problem) {
    Operands operands;
    for (const Tensor& tensor : problem.in) operands.in.push_back(tensor.to(lab_device));
    for (const Tensor& tensor : problem.out) operands.out.push_back(tensor.to(lab_device));
    if (problem.workspace > 0)
        operands.workspace = Tensor::full({problem.workspace}, std::numeric_limits<float>::quiet_NaN(), lab_device);
    return operands;
}

std::vector<float> values_of(const std::vector<Tensor>& tensors) {
    std::vector<float> values;
    for (const Tensor& tensor : tensors) {
        const Tensor here = tensor.cpu();
        values.insert(values.end(), here.values().begin(), here.values().end());
    }
    return values;
}

std::string fixed(double value, int digits) {
    std::ostringstream out;
    out << std::fixed << std::setprecision(digits) << value;
    return out.str();
}

// While this lives, fresh memory holds NaN, so that what a kernel leaves unwritten is noticed.
class Poison {
public:
    explicit Poison(CachingAllocator& allocator) : allocator_(allocator) { allocator_.set_poison(true); }
    ~Poison() { allocator_.set_poison(false); }
    Poison(const Poison&) = delete;
    Poison& operator=(const Poison&) = delete;

private:
    CachingAllocator& allocator_;
};

// One line per version and size.
struct Line {
    std::string name, idea;
    Bound bound;
    double error;  // share of the tolerance; negative: not compared
    Timing timing;
};

class LabRun {
public:
    LabRun(const Lab& lab, const RunOptions& options, Bench& bench, const Ceilings& ceilings, std::ostream& text)
        : lab_(lab), options_(options), bench_(bench), ceilings_(ceilings), text_(text) {}

    nlohmann::json run() {
        text_ << "\n" << lab_.name << ": " << lab_.about << "\n";
        for (const Size& size : lab_.odd) check_all(lab_.problem(size));
        report_checks();
        nlohmann::json report{{"about", lab_.about}};
        if (!is_emulated)
            for (const Size& size : options_.full ? lab_.full : lab_.small)
                report["sizes"].push_back(time_all(lab_.problem(size)));
        report["versions"] = checks_;
        return report;
    }

    int wrong() const { return static_cast<int>(wrong_.size()); }

private:
    // Runs once and compares.
    template <class Run>
    Verdict check(const Problem& problem, const Checker& checker, const std::string& name, Bound bound, Run&& run) {
        const Poison poison(bench_.device.allocator());
        Operands operands = operands_of(problem);
        bench_.wait();
        try {
            run(operands);
            bench_.wait();
        } catch (const Error& error) {  // of a launch or a library, or the emulator's about a kernel
            return {false, std::numeric_limits<double>::infinity(), error.what()};
        }
        std::vector<float> values = values_of(operands.out);
        if (name == options_.broken) values[values.size() / 2] += 1.0f + std::abs(values[values.size() / 2]);
        return checker.check(values, bound);
    }

    // Also keeps what came of it.
    Verdict check(const Problem& problem, const Checker& checker, const Version& version) {
        Verdict verdict = check(problem, checker, version.name, version.bound,
                                [&](Operands& operands) { version.run(operands, bench_.stream.get()); });
        nlohmann::json& entry = checks_[version.name];
        entry["idea"] = version.idea;
        entry["right"] = entry.value("right", true) && verdict.right;
        entry["worst_error"] = std::max(entry.value("worst_error", 0.0), verdict.share);
        entry["checked"].push_back(problem.size);
        if (!verdict.right) report_wrong(version.name, problem, verdict);
        return verdict;
    }

    void report_wrong(const std::string& version, const Problem& problem, const Verdict& verdict) {
        wrong_.insert(version);
        text_ << (is_emulated ? "  emulated: " : "  ") << version << " is WRONG at " << problem.size << ": "
              << verdict.problem << "\n";
    }

    void check_all(const Problem& problem) {
        const Checker checker(problem, std::numeric_limits<std::int64_t>::max());
        for (const Version& version : problem.versions) check(problem, checker, version);
    }

    void report_checks() {
        for (const auto& [name, entry] : checks_.items()) {
            if (wrong_.count(name) > 0) continue;
            text_ << (is_emulated ? "  emulated: correct, not timed: " : "  correct: ") << name << " at "
                  << entry["checked"].size() << " odd sizes, worst error " << fixed(entry["worst_error"], 3)
                  << " of the tolerance; " << entry["idea"].get<std::string>() << "\n";
        }
    }

    nlohmann::json time_all(const Problem& problem) {
        constexpr std::int64_t sample = 1000;
        const Checker checker(problem, sample);
        std::vector<Operands> sets(static_cast<std::size_t>(sets_beyond_cache(problem.bytes)));
        for (Operands& set : sets) set = operands_of(problem);
        const auto timed = [&](const auto& run) {
            return measure(bench_, static_cast<int>(sets.size()), options_.repeats,
                           [&](int i) { run(sets[static_cast<std::size_t>(i)]); });
        };
        std::vector<Line> lines;
        for (const Version& version : problem.versions) {
            if (wrong_.count(version.name) > 0) continue;
            const Verdict verdict = check(problem, checker, version);
            if (!verdict.right) continue;
            lines.push_back({version.name, version.idea, version.bound, verdict.share,
                             timed([&](Operands& set) { version.run(set, bench_.stream.get()); })});
        }
        for (const Vendor& vendor : problem.vendors) add_vendor(problem, checker, vendor, timed, lines);
        return report(problem, lines);
    }

    template <class Timed>
    void add_vendor(const Problem& problem, const Checker& checker, const Vendor& vendor, const Timed& timed,
                    std::vector<Line>& lines) {
        bool no_plan = false;
        const auto run = [&](Operands& operands) {
            no_plan = !vendor.run(bench_.libraries.get(), operands, bench_.stream.get());
        };
        const Verdict verdict = check(problem, checker, vendor.name, vendor.bound, run);
        if (no_plan) {
            text_ << "  " << vendor.name << ": n/a at " << problem.size << "\n";
        } else if (vendor.same_result && !verdict.right) {
            report_wrong(vendor.name, problem, verdict);
        } else {
            lines.push_back({vendor.name, vendor.same_result ? "" : "another operation, for comparison", vendor.bound,
                             vendor.same_result ? verdict.share : -1.0, timed(run)});
        }
    }

    nlohmann::json report(const Problem& problem, const std::vector<Line>& lines) {
        text_ << "\n  " << problem.size << ": " << fixed(1e-9 * problem.operations, 3) << " GFLOP, "
              << fixed(1e-6 * problem.bytes, 1) << " MB\n"
              << "  version                  median us  spread       rate          of ceiling  speed-up  error  idea\n";
        nlohmann::json rows = nlohmann::json::array();
        for (const Line& line : lines) rows.push_back(report(problem, line, lines.front()));
        return {{"size", problem.size},
                {"bytes", problem.bytes},
                {"operations", problem.operations},
                {"lines", std::move(rows)}};
    }

    nlohmann::json report(const Problem& problem, const Line& line, const Line& first) {
        const double rate = problem.work(line.bound) / line.timing.median, ceiling = ceilings_.of(line.bound);
        const double speedup = first.timing.median / line.timing.median;
        text_ << "  " << std::left << std::setw(23) << line.name << std::right << std::setw(11)
              << fixed(1e6 * line.timing.median, 2) << std::setw(7) << fixed(100.0 * line.timing.spread(), 1) << "%"
              << std::setw(11) << fixed(1e-9 * rate, 1) << (line.bound == Bound::memory ? " GB/s   " : " GFLOP/s")
              << std::setw(8) << (ceiling > 0.0 ? fixed(100.0 * rate / ceiling, 1) + "%" : "n/a") << " " << std::left
              << std::setw(7) << name(line.bound) << std::right << std::setw(6) << fixed(speedup, 2) << "x"
              << std::setw(8) << (line.error < 0.0 ? "-" : fixed(line.error, 3)) << "  " << line.idea << "\n";
        nlohmann::json row{{"name", line.name},
                           {"idea", line.idea},
                           {"bound", name(line.bound)},
                           {"median_us", 1e6 * line.timing.median},
                           {"lower_quartile_us", 1e6 * line.timing.lower_quartile},
                           {"upper_quartile_us", 1e6 * line.timing.upper_quartile},
                           {"rate", rate},
                           {"speedup", speedup}};
        if (ceiling > 0.0) row["of_ceiling"] = rate / ceiling;
        if (line.error >= 0.0) row["worst_error"] = line.error;
        return row;
    }

    const Lab& lab_;
    const RunOptions& options_;
    Bench& bench_;
    const Ceilings& ceilings_;
    std::ostream& text_;
    nlohmann::json checks_ = nlohmann::json::object();  // by version
    std::set<std::string> wrong_;
};

std::vector<Lab> selected(const std::vector<std::string>& names) {
    std::vector<Lab> labs;
    for (Lab& lab : all_labs())
        if (names.empty() || std::find(names.begin(), names.end(), lab.name) != names.end())
            labs.push_back(std::move(lab));
    for (const std::string& wanted : names)
        check(std::any_of(labs.begin(), labs.end(), [&](const Lab& lab) { return lab.name == wanted; }),
              "no lab is called ", wanted, "; --list names them");
    return labs;
}

nlohmann::json to_json(const Ceilings& ceilings) {
    nlohmann::json result{{"copy_bytes_per_second", ceilings.copy}, {"fp32_flops", ceilings.fp32}};
    if (ceilings.tf32 > 0.0) result["tf32_flops"] = ceilings.tf32;
    return result;
}

Ceilings ceilings_of(const Bench& bench, int repeats, std::ostream& text) {
    const Ceilings ceilings = measure_ceilings(bench, repeats);
    text << "ceilings: copy " << fixed(1e-9 * ceilings.copy, 0) << " GB/s (read plus written), float32 "
         << fixed(1e-12 * ceilings.fp32, 1) << " TFLOP/s, TF32 "
         << (ceilings.tf32 > 0.0 ? fixed(1e-12 * ceilings.tf32, 1) + " TFLOP/s" : "n/a") << "\n";
    return ceilings;
}

}  // namespace

int run_labs(const RunOptions& options, std::ostream& text) {
    const std::vector<Lab> labs = selected(options.labs);
    Bench bench;
    nlohmann::json document{{"device", bench.device.description()}, {"emulated", is_emulated}};
    text << bench.device.description() << "\n";
    Ceilings ceilings;
    if (!is_emulated) {
        ceilings = ceilings_of(bench, options.repeats, text);
        document["ceilings"] = to_json(ceilings);
    }
    int wrong = 0;
    for (const Lab& lab : labs) {
        LabRun run(lab, options, bench, ceilings, text);
        document["labs"][lab.name] = run.run();
        wrong += run.wrong();
    }
    if (!options.json.empty()) {
        std::ofstream file(options.json);
        file << document.dump(1) << "\n";
        file.close();
        check(file.good(), "cannot write ", options.json);
    }
    return wrong;
}

}  // namespace LETHE_CUDA::labs
