"""The parts of README.md and runs/README.md that are made from the recorded runs.

python -m tests.readme

A comment such as `<!-- overview: runs/recorded/quick -->` says what the lines below it hold, up to
the next blank line or comment: a function of this module makes them anew from the runs.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pandas as pd

from analysis.benchmark import read, speeds
from analysis.claims import CLAIMS, Claim, judge
from analysis.load import load_runs, read_study
from analysis.statistics import family_title
from analysis.study import Study
from analysis.tables import overview, rates, text_as_markdown
from analysis.verdict import verdict
from resnet_study.files import write_text

CHECKOUT = Path(__file__).resolve().parent.parent
RECORDED = CHECKOUT / "runs" / "recorded"
PART = re.compile(r"<!-- (\w+)(?: (\d+))?: ([^>]+) -->\n(\n?)((?:(?!<!--).+\n)*)")
# What a part begins with; anything else below a mark is somebody's prose.
BEGINNING = {"answer": "**", "claim": "- "}
RECORD = re.compile(r"^\| \[(\w+)\]\(recorded/\w+/report/results.md\) \| `(.*?)` \|.*$", re.M)


def filled(text: str) -> str:
    """A page with each marked part as the recorded runs have it now."""
    text = PART.sub(_part, text)
    return RECORD.sub(lambda row: record(read_study(RECORDED / row[1]), row[2]), text)


def _part(found: re.Match[str]) -> str:
    kind, number, words, gap, former = found.groups()
    mark = found[0].partition("\n")[0]
    makers = {
        "overview": lambda: _overview(words.split()),
        "rates": lambda: text_as_markdown(rates(read_study(CHECKOUT / words))),
        "benchmark": lambda: _speeds(CHECKOUT / words),
        "trial": lambda: text_as_markdown(_trial(read_study(CHECKOUT / words))),
        "answer": lambda: _answer(CHECKOUT / words),
        "verdicts": lambda: _verdicts(words),
        "claim": lambda: _finding(int(number), CHECKOUT / words),
    }
    if kind not in makers or not former.startswith(BEGINNING.get(kind, "|")):
        raise ValueError(f"{mark} is followed by {former[:40]!r}, which is not its own")
    return f"{mark}\n{gap}{makers[kind]()}"


def _overview(folders: list[str]) -> str:
    return text_as_markdown(overview([load_runs(CHECKOUT / folder) for folder in folders]), left=5)


def _speeds(folder: Path) -> str:
    measurements = read(folder / "benchmark.json")["measurements"]
    return text_as_markdown(speeds(pd.DataFrame(measurements)))


def _trial(study: Study) -> pd.DataFrame:
    """How a few iterations went: a row per run, as text."""
    rows = []
    for run_id, curve in study.runs.groupby("run_id", sort=False):
        config, manifest = study.configs[run_id], study.manifests[run_id]
        first, last = curve.iloc[0], curve.iloc[-1]
        each, images = int(first["iteration"]), config.schedule.batch_size
        rows.append(
            {
                "network": f"{family_title(config.model.family)} {config.model.depth}",
                f"loss, iterations 1 to {each}": f"{first['train_loss']:.2f}",
                f"{int(last['iteration']) - each + 1} to {int(last['iteration'])}": (
                    f"{last['train_loss']:.2f}"
                ),
                f"images/s, by {images}": f"{curve['images_per_second'].mean():.1f}",
                "of the time waiting for data": (
                    f"{100 * manifest['waiting_seconds'] / manifest['seconds']:.1f} %"
                ),
            }
        )
    return pd.DataFrame(rows)


def _answer(folder: Path) -> str:
    return _wrapped(f"**{verdict(load_runs(folder))['answer']}**")


def _claim(number: int, folder: Path) -> Claim:
    study = read_study(folder)
    return judge(study.runs, study.probes)[number - 1]


def _verdicts(words: str) -> str:
    """A row per claim: what each named record says to it, and on how many seeds; "–" for none."""
    lines = ["| | claim of He et al. 2015 | embedded shapes | CIFAR-10 (JPEG) |\n"]
    lines += ["| ---: | --- | --- | --- |\n"]
    for row in words.split(";"):
        number, *names = row.split()
        cells = ["–" if name == "-" else _cell(int(number), name) for name in names]
        lines.append(f"| {number} | {CLAIMS[int(number) - 1][0]} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _cell(number: int, name: str) -> str:
    claim = _claim(number, RECORDED / name)
    seeds = f", {claim.n} seed{'s' * (claim.n > 1)}" if claim.n else ""
    return f"[{claim.verdict}](runs/recorded/{name}/report/verdict.json) (`{name}`{seeds})"


def _finding(number: int, folder: Path) -> str:
    claim = _claim(number, folder)
    text = f"- Claim {number}, **{claim.verdict}** (`{folder.name}`): {claim.finding}."
    return _wrapped(text, indent="  ")


def _wrapped(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(
        text, 92, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"


def record(study: Study, command: str) -> str:
    """The line that runs/README.md has of a record."""
    manifests = study.manifests.values()
    hours = sum(m.get("seconds", 0) * m["threads"] for m in manifests) / 3600
    days = sorted({m["ended"][:10] for m in manifests})
    name = study.folder.name
    cells = [
        f"[{name}](recorded/{name}/report/results.md)",
        f"`{command}`",
        str(len(manifests)),
        ", ".join(study.devices),
        f"{hours:.1f}",
        " to ".join(dict.fromkeys((days[0], days[-1]))),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for page in (CHECKOUT / "README.md", CHECKOUT / "runs" / "README.md"):
        write_text(page, filled(page.read_text("utf-8")))
