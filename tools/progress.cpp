#include "tools/progress.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <iostream>

#include "tensor/error.h"

namespace lethe::tools {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr double terminal_interval = 0.1, plain_interval = 10.0;  // seconds between lines

std::string rounded(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
    return text;
}

}  // namespace

std::string duration(double seconds) {
    if (seconds < 10) return concat(std::round(seconds * 10) / 10, " s");
    const auto whole = static_cast<int64_t>(std::llround(seconds));
    if (whole < 60) return concat(whole, " s");
    if (whole < 3600) return concat(whole / 60, " min ", whole % 60, " s");
    return concat(whole / 3600, " h ", whole % 3600 / 60, " min");
}

TerminalReporter::TerminalReporter(bool quiet) : quiet_(quiet), terminal_(isatty(STDOUT_FILENO) == 1) {}

void TerminalReporter::begin(const std::string& phase, int64_t total, const std::string& unit) {
    phase_ = phase;
    unit_ = unit;
    total_ = total;
    start_ = last_print_ = Clock::now();
    first_done_ = -1;
}

std::string TerminalReporter::status(int64_t done, const std::string& detail) const {
    const double seconds = seconds_since(first_time_);
    const double rate = seconds > 0 ? static_cast<double>(done - first_done_) / seconds : 0;
    std::string text = phase_ + "  " + std::to_string(done);
    if (total_ > 0) text += "/" + std::to_string(total_);
    text += " " + unit_;
    if (rate > 0) text += ", " + rounded(rate) + "/s";
    if (total_ > 0 && rate > 0 && done < total_)
        text += ", " + duration(static_cast<double>(total_ - done) / rate) + " left";
    return detail.empty() ? text : text + ", " + detail;
}

void TerminalReporter::progress(int64_t done, const std::string& detail) {
    if (quiet_) return;
    if (first_done_ < 0) {
        first_done_ = done;
        first_time_ = Clock::now();
    }
    if (seconds_since(last_print_) < (terminal_ ? terminal_interval : plain_interval)) return;
    last_print_ = Clock::now();
    if (terminal_)
        std::cout << "\r\033[K" << status(done, detail) << std::flush;
    else
        std::cout << status(done, detail) << std::endl;
}

void TerminalReporter::end(const std::string& summary) {
    if (quiet_) return;
    std::cout << (terminal_ ? "\r\033[K" : "") << phase_ << ": " << summary << " (" << duration(seconds_since(start_))
              << ")" << std::endl;
}

void TerminalReporter::note(const std::string& text) { line("note: " + text); }

void TerminalReporter::line(const std::string& text) {
    if (!quiet_) std::cout << (terminal_ ? "\r\033[K" : "") << text << std::endl;
}

}  // namespace lethe::tools
