"""annotator.py URL TRUTH.json [--name NAME] [--clicks N] [--good IOU]: plays a person on the page of `maskmill annotate`.

URL is what `maskmill annotate` printed. The player knows the truth, a COCO file with uncompressed run lengths, and does by the
page's own requests what a careful person does with mouse and keys: of the masks that are filled in it leaves those that are
right and deletes the others. It clicks into the middle of each thing that has none, largest first, looks at all three masks,
and clicks again where most is wrong. A mask that is good is accepted; what is not good after the last click is painted
right. Then the next image, until there is none."""

import argparse
import json
import os
import random
import statistics
import types
import urllib.parse

from server import Person, counts_of


def runs_of(text):
    """COCO's compressed text of run lengths, as numbers."""
    runs, value, shift = [], 0, 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


class Grid:
    """Masks of one size as large numbers, a bit a pixel, down the columns."""

    def __init__(self, width, height):
        self.width, self.height = width, height
        column = (1 << height) - 1
        self.all = (1 << width * height) - 1
        first = sum(1 << x * height for x in range(width)) # the topmost pixel of each column
        self.has_above, self.has_below = self.all & ~first, self.all & ~(first << height - 1)
        self.has_left, self.has_right = self.all & ~column, self.all >> height

    @staticmethod
    def bits(runs):
        bits = at = 0
        for i, run in enumerate(runs):
            if i % 2:
                bits |= ((1 << run) - 1) << at
            at += run
        return bits

    def deepest(self, bits):
        """The middle of a pixel that is as far as any from the mask's border: x, y."""
        while bits:
            last = bits
            bits &= (bits << 1 & self.has_above) & (bits >> 1 & self.has_below)
            bits &= last << self.height & self.has_left & last >> self.height & self.has_right
        x, y = divmod(last.bit_length() - 1, self.height)
        return x + 0.5, y + 0.5


def iou(a, b):
    union = (a | b).bit_count()
    return (a & b).bit_count() / union if union else 0.0


class Annotator:
    def __init__(self, person, truth, options):
        self.person, self.options = person, options
        names = {image["id"]: image["file_name"] for image in truth["images"]}
        self.truth = {name: [] for name in names.values()}
        for annotation in truth["annotations"]:
            self.truth[names[annotation["image_id"]]].append(annotation["segmentation"]["counts"])
        self.first, self.tally = [], dict.fromkeys(("left", "deleted", "clicked", "painted", "clicks"), 0)

    def answer(self, what, image, **more):
        self.person.insist("/api/answer", self.person.answer(what, image["image"], **more))

    def judge_shown(self, image, things):
        """Leaves or deletes what is filled in; the things that are still to be drawn."""
        missing = dict(enumerate(things))
        for mask in image["masks"]:
            if mask["kind"] != "shown":
                continue
            bits = Grid.bits(runs_of(mask["counts"]))
            match = next((i for i in missing if iou(bits, Grid.bits(missing[i])) >= self.options.good), None)
            if match is None:
                self.answer("delete", image, mask=mask["name"])
            else:
                missing.pop(match)
            self.tally["deleted" if match is None else "left"] += 1
        return sorted(missing.values(), key=lambda runs: -sum(runs[1::2]))

    def draw(self, image, grid, runs):
        """One thing: clicks until a mask is good, else the brush."""
        truth, seen, points, more = Grid.bits(runs), 0, [], {}
        for click in range(1, self.options.clicks + 1):
            missed, wrong = truth & ~seen, seen & ~truth
            is_foreground = missed.bit_count() >= wrong.bit_count()
            points.append([*grid.deepest(missed if is_foreground else wrong), int(is_foreground)])
            reply = self.person.insist("/api/prompt", {"image": image["image"], "points": points, **more})
            masks = [Grid.bits(runs_of(mask["counts"])) for mask in reply["masks"]]
            if click == 1:
                self.first.append(iou(masks[0], truth))
            best = max(range(len(masks)), key=lambda i: iou(masks[i], truth))
            seen, more = masks[best], {"earlier": reply["result"], "mask": best}
            if iou(seen, truth) >= self.options.good:
                counts = reply["masks"][best]["counts"]
                self.tally["clicked"] += 1
                break
        else:
            counts = counts_of(runs)
            self.tally["painted"] += 1
        self.tally["clicks"] += len(points)
        self.answer("accept", image, size=[image["height"], image["width"]], counts=counts, clicks=len(points))

    def work(self):
        """All images that there are; how many it were."""
        image, images = self.person.insist("/api/next", {}), 0
        while image["image"] is not None:
            grid = Grid(image["width"], image["height"])
            for runs in self.judge_shown(image, self.truth[os.path.basename(image["name"])]):
                self.draw(image, grid, runs)
            self.answer("done", image)
            images += 1
            image = self.person.insist("/api/next", {"after": image["image"]})
        return images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("truth")
    parser.add_argument("--name", default="Ada")
    parser.add_argument("--clicks", type=int, default=3)
    parser.add_argument("--good", type=float, default=0.9)
    options = parser.parse_args()
    with open(options.truth, encoding="utf-8") as file:
        truth = json.load(file)
    url = urllib.parse.urlsplit(options.url)
    server = types.SimpleNamespace(port=url.port, token=urllib.parse.parse_qs(url.query)["token"][0])
    annotator = Annotator(Person(server, options.name, random.SystemRandom()), truth, options)
    images, tally = annotator.work(), annotator.tally
    print(f"{images} images: {tally['left']} masks left, {tally['deleted']} deleted, {tally['clicked']} drawn by clicks, "
          f"{tally['painted']} painted; {tally['clicks']} clicks; mean IoU of the first answers "
          f"{statistics.fmean(annotator.first) if annotator.first else 0:.3f}")


if __name__ == "__main__":
    main()
