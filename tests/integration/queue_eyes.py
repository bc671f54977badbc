"""The exports of a queue as annotators' tools read them.

Usage: queue_eyes.py COCO_FOLDER LABELSTUDIO_FOLDER NEW_DATASET. Needs pycocotools; datumaro, label-studio-converter and h5py look
as well where they are installed.
"""
import contextlib
import importlib.util
import io
import json
import pathlib
import sys
import xml.etree.ElementTree

import numpy as np
from pycocotools.coco import COCO

NAMES = {"object", "hint"}


def read_coco(folder):
    """All batches: masks by (image, name)."""
    masks, images = {}, set()
    for path in sorted(folder.glob("annotations/*.json")):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        assert {c["name"] for c in coco.cats.values()} == NAMES
        for image in coco.imgs.values():
            images.add(image["id"])
            photograph = folder / "images" / path.stem.replace("instances_", "") / image["file_name"]
            assert photograph.exists(), photograph
        for annotation in coco.anns.values():
            mask = coco.annToMask(annotation)
            image = coco.imgs[annotation["image_id"]]
            assert mask.shape == (image["height"], image["width"])
            assert mask.sum() == annotation["area"]
            y, x = np.nonzero(mask)
            assert annotation["bbox"] == [x.min(), y.min(), x.max() - x.min() + 1, y.max() - y.min() + 1]
            attributes = annotation["attributes"]
            assert (attributes["source"] == "hint") == (coco.cats[annotation["category_id"]]["name"] == "hint")
            assert ("detector_score" in attributes) == (attributes["source"] == "confident")
            assert 0 < attributes["predicted_iou"] <= 1
            masks[attributes["maskmill"]] = mask
    assert len(masks) == 60 and len(images) == 10
    return masks


def load_brush():
    """Label Studio's own decoder, without the package's other needs."""
    for folder in map(pathlib.Path, sys.path):
        for name in ("label_studio_sdk/converter/brush.py", "label_studio_converter/brush.py"):
            if (folder / name).exists():
                spec = importlib.util.spec_from_file_location("brush", folder / name)
                brush = importlib.util.module_from_spec(spec)
                try:
                    spec.loader.exec_module(brush)
                except ImportError:
                    continue
                return brush.decode_rle
    return None


def check_region(region, labels):
    """What Label Studio's documentation says of a BrushLabels result."""
    assert region["type"] == "brushlabels" and region["image_rotation"] == 0
    assert isinstance(region["original_width"], int) and isinstance(region["original_height"], int)
    assert labels[region["from_name"]] == ("BrushLabels", region["to_name"])
    value = region["value"]
    assert value["format"] == "rle" and set(value["brushlabels"]) <= NAMES and len(value["brushlabels"]) == 1
    assert all(isinstance(byte, int) and 0 <= byte <= 255 for byte in value["rle"])
    assert 0 <= region["score"] <= 1


def read_interface(folder):
    """Tags by name: (kind, what they label)."""
    view = xml.etree.ElementTree.parse(folder / "config.xml").getroot()
    assert view.tag == "View"
    tags = {tag.get("name"): (tag.tag, tag.get("toName")) for tag in view}
    assert tags["image"][0] == "Image" and view.find("Image").get("value") == "$image"
    assert {label.get("value") for label in view.find("BrushLabels")} == NAMES
    return tags


def check_labelstudio(folder, masks):
    tags, decode, found = read_interface(folder), load_brush(), 0
    for path in sorted(folder.glob("batch_*.json")):
        tasks = json.loads(path.read_text())
        assert isinstance(tasks, list)
        for task in tasks:
            assert set(task) == {"data", "predictions"} and len(task["predictions"]) == 1
            assert (folder / task["data"]["image"].split("?d=")[1]).exists()
            result = task["predictions"][0]["result"]
            assert len({region["id"] for region in result}) == len(result)
            for region in result:
                check_region(region, tags)
                found += 1
                if decode:
                    pixels = decode(region["value"]["rle"]).reshape(region["original_height"], region["original_width"], 4)
                    assert np.array_equal(pixels[:, :, 3] > 127, masks[region["id"]] > 0), region["id"]
    assert found == 60
    return "its masks decoded by Label Studio's converter" if decode else "label_studio_converter is not installed"


def check_datumaro(folder, masks):
    try:
        import datumaro
    except ImportError:
        return "datumaro is not installed"
    dataset = datumaro.Dataset.import_from(str(folder), "coco_instances")
    assert len(dataset) == 10
    names = [c.name for c in dataset.categories()[datumaro.AnnotationType.label]]
    count = 0
    for item in dataset:
        assert item.media is not None and item.media.size is not None
        for annotation in item.annotations:
            assert names[annotation.label] in NAMES
            if annotation.type == datumaro.AnnotationType.mask:
                assert np.array_equal(annotation.image > 0, masks[annotation.attributes["maskmill"]] > 0)
                count += 1
    assert count == 60, count
    return f"datumaro {datumaro.__version__} reads {count} masks"


def check_new(folder):
    try:
        import h5py
    except ImportError:
        return "h5py is not installed"
    with h5py.File(folder / "dataset.h5") as data, h5py.File(folder / "answered.h5") as answered:
        source = data["masks/source"][:]
        assert np.bincount(source, minlength=3).tolist() == [6, 16, 32]
        assert list(data["annotators"].asstr()[:]) == ["Ann"]
        assert np.array_equal(data["masks/annotator"][:] == 1, source == 2)
        assert answered["images/image_id"][:].tolist() == [0, 1, 2, 3, 5, 7, 8, 10]
        assert answered["images/added"][:].tolist() == [3] * 8
        assert (data["masks/seconds"][:] == 30).sum() == 8 and (data["masks/clicks"][:] == 7).sum() == 8
    return "h5py reads the new version"


def main():
    coco, labelstudio, new = map(pathlib.Path, sys.argv[1:])
    masks = read_coco(coco)
    print(f"queue: pycocotools reads {len(masks)} masks; {check_datumaro(coco, masks)}; "
          f"{check_labelstudio(labelstudio, masks)}; {check_new(new)}")


main()
