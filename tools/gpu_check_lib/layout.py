"""Where programs, libraries and data lie: in a checkout with a build, or in an unpacked bundle."""
import json
import lzma
import os
import pathlib
import platform
import re
import subprocess
import tarfile

from errors import Problem

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent  # the checkout, or the bundle that holds these scripts
MANIFEST = "manifest.json"
CHECKPOINT = "resnet20-12fca82f.th"
CIFAR = "cifar-10-batches-bin"
BATCHES = ["test_batch.bin"] + [f"data_batch_{i}.bin" for i in range(1, 6)]


class Layout:
    """root: where commands run; programs: {name: path}; tests: names of those that hold GPU tests."""

    def __init__(self, root, folder, libraries, tests, manifest):
        self.root, self.folder, self.libraries, self.tests, self.manifest = root, folder, libraries, tests, manifest
        self.cifar = self.checkpoint = None

    def program(self, name):
        path = self.folder / name
        return path if path.is_file() else None


def has_gpu_tests(program, instance):
    """Whether a test program has tests of the device whose instances are called `instance`."""
    listed = subprocess.run([program, "--gtest_list_tests", f"--gtest_filter=*/{instance}*"], capture_output=True,
                            text=True, check=False)
    return listed.returncode == 0 and f"/{instance}" in listed.stdout


def cached(build, name):
    """A path in CMake's cache; "" where it is none."""
    file = build / "CMakeCache.txt"
    match = re.search(rf"^{name}:\w+=(/.*)$", file.read_text(), re.MULTILINE) if file.is_file() else None
    return match.group(1) if match and os.path.exists(match.group(1)) else ""


def nvcc_of(build):
    return cached(build, "LETHE_NVCC")


def usual_build():
    """build/cuda, or build/release where that has the CUDA backend and build/cuda is not there."""
    cuda, release = (SCRIPTS / "build" / name for name in ("cuda", "release"))
    return release if not (cuda / "CMakeCache.txt").is_file() and nvcc_of(release) else cuda


def from_build(build, instance):
    if not (build / "bin" / "lethe").is_file():
        raise Problem(f"there is no build in {build}; make one with `cmake --preset cuda && cmake --build --preset "
                      "cuda`, or give a bundle with --bundle-file")
    programs = build / "bin"
    tests = [path.name for path in sorted(programs.glob("*_test")) if has_gpu_tests(path, instance)]
    return Layout(SCRIPTS, programs, [], tests, {})


def from_folder(folder):
    """An unpacked bundle."""
    manifest = json.loads((folder / MANIFEST).read_text())
    needed = tuple(int(part) for part in manifest["glibc"].split("."))
    here = platform.libc_ver()[1]
    if here and tuple(int(part) for part in here.split(".")) < needed:
        raise Problem(f"the bundle's programs need glibc {manifest['glibc']}, and this machine has {here}; make a "
                      "bundle on an older distribution")
    return Layout(folder, folder / "bin", [folder / "lib"], manifest["tests"], manifest)


def unpack(file, scratch):
    """Unpacks a bundle in `scratch` and returns its folder."""
    try:
        with tarfile.open(file) as archive:
            for member in archive.getmembers():
                path = pathlib.PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                    raise Problem(f"{file} is no bundle of tools/gpu_check: it holds {member.name}")
            archive.extractall(scratch)
    except (OSError, tarfile.TarError, lzma.LZMAError) as error:
        raise Problem(f"{file} cannot be unpacked: {error}") from error
    found = list(scratch.glob(f"*/{MANIFEST}"))
    if len(found) != 1:
        raise Problem(f"{file} is no bundle of tools/gpu_check: it has no {MANIFEST}")
    return found[0].parent


def add_data(layout, shared, scratch):
    """Finds CIFAR-10 and the checkpoint: in `shared` when given, in the bundle, else where the tests look."""
    places = [shared] if shared else [layout.root, os.environ.get("LETHE_SHARED"), SCRIPTS.parent / "shared"]
    for place in places:
        if place is None:
            continue
        cifar, checkpoint = pathlib.Path(place) / "data" / CIFAR, pathlib.Path(place) / "weights" / CHECKPOINT
        if not checkpoint.is_file():
            continue
        if (cifar / BATCHES[0]).is_file():
            layout.cifar, layout.checkpoint = cifar, checkpoint
        elif (cifar / f"{BATCHES[0]}.xz").is_file():
            layout.cifar, layout.checkpoint = decompressed(cifar, scratch / CIFAR), checkpoint
        if layout.cifar:
            return
    if shared:
        raise Problem(f"{shared} holds no data/{CIFAR} and weights/{CHECKPOINT}")


def decompressed(packed, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for file in packed.iterdir():
        if file.suffix == ".xz":
            (folder / file.stem).write_bytes(lzma.decompress(file.read_bytes()))
        else:
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def newest_glibc(files):
    """The newest version of glibc whose symbols any of these programs and libraries uses, as "2.34"."""
    newest = (2, 17)
    for file in files:
        text = subprocess.run(["readelf", "--wide", "--version-info", str(file)], capture_output=True, text=True,
                              check=True).stdout
        for version in re.findall(r"Name: GLIBC_(\d+)\.(\d+)", text):
            newest = max(newest, (int(version[0]), int(version[1])))
    return f"{newest[0]}.{newest[1]}"
