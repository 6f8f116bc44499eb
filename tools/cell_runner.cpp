#include "tools/cell_runner.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <optional>
#include <sstream>
#include <thread>

#include "data/file.h"
#include "tensor/error.h"
#include "tools/command.h"
#include "unlearn/experiment/collect.h"

namespace lethe::tools {
namespace {

// A lock on a whole file, of the kind that belongs to the open file.
struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
}

// Whoever runs a cell holds a lock on its configuration; it goes with the process.
class CellLock {
public:
    explicit CellLock(const std::filesystem::path& path) : file_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
        const int reason = errno;
        check(file_ >= 0, path.string(), " cannot be opened: ", system_reason(reason));
    }
    // False where another process has it.
    bool take() {
        struct flock lock = whole_file();
        return fcntl(file_, F_OFD_SETLK, &lock) == 0;
    }
    bool is_free() const {
        struct flock lock = whole_file();
        const bool known = fcntl(file_, F_OFD_GETLK, &lock) == 0;
        return known && lock.l_type == F_UNLCK;
    }
    CellLock(CellLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
    CellLock& operator=(CellLock&& other) noexcept {
        std::swap(file_, other.file_);
        return *this;
    }
    ~CellLock() {
        if (file_ >= 0) close(file_);
    }

private:
    int file_ = -1;
};

struct RunningCell {
    const Cell* cell;
    pid_t process;
    CellLock lock;
};

Json read_config(const std::filesystem::path& path) {
    try {
        return Json::parse(read_text(path));
    } catch (const Json::exception& error) {
        fail(path.string(), " is not valid JSON (", error.what(), ")");
    }
}

// The first key in which two configurations differ, those in `free_keys` apart; empty where they agree.
std::string differing_key(const Json& left, const Json& right, const std::vector<std::string>& free_keys) {
    for (const auto& [one, other] : {std::pair{&left, &right}, std::pair{&right, &left}})
        for (const auto& [key, value] : one->items()) {
            const bool is_free = std::find(free_keys.begin(), free_keys.end(), key) != free_keys.end();
            if (!is_free && (!other->contains(key) || other->at(key) != value)) return key;
        }
    return "";
}

std::string value_text(const Json& config, const std::string& key) {
    return config.contains(key) ? config.at(key).dump() : "nothing";
}

pid_t start_process(const ExperimentFolder& folder, const Cell& cell, const std::vector<std::string>& arguments) {
    std::vector<std::string> words{"lethe", "unlearn", "--config", folder.config(cell), "--out", folder.run(cell)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const std::string log = folder.log(cell);
    const int output = open(log.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0666);
    check(output >= 0, log, " cannot be written: ", system_reason(errno));
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(127);  // it has ended already
        dup2(output, STDOUT_FILENO);
        dup2(output, STDERR_FILENO);
        execv("/proc/self/exe", argv.data());
        _exit(127);
    }
    const int reason = errno;
    close(output);
    check(child > 0, "a process for cell ", cell.name, " cannot be started: ", system_reason(reason));
    return child;
}

// What a process said last on its way out; empty where that is no error of Lethe.
std::string last_error(const std::filesystem::path& log) {
    std::istringstream text(read_text(log));
    std::string last;
    for (std::string line; std::getline(text, line);)
        if (!line.empty()) last = line;
    return last.starts_with("lethe: ") ? last.substr(7) : "";
}

std::string failure_of(const ExperimentFolder& folder, const Cell& cell, int status) {
    if (WIFSIGNALED(status))
        return concat("ended by signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
    const int code = WEXITSTATUS(status);
    const bool complete = code == 0 || code == exit_not_forgotten || code == exit_diverged;
    if (complete && is_finished(folder.run(cell))) return "";
    const std::string error = last_error(folder.log(cell));
    return error.empty() ? concat("exit code ", code) : error;
}

// Removes from `running` the processes that have ended.
void reap(const ExperimentFolder& folder, std::vector<RunningCell>& running, const CellEvents& events) {
    for (auto at = running.begin(); at != running.end();) {
        int status = 0;
        if (waitpid(at->process, &status, WNOHANG) == 0) {
            ++at;
            continue;
        }
        const Cell& cell = *at->cell;
        at = running.erase(at);
        events.ended(cell, failure_of(folder, cell, status));
    }
}

}  // namespace

void check_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells,
                 const std::vector<std::string>& free_keys) {
    if (!is_there(folder.root)) return;
    check(is_folder(folder.root), "experiment folder ", folder.root.string(), ": a file of that name is in the way");
    check(is_folder(folder.root / "cells") || std::filesystem::is_empty(folder.root), "experiment folder ",
          folder.root.string(), " is not empty and holds no experiment; give another --out");
    for (const Cell& cell : cells) {
        if (!is_there(folder.config(cell))) continue;
        const Json before = read_config(folder.config(cell));
        const std::string key = differing_key(before, cell.config, free_keys);
        check(key.empty(), "experiment folder ", folder.root.string(), ": cell ", cell.name, " was made with ", key,
              " = ", value_text(before, key), ", the file has ", value_text(cell.config, key),
              "; give another --out, or the file it was made with (models, data, k, switches and seeds may be added)");
    }
}

void prepare_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells,
                   const std::vector<std::string>& free_keys) {
    check_cells(folder, cells, free_keys);
    for (const char* part : {"cells", "logs", "runs"}) {
        std::error_code error;
        std::filesystem::create_directories(folder.root / part, error);
        check(!error, "experiment folder ", folder.root.string(), " cannot be created: ", error.message());
    }
    for (const Cell& cell : cells) {
        const std::string text = cell.config.dump(2) + "\n";
        const std::filesystem::path path = folder.config(cell);
        if (!is_there(path) || (read_text(path) != text && !is_running(folder, cell))) write_text(path, text);
    }
}

bool is_running(const ExperimentFolder& folder, const Cell& cell) {
    return is_there(folder.config(cell)) && !CellLock(folder.config(cell)).is_free();
}

void run_cells(const ExperimentFolder& folder, const std::vector<Cell>& cells, int jobs,
               const std::vector<std::string>& arguments, const CellEvents& events) {
    std::vector<RunningCell> running;
    auto next = cells.begin();
    while (next != cells.end() || !running.empty()) {
        while (next != cells.end() && running.size() < static_cast<std::size_t>(jobs)) {
            const Cell& cell = *next++;
            CellLock lock(folder.config(cell));
            if (!lock.take()) {
                events.ended(cell, "another process is running it");
            } else if (is_finished(folder.run(cell))) {
                events.ended(cell, "");
            } else {
                running.push_back({&cell, start_process(folder, cell, arguments), std::move(lock)});
                events.begun(cell);
            }
        }
        reap(folder, running, events);
        events.idle();
        if (!running.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
}

}  // namespace lethe::tools
