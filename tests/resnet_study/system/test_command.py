"""What commands make of their surroundings, and how they end."""

import io
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_study.system import command as commands
from resnet_study.system.command import command, output_of, prepare
from resnet_study.system.errors import StudyError, say


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    """Puts back what `prepare` changes."""
    for name in ("HOME", "MPLBACKEND", "MATPLOTLIBRC"):
        monkeypatch.setenv(name, os.environ.get(name, str(Path.home())))


def test_a_closed_stream_leads_nowhere(monkeypatch):
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    prepare()
    print("lost", flush=True)
    say("lost")
    assert sys.stdin.read() == ""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # What a command starts has it, too.
        assert os.get_inheritable(stream.fileno())
        stream.close()


def test_a_letter_that_the_output_lacks_is_a_question_mark(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    prepare()
    print("größe – …", flush=True)
    assert sys.stdout.buffer.getvalue().decode("latin-1") == "größe ? ?\n"


def test_a_user_without_a_home_gets_one(monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(commands.atexit, "register", lambda cleanup: ended.append(cleanup))
    ended: list = []
    known = Path.home()
    prepare()
    assert Path.home() == known

    def unknown(_):
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    prepare()
    home = Path.home()
    assert home != known
    assert not list(home.iterdir())
    ended[0]()
    assert not home.exists()


def test_matplotlib_draws_as_without_anyones_settings(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    prepare()
    assert (os.environ["MPLBACKEND"], os.environ["MATPLOTLIBRC"]) == ("agg", os.devnull)


def test_on_windows_one_line_says_where_it_runs(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match=r"error: .* on Linux and macOS; on Windows, use"):
        prepare()


def test_how_a_command_ends(capsys, monkeypatch):
    def wrong():
        raise StudyError("seed", -1, "must be at least 0")

    def left():
        raise BrokenPipeError

    monkeypatch.setattr(commands, "reader_has_left", lambda: say("left"))
    assert command(lambda: None)() == 0
    assert command(lambda status: status)(3) == 3
    assert command(wrong)() == 2
    assert command(left)() == 0
    assert capsys.readouterr().err == "error: seed=-1: must be at least 0\nleft\n"
    with pytest.raises(ZeroDivisionError):
        command(lambda: 1 / 0)()


def test_a_line_that_nobody_reads_is_no_error(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        with pytest.raises(BrokenPipeError):
            print("lost", file=stream, flush=True)
        monkeypatch.setattr(sys, "stderr", stream)
        say("lost")
        # Closing would write it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_other_programs_may_print_in_any_encoding():
    assert output_of("printf", r"ung\374ltig") == "ung\N{REPLACEMENT CHARACTER}ltig"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        output_of("sh", "-c", r"printf 'ung\374ltig' >&2; exit 1")
    assert caught.value.stderr == "ung\N{REPLACEMENT CHARACTER}ltig"
