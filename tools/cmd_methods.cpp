#include "tensor/error.h"
#include "tools/command.h"
#include "tools/method_list.h"

namespace lethe::tools {
namespace {

class MethodsCommand : public Command {
public:
    explicit MethodsCommand(CLI::App& root)
        : Command(root, "methods", "list the unlearning methods: formula, data they look at, source",
                  "lethe methods scrub") {
        app().add_option("name", name, "one of them; without it: all")->type_name("NAME");
    }

protected:
    int run() override;

private:
    std::string name;
};

int MethodsCommand::run() {
    Json list = Json::array();
    if (!name.empty()) find_method(name);
    for (const Method& method : methods()) {
        if (!name.empty() && method.name != name) continue;
        say(text_of(method));
        list.push_back(to_json(method));
    }
    write_json_option({{"methods", list}});
    return 0;
}

const char* ending_of(const Method& method) {
    switch (method.until) {
        case Until::goal:
            return "when D_f is forgotten";
        case Until::budget:
            return "after --fixed-steps steps";
        case Until::one_step:
            return "after one change of the weights";
    }
    return "";
}

}  // namespace

std::string text_of(const Method& method) {
    return concat(method.name, "\n  formula  ", method.formula, "\n  needs    ", method.data, "\n  ends     ",
                  ending_of(method), "\n  source   ", method.source);
}

Json to_json(const Method& method) {
    return {{"name", method.name},
            {"formula", method.formula},
            {"needs", method.data},
            {"ends", ending_of(method)},
            {"source", method.source}};
}

std::unique_ptr<Command> make_methods(CLI::App& root) { return std::make_unique<MethodsCommand>(root); }

}  // namespace lethe::tools
