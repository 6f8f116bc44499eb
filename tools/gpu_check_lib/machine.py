"""The GPU, its driver, NVIDIA's libraries and PyTorch on this machine. Only looks: no setting of a GPU is changed."""
import ctypes
import glob
import os
import pathlib
import platform
import re
import subprocess
from datetime import datetime, timezone

from errors import Problem

DRIVERS = ["libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"]
QUERY = ["name", "driver_version", "compute_cap", "memory.total", "pstate", "clocks.sm", "clocks.mem", "clocks.max.sm",
         "clocks.max.mem", "power.limit", "temperature.gpu", "utilization.gpu", "memory.used", "ecc.mode.current",
         "mig.mode.current", "persistence_mode"]


def gpu():
    """What the driver says about the first GPU. Throws Problem where there is none."""
    for file in DRIVERS:
        try:
            driver = ctypes.CDLL(file)
            break
        except OSError:
            continue
    else:
        raise Problem("there is no NVIDIA GPU here: the driver's libcuda.so.1 cannot be loaded")
    count, version, major, minor = (ctypes.c_int() for _ in range(4))
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if code or count.value == 0:
        raise Problem("there is no NVIDIA GPU here that works: the driver is installed and "
                      + (f"answers with error {code}" if code else "finds none"))
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
    driver.cuDriverGetVersion(ctypes.byref(version))
    folder = [] if file == DRIVERS[0] else [str(pathlib.Path(file).parent)]
    return {"name": name.value.decode(), "compute_capability": f"{major.value}.{minor.value}",
            "memory_gib": round(memory.value / 2**30, 1), "gpus": count.value,
            "driver_cuda": f"{version.value // 1000}.{version.value % 1000 // 10}"}, folder


def answer(command, timeout=30):
    """Standard output, or "" where the command is missing, fails or does not end."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def nvidia_smi():
    text = answer(["nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"])
    values = [value.strip() for value in text.split("\n", maxsplit=1)[0].split(",")]
    return dict(zip(QUERY, values)) if len(values) == len(QUERY) else {}


def library_folders(python, cublas_major):
    """Folders to add to the loader's path, and how each library is found: {library: "loader", ... or "absent"}."""
    known = answer(["ldconfig", "-p"]) or answer(["/sbin/ldconfig", "-p"])
    toolkits = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")] + sorted(glob.glob("/usr/local/cuda*"))
    sites = answer([python, "-c", "import sys; print('\\n'.join(sys.path))"]).split("\n")
    places = [("toolkit", f"{folder}/{part}") for folder in toolkits if folder
              for part in ("lib64", "targets/x86_64-linux/lib", "lib")]
    places += [("Python environment", folder) for site in sites if site
               for folder in sorted(glob.glob(glob.escape(site) + "/nvidia/*/lib"))]
    folders, found = [], {}
    for library in ("libcudnn.so.9", f"libcublasLt.so.{cublas_major}", f"libnvrtc.so.{cublas_major}"):
        on_path = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
        if library in known or any(os.path.exists(f"{folder}/{library}") for folder in on_path):
            found[library] = "loader"
            continue
        kind, folder = next(((kind, folder) for kind, folder in places if os.path.exists(f"{folder}/{library}")),
                            ("absent", ""))
        found[library] = kind
        if folder and folder not in folders:
            folders.append(folder)
    return folders, found


def sanitizer():
    """compute-sanitizer's path, or ""."""
    places = [os.environ.get(name, "") + "/bin" for name in ("CUDA_HOME", "CUDA_PATH")]
    places = os.environ.get("PATH", "").split(":") + [place for place in places if place != "/bin"]
    places += sorted(glob.glob("/usr/local/cuda*/bin")) + sorted(glob.glob("/usr/local/cuda*/compute-sanitizer"))
    return next((f"{place}/compute-sanitizer" for place in places if os.access(f"{place}/compute-sanitizer", os.X_OK)),
                "")


def pytorch(python):
    """{"torch": ..., "cuda": ..., "cudnn": ..., "works": bool}; empty where this Python has no PyTorch."""
    text = answer([python, "-c", "import torch as t; print(t.__version__, t.version.cuda, t.backends.cudnn.version(), "
                                 "t.cuda.is_available())"], timeout=120).split()
    return dict(torch=text[0], cuda=text[1], cudnn=text[2], works=text[3] == "True") if len(text) == 4 else {}


def _first(file, pattern, otherwise="unknown"):
    try:
        match = re.search(pattern, pathlib.Path(file).read_text(errors="replace"), re.MULTILINE)
    except OSError:
        match = None
    return match.group(1).strip() if match else otherwise


def host():
    return {"time": datetime.now(timezone.utc).isoformat(timespec="seconds"), "system": _first("/etc/os-release",
            r'^PRETTY_NAME="?([^"\n]*)'), "kernel": platform.release(), "glibc": platform.libc_ver()[1],
            "processor": _first("/proc/cpuinfo", r"^model name\s*:(.*)"), "processors": os.cpu_count(),
            "memory_gib": round(int(_first("/proc/meminfo", r"^MemTotal:\s*(\d+)", "0")) / 2**20, 1),
            "python": platform.python_version(), "load_at_start": round(os.getloadavg()[0], 2)}


def commit(folder):
    """The commit of a checkout, with "+ changes" where it has some; "" outside one."""
    text = answer(["git", "-C", str(folder), "rev-parse", "HEAD"]).strip()
    return text + (" + changes" if text and answer(["git", "-C", str(folder), "status", "--porcelain"]).strip() else "")

