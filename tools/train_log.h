// What `lethe train` leaves behind while it runs: a line per step, a line per epoch, and their picture.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/file.h"
#include "unlearn/run_directory.h"
#include "unlearn/train.h"

namespace lethe::tools {

// trace.jsonl, epochs.jsonl and curve.png of a run directory. The lines of steps after a checkpoint are dropped when
// the run continues from it.
class TrainLog {
public:
    // `evaluated` names what is evaluated after an epoch ("validation", "test"). `resume`: what sync() returned when
    // the checkpoint was made; empty for a new run. Throws Error where the files are not those of the checkpoint.
    TrainLog(const RunDirectory& directory, const std::string& evaluated,
             const std::map<std::string, std::string>& resume);

    void add(const TrainTrace& step);
    // Writes what was added; returns where the files end, for a checkpoint, which must never be ahead of them.
    std::map<std::string, std::string> sync();
    // With the whole of the schedule, of `steps` steps.
    void draw(const Schedule& schedule, int64_t steps_per_epoch, int64_t steps) const;

    // The best evaluation in a directory's epochs.jsonl: its epoch, by what it was chosen, its accuracy and loss.
    static Json best_epoch(const RunDirectory& directory, const std::string& evaluated);

private:
    std::filesystem::path picture_;
    std::string evaluated_;
    LineLog steps_file_, epochs_file_;
    std::vector<Json> epochs_;
};

}  // namespace lethe::tools
