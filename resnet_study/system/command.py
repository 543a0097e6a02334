"""What all commands share: the surroundings that they prepare, and how they end."""

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
    """Makes a command independent of the surroundings that it happens to be started in.

    A stream that is closed leads nowhere, for the next file that is opened would take its place.
    A letter that the encoding of the output lacks is a question mark. A user without a home gets
    an empty one until the command ends. Matplotlib draws as it does without anyone's settings:
    `!python` in a notebook inherits a backend that this Python may not have.
    """
    if sys.platform == "win32":
        raise SystemExit("error: resnet_study runs on Linux and macOS; on Windows, use it in WSL")
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free, hence that of the stream.
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode))
    # Kept until the end, also with PYTHONUNBUFFERED, so that `command` sees whether it is read.
    sys.stdout.reconfigure(errors="replace", write_through=False)  # type: ignore[union-attr]
    if not os.path.expanduser("~").startswith("/"):  # noqa: PTH111 - an error where there is none
        home = tempfile.TemporaryDirectory(prefix="resnet_study-")
        atexit.register(home.cleanup)
        os.environ["HOME"] = home.name
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}


def output_of(*words: str, seconds: float = 60) -> str:
    """What another program prints, in whatever encoding.

    Raises:
        OSError: It cannot be started.
        SubprocessError: It fails, or takes longer.
    """
    done = subprocess.run(
        words, check=True, capture_output=True, text=True, errors="replace", timeout=seconds
    )
    return done.stdout


def command(main: Callable[..., int | None]) -> Callable[..., int]:
    """Makes a main function return its exit status, whichever way it ends.

    A `StudyError` is one line and status 2. A reader of the output that has seen enough, such as
    `head`, is no error.
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
