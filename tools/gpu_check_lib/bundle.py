"""Makes the bundle: programs, the libraries of this distribution that they need, scripts and data, in one archive."""
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import layout
import machine
from errors import Problem

NAME = "lethe-gpu"
LARGEST = 60_000_000  # bytes
TRAIN_IMAGES = 1000  # of each of the five files: enough to choose images from, and small
RECORD = 3073
PROGRAMS = ["lethe", "lethe_step_bench", "lethe_labs"]
OPTIONAL = ["lethe_labs"]  # packed where the build knows them
FILES = ["tools/gpu_check", "tools/gpu_check_lib/*.py", "bench/compare_pytorch_gpu.py", "tests/golden/networks.py"]
# Part of every Linux of some age, and tied to its kernel and loader: they are taken from there.
GLIBC = re.compile(r"^(ld-linux.*|lib(c|m|mvec|dl|pthread|rt|resolv|util|nsl|anl))\.so")
# NVIDIA's: the driver's and the toolkit's are used as found, and never packed.
NVIDIA = re.compile(r"^lib(cuda|cudnn|cublas|cufft|cupti|curand|cusolver|cusparse|nv)")


def make(args):
    tests = test_sources()
    data = find_data(args.shared)
    if args.dry_run:
        list_all(tests, data)
        return 0
    build(args.build_dir, [*PROGRAMS, *tests])
    with tempfile.TemporaryDirectory(prefix="lethe-gpu-bundle-") as folder:
        top = pathlib.Path(folder) / NAME
        programs, libraries = add_programs(args.build_dir / "bin", tests, top)
        add_scripts(top)
        if data:
            add_data(data, top)
        write_manifest(args.build_dir, top, programs, libraries, data)
        pack(top, args.bundle)
    size = args.bundle.stat().st_size
    if size >= LARGEST:
        raise Problem(f"{args.bundle} has {size / 1e6:.1f} MB, the limit is {LARGEST / 1e6:.0f} MB")
    print(f"{args.bundle}: {size / 1e6:.1f} MB, {len(programs)} programs, {len(libraries)} libraries, "
          f"{'CIFAR-10 and a checkpoint' if data else 'no data'}")
    return 0


def test_sources():
    """Test programs with tests of every device."""
    found = [path.stem for path in sorted((layout.SCRIPTS / "tests").glob("*_test.cpp"))
             if re.search(r"\b(all|gpu)_devices\(\)", path.read_text())]
    if not found:
        raise Problem("there are no device tests here; --bundle needs a checkout")
    return found


def find_data(shared):
    for place in [shared] if shared else [os.environ.get("LETHE_SHARED"), layout.SCRIPTS.parent / "shared"]:
        if place is None:
            continue
        place = pathlib.Path(place)
        if (place / "data" / layout.CIFAR).is_dir() and (place / "weights" / layout.CHECKPOINT).is_file():
            return place
    if shared:
        raise Problem(f"{shared} holds no data/{layout.CIFAR} and weights/{layout.CHECKPOINT}")
    return None


def list_all(tests, data):
    print("programs:  ", *(f"{name} (where built)" if name in OPTIONAL else name for name in PROGRAMS))
    print("tests:     ", *tests)
    print("libraries:  what these link to, but for glibc and NVIDIA's")
    print("scripts:   ", *(str(path) for path in scripts()))
    print("data:      ", f"{layout.BATCHES[0]}, {TRAIN_IMAGES} images of each of {', '.join(layout.BATCHES[1:])}, "
          f"{layout.CHECKPOINT}" if data else "none: neither $LETHE_SHARED nor ../shared has any")


def scripts():
    return [path.relative_to(layout.SCRIPTS) for pattern in FILES for path in sorted(layout.SCRIPTS.glob(pattern))]


def step(command, what):
    print(what, flush=True)
    done = subprocess.run([str(word) for word in command], cwd=layout.SCRIPTS, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Problem(f"{what} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def build(folder, targets):
    if not (folder / "CMakeCache.txt").is_file():
        step(["tools/setup"], "Looking for what Lethe is built from")
        step(["cmake", "--preset", "cuda", "-B", folder], f"Configuring {folder}")
    if not layout.nvcc_of(folder):
        raise Problem(f"{folder} was configured without CUDA; a bundle needs nvcc")
    listed = step(["cmake", "--build", folder, "--target", "help"], "Reading targets")
    known = set(re.findall(r"^([\w/]+): phony", listed, re.MULTILINE))
    targets = [target for target in targets if target not in OPTIONAL or target in known]
    step(["cmake", "--build", folder, "--target", *targets], f"Building {len(targets)} programs in {folder}; minutes")


def add_programs(folder, tests, top):
    """Copies programs without their symbols, and the libraries they link to. Returns the names of both."""
    names = [name for name in [*PROGRAMS, *tests] if (folder / name).is_file()]
    libraries = {}
    for name in names:
        libraries.update(libraries_of(folder / name))
    for part, files in (("bin", {name: folder / name for name in names}), ("lib", libraries)):
        (top / part).mkdir(parents=True)
        for name, file in files.items():
            shutil.copy(file, top / part / name)
            subprocess.run(["strip", "--strip-unneeded", top / part / name], check=True)
    return names, sorted(libraries)


def libraries_of(program):
    """{name: file} of the libraries to pack."""
    found = {}
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for name, file in re.findall(r"^\s+(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", text, re.MULTILINE):
        if GLIBC.match(name) or NVIDIA.match(name):
            continue
        if file == "not found":
            raise Problem(f"{program} needs {name}, which is not here")
        found[name] = pathlib.Path(file)
    return found


def add_scripts(top):
    for path in scripts():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(layout.SCRIPTS / path, top / path)


def add_data(shared, top):
    """The test images, some training images and the checkpoint. Neighbouring pixels are alike, so differences are what
    is compressed; any xz reads that."""
    cifar = top / "data" / layout.CIFAR
    cifar.mkdir(parents=True)
    filters = [{"id": lzma.FILTER_DELTA, "dist": 1}, {"id": lzma.FILTER_LZMA2, "preset": 6}]
    for name in layout.BATCHES:
        print(f"Compressing {name}", flush=True)
        content = (shared / "data" / layout.CIFAR / name).read_bytes()
        if name != layout.BATCHES[0]:
            content = content[: TRAIN_IMAGES * RECORD]
        (cifar / f"{name}.xz").write_bytes(lzma.compress(content, filters=filters))
    shutil.copy(shared / "data" / layout.CIFAR / "batches.meta.txt", cifar)
    (top / "weights").mkdir()
    shutil.copy(shared / "weights" / layout.CHECKPOINT, top / "weights")


def write_manifest(folder, top, programs, libraries, data):
    version = re.search(r"release ([\d.]+)", machine.answer([layout.nvcc_of(folder), "--version"]))
    nvcc = version.group(1) if version else "unknown"
    files = [path for part in ("bin", "lib") for path in (top / part).iterdir()]
    frontend = layout.cached(folder, "CUDNN_FRONTEND_INCLUDE_DIR")
    if not frontend:
        print("Built without the headers of cudnn-frontend: convolutions will be Lethe's own, not cuDNN's")
    manifest = {"commit": machine.commit(layout.SCRIPTS), "nvcc": nvcc, "cuda_major": nvcc.split(".", maxsplit=1)[0],
                "glibc": layout.newest_glibc(files), "made": machine.host()["time"],
                "tests": [name for name in programs if name.endswith("_test")], "programs": programs,
                "libraries": libraries, "data": bool(data), "cudnn_frontend": bool(frontend)}
    (top / layout.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def pack(top, file):
    """The programs share most of their bytes: the dictionary must hold several of them."""
    print("Packing", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 64 << 20}]
    with lzma.open(part, "wb", filters=filters) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        archive.add(top, arcname=NAME, filter=anonymous)
    part.replace(file)


def anonymous(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
