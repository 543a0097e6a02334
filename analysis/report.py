"""Writes a report: figures, tables, verdict and page of a study, in one folder."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.evaluations import evaluation_tables
from analysis.figure6 import beside_figure6, mean_differences, over_seeds
from analysis.figures import DRAWINGS
from analysis.figures.files import rendered, write_pictures
from analysis.figures.style import provenance
from analysis.networks import add_family, depths_in, family_title
from analysis.page import Compared, build_comparison, build_page
from analysis.paper import of_the_papers_protocol
from analysis.statistics import final_errors, final_share
from analysis.study import Study
from analysis.tables import (
    Titled,
    changes,
    comparison,
    costs,
    differences,
    latex,
    markdown,
    results,
    sources,
)
from analysis.verdict import verdict
from resnet_study.system.files import write_text


def write_report(
    study: Study, output: Path, links: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """Writes the report of a study of one protocol.

    Args:
        study: Runs of one protocol.
        output: Folder for the files; made if missing.
        links: Further reports that the page links to, title to relative address.

    Returns:
        The verdict, and the paths written; the page comes first.

    Raises:
        StorageError: A file cannot be written.
    """
    study = prepared(study)
    runs = study.runs
    drawn = drawn_for(runs, study.probes, ("answer", "figures"))
    found = verdict(runs, study.probes, study.each)
    tables = tables_of(study)
    texts = {
        "index.html": build_page(study, found, tables, _as_svg(drawn), links),
        "verdict.json": json.dumps(found, indent=2, allow_nan=False) + "\n",
    }
    return found, _write(output, texts, tables, f". {provenance(runs)}", drawn)


def write_comparison(studies: Sequence[Study], output: Path) -> list[Path]:
    """Writes a comparison of studies, and the report of each in a folder below.

    Args:
        studies: Studies of one protocol each, with different names; differences are to the first.
        output: Folder for the files; made if missing.

    Returns:
        The paths written; the page comes first.
    """
    studies = [prepared(study) for study in studies]
    written, compared = [], []
    for study in studies:
        place = study.name.replace("/", "-")
        found, paths = write_report(study, output / place, {"comparison": "../index.html"})
        compared.append(Compared(study.name, found, f"{place}/index.html"))
        written += paths
    runs = pd.concat([study.runs.assign(study=study.name) for study in studies])
    table = Titled(
        "Differences between the studies",
        comparison({study.name: final_errors(study.runs) for study in studies}),
        "Per network, in points; paired by seed where seeds are shared.",
    )
    about = ": " + "; ".join(f"{study.name}: {provenance(study.runs)}" for study in studies)
    drawn = drawn_for(runs, pd.concat([study.probes for study in studies]), ["comparison"])
    page = build_comparison(runs, compared, table, _as_svg(drawn))
    files = _write(output, {"index.html": page}, {"comparison": table}, about, drawn)
    return [*files, *written]


def _write(
    output: Path,
    texts: dict[str, str],
    tables: dict[str, Titled],
    about: str,
    drawn: dict[str, dict[str, bytes]],
) -> list[Path]:
    """Writes texts, each table in three forms, and figures; returns the paths.

    `about` follows a table's title in the caption in LaTeX.
    """
    for name, table in tables.items():
        texts[f"{name}.csv"] = table.frame.to_csv(index=False)
        texts[f"{name}.md"] = markdown(table.frame)
        texts[f"{name}.tex"] = latex(table.frame, f"{table.title}{about}")
    for name, text in texts.items():
        write_text(output / name, text)
    pictures = [write_pictures(files, output / name) for name, files in drawn.items()]
    return [*(output / name for name in texts), *itertools.chain(*pictures)]


def _as_svg(drawn: dict[str, dict[str, bytes]]) -> dict[str, bytes]:
    return {name: files["svg"] for name, files in drawn.items()}


def drawn_for(
    runs: pd.DataFrame, probes: pd.DataFrame, sections: Sequence[str]
) -> dict[str, dict[str, bytes]]:
    """The figures of some sections that have data, in each of `FORMATS`, by name."""
    chosen = [drawing for drawing in DRAWINGS if drawing.section in sections]
    figures = {drawing.name: drawing.drawn(runs, probes) for drawing in chosen}
    return {name: rendered(figure) for name, figure in figures.items() if figure is not None}


def prepared(study: Study) -> Study:
    """Adds to a study's runs the column `family`, and `device` if there are several devices."""
    runs = add_family(study.runs)
    devices = study.each.set_index("run_id")["device"]
    if devices.nunique() > 1:
        runs = runs.assign(device=runs["run_id"].map(devices))
    return replace(study, runs=runs)


def _unstarted(finals: pd.DataFrame) -> str:
    """A sentence that names the networks of which a run did not start; empty for none."""
    listed = "; ".join(
        f"{family_title(str(family))} at {', '.join(map(str, depths_in(stuck)))} layers"
        for family, stuck in finals[~finals["started"]].groupby("family")
    )
    return f" Did not start, or not finished: {listed}." * bool(listed)


def tables_of(study: Study) -> dict[str, Titled]:
    """The tables of a study, by the name of their files."""
    finals = final_errors(study.runs)
    cost = costs(study)
    tables = {
        "results": Titled(
            "Final errors",
            results(finals, of_the_papers_protocol(study.runs)),
            "Mean ± standard deviation over seeds. Each run's error is the mean over the last "
            f"{100 * final_share(study.runs):.0f} % of its iterations, after the last fall of the "
            f"learning rate.{_unstarted(finals)}",
        ),
        "degradation": Titled(
            "Degradation",
            changes(finals),
            "Error at the greatest depth minus error at the smallest, for networks that started; "
            "paired by seed.",
        ),
        "differences": Titled(
            "Differences at equal depth",
            differences(finals),
            f"Paired by seed.{_unstarted(finals)}",
        ),
        "costs": Titled(
            "Size and cost of the networks",
            cost,
            "Multiply-adds are for one image; time and memory are means over runs"
            f"{' on the same device' * ('device' in cost)}.",
        ),
        **evaluation_tables(study),
    }
    beside = beside_figure6(study.runs)
    if not beside.empty:
        tables["figure6"] = Titled(
            "Mean difference from the paper’s Figure 6",
            mean_differences(beside),
            "Our error minus the paper’s at the paper’s own points, by phase of the learning rate, "
            "from 4,000 iterations on, while the run follows the paper’s protocol. Our error is "
            "the mean over 500 iterations on each side.",
        )
        tables["figure6_points"] = Titled(
            "The paper’s Figure 6, point by point",
            over_seeds(beside),
            "Mean ± standard deviation over seeds.",
        )
    if study.of_several_machines:
        tables["sources"] = Titled("Where the runs come from", sources(study))
    return tables
