// Progress on the terminal: one line with rate and time left where there is a terminal, plain lines elsewhere.
#pragma once

#include <chrono>
#include <string>

#include "unlearn/run.h"

namespace lethe::tools {

class TerminalReporter : public Reporter {
public:
    explicit TerminalReporter(bool quiet);
    void begin(const std::string& phase, int64_t total, const std::string& unit) override;
    void progress(int64_t done, const std::string& detail) override;
    void end(const std::string& summary) override;
    void note(const std::string& line) override;
    void line(const std::string& text);  // a line that stays, above the status

private:
    std::string status(int64_t done, const std::string& detail) const;

    bool quiet_, terminal_;
    std::string phase_, unit_;
    int64_t total_ = 0;
    std::chrono::steady_clock::time_point start_, last_print_;
    // The first progress() of the phase: what was done before it, by an earlier run, says nothing about the rate.
    int64_t first_done_ = -1;
    std::chrono::steady_clock::time_point first_time_;
};

// "12 s", "3 min 20 s", "2 h 5 min"
std::string duration(double seconds);

}  // namespace lethe::tools
