"""A check: its stages one after the other within the time, and the results folder."""
import json
import os
import re
import time
from dataclasses import dataclass, field

import benchmarks
import device_tests
import end_to_end
import machine
import report
from layout import SCRIPTS
from runner import ABSENT, CUT, FAILED, PASSED, Shell, Stage

REPORT_SECONDS = 10  # of the whole time, kept for writing and for processes that end slowly


@dataclass
class Run:
    """What every stage knows."""

    layout: object
    gpu: dict  # empty in a rehearsal
    out: object  # the results folder
    scratch: object
    python: str  # the one that may hold PyTorch
    rehearsal: bool
    shell: Shell = None
    libraries: dict = field(default_factory=dict)
    pytorch: dict = field(default_factory=dict)
    tested: dict = field(default_factory=dict)  # by test program: test_results()
    facts: dict = field(default_factory=dict)  # environment.json

    @property
    def device(self):
        return "cpu" if self.rehearsal else "cuda"

    @property
    def instance(self):
        return "emulated_seed1" if self.rehearsal else "cuda"

    @property
    def own_library_path(self):
        return os.environ.get("LD_LIBRARY_PATH", "")

    def log(self, stage, part=""):
        return self.out / f"{stage.name}{'-' + part if part else ''}.log"


def environment(run, stage, deadline):
    """What this machine and this build are."""
    facts = {**machine.host(), "gpu": run.gpu, "nvidia_smi": machine.nvidia_smi(), "libraries": run.libraries,
             "pytorch": run.pytorch, "compute_sanitizer": bool(machine.sanitizer()), "build": run.layout.manifest,
             "commit_of_scripts": machine.commit(SCRIPTS), "rehearsal": run.rehearsal}
    outcome = run.shell.run([run.layout.folder / "lethe", "inspect", "--models"], run.log(stage), deadline)
    described = re.search(r"^device (cuda): (.*)$", outcome.output, re.MULTILINE)
    facts["backend"] = described.group(2) if described else "none"
    if run.rehearsal:
        stage.check("lethe starts", outcome.status(), "" if outcome.good else outcome.why())
    else:
        stage.check("lethe finds the GPU", outcome.status() if described or not outcome.good else FAILED,
                    facts["backend"] if described else outcome.why())
        for library, found in run.libraries.items():
            stage.check(library, ABSENT if found == "absent" else PASSED, f"found through: {found}")
    (run.out / "environment.json").write_text(json.dumps(facts, indent=2) + "\n")
    run.facts.update(facts)


# name: (stage, seconds of nine minutes)
STAGES = {"environment": (environment, 15), "tests": (device_tests.tests, 95),
          "sanitizer": (device_tests.sanitizer, 120), "end-to-end": (end_to_end.end_to_end, 90),
          "benchmarks": (benchmarks.benchmarks, 90), "pytorch": (benchmarks.pytorch, 115)}


def prepare(run, driver_folders):
    """Finds NVIDIA's libraries and PyTorch, and makes the shell in which stages run their commands."""
    folders, run.libraries = machine.library_folders(run.python, run.layout.manifest.get("cuda_major", "13"))
    run.pytorch = machine.pytorch(run.python)
    path = [str(folder) for folder in run.layout.libraries] + folders + driver_folders + [run.own_library_path]
    environment_ = {**os.environ, "LD_LIBRARY_PATH": ":".join(part for part in path if part)}
    hidden = {run.scratch: "SCRATCH", run.layout.root: ".", run.out: "RESULTS", run.layout.folder: "bin", SCRIPTS: "."}
    hidden.update({folder: "NVIDIA" for folder in folders + driver_folders})
    if not run.python.startswith("/usr/bin/"):
        hidden[os.path.dirname(os.path.dirname(run.python))] = "PYTHON"
    if run.layout.cifar:
        hidden.update({run.layout.cifar: "CIFAR", run.layout.checkpoint.parent: "WEIGHTS"})
    run.shell = Shell(run.layout.root, environment_, hidden)


def perform(run, names, deadline, say, clock=time.monotonic):
    """Runs the stages called `names`, until `deadline` at most. Each may use its share of the time and what those
    before it left. Writes the results after every stage. Returns the stages."""
    until = clock()
    whole = max(0.0, deadline - until - REPORT_SECONDS)
    total, stages = sum(STAGES[name][1] for name in names), []
    for name in names:
        function, share = STAGES[name]
        stage = Stage(name, share * whole / total)
        stages.append(stage)
        until += stage.share
        start = clock()
        if until - start < 1.0:
            stage.check(name, CUT, "no time was left for it")
        else:
            try:
                function(run, stage, until)
            except (OSError, ValueError, KeyError) as error:  # a file that is not there or not what it should be
                stage.check(name, FAILED, f"{type(error).__name__}: {run.shell.shown(str(error))}")
        stage.seconds = clock() - start
        report.write(run, stages, [other for other in names if other not in [s.name for s in stages]])
        say(report.line(stage))
    return stages


def exit_code(stages):
    found = {stage.status for stage in stages}
    return 1 if FAILED in found else 3 if CUT in found else 0
