"""browser.py PROGRAM SOURCE ANSWERS SCRATCH SCREENSHOTS BROWSER [DRIVER]: a person at work in a real browser: Chromium by its
driver, or Firefox, which needs none. SCREENSHOTS is a folder, or empty.

Writes SCRATCH/stands.json: for each image that was worked on, the counts of the masks that must stand in the end, and
whether a person made them."""

import json
import os
import sys

from server import Person, Server, read_journal
import firefox
import webdriver

ENTER, ESCAPE, DOWN, RIGHT = "\ue007", "\ue00c", "\ue015", "\ue014"


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        browser.open(url)

    def begin(self, name):
        self.browser.until("document.getElementById('who').open", "the question for a name")
        self.browser.keys(name + ENTER)
        self.browser.until("document.body.dataset.image !== undefined", "an image")
        self.measure()

    def measure(self):
        self.canvas = self.browser.run(
            "const r = document.getElementById('canvas').getBoundingClientRect();"
            "return {left: r.left, top: r.top, scale: view.scale, x: view.left, y: view.top, w: view.width,"
            " h: view.height}")

    def at(self, x, y):
        """A place of the image, as parts of its sides, in the window."""
        c = self.canvas
        return c["left"] + c["x"] + x * c["w"] * c["scale"], c["top"] + c["y"] + y * c["h"] * c["scale"]

    @property
    def area(self):
        return int(self.browser.run("return document.body.dataset.area"))

    @property
    def image(self):
        return self.browser.run("return document.body.dataset.image")

    def changes(self, action, what, seconds=60):
        """The area after something that changes the mask."""
        before = self.area
        action()
        self.browser.until(f"Number(document.body.dataset.area) !== {before}", what, seconds)
        return self.area

    def listed(self):
        return self.browser.run("return [...document.querySelectorAll('#list li')].map((e) => e.dataset.name)")

    def current(self):
        return self.browser.run("return countsFromRuns(drawing.state.runs)")

    def standing(self):
        return self.browser.run("return masks.filter((m) => m.kind !== 'hint')"
                                ".map((m) => [countsFromRuns(m.runs), m.kind])")

    def accept(self, by=ENTER):
        count = len(self.listed())
        self.browser.keys(by)
        self.browser.until("document.querySelectorAll('#list li[data-saving=yes]').length === 0 &&"
                           " Number(document.body.dataset.area) === 0", "the mask being saved")
        return count


def look_around(page, shots):
    """The page itself: legible in its theme, nothing from elsewhere, names for all that can be worked."""
    browser = page.browser
    assert browser.run("return performance.getEntriesByType('resource')"
                       ".every((e) => e.name.startsWith(location.origin))")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    unnamed = browser.run(
        "return [...document.querySelectorAll('button, input, canvas, [role]')]"
        ".filter((e) => !e.getAttribute('aria-label') && !e.textContent.trim() && !(e.labels && e.labels.length))"
        ".map((e) => e.outerHTML)"
        ".filter((h) => !h.includes('id=\"message\"') && !h.includes('id=\"progress\"'))")
    assert not unnamed, unnamed
    contrast = browser.run(
        "const c = (v) => { const [r, g, b] = v.match(/[\\d.]+/g).map((x) => { x /= 255;"
        " return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; });"
        " return 0.2126 * r + 0.7152 * g + 0.0722 * b; };"
        "return [...document.querySelectorAll('h1, h2, header p, label, button:enabled')].map((e) => {"
        " let g = e; while (g && getComputedStyle(g).backgroundColor === 'rgba(0, 0, 0, 0)') g = g.parentElement;"
        " const a = c(getComputedStyle(e).color), b = c(getComputedStyle(g || document.body).backgroundColor);"
        " return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.textContent.trim()]; })"
        ".filter(([ratio]) => ratio < 4.5)")
    assert not contrast, f"too little contrast: {contrast}"
    if shots:
        browser.screenshot(shots)


def draw(page):
    """Clicks, choices, brush, eraser, undo and redo; leaves a mask at hand."""
    browser = page.browser
    first = page.changes(lambda: browser.pointer(page.at(0.5, 0.55)), "a mask after a click")
    assert first > 0
    page.changes(lambda: browser.pointer(page.at(0.15, 0.2), button=2), "another mask after a background click")
    assert browser.run("return drawing.state.points.map((p) => p[2])") == [1, 0]
    back = page.changes(lambda: browser.keys("z"), "undo")
    assert back == first, (back, first)
    page.changes(lambda: browser.keys("y"), "redo")
    browser.keys("x")
    browser.until("document.querySelector('#choices [data-choice=\"1\"]').getAttribute('aria-pressed') === 'true'",
                  "choice")
    browser.keys("1")
    before = page.area
    browser.keys("b]]]]]]")
    brushed = page.changes(lambda: browser.pointer(page.at(0.03, 0.04), page.at(0.97, 0.05), page.at(0.9, 0.95)),
                           "a stroke")
    assert brushed > before, (brushed, before)
    browser.keys("e")
    erased = page.changes(lambda: browser.pointer(page.at(0.04, 0.04), page.at(0.2, 0.05)), "erasing")
    assert erased < brushed
    assert page.changes(lambda: browser.keys("z"), "undo of the eraser") == brushed
    browser.keys("c")


def first_image(page, answers):
    browser = page.browser
    shown = page.listed()
    assert len(shown) >= 2, f"too few masks are filled in to correct one and delete one: {shown}"
    draw(page)
    mine = page.current()
    page.accept()
    journal = read_journal(answers)
    assert journal[-1]["do"] == "accept" and journal[-1]["counts"] == mine, "the page says saved, but it is not"
    assert journal[-1]["clicks"] >= 3 and journal[-1]["annotator"] == "Ada" and journal[-1]["seconds"] > 0
    # A box.
    page.changes(lambda: browser.pointer(page.at(0.3, 0.3), page.at(0.4, 0.4), page.at(0.6, 0.7)), "a mask after a box")
    assert browser.run("return drawing.state.box.length") == 4
    boxed = page.area
    browser.keys("s")
    assert page.area == boxed, "the image was left with a mask at hand"
    browser.keys(ESCAPE)
    assert page.area == 0
    browser.keys("z")
    assert page.area == boxed, "undo does not bring back what was discarded"
    # After a button of the mouse, Enter accepts.
    browser.click("#choices [data-choice='2']")
    browser.until("drawing.state.choice === 2", "the third mask")
    assert browser.run("return document.activeElement.id") == "canvas"
    browser.keys(ESCAPE)
    assert page.area == 0
    # One that was filled in is corrected, and one deleted.
    browser.click("#list li:nth-child(1) button:first-of-type")
    browser.until("drawing.replaces !== null", "editing")
    browser.keys("b")
    page.changes(lambda: browser.pointer(page.at(0.02, 0.97), page.at(0.97, 0.03)), "a stroke")
    browser.keys("c")
    page.accept()
    assert read_journal(answers)[-1]["mask"] == shown[0]
    browser.click("#list li:nth-child(2) button:last-of-type")
    browser.until("document.getElementById('message').textContent === 'Deleted.'", "deleting")
    deleted = read_journal(answers)[-1]
    assert deleted["do"] == "delete" and deleted["mask"] == shown[1], deleted
    browser.keys("h")
    assert browser.run("return !view.showOthers && !document.getElementById('outlines').checked")
    browser.keys("h")
    # Zoom and pan keep places.
    before = browser.run("return view.scale")
    browser.keys("+")
    assert browser.run("return view.scale") > before
    browser.keys("0")
    browser.keys("?")
    browser.until("document.getElementById('help').open", "help")
    browser.keys(ESCAPE)
    browser.until("!document.getElementById('help').open", "help closed")


def by_keyboard(page):
    """A mask without a mouse."""
    browser = page.browser
    browser.run("document.getElementById('canvas').focus()")
    browser.keys(RIGHT * 3 + DOWN * 4)
    page.changes(lambda: browser.keys("f"), "a mask after a click of the keyboard")
    page.accept()


def through_a_crash(page, server, answers):
    """The server dies with an answer under way: the page goes on by itself, and the mask is there once."""
    browser = page.browser
    page.changes(lambda: browser.pointer(page.at(0.6, 0.4)), "a mask")
    mine = page.current()
    count = len(read_journal(answers))
    server.kill()
    browser.keys(ENTER)
    browser.until("document.getElementById('message').textContent.includes('connection is lost')", "a message about it")
    assert browser.run("return document.querySelectorAll('#list li[data-saving=yes]').length") == 1
    server.start()
    browser.until("document.querySelectorAll('#list li[data-saving=yes]').length === 0",
                  "the mask being saved after all")
    journal = read_journal(answers)
    assert len(journal) == count + 1 and journal[-1]["counts"] == mine


def main():
    program, source, answers, scratch, shots, *programs = sys.argv[1:]
    start = webdriver.Browser if len(programs) > 1 else firefox.Browser
    server = Server(program, source, answers)
    browser = start(*programs, os.path.join(scratch, "browser"))
    stands = {}
    try:
        page = Page(browser, server.url)
        page.begin("Ada")
        first_image(page, answers)
        if shots:
            page.changes(lambda: browser.pointer(page.at(0.5, 0.55)), "a mask for the picture")
        look_around(page, shots and os.path.join(shots, "annotate-light.png"))
        browser.keys(ESCAPE)
        by_keyboard(page)
        through_a_crash(page, server, answers)
        image = page.image
        stands[image] = page.standing()
        # Somebody else gets another image.
        other = Person(server, "Bob")
        assert str(other.json("/api/next", {})["image"]) != image
        browser.keys("n")
        browser.until(f"document.body.dataset.image !== '{image}'", "the next image")
        assert read_journal(answers)[-1]["do"] == "done"
        skipped = page.image
        browser.keys("s")
        browser.until(f"document.body.dataset.image !== '{skipped}'", "the image after the one that was skipped")
        assert read_journal(answers)[-1] | {"do": "skip", "image": int(skipped)} == read_journal(answers)[-1]
        bad = [line for line in browser.console() if line["level"] == "SEVERE" and "net::ERR" not in line["message"]]
        assert not bad, bad
    finally:
        browser.close()
    browser = start(*programs, os.path.join(scratch, "dark"), dark=True)
    try:
        page = Page(browser, server.url)
        page.begin("Cleo")
        assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches")
        page.changes(lambda: browser.pointer(page.at(0.5, 0.55)), "a mask")
        look_around(page, shots and os.path.join(shots, "annotate-dark.png"))
    finally:
        browser.close()
    assert server.kill(15) == 0
    with open(os.path.join(scratch, "stands.json"), "w", encoding="utf-8") as file:
        json.dump(stands, file)


if __name__ == "__main__":
    main()
