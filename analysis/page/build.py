"""Fills the page's template: the answer, verdicts, figures, tables, and every run."""

from __future__ import annotations

import functools
import itertools
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis.figures import DRAWINGS, Drawing
from analysis.figures.style import provenance
from analysis.manifest import machine_of
from analysis.networks import add_family, networks_in
from analysis.page.runs import describe_runs, shared_settings
from analysis.statistics import final_errors
from analysis.study import Study
from analysis.tables import Titled, readable
from analysis.verdict import by_ruling

TEMPLATES = Path(__file__).resolve().parent / "templates"


MARKS = {"supported": "✓", "contradicted": "✗", "undecided": "?", "not testable": "–"}


def build_page(
    study: Study,
    found: dict[str, Any],
    tables: dict[str, Titled],
    pictures: dict[str, bytes],
    links: dict[str, str] | None = None,
) -> str:
    """Writes a study up as one self-contained HTML document.

    Args:
        study: Runs of one protocol.
        found: As from `verdict`.
        tables: By name, as drawn elsewhere in the report.
        pictures: The figures for print as SVG, by name.
        links: Further reports, title to relative address.
    """
    runs, shared = study.runs, shared_settings(study)
    return _render(
        "page.html",
        title=f"{', '.join(sorted(runs['data'].unique()))}: {study.name}",
        provenance=provenance(runs),
        found=found,
        rulings=by_ruling(found["claims"]),
        figures={section: _grouped(section, pictures) for section in ("answer", "figures")},
        pictures={name: _address(picture) for name, picture in pictures.items()},
        tables={name: _cells(table) for name, table in tables.items()},
        shared=shared,
        runs=describe_runs(study, shared),
        study=study,
        unfinished={run: state for run, state in study.states.items() if state != "finished"},
        absent=absent_cells(runs),
        links=links or {},
        commits=sorted({str(m.get("commit") or "unknown") for m in study.manifests.values()}),
        machines=sorted({_machine(m, study.of_several_machines) for m in study.manifests.values()}),
    )


@dataclass(frozen=True)
class Compared:
    """One study of a comparison: its name, its verdict, and the address of its page."""

    name: str
    found: dict[str, Any]
    address: str


def build_comparison(
    runs: pd.DataFrame, studies: Sequence[Compared], table: Titled, pictures: dict[str, bytes]
) -> str:
    """Writes a page that sets studies side by side.

    Args:
        runs: As from `load_runs`, with a column `study`.
        studies: In the order of the page.
        table: The differences between them.
        pictures: The figures for print as SVG, by name.
    """
    named = [f"{study}: {provenance(part)}" for study, part in runs.groupby("study", sort=False)]
    return _render(
        "comparison.html",
        title=" and ".join(study.name for study in studies),
        provenance=" ".join(named),
        figures=_grouped("comparison", pictures),
        pictures={name: _address(picture) for name, picture in pictures.items()},
        studies=studies,
        claims=_claims_by_study(studies),
        table=_cells(table),
    )


def _grouped(section: str, pictures: dict[str, bytes]) -> list[list[Drawing]]:
    """The figures of a section that were drawn; those of one title show one at a time."""
    shown = [d for d in DRAWINGS if d.title and d.section == section and d.name in pictures]
    return [list(group) for _, group in itertools.groupby(shown, key=lambda d: d.title)]


def _claims_by_study(studies: Sequence[Compared]) -> list[list[dict[str, Any] | None]]:
    """A row for each claim that some study has, with each study's verdict; None for none."""
    found = [{claim["label"]: claim for claim in study.found["claims"]} for study in studies]
    labels = {claim["label"]: claim["number"] for study in found for claim in study.values()}
    order = sorted(labels, key=lambda label: (labels[label], label))
    return [[study.get(label) for study in found] for label in order]


def _render(template: str, **values: Any) -> str:
    """Fills a template; each page carries its styles and libraries in itself."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(
        datatables=_datatables(),
        marks=MARKS,
        **values,
    )


def absent_cells(runs: pd.DataFrame) -> list[str]:
    """Networks that are missing from the full grid of families, depths and seeds."""
    finals = final_errors(runs)
    every = add_family(runs)
    present = set(zip(finals["family"], finals["depth"], finals["seed"], strict=True))
    starts = every.groupby("family")["start"].max()
    absent: dict[tuple[str, int], list[str]] = {}
    depths, seeds = (sorted(int(v) for v in every[name].unique()) for name in ("depth", "seed"))
    for network, depth, seed in itertools.product(networks_in(every), depths, seeds):
        start = starts[network.family]
        # A network can only be made from a shallower one.
        possible = pd.isna(start) or start < depth
        if possible and (network.family, depth, seed) not in present:
            absent.setdefault((network.title, depth), []).append(str(seed))
    return [
        f"{title} at {depth} layers, seed {', '.join(seeds_of)}"
        for (title, depth), seeds_of in absent.items()
    ]


def _machine(manifest: dict[str, Any], with_host: bool) -> str:
    versions = manifest.get("versions") or {}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items())
    host, device = machine_of(manifest)
    return f"{f'{host}, ' * with_host}{device} ({shown})"


def _address(picture: bytes) -> str:
    """An address that holds the picture itself; as an image, it shares no ids with the page."""
    return f"data:image/svg+xml;base64,{b64encode(picture).decode()}"


@functools.cache
def _datatables() -> str:
    """The build of DataTables that the package itables bundles, in base64."""
    bundle = resources.files("itables") / "html" / "dt_bundle.js"
    return b64encode(bundle.read_bytes()).decode()


def _cells(table: Titled) -> dict[str, Any]:
    """A table's heading and cells; each cell as shown, and as sorted by."""
    text = readable(table.frame)
    raw = text.attrs["raw"].astype(object)
    pairs = zip(text.to_numpy(), raw.where(raw.notna(), "").to_numpy(), strict=True)
    rows = [list(zip(shown, value, strict=True)) for shown, value in pairs]
    return {"title": table.title, "note": table.note, "columns": list(text.columns), "rows": rows}
