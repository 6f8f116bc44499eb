"""Times: single steps, every kernel from naive to shipped, and the same work by PyTorch."""
import json
import re
import statistics
import time

from layout import SCRIPTS
from runner import ABSENT, CUT, FAILED, PASSED

LARGE = 256e6  # bytes from which a kernel's memory traffic is held against its target: far beyond any cache


def step_milliseconds(run, stage, job, options, precision, count, deadline):
    """Median over 5 runs of the milliseconds per step, or None; says why on the stage."""
    what = f"{job} {' '.join(map(str, options))} {precision}"
    program = run.layout.program("lethe_step_bench")
    if not program:
        stage.check(what, ABSENT, "lethe_step_bench is not built")
        return None
    command = [program, "--device", run.device, "--precision", precision, "--job", job, *options]
    outcome = run.shell.run(command, run.log(stage), deadline, given="run 3\n" + f"run {count}\n" * 5 + "quit\n")
    seconds = [float(text) for text in re.findall(r"^seconds (\S+)$", outcome.output, re.MULTILINE)]
    status = outcome.status() if len(seconds) == 6 or not outcome.good else FAILED
    stage.check(what, status, "" if status == PASSED else outcome.why())
    return 1000 * statistics.median(seconds[1:]) if status == PASSED else None


def benchmarks(run, stage, deadline):
    """A training step, and every kernel from naive to shipped."""
    batch, count = (8, 1) if run.rehearsal else (512, 20)
    for precision in ("strict",) if run.rehearsal else ("bf16", "tf32", "strict"):
        time_ = step_milliseconds(run, stage, "train", ["--model", "resnet18", "--stem", "cifar", "--batch", batch],
                                  precision, count, deadline)
        if time_ is not None:
            stage.measure(f"train.{precision}", f"training step, ResNet-18, batch {batch}, {precision}", time_, "ms")
    labs(run, stage, deadline)


def labs(run, stage, deadline):
    program = run.layout.program("lethe_labs_emulated" if run.rehearsal else "lethe_labs")
    if not program:
        stage.check("kernel labs", ABSENT, "this build has none")
        return
    listed = run.shell.run([program, "--list"], run.log(stage), deadline)
    names = re.findall(r"^(\w+): ", listed.output, re.MULTILINE)
    if not names:
        stage.check("kernel labs", CUT if listed.cut else FAILED, listed.why())
    for name in names[-1:] if run.rehearsal else names:  # one by one, so that a cut loses one
        file = run.scratch / f"lab-{name}.json"
        outcome = run.shell.run([program, "--lab", name, "--json", file], run.log(stage, "labs"), deadline)
        stage.check(f"lab {name}", outcome.status(), "" if outcome.good else outcome.why())
        if outcome.good:
            document = json.loads(file.read_text())
            (run.out / file.name).write_text(json.dumps(document, indent=1) + "\n")
            measure_lab(stage, name, document)


def measure_lab(stage, name, document):
    """The shipped version's share of this GPU's own ceiling, at every size."""
    for size in document["labs"][name].get("sizes", []):
        lines = [line for line in size["lines"] if re.fullmatch(r"v\d+", line["name"]) and "of_ceiling" in line]
        if not lines:
            continue
        shipped = lines[-1]
        judged = shipped["bound"] == "memory" and size["bytes"] >= LARGE
        stage.measure(f"lab.{name}" if judged else "", f"{name} {size['size']}, {shipped['name']} (shipped)",
                      shipped["of_ceiling"], f"of the {shipped['bound']} ceiling",
                      f"{shipped['median_us']:.1f} us, {shipped['speedup']:.1f}x {lines[0]['name']}")


def pytorch(run, stage, deadline):
    """The same work by PyTorch, in alternation."""
    if not run.pytorch.get("works") and not (run.rehearsal and run.pytorch):
        stage.check("PyTorch", ABSENT, "no PyTorch here that can use the GPU" if run.pytorch else "no PyTorch here")
        return
    program = run.layout.program("lethe_step_bench")
    if not program:
        stage.check("PyTorch", ABSENT, "lethe_step_bench is not built")
        return
    file = run.out / "compare_pytorch_gpu.json"
    command = [run.python, "-B", SCRIPTS / "bench" / "compare_pytorch_gpu.py", "--lethe", program, "--json", file,
               "--device", run.device, "--lethe-library-path", run.shell.environment.get("LD_LIBRARY_PATH", ""),
               "--seconds", f"{max(1, deadline - time.monotonic() - 8):.0f}"]
    if run.rehearsal:
        command += ["--precisions", "strict", "--batch", "pgd=4,train=2", "--attack-steps", "2", "--rounds", "3"]
    outcome = run.shell.run(command, run.log(stage), deadline, environment={"LD_LIBRARY_PATH": run.own_library_path})
    status = CUT if outcome.code == 3 else outcome.status()
    stage.check("Lethe and PyTorch, in alternation", status, "" if outcome.good else outcome.why())
    if outcome.good:
        measure_comparison(stage, json.loads(file.read_text()))


def measure_comparison(stage, document):
    for row in document["results"]:
        job = f"PGD-{document['attack_steps']}" if row["job"] == "pgd" else "training step"
        what = f"{job}, {row['precision']}"
        ours = row["program"] == "lethe"
        variant = row["program"].split()[-1]
        detail = f"[{row['min']:.2f} .. {row['max']:.2f}], {row['rounds']} rounds"
        stage.measure("", f"{what}: {row['program']}", row["ms"], "ms", detail)
        if not ours:
            stage.measure(f"{row['job']}.{row['precision']}.{variant}", f"{what}: {row['program']} over Lethe",
                          row["over_lethe"], "x")
