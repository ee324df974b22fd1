"""The report's pictures: every line is visible, no texts overlap, and the alternative texts agree with them."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from agents.benchmark.report import alt_texts
from agents.benchmark.report.curves import VALUES, learning_curves, rank_test, sweep, values
from agents.benchmark.report.plots import of_runs, scores
from agents.benchmark.report.theme import DARK, LIGHT, MARKERS, NARROW, looks, recoloured, shortened, svg

AGENTS = ("BC", "%BC, 20%", "ILQL per utterance, τ 0.7", "an agent with settings that take quite a while to say", "AWR")
STEPS = range(100, 1300, 100)
THEMES = {"wide": LIGHT, "narrow": LIGHT.on_a_phone()}  # dark pictures are those in other colours


def points(height):
    return [{"step": s, "target": [height] * 4, "start": height, "better": -s / 1000, "worse": -2.0} for s in STEPS]


SAME = {agent: [points(1.0), points(1.0)] for agent in AGENTS}
MARKS = {"start": 1.0, "better": -0.5, "worse": -2.0}
FLAT = {agent: [[(s, 0.5) for s in STEPS]] for agent in AGENTS}
ONE_POINT = {agent: [[(100, 0.5)]] for agent in AGENTS}
RISING = {agent: [[(s, 0.5 + s / 1000) for s in STEPS]] for agent in AGENTS}
REPLIES = {100: [0.1, 0.3], 300: [0.4], 500: [0.5], 1000: [0.6], 1100: [0.6], 100_000: [0.9]}
METRICS = ("loss/bc", "data/return", "eval/advantage/behaviour/0", "eval/something/of_mine")

KINDS = {
    "rank test": lambda theme: rank_test(theme, AGENTS, SAME, [0.0, 0.1, 0.2, 0.3], [1.0, 1.0, 0.9, 0.9]),
    "values": lambda theme: values(theme, AGENTS, SAME, MARKS, MARKS),
    "flat": lambda theme: learning_curves(theme, AGENTS, dict.fromkeys(METRICS, FLAT)),
    "one point": lambda theme: learning_curves(theme, AGENTS, {"loss/q": ONE_POINT}),
    "rising": lambda theme: learning_curves(theme, AGENTS, {"loss/q": RISING}),
    "sweep": lambda theme: sweep(
        theme,
        looks(theme, AGENTS),
        dict.fromkeys(AGENTS[:3], REPLIES),
        {agent: [0.2] for agent in AGENTS[3:]},
        "replies",
    ),
    "scores": lambda theme: scores(
        theme,
        AGENTS,
        {agent: of_runs([0.5, 0.5, 0.5, 0.6]) for agent in AGENTS},
        {"random": -9.0, "optimal": 0.61, "a person of great skill who plays the same starts": 0.61, "best": 2.0},
        below={AGENTS[0]: of_runs([0.4, 0.5], hollow=True)},
    ),
}


def drawn(figure):
    """Its pixels [height, width, 3] in 0..1."""
    figure.set_dpi(200)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def inside(figure, axis, pixels):
    box = axis.get_window_extent()
    height = len(pixels)
    return pixels[height - int(box.y1) : height - int(box.y0), int(box.x0) : int(box.x1)]


def reach(pixels, colour):
    """In which share of the columns a colour is seen."""
    return (np.abs(pixels - to_rgb(colour)).max(-1) < 0.12).any(0).mean()


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("kind", ["rank test", "values", "flat", "one point", "rising", "sweep"])
def test_every_one_of_lines_that_coincide_is_seen(kind, theme):
    figure = KINDS[kind](theme)
    pixels = drawn(figure)
    least = 0.01 if kind == "one point" else 0.2  # there are markers and gaps; what is hidden has markers alone
    for axis in (axis for axis in figure.axes if axis.get_visible()):
        shown = inside(figure, axis, pixels)
        for line in axis.get_lines():
            assert reach(shown, line.get_color()) >= least, (kind, axis.get_title(), line.get_label())


def test_lines_apart_stay_where_they_are():
    runs = {
        "BC": [[(s, 0.5) for s in STEPS]],
        "AWR": [[(s, 0.6) for s in STEPS]],
        "ILQL": [[(s, s / 1300) for s in STEPS]],
    }
    [axis] = learning_curves(LIGHT, list(runs), {"loss": runs}).axes  # ILQL crosses both
    assert all(line.get_transform() is axis.transData for line in axis.get_lines())
    both = {"BC": runs["BC"], "AWR": runs["BC"]}
    [axis] = learning_curves(LIGHT, list(both), {"loss": both}).axes
    ends = [line.get_transform().transform((100, 0.5)) for line in axis.get_lines()]
    assert np.ptp(ends, axis=0) == pytest.approx([2.8 / 72 * 100, 1.7 / 72 * 100])  # of 100 pixels an inch


def test_runs_with_one_score_and_policies_with_one_score_are_seen_apart():
    [axis] = KINDS["scores"](LIGHT).axes
    first = [line for line in axis.get_lines() if line.get_markersize() == 4][:4]
    heights = {round(line.get_transform().transform((0.5, 0))[1], 2) for line in first}
    assert len(heights) == 3 < len(first)
    levels = [line for line in axis.get_lines() if list(line.get_xdata()) == [0.61, 0.61]]
    places = {round(line.get_transform().transform((0.61, 0))[0], 2) for line in levels}
    assert len(places) == len(levels) == 2


def texts(figure):
    """Every text that is drawn, with its box."""
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    found = [(text.get_text(), text.get_window_extent()) for text in legends]
    for axis in (axis for axis in figure.axes if axis.get_visible()):
        several = [axis.title, axis.xaxis.label, axis.yaxis.label, *axis.texts]
        for side, limits in ((axis.xaxis, axis.get_xlim()), (axis.yaxis, axis.get_ylim())):
            low, high = sorted(limits)
            several += [tick.label1 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
        found += [(text.get_text(), text.get_window_extent()) for text in several if text.get_text()]
    return found


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_lies_on_another_or_leaves_the_picture(kind, theme):
    figure = KINDS[kind](theme)
    figure.draw_without_rendering()
    found = texts(figure)
    assert len(found) > 5
    for text, box in found:
        assert box.x0 >= -1 and box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
    for (one, box), (other, second) in combinations(found, 2):
        across = min(box.x1, second.x1) - max(box.x0, second.x0)
        up = min(box.y1, second.y1) - max(box.y0, second.y0)
        assert min(across, up) < 1, (one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_narrow_pictures_have_panels_below_each_other(kind):
    wide, narrow = KINDS[kind](LIGHT), KINDS[kind](LIGHT.on_a_phone())
    assert narrow.get_size_inches()[0] == NARROW < wide.get_size_inches()[0]
    narrow.draw_without_rendering()
    shown = [axis.get_position() for axis in narrow.axes]
    assert all(a.y0 > b.y1 for a, b in pairwise(shown))
    assert len(shown) == sum(axis.get_visible() for axis in wide.axes)


def luminance(colour):
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in to_rgb(colour)]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_marks_and_text_stand_out_from_the_paper(theme):
    for colour, least in (*((colour, 3.0) for colour in theme.series), (theme.ink, 4.5)):
        dark, light = sorted((luminance(colour), luminance(theme.paper)))
        assert (light + 0.05) / (dark + 0.05) >= least, colour


def test_agents_with_one_colour_have_different_markers_and_lines():
    look = list(looks(LIGHT, [f"agent {i}" for i in range(28)]).values())
    for one, other in combinations(look, 2):
        if one.colour == other.colour:
            assert one.marker != other.marker and one.line != other.line
    assert len({x.marker for x in look[: len(MARKERS)]}) == len(MARKERS)  # neighbours are told apart without colours


def test_a_picture_is_written_without_what_nobody_refers_to():
    figure = KINDS["values"](LIGHT)
    written = svg(figure).decode()
    root = ET.fromstring(written)
    names = {e.get("id") for e in root.iter()} - {None}
    used = {
        v.removeprefix("url(").strip("#)")
        for e in root.iter()
        for v in e.attrib.values()
        if v.startswith(("#", "url(#"))
    }
    assert used == names
    assert root.get("viewBox").split()[2:] == [
        f"{72 * x:.2f}".rstrip("0").rstrip(".") for x in figure.get_size_inches()
    ]
    assert "metadata" not in written and "\n" not in written
    assert "DejaVuSans" in written  # letters as outlines


def test_the_dark_picture_is_the_light_one_in_other_colours():
    def nameless(source):  # names of markers and clips come of their contents
        return re.sub(rb"\b[mp][0-9a-f]{10}\b", b"", source)

    for theme in (LIGHT, LIGHT.on_a_phone()):
        dark = replace(theme, paper=DARK.paper, ink=DARK.ink, faint=DARK.faint, series=DARK.series)
        light = svg(KINDS["values"](theme))
        assert nameless(recoloured(light, LIGHT, DARK)) == nameless(svg(KINDS["values"](dark)))
        assert nameless(recoloured(light, LIGHT, DARK)) != nameless(light)


def test_alt_texts_say_the_result():
    assert alt_texts.of_scores("Returns", {"BC": 0.5, "ILQL": 0.98}, {"random": 0.1}, {"BC": 0.25}) == (
        "Returns, highest first: ILQL 0.98, BC 0.50. Sampled: BC 0.25. Not trained: random 0.10."
    )
    assert alt_texts.of_sweep("replies", {"BC": {200: [2.0], 1000: [1.0, 3.0], 10: [0.0]}}, {"TF": [0.5]}) == (
        "Returns over replies: BC 0.00 at 10 and 2.00 at 1,000; TF 0.50 throughout."
    )
    assert "offset 0: ILQL 1.00 (attainable 0.90, behaviour's values 0.10); offset 3: ILQL" in alt_texts.of_rank_test(
        {"ILQL": [points(1.0)]}, [0.1, 0.1, 0.1, 0.1], [0.9, 1.0, 1.0, 1.0]
    )
    assert "V at the start: BC 0.25 (optimal play 1.00, behaviour 0.00); Q of an expert's first word: BC -1.20" in (
        alt_texts.of_values(
            VALUES, {"BC": [points(0.0), points(0.5)]}, dict.fromkeys(VALUES, 0.0), MARKS | {"start": 1}
        )
    )
    curves = {"loss/bc": {"BC": [[(1, 2.0), (2, 1.0)]], "DT": [[(1, 3.0)]]}}
    assert alt_texts.of_curves(curves) == "After training, highest first. loss of imitation: DT 3.00, BC 1.00."
    many = alt_texts.ranked({f"agent {i}": -i for i in range(30)})
    assert many.startswith("agent 0 0.00, agent 1 -1.00") and many.endswith("agent 10 -10.00, 18 more, agent 29 -29.00")


def test_a_name_too_long_keeps_its_beginning_and_its_end():
    assert shortened("a\n b", 9) == "a b"
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789", 7) == "012…789"
