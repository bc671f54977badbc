"""The page in headless Chromium: what it measures of itself, and what a screenshot shows."""

import html
import json
import os
import re
import subprocess

from PIL import Image

SCALE = 2  # device pixels a CSS pixel, so that thin strokes have their full colour

# Put into a copy of the page that has lost its policy against scripts.
MEASURE = r"""<script>addEventListener("load", () => {
const inside = (e) => e.closest(".scroll, details:not([open])");
const box = (r) => [r.left + scrollX, r.top + scrollY, r.width, r.height];
const all = [...document.querySelectorAll("body *")];
const texts = [];
const legible = "h1,h2,h3,p,li span,td,th,summary,figcaption,figcaption span,dt,dd,svg text,nav a";
for (const e of document.querySelectorAll(legible)) {
  if (inside(e) || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const range = document.createRange();
  range.selectNodeContents(e);
  const r = range.getBoundingClientRect();
  if (r.width > 2 && r.height > 2) texts.push({box: box(r), text: e.textContent.trim().slice(0, 40)});
}
const result = {
  width: innerWidth, height: document.documentElement.scrollHeight, content: document.documentElement.scrollWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches, title: document.title,
  outside: all.filter((e) => !inside(e) && !e.closest("svg") && e.getBoundingClientRect().right > innerWidth + 0.5)
              .map((e) => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 30)),
  resources: performance.getEntriesByType("resource").map((e) => e.name),
  images: [...document.images].map((i) => i.complete && i.naturalWidth > 1),
  texts: texts,
  bars: [...document.querySelectorAll(".bars rect")].map((r) => box(r.getBoundingClientRect())),
  charts: [...document.querySelectorAll("svg, .samples img")].map((s) => box(s.getBoundingClientRect())),
  bar: getComputedStyle(document.querySelector(".bars rect")).fill};
const out = document.createElement("pre");
out.id = "measured";
out.textContent = JSON.stringify(result);
parent.document.body.append(out);
});</script>"""
# A window cannot be narrower than 500 pixels, a frame can.
FRAME = (
    '<!DOCTYPE html><body style="margin:0">'
    '<iframe srcdoc="{page}" style="border:0;width:{width}px;height:900px"></iframe>'
)


class Browser:
    def __init__(self, program, scratch):
        self.program, self.scratch = program, scratch

    def run(self, url, *options, width=1280, height=900):
        """Standard output, and what the page said on its console."""
        command = [self.program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--hide-scrollbars", "--no-first-run", "--disable-background-networking",
                   "--disable-component-update", "--disable-sync", "--disable-extensions", "--enable-logging=stderr",
                   f"--user-data-dir={self.scratch}/profile", f"--window-size={width},{height}", *options, url]
        environment = dict(os.environ, HOME=self.scratch, XDG_CONFIG_HOME=self.scratch, XDG_CACHE_HOME=self.scratch)
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300, env=environment)
        assert done.returncode == 0, f"chromium ended with {done.returncode}: {done.stderr[-2000:]}"
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    def measure(self, path, name, *options, width):
        """What a copy of the page with MEASURE in it says of itself."""
        with open(path, encoding="utf-8") as file:
            text = file.read()
        text, without = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        assert without == 1 and "</body>" in text
        copy = f"{self.scratch}/{name}-measured.html"
        with open(copy, "w", encoding="utf-8") as file:
            file.write(FRAME.format(page=html.escape(text.replace("</body>", MEASURE + "</body>")), width=width))
        dom, console = self.run("file://" + copy, "--virtual-time-budget=5000", "--dump-dom", *options)
        found = re.search(r'<pre id="measured">(.*?)</pre>', dom, re.S)
        assert found, "the measuring script did not run"
        measured = json.loads(html.unescape(found.group(1)))
        measured["console"] = console
        return measured

    def screenshot(self, path, name, *options, **size):
        """The untouched page as a picture, and its console."""
        picture = f"{self.scratch}/{name}.png"
        _, console = self.run("file://" + path, f"--screenshot={picture}", f"--force-device-scale-factor={SCALE}",
                              *options, **size)
        return Image.open(picture).convert("RGB"), console


def luminance(colour):
    """Relative luminance as WCAG 2 defines it."""
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def region(picture, box):
    x, y, width, height = (v * SCALE for v in box)
    return picture.crop((max(int(x), 0), max(int(y), 0), min(int(x + width) + 1, picture.width),
                         min(int(y + height) + 1, picture.height)))


def colours_of(picture):
    """[(how often, colour), ...]"""
    return picture.getcolors(picture.width * picture.height)


def text_contrast(picture, box):
    """Between the commonest colour of a text's box and the colour in it that stands out most."""
    colours = colours_of(region(picture, box))
    ground = max(colours)[1]
    return max(contrast(ground, colour) for count, colour in colours)


def faint(picture, measured, least=4.5):
    """The texts in the picture that are hard to read."""
    shown = [text for text in measured["texts"] if (text["box"][1] + text["box"][3]) * SCALE < picture.height]
    measured = [(text["text"], text_contrast(picture, text["box"])) for text in shown]
    return [f"{text!r}: {value:.1f}" for text, value in measured if value < least]
