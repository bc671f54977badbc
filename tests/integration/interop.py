"""Read a dataset of maskmill's as its users would: h5py for the files, pycocotools for the masks.

Usage: interop.py DATASET_FOLDER SA1B_FOLDER COCO_FOLDER STATS_JSON TAR_FOLDER
"""
import contextlib
import io
import json
import pathlib
import sys
import tarfile

import h5py
import numpy as np
from pycocotools import mask as coco
from pycocotools.coco import COCO

BROKEN = "broken.jpg"
COLUMNS = ["bbox", "area", "predicted_iou", "stability_score", "point_coords", "crop_box", "source"]


def same(a, b, what):
    assert np.array_equal(a, b), f"{what}: {a} is not {b}"


def box_of(rle):
    """COCO's boxes end behind the last pixel, the reference's in it."""
    x, y, w, h = coco.toBbox(rle)
    return np.array([x, y, w - 1, h - 1], np.float32)


def check_masks(file):
    """Every mask's runs against its area, its box, and its image's size. Returns how many there are."""
    images, masks = file["images"], file["masks"]
    offset, rle_offset, rle = images["mask_offset"][:], masks["rle_offset"][:], file["rle"][:]
    assert offset[0] == 0 and offset[-1] == len(masks["area"]) and rle_offset[-1] == len(rle)
    for row, (width, height) in enumerate(zip(images["width"][:], images["height"][:])):
        for i in range(offset[row], offset[row + 1]):
            counts = bytes(rle[rle_offset[i]:rle_offset[i + 1]])
            mask = {"size": [int(height), int(width)], "counts": counts}
            bits = coco.decode(mask)
            assert bits.shape == (height, width) and coco.encode(bits)["counts"] == counts, f"mask {i}: not COCO's counts"
            assert coco.area(mask) == masks["area"][i] == bits.sum(), f"mask {i}: area"
            same(box_of(mask), masks["bbox"][i], f"mask {i}: bbox")
    return len(masks["area"])


def check_shards(folder, dataset):
    """The virtual columns show what the shards hold, and the statistics are their sum."""
    shards = [h5py.File(folder / name.decode()) for name in dataset["shards/file"][:]]
    same(dataset["shards/masks"][:], [len(s["masks/area"]) for s in shards], "shards/masks")
    for name in ["image_id", "file_name", "width", "height", "status"]:
        same(dataset["images"][name][:], np.concatenate([s["images"][name][:] for s in shards]), name)
    for name in COLUMNS:
        same(dataset["masks"][name][:], np.concatenate([s["masks"][name][:] for s in shards]), name)
    same(dataset["rle"][:], np.concatenate([s["rle"][:] for s in shards]), "rle")
    for name in dataset["statistics"]:
        if name != "masks_per_image_edges":
            same(dataset["statistics"][name][:], sum(s["statistics"][name][:] for s in shards), name)
    for shard in shards:
        for name in ["format_version", "config", "model", "model_sha256"]:
            assert shard.attrs[name] == dataset.attrs[name], name
        check_masks(shard)
    return len(shards)


def check_statistics(dataset, printed):
    """Histograms that NumPy can make from the columns."""
    statistics = dataset["statistics"]
    for name in ["predicted_iou", "stability_score"]:
        bins = np.clip(np.floor(np.float32(100) * dataset["masks"][name][:]), 0, 99).astype(int)
        same(statistics[name][:], np.bincount(bins, minlength=100), name)
        same(statistics[name][:], printed[name], name)
    done = dataset["images/status"][:] == 1
    per_image = np.diff(dataset["images/mask_offset"][:])[done]
    edges = statistics["masks_per_image_edges"][:]
    same(statistics["masks_per_image"][:],
         np.bincount(np.searchsorted(edges, per_image, "right") - 1, minlength=len(edges)), "masks_per_image")
    assert statistics["pixels_masked"][0] == dataset["masks/area"][:].astype(np.uint64).sum() == printed["pixels_masked"]
    assert statistics["centres"][:].sum() == len(dataset["masks/area"]) == printed["masks"]


def check_annotation(found, dataset, i):
    """One exported mask against row i of the columns, bit for bit as f32."""
    mask = found["segmentation"]
    assert coco.area(mask) == found["area"] == dataset["masks/area"][i]
    same(np.array(found["bbox"], np.float32), dataset["masks/bbox"][i], "bbox")
    same(box_of(mask), dataset["masks/bbox"][i], "bbox")
    same(np.array(found["point_coords"][0], np.float32), dataset["masks/point_coords"][i], "point_coords")
    same(np.array(found["crop_box"], np.float32), dataset["masks/crop_box"][i], "crop_box")
    for name in ["predicted_iou", "stability_score"]:
        assert np.float32(found[name]) == dataset["masks"][name][i], name


def check_sa1b(folder, dataset):
    """One file an image that is done, under the image's own name."""
    images = dataset["images"]
    offset, files = images["mask_offset"][:], 0
    for row, name in enumerate(images["file_name"].asstr()[:]):
        path = (folder / name).with_suffix(".json")
        assert path.exists() == (images["status"][row] == 1), path
        if not path.exists():
            continue
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        assert content["image"] == {"image_id": int(images["image_id"][row]), "width": int(images["width"][row]),
                                    "height": int(images["height"][row]), "file_name": name}
        assert len(content["annotations"]) == offset[row + 1] - offset[row]
        for i, found in enumerate(content["annotations"], offset[row]):
            assert found["id"] == i + 1
            check_annotation(found, dataset, i)
        files += 1
    assert files == len(list(folder.rglob("*.json")))
    return files


def check_tar(path, shard, root, annotation):
    """One of SA-1B's archives: each photograph as it is in the corpus, then its JSON. Returns the next annotation."""
    images = shard["images"]
    names = images["file_name"].asstr()[:]
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        done = [row for row, status in enumerate(images["status"][:]) if status == 1]
        ids = [int(images["image_id"][row]) for row in done]
        assert [m.name for m in members] == [f"sa_{i}.{kind}" for i in ids for kind in ("jpg", "json")], members
        assert all(m.mtime == 0 and m.uid == m.gid == 0 and not m.uname and m.mode == 0o644 for m in members)
        for row, i in zip(done, ids):
            assert archive.extractfile(f"sa_{i}.jpg").read() == (root / names[row]).read_bytes(), names[row]
            content = json.load(archive.extractfile(f"sa_{i}.json"))
            assert content["image"] == {"image_id": i, "width": int(images["width"][row]),
                                        "height": int(images["height"][row]), "file_name": f"sa_{i}.jpg"}
            for found in content["annotations"]:
                assert set(found) == {"id", "segmentation", "bbox", "area", "predicted_iou", "point_coords", "crop_box",
                                      "stability_score"}
                bits = coco.decode(found["segmentation"])
                assert bits.shape == (content["image"]["height"], content["image"]["width"])
                assert found["id"] == annotation and bits.sum() == found["area"]
                annotation += 1
    return annotation


def check_tars(folder, dataset_folder, dataset, root):
    annotation = 1
    shards = [name.decode() for name in dataset["shards/file"][:]]
    assert sorted(p.name for p in folder.iterdir()) == [pathlib.Path(s).stem + ".tar" for s in shards]
    for name in shards:
        with h5py.File(dataset_folder / name) as shard:
            annotation = check_tar(folder / (pathlib.Path(name).stem + ".tar"), shard, root, annotation)
    assert annotation == len(dataset["masks/area"]) + 1


def check_coco(folder, dataset):
    with contextlib.redirect_stdout(io.StringIO()):
        instances = COCO(str(folder / "instances.json"))
    same(sorted(instances.imgs), dataset["images/image_id"][:][dataset["images/status"][:] == 1], "COCO's images")
    same(sorted(instances.anns), np.arange(len(dataset["masks/area"])) + 1, "COCO's annotations")
    for i, found in instances.anns.items():
        assert instances.annToMask(found).sum() == dataset["masks/area"][i - 1]
        check_annotation(found, dataset, i - 1)


def check_manifest(file, dataset):
    same(file["image_id"][:], np.arange(len(file["path"])), "image_id")
    same(file["path"][:], dataset["images/file_name"][:], "path")
    for name, root in zip(file["path"].asstr()[:], list(file.attrs["roots"]) * len(file["path"])):
        size = (pathlib.Path(root) / name).stat().st_size
        assert size == file["length"][:][list(file["path"].asstr()[:]).index(name)], name


def main():
    folder, sa1b, coco_folder, stats, tars = map(pathlib.Path, sys.argv[1:])
    with h5py.File(folder / "dataset.h5") as dataset, h5py.File(folder / "manifest.h5") as manifest:
        names = list(dataset["images/file_name"].asstr()[:])
        assert names == sorted(names, key=str.encode) and BROKEN in names
        same(dataset["images/status"][:], [2 if name == BROKEN else 1 for name in names], "status")
        assert dataset["statistics/images_set_aside"][0] == 1
        masks = check_masks(dataset)
        assert masks > 0, "no masks: nothing was tested"
        shards = check_shards(folder, dataset)
        check_statistics(dataset, json.loads(stats.read_text()))
        files = check_sa1b(sa1b, dataset)
        check_coco(coco_folder, dataset)
        check_manifest(manifest, dataset)
        check_tars(tars, folder, dataset, pathlib.Path(manifest.attrs["roots"][0]))
    print(f"interop: {masks} masks of {files} images in {shards} shards agree "
          f"(h5py {h5py.version.version}, HDF5 {h5py.version.hdf5_version})")


main()
