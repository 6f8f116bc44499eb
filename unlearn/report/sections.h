// The parts of the page. Each returns its markup, which begins with a heading, or nothing where the material has none.
#pragma once

#include <string>
#include <vector>

#include "unlearn/report/charts.h"
#include "unlearn/report/html.h"
#include "unlearn/report/page.h"
#include "unlearn/report/style.h"

namespace lethe::report {

struct Section {
    std::string id, title, html;
};

std::string heads(const std::vector<RunRecord>& runs);                     // head_section.cpp
std::string comparison(const std::vector<RunRecord>& runs, Marks& marks);  // comparison_section.cpp
std::string measured(const std::vector<RunRecord>& runs);                  // metrics_section.cpp
std::string steps(const std::vector<RunRecord>& runs, Marks& marks);       // steps_section.cpp
std::string images(const std::vector<RunRecord>& runs);                    // images_section.cpp
std::string collateral(const std::vector<RunRecord>& runs);                // collateral_section.cpp
std::string margins(const std::vector<RunRecord>& runs, Marks& marks);     // margins_section.cpp
std::string experiment(const ExperimentRecord& record, Marks& marks);      // experiment_section.cpp
std::string continual(const ContinualRecord& record);                      // continual_section.cpp

// D_test against re-emergence, a point for each method of each run that forgets: a part of comparison().
CurveChart frontier_chart(const std::vector<RunRecord>& runs, Marks& marks);
std::string frontier(const std::vector<RunRecord>& runs, Marks& marks);  // frontier.cpp

// Used by several of them.
std::string verdict_html(const std::string& verdict);  // a word and a sign, coloured
std::string verdict_html(Verdict verdict);
std::string picture_store(const std::vector<RunRecord>& runs);  // every picture once, for what follows to show
// One image as a small picture; empty where the run has none.
std::string thumbnail(const std::vector<RunRecord>& runs, std::size_t run, std::size_t image);
// "of RUN", where there are several to be told apart, for captions.
std::string of_run(const std::vector<RunRecord>& runs, const RunRecord& run);
// A heading for what is about one run, where there are several.
std::string run_heading(const std::vector<RunRecord>& runs, const RunRecord& run);
int below_run(const std::vector<RunRecord>& runs);  // level of a heading under that one

}  // namespace lethe::report
