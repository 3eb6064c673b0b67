"""The report as a reader meets it: in a browser, by mouse, finger and keyboard, in the dark and on paper."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from page_reports import bare, complete
from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright

from tabsyn_core.evaluation.page import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome")
DRAWN = "document.querySelectorAll('[data-report]:not([hidden]) :is(.chart, .map):not(.ready)').length === 0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: the machine's, else playwright's own. Without one, tests fail under CI and are skipped elsewhere."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            first = error.message.splitlines()[0]
            why = f"there is no Chromium to show the report in; run `playwright install chromium`. ({first})"
            if os.environ.get("CI"):
                pytest.fail(why)
            pytest.skip(why)
        yield found
        found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    write_page(folder / "one.html", {"table": complete()})
    write_page(folder / "many.html", {"first": complete(), "second": complete(25, shift=0.5)})
    write_page(folder / "few.html", {"table": complete(10)})
    write_page(folder / "bare.html", {"table": bare()})
    return folder


@pytest.fixture
def show(browser: Browser, folder: Path):
    """Opens a page; whatever it tells the console, or throws, fails the test."""
    told: list[str] = []
    contexts = []

    def open_page(name: str = "one", *, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or told.append(request.url))
        page.goto((folder / f"{name}.html").as_uri())
        page.wait_for_function(DRAWN)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []


def _names(page: Page) -> list[str]:
    return page.locator(".columns tr[data-row]:visible .open").all_inner_texts()


def _overflow(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def _tip(page: Page) -> str:
    page.wait_for_selector("#tip:not([hidden])")
    return page.locator("#tip").inner_text()


def _brightness(page: Page) -> int:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return max(int(part) for part in colour[4:-1].split(","))


def _move_over(page: Page, box: Locator, across: float, down: float) -> None:
    box.scroll_into_view_if_needed()
    page.evaluate("new Promise((done) => setTimeout(() => requestAnimationFrame(done), 50))")  # scrolling hides the tip
    place = box.bounding_box()
    assert place
    page.mouse.move(place["x"] + across * place["width"], place["y"] + down * place["height"])


@pytest.mark.parametrize("name", ["one", "many", "bare"])
def test_pages_open_without_a_complaint_and_draw_every_chart(show, name) -> None:
    page = show(name)
    for chart in page.locator("[data-report]:not([hidden]) .chart").all():
        assert chart.locator("svg path, svg line, svg text").count() > 3, chart.get_attribute("aria-label")
        assert "NaN" not in chart.inner_html()
    assert page.locator(".detail").count() == 0


def test_search_finds_names_kinds_and_families(show) -> None:
    page = show()
    box = page.get_by_role("searchbox")
    box.fill("column 27")
    assert _names(page) == ["column 27"]
    assert page.locator(".finder output").inner_text() == "1 of 30 columns"
    box.fill("CATEGORICAL")
    assert _names(page) == ["colour"]
    box.fill("normal")
    assert _names(page) == ["column 0"]
    box.fill("no such column")
    assert _names(page) == []
    box.fill("")
    assert len(_names(page)) == 20


def test_all_columns_are_shown_when_asked_for(show) -> None:
    page = show()
    assert len(_names(page)) == 20
    page.get_by_role("button", name="Show all 30 columns").click()
    assert len(_names(page)) == 30


def test_sorting_puts_unjudged_columns_last_either_way(show) -> None:
    page = show()
    page.get_by_role("button", name="Show all 30 columns").click()
    error = page.locator("th[data-sort=error]")
    error.click()
    assert error.get_attribute("aria-sort") == "descending"
    assert (_names(page)[0], _names(page)[-1]) == ("column 28", "colour")
    page.get_by_role("button", name="Sort by Error").press("Enter")
    assert error.get_attribute("aria-sort") == "ascending"
    assert (_names(page)[0], _names(page)[-1]) == ("column 0", "colour")
    page.get_by_role("button", name="Sort by Column").click()
    assert error.get_attribute("aria-sort") is None
    assert _names(page)[:3] == ["colour", "column 0", "column 1"]


def test_a_click_opens_a_column_and_closes_it_again(show) -> None:
    page = show()
    row = page.locator("tr[data-row='3']")
    row.locator("td").nth(2).click()
    detail = page.locator("tr.detail")
    detail.locator(".chart.ready svg").nth(1).wait_for()
    assert row.locator(".open").get_attribute("aria-expanded") == "true"
    text = detail.inner_text()
    for shown in ("numeric", "gamma", "whole, at least 0", "0.100 (0.090 to 0.110)", "Kolmogorov-Smirnov", "different"):
        assert shown in text
    assert "not made: all values are the same" in text
    row.locator(".open").click()
    assert detail.count() == 0
    assert row.locator(".open").get_attribute("aria-expanded") == "false"


def test_enter_opens_a_column_of_categories(show) -> None:
    page = show()
    page.get_by_role("searchbox").fill("colour")
    button = page.get_by_role("button", name="colour", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator(f"#{button.get_attribute('aria-controls')}")
    detail.locator(".chart.ready svg").wait_for()
    assert {"red", "blue"} <= set(detail.locator("svg text").all_text_contents())
    page.keyboard.press("Space")
    assert page.locator(".detail").count() == 0


def test_a_link_of_what_to_mend_opens_its_column(show) -> None:
    page = show()
    page.get_by_role("link", name="Show the column").click()
    assert page.locator("tr[data-row='28'] .open").get_attribute("aria-expanded") == "true"
    assert page.locator("tr[data-row='28']").is_visible()


def test_the_tab_key_reaches_the_skip_link_first_and_then_the_sections(show) -> None:
    page = show()
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the report"
    assert page.locator(":focus").bounding_box()["width"] > 50  # type: ignore[index]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Verdict"


def test_the_maps_name_the_pair_under_pointer_finger_and_keys(show) -> None:
    page = show(has_touch=True)
    first, second = page.locator("canvas.map").all()
    _move_over(page, first, (3 + 0.5) / 29, (1 + 0.5) / 29)
    tip = _tip(page)
    assert tip.startswith("column 1 · column 3")
    assert "real 0.50" in tip
    assert "synthetic 0.00" in tip
    page.mouse.move(0, 0)
    page.wait_for_selector("#tip", state="hidden")
    first.focus()
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert _tip(page).startswith("column 2 · column 14")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    box = second.bounding_box()
    assert box
    second.tap(position={"x": box["width"] * 5.5 / 29, "y": box["height"] * 0.5 / 29})
    assert _tip(page).startswith("column 0 · column 5")
    assert "held-out" not in _tip(page)  # its first row is not defined


def test_the_maps_are_coloured_by_sign_and_strength(show) -> None:
    page = show()
    read = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 29, 29).data]"
    first, second = (np.reshape(each.evaluate(read), (29, 29, 4)) for each in page.locator("canvas.map").all())
    real, synthetic = first[2, 5], first[5, 2]
    assert real[1] > max(real[0], real[2])  # green: 0.5
    assert 120 <= real[3] <= 135
    assert synthetic[3] == 0
    lost = second[2, 5]
    assert lost[2] > lost[1]  # purple: 0.5 less, at twice the strength
    assert lost[3] == 255


def test_the_map_of_rows_follows_its_selectors(show) -> None:
    page = show()
    figure = page.locator("figure.projection")
    assert "PCA across" in figure.locator("svg text").all_text_contents()
    figure.locator(".method-choice").select_option(label="LDA")
    figure.locator("svg text", has_text="LDA across").wait_for()
    figure.locator(".colour-choice").select_option(label="by cluster")
    figure.locator("svg .role-legend-label").first.wait_for()


def test_the_page_is_dark_when_the_screen_is_or_when_asked_and_remembers_it(show) -> None:
    assert _brightness(show(color_scheme="dark")) < 60
    page = show(color_scheme="light")
    assert _brightness(page) > 230
    page.get_by_role("button", name="Dark page").click()
    assert _brightness(page) < 60
    page.reload()
    page.wait_for_function(DRAWN)
    assert _brightness(page) < 60
    page.get_by_role("button", name="Light page").click()
    assert _brightness(page) > 230


@pytest.mark.parametrize("name", ["one", "many"])
def test_nothing_overflows_on_a_phone(show, name) -> None:
    page = show(name, width=360, has_touch=True, is_mobile=True)
    assert _overflow(page) == 0
    page.locator(".columns:visible tr[data-row='2']").tap()
    page.locator(".detail .chart.ready svg").nth(1).wait_for()
    for summary in page.locator("details:visible summary").all():
        summary.click()
    assert _overflow(page) == 0
    cells = page.locator(".columns:visible tr[data-row='2'] > :visible")
    boxes = [cell.bounding_box() for cell in cells.all()]
    assert len(boxes) == 3
    assert boxes[0]["width"] > 100
    assert boxes[-1]["x"] + boxes[-1]["width"] > 300  # columns that a phone hides take no room
    for figure in page.locator("figure:visible").all():
        box = figure.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_paper_is_light_and_has_every_column(show) -> None:
    page = show(color_scheme="dark")
    pdf = page.pdf(format="A4", print_background=True)
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") > 3
    assert page.locator("details[open]").count() == 0  # opened for paper only
    page.emulate_media(media="print")
    assert _brightness(page) == 255
    assert len(_names(page)) == 30
    assert not page.get_by_role("searchbox").is_visible()
    assert _overflow(page) == 0


def test_charts_are_drawn_for_paper_even_before_the_reader_waits(show) -> None:
    page = show()
    page.add_init_script("window.setTimeout = (later) => { if (!String(later).includes('drawWaiting')) later(); }")
    page.reload()
    assert page.locator(".chart:not(.ready)").count() > 3
    page.pdf(format="A4")
    assert page.locator(".chart:not(.ready)").count() == 0


def test_another_table_is_chosen_by_the_selector_or_by_an_address(show) -> None:
    page = show("many")
    shown = page.locator("article:visible")
    assert [each.get_attribute("aria-label") for each in shown.all()] == ["first"]
    page.get_by_label("Below: the report of").select_option(label="second")
    page.wait_for_function(DRAWN)
    assert [each.get_attribute("aria-label") for each in shown.all()] == ["second"]
    page.locator("article:visible tr[data-row='1'] .open").click()
    page.locator("#t2-columns-1 .chart.ready svg").nth(1).wait_for()
    page.goto(page.url.split("#")[0] + "#privacy")
    assert [each.get_attribute("aria-label") for each in shown.all()] == ["first"]
    page.goto(page.url.split("#")[0] + "#t2-privacy")
    assert page.get_by_label("Below: the report of").input_value() == "1"


def test_the_address_names_the_open_column_and_opens_it_for_someone_else(show) -> None:
    page = show()
    page.locator("tr[data-row='3'] .open").click()
    assert page.url.endswith("#column=column%203")
    page.reload()
    page.locator("tr.detail .chart.ready svg").nth(1).wait_for()
    assert page.locator("tr[data-row='3'] .open").get_attribute("aria-expanded") == "true"
    page.locator("tr[data-row='3'] .open").click()
    assert page.url.endswith("#fidelity")
    page = show("many")
    page.get_by_label("Below: the report of").select_option(label="second")
    assert page.url.endswith("#t2-verdict")
    page.goto(page.url.split("#")[0] + "#t2-column=column%2023")
    page.reload()
    assert page.locator("article:visible").get_attribute("aria-label") == "second"
    assert page.locator("#t2-columns-23").is_visible()
    page.goto(page.url.split("#")[0] + "#column=no%20such%25")
    page.reload()  # nothing to open, and no complaint
    assert page.locator(".detail").count() == 0


def test_a_table_wider_than_a_phone_says_so_and_moves_by_keys(show) -> None:
    page = show("many", width=360, has_touch=True, is_mobile=True)
    wide = page.locator(".scroll.sideways:visible").first
    hint = wide.evaluate("box => getComputedStyle(box, '::before').content")
    assert hint.startswith('"Swipe sideways')
    assert wide.get_attribute("tabindex") == "0"
    assert show(width=1600).locator(".scroll.sideways:visible").count() == 0


def test_maps_of_few_columns_carry_their_names(show) -> None:
    assert show().locator(".named").count() == 0  # 29 columns
    page = show("few")
    page.wait_for_selector(".named")
    assert page.locator(".named").first.locator(".names.rows i").all_inner_texts() == [
        f"column {place}" for place in range(9)
    ]
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        boxes = [each.bounding_box() for each in page.locator(".named").first.locator(".names.rows span").all()]
        canvas = page.locator(".named canvas").first.bounding_box()
        for place, box in enumerate(boxes):
            middle = canvas["y"] + (place + 0.5) / 9 * canvas["height"]
            assert abs(box["y"] + box["height"] / 2 - middle) < 3
        assert _overflow(page) == 0
