"""The page for everybody: on a phone, by keyboard alone, with a screen reader, without motion."""

import re
from typing import Any

import pytest

pytest.importorskip("playwright", reason="needs pip install .[browser]")
axe_playwright = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs pip install .[browser]"
)

from demo_driver import create, finished, opened, turn_to  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

pytestmark = pytest.mark.browser
TABS = ("Create", "Transform", "History", "Batch", "About")
FEW = {"seconds": 2, "steps": 2}
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 360, "height": 740}
MOST_TABS = 120  # presses of the key from anything to anything
MOVING = """() => [...document.querySelectorAll("*")].filter(element => {
    const style = getComputedStyle(element);
    return style.animationName !== "none" || style.transitionProperty !== "none"
        && style.transitionDuration.split(", ").some(duration => duration !== "0s");
}).length"""
# What is seen, beyond the right edge, and cannot be scrolled to inside something wide; the tabs
# hold a hidden copy of themselves to be measured.
CUT_OFF = """() => [...document.querySelectorAll("body *")].filter(element => {
    const box = element.getBoundingClientRect();
    if (!box.width || !box.height || element.offsetParent === null) return false;
    if (box.right <= innerWidth + 1 || element.closest(".visually-hidden")) return false;
    for (let outer = element.parentElement; outer; outer = outer.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(outer).overflowX)) return false;
    return true;
}).map(element => element.outerHTML.slice(0, 200))"""


def everything_open(page: Any) -> Any:
    """Makes a take; then each tab in turn with all that can be unfolded."""
    create(page, "slow piano", **FEW)
    finished(page)
    for tab in TABS:
        turn_to(page, tab)
        if tab == "History":
            page.get_by_role("gridcell", name="slow piano").first.click()
            page.get_by_text(re.compile(r"^2\.0 seconds")).locator("visible=true").first.wait_for()
            page.get_by_role("button", name="Delete", exact=True).click()
            page.get_by_role("button", name="Keep it").wait_for()
        closed = page.locator("button.label-wrap:not(.open)").locator("visible=true")
        while closed.count():
            closed.first.click()
        if tab == "Create":
            page.get_by_role("button", name="Listen to the nearest").click()
            page.get_by_text("elsewhere is not on this machine").wait_for()
        yield tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_fits_a_phone(browser: Any, address: str, scheme: str) -> None:
    page = opened(browser, address, viewport=PHONE, color_scheme=scheme)
    for tab in everything_open(page):
        width = page.evaluate("document.documentElement.scrollWidth")
        assert (tab, width) == (tab, PHONE["width"])
        assert (tab, page.evaluate(CUT_OFF)) == (tab, [])
    page.context.close()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_accessibility_violations(
    browser: Any, address: str, scheme: str, size: dict[str, int]
) -> None:
    page = opened(browser, address, viewport=size, color_scheme=scheme)
    found = []
    for tab in everything_open(page):
        for violation in axe_playwright.Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found += [(tab, violation["id"], node["html"]) for node in violation["nodes"]]
    assert found == []
    page.context.close()


# --- by keyboard alone -------------------------------------------------------------------------


def tab_to(page: Any, wanted: Any) -> None:
    """Presses Tab until a locator's first match has the focus."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        first = wanted.locator("visible=true").first
        if first.count() and first.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not get to {wanted}")


def filled_in(page: Any, prompt: str, *, seconds: str, steps: str) -> None:
    """Fills in the form and goes to its button, by Tab, Space and typing."""
    tab_to(page, page.locator("#prompt textarea"))
    page.keyboard.type(prompt)
    tab_to(page, page.get_by_label("number input for Length in seconds"))
    page.keyboard.type(seconds)
    tab_to(page, page.get_by_role("button", name="Advanced"))
    page.keyboard.press("Space")
    tab_to(page, page.get_by_label("Steps", exact=True))
    page.keyboard.type(steps)
    tab_to(page, page.locator("#make"))


def test_a_take_is_made_and_varied_by_keyboard(page: Any, made: Any) -> None:
    filled_in(page, "slow piano by hand", seconds="1", steps="2")
    page.keyboard.press("Enter")
    finished(page)
    ((first, record),) = made()
    assert record["request"]["prompt"] == "slow piano by hand"
    assert (record["seconds"], record["sampling"]["steps"]) == (1, 2)
    tab_to(page, page.get_by_role("button", name="Variation"))
    page.keyboard.press("Space")
    page.get_by_role("radio", name="Take 2").wait_for()
    finished(page)
    _, (_, varied) = made()
    assert varied["request"]["init"] == first.name


def test_a_rendering_is_stopped_by_keyboard(page: Any, made: Any) -> None:
    filled_in(page, "slow piano", seconds="20", steps="500")
    page.keyboard.press("Enter")
    page.locator("#create-status").get_by_text(re.compile(r"step \d+ of 500")).first.wait_for()
    tab_to(page, page.locator("#cancel"))
    page.keyboard.press("Enter")
    page.locator("#create-status").get_by_text("Stopped").first.wait_for()
    assert made() == []


def test_the_history_is_used_by_keyboard(page: Any, made: Any) -> None:
    for prompt in ("the older flute", "the newer flute"):
        create(page, prompt, seconds=1, steps=0 if made() else 2)  # the steps stay filled in
        finished(page)
        page.wait_for_timeout(1_000)  # the order is that of seconds
    tab_to(page, page.get_by_role("tab", name="History"))
    page.keyboard.press("Enter")
    page.get_by_role("gridcell", name="the newer flute").wait_for()
    tab_to(page, page.get_by_role("gridcell"))
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile(r"^1\.0 seconds")).locator("visible=true").wait_for()
    tab_to(page, page.get_by_role("button", name="Use these settings"))
    page.keyboard.press("Enter")
    expect(page.locator("#prompt textarea")).to_have_value("the older flute")


def test_nothing_moves_for_those_who_asked_for_less_motion(browser: Any, address: str) -> None:
    page = opened(browser, address, reduced_motion="reduce")
    # The page's own style arrives a moment after its first words.
    page.wait_for_function(f"({MOVING})() === 0")
    page.context.close()
    page = opened(browser, address)
    assert page.evaluate(MOVING) > 0
    page.context.close()
