"""The generated parts of README.md, runs/README.md and docs/.

python -m analysis.readme

A comment such as `<!-- overview: runs/recorded/quick -->` says what the lines below it hold, up to
the next blank line or comment; a function of this module rewrites them, mostly from records.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.benchmark import read, speeds
from analysis.claims import CLAIMS
from analysis.figure6 import beside_figure6, mean_differences
from analysis.load import read_study
from analysis.networks import add_family, family_title
from analysis.paper import FIGURE6_TOP, figure6_curves, of_the_papers_protocol
from analysis.statistics import NAMED, final_errors
from analysis.study import Study
from analysis.tables import results, text_as_markdown, texts
from analysis.verdict import verdict
from resnet_study.system.files import write_text

CHECKOUT = Path(__file__).resolve().parent.parent
RECORDED = CHECKOUT / "runs" / "recorded"
PAGES = [CHECKOUT / "README.md", CHECKOUT / "runs/README.md", *sorted(CHECKOUT.glob("docs/*.md"))]
PART = re.compile(r"<!-- (\w+)(?: ([\w-]+))?: ([^>]+) -->\n(\n?)((?:(?!<!--).+\n)*)")
# How a part of each kind begins; anything else below a mark was written by hand.
TABLES = ("overview", "figure6", "statistics", "trials", "rates", "benchmark", "verdicts", "rules")
BEGINNING = {"answer": "**", "claim": "- ", **dict.fromkeys(TABLES, "|")}
RECORD = re.compile(r"^\| \[(\w+)\]\(recorded/\w+/report/results.md\) \| `(.*?)` \|.*$", re.M)


@cache
def recorded(name: str) -> Study:
    """A record, read once; callers must not change it."""
    return read_study(RECORDED / name)


@cache
def _verdict(name: str) -> dict[str, Any]:
    study = recorded(name)
    return verdict(study.runs, study.probes, study.each)


def _claim(name: str, label: str) -> dict[str, Any]:
    return next(c for c in _verdict(name)["claims"] if c["label"] == label)


def filled(text: str) -> str:
    """A page with its marked parts rewritten."""
    text = PART.sub(_part, text)
    return RECORD.sub(lambda row: _record(recorded(row[1]), row[2]), text)


def _part(found: re.Match[str]) -> str:
    kind, label, words, gap, former = found.groups()
    mark = found[0].partition("\n")[0]
    if kind not in BEGINNING or not former.startswith(BEGINNING[kind]):
        raise ValueError(f"{mark} is followed by {former[:40]!r}, which is not its own")
    return f"{mark}\n{gap}{_made(kind, label, words)}"


def _made(kind: str, label: str, words: str) -> str:
    """The text below a mark of the given kind, label and words."""
    names = [Path(word).name for word in words.split()]
    match kind:
        case "overview":
            return text_as_markdown(overview([recorded(n).runs for n in names]), left=5)
        case "figure6":
            return text_as_markdown(_beside_the_paper(names))
        case "statistics":
            return text_as_markdown(_statistics(*names))
        case "trials":
            return text_as_markdown(_trials(*names), left=2)
        case "rates":
            return text_as_markdown(rates(recorded(*names)))
        case "benchmark":
            return _speeds(*names)
        case "answer":
            return _answer(*names)
        case "verdicts":
            return _verdicts(words)
        case "claim":
            return _finding(label, *names)
    return _rules()


def overview(studies: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Several studies in one table of text: a row per data set, network and error.

    Args:
        studies: As from `load_runs`, each of one protocol.

    Returns:
        `data, schedule, network, seeds, error` and a column for each depth, with means over
        seeds in percent, ± the standard deviation where there are several, and † where a run did
        not start. The paper's own numbers are added only below a study of its data and schedule.
    """
    rows = []
    for runs in studies:
        finals = final_errors(runs)
        started = finals.groupby(["family", "depth"])["started"].all()
        table = results(finals, of_the_papers_protocol(runs))
        told = {name: ", ".join(sorted(runs[name].unique())) for name in ("data", "schedule")}
        for family, cells in table.groupby("family", sort=False):
            stuck = {depth for depth in cells["depth"] if not started[family, depth]}
            seeds = "–".join(f"{n}" for n in sorted({cells["n"].min(), cells["n"].max()}))
            for source, who in (("", seeds), ("paper_", "the paper")):
                for error, title in NAMED.items():
                    column = f"{source}{error}"
                    if column not in cells or cells[column].isna().all():
                        continue
                    network = {"network": family_title(str(family)), "seeds": who, "error": title}
                    shown = dict(zip(cells["depth"], texts(cells, column), strict=True))
                    if not source:
                        shown = {d: f"{shown[d]} †" if d in stuck else shown[d] for d in shown}
                    rows.append(told | network | shown)
    depths = sorted({key for row in rows for key in row if isinstance(key, int)})
    names = ["data", "schedule", "network", "seeds", "error"]
    frame = pd.DataFrame(rows, columns=[*names, *depths]).fillna("–")
    return frame.rename(columns={depth: f"{depth} layers" for depth in depths})


def rates(study: Study) -> pd.DataFrame:
    """The final error on held-out images at each learning rate, by which rates are chosen.

    Args:
        study: Runs that differ in network and learning rate, one or more seeds of each.

    Returns:
        `learning rate`, a column for each network, and `mean`, over networks, in percent.
    """
    ends = final_errors(study.runs).set_index("run_id")["test_error"]
    each = study.each
    found = each.assign(
        network=each["family"].map(family_title) + " " + each["depth"].astype(str),
        rate=[config.schedule.learning_rate for config in study.configs.values()],
        error=each["run_id"].map(ends),
    )
    # A run that diverged has no final error, and its rate no mean.
    table = found.pivot_table(
        "error", "rate", "network", aggfunc=lambda errors: errors.mean(skipna=False), dropna=False
    )
    table["mean"] = table.mean(axis=1, skipna=False)
    text = table.map("{:.2f}".format).where(table.notna(), "–")
    text.insert(0, "learning rate", [f"{rate:g}" for rate in table.index])
    return text.reset_index(drop=True)


def _speeds(name: str) -> str:
    measurements = read(RECORDED / name / "benchmark.json")["measurements"]
    return text_as_markdown(speeds(pd.DataFrame(measurements)))


def _beside_the_paper(names: list[str]) -> pd.DataFrame:
    """Mean differences from the paper's Figure 6, a row per run and phase of the rate."""
    tables = []
    for name in names:
        means = mean_differences(beside_figure6(recorded(name).runs))
        means["family"] += " " + means["depth"].astype(str)
        means["difference"] = means["difference"].map("{:+.1f}".format)
        phases = means.groupby(["family", "seed", "phase"])
        first, last = phases["first"].transform("min"), phases["last"].transform("max")
        means["span"] = first.map("{:,}".format) + " to " + last.map("{:,}".format)
        keys = ["family", "seed", "phase", "span"]
        wide = means.pivot_table("difference", keys, "error", aggfunc="first").reset_index()
        tables.append(wide.assign(record=name))
    table = pd.concat(tables)
    table["family"] = table["family"].map(family_title)
    names_of = {"record": "record", "family": "network", "seed": "seed", "span": "iterations"}
    return table[[*names_of, *NAMED.values()]].rename(columns=names_of).astype(str)


def _statistics(name: str) -> pd.DataFrame:
    """Test errors with running and recomputed statistics, and the paper's nearest point."""
    found = pd.read_csv(RECORDED / name / "batch_norm_statistics.csv")
    paper = add_family(figure6_curves())
    paper = paper[paper["test_error"] < FIGURE6_TOP]
    networks = paper["family"].map(family_title) + " " + paper["depth"].astype(str)
    near = pd.merge_asof(
        found.sort_values("iteration"),
        paper.assign(network=networks)[["network", "iteration", "test_error"]].sort_values(
            "iteration"
        ),
        on="iteration",
        by="network",
        direction="nearest",
        tolerance=200,
    ).rename(columns={"test_error": "the paper"})
    wide = near.pivot_table(["running", "recomputed", "the paper"], "iteration", "network")
    text = wide.map("{:.1f}".format).where(wide.notna(), "–")
    kinds = ("running", "recomputed", "the paper")
    order = [(kind, network) for network in sorted({*found["network"]}) for kind in kinds]
    text = text[order]
    text.columns = [f"{network}, {kind}" for kind, network in order]
    text.insert(0, "iteration", [f"{iteration:,}" for iteration in text.index])
    return text


def _trials(name: str) -> pd.DataFrame:
    """Training errors at some iterations, by change and network; both seeds in one cell."""
    found = pd.read_csv(RECORDED / name / "initialization_trials.csv")
    keys = ["change", "network"]
    columns = [column for column in map(str, found) if column.isdigit()]
    shown = found[columns].map("{:.1f}".format).where(found[columns].notna(), "–")
    table = shown.groupby([found[key] for key in keys], sort=False).agg(" and ".join)
    return table.rename(columns=lambda at: f"{int(at):,}").reset_index()


def _answer(name: str) -> str:
    found = _verdict(name)
    return _wrapped(" ".join([f"**{found['answer']}**", *found["remarks"]]))


def _verdicts(words: str) -> str:
    """A table with a row per claim: the claim, the paper's finding, and each record's verdict."""
    lines = ["| | claim and what the paper found | embedded shapes | CIFAR-10 |\n"]
    lines += ["| ---: | --- | --- | --- |\n"]
    for row in words.split(";"):
        label, *names = row.split()
        cells = ["–" if name == "-" else _cell(label, name) for name in names]
        found = _claim(next(name for name in names if name != "-"), label)
        claim = f"**{found['claim']}** Paper: {found['paper']}"
        lines.append(f"| {label} | {claim} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _cell(label: str, name: str) -> str:
    claim = _claim(name, label)
    seeds = f", {claim['n']} seed{'s' * (claim['n'] > 1)}" if claim["n"] else ""
    return f"[{claim['statement']}](runs/recorded/{name}/report/verdict.json) (`{name}`{seeds})"


def _finding(label: str, name: str) -> str:
    claim = _claim(name, label)
    found = f": {claim['finding']}" * bool(claim["finding"])
    return _wrapped(f"- Claim {label}, **{claim['statement']}** (`{name}`){found}.", indent="  ")


def _rules() -> str:
    """The rule of each claim, as the page prints it."""
    lines = ["| | quantity | testable if | supported if | against if |\n"]
    lines += ["| ---: | --- | --- | --- | --- |\n"]
    for claim in CLAIMS:
        cells = [claim.says(name) for name in ("Quantity", "Testable", "Supported", "Against")]
        lines.append(f"| {claim.number}{claim.part} | {' | '.join(cells)} |\n")
    return "".join(lines)


def _wrapped(text: str, indent: str = "") -> str:
    lines = textwrap.wrap(
        text, 92, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines) + "\n"


def _record(study: Study, command: str) -> str:
    """The row of a record in runs/README.md."""
    manifests = study.manifests.values()
    on_gpu = any(m["device"] == "cuda" for m in manifests)
    hours = sum(m.get("seconds", 0) * (1 if on_gpu else m["threads"]) for m in manifests) / 3600
    days = sorted({m["ended"][:10] for m in manifests})
    name = study.folder.name
    cells = [
        f"[{name}](recorded/{name}/report/results.md)",
        f"`{command}`",
        str(len(manifests)),
        ", ".join(sorted({device for _, device in study.machines.values()})),
        f"{hours:.1f}{' of GPU' if on_gpu else ''}",
        " to ".join(dict.fromkeys((days[0], days[-1]))),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for page in PAGES:
        write_text(page, filled(page.read_text("utf-8")))
