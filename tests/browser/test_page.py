"""The page in a real browser: it draws, hovers, switches, sorts, and adapts."""

from __future__ import annotations

import re
import shutil

import pandas as pd
import pytest

from analysis.__main__ import main
from tests.conftest import CHECKOUT, FIXTURES

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
RECORDED = CHECKOUT / "runs" / "recorded" / "quick"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    output = tmp_path_factory.mktemp("report")
    assert main([str(RECORDED), "--output", str(output)]) == 0
    return (output / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # Root, as in a container, has no sandbox.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Opens the page offline; whatever it logs, throws or asks the network for is a failure."""
    troubles, contexts = [], []

    def open_it(fragment="", of=address, **settings):
        context = browser.new_context(offline=True, **settings)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:")) or troubles.append(request.url)
            ),
        )
        page.goto(of + fragment)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not troubles


def chart(page, name):
    return page.locator(f"[data-chart={name}]")


def lines(page, name):
    """The drawn lines of a chart, one path per curve."""
    return chart(page, name).locator(".mark-line.role-mark path")


def test_every_figure_is_drawn(open_page):
    page = open_page()
    for name in (
        "training_error_by_depth", "learning_curves", "optimisation_speed", "shortcut_options",
    ):  # fmt: skip
        assert lines(page, name).count() > 0, name
    # 45 runs, a training and a test curve each, and a mean of each of the 15 networks.
    assert lines(page, "learning_curves").count() == 45 * 2 + 15 * 2


def test_hovering_a_curve_names_its_run_and_its_value(open_page):
    page = open_page()
    figure = chart(page, "learning_curves")
    figure.scroll_into_view_if_needed()
    # The last point of the first curve of the first panel.
    points = figure.locator(".mark-symbol.role-mark").first.locator("path")
    points.nth(19).hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    text = tooltip.inner_text()
    assert re.search(r"plain-\d{3}-w8-shapes-r16-quick-s\d", text)
    error = float(re.search(r"error \(%\)\s+([\d.]+)", text)[1])
    run = re.search(r"plain-\S+", text)[0]
    rows = pd.read_csv(RECORDED / run / "metrics.csv").set_index("iteration")
    iteration = int(re.search(r"iteration\s+([\d,]+)", text)[1].replace(",", ""))
    which = {"training": "train_error", "test": "test_error"}
    column = which[re.search(r"\b(training|test)\b", text)[1]]
    assert error == pytest.approx(rows.loc[iteration, column], abs=0.006)


def test_boxes_switch_families_and_depths(open_page):
    page = open_page()
    figure = chart(page, "learning_curves")
    before = lines(page, "learning_curves").count()
    figure.get_by_role("checkbox", name="residual B", exact=True).uncheck()
    sync_api.expect(lines(page, "learning_curves")).to_have_count(before * 2 // 3)
    assert "residual B" not in figure.locator("svg.marks").text_content()
    figure.get_by_role("checkbox", name="110 layers", exact=True).uncheck()
    sync_api.expect(lines(page, "learning_curves")).to_have_count(before * 2 // 3 * 4 // 5)
    figure.get_by_role("checkbox", name="residual B", exact=True).check()
    figure.get_by_role("checkbox", name="110 layers", exact=True).check()
    sync_api.expect(lines(page, "learning_curves")).to_have_count(before)


def choices(page, name, labels):
    """The first line of a chart at first, and after each radio button."""
    seen = [lines(page, name).first.get_attribute("d")]
    for label in labels:
        chart(page, name).get_by_role("radio", name=label, exact=True).check()
        page.wait_for_timeout(200)
        seen.append(lines(page, name).first.get_attribute("d"))
    return set(seen)


def test_radio_buttons_choose_the_error(open_page):
    assert len(choices(open_page(), "training_error_by_depth", ["test"])) == 2


def column(table, number):
    return [row.split("\t")[number] for row in table.locator("tbody").inner_text().splitlines()]


def test_tables_sort_by_value_with_mouse_and_keyboard(open_page):
    page = open_page()
    table = page.locator("section.table table").first
    heading = table.get_by_role("columnheader", name="test error (%)")
    heading.click()
    sync_api.expect(heading).to_have_attribute("aria-sort", "ascending")
    shown = [float(cell.split()[0]) for cell in column(table, 5)]
    assert shown == sorted(shown)
    heading.get_by_role("button").press("Enter")
    sync_api.expect(heading).to_have_attribute("aria-sort", "descending")
    shown = [float(cell.split()[0]) for cell in column(table, 5)]
    assert shown == sorted(shown, reverse=True)


def test_runs_are_searched_and_opened_by_their_links(open_page):
    page = open_page()
    page.get_by_role("searchbox").fill("residual-B-110")
    rows = page.locator("#runs table.searchable tbody tr")
    assert rows.count() == 3
    link = rows.first.get_by_role("link")
    run = link.inner_text()
    link.click()
    details = page.locator(f"[id='run-{run}']")
    page.wait_for_function("run => document.getElementById(`run-${run}`).open", arg=run)
    assert details.locator("svg polyline").count() == 2
    assert details.get_by_text("model.depth").is_visible()
    # So does a link from outside.
    other = next(RECORDED.glob("plain-056*s1*")).name
    page = open_page(f"#run-{other}")
    assert page.locator(f"[id='run-{other}']").get_attribute("open") is not None


@pytest.mark.parametrize("width", [360, 820, 1400])
def test_nothing_is_wider_than_the_screen(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for figure in page.locator("[data-chart] svg.marks").all():
        box = figure.bounding_box()
        assert box["x"] + box["width"] <= width


def test_a_turned_phone_keeps_what_was_switched(open_page):
    page = open_page(viewport={"width": 400, "height": 800})
    figure = chart(page, "learning_curves")
    figure.get_by_role("checkbox", name="residual B", exact=True).uncheck()
    page.set_viewport_size({"width": 800, "height": 400})
    page.wait_for_timeout(1000)
    assert not figure.get_by_role("checkbox", name="residual B", exact=True).is_checked()
    assert figure.get_by_role("checkbox", name="residual A", exact=True).is_checked()
    assert "residual B" not in figure.locator("svg.marks").text_content()


def luminance(color):
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", color)[:3])
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(open_page, scheme):
    """At least 4.5 to 1, as WCAG 2.1 asks of text."""
    page = open_page(color_scheme=scheme)
    style = "(selector) => getComputedStyle(document.querySelector(selector))"
    ground = luminance(page.evaluate(f"({style})('body').backgroundColor"))
    assert (ground > 0.5) == (scheme == "light")
    for selector in (
        "body", ".note", "nav a", ".finding",
        ".supported .badge", ".contradicted .badge", ".insufficient .badge", ".state.finished",
    ):  # fmt: skip
        ink = luminance(page.evaluate(f"({style})('{selector}').color"))
        ratio = (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05)
        assert ratio >= 4.5, (selector, ratio)


def test_everything_is_reached_with_the_keyboard(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    active = "(({tagName, type}) => `${tagName} ${type ?? ''}`)(document.activeElement)"
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(active))
    assert {"INPUT radio", "INPUT checkbox", "SUMMARY "} <= reached


def test_it_prints_without_its_controls(open_page):
    page = open_page()
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".vega-bindings").first.is_visible()
    assert page.locator("#learning_curves svg.marks").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_study_of_probes_lets_choose_measures_and_iterations(open_page, tmp_path):
    assert main([str(FIXTURES / "mechanism"), "--output", str(tmp_path)]) == 0
    page = open_page(of=(tmp_path / "index.html").as_uri())
    assert chart(page, "constructed_sibling").locator(".mark-rect path").count() >= 2
    for name in ("gradient_flow", "shattered_gradients", "layer_responses"):
        assert chart(page, name).locator(".mark-line path").count() >= 2, name
    labels = ["gradient w. r. t. activations", "60", "forward variance"]
    assert len(choices(page, "gradient_flow", labels)) == 4


@pytest.mark.parametrize(
    ("others", "figure"), [([], "training_error_by_depth"), (["mechanism"], "side_by_side")]
)
def test_one_seed_and_two_studies_draw_without_complaint(open_page, tmp_path, others, figure):
    one_seed = tmp_path / "one"
    one_seed.mkdir()
    for run in (FIXTURES / "runs").glob("*s0*"):
        (one_seed / run.name).symlink_to(run)
    folders = [one_seed, *(FIXTURES / name for name in others)]
    assert main([*map(str, folders), "--output", str(tmp_path / "out")]) == 0
    page = open_page(of=(tmp_path / "out" / "index.html").as_uri())
    assert lines(page, figure).count() >= 2
