"""A published network evaluated and made to forget, on the CPU and on the GPU, twice."""
import json

import benchmarks
import weights
from runner import ABSENT, CUT, FAILED, PASSED
from targets import TARGETS, met

EXPECTED = 9173  # of 10000, by PyTorch
FORGOTTEN_OR_NOT = (0, 3)  # exit codes of `lethe unlearn`: 10 steps are too few for some methods
METHODS = ["neggrad", "adv+imp"]


def end_to_end(run, stage, deadline):
    if run.layout.checkpoint:
        model = ["--weights", run.layout.checkpoint, "--model", "resnet20", "--normalize", "imagenet"]
        evaluate(run, stage, model, deadline)
        unlearn(run, stage, model, deadline)
    else:
        stage.check("evaluation and unlearning", ABSENT, "CIFAR-10 and the checkpoint are not here; give --shared")
    attack(run, stage, deadline)


def evaluate(run, stage, model, deadline):
    places = [("cpu", "strict")] + ([] if run.rehearsal else [("cuda", "strict"), ("cuda", "tf32"), ("cuda", "bf16")])
    wrong = {}
    for device, precision in places:
        file = run.scratch / f"eval-{device}-{precision}.json"
        command = [run.layout.folder / "lethe", "eval", *model, "--data", f"cifar10:{run.layout.cifar}", "--split",
                   "test", "--device", device, "--precision", precision, "--json", file]
        outcome = run.shell.run(command, run.log(stage), deadline)
        what = f"evaluation, {device} {precision}"
        if not outcome.good:
            stage.check(what, outcome.status(), outcome.why())
            continue
        result = json.loads(file.read_text())
        wrong[device, precision] = set(result["wrong"])
        text = f"{result['correct']} of {result['total']} correct"
        if precision == "strict":
            near = met("eval.strict.distance", abs(result["correct"] - EXPECTED)) and result["total"] == 10000
            stage.check(f"{what}: {EXPECTED} +- {TARGETS['eval.strict.distance'][1]:.0f}", near, text)
        else:
            stage.check(what, PASSED, text)
        stage.measure("", what, result["correct"], "of 10000 correct")
    if ("cuda", "strict") in wrong and ("cpu", "strict") in wrong:
        differing = wrong["cuda", "strict"] ^ wrong["cpu", "strict"]
        stage.measure("", "images that the CPU and the GPU judge differently", len(differing), "of 10000")


def unlearn(run, stage, model, deadline):
    """Ten steps on the CPU, and twice the same on the GPU."""
    before = run.scratch / "before.safetensors"
    outcome = run.shell.run([run.layout.folder / "lethe", "convert", *model, "--out", before], run.log(stage), deadline)
    if not outcome.good:
        stage.check("conversion of the checkpoint", outcome.status(), outcome.why())
        return
    size = ["--steps", 5, "--repeats", 1, "--retain-limit", 100] if run.rehearsal else ["--retain-limit", 1000]
    folders = {}
    for name, device in (("cpu", "cpu"), ("first", run.device), ("second", run.device)):
        folder = run.scratch / f"unlearn-{name}"
        command = [run.layout.folder / "lethe", "unlearn", "--weights", before, "--data", f"cifar10:{run.layout.cifar}",
                   "--forget", "random:0:16", "--methods", ",".join(METHODS), "--max-steps", 10, "--stop-in-a-row", 11,
                   *size, "--device", device, "--out", folder]
        outcome = run.shell.run(command, run.log(stage, "unlearn"), deadline)
        if outcome.cut or outcome.code not in FORGOTTEN_OR_NOT:
            stage.check(f"unlearning, {name} run on {device}", CUT if outcome.cut else FAILED, outcome.why())
            continue
        folders[name] = folder
        stage.measure("", f"unlearning run with {len(METHODS)} methods of 10 steps, {name} run on {device}",
                      outcome.seconds, "s")
    compare(run, stage, folders, before)


def compare(run, stage, folders, before):
    files = {name: {method: folder / method / "weights.safetensors" for method in METHODS}
             for name, folder in folders.items()}
    for method in METHODS if {"cpu", "first"} <= set(files) else []:
        share, tensor = weights.worst_share(files["first"][method], files["cpu"][method], before)
        stage.check(f"10 steps of {method} end alike on cpu and {run.device}", bool(met("unlearn.share", share)),
                    f"{tensor} differs most, by {share:.2g} of how far it moved")
        stage.measure("unlearn.share", f"10 steps of {method}: difference to the CPU over movement", share, "")
    for method in METHODS if {"first", "second"} <= set(files) else []:
        sums = [weights.sha256(files[name][method]) for name in ("first", "second")]
        stage.check(f"two runs of {method} on {run.device} give the same bits", sums[0] == sums[1],
                    f"sha256 {sums[0][:16]}" + ("" if sums[0] == sums[1] else f" and {sums[1][:16]}"))


def attack(run, stage, deadline):
    images, steps = (4, 2) if run.rehearsal else (320, 100)
    for precision in ("strict",) if run.rehearsal else ("strict", "tf32", "bf16"):
        options = ["--model", "resnet20", "--batch", images]
        time = benchmarks.step_milliseconds(run, stage, "pgd", options, precision, steps, deadline)
        if time is not None:
            key = "" if run.rehearsal else f"pgd100.{precision}"
            stage.measure(key, f"PGD-{steps} on {images} images, ResNet-20, {precision}", steps * time, "ms")
