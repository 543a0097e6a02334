"""The page in a real browser: it draws, hovers, switches, sorts, and adapts."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

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


def drawn(output, *folders):
    """The address of the page of these folders."""
    assert main([*map(str, folders), "--output", str(output)]) == 0
    return (output / "index.html").as_uri()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("report"), RECORDED)


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
    troubles, pages = [], []

    def asked(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            troubles.append(request.url)

    def open_it(fragment="", of=address, ready=True, **settings):
        page = browser.new_page(offline=True, **settings)
        pages.append(page)
        page.set_default_timeout(15_000)
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", asked)
        page.goto(of + fragment)
        if ready:
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_it
    for page in pages:
        page.close()
    assert not troubles


def picture(page, name):
    """A figure for print that the page has opened."""
    return page.locator(f"[data-picture={name}]")


def panels(page, name):
    return picture(page, name).locator(".panels > svg").count()


def visible(page, name):
    """The number of curves of a picture that no switch hides."""
    curves = "svg:not([hidden]) g[id*='name=']:not([hidden]) > path"
    return picture(page, name).locator(f".panels > {curves}")


def place_of(page, name, curve):
    """Where on the screen the last vertex of a curve is, scrolled into view."""
    picture(page, name).locator(".panels > svg").first.scroll_into_view_if_needed()
    find = """path => {
        const [x, y] = path.getAttribute("d").match(/-?[\\d.]+/g).map(Number).slice(-2);
        const place = new DOMPoint(x, y).matrixTransform(path.getScreenCTM());
        return [place.x, place.y];
    }"""
    return visible(page, name).nth(curve).evaluate(find)


def point_at(page, name, curve):
    """Moves the pointer onto the end of a curve; returns the lines of what is shown there."""
    page.mouse.move(*place_of(page, name, curve))
    return picture(page, name).locator(".tip").inner_text().splitlines()


def test_every_figure_is_opened_and_a_curve_names_its_run_and_its_value(open_page):
    page = open_page()
    for name in ("optimisation_speed", "shortcut_options", "training_error_by_depth"):
        assert picture(page, name).locator(".panels svg text").count() > 5, name
    # 45 runs, a training and a test curve each, and a mean of each of the 15 networks.
    assert visible(page, "learning_curves").count() == 45 * 2 + 15 * 2
    run, network, error = point_at(page, "learning_curves", 0)
    assert re.fullmatch(r"plain-020-w8-shapes-r16-quick-s\d-\w+", run)
    rows = pd.read_csv(RECORDED / run / "metrics.csv").set_index("iteration")
    assert network == "plain, 20 layers, iteration 900"
    title, value = error.split(": ")
    column = {"training error (%)": "train_error", "test error (%)": "test_error"}[title]
    assert float(value) == pytest.approx(rows.loc[900, column], abs=0.006)
    page.mouse.move(0, 0)
    assert picture(page, "learning_curves").locator(".tip").is_hidden()


def test_a_tap_shows_a_value_until_the_next_tap_elsewhere(open_page):
    page = open_page(viewport={"width": 360, "height": 800}, has_touch=True)
    tip = picture(page, "learning_curves").locator(".tip")
    page.touchscreen.tap(*place_of(page, "learning_curves", 0))
    assert tip.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.touchscreen.tap(5, 5)
    assert tip.is_hidden()


def test_an_error_is_chosen_and_a_mean_says_what_stands_behind_it(open_page):
    page = open_page()
    results = pd.read_csv(Path(url2pathname(urlparse(page.url).path)).parent / "results.csv")
    cell = results.query("family == 'residual-B' and depth == 110").iloc[0]
    for choice, name, column in (
        ("training", "training_error_by_depth", "train_error"),
        ("test", "test_error_by_depth", "test_error"),
    ):
        page.get_by_role("radio", name=choice, exact=True).check()
        shown = page.locator("#training_error_by_depth .opened").all()
        assert [each.get_attribute("data-picture") for each in shown if each.is_visible()] == [name]
        title, network, value, note = point_at(page, name, 2)
        assert (title, network) == ("residual B", "residual B, depth 110")
        assert float(value.split(": ")[1]) == pytest.approx(cell[column], abs=0.006)
        assert note.startswith("mean of 3 seeds, 95 % interval ")


def test_a_figure_fills_the_screen_with_its_controls(open_page):
    page = open_page("#learning_curves", viewport={"width": 1280, "height": 720})
    panel = page.locator("#learning_curves .panels")
    before = panel.bounding_box()["width"]
    page.locator("#learning_curves").get_by_text("Full screen").click()
    page.wait_for_function("document.fullscreenElement?.id === 'learning_curves'")
    page.wait_for_function(
        f"document.fullscreenElement.querySelector('.panels').clientWidth > {before}"
    )
    curves = visible(page, "learning_curves").count()
    page.locator("#learning_curves").get_by_label("44 layers").uncheck()
    assert visible(page, "learning_curves").count() < curves


def test_boxes_switch_families_and_depths_and_a_turned_phone_keeps_them(open_page):
    page = open_page(viewport={"width": 400, "height": 800})
    figure = picture(page, "learning_curves")
    shown = sync_api.expect(visible(page, "learning_curves"))
    before = visible(page, "learning_curves").count()
    residual = figure.get_by_role("checkbox", name="residual B", exact=True)
    deep = figure.get_by_role("checkbox", name="110 layers", exact=True)
    deep.uncheck()
    shown.to_have_count(before * 4 // 5)
    residual.uncheck()
    shown.to_have_count(before * 4 // 5 * 2 // 3)
    deep.check()
    shown.to_have_count(before * 2 // 3)
    panels = figure.locator(".panels > svg")
    tops = [panel.bounding_box()["y"] for panel in panels.all() if panel.is_visible()]
    assert len(set(tops)) == len(tops) == 2
    page.set_viewport_size({"width": 800, "height": 400})
    tops = [panel.bounding_box()["y"] for panel in panels.all() if panel.is_visible()]
    assert len(tops) == 2
    assert len(set(tops)) == 1
    assert (deep.is_checked(), residual.is_checked()) == (True, False)
    residual.check()
    shown.to_have_count(before)


def test_tables_sort_by_value_with_mouse_and_keyboard(open_page):
    table = open_page().locator("section.table table").first
    heading = table.get_by_role("columnheader", name="test error (%)")
    for sort, order in (
        (heading.click, "ascending"),
        (lambda: heading.get_by_role("button").press("Enter"), "descending"),
    ):
        sort()
        sync_api.expect(heading).to_have_attribute("aria-sort", order)
        rows = table.locator("tbody").inner_text().splitlines()
        shown = [float(row.split("\t")[5].split()[0]) for row in rows]
        assert shown == sorted(shown, reverse=order == "descending")


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
    for panel in page.locator(".panels > svg").all():
        box = panel.bounding_box()
        assert box is None or box["x"] + box["width"] <= width


def luminance(color):
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(open_page, scheme):
    """At least 4.5 to 1, as WCAG 2.1 asks of text."""
    page = open_page(color_scheme=scheme)

    def luminance_of(selector, name="color"):
        style = f"getComputedStyle(document.querySelector('{selector}')).{name}"
        return luminance(page.evaluate(style))

    ground = luminance_of("body", "backgroundColor")
    assert (ground > 0.5) == (scheme == "light")
    for selector in (
        "body", ".note", "nav a", ".finding",
        ".supported .badge", ".undecided .badge", ".not-testable .badge", ".state.finished",
    ):  # fmt: skip
        dark, light = sorted((luminance_of(selector), ground))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector


def test_everything_is_reached_with_the_keyboard_and_printed_without_controls(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    active = "(({tagName, type}) => `${tagName} ${type ?? ''}`)(document.activeElement)"
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(active))
    assert {"INPUT radio", "INPUT checkbox", "SUMMARY "} <= reached
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".controls input").first.is_visible()
    assert page.locator("#learning_curves .panels svg").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_study_of_probes_one_seed_and_two_studies_draw_what_they_have(open_page, tmp_path):
    one_seed = tmp_path / "one"
    one_seed.mkdir()
    for run in (FIXTURES / "runs").glob("*s0*"):
        (one_seed / run.name).symlink_to(run)
    both = drawn(tmp_path / "out", one_seed, FIXTURES / "mechanism")
    assert panels(open_page(of=both), "side_by_side") > 0
    page = open_page(of=both.replace("index", "one/index"))
    assert visible(page, "training_error_by_depth").count() >= 2
    page = open_page(of=both.replace("index", "mechanism/index"))
    for name in ("constructed_sibling", "shattered_gradients", "layer_responses"):
        assert panels(page, name) > 0, name
    # Their rows say at the margins alone what they have in common.
    for name in ("gradient_flow", "gradient_flow_at_the_end"):
        image = page.locator(f"#{name} img.picture")
        assert image.evaluate("picture => picture.naturalWidth") > 300, name


def test_without_scripts_every_figure_is_a_picture(open_page, address):
    page = open_page(java_script_enabled=False, ready=False)
    pictures = page.locator("figure img.picture")
    assert pictures.count() >= 4
    for each in pictures.all():
        assert each.bounding_box()["width"] > 300


def test_text_from_a_run_stays_text_in_opened_figures(open_page, tmp_path):
    hostile = '<img src=x onerror=alert(1)> & "q" ]]> %3Cb%3E'
    for run in (FIXTURES / "runs").glob("*s0*"):
        folder = tmp_path / "runs" / run.name
        shutil.copytree(run, folder)
        config = folder / "config.yaml"
        label = hostile.replace("'", "''")
        config.write_text(config.read_text().replace("label: null", f"label: '{label}'"))
    page = open_page(of=drawn(tmp_path / "out", tmp_path / "runs"))
    assert page.title().startswith(hostile)
    assert page.locator("figure img[src=x]").count() == 0
    name, *_ = point_at(page, "learning_curves", 0)
    assert name.startswith("plain-008-")
