// What the runs of a grid say together: means over seeds, comparisons of methods on the same forget sets.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "unlearn/experiment/grid.h"
#include "unlearn/statistics.h"

namespace lethe {

// Cells that differ in their forget set and seed only.
struct Group {
    std::string model, data, switches;
    int64_t k = 0;
    std::vector<uint64_t> seeds;  // of the finished cells
    std::vector<uint64_t> sets;   // of the finished cells, likewise; empty where a seed names its own forget set
    std::size_t wanted = 0;       // cells in the grid

    // What is taken as independent: `values` of the finished cells where each has its own forget set; else the mean
    // over each set's seeds, for runs that forget the same images are no sample of sets. In the order of the cells.
    std::vector<double> by_set(const std::vector<double>& values) const;
};

// One method in a group.
struct MethodSummary {
    std::size_t group = 0;
    std::string method;                                 // "before" for the untouched model
    std::map<std::string, std::vector<double>> values;  // of each quantity, one for each finished cell of the group
    std::map<std::string, Summary> summaries;           // of Group::by_set(values)
    int64_t forgotten = 0, diverged = 0;                // runs with that verdict
};
// In this order in tables: D_f (accuracy, per cent), reemergence (of D_f's changed copies, per cent), D_r, D_test, drop
// (D_test before minus D_test), steps, seconds. A quantity that a run does not know has n = 0 and the mean NaN.
const std::vector<std::string>& quantities();

// Two methods in a group, on D_f, D_r or D_test.
struct MethodComparison {
    struct Discordant {  // one cell: the images that only one of the two gets right
        int64_t only_first = 0, only_second = 0;
        double p = 1;  // mcnemar_exact()
    };
    std::size_t group = 0;
    std::string first, second, set;
    PairedComparison accuracy;  // first minus second, in per cent, over by_set()
    double one_image = 0;       // resolution() of the set
    std::vector<Discordant> discordant;
};

struct ExperimentResults {
    std::size_t cells = 0;
    std::vector<std::string> missing;  // names of cells that are not finished
    std::vector<Group> groups;
    std::vector<MethodSummary> methods;
    std::vector<MethodComparison> comparisons;
    std::vector<std::string> warnings;
};

// A run directory whose last file is there.
bool is_finished(const std::filesystem::path& run);
// From the run directories `runs`/CELL that are finished. Throws Error when none is, when a file of one is not as
// `lethe unlearn` writes it, and when two cells read other weights or images under one name.
ExperimentResults collect(const Grid& grid, const std::filesystem::path& runs);

// results.json, results.csv, comparisons.csv and the tables on the terminal; docs/experiments.md says what they hold.
Json to_json(const ExperimentResults& results);
std::string summaries_csv(const ExperimentResults& results);
std::string comparisons_csv(const ExperimentResults& results);
std::string results_table(const ExperimentResults& results);

}  // namespace lethe
