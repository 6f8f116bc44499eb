// Cells of an experiment as processes of their own: a crash of one is that cell's failure.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "unlearn/experiment/grid.h"

namespace lethe::tools {

// Where an experiment lies. docs/experiments.md describes every file.
struct ExperimentFolder {
    std::filesystem::path root;

    std::filesystem::path runs() const { return root / "runs"; }
    std::filesystem::path run(const Cell& cell) const { return runs() / cell.name; }
    std::filesystem::path config(const Cell& cell) const { return root / "cells" / (cell.name + ".json"); }
    std::filesystem::path log(const Cell& cell) const { return root / "logs" / (cell.name + ".log"); }
};

// Creates the folders and config() of each cell. Throws Error where `folder` holds something else, or a cell of
// another configuration: the message names the first key that differs. Those in `free_keys` may.
void prepare_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells,
                   const std::vector<std::string>& free_keys);
// The same without creating anything.
void check_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells,
                 const std::vector<std::string>& free_keys);

// Runs `cells`, at most `jobs` at a time, each as `lethe unlearn --config config() --out run()` and `arguments`; what
// it prints is added to log(). A cell that is finished is left alone; one that another process runs is a failure.
// When this process ends, whatever ends it, its cells end too.
// begun(cell), ended(cell, failure), failure being empty or one clause, and idle() a few times a second.
struct CellEvents {
    std::function<void(const Cell&)> begun;
    std::function<void(const Cell&, const std::string&)> ended;
    std::function<void()> idle;
};
void run_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells, int jobs,
               const std::vector<std::string>& arguments, const CellEvents& events);

// Whether a process runs the cell.
bool is_running(const ExperimentFolder& folder, const Cell& cell);

}  // namespace lethe::tools
