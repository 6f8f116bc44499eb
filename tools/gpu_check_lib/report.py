"""results.json and summary.md: what passed, failed or was cut, and every number beside what was asked for."""
import json

from runner import CUT, FAILED, PASSED
from targets import TARGETS, met

WORDS = {PASSED: "passed", FAILED: "**failed**", CUT: "**cut**"}


def number(value):
    """Four digits, or a whole number."""
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def overall(stages):
    found = {stage.status for stage in stages}
    return FAILED if FAILED in found else CUT if CUT in found else PASSED


def line(stage):
    """One stage, for the terminal."""
    counted = {}
    for check in stage.checks:
        counted[check.status] = counted.get(check.status, 0) + 1
    text = ", ".join(f"{count} {status}" for status, count in counted.items())
    bad = next((f"; {check.what}: {check.detail}" for check in stage.checks
                if check.status == stage.status != PASSED), "")
    return f"{stage.name:12} {stage.status:9} {stage.seconds:6.1f} s  {text}{bad}"[:300]


def document(run, stages, waiting):
    measurements = []
    for stage in stages:
        for measured in stage.measurements:
            entry = {"stage": stage.name, "what": measured.what, "value": measured.value, "unit": measured.unit}
            if measured.detail:
                entry["detail"] = measured.detail
            if measured.key in TARGETS:
                entry["target"] = " ".join(map(str, TARGETS[measured.key]))
                entry["met"] = met(measured.key, measured.value)
            measurements.append(entry)
    return {"rehearsal": run.rehearsal, "status": CUT if waiting and overall(stages) == PASSED else overall(stages),
            "not_started": waiting,
            "stages": [{key: value for key, value in stage.as_dict().items() if key != "measurements"}
                       for stage in stages],
            "measurements": measurements}


def write(run, stages, waiting):
    results = document(run, stages, waiting)
    (run.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (run.out / "summary.md").write_text(summary(results, run.facts))


def summary(results, facts):
    gpu = facts.get("gpu", {}).get("name", "no GPU")
    if results["rehearsal"]:
        title = "# Rehearsal of the GPU check\n\n**No GPU took part: nothing here is a result.** The GPU's part was " \
                "played by the CPU, in small sizes.\n"
    else:
        title = f"# GPU check on {gpu}\n"
    parts = [[title], verdict(results), [""], circumstances(facts), [""], stage_table(results), not_passed(results),
             measurement_table(results)]
    return "\n".join(line_ for part in parts for line_ in part) + "\n"


def verdict(results):
    missed = [entry["what"] for entry in results["measurements"] if entry.get("met") is False]
    asked = [entry for entry in results["measurements"] if "met" in entry]
    text = {PASSED: "Everything that ran passed.", FAILED: "**Something failed**, see below.",
            CUT: "Nothing failed, but **not everything ran to its end**, see below."}[results["status"]]
    lines = [text]
    if results["not_started"]:
        lines.append(f"Not started: {', '.join(results['not_started'])}.")
    if asked:
        lines.append(f"Of {len(asked)} targets {len(asked) - len(missed)} were met"
                     + (f"; missed: {'; '.join(missed)}." if missed else "."))
    return lines


def circumstances(facts):
    smi, torch, build = facts.get("nvidia_smi", {}), facts.get("pytorch", {}), facts.get("build", {})
    rows = [("time", facts.get("time")), ("backend", facts.get("backend")), ("driver", smi.get("driver_version")),
            ("clocks of multiprocessors and memory at the start", " and ".join(
                smi[key] for key in ("clocks.sm", "clocks.mem") if key in smi)),
            ("machine", "{processor}, {processors} processors, {memory_gib} GiB, {system}".format(**facts)
             if "processor" in facts else None),
            ("PyTorch", f"{torch['torch']}, CUDA {torch['cuda']}, cuDNN {torch['cudnn']}" if torch else "none"),
            ("programs", f"bundle of {build['commit'][:12]}{' + changes' if '+' in build['commit'] else ''}, "
                         f"nvcc {build['nvcc']}" if build else f"build of {facts.get('commit_of_scripts', '')[:12]}")]
    return ["| | |", "| --- | --- |"] + [f"| {name} | {value} |" for name, value in rows if value]


def stage_table(results):
    rows = ["| stage | result | seconds | of | checks |", "| --- | --- | --- | --- | --- |"]
    for stage in results["stages"]:
        passed = sum(check["status"] == PASSED for check in stage["checks"])
        rows.append(f"| {stage['name']} | {WORDS.get(stage['status'], stage['status'])} | {stage['seconds']:.0f} | "
                    f"{stage['share']:.0f} | {passed} of {len(stage['checks'])} passed |")
    return rows


def not_passed(results):
    lines = [f"- {WORDS.get(check['status'], check['status'])}: {check['what']}" + (f": {check['detail']}"
             if check["detail"] else "") for stage in results["stages"] for check in stage["checks"]
             if check["status"] != PASSED]
    return ["", "What did not pass:", "", *lines] if lines else []


def measurement_table(results):
    if not results["measurements"]:
        return []
    rows = ["", "| measured | value | | target | |", "| --- | ---: | --- | --- | --- |"]
    for entry in results["measurements"]:
        verdict_ = {True: "met", False: "**missed**"}.get(entry.get("met"), "")
        unit = entry["unit"] + (f" ({entry['detail']})" if entry.get("detail") else "")
        rows.append(f"| {entry['what']} | {number(entry['value'])} | {unit} | {entry.get('target', '')} | {verdict_} |")
    return rows
