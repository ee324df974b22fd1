"""The report and the page of ``lang-envs explain`` in a real browser: wide and narrow, light and dark."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from test_report import everything, experiment
from tiny_models import TOKENIZER, make_model

from agents.benchmark import Baseline, Cell, Suite
from agents.benchmark.report.report import write_report
from agents.cli.explanations import Shown, write_page
from agents.evaluation.explain import explain, next_tokens
from lang_envs.episode import Episode

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
WIDTHS, PAPER = (1280, 768, 400), {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 29)"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The report of a suite of two experiments, one with many agents and long names, and a page of explanations."""
    out = tmp_path_factory.mktemp("pages")
    small, crowded = experiment(name="small", rank_test=False), experiment(name="crowded", rank_test=False)
    results = everything(small)
    by_label = {u.part.label: r for u, r in results if u.part is not None and u.seed == 0}
    cells = (*small.cells, *(Cell(f"agent {i} with settings that take a while to say", "bc") for i in range(8)))
    baselines = (*small.baselines, *(Baseline(f"a player {i} of some skill", "random") for i in range(5)))
    crowded = dataclasses.replace(
        crowded, cells=cells, baselines=baselines, title="A_name_that_no_line_could_break" * 2
    )
    unit = results[0][0]
    for part in (*cells, *baselines):
        played = by_label.get(part.label, by_label["BC" if part in cells else "optimal"])
        for seed in range(2 if part in cells else 1):
            results.append((type(unit)(part=part, seed=seed, experiment=crowded), played | {"spec": {"seed": seed}}))
    write_report(
        Suite("two", "Two experiments", (small, crowded)), results, out, "lang-envs bench two --out " + "x" * 300
    )
    model, tokens = make_model(), np.arange(40, dtype=np.int32) % 20
    acted = np.arange(40) % 8 > 3
    episode = Episode(tokens, acted, np.zeros(40, np.float32), terminated=False, truncated=True)
    shown = Shown(episode, explain(model, TOKENIZER, episode), next_tokens(model, TOKENIZER, tokens, 5))
    write_page(out / "explain.html", "An agent", [shown, shown])
    return {"report": out / "report.html", "explain": out / "explain.html"}


CHECKS = (Path(__file__).parent / "page_checks.js").read_text()


@pytest.mark.parametrize("scheme", PAPER)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["report", "explain"])
def test_nothing_is_wrong_with_a_page_on_any_screen(browser, pages, name, width, scheme):
    browser.open(pages[name], width, dark=scheme == "dark")
    browser.value("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.value("innerWidth") == width
    assert browser.value("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]
    assert browser.value("parseFloat(getComputedStyle(document.body).fontSize)") >= 15
    assert browser.value(CHECKS) == []
    assert browser.problems == []


@pytest.mark.parametrize("width", [1280, 400])
def test_the_headline_is_the_first_thing_to_see(browser, pages, width):
    browser.open(pages["report"], width)
    assert "ILQL earns most" in browser.value("document.querySelector('.verdict').innerText")
    assert browser.value("document.querySelector('.lead').getBoundingClientRect().bottom < innerHeight")
    table = "document.querySelector('#headline table')"
    assert browser.value(f"{table}.rows[1].cells[0].innerText") == "small"
    assert browser.value(f"{table}.rows.length") == 3
    assert "IQM" in browser.value("document.querySelectorAll('#headline table')[1].innerText")


def test_links_lead_to_every_section(browser, pages):
    browser.open(pages["report"], 1280)
    targets = browser.value("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert targets == ["start", "headline", "small", "crowded", "made"]
    browser.value("document.documentElement.style.scrollBehavior = 'auto'")
    browser.value("document.querySelector('nav a[href=\"#crowded\"]').click()")
    top = "document.querySelector('#crowded').getBoundingClientRect().top"
    assert 0 <= browser.value(f"new Promise(done => setTimeout(() => done({top}), 50))") < 100
    assert browser.value("document.querySelector('nav').getBoundingClientRect().top") < 100  # it stays in sight


def test_pictures_follow_the_page(browser, pages):
    sources = set()
    for width, dark in ((1280, False), (1280, True), (400, False), (400, True)):
        browser.open(pages["report"], width, dark=dark)
        shown = browser.value("[...document.images].map(i => i.currentSrc)")
        assert len(shown) >= 5 and sources.isdisjoint(shown)
        sources.update(shown)
    assert browser.value("[...document.images].every(i => i.getBoundingClientRect().width > 300)")


def test_wide_tables_are_cards_on_a_phone_and_matrices_scroll(browser, pages):
    for width, display, hint in ((1280, "table-row", "none"), (400, "block", '"The table goes on to the right →"')):
        browser.open(pages["report"], width)
        row = "document.querySelector('.cards tbody tr')"
        assert browser.value(f"getComputedStyle({row}).display") == display
        assert browser.value("getComputedStyle(document.querySelector('.matrix'), '::before').content") == hint
        label = f"getComputedStyle({row}.querySelector('td'), '::before').content"
        assert browser.value(label) == ('"best agent"' if width == 400 else "none")
    matrices = "[...document.querySelectorAll('.matrix')]"
    assert browser.value(f"{matrices}.some(b => b.scrollWidth > b.clientWidth)")


def test_the_keyboard_reaches_the_content_and_what_is_folded(browser, pages):
    browser.open(pages["report"], 1280)
    for kind in ("rawKeyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    focused = "document.activeElement"
    assert browser.value(f"{focused}.hash") == "#content"
    assert browser.value(f"{focused}.getBoundingClientRect().top") >= 0  # it is seen once it has the focus
    assert browser.value(f"getComputedStyle({focused}).outlineWidth") == "3px"
    browser.value("document.querySelector('summary').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
    assert browser.value("document.querySelector('details').open")


WRONG = """<!doctype html><html><body><h1>a</h1><h3>b</h3><div style='width: 2000px'>x</div>
<p style='color: #999'>faint</p><p style='margin-top: -2rem'>on what is above it</p><th>c</th>
<div style='width: 3rem; overflow: hidden; white-space: nowrap'>what is cut at its end</div>
<table><tr><th>d</th></tr></table><details>e</details><img alt="" src="data:image/svg+xml;base64,PHN2Zy8+">
<script>console.error('this'); throw Error('that')</script></body></html>"""


def test_what_is_wrong_with_a_page_would_be_seen(browser, tmp_path):
    path = Path(tmp_path / "wrong.html")
    path.write_text(WRONG)
    browser.open(path, 400)
    found = browser.value(CHECKS)
    kinds = ("the page scrolls", "wider than", "cut", "contrast 2.8", "one on another", "not loaded", "alt text")
    kinds += ("not for these colours", "headings 1,3", "no scope", "no summary", "no language")
    for kind in kinds:
        assert any(one.startswith(kind) for one in found), (kind, found)
    assert len(browser.problems) == 2
    browser.problems.clear()
