"""latency.py PROGRAM SCRATCH MODEL CLICKS ANNOTATORS CHROMIUM CHROMEDRIVER: see scripts/bench-annotate."""

import os
import random
import sys
import threading
import time

from browser import Page
from server import Person, Server
from webdriver import Browser


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))]


def ask_now_and_then(server, number, stop, times, faults):
    """Another annotator: objects of three clicks, each with the last mask as input."""
    person = Person(server, f"person {number}", random.Random(number))
    try:
        image = person.insist("/api/next", {})
        while not stop.is_set():
            points, earlier = [], {}
            for _ in range(3):
                stop.wait(person.rng.uniform(1, 3))
                points.append([person.rng.random() * image["width"], person.rng.random() * image["height"],
                               len(points) == 0 and 1 or 0])
                began = time.perf_counter()
                reply = person.json("/api/prompt", {"image": image["image"], "points": points, **earlier})
                times.append(time.perf_counter() - began)
                assert len(reply["masks"]) == 3 and all(m["counts"] for m in reply["masks"])
                earlier = {"earlier": reply["result"], "mask": 0}
    except Exception as fault:  # pylint: disable=broad-except
        faults.append(fault)


def main():
    program, scratch, model, clicks, annotators, chromium, chromedriver = sys.argv[1:]
    server = Server(program, os.path.join(scratch, "corpus"), os.path.join(scratch, "answers.mma"), "-m", model,
                    "--embeddings", os.path.join(scratch, "embeddings"))
    browser = Browser(chromium, chromedriver, os.path.join(scratch, "browser"))
    stop, others, faults = threading.Event(), [], []
    threads = [threading.Thread(target=ask_now_and_then, args=(server, i, stop, others, faults))
               for i in range(int(annotators) - 1)]
    rng = random.Random(1)
    try:
        page = Page(browser, server.url)
        page.begin("Ada")
        for thread in threads:
            thread.start()
        for i in range(int(clicks)):
            if i % 4 == 0:
                browser.keys("\ue00c")
            browser.pointer(page.at(rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95)), button=2 if i % 4 == 3 else 0)
            browser.until(f"performance.getEntriesByName('click-to-mask').length > {i}", "a mask")
        times = browser.run("return performance.getEntriesByName('click-to-mask').map((e) => e.duration)")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        browser.close()
        memory = server.memory()
        server.kill(15)
    assert not faults, faults
    print(f"{model}: {len(times)} clicks in the browser, ms: median {quantile(times, 0.5):.0f}, 95th percentile "
          f"{quantile(times, 0.95):.0f}, most {max(times):.0f}; server {memory / 1e6:.0f} MB")
    if others:
        print(f"{len(threads)} others, {len(others)} prompts, ms: median {1000 * quantile(others, 0.5):.0f}, 95th "
              f"percentile {1000 * quantile(others, 0.95):.0f}")


main()
