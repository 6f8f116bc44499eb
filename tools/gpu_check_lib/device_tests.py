"""The device tests, plain and under compute-sanitizer."""
import re
import time

import machine
from runner import ABSENT, CUT, FAILED, PASSED, test_results

# Seconds up to which a test is fast: memcheck makes tests a few times slower, racecheck some hundred times.
FAST_TEST = {"memcheck": 2.0, "racecheck": 0.15}
OPTIONS = {"memcheck": ["--report-api-errors", "no"], "racecheck": []}


def tests(run, stage, deadline):
    """The device tests, on the GPU alone; one that skips has failed."""
    if not run.layout.tests:
        stage.check("device tests", FAILED, "no test program of this build has tests of a GPU")
    for name in run.layout.tests:
        command = [run.layout.folder / name, f"--gtest_filter=*/{run.instance}*", "--gtest_color=no"]
        outcome = run.shell.run(command, run.log(stage), deadline, environment={"LETHE_REQUIRE_GPU": "1"})
        results = test_results(outcome.output)
        run.tested[name] = results
        status, detail = judge(outcome, results)
        stage.check(name, status, detail)


def judge(outcome, results):
    """Status and detail of one test program."""
    named = {word: [test for test, (found, _) in results.items() if found == word]
             for word in ("OK", "FAILED", "SKIPPED", "unfinished")}
    text = f"{len(named['OK'])} of {len(results)} tests passed in {outcome.seconds:.1f} s"
    wrong = [f"{word}: {', '.join(named[word])}" for word in ("FAILED", "SKIPPED") if named[word]]
    if wrong:
        return FAILED, f"{text}; {'; '.join(wrong)}"
    if outcome.cut:
        return CUT, f"{text}; {outcome.why()}"
    if outcome.code != 0:
        return FAILED, f"{text}; {outcome.why()}" + (f"; in {named['unfinished'][0]}" if named["unfinished"] else "")
    return (PASSED, text) if results else (FAILED, "it has no test of this device")


# racecheck takes the asynchronous copies of cuDNN's kernels (sm90_xmma_dgrad_...) for races; they are not ours to mend.
# (Told by --kernel-name to leave them alone, it ends in an internal error.)
RACE = re.compile(r"(?:Write|Read) access at (\S+?)\+0x")


def others_races(output):
    """Whether races were reported, and every one in kernels that are not ours."""
    kernels = RACE.findall(output)
    return bool(kernels) and not any("lethe" in kernel for kernel in kernels)


SUMMARY = {"memcheck": re.compile(r"ERROR SUMMARY: (\d+) error"), "racecheck": re.compile(r"SUMMARY: (\d+) hazard")}
# How compute-sanitizer says that it cannot work at all, whatever the program.
UNABLE = re.compile(r"Device not supported|Unable to find injection library|Insufficient permission", re.IGNORECASE)


def sanitizer(run, stage, deadline):
    """compute-sanitizer over the fast device tests."""
    program = machine.sanitizer()
    if not program or run.rehearsal:
        stage.check("compute-sanitizer", ABSENT, "a rehearsal" if program else "it is not installed on this machine")
        return
    for tool, share in (("memcheck", 0.55), ("racecheck", 1.0)):
        until = time.monotonic() + share * (deadline - time.monotonic())
        for name in sorted(run.layout.tests, key=lambda name: "network" in name):  # last: the others cover its kernels
            status, detail = sanitized(run, stage, program, tool, name, until)
            stage.check(f"{tool} {name}", status, detail)
            if status == ABSENT:
                break  # it will say the same of every program


def sanitized(run, stage, program, tool, name, deadline):
    chosen = fast_tests(run.tested.get(name), FAST_TEST[tool])
    if not chosen:
        return PASSED, "it has no fast tests"
    # Calls that fail are the project's own business: it checks every one, and cuDNN makes some in order to see.
    options = ["--tool", tool, "--error-exitcode", "99", *OPTIONS[tool]]
    command = [program, *options, run.layout.folder / name, f"--gtest_filter={':'.join(chosen)}", "--gtest_color=no"]
    outcome = run.shell.run(command, run.log(stage, tool), deadline)
    found = SUMMARY[tool].search(outcome.output)
    if found and int(found.group(1)) > 0 and not outcome.cut and others_races(outcome.output):
        return PASSED, f"clean over {len(chosen)} tests, but for {found.group(1)} reports on kernels of cuDNN's"
    if found and int(found.group(1)) > 0:
        return FAILED, found.group(0)
    if outcome.cut:
        return CUT, outcome.why()
    unable = UNABLE.search(outcome.output)
    if unable and not found:
        return ABSENT, f"compute-sanitizer does not work on this machine: {unable.group(0)}"
    if outcome.code != 0 or not found:
        return FAILED, outcome.why() if outcome.code else "it printed no summary"
    return PASSED, f"clean over {len(chosen)} tests in {outcome.seconds:.0f} s"


def fast_tests(results, limit):
    """The names to run; every GPU test where none has been timed."""
    if results is None:
        return ["*/cuda*"]
    return [test for test, (word, seconds) in results.items() if word == "OK" and seconds < limit]
