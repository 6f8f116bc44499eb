#include "tools/launchers.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "data/file.h"
#include "tensor/error.h"

namespace lethe::tools {
namespace {

constexpr std::size_t largest_array = 1000;

// In single quotes, as a shell wants it.
std::string shell_quoted(const std::string& text) {
    constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@";
    if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
    std::string quoted = "'";
    for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

std::string common_words(const CellCommand& command) {
    std::string text;
    for (const std::string& word : {std::filesystem::read_symlink("/proc/self/exe").string(), std::string("experiment"),
                                    command.file.string(), std::string("--out"), command.folder.string()})
        text += shell_quoted(word) + " ";
    for (const std::string& word : command.arguments) text += shell_quoted(word) + " ";
    return text;
}

// The list of cells is part of the script, of which Slurm keeps a copy: writing a new one does not change a job that
// waits.
std::string job_script(const CellCommand& command, std::span<const Cell> cells, const std::string& options) {
    std::string text = "#!/bin/bash\n#SBATCH --job-name=lethe-" + command.file.stem().string() + "\n";
    text += concat("#SBATCH --array=0-", cells.size() - 1, "\n");
    text += "#SBATCH --output=\"" + (command.folder / "logs/slurm-%A_%a.log").string() + "\"\n";
    if (!options.empty()) text += "#SBATCH " + options + "\n";
    text += "cells=(\n";
    for (const Cell& cell : cells) text += "    " + shell_quoted(cell.name) + "\n";
    return text + ")\nexec " + common_words(command) + "--cell \"${cells[$SLURM_ARRAY_TASK_ID]}\"\n";
}

void submit(const std::filesystem::path& script) {
    std::string program = "sbatch", argument = script.string();
    char* const argv[]{program.data(), argument.data(), nullptr};
    const pid_t child = fork();
    if (child == 0) {
        execvp(argv[0], argv);
        _exit(127);
    }
    const int reason = errno;
    check(child > 0, "sbatch cannot be started: ", system_reason(reason));
    int status = 0;
    waitpid(child, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    check(code != 127, "experiment: there is no sbatch here; the job script is ", script.string(),
          ", and --launcher shell prints plain commands");
    check(code == 0, "experiment: sbatch ended with exit code ", code, "; the job script is ", script.string());
}

}  // namespace

std::string CellCommand::line(const Cell& cell) const {
    return common_words(*this) + "--cell " + shell_quoted(cell.name);
}

void submit_to_slurm(const CellCommand& command, const std::vector<Cell>& cells, const std::string& options) {
    const std::filesystem::path folder = command.folder / "slurm";
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    check(!error, folder.string(), " cannot be created: ", error.message());
    const std::span all(cells);
    for (std::size_t first = 0, number = 1; first < all.size(); first += largest_array, ++number) {
        const std::filesystem::path script = folder / concat("job-", number, ".sh");
        write_text(script,
                   job_script(command, all.subspan(first, std::min(largest_array, all.size() - first)), options));
        submit(script);
    }
}

}  // namespace lethe::tools
