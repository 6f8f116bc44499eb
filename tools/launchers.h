// Cells of an experiment for somebody else to run: a command for each, or a job array of Slurm.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "unlearn/experiment/grid.h"

namespace lethe::tools {

// `lethe experiment FILE --out FOLDER --cell NAME`: skips what is finished and ends with 0 also where a method did not
// forget, so that a launcher's idea of failure is a cell's.
struct CellCommand {
    std::filesystem::path file, folder;  // absolute
    std::vector<std::string> arguments;  // further ones

    std::string line(const Cell& cell) const;  // quoted for a shell
};

// Writes FOLDER/slurm/job-N.sh, arrays of at most 1000 tasks (Slurm's default allows 1001), one task per cell, and
// gives each to sbatch. `options` become a line #SBATCH. Throws Error when sbatch is not there or refuses.
void submit_to_slurm(const CellCommand& command, const std::vector<Cell>& cells, const std::string& options);

}  // namespace lethe::tools
