"""What is drawn of collected folders: hosts and devices are named, arguments checked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.load import costs_of, read_study
from analysis.tables import costs
from tests.analysis.conftest import RECORDED
from tests.analysis.test_collect import GPU, RUN, RUNS, change
from tests.analysis.test_comparison import wait_for
from tests.analysis.test_page import read, words
from tests.comparison import hear_ctrl_c


def test_costs_of_several_devices_are_not_averaged(hosts, tmp_path):
    for run in hosts[1].iterdir():
        change(run, **GPU, seconds=1000.0)
    table = costs(costs_of(read_study(hosts))).set_index(["family", "depth", "device"])
    assert len(table) == 12
    assert table.loc[("plain", 8, "NVIDIA H200"), "seconds"] == 1000
    assert table.loc[("plain", 8, "AMD EPYC"), "seconds"] < 2
    assert (table["n"] == 1).all()
    assert "device" not in costs(costs_of(read_study(RECORDED)))

    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]) == 0
    assert pd.read_csv(tmp_path / "out" / "costs.csv")["device"].nunique() == 2
    reader = read(tmp_path / "out" / "index.html")
    page = words(reader)
    assert "Devices: AMD EPYC, NVIDIA H200." in page
    assert "on right, NVIDIA H200 (python" in page
    # Beside each run as well.
    assert f"{RUNS[1].name} plain 8 1 right NVIDIA H200 finished" in page
    assert f"{RUN} plain 8 0 vm AMD EPYC finished" in page


def test_one_folder_of_several_devices_says_so_too(hosts, tmp_path):
    change(hosts[0] / RUN, **GPU)
    assert main([str(hosts[0]), "--output", str(tmp_path / "out")]) == 0
    sources = pd.read_csv(tmp_path / "out" / "sources.csv")
    assert sources.to_dict("list") == {
        "host": ["right", "vm"],
        "device": ["NVIDIA H200", "AMD EPYC"],
        "runs": [1, 5],
        "finished": [1, 5],
    }


def test_a_failure_is_read_where_the_run_lies(hosts, tmp_path):
    run = hosts[1] / RUNS[1].name
    change(run, state="failed")
    (run / "failure.txt").write_text("Traceback\nRuntimeError: out of luck\n")
    assert main([*map(str, hosts), "--collect", "--output", str(tmp_path / "out")]) == 0
    assert "RuntimeError: out of luck" in words(read(tmp_path / "out" / "index.html"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["{left}", "{right}", "--collect"], "error: output=null: is needed to collect"),
        (["{left}", "{left}", "--collect", "--output", "{out}"], "is named twice"),
        (["{left}", "{left}", "--collect", "--output", "{out}", "--watch"], "is named twice"),
        (["{left}", "{left}/no", "--collect", "--output", "{out}"], "is not there"),
        (["{left}", "{top}/empty", "--collect", "--output", "{out}"], "holds no runs"),
        (["{top}", "--collect", "--output", "{out}"], "here {left} {right}"),
        (["{top}/left"], "holds no runs; allowed is a folder such as runs/quick, here {left}"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message, hosts, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    names = {"left": hosts[0], "right": hosts[1], "top": tmp_path, "out": tmp_path / "out"}
    assert main([argument.format(**names) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message.format(**names) in lines[0]
    assert not (tmp_path / "out").exists()


def test_collected_folders_are_watched_together(hosts, tmp_path):
    """It waits for a folder that is yet to come, and draws anew when either has changed."""
    late = hosts[1].rename(tmp_path / "late")
    out, log = tmp_path / "out", tmp_path / "log"
    arguments = [*map(str, hosts), "--collect", "--output", str(out), "--watch", "0.2"]
    with log.open("w") as stream:
        watching = subprocess.Popen(
            [sys.executable, "-m", "analysis", *arguments],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            preexec_fn=hear_ctrl_c,
        )
        try:
            wait_for(lambda: f"waiting: runs={hosts[1]}: is not there" in log.read_text())
            assert not out.exists()
            late.rename(hosts[1])
            wait_for(lambda: log.read_text().count("drawn at") == 1)
            assert "several copies" not in log.read_text()
            shutil.copytree(hosts[0] / RUN, tmp_path / "next")
            (tmp_path / "next").rename(hosts[1] / RUN)
            wait_for(lambda: log.read_text().count("drawn at") == 2)
            assert f"several copies: {RUN}" in log.read_text()
        finally:
            watching.send_signal(signal.SIGINT)
            assert watching.wait(60) == 0
    assert "Traceback" not in log.read_text()
    assert 'http-equiv="refresh"' not in (out / "index.html").read_text()


def test_a_run_that_went_on_elsewhere_names_all_its_machines():
    from analysis.study import machine_of

    first = {"hosts": ["a"], "device_name": "CPU", "processes": 1}
    second = {"hosts": ["b", "c"], "device_name": "GPU", "processes": 2}
    manifest = {"host": "b", **second, "former_machines": [first, second]}
    assert machine_of(manifest) == ("a, b, c", "CPU, then 2 × GPU")
    assert machine_of({"host": "a", "device_name": "CPU"}) == ("a", "CPU")
    assert machine_of({}) == ("unknown host", "unknown device")
