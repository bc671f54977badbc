"""What a report says, read from its HTML without a browser."""

import html.parser
import re

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.children, self.text = [], []

    def find(self, tag=None, **wanted):
        """All elements below with this tag and these attributes (class_: one of the classes)."""
        for child in self.children:
            classes = child.attributes.get("class", "").split()
            if (tag is None or child.tag == tag) and all(
                value in classes if key == "class_" else child.attributes.get(key) == value
                for key, value in wanted.items()
            ):
                yield child
            yield from child.find(tag, **wanted)

    def one(self, tag=None, **wanted):
        found = list(self.find(tag, **wanted))
        assert len(found) == 1, f"{len(found)} elements instead of one: {tag} {wanted}"
        return found[0]

    def content(self):
        return "".join(part if isinstance(part, str) else part.content() for part in self.text)


class Page(html.parser.HTMLParser):
    """A tree of the page. It must be well formed: what is opened is closed, in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.root = self.open = Element("", {}, None)
        self.feed(text)
        self.close()
        assert self.open is self.root, f"<{self.open.tag}> is never closed"

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes, self.open)
        self.open.children.append(element)
        self.open.text.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open = self.open.parent

    def handle_endtag(self, tag):
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        self.open = self.open.parent

    def handle_data(self, data):
        self.open.text.append(data)


def self_contained(page):
    """Nothing that runs, and nothing from elsewhere."""
    for element in page.root.find():
        assert element.tag not in {"script", "iframe", "object", "embed", "base", "form"}, f"<{element.tag}>"
        for name, value in element.attributes.items():
            assert not name.startswith("on"), f"{element.tag} {name}"
            if name in {"src", "href", "srcset", "data", "poster", "action", "xlink:href"}:
                assert value.startswith(("#", "data:")), f"{element.tag} {name}={value[:80]}"
            if name == "style":
                assert re.fullmatch(r"(width:[\d.]+%|fill:var\(--heat-\d\)|background:var\(--heat-\d\))", value), value
    css = page.root.one("style").content()
    assert "url(" not in css and "@import" not in css and "http" not in css
    assert page.root.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"].startswith(
        "default-src 'none'"
    )


def accessible(page):
    """Headings in order, names for pictures and charts, a table for each chart."""
    levels = [int(e.tag[1]) for e in page.root.find() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels
    assert page.root.one("html").attributes["lang"] == "en"
    ids = [e.attributes["id"] for e in page.root.find() if "id" in e.attributes]
    assert len(ids) == len(set(ids)), "an id twice"
    for link in page.root.find("a"):
        assert link.attributes["href"][1:] in ids, link.attributes["href"]
    for image in page.root.find("img"):
        assert image.attributes["alt"].strip() and image.attributes["src"].startswith("data:image/jpeg;base64,")
    for svg in page.root.find("svg"):
        assert svg.attributes["role"] == "img"
        names = svg.attributes["aria-labelledby"].split()
        assert len(names) == 2 and all(list(svg.find(id=name))[0].content().strip() for name in names)
        assert list(svg.parent.find("table")), "a chart without its table"


def number(text):
    return int(text.split()[0].replace(",", ""))


def equal_to_statistics(page, stats):
    """Every bar, tooltip, row of a table and tile is what `maskmill stats --json` says."""
    bars = 0
    for id, key in {"masks-per-image": "masks_per_image", "relative-size": "relative_size", "concavity": "concavity",
                    "predicted-iou": "predicted_iou", "stability": "stability_score",
                    "long-side": "image_long_side", "confident-detector": "confident_detector_score",
                    "confident-iou": "confident_predicted_iou", "confident-stability": "confident_stability_score",
                    "hint-iou": "hint_predicted_iou", "hint-stability": "hint_stability_score"}.items():
        counts = [count for count in stats[key] if count]
        svg = page.root.one("svg", id=id)
        drawn = list(svg.one("g", class_="bars").find("rect"))
        assert [number(r.one("title").content().split(": ")[1]) for r in drawn] == counts, f"{id}: bars"
        heights = [float(r.attributes["height"]) for r in drawn]
        for height, count in zip(heights, counts):
            share = count / max(counts)
            assert abs(height / max(heights) - share) < 0.02, f"{id}: a bar of {height} for {share}"
        rows = [row for row in svg.parent.one("tbody").find("tr")]
        assert [number(list(row.find("td"))[0].content()) for row in rows] == counts, f"{id}: table"
        bars += len(drawn)
    tiles = {tile.one(class_="what").content(): tile.one(class_="value").content()
             for tile in page.root.one("ul", class_="tiles").find("li")}
    assert number(tiles["Images"]) == stats["images_done"] + stats["images_set_aside"]
    assert number(tiles["Masks"]) == stats["masks"]
    assert number(tiles["Images set aside"]) == stats["images_set_aside"]
    assert tiles["Masks an image"] == f"{stats['masks'] / stats['images_done']:.1f}"
    funnel = page.root.one("table", id="funnel-table").one("tbody")
    steps = [list(row.find("td", class_="number"))[0] for row in funnel.find("tr")]
    assert [number(step.content()) for step in steps] == list(stats["funnel"].values()), "funnel"
    cells = page.root.one("svg", id="centres-map").one("g", class_="probe").find("title")
    shown = [number(cell.content()) for cell in cells]
    eighths = [sum(sum(row[8 * x: 8 * x + 8]) for row in stats["centres"][8 * y: 8 * y + 8])
               for y in range(8) for x in range(8)]
    assert shown == eighths, "centres"
    sources = [number(list(row.find("td", class_="number"))[0].content())
               for row in page.root.one("table", id="source-table").one("tbody").find("tr")]
    assert sources == [stats["masks"], 0, 0, stats["confident_masks"], stats["hint_masks"]] and min(sources[3:]) > 0, sources
    groups = page.root.one("table", id="aside-table").one("tbody").find("tr")
    assert sum(number(list(row.find("td"))[0].content()) for row in groups) == stats["images_set_aside"]
    return bars
