"""The machine that trains a run: device, threads, memory, versions."""

import ctypes
import gc
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import torch

from resnet_study.system import processor
from resnet_study.system.command import output_of
from resnet_study.system.errors import DeviceError

CHECKOUT = Path(__file__).resolve().parents[2]
_CLEAR_REFS = Path("/proc/self/clear_refs")
# Parameters of glibc's mallopt, from malloc.h, and values above any tensor's size.
_MALLOPT = {-1: 2**31 - 1, -2: 64 * 2**20, -3: 2**30}  # trim and top pad, mmap threshold


def choose_device(name: str) -> torch.device:
    """Returns the device for a config's "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        DeviceError: The requested GPU does not exist.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if not count:
        raise DeviceError("device", name, "no CUDA device is available; use auto or cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise DeviceError("device", name, f"must be at most cuda:{count - 1}")
    return torch.device("cuda", index)


def gpu_count(name: str) -> int:
    """Returns the number of GPUs that a config's `device` lets a sweep use; 0 on a CPU.

    Raises:
        DeviceError: The requested GPU does not exist.
    """
    if choose_device(name).type == "cpu":
        return 0
    return 1 if ":" in name else torch.cuda.device_count()


def fastest_precision(device: torch.device) -> str:
    """Returns "bf16" where the hardware is fast at it, else "fp32"."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    # Intel's bf16 instructions are no faster than fp32; its matrix unit is.
    intel = processor.read_facts().get("vendor_id") == "GenuineIntel"
    fast = {"amx_bf16"} if intel else {"amx_bf16", "avx512_bf16", "bf16"}
    return "fp32" if fast.isdisjoint(processor.instructions()) else "bf16"


def set_up(threads: int | None, sharers: int = 1, device: torch.device | None = None) -> int:
    """Sets the number of CPU threads, and reproducible kernels.

    Args:
        threads: CPU threads; None for all cores that this process may use.
        sharers: Processes that share these cores evenly.
        device: What this process trains on; a GPU becomes the current one, on whose stream
            graphs are captured.

    Returns:
        The number of threads.
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


def _keep_freed_memory() -> None:
    """Tells glibc to keep freed memory, which the next iteration needs again.

    By default it gives large tensors back to the system at once, and each iteration takes
    thousands of page faults: 2 to 8 % of its time.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - other systems number mallopt differently
        for parameter, value in _MALLOPT.items():
            library.mallopt(parameter, value)


def device_name(device: torch.device) -> str:
    """Returns the hardware's own name, such as "AMD EPYC" or "NVIDIA H200"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor.processor_name()


def reset_peak_memory(device: torch.device) -> None:
    """Restarts the measurement of peak memory, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # A worker process trains several runs, each with a peak of its own. First the memory of the
    # last run is given back; then Linux is told to forget its peak.
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):
        _CLEAR_REFS.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory since the last reset in bytes: of a GPU, else of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        if found := re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE):
            return int(found[1]) * 1024
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def versions() -> dict[str, str]:
    """Returns the versions of the software that a curve depends on."""
    packages = ("resnet_study", "torch", "torchvision", "numpy", "pillow")
    found = {"python": platform.python_version(), **dict.fromkeys(packages, "unknown")}
    for package in packages:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def git_commit() -> str | None:
    """Returns the checkout's commit, with "+changes" where files differ; None without git."""
    # Named, or git may find another repository: one around an unpacked archive, or a hook's.
    folders = f"--git-dir={CHECKOUT / '.git'}", f"--work-tree={CHECKOUT}"
    git = ("git", "--no-optional-locks", *folders)
    try:
        changed = output_of(*git, "status", "--porcelain", "--untracked-files=no")
        return output_of(*git, "rev-parse", "HEAD").strip() + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Returns a manifest's entries about the machine."""
    return {
        "commit": git_commit(),
        "versions": versions(),
        "host": platform.node(),
        "device": device.type,
        "device_name": device_name(device),
        "processor": processor.processor_model(),
        "threads": threads,
    }
