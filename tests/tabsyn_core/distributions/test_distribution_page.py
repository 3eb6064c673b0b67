import re
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from tabsyn_core.distributions import fit_table, render_page
from tabsyn_core.schema import TableSchema


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "normal": rng.normal(size=400),
            "zeros": np.where(rng.random(400) < 0.5, 0, rng.gamma(2, 1, 400)),
            "count": rng.poisson(2, 400),
            "large count": rng.poisson(90, 400),
            "<b>&class": rng.choice(["low", "high"], 400),
            "constant": np.zeros(400),
            "missing": pl.Series([None] * 400, dtype=pl.Float64),
        }
    )
    return table, fit_table(table, TableSchema.infer(table), seed=0)


def cards(page):
    return re.findall(r"<figure.*?</figure>", page, re.DOTALL)


def test_every_column_has_a_card_with_its_family_worst_fit_first(fitted):
    table, distributions = fitted
    found = cards(render_page(table, distributions))
    parsed = [ET.fromstring(card) for card in found]  # noqa: S314  our own page
    names = [card.find("figcaption/b").text for card in parsed]
    assert sorted(names) == sorted(table.columns)
    assert [card.find("figcaption/p").text for card in parsed] == [distributions[name].describe() for name in names]
    p_values = [distributions[name].fit.p_value for name in names]
    tested = [p for p in p_values if p is not None]
    assert p_values[: len(tested)] == sorted(tested)


def test_bodies_have_a_density_and_a_qq_plot(fitted):
    table, distributions = fitted
    for card in cards(render_page(table, distributions)):
        has_body = any(f"<b>{name}</b>" in card for name in ("normal", "zeros", "large count", "count"))
        assert card.count("<svg") == (2 if has_body else 1)
        assert "nan" not in card.replace("nan missing", "").lower().split("</figcaption>")[1]


def test_the_page_needs_nothing_else_and_is_the_same_each_time(fitted):
    page = render_page(*fitted)
    assert not re.search(r"(src|href)=|@import|url\(|http", page)
    assert page == render_page(*fitted)
    assert "prefers-color-scheme:dark" in page
    assert '<input id="search"' in page
    assert "&lt;b&gt;&amp;class" in page


def test_217_columns_stay_below_eight_megabytes(fitted):
    table, distributions = fitted
    page = render_page(table, distributions)
    largest = max(len(card) for card in cards(page))
    assert len(page) - sum(map(len, cards(page))) + 217 * largest < 8e6
