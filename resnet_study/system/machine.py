"""The machine a run is on: device, threads, memory, versions."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import torch

from resnet_study.system.errors import DeviceError
from resnet_study.system.processor import processor_model, processor_name

CHECKOUT = Path(__file__).resolve().parents[2]
_CLEAR_REFS = Path("/proc/self/clear_refs")
# Parameters of glibc's mallopt, from malloc.h, and values above any tensor's size.
_MALLOPT = {-1: 2**31 - 1, -2: 64 * 2**20, -3: 2**30}  # trim and top pad, mmap threshold


def choose_device(name: str) -> torch.device:
    """The device for a config's "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        DeviceError: A GPU was asked for that is not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if not count:
        raise DeviceError("device", name, "no CUDA device is available; allowed are auto, cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError("device", name, f"allowed is up to cuda:{count - 1}")
    return torch.device("cuda", index)


def gpu_count(name: str) -> int:
    """How many GPUs a config's `device` leaves to a sweep; 0 on a CPU.

    Raises:
        DeviceError: A GPU was asked for that is not there.
    """
    if choose_device(name).type == "cpu":
        return 0
    return 1 if ":" in name else torch.cuda.device_count()


def fastest_precision(device: torch.device) -> str:
    """Precision "bf16" where the hardware computes in it, else "fp32"."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    words: set[str] = set()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.lower().startswith(("vendor_id", "flags", "features")):
                words.update(line.partition(":")[2].split())
    # Intel's bf16 instructions are no faster than fp32; its matrix unit is.
    fast = {"amx_bf16"} if "GenuineIntel" in words else {"amx_bf16", "avx512_bf16", "bf16"}
    return "bf16" if words & fast else "fp32"


def set_up(threads: int | None, sharers: int = 1, device: torch.device | None = None) -> int:
    """Sets threads, and kernels that give the same result each time; returns the threads.

    Args:
        threads: CPU threads; None for all cores this process may use.
        sharers: Processes that share these cores evenly.
        device: What this process trains on; a GPU becomes the current one, on whose stream
            graphs are captured.
    """
    if device is not None and device.type == "cuda":
        torch.cuda.set_device(device)
    threads = threads or max(1, int(joblib.cpu_count()) // sharers)
    torch.set_num_threads(threads)
    _keep_freed_memory()
    torch.backends.cudnn.deterministic = True
    # fp32 means float32: cuDNN would round the inputs of convolutions to TF32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    return threads


def _keep_freed_memory() -> bool:
    """Tells glibc to keep what is freed for the next iteration, which needs it again.

    By default it gives large tensors back to the system at once, and each iteration takes
    thousands of page faults: 2 to 8 % of its time.

    Returns:
        Whether glibc is there and has listened.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other systems number mallopt otherwise
        return all(library.mallopt(*pair) for pair in _MALLOPT.items())
    return False


def device_name(device: torch.device) -> str:
    """The hardware's own name, such as "AMD EPYC" or "NVIDIA H200"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()


def reset_peak_memory(device: torch.device) -> None:
    """Begins a new measurement of peak memory, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # Linux: a worker process trains several runs, and each has a peak of its own. What the
    # one before has left is given back first.
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        _CLEAR_REFS.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Peak since the last reset, in bytes: of the device, or of this process on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Versions of what a curve depends on."""
    packages = ("resnet_study", "torch", "torchvision", "numpy", "pillow")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def git_commit() -> str | None:
    """The checkout's commit, with "+changes" where files differ from it; None without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(CHECKOUT), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """What a manifest says of the machine."""
    return {
        "commit": git_commit(),
        "versions": versions(),
        "host": platform.node(),
        "device": device.type,
        "device_name": device_name(device),
        "processor": processor_model(),
        "threads": threads,
    }
