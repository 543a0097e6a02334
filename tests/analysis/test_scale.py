"""What the analysis costs: time, memory, and how both grow with the number of runs."""

import json
import subprocess
import sys

import pytest

from tests.synthetic import write_runs

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


@pytest.mark.slow
def test_a_thousand_runs_are_loaded_and_drawn_in_half_a_minute(tmp_path):
    def measure() -> dict:
        command = [sys.executable, "-c", MEASURE, str(folder), str(report)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    seconds = []
    for runs in (250, 1000):
        folder, report = tmp_path / f"runs-{runs}", tmp_path / f"report-{runs}"
        write_runs(folder, runs, rows=640)
        costs = measure()
        seconds.append(costs["processor_seconds"])
    assert (costs["status"], costs["torch"]) == (0, False)
    assert costs["bytes"] < 2**30
    assert costs["processor_seconds"] < 30
    # No faster than the rows; what does not depend on them makes the ratio smaller.
    assert seconds[1] < 4.4 * seconds[0]
    assert (report / "index.html").stat().st_size < 6_000_000
    verdict = json.loads((report / "verdict.json").read_text())
    assert len(verdict["runs"]) == 1000
    assert verdict["families"]["plain"]["training"]["degradation"] == pytest.approx(9, abs=0.1)
