#include <algorithm>
#include <iostream>
#include <set>
#include <thread>

#include "data/file.h"
#include "tensor/error.h"
#include "tools/cell_runner.h"
#include "tools/command.h"
#include "tools/launchers.h"
#include "tools/progress.h"
#include "unlearn/experiment/collect.h"

namespace lethe::tools {
namespace {

class ExperimentCommand : public Command {
public:
    explicit ExperimentCommand(CLI::App& root)
        : Command(root, "experiment", "a grid of unlearning runs from a file, with statistics over seeds",
                  "lethe experiment experiments/synthetic.toml --out runs/experiment --jobs 2") {
        app().add_option("file", file, "what to run, in TOML: docs/experiments.md")->type_name("FILE")->required();
        option("out", out, "folder of the experiment, continued where it exists; default: runs/ and the file's name");
        option("jobs", jobs, "cells to run at a time; they share the threads unless --threads says how many each has");
        app().add_flag("--dry-run", dry_run, "list the cells and run none");
        app().add_flag("--collect", only_collect, "run nothing, only collect what is finished");
        option("cell", only_cell, "run this one cell and collect nothing");
        option("launcher", launcher,
               "local: run the cells here; shell: print a command for each missing one; slurm: "
               "submit them as a job array")
            ->check(CLI::IsMember({"local", "shell", "slurm"}));
        option("sbatch", sbatch, "further options of sbatch, like \"--time=02:00:00 --gres=gpu:1\"");
    }

    // The cells choose their devices; this process computes nothing.
    int start() override { return run(); }

protected:
    int run() override;

private:
    void read();
    std::vector<Cell> missing() const;
    std::vector<std::string> cell_arguments() const;
    int list() const;
    int launch(const std::vector<Cell>& todo) const;
    int run_one();
    // Names of the cells that failed. `finished` others have been run before.
    std::vector<std::string> run_here(const std::vector<Cell>& todo, std::size_t finished);
    void collect_results() const;

    std::string file, out, only_cell, launcher = "local", sbatch;
    int jobs = 1;
    bool dry_run = false, only_collect = false;
    Grid grid;
    std::vector<Cell> cells;
    ExperimentFolder folder;
};

// The command line that a cell's configuration stands for must be one that `lethe unlearn` takes.
void check_options(const std::string& file, const Cell& cell) {
    CLI::App probe;
    const std::unique_ptr<Command> unlearn = make_unlearn(probe);
    std::vector<std::string> words;  // CLI11 takes them from the back
    for (const auto& [key, value] : cell.config.items()) {
        const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
        if (key != "command" && !text.empty()) words.push_back("--" + key + "=" + text);
    }
    words.push_back("unlearn");
    try {
        probe.parse(words);
    } catch (const CLI::ParseError& error) {
        fail(file, ": lethe unlearn does not take this: ", error.what());
    }
}

std::vector<std::string> unlearn_options() {
    CLI::App probe;
    const std::unique_ptr<Command> unlearn = make_unlearn(probe);
    std::vector<std::string> names;
    for (const CLI::Option* known : unlearn->app().get_options())
        for (const std::string& name : known->get_lnames()) names.push_back(name);
    return names;
}

void ExperimentCommand::read() {
    check(app().count("--seed") == 0, "experiment: the seeds are named in ", file, ", --seed has no place here");
    check(jobs >= 1, "experiment: --jobs must be 1 or more, got ", jobs);
    check(threads >= 0, "experiment: --threads must be 0 or more, got ", threads);
    check(sbatch.find('\n') == std::string::npos, "experiment: --sbatch must be one line");
    grid = read_grid(file, unlearn_options());
    for (const char* name : {"device", "precision"})
        if (app().count(std::string("--") + name) > 0) grid.options[name] = name[0] == 'd' ? device : precision;
    cells = cells_of(grid);
    for (const Cell& cell : cells) check_options(file, cell);
    folder.root = out.empty() ? "runs" / std::filesystem::path(file).stem() : std::filesystem::path(out);
}

std::vector<Cell> ExperimentCommand::missing() const {
    std::vector<Cell> list;
    for (const Cell& cell : cells)
        if (!is_finished(folder.run(cell))) list.push_back(cell);
    // The longest first: else the last of them would run alone, on a part of the machine.
    std::stable_sort(list.begin(), list.end(), [](const Cell& a, const Cell& b) { return a.k > b.k; });
    return list;
}

// Cells at a time share the machine.
std::vector<std::string> ExperimentCommand::cell_arguments() const {
    if (threads > 0) return {"--threads", std::to_string(threads)};
    if (jobs == 1 || grid.options.contains("threads")) return {};
    const int all = static_cast<int>(std::thread::hardware_concurrency());
    return {"--threads", std::to_string(std::max(1, all / jobs))};
}

int ExperimentCommand::list() const {
    for (const Cell& cell : cells) say((is_finished(folder.run(cell)) ? "finished  " : "missing   ") + cell.name);
    say(concat(cells.size(), " cells, ", missing().size(), " missing, in ", folder.root.string()));
    return 0;
}

int ExperimentCommand::launch(const std::vector<Cell>& todo) const {
    std::vector<Cell> idle;
    for (const Cell& cell : todo)
        if (!is_running(folder, cell)) idle.push_back(cell);
    std::vector<std::string> arguments = cell_arguments();
    for (const char* name : {"device", "precision"})
        if (app().count(std::string("--") + name) > 0)
            arguments.insert(arguments.end(), {std::string("--") + name, grid.options.at(name)});
    const CellCommand command{std::filesystem::absolute(file), std::filesystem::absolute(folder.root), arguments};
    if (launcher == "shell") {
        for (const Cell& cell : idle) std::cout << command.line(cell) << "\n";
        return 0;
    }
    if (idle.empty()) {
        say("nothing to submit: no cell is missing");
        return 0;
    }
    submit_to_slurm(command, idle, sbatch);
    say("when the jobs have ended: lethe experiment " + file + " --out " + folder.root.string() + " --collect");
    return 0;
}

std::vector<std::string> ExperimentCommand::run_here(const std::vector<Cell>& todo, std::size_t finished) {
    TerminalReporter reporter(quiet);
    std::vector<std::string> failed;
    std::set<std::string> running;
    auto done = static_cast<int64_t>(finished);
    reporter.begin("experiment", static_cast<int64_t>(finished + todo.size()), "cells");
    const auto ended = [&](const Cell& cell, const std::string& failure) {
        running.erase(cell.name);
        ++done;
        if (failure.empty()) return reporter.line("done: " + cell.name);
        failed.push_back(cell.name);
        std::cerr << "lethe: cell " << cell.name << " failed: " << failure << "\n";
    };
    run_cells(folder, todo, jobs, cell_arguments(),
              {[&](const Cell& cell) { running.insert(cell.name); }, ended,
               [&] {
                   std::string names;
                   for (const std::string& name : running) names += (names.empty() ? "" : " ") + name;
                   reporter.progress(done, names);
               }});
    reporter.end(concat(todo.size() - failed.size(), " cells run, ", failed.size(), " failed, ", finished,
                        " had been finished"));
    return failed;
}

void ExperimentCommand::collect_results() const {
    const ExperimentResults results = collect(grid, folder.runs());
    const Json json = to_json(results);
    write_text(folder.root / "results.csv", summaries_csv(results));
    write_text(folder.root / "comparisons.csv", comparisons_csv(results));
    write_text(folder.root / "results.json", json.dump(2) + "\n");
    say("\n" + results_table(results));
    say(concat(results.cells - results.missing.size(), " of ", results.cells, " cells; written: results.json, ",
               "results.csv and comparisons.csv in ", folder.root.string()));
    write_json_option(json);
}

int ExperimentCommand::run_one() {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& c) { return c.name == only_cell; });
    check(found != cells.end(), "experiment: ", file, " has no cell '", only_cell, "'; --dry-run lists them");
    check(run_here({*found}, 0).empty(), "experiment: the log of the cell is ", folder.log(*found).string());
    return 0;
}

int ExperimentCommand::run() {
    read();
    if (dry_run || only_collect) {
        check_cells(folder, cells, free_keys());
        if (dry_run) return list();
        collect_results();
        return 0;
    }
    prepare_cells(folder, cells, free_keys());
    if (!only_cell.empty()) return run_one();
    const std::vector<Cell> todo = missing();
    if (launcher != "local") return launch(todo);
    const std::vector<std::string> failed = run_here(todo, cells.size() - todo.size());
    if (missing().size() < cells.size()) collect_results();
    std::string names;
    for (const std::string& name : failed) names += (names.empty() ? "" : ", ") + name;
    check(failed.empty(), "experiment: ", failed.size(), " of ", cells.size(), " cells failed (", names,
          "); their logs are in ", (folder.root / "logs").string(), ", and the same command runs them again");
    return 0;
}

}  // namespace

std::unique_ptr<Command> make_experiment(CLI::App& root) { return std::make_unique<ExperimentCommand>(root); }

}  // namespace lethe::tools
