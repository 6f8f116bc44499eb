#!/usr/bin/env python3
"""The parts of tools/gpu_check on made-up input: no GPU, no result, nothing that stays. Run by gpu_check_test."""
import array
import glob
import json
import math
import os
import pathlib
import struct
import sys
import tempfile
import time
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools" / "gpu_check_lib"))

import benchmarks  # noqa: E402
import bundle  # noqa: E402
import check  # noqa: E402
import device_tests  # noqa: E402
import end_to_end  # noqa: E402
import layout  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import weights  # noqa: E402
from errors import Problem  # noqa: E402
from runner import ABSENT, CUT, FAILED, PASSED, Outcome, Shell, Stage, test_results  # noqa: E402

MADE_UP_TESTS = """[ RUN      ] Device/Pool.Max/cuda
[       OK ] Device/Pool.Max/cuda (12 ms)
[ RUN      ] Device/Pool.Slow/cuda
[       OK ] Device/Pool.Slow/cuda (4100 ms)
"""
MADE_UP_FAILURE = """[ RUN      ] Device/Pool.Mean/cuda
[  FAILED  ] Device/Pool.Mean/cuda, where GetParam() = "cuda" (5 ms)
[  FAILED  ] Device/Pool.Mean/cuda, where GetParam() = "cuda"
"""
MADE_UP_SKIP = "[ RUN      ] Device/Pool.Odd/cuda\n[  SKIPPED ] Device/Pool.Odd/cuda (0 ms)\n"
MADE_UP_CRASH = "[ RUN      ] Device/Pool.Crash/cuda\n"


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lethe-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name).resolve()

    def stand_in(self, name, body):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def make_run(self, tests=(), rehearsal=False):
        places = layout.Layout(self.folder, self.folder, [], list(tests), {})
        out = self.folder / "out"
        out.mkdir()
        run = check.Run(places, {"name": "Made-up GPU"}, out, self.folder, sys.executable, rehearsal)
        run.shell = Shell(self.folder, dict(os.environ), {})
        return run


class DeviceTests(InFolder):
    def judged(self, output, code=0, cut=False):
        return device_tests.judge(Outcome(code, output, cut, 1.0), test_results(output))

    def test_results_are_read_from_the_text(self):
        results = test_results(MADE_UP_TESTS + MADE_UP_FAILURE + MADE_UP_SKIP + MADE_UP_CRASH)
        self.assertEqual(results, {"Device/Pool.Max/cuda": ("OK", 0.012), "Device/Pool.Slow/cuda": ("OK", 4.1),
                                   "Device/Pool.Mean/cuda": ("FAILED", 0.005), "Device/Pool.Odd/cuda": ("SKIPPED", 0.0),
                                   "Device/Pool.Crash/cuda": ("unfinished", 0.0)})

    def test_only_a_program_that_runs_and_passes_everything_has_passed(self):
        self.assertEqual(self.judged(MADE_UP_TESTS)[0], PASSED)
        self.assertEqual(self.judged(MADE_UP_TESTS + MADE_UP_SKIP)[0], FAILED)
        self.assertEqual(self.judged(MADE_UP_TESTS + MADE_UP_FAILURE, code=1)[0], FAILED)
        self.assertEqual(self.judged("[==========] 0 tests ran.")[0], FAILED)
        status, detail = self.judged(MADE_UP_TESTS + MADE_UP_CRASH, code=-11)
        self.assertEqual(status, FAILED)
        self.assertIn("Device/Pool.Crash/cuda", detail)

    def test_a_cut_program_is_cut_unless_it_had_failed_before(self):
        self.assertEqual(self.judged(MADE_UP_TESTS + MADE_UP_CRASH, code=-9, cut=True)[0], CUT)
        self.assertEqual(self.judged(MADE_UP_FAILURE + MADE_UP_CRASH, code=-9, cut=True)[0], FAILED)

    def test_programs_are_asked_for_the_gpu_alone_and_told_not_to_skip(self):
        self.stand_in("made_up_test", 'echo "[ RUN      ] A.B/cuda"; [ "$1" = "--gtest_filter=*/cuda*" ] || exit 1\n'
                                      '[ "$LETHE_REQUIRE_GPU" = 1 ] || exit 1; echo "[       OK ] A.B/cuda (1 ms)"')
        run, stage = self.make_run(["made_up_test"]), Stage("tests", 10)
        device_tests.tests(run, stage, time.monotonic() + 10)
        self.assertEqual(stage.status, PASSED)
        self.assertEqual(run.tested["made_up_test"], {"A.B/cuda": ("OK", 0.001)})

    def sanitized(self, body):
        """Statuses of memcheck and racecheck when compute-sanitizer is the script `body`."""
        self.stand_in("bin/compute-sanitizer", body)
        run, stage = self.make_run(["made_up_test"]), Stage("sanitizer", 10)
        run.tested = {"made_up_test": test_results(MADE_UP_TESTS)}
        before, os.environ["PATH"] = os.environ["PATH"], f"{self.folder / 'bin'}:{os.environ['PATH']}"
        try:
            device_tests.sanitizer(run, stage, time.monotonic() + 10)
        finally:
            os.environ["PATH"] = before
        return [item.status for item in stage.checks], run

    def test_clean_sanitizers_pass_over_the_fast_tests(self):
        statuses, run = self.sanitized('case "$2" in memcheck) echo "ERROR SUMMARY: 0 errors";; '
                                       '*) echo "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)";; esac')
        self.assertEqual(statuses, [PASSED, PASSED])
        log = (run.out / "sanitizer-racecheck.log").read_text()
        self.assertIn("--gtest_filter=Device/Pool.Max/cuda ", log)

    def test_findings_fail(self):
        statuses, _ = self.sanitized('echo "ERROR SUMMARY: 2 errors"; echo "RACECHECK SUMMARY: 1 hazard displayed"\n'
                                     "exit 99")
        self.assertEqual(statuses, [FAILED, FAILED])

    def race_in(self, kernel):
        return self.sanitized('case "$2" in memcheck) echo "ERROR SUMMARY: 0 errors"; exit 0;; esac\n'
                              f'echo "Error: Race reported between Write access at {kernel}+0x7d"\n'
                              f'echo " and Read access at {kernel}+0x9f [72 hazards]"\n'
                              'echo "RACECHECK SUMMARY: 1 hazard displayed (1 error)"\nexit 99')[0]

    def test_races_of_our_kernels_fail(self):
        self.assertEqual(self.race_in("_ZN5lethe4cuda11pool_kernelE"), [PASSED, FAILED])

    def test_races_of_cudnn_are_not_ours(self):
        self.assertEqual(self.race_in("sm90_xmma_dgrad_implicit_gemm"), [PASSED, PASSED])

    def test_a_sanitizer_without_a_summary_has_not_passed(self):
        self.assertEqual(self.sanitized("exit 0")[0], [FAILED, FAILED])

    def test_a_sanitizer_that_cannot_work_is_not_here(self):
        statuses, _ = self.sanitized('echo "Error: Device not supported"; exit 1')
        self.assertEqual(statuses, [ABSENT, ABSENT])


class Commands(InFolder):
    def test_a_command_is_ended_with_its_children_when_its_time_is_up(self):
        child = self.folder / "child"
        self.stand_in("slow", f"(sleep 3; touch {child}) &\nsleep 30")
        shell, begun = Shell(self.folder, dict(os.environ), {}), time.monotonic()
        outcome = shell.run([self.folder / "slow"], self.folder / "log", begun + 1.2)
        self.assertTrue(outcome.cut)
        self.assertEqual(outcome.status(), CUT)
        self.assertLess(time.monotonic() - begun, 20)  # not the 30 seconds it wanted
        time.sleep(2.2)
        self.assertFalse(child.exists())

    def test_logs_do_not_show_this_machines_folders(self):
        self.stand_in("where", "pwd")
        shell = Shell(self.folder, dict(os.environ), {self.folder: "FOLDER"})
        shell.run([self.folder / "where"], self.folder / "log", time.monotonic() + 10)
        log = (self.folder / "log").read_text()
        self.assertIn("$ FOLDER/where\nFOLDER\n[exit code 0", log)
        self.assertNotIn(str(self.folder), log)


class Weights(InFolder):
    def write(self, name, **tensors):
        header, data = {"__metadata__": {"made": "up"}}, b""
        for tensor, (kind, values) in tensors.items():
            encoded = array.array(weights.TYPES[kind], values).tobytes()
            place = [len(data), len(data) + len(encoded)]
            header[tensor] = {"dtype": kind, "shape": [len(values)], "data_offsets": place}
            data += encoded
        text = json.dumps(header).encode()
        path = self.folder / name
        path.write_bytes(struct.pack("<Q", len(text)) + text + data)
        return path

    def test_the_difference_is_a_share_of_the_movement(self):
        before = self.write("before", w=("F32", [0, 0]), n=("I64", [1]))
        expected = self.write("expected", w=("F32", [3, 4]), n=("I64", [2]))
        actual = self.write("actual", w=("F32", [3, 4.5]), n=("I64", [2]))
        share, name = weights.worst_share(actual, expected, before)
        self.assertAlmostEqual(share, 0.1)
        self.assertEqual(name, "w")

    def test_counters_of_batches_may_be_new_but_must_agree(self):
        before = self.write("before", w=("F32", [0, 0]))
        expected = self.write("expected", **{"w": ("F32", [3, 4]), "bn.num_batches_tracked": ("I64", [2])})
        for steps, share in ((2, 0.1), (3, math.inf)):
            actual = self.write("actual", **{"w": ("F32", [3, 4.5]), "bn.num_batches_tracked": ("I64", [steps])})
            self.assertAlmostEqual(weights.worst_share(actual, expected, before)[0], share)
        other = self.write("other", w=("F32", [3, 4]), v=("F32", [1]))
        self.assertEqual(weights.worst_share(other, other, before)[0], math.inf)

    def test_what_is_no_number_or_another_count_differs_infinitely(self):
        before = self.write("before", w=("F32", [0, 0]), n=("I64", [1]))
        expected = self.write("expected", w=("F32", [3, 4]), n=("I64", [2]))
        for values, steps in (([math.nan, 4], 2), ([3, 4], 3), ([3, 4, 5], 2)):
            actual = self.write("actual", w=("F32", values), n=("I64", [steps]))
            self.assertEqual(weights.worst_share(actual, expected, before)[0], math.inf)
        other = self.write("other", v=("F32", [3, 4]), n=("I64", [2]))
        self.assertEqual(weights.worst_share(other, expected, before)[0], math.inf)


    def test_rows_of_a_file_have_distances(self):
        first, second = self.write("first", x=("F32", [0, 0, 1, 1])), self.write("second", x=("F32", [3, 4, 1, 1]))
        self.assertEqual(weights.row_distances(first, second, 2), [5.0, 0.0])

    def test_a_run_continues_behind_another_runs_attack(self):
        finished = self.folder / "finished"
        finished.mkdir()
        for name in ("inputs.json", "forget_set.json", "before.json", "attack.json", "adversarial.safetensors",
                     "importance.json"):
            (finished / name).write_text("made up")
        (finished / "config.json").write_text(json.dumps({"device": "cpu", "seed": 0}))
        continued = end_to_end.continue_from(finished, self.folder / "continued", "cuda")
        self.assertEqual(json.loads((continued / "config.json").read_text()), {"device": "cuda", "seed": 0})
        self.assertTrue((continued / "attack.json").exists())
        self.assertFalse((continued / "importance.json").exists())


class Reports(InFolder):
    def stages(self):
        good, slow = Stage("tests", 10, 2.5), Stage("benchmarks", 10, 9.0)
        good.check("made_up_test", PASSED, "3 of 3 tests passed")
        slow.check("lab sgemm", PASSED)
        slow.measure("pgd100.strict", "PGD-100", 55.0, "ms")
        slow.measure("train.bf16.eager", "PyTorch over Lethe", 1.5, "x")
        slow.measure("", "copy", 2000.4, "GB/s")
        return [good, slow]

    def test_the_summary_holds_each_number_beside_its_target(self):
        run, stages = self.make_run(), self.stages()
        report.write(run, stages, [])
        summary = (run.out / "summary.md").read_text()
        self.assertIn("| PGD-100 | 55 | ms | <= 40.0 | **missed** |", summary)
        self.assertIn("| PyTorch over Lethe | 1.5 | x | > 1.0 | met |", summary)
        self.assertIn("Of 2 targets 1 were met; missed: PGD-100.", summary)
        self.assertIn("Everything that ran passed.", summary)
        self.assertEqual(check.exit_code(stages), 0)
        self.assertEqual(json.loads((run.out / "results.json").read_text())["status"], PASSED)

    def test_cut_and_failed_are_never_passed(self):
        run, stages = self.make_run(), self.stages()
        stages[1].check("lab conv2d", CUT, "its time was up")
        self.assertEqual((stages[1].status, check.exit_code(stages)), (CUT, 3))
        report.write(run, stages, ["pytorch"])
        summary = (run.out / "summary.md").read_text()
        self.assertIn("not everything ran to its end", summary)
        self.assertIn("- **cut**: lab conv2d: its time was up", summary)
        self.assertIn("Not started: pytorch.", summary)
        stages[0].check("another_test", FAILED, "1 of 3 tests passed")
        self.assertEqual((stages[0].status, check.exit_code(stages)), (FAILED, 1))
        report.write(run, stages, [])
        self.assertIn("**Something failed**", (run.out / "summary.md").read_text())

    def test_stages_that_have_not_run_are_not_passed(self):
        run = self.make_run()
        report.write(run, self.stages(), ["pytorch"])
        self.assertEqual(json.loads((run.out / "results.json").read_text())["status"], CUT)
        self.assertEqual(Stage("nothing", 1).status, CUT)

    def test_a_rehearsal_says_so(self):
        run = self.make_run(rehearsal=True)
        report.write(run, self.stages(), [])
        self.assertIn("No GPU took part: nothing here is a result", (run.out / "summary.md").read_text())

    def test_a_stage_that_breaks_has_failed_and_one_without_time_is_cut(self):
        now = [1000.0]  # seconds on a clock that goes when a stage says so

        def broken(run, stage, deadline):
            raise FileNotFoundError("made-up.json")

        def long(run, stage, deadline):
            now[0] = deadline + 0.5
            stage.check("made up", PASSED)

        before = dict(check.STAGES)
        check.STAGES.clear()
        check.STAGES.update({"broken": (broken, 1), "long": (long, 1), "late": (long, 1)})
        try:
            deadline = now[0] + check.REPORT_SECONDS + 3.6
            stages = check.perform(self.make_run(), ["broken", "long", "late"], deadline, lambda line: None,
                                   clock=lambda: now[0])
        finally:
            check.STAGES.clear()
            check.STAGES.update(before)
        self.assertEqual([stage.status for stage in stages], [FAILED, PASSED, CUT])
        self.assertGreater(stages[1].seconds, stages[1].share)  # what "broken" left

    def test_labs_and_comparisons_meet_their_targets_by_name(self):
        stage = Stage("benchmarks", 1)
        lines = [dict(name=name, bound="memory", of_ceiling=share, median_us=9.0, speedup=1.0)
                 for name, share in (("v1", 0.2), ("v2", 0.93), ("cuDNN", 0.5))]
        sizes = [dict(size="large", bytes=3e8, lines=lines), dict(size="small", bytes=3e6, lines=lines)]
        benchmarks.measure_lab(stage, "elementwise", {"labs": {"elementwise": {"sizes": sizes}}})
        self.assertEqual([(item.key, item.value) for item in stage.measurements],
                         [("lab.elementwise", 0.93), ("", 0.93)])
        rows = [dict(job="pgd", precision="tf32", program=program, ms=ms, min=ms, max=ms, rounds=3, over_lethe=ms / 10)
                for program, ms in (("lethe", 10.0), ("pytorch graph", 35.0))]
        benchmarks.measure_comparison(stage, {"attack_steps": 100, "results": rows})
        self.assertEqual([(item.key, item.value) for item in stage.measurements[2:]],
                         [("", 10.0), ("", 35.0), ("pgd.tf32.graph", 3.5)])


class Bundles(InFolder):
    def test_neither_glibc_nor_nvidias_libraries_are_packed(self):
        for name in ("libc.so.6", "libm.so.6", "libmvec.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0"):
            self.assertTrue(bundle.GLIBC.match(name), name)
        for name in ("libcuda.so.1", "libcudnn.so.9", "libcublasLt.so.13", "libnvrtc.so.13", "libcudart.so.13"):
            self.assertTrue(bundle.NVIDIA.match(name), name)
        for name in ("libcrypto.so.3", "libdnnl.so.2", "libmount.so.1", "libgomp.so.1", "libstdc++.so.6"):
            self.assertFalse(bundle.GLIBC.match(name) or bundle.NVIDIA.match(name), name)

    def packed(self, **files):
        top = self.folder / bundle.NAME
        for name, content in files.items():
            top.mkdir(exist_ok=True)
            (top / name.replace("__", ".")).write_text(content)
        bundle.pack(top, self.folder / "made-up.tar.xz")
        return self.folder / "made-up.tar.xz"

    def test_what_was_packed_is_unpacked(self):
        file = self.packed(manifest__json=json.dumps({"glibc": "2.17", "tests": ["made_up_test"]}))
        scratch = self.folder / "scratch"
        scratch.mkdir()
        places = layout.from_folder(layout.unpack(file, scratch))
        self.assertEqual(places.tests, ["made_up_test"])
        self.assertEqual(places.root, scratch / bundle.NAME)

    def test_other_archives_and_newer_systems_are_refused_in_a_sentence(self):
        scratch = self.folder / "scratch"
        scratch.mkdir()
        with self.assertRaisesRegex(Problem, "no manifest.json"):
            layout.unpack(self.packed(readme__txt="made up"), scratch)
        (self.folder / "text").write_text("made up")
        with self.assertRaisesRegex(Problem, "cannot be unpacked"):
            layout.unpack(self.folder / "text", scratch)
        (self.folder / layout.MANIFEST).write_text(json.dumps({"glibc": "9.9", "tests": []}))
        with self.assertRaisesRegex(Problem, "need glibc 9.9"):
            layout.from_folder(self.folder)

    def test_data_are_compressed_and_found_again(self):
        shared, top = self.folder / "shared", self.folder / "top"
        (shared / "data" / layout.CIFAR).mkdir(parents=True)
        (shared / "weights").mkdir()
        (shared / "weights" / layout.CHECKPOINT).write_bytes(b"made up")
        for name in [*layout.BATCHES, "batches.meta.txt"]:
            (shared / "data" / layout.CIFAR / name).write_bytes(bytes(range(256)) * 13 * bundle.TRAIN_IMAGES)
        bundle.add_data(shared, top)
        places = layout.Layout(top, top, [], [], {})
        layout.add_data(places, None, self.folder / "scratch")
        self.assertEqual((places.cifar / "test_batch.bin").stat().st_size, 256 * 13 * bundle.TRAIN_IMAGES)
        train = (places.cifar / "data_batch_1.bin").read_bytes()
        self.assertEqual(train, (bytes(range(256)) * 13 * bundle.TRAIN_IMAGES)[: bundle.RECORD * bundle.TRAIN_IMAGES])

    def test_the_glibc_of_a_program_is_found(self):
        self.assertRegex(layout.newest_glibc([pathlib.Path(sys.executable).resolve()]), r"^2\.\d+$")


class Machines(InFolder):
    def test_nvidias_libraries_are_found_in_a_python_environment(self):
        for package, library in (("cudnn", "libcudnn.so.9"), ("cu99", "libcublasLt.so.99")):
            folder = self.folder / "site-packages" / "nvidia" / package / "lib"
            folder.mkdir(parents=True)
            (folder / library).write_text("made up")
        self.stand_in("bin/ldconfig", "echo 0 libs found in cache")
        python = self.stand_in("python", f"echo {self.folder / 'site-packages'}")
        names = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "CUDA_HOME": "", "CUDA_PATH": "",
                 "LD_LIBRARY_PATH": ""}
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        real, machine.glob = machine.glob, types.SimpleNamespace(
            glob=lambda pattern: [] if pattern.startswith("/usr/local") else real.glob(pattern), escape=glob.escape)
        try:
            folders, found = machine.library_folders(str(python), "99")
        finally:
            machine.glob = real
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self.assertEqual(found, {"libcudnn.so.9": "Python environment", "libcublasLt.so.99": "Python environment",
                                 "libnvrtc.so.99": "absent"})
        self.assertEqual([pathlib.Path(folder).parent.name for folder in folders], ["cudnn", "cu99"])


if __name__ == "__main__":
    unittest.main()
