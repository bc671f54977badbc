"""latency.py PROGRAM SCRATCH MODEL CLICKS ANNOTATORS CHROMIUM CHROMEDRIVER: see scripts/bench-annotate."""

import os
import random
import sys
import threading
import time

from browser import Page
from server import Person, Server
from webdriver import Browser

# A click's mask is there; measured by the page itself, and waited for without asking.
MASK_IS_THERE = """
const [count, done] = arguments;
const seen = () => performance.getEntriesByName("click-to-mask").length >= count && (done(true), true);
if (!seen()) new PerformanceObserver((_, o) => seen() && o.disconnect()).observe({entryTypes: ["measure"]});
"""


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


def told(values, factor=1.0):
    return (f"median {factor * quantile(values, 0.5):.1f}, 95th percentile {factor * quantile(values, 0.95):.1f}, "
            f"most {factor * max(values):.1f}")


def family_of(pid):
    """A process and all that it started."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
        except OSError:
            pass  # it has ended
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_milliseconds(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                total += sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
        except OSError:
            pass
    return 1000 * total / os.sysconf("SC_CLK_TCK")


class Other(threading.Thread):
    """Another annotator: objects of three clicks, each with the last mask as input, one in two seconds as people do.
    What was answered while all were at work is asked again when the others are gone, and must be the same."""

    def __init__(self, server, number, stop):
        super().__init__()
        self.person = Person(server, f"person {number}", random.Random(number))
        self.stop, self.times, self.dialogues, self.fault = stop, [], [], None

    def ask(self, points, last):
        more = {"earlier": last["result"], "mask": 0} if last else {}
        return self.person.json("/api/prompt", {"image": self.image["image"], "points": points, **more})

    def run(self):
        rng = self.person.rng
        try:
            self.image = self.person.insist("/api/next", {})
            while not self.stop.is_set():
                points, last, masks = [], None, []
                for i in range(3):
                    self.stop.wait(rng.uniform(1, 3))
                    points.append([rng.random() * self.image["width"], rng.random() * self.image["height"], int(i == 0)])
                    began = time.perf_counter()
                    last = self.ask(points, last)
                    self.times.append(time.perf_counter() - began)
                    masks.append(last["masks"])
                self.dialogues.append((points, masks))
        except Exception as fault:  # pylint: disable=broad-except
            self.fault = fault

    def check(self):
        """How many answers were compared."""
        if self.fault:
            raise self.fault
        for points, masks in self.dialogues:
            last = None
            for i, expected in enumerate(masks):
                last = self.ask(points[:i + 1], last)
                assert last["masks"] == expected and len(expected) == 3, "another answer than when all were at work"
        return 3 * len(self.dialogues)


def click_around(page, clicks):
    """Objects of four clicks, the last of them background. The page's own measures of the clicks."""
    browser, rng = page.browser, random.Random(1)
    for i in range(clicks):
        if i % 4 == 0:
            browser.keys("\ue00c")
        browser.pointer(page.at(rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)), button=2 if i % 4 == 3 else 0)
        browser.run_until(MASK_IS_THERE, i + 1)
        time.sleep(0.05)
    return [browser.run(f"return performance.getEntriesByName('{name}').map((e) => e.duration)")
            for name in ("click-to-mask", "click-to-reply")]


def main():
    program, scratch, model, clicks, annotators, chromium, chromedriver = sys.argv[1:]
    server = Server(program, os.path.join(scratch, "corpus"), os.path.join(scratch, "answers.mma"), "-m", model,
                    "--embeddings", os.path.join(scratch, "embeddings"))
    browser = Browser(chromium, chromedriver, os.path.join(scratch, "browser"))
    stop = threading.Event()
    others = [Other(server, i, stop) for i in range(1, int(annotators))]
    try:
        page = Page(browser, server.url)
        page.begin("Ada")
        for other in others:
            other.start()
        browser.until("document.getElementById('message').textContent !== LOOKING", "the embedding")
        page.changes(lambda: browser.pointer(page.at(0.5, 0.5)), "a first mask, which is not measured")
        browser.run("performance.clearMeasures()")
        server_ms, browser_ms = cpu_milliseconds([server.process.pid]), cpu_milliseconds(family_of(browser.process.pid))
        times, replies = click_around(page, int(clicks))
        browser_ms = cpu_milliseconds(family_of(browser.process.pid)) - browser_ms
        server_ms = cpu_milliseconds([server.process.pid]) - server_ms
        stop.set()
        for other in others:
            other.join()
        compared = sum(other.check() for other in others)
    finally:
        stop.set()
        browser.close()
        memory = server.memory()
        server.kill(15)
    asked = len(times) + sum(len(other.times) for other in others)
    print(f"{os.path.basename(model)}, {annotators} at work: {len(times)} clicks in the browser, ms: {told(times)}\n"
          f"  of it to the reply: {told(replies)}\n"
          f"  processor ms: server {server_ms / asked:.1f} an answer, browser {browser_ms / len(times):.1f} a click; "
          f"server's memory {memory / 1e6:.0f} MB")
    if others:
        print(f"  {len(others)} others, {sum(len(o.times) for o in others)} answers ({compared} asked again: all the "
              f"same), ms: {told([t for o in others for t in o.times], 1000)}")


main()
