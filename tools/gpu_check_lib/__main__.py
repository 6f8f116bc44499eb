"""tools/gpu_check: checks Lethe on a machine with an NVIDIA GPU, and packs what such a machine needs."""
import argparse
import datetime
import pathlib
import re
import sys
import tempfile
import time

import bundle
import check
import layout
import machine
from errors import Problem

DESCRIPTION = """Checks Lethe on an NVIDIA GPU within a given time, and writes a folder of results to be committed.

  tools/gpu_check                      in a checkout, with a build
  tools/gpu_check --bundle-file FILE   with the programs and data of a bundle; nothing else of Lethe need be here
  tools/gpu_check --bundle [FILE]      makes such a bundle on a machine with nvcc; it needs no GPU

Stages, in order: {stages}. See docs/gpu-check.md.
Exit code: 0 all passed, 1 something failed, 3 nothing failed but the time was up before the end, 2 wrong usage."""


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/gpu_check", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description=DESCRIPTION.format(stages=", ".join(check.STAGES)))
    path = pathlib.Path
    bundle_file = layout.SCRIPTS / "build" / "lethe-gpu.tar.xz"
    parser.add_argument("--bundle", nargs="?", type=path, metavar="FILE", const=bundle_file,
                        help="build, and pack into FILE (default: build/lethe-gpu.tar.xz)")
    parser.add_argument("--dry-run", action="store_true", help="with --bundle: only list what it would build and pack")
    parser.add_argument("--build-dir", type=path, metavar="DIR",
                        help="default: build/cuda, else build/release if that has the CUDA backend")
    parser.add_argument("--shared", type=path, metavar="DIR",
                        help="folder with data/cifar-10-batches-bin and weights/ (default: the bundle's, "
                        "$LETHE_SHARED, or ../shared)")
    parser.add_argument("--bundle-file", type=path, metavar="FILE", help="use this bundle's programs and data")
    parser.add_argument("--out", type=path, metavar="DIR", help="results (default: bench/results/DATE-gpu-NAME)")
    parser.add_argument("--minutes", type=float, default=9.0, help="end within so many minutes (default: 9)")
    parser.add_argument("--only", metavar="STAGES",
                        help="comma-separated stages, besides environment; they share the whole time")
    parser.add_argument("--python", default=sys.executable,
                        help="the Python that holds PyTorch (default: the one running)")
    parser.add_argument("--rehearse", action="store_true",
                        help="try the check itself where there is no GPU: the CPU plays it, in small sizes")
    args = parser.parse_args(arguments)
    args.stages = args.only.split(",") if args.only else list(check.STAGES)
    args.build_dir = (args.build_dir or layout.usual_build()).resolve()
    unknown = [name for name in args.stages if name not in check.STAGES]
    if unknown:
        parser.error(f"--only: no stage is called {unknown[0]}; there are {', '.join(check.STAGES)}")
    args.stages = [name for name in check.STAGES if name in args.stages or name == "environment"]
    if not 0.2 <= args.minutes <= 600:
        parser.error("--minutes: from 0.2 to 600")
    if args.dry_run and not args.bundle:
        parser.error("--dry-run goes with --bundle")
    return args


def results_folder(args, gpu):
    """A new, empty folder."""
    if args.out:
        if args.out.exists() and any(args.out.iterdir()):
            raise Problem(f"{args.out} is not empty; results go to a new folder")
        wanted = args.out
    else:
        slug = re.sub(r"[^a-z0-9]+", "-", gpu.get("name", "rehearsal").lower().replace("nvidia", "")).strip("-")
        parent = layout.SCRIPTS / ("build" if args.rehearse else "bench/results")
        wanted = first = parent / f"{datetime.date.today().isoformat()}-gpu-{slug}"
        for i in range(2, 100):
            if not wanted.exists():
                break
            wanted = first.with_name(f"{first.name}-{i}")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted.resolve()


def run_check(args):
    begun = time.monotonic()
    gpu, driver_folders = ({}, []) if args.rehearse else machine.gpu()
    with tempfile.TemporaryDirectory(prefix="lethe-gpu-check-") as folder:
        scratch = pathlib.Path(folder).resolve()
        instance = "emulated_seed1" if args.rehearse else "cuda"
        if args.bundle_file:
            places = layout.from_folder(layout.unpack(args.bundle_file, scratch))
        elif (layout.SCRIPTS / layout.MANIFEST).is_file():
            places = layout.from_folder(layout.SCRIPTS)
        else:
            places = layout.from_build(args.build_dir, instance)
        layout.add_data(places, args.shared.resolve() if args.shared else None, scratch)
        run = check.Run(places, gpu, results_folder(args, gpu), scratch, args.python, args.rehearse)
        check.prepare(run, driver_folders)
        print(f"{gpu.get('name', 'Rehearsal without a GPU')}; results in {run.out}", flush=True)
        stages = check.perform(run, args.stages, begun + 60 * args.minutes, lambda line: print(line, flush=True))
    print(f"{time.monotonic() - begun:.0f} s in all; the summary is {run.out / 'summary.md'}")
    return check.exit_code(stages)


def main():
    args = parse(sys.argv[1:])
    try:
        return bundle.make(args) if args.bundle else run_check(args)
    except Problem as problem:
        print(f"gpu_check: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gpu_check: interrupted; the stages that had ended are in the results folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
