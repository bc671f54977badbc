"""imported.py STANDS.json INSTANCES.json DATASET: the dataset that answers were imported into holds exactly the masks
that stood on the page, and those that people made have the source human, a name, seconds and clicks."""

import json
import re
import subprocess
import sys


def column(file, name):
    text = subprocess.run(["h5dump", "-y", "-w", "0", "-d", name, file], check=True, capture_output=True,
                          text=True).stdout
    data = re.search(r"DATA \{(.*?)\}", text, re.S).group(1)
    strings = re.findall(r'"([^"]*)"', data)
    return strings or [float(v) for v in re.split(r"[,\s]+", data.strip()) if v]


def main():
    stands, instances, dataset = sys.argv[1:]
    with open(stands, encoding="utf-8") as file:
        stands = json.load(file)
    with open(instances, encoding="utf-8") as file:
        annotations = json.load(file)["annotations"]
    file = f"{dataset}/dataset.h5"
    source, annotator = column(file, "/masks/source"), column(file, "/masks/annotator")
    seconds, clicks = column(file, "/masks/seconds"), column(file, "/masks/clicks")
    names = column(file, "/annotators")
    assert len(source) == len(annotations)
    for image, masks in stands.items():
        rows = [i for i, a in enumerate(annotations) if a["image_id"] == int(image)]
        found = sorted((annotations[i]["segmentation"]["counts"], source[i] == 2) for i in rows)
        wanted = sorted((counts, kind == "human") for counts, kind in masks)
        assert found == wanted, f"image {image}: {len(found)} masks, {len(wanted)} wanted, or not the same"
        human = [i for i in rows if source[i] == 2]
        assert len(human) >= 4, human
        for i in human:
            assert names[int(annotator[i]) - 1] == "Ada" and seconds[i] > 0 and clicks[i] > 0, (annotator[i],
                                                                                                seconds[i], clicks[i])
    others = [i for i, a in enumerate(annotations) if str(a["image_id"]) not in stands and source[i] == 2]
    assert not others, "masks of people in images that nobody drew on"


main()
