"""Looks at a report with a browser: check.py CHROMIUM REPORT.html STATS.json SCRATCH NAME"""

import json
import re
import sys

import page as pages
from browser import SCALE, Browser, colours_of, faint, luminance, region

WIDE, NARROW = 1280, 400


def not_blank(picture, boxes, what):
    for box in boxes:
        if (box[1] + box[3]) * SCALE < picture.height:
            assert len(colours_of(region(picture, box))) > 2, f"{what}: nothing is drawn at {box}"


def bars_are_drawn(picture, measured, what):
    """Each bar has the bars' colour, at one of three places at least: a mark's line may cross it."""
    colour = [int(v) for v in re.findall(r"\d+", measured["bar"])[:3]]
    seen = 0
    for x, y, width, height in measured["bars"]:
        places = [(int((x + width * share) * SCALE), int((y + height / 2) * SCALE)) for share in (0.25, 0.5, 0.75)]
        if places[0][1] >= picture.height or width * SCALE < 3 or height * SCALE < 3:
            continue
        far = [max(abs(a - b) for a, b in zip(picture.getpixel(at), colour)) for at in places]
        assert min(far) < 12 or width * SCALE < 16, f"{what}: no bar at {places[1]}"
        seen += 1
    return seen


def look(browser, path, what, options, width, dark):
    measured = browser.measure(path, what, *options, width=width)
    assert measured["width"] == width and measured["dark"] == dark, (measured["width"], measured["dark"])
    assert measured["console"] == [], measured["console"]
    assert measured["resources"] == [], measured["resources"]
    assert measured["content"] <= width and measured["outside"] == [], (measured["content"], measured["outside"][:5])
    assert measured["images"] and all(measured["images"]), "a picture does not load"
    assert measured["title"].endswith("maskmill report"), measured["title"]
    picture, console = browser.screenshot(path, what, *options, width=width, height=measured["height"])
    assert console == [], console
    assert picture.size == (width * SCALE, measured["height"] * SCALE), picture.size
    ground = luminance(picture.getpixel((3, 3)))
    assert ground < 0.05 if dark else ground > 0.8, f"{what}: the ground's luminance is {ground}"
    bad = faint(picture, measured)
    assert not bad, f"{what}: too little contrast: {bad}"
    assert len(measured["texts"]) > 100
    not_blank(picture, measured["charts"], what)
    assert bars_are_drawn(picture, measured, what) > 10
    return measured


def the_checks_can_fail(browser, path, scratch):
    """A page with one of each fault, all of which must be found."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    faults = ('<p style="width:900px">wide</p><img src="http://127.0.0.1:8099/nowhere.png" alt="">'
              '<script>console.error("fault")</script>'
              '<p style="color:#999;background:#aaa" id="faint">faint text</p>')
    with open(f"{scratch}/faulty.html", "w", encoding="utf-8") as file:
        file.write(text.replace("<main>", "<main>" + faults))
    measured = browser.measure(f"{scratch}/faulty.html", "faulty", width=NARROW)
    assert measured["content"] > NARROW and any("wide" in e for e in measured["outside"])
    assert any("nowhere.png" in name for name in measured["resources"])
    assert any("fault" in line for line in measured["console"])
    assert not all(measured["images"])
    picture, console = browser.screenshot(f"{scratch}/faulty.html", "faulty", width=NARROW, height=1200)
    assert any("faint text" in text for text in faint(picture, measured))
    assert console, "the page's policy lets a script run in silence"
    with open(f"{scratch}/faulty.html", encoding="utf-8") as file:
        faulty = pages.Page(file.read())
    try:
        pages.self_contained(faulty)
    except AssertionError:
        return
    raise AssertionError("a script and a picture from elsewhere were not found")


def prints_well(browser, path, scratch):
    browser.run("file://" + path, f"--print-to-pdf={scratch}/report.pdf", "--no-pdf-header-footer")
    with open(f"{scratch}/report.pdf", "rb") as file:
        data = file.read()
    pages_printed = len(re.findall(rb"/Type\s*/Page\b(?!s)", data))
    assert data.startswith(b"%PDF-") and 3 <= pages_printed <= 20, pages_printed
    return pages_printed


def main():
    program, path, stats_path, scratch, name = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        page = pages.Page(file.read())
    with open(stats_path) as file:
        stats = json.load(file)
    pages.self_contained(page)
    pages.accessible(page)
    bars = pages.equal_to_statistics(page, stats)
    for section in ("samples", "further"):
        pictures = page.root.one("section", id=section).one(class_="samples")
        captions = [figure.one("figcaption").content() for figure in pictures.find("figure")]
        assert any(name in caption for caption in captions), f"{name} is not shown as text: {captions}"
    kinds = [caption for caption in captions if re.search(r"0 by people, [1-9][0-9]* confident, [0-9]+ hint", caption)]
    assert len(kinds) == len(captions), captions

    browser = Browser(program, scratch)
    light = look(browser, path, "light", [], WIDE, dark=False)
    assert len(light["bars"]) == bars
    look(browser, path, "dark", ["--force-dark-mode"], WIDE, dark=True)
    look(browser, path, "narrow", [], NARROW, dark=False)
    printed = prints_well(browser, path, scratch)
    the_checks_can_fail(browser, path, scratch)
    texts = len(light["texts"])
    print(f"report: {bars} bars as counted, {texts} texts legible in light and dark, {printed} pages in print")


main()
