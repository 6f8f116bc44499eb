// Times whole steps of a network for bench/compare_pytorch*.py: a warm process that obeys lines on its standard input.
//
//   run COUNT [JOB]   runs COUNT steps, prints "seconds S" with S the time of one step
//   quit
//
// Jobs: inference (folded twin, predict), pgd (targeted L2 steps, all images in one pool), train (SGD with momentum,
// the batch lying on the device). The clock stops when the device has done everything.
#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>

#include "autograd/ops.h"
#include "nn/model.h"
#include "nn/optim.h"
#include "tensor/backend.h"
#include "tensor/error.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/step_graph.h"
#include "unlearn/pgd.h"

namespace lethe {
namespace {

struct Options {
    std::string job = "inference", model = "resnet20", stem, device = "cpu", precision = "strict", clock = "wall";
    int64_t batch = 128, image_size = 32;
    int threads = 2, repeat = 0;
};

// The inputs that every job shares: images uniform in [0,1] and labels.
struct Inputs {
    Inputs(int64_t batch, int64_t size) : images(Tensor::empty({batch, 3, size, size})) {
        const Random random(0, Purpose::synthetic);
        float* pixels = images.mutable_data();
        for (int64_t i = 0; i < images.numel(); ++i) pixels[i] = random.uniform(0, static_cast<uint32_t>(i));
        for (int64_t i = 0; i < batch; ++i) labels.push_back(random.below(10, 1, static_cast<uint32_t>(i)));
    }
    Tensor images;
    std::vector<int64_t> labels;
};

// Runs `count` steps of one job.
using Job = std::function<void(int64_t count)>;

Job inference_job(Model& twin, const Inputs& inputs) {
    return [&](int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            const Tensor logits = predict(twin, inputs.images);
            check(logits.dim(0) == inputs.images.dim(0), "inference: logits are missing");
        }
    };
}

// `count` steps of one attack on the whole pool, as the attack runs in practice; its final report is part of the time.
Job pgd_job(Model& twin, const Inputs& inputs) {
    return [&](int64_t count) {
        PgdOptions options;
        options.steps = count;
        const PgdResult result = pgd(twin, inputs.images, inputs.labels, options);
        for (const PgdReport& row : result.report) check(row.norm <= 4.001f, "pgd: a perturbation left its ball");
    };
}

// As train() steps: recorded once where the device can.
Job train_job(Model& model, Optimizer& optimizer, const Inputs& inputs) {
    const int64_t batch = inputs.images.dim(0);
    const Device device = model.device();
    const Tensor images = inputs.images.to(device), labels = Tensor::from_int64({batch}, inputs.labels).to(device);
    const Tensor share = Tensor::full({batch}, 1.0f / static_cast<float>(batch), device);
    const auto graph = std::make_shared<StepGraph>(backend(device));
    return [=, &model, &optimizer](int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            optimizer.prepare_step();
            graph->run([&] {
                model.net().zero_grad();
                Var loss = softmax_cross_entropy(model.forward(images, BatchNormMode::batch), labels);
                loss.backward(share);
                optimizer.apply_step();
            });
        }
    };
}

// Seconds on some clock.
using Clock = double (*)();

double wall() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
double processor() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double seconds_per_step(const Job& job, int64_t count, Backend& device, Clock now) {
    check(count >= 1, "run: COUNT must be at least 1, got ", count);
    device.synchronize();
    const double start = now();
    job(count);
    device.synchronize();
    return (now() - start) / static_cast<double>(count);
}

// One line in, one line out.
void obey(const std::map<std::string, Job>& jobs, const std::string& default_job, Backend& device, Clock now) {
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words(line);
        std::string command, name = default_job;
        int64_t count = 0;
        words >> command;
        if (command == "quit") return;
        check(command == "run" && words >> count, "cannot obey '", line, "'; known: run COUNT [JOB], quit");
        words >> name;
        const auto job = jobs.find(name);
        check(job != jobs.end(), "unknown job '", name, "'; known: inference, pgd, train");
        std::cout << "seconds " << seconds_per_step(job->second, count, device, now) << std::endl;
    }
}

Precision precision_named(const std::string& text) {
    for (const Precision known : {Precision::strict, Precision::tf32, Precision::bf16})
        if (text == name(known)) return known;
    fail("unknown precision '", text, "'; known: strict, tf32, bf16");
}

void run(const Options& options) {
    set_threads(options.threads);
    Backend& device = backend(device_named(options.device));
    device.set_precision(precision_named(options.precision));
    Model model({.arch = options.model, .stem = options.stem, .image_size = options.image_size});
    model.to(device.device());
    const auto twin = fold_batchnorm(model);
    Optimizer optimizer(model.net().parameters(), {.lr = 1e-3f, .momentum = 0.9f, .weight_decay = 1e-4f});
    const Inputs inputs(options.batch, options.image_size);
    const std::map<std::string, Job> jobs = {{"inference", inference_job(*twin, inputs)},
                                             {"pgd", pgd_job(*twin, inputs)},
                                             {"train", train_job(model, optimizer, inputs)}};
    const Clock now = options.clock == "cpu" ? processor : wall;
    if (options.repeat == 0) return obey(jobs, options.job, device, now);
    const Job& job = jobs.at(options.job);
    job(2);  // warm up: plans, packed weights, cached memory
    for (int i = 0; i < options.repeat; ++i)
        std::cout << "seconds " << seconds_per_step(job, 5, device, now) << std::endl;
}

}  // namespace
}  // namespace lethe

int main(int argc, char** argv) {
    lethe::Options options;
    CLI::App app("Times whole steps; see bench/compare_pytorch.py");
    app.add_option("--job", options.job, "What to time")
        ->check(CLI::IsMember({"inference", "pgd", "train"}))
        ->capture_default_str();
    app.add_option("--model", options.model, "Architecture")->capture_default_str();
    app.add_option("--image-size", options.image_size, "Side of the images")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--stem", options.stem, "First layers of resnet18/34/50 (lethe inspect --models)");
    app.add_option("--device", options.device, "cpu, cuda or emulated")->capture_default_str();
    app.add_option("--precision", options.precision, "strict, tf32 or bf16")
        ->check(CLI::IsMember({"strict", "tf32", "bf16"}))
        ->capture_default_str();
    app.add_option("--batch", options.batch, "Images per step")->check(CLI::Range(1, 65536))->capture_default_str();
    app.add_option("--threads", options.threads, "Threads")->capture_default_str();
    app.add_option("--clock", options.clock, "wall, or cpu: processor time of all threads")
        ->check(CLI::IsMember({"wall", "cpu"}))
        ->capture_default_str();
    app.add_option("--repeat", options.repeat, "Time 5 steps this many times and end; 0 = obey standard input")
        ->check(CLI::Range(0, 1000000))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        lethe::run(options);
    } catch (const lethe::Error& error) {
        std::cerr << "lethe_step_bench: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
