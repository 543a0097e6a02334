"""What the analysis costs: time, memory, and how both grow with the number of runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.synthetic import write_runs

GIBIBYTE = 2**30
MEASURE = """
import json, re, sys, time
start = time.process_time()
from analysis.__main__ import main
status = main([sys.argv[1], "--output", sys.argv[2]])
print(json.dumps({
    "status": status,
    "processor_seconds": time.process_time() - start,
    "bytes": 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]),
    "torch": "torch" in sys.modules,
}))
"""


def measure(folder: Path, output: Path) -> dict:
    command = [sys.executable, "-c", MEASURE, str(folder), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_thousand_runs_are_loaded_and_drawn_in_half_a_minute(tmp_path):
    costs = {}
    for runs in (250, 1000):
        write_runs(tmp_path / f"runs-{runs}", runs, rows=640)
        folders = tmp_path / f"runs-{runs}", tmp_path / f"report-{runs}"
        costs[runs] = measure(*folders)
    most = costs[1000]
    assert (most["status"], most["torch"]) == (0, False)
    assert most["bytes"] < GIBIBYTE
    # 30 on an idle core.
    assert most["processor_seconds"] < 60
    # No faster than the rows; what does not depend on them makes the ratio smaller.
    assert most["processor_seconds"] < 4.4 * costs[250]["processor_seconds"]
    assert (tmp_path / "report-1000" / "index.html").stat().st_size < 6_000_000
    verdict = json.loads((tmp_path / "report-1000" / "verdict.json").read_text())
    assert len(verdict["runs"]) == 1000
    assert verdict["families"]["plain"]["training"]["degradation"] == pytest.approx(9, abs=0.1)
