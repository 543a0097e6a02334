"""What all commands share: how they prepare their environment, and how they end."""

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from resnet_study.system.errors import StudyError, reader_has_left, say


def prepare() -> None:
    """Makes a command independent of the environment that it is started in.

    Closed standard streams become /dev/null, or the next file opened would take their place.
    Characters that the output's encoding lacks become question marks. A user without a home gets
    an empty one until the command ends. Matplotlib ignores the user's settings: `!python` in a
    notebook inherits a backend that this Python may not have.
    """
    if sys.platform == "win32":
        raise SystemExit("error: resnet_study runs on Linux and macOS; on Windows, use it in WSL")
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor, which is the stream's.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    # Buffered even with PYTHONUNBUFFERED, so that `command` notices a closed pipe.
    sys.stdout.reconfigure(errors="replace", write_through=False)  # type: ignore[union-attr]
    if not os.path.expanduser("~").startswith("/"):  # noqa: PTH111 - an error where there is none
        home = tempfile.TemporaryDirectory(prefix="resnet_study-")
        atexit.register(home.cleanup)
        os.environ["HOME"] = home.name
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def output_of(*words: str, seconds: float = 60) -> str:
    """What another program prints; characters that cannot be decoded are replaced.

    Raises:
        OSError: It cannot be started.
        SubprocessError: It fails, or takes longer than `seconds`.
    """
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, errors="replace", timeout=seconds
    )
    return done.stdout


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Makes a main function return its exit status, whichever way it ends.

    A `StudyError` is printed as one line, with status 2. A reader that closes the pipe early, such
    as `head`, is not an error.
    """

    @functools.wraps(main)
    def ended(*arguments: Any) -> int:
        status = 0
        try:
            try:
                status = main(*arguments) or 0
            finally:
                sys.stdout.flush()
        except StudyError as error:
            say(f"error: {error}")
            return 2
        except BrokenPipeError:
            reader_has_left()
        return status

    return ended
