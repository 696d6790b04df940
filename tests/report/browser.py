"""A browser for tests: Chromium without a network, driven by Playwright."""

import shutil
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium():
    """The browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium here, so the page is not opened: apt install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright drives the browser: pip install playwright"
    )
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=SWITCHES)
        yield opened
        opened.close()


@contextmanager
def opened(browser, file, **context):
    """A page in the browser, ready to be used; the test fails if it complains or asks for anything.

    Args:
        browser: what `chromium` gave.
        file: the page.
        context: how it is looked at, such as `viewport` and `color_scheme`.
    """
    view = browser.new_context(offline=True, **context)
    page = view.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.set_default_timeout(20_000)
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("body[data-ready]")
    yield page
    page.wait_for_timeout(100)
    assert said == []
    assert asked == [file.resolve().as_uri()]
    view.close()
