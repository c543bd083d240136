# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The page in a real browser, and the picture: with a few events, and with very many."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from pydriver.timeline.drawing import STYLES, THEME, irql_colour, ticks
from pydriver.timeline.page import make_page
from pydriver.timeline.picture import make_picture
from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline

FEW, MANY = 10, 100_000
TIMEOUT = 30
GUTTER = 268
FRAME_MS = 100.0
"""The limit of a frame: a longer one is felt. The best of several counts, as the machine may be
busy."""


def first_events(timeline: Timeline, count: int) -> Timeline:
    """The first events of a run, and the time that they take."""
    chosen = sorted(timeline.slices, key=lambda each: each.begin)
    begin = next(n for n, each in enumerate(chosen) if each.category is Category.PENDING)
    chosen = chosen[begin if count == FEW else 0 :][:count]
    assert len(chosen) == count
    end = max(each.end or each.begin for each in chosen)
    counters = [
        replace(each, samples=[s for s in each.samples if chosen[0].begin <= s[0] <= end])
        for each in timeline.counters
    ]
    used = {each.track for each in chosen}
    numbers = {old: new for new, old in enumerate(sorted(used))}
    tracks = [replace(timeline.tracks[old], number=new) for old, new in numbers.items()]
    slices = [replace(each, track=numbers[each.track]) for each in chosen]
    return Timeline(tracks, slices, counters, timeline.about)


class Page:
    """The page in the browser."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        browser.get(path.as_uri())
        self.wait(lambda: self.data("ready") == "1")
        self.view = browser.find_element(By.ID, "view")

    def wait(self, condition: Any) -> None:
        """Waits for something to become true."""
        WebDriverWait(self.browser, TIMEOUT, 0.02).until(lambda _: condition())

    def run(self, script: str) -> Any:
        """Runs JavaScript."""
        return self.browser.execute_script(f"return {script}")  # type: ignore[no-untyped-call]

    def data(self, name: str) -> str:
        """The state that the page reports."""
        return str(self.run(f"document.body.dataset.{name}"))

    def picture(self) -> Image.Image:
        """A picture of the canvas."""
        return Image.open(io.BytesIO(self.view.screenshot_as_png)).convert("RGB")

    def spot(self, category: Category) -> tuple[int, int]:
        """The place where a category is drawn: the middle of its widest run of pixels."""
        image = self.picture()
        wanted = ImageColor.getrgb(STYLES[category].colour.light)
        pixels = image.load()
        assert pixels is not None
        best, where = 0, (0, 0)
        for y in range(30, image.height - 12):
            length = 0
            for x in range(GUTTER, image.width):
                length = length + 1 if pixels[x, y] == wanted else 0
                if length > best:
                    best, where = length, (x - length // 2, y)
        assert best, f"nothing of {category} is drawn"
        return where[0] - image.width // 2, where[1] + 6 - image.height // 2

    def hover(self, spot: tuple[int, int]) -> str:
        """Moves the pointer to a place; returns the text that appears."""
        ActionChains(self.browser).move_to_element_with_offset(self.view, *spot).perform()
        tip = self.browser.find_element(By.ID, "tip")
        self.wait(tip.is_displayed)
        return tip.text


@pytest.fixture(scope="module", params=[FEW, MANY])
def timeline(request: pytest.FixtureRequest, long_run: Timeline) -> Timeline:
    """A part of a run."""
    return first_events(long_run, request.param)


@pytest.fixture
def page(timeline: Timeline, browser: webdriver.Chrome, tmp_path: Path) -> Page:
    """That part of the run as a page, in the light theme."""
    path = tmp_path / "page.html"
    path.write_text(make_page(timeline, "A run"), "utf-8")
    found = Page(browser, path)
    if found.run("dark"):
        found.run("setTheme(false)")
    return found


def drawn_colours(image: Image.Image) -> set[Any]:
    """The colours of a picture."""
    return {colour for _, colour in image.getcolors(1 << 24) or ()}


def test_page_shows_every_kind_of_event_and_loads_nothing(page: Page, timeline: Timeline) -> None:
    assert page.data("matches") == str(len(timeline.slices))
    assert page.run("performance.getEntriesByType('resource').length") == 0
    assert not page.browser.get_log("browser")  # type: ignore[no-untyped-call]
    rows = page.run("rows.filter((row) => row.track && !row.track.counter).length")
    assert rows == len(timeline.tracks)
    colours = drawn_colours(page.picture())
    for category in (Category.ISR, Category.DPC, Category.PENDING, Category.REQUEST):
        assert ImageColor.getrgb(STYLES[category].colour.light) in colours, category
    figures = page.browser.find_element(By.ID, "figures").text
    assert "interrupt to ISR" in figures
    assert "under 250 us" in figures


def test_page_is_as_quick_with_many_events(page: Page) -> None:
    script = (
        "const done = arguments[0], times = [];"
        "const frame = (n) => { if (!n) return done(Math.min(...times));"
        "zoom(0.8, middle()); requestAnimationFrame(() => requestAnimationFrame(() => {"
        "times.push(Number(document.body.dataset.frame)); frame(n - 1); })); };"
        "move(0, data.span); frame(12);"
    )
    best = page.browser.execute_async_script(script)  # type: ignore[no-untyped-call]
    assert best < FRAME_MS


def test_wheel_zooms_to_the_pointer_and_keys_move(page: Page) -> None:
    whole = page.run("span")
    origin = ScrollOrigin.from_element(page.view, 200, 0)
    ActionChains(page.browser).scroll_from_origin(origin, 0, -400).perform()
    page.wait(lambda: page.run("span") < whole * 0.7)
    zoomed, begin = page.run("span"), page.run("from")
    assert begin > 0
    page.view.send_keys("d")
    page.wait(lambda: page.run("from") > begin)
    assert page.run("span") == pytest.approx(zoomed)
    page.view.send_keys("0")
    page.wait(lambda: page.run("span") == pytest.approx(whole))


def test_pointer_tells_what_is_under_it_and_a_click_follows_the_flow(page: Page) -> None:
    page.run(
        "(() => { const t = tracks.find((t) => t.group === 0);"
        "const i = t.details.findIndex((d, i) => labels[t.names[i]].category === 'isr');"
        "scroll.scrollTop = 0; move(t.begins[i] - t.lengths[i], t.lengths[i] * 3); })()"
    )
    page.wait(lambda: not page.run("wanted"))
    spot = page.spot(Category.ISR)
    text = page.hover(spot)
    assert text.startswith("isr\n")
    assert "object: interrupt 0 of mqdma" in text
    assert "interrupt to isr ns" in text
    ActionChains(page.browser).move_to_element_with_offset(page.view, *spot).click().perform()
    page.wait(lambda: int(page.data("flows")) >= 1)


def test_filter_leaves_what_matches(page: Page, timeline: Timeline) -> None:
    field = page.browser.find_element(By.ID, "filter")
    field.send_keys("pending")
    expected = sum(each.category is Category.PENDING for each in timeline.slices)
    page.wait(lambda: page.data("matches") == str(expected))
    assert page.run("rows.filter((row) => row.track).length") == 1
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("no such thing")
    page.wait(lambda: page.data("matches") == "0")
    field.clear()
    page.run("applyFilter()")
    assert page.data("matches") == str(len(timeline.slices))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_has_the_colours_and_the_ticks_of_the_drawing(page: Page, theme: str) -> None:
    page.run(f"setTheme({json.dumps(theme == 'dark')})")
    paint = page.run("paint")
    for name, colour in THEME.items():
        assert paint[name] == getattr(colour, theme)
    for category, style in STYLES.items():
        assert paint[category] == getattr(style.colour, theme)
    for level in range(1, 16):
        assert page.run(f"irqlPaint({level})") == getattr(irql_colour(level), theme)
    span, width = page.run("span"), page.run("width - GUTTER")
    expected = [label for _, label in ticks(span, width)]
    assert page.run("[...ticks()].map((tick) => tick[1])") == expected


def test_irql_that_falls_within_a_pixel_is_low_behind_it(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    timeline = Timeline()
    timeline.add_track(Group.PROCESSORS, "processor 0")
    timeline.slices.append(Slice(0, Category.EVENT, "the end", 1_000_000))
    timeline.counters.append(Counter(0, [(0, 2), (10, 13), (20, 0)]))
    path = tmp_path / "page.html"
    path.write_text(make_page(timeline, "A run"), "utf-8")
    page = Page(browser, path)
    page.run("setTheme(false)")
    page.wait(lambda: not page.run("wanted"))
    image = page.picture()
    y = page.run(
        "(() => { const r = rows.find((r) => r.track?.counter); return r.y + r.height; })()"
    )
    line = [image.getpixel((x, y - 5)) for x in range(GUTTER, image.width)]
    assert line[0] == ImageColor.getrgb(irql_colour(13).light)
    assert line[2] == line[-1] == (255, 255, 255)


def test_dark_theme_is_dark(page: Page) -> None:
    page.browser.find_element(By.ID, "theme").click()
    page.wait(lambda: page.run("dark") and not page.run("wanted"))
    image = page.picture()
    _, common = max(image.getcolors(1 << 24) or ())
    assert isinstance(common, tuple)
    assert sum(common) < 3 * 64


def is_shade(colour: tuple[int, ...], full: tuple[int, ...]) -> bool:
    """Whether a colour is another one on white at 30 % or more, the share of slices in a pixel."""
    darkest = min(range(3), key=lambda channel: full[channel])
    share = (255 - colour[darkest]) / (255 - full[darkest])
    mixed = (255 + (each - 255) * share for each in full)
    return 0.29 < share < 1.01 and all(
        abs(each - expected) < 2 for each, expected in zip(colour, mixed, strict=True)
    )


def test_picture_shows_every_track(timeline: Timeline) -> None:
    image = Image.open(io.BytesIO(make_picture(timeline, "A run")))
    assert image.format == "PNG"
    assert image.width == 1600
    colours = drawn_colours(image.convert("RGB"))
    for category in (Category.PENDING, Category.REQUEST):
        full = ImageColor.getrgb(STYLES[category].colour.light)
        assert any(is_shade(each, full) for each in colours), category


def test_picture_shows_an_isr_below_the_dpc_that_it_interrupts() -> None:
    timeline = Timeline()
    timeline.add_track(Group.PROCESSORS, "processor 0")
    timeline.slices = [Slice(0, Category.DPC, "dpc", 0, 90), Slice(0, Category.ISR, "isr", 30, 60)]
    image = Image.open(io.BytesIO(make_picture(timeline, "A run"))).convert("RGB")
    pixels = image.load()
    assert pixels is not None
    lines = {
        category: {
            y
            for y in range(image.height)
            for x in range(0, image.width, 4)
            if pixels[x, y] == ImageColor.getrgb(STYLES[category].colour.light)
        }
        for category in (Category.DPC, Category.ISR)
    }
    assert max(lines[Category.DPC]) < min(lines[Category.ISR])
