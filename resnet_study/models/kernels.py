"""The C++ kernels, compiled once per machine if there is a compiler."""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import torch

from resnet_study.system.command import output_of
from resnet_study.system.errors import warn
from resnet_study.system.processor import processor_model

SOURCE = Path(__file__).with_name("kernels.cpp")
_COMPILERS = ("c++", "g++", "clang++")
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math",
          "-fopenmp", "-shared", "-fPIC")  # fmt: skip
_POINTER, _COUNT, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
_SIGNATURES = {
    "statistics": [_INT, _POINTER, _COUNT, _INT, *[_POINTER] * 4, _FLOAT],
    "apply": [_INT, *[_POINTER] * 3, _COUNT, _INT, *[_POINTER] * 4, _FLOAT],
    "backward": [_INT, *[_POINTER] * 5, _COUNT, _INT, *[_POINTER] * 3, _FLOAT, *[_POINTER] * 2],
}


@functools.cache
def load() -> ctypes.CDLL | None:
    """Loads the compiled kernels; None without a compiler, when torch's own are used.

    They are kept in the user's cache folder, one file per source, compiler and processor.
    If there is a compiler but it fails, a warning says why.
    """
    try:
        compiler = _compiler()
        if compiler is None:
            return None
        path = _compiled(compiler)
        try:
            return _bound(path)
        except (OSError, AttributeError):
            # The file is damaged, perhaps because the disk was full; compile it again.
            path.unlink()
            return _bound(_compiled(compiler))
    except Exception as error:  # noqa: BLE001 - whatever hinders them, torch's do the same
        words = getattr(error, "stderr", None) or str(error) or type(error).__name__
        warn(
            f"the kernels cannot be compiled ({words.strip().splitlines()[-1]}); torch's are slower"
        )
        return None


def kernels_for(device: torch.device, setting: str) -> str:
    """Which kernels a run uses, "fused" or "torch": its rounding depends on them.

    Args:
        device: What it trains on.
        setting: A config's "auto" or "torch".
    """
    available = setting == "auto" and device.type == "cpu" and load() is not None
    return "fused" if available else "torch"


def compiler_version() -> str | None:
    """The compiler by its own name and version, such as "g++ 12.2.0"; None without one."""
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        if compiler := _compiler():
            return output_of(*compiler, "--version").partition("\n")[0].strip() or None
    return None


def _compiler() -> list[str] | None:
    """The command of the C++ compiler: $CXX, or the first of `_COMPILERS` that is installed.

    On macOS it is only $CXX, as Apple's compiler has no OpenMP.

    Raises:
        ValueError: $CXX has a quote that is not closed.
    """
    command = shlex.split(os.environ.get("CXX", ""))
    if not command and sys.platform != "darwin":
        command = [next(filter(shutil.which, _COMPILERS), "")]
    return command if command and shutil.which(command[0]) else None


def _bound(path: Path) -> ctypes.CDLL:
    """The library with its functions' signatures."""
    library = ctypes.CDLL(str(path))
    for name, arguments in _SIGNATURES.items():
        for precision in ("fp32", "bf16"):
            function = getattr(library, f"{name}_{precision}")
            function.argtypes, function.restype = arguments, None
    return library


def _compiled(compiler: list[str]) -> Path:
    """Path of the compiled library, which is compiled if it is missing.

    Raises:
        OSError: There is no place to put the file.
        RuntimeError: There is no home folder.
        SubprocessError: It does not compile.
    """
    flags = list(_FLAGS)
    if platform.machine() in ("x86_64", "AMD64"):
        # Compilers avoid the widest registers by default, which is right only for other code.
        flags.append("-mprefer-vector-width=512")
    version = output_of(*compiler, "--version")
    identity = "\n".join([SOURCE.read_text(), version, *compiler, *flags, processor_model()])
    name = f"kernels-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "resnet_study" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            fresh = Path(folder) / name
            output_of(*compiler, *flags, "-o", str(fresh), str(SOURCE), seconds=120)
            # Other processes may compile it at the same time; the last replaces an identical file.
            fresh.replace(path)
    return path
