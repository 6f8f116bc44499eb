#!/usr/bin/env python3
"""Lists what every kernel takes of a multiprocessor: registers, shared memory, stack and spills.

Compiles the .cu files for one architecture and reads what ptxas says about each kernel; needs nvcc, and no GPU.
Exits with 1 where a kernel spills registers or has a stack frame, unless ACCEPTED names it with a reason: both live in
local memory, which is memory, and a kernel that was meant to work in registers does not.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Kernels that may use a stack or spill: how the name without namespaces begins -> why.
ACCEPTED = {}

LOCAL_MEMORY = r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"

# A multiprocessor of compute capability 9.0.
REGISTERS, SHARED_BYTES, THREADS = 65536, 227 * 1024, 2048


@dataclass
class Kernel:
    name: str
    source: str
    registers: int = 0
    shared: int = 0  # bytes, static; what launch() adds is not known here
    stack: int = 0
    spill_stores: int = 0
    spill_loads: int = 0

    def in_local_memory(self):
        return self.stack > 0 or self.spill_stores > 0 or self.spill_loads > 0

    def threads_per_multiprocessor(self):
        """That its registers allow; they are given to a warp in pieces of 256."""
        per_warp = -(-self.registers * 32 // 256) * 256
        return min(THREADS, REGISTERS // per_warp * 32) if per_warp else THREADS

    def reason(self):
        return next((why for name, why in ACCEPTED.items() if self.name.startswith(name)), None)


def parse(log, source):
    """The kernels that the output of `ptxas -v` describes."""
    kernels, functions, current = {}, {}, None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)'", line):
            kernels[match[1]] = Kernel(match[1], source)
            current = None
        elif match := re.search(r"Function properties for (\S+)", line):
            # Functions that were not inlined are described too, and called with a stack.
            current = kernels.get(match[1]) or functions.setdefault(match[1], Kernel(match[1], source))
        elif current and (match := re.search(LOCAL_MEMORY, line)):
            current.stack, current.spill_stores, current.spill_loads = (int(number) for number in match.groups())
        elif current and (match := re.search(r"Used (\d+) registers", line)):
            current.registers = int(match[1])
            if match := re.search(r"(\d+) bytes smem", line):
                current.shared = int(match[1])
            if match := re.search(r"(\d+) bytes cumulative stack size", line):
                current.stack = max(current.stack, int(match[1]))
    return list(kernels.values())


def short(name):
    """A demangled name without the namespaces, return type and parameters."""
    name = re.sub(r"^void ", "", name)
    name = re.sub(r"\(anonymous namespace\)::", "", name)
    depth, end = 0, len(name)
    for i, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            end = i
            break
    return re.sub(r"\blethe::(\w+::)*", "", name[:end]).replace("__nv_bfloat16", "Bf16").replace("> >", ">>")


def demangle(kernels):
    names = "\n".join(kernel.name for kernel in kernels)
    lines = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout.splitlines()
    for kernel, line in zip(kernels, lines):
        kernel.name = short(line)


def compile_one(nvcc, arch, source, folder):
    command = [nvcc, "-cubin", f"-arch={arch}", "-std=c++20", "-O3", "-DNDEBUG", "--expt-relaxed-constexpr",
               "-Xptxas", "-v", f"-I{ROOT}", str(source), "-o", os.path.join(folder, source.name + ".cubin")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    path = source.resolve()
    return parse(done.stderr, str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))


def table(kernels):
    print("registers  threads/SM  shared  stack  spill st/ld  kernel")
    for k in sorted(kernels, key=lambda k: (-k.registers, k.name)):
        spills = f"{k.spill_stores}/{k.spill_loads}"
        print(f"{k.registers:9}  {k.threads_per_multiprocessor():10}  {k.shared:6}  {k.stack:5}  {spills:>11}  "
              f"{k.name} ({k.source})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, help=".cu files; without any: those of cuda/ and bench/labs/")
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()

    sources = options.sources or sorted([*ROOT.glob("cuda/*.cu"), *ROOT.glob("bench/labs/*.cu")])
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        per_file = list(pool.map(lambda source: compile_one(options.nvcc, options.arch, source, folder), sources))
    kernels = [kernel for found in per_file for kernel in found]
    if not kernels:
        sys.exit("no kernels were found in " + ", ".join(str(source) for source in sources))
    demangle(kernels)
    table(kernels)

    local = [kernel for kernel in kernels if kernel.in_local_memory()]
    bad = [kernel for kernel in local if kernel.reason() is None]
    for kernel in local:
        if kernel.reason():
            print(f"accepted: {kernel.name}: {kernel.reason()}")
    print(f"{len(kernels)} kernels for {options.arch}; {len(local)} use local memory, {len(bad)} of them without a reason")
    for kernel in bad:
        print(f"{kernel.source}: {kernel.name} has a stack of {kernel.stack} bytes and spills "
              f"{kernel.spill_stores}/{kernel.spill_loads} bytes", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
