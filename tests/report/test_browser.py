"""The report and the notebook's representations in a real browser, headless Chromium."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

import prompt_search as ps
from experiments.benchmarks.tables import made_up
from tests.conftest import InProcessExecutor
from tests.html_examples import HOSTILE
from tests.report.examples import LONG, hostile_study

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium and chromedriver are not installed (apt-get install chromium-driver)",
    ),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Browser:
    """A tab that opens local files."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1280, theme: str = "light") -> None:
        scheme = [{"name": "prefers-color-scheme", "value": theme}]
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(page.as_uri())

    def value(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def problems(self) -> list[Any]:
        """What the console holds."""
        return list(self.driver.get_log("browser"))  # type: ignore[no-untyped-call]

    def column(self, number: int) -> list[str]:
        """The texts of a column of the ranked table, of rows that are shown."""
        rows = "[...document.querySelectorAll('.sortable tbody tr:not([hidden])')]"
        return [str(text) for text in self.value(f"{rows}.map(row => row.cells[{number}].textContent)")]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def report(result: ps.Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.report(tmp_path_factory.mktemp("report") / "report.html")


@pytest.mark.parametrize("width", [1280, 390])
def test_report_fits_the_screen(browser: Browser, report: Path, width: int) -> None:
    """On a desk and on a phone, light and dark, nothing is wider than the page, and the console is empty."""
    backgrounds = []
    for theme in ("light", "dark"):
        browser.open(report, width=width, theme=theme)
        assert browser.problems() == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        backgrounds.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert backgrounds[0] != backgrounds[1]


def test_wide_tables_are_cards_on_a_phone(browser: Browser, report: Path, result: ps.Result) -> None:
    """Nothing of a line is off the screen, each value has its column's name before it, and filtering still hides."""
    browser.open(report, width=390)
    tables = "[...document.querySelectorAll('table.cards')]"
    assert browser.value(f"{tables}.every(t => t.parentElement.scrollWidth <= t.parentElement.clientWidth)")
    cells = "document.querySelector('.sortable tbody tr').cells"
    assert browser.value(f"[...{cells}].every(c => c.getBoundingClientRect().right <= 390)")
    assert browser.value(f"getComputedStyle({cells}[2], '::before').content") == '"estimate "'
    browser.driver.find_element(By.ID, "filter").send_keys("no such word")
    assert browser.value("[...document.querySelectorAll('.sortable tbody tr')].every(r => !r.offsetHeight)")
    assert browser.problems() == []


def test_table_is_sorted_by_a_press(browser: Browser, report: Path, result: ps.Result) -> None:
    """The first press sorts upwards, the second downwards, with the mouse or the keyboard, and says so."""
    browser.open(report)
    headers = browser.driver.find_elements(By.CSS_SELECTOR, ".sortable th")
    names = [header.text.strip() for header in headers]
    score = names.index(next(name for name in names if name.startswith("score")))
    button = headers[score].find_element(By.TAG_NAME, "button")
    button.click()
    rising = [float(text) for text in browser.column(score)]
    assert rising == sorted(rising)
    assert headers[score].get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.ENTER)
    assert [float(text) for text in browser.column(score)] == sorted(rising, reverse=True)
    assert headers[score].get_attribute("aria-sort") == "descending"
    headers[-1].find_element(By.TAG_NAME, "button").click()
    assert browser.column(len(names) - 1) == sorted(browser.column(len(names) - 1), key=str.lower)
    assert headers[score].get_attribute("aria-sort") is None
    assert len(rising) == len(result.trials_df())


def test_table_is_filtered_by_words(browser: Browser, report: Path, result: ps.Result) -> None:
    """Rows without all of the words are hidden, and the number of those left is told."""
    browser.open(report)
    field = browser.driver.find_element(By.ID, "filter")
    field.send_keys("cue=label: care")
    shown, total = len(browser.column(0)), len(result.trials_df())
    assert 0 < shown < total
    assert browser.driver.find_element(By.ID, "status").text == f"{shown} of {total} prompts"
    field.clear()
    field.send_keys("no such word")
    assert browser.column(0) == []
    assert browser.problems() == []


def test_every_prompt_takes_three_lines_until_it_is_opened(browser: Browser, report: Path, result: ps.Result) -> None:
    """On a desk, however long its choices are; opened, it has them in full."""
    browser.open(report)
    rows = "[...document.querySelectorAll('.sortable tbody tr')]"
    line = browser.value("parseFloat(getComputedStyle(document.querySelector('.sortable td')).lineHeight)")
    assert all(height < 4 * line for height in browser.value(f"{rows}.map(row => row.offsetHeight)"))
    browser.driver.find_element(By.CSS_SELECTOR, ".sortable tr.winner summary").click()
    shown = browser.value("document.querySelector('.sortable tr.winner pre').innerText")
    assert all(f"{name}=" in shown for name in result.choices(result.best_trial))
    assert browser.value("document.querySelector('.sortable tr.winner').offsetHeight") > 4 * line


def pasted(browser: Browser) -> str:
    """What the clipboard holds."""
    browser.value("document.body.insertAdjacentHTML('beforeend', '<textarea id=pasted></textarea>')")
    field = browser.driver.find_element(By.ID, "pasted")
    field.send_keys(Keys.CONTROL, "v")
    return str(browser.value("document.getElementById('pasted').value"))


def test_prompt_is_copied_by_a_press(browser: Browser, report: Path, result: ps.Result) -> None:
    """From a file, without a network: as messages that are JSON, and as Python."""
    browser.open(report)
    copied = {}
    for name in ("messages", "python"):
        browser.driver.find_element(By.CSS_SELECTOR, f"button[data-copy=copy-{name}]").click()
        assert browser.driver.find_element(By.ID, "copied").text == "Copied."
        assert not browser.driver.find_element(By.ID, f"copy-{name}").is_displayed()
        copied[name] = pasted(browser)
        browser.value("document.getElementById('pasted').remove()")
    messages = [(turn["role"], turn["content"]) for turn in json.loads(copied["messages"])]
    assert messages == result.best.turns
    made: dict[str, Any] = {"__name__": "copied"}
    exec(copied["python"], made)
    assert made["messages"]({"text": "some text"}) == result.best.messages({"text": "some text"})
    assert browser.problems() == []


def test_prompt_can_be_copied_where_the_browser_does_not_allow_it(browser: Browser, report: Path) -> None:
    """The text is shown and selected, and the page says what to press."""
    browser.open(report)
    browser.driver.execute_script(
        "document.execCommand = () => false; Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    browser.driver.find_element(By.CSS_SELECTOR, "button[data-copy=copy-python]").click()
    assert "press Ctrl+C" in browser.driver.find_element(By.ID, "copied").text
    field = browser.driver.find_element(By.ID, "copy-python")
    assert field.is_displayed()
    assert browser.value("getSelection().toString()") == browser.value("document.getElementById('copy-python').value")


def test_failing_row_opens_to_what_was_sent_and_came_back(
    browser: Browser, fake: InProcessExecutor, tmp_path: Path
) -> None:
    """The messages of the request and the response stand in the row, once it is opened."""
    fake.answer = lambda body: HOSTILE
    result = hostile_study(fake, answer=ps.Text()).run(60)
    browser.open(result.report(tmp_path / "report.html"))
    row = browser.driver.find_elements(By.CSS_SELECTOR, ".failing tbody tr:not(.group)")[0]
    details = row.find_elements(By.CSS_SELECTOR, "td:nth-child(2) > details")[-1]
    details.find_element(By.TAG_NAME, "summary").click()
    texts = [str(block.get_attribute("textContent")) for block in details.find_elements(By.TAG_NAME, "pre")]
    line = result.failures_df().set_index("row").loc[int(row.find_element(By.TAG_NAME, "td").text)]
    assert len(texts) == len(result.best.turns) + 1
    assert texts[-1] == HOSTILE
    assert str(line["text"]) in "".join(texts)
    assert browser.problems() == []


def test_browser_shows_the_prompt_as_it_was_sent(browser: Browser, report: Path, result: ps.Result) -> None:
    """Character for character, leading line ends and carriage returns included."""
    browser.open(report)
    turns = [content for _, content in result.best.turns]
    shown = browser.value("[...document.querySelectorAll('#winner .turn pre')].map(e => e.textContent)")
    assert shown[: len(turns)] == turns


def test_every_section_is_named(browser: Browser, report: Path) -> None:
    """Sections have headings, tables captions or labels, charts a name; every link leads somewhere."""
    browser.open(report)
    assert browser.value("[...document.querySelectorAll('section')].every(s => s.querySelector('h2').textContent)")
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.caption || t.closest('details'))")
    assert browser.value("[...document.querySelectorAll('svg.chart')].every(s => s.getAttribute('aria-label'))")
    assert browser.value("[...document.querySelectorAll('a')].every(a => document.querySelector(a.hash))")
    assert browser.value("[...document.querySelectorAll('input')].every(i => i.labels.length)")


def test_large_report_opens(browser: Browser, tmp_path: Path) -> None:
    """2,000 prompts can be sorted and filtered."""
    made_up(tmp_path / "large.db", trials=2000, rows=2, sealed=20)
    browser.open(ps.open_result(f"sqlite:///{tmp_path / 'large.db'}", "large").report(tmp_path / "large.html"))
    browser.driver.find_element(By.CSS_SELECTOR, ".sortable th:nth-child(2) button").click()
    assert browser.column(1)[:3] == ["0", "1", "2"]
    browser.driver.find_element(By.ID, "filter").send_keys("1234")
    shown = len(browser.column(0))
    assert 0 < shown < 10
    assert browser.driver.find_element(By.ID, "status").text == f"{shown} of 2000 prompts"
    assert browser.problems() == []


@pytest.fixture
def notebook(result: ps.Result, fake: InProcessExecutor, tmp_path: Path) -> Path:
    """A page with every representation, of hostile and long texts, one column wide."""
    fake.answer = lambda body: HOSTILE
    made = hostile_study(fake)
    prompt = ps.Prompt(source="{% raw %}" + LONG + "{% endraw %}{{ row.text }}")
    evaluations = [
        ps.evaluate(each, made.data, model=fake.model(), executor=fake, rows=range(10))
        for each in (prompt, made.prompt({"cue": "Label:"}))
    ]
    shown: list[Any] = [
        made.template, made.space(), made.data, prompt, *evaluations, made, result, ps.compare(*evaluations),
        made.estimate(300),
    ]  # fmt: skip
    head = (
        "<!DOCTYPE html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<style>html{color-scheme:light dark}</style>"
    )
    page = tmp_path / "notebook.html"
    page.write_text(head + "<hr>".join(each._repr_html_() for each in shown), "utf-8")
    return page


def test_representations_do_without_a_style_sheet(browser: Browser, notebook: Path, result: ps.Result) -> None:
    """In a notebook that is only opened JupyterLab drops style sheets and pictures and has its own table styles: cells
    of text stay on the left, intervals are still told, and each line of a diff is one."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", notebook.read_text("utf-8"), flags=re.DOTALL)
    notebook.write_text(f"<style>.jp td, .jp th {{text-align: right}}</style><div class='jp'>{page}</div>", "utf-8")
    browser.open(notebook)
    aligned = "[...document.querySelectorAll('td')].map(e => [e.className, getComputedStyle(e).textAlign].join())"
    assert set(browser.value(aligned)) == {"n,right", ",left"}
    low, high = result.ranking().loc[0, ["score_low", "score_high"]]
    assert f"{low:.2f} to {high:.2f}" in browser.value("document.body.innerText")
    lines = browser.value("[...document.querySelectorAll('ins, del')].map(e => e.textContent)")
    assert lines
    assert all(line.endswith("\n") for line in lines)


@pytest.mark.parametrize("width", [1280, 390])
def test_representations_hold_any_text(browser: Browser, notebook: Path, width: int) -> None:
    """Long words, scripts, other directions and emoji break nothing, in light and dark."""
    for theme in ("light", "dark"):
        browser.open(notebook, width=width, theme=theme)
        assert browser.problems() == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        assert browser.value("document.scripts.length") == 0
        assert browser.value("document.querySelectorAll('.ps').length") == 10
