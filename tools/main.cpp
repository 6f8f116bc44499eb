// The `lethe` command line.
#include <csignal>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "tensor/error.h"
#include "tools/command.h"
#include "tools/recipes.h"

namespace {

int run(int argc, char** argv) {
    using namespace lethe::tools;
    CLI::App root{"Lethe makes a trained image classifier forget exactly the images it is told to forget."};
    root.name("lethe");
    root.set_version_flag("--version", "lethe " LETHE_VERSION);
    root.require_subcommand(1);
    root.footer("`lethe COMMAND --help` shows a command's options, defaults and an example.");
    std::vector<std::unique_ptr<Command>> commands;
    commands.push_back(make_train(root));
    commands.push_back(make_eval(root));
    commands.push_back(make_attack(root));
    commands.push_back(make_importance(root));
    commands.push_back(make_unlearn(root));
    commands.push_back(make_continual(root));
    commands.push_back(make_audit(root));
    commands.push_back(make_experiment(root));
    commands.push_back(make_measure(root));
    commands.push_back(make_report(root));
    commands.push_back(make_methods(root));
    commands.push_back(make_inspect(root));
    commands.push_back(make_convert(root));

    std::vector<std::string> arguments = expand_recipe(expand_config(root, {argv + 1, argv + argc}));
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes its vector from the back
    try {
        root.parse(arguments);
    } catch (const CLI::ParseError& error) {
        return root.exit(error) == 0 ? 0 : exit_usage;
    }
    for (const auto& command : commands)
        if (command->app().parsed()) return command->start();
    return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_DFL);  // `lethe ... | head` ends quietly
    try {
        return run(argc, argv);
    } catch (const std::bad_alloc&) {
        std::cerr << "lethe: out of memory; smaller batches or images, or a machine with more of it, would be right\n";
        return lethe::tools::exit_error;
    } catch (const std::exception& error) {
        std::string sentence = error.what();
        for (char& c : sentence)  // it may quote a file, which is not to steer the terminal
            if ((static_cast<unsigned char>(c) < ' ' && c != '\n') || c == '\x7f') c = '?';
        std::cerr << "lethe: " << sentence << "\n";
        return lethe::tools::exit_error;
    }
}
