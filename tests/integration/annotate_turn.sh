#!/usr/bin/env bash
# One turn of the engine with the annotator's page in it: a small one of scripts/annotate-turn, with the default model. What
# people drew is what the dataset has, and the trained decoder is better on scenes that it has not seen.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3

fail() {
  echo "annotate_turn: $*" >&2
  exit 1
}
if ! python3 -c 'import PIL' 2>/dev/null && ! /usr/bin/python3 -c 'import PIL' 2>/dev/null &&
  ! "${MASKMILL_PYTHON:-false}" -c 'import PIL' 2>/dev/null; then
  echo "annotate_turn: skipped: no Python has PIL (scripts/setup installs python3-pil)"
  exit 77
fi
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
MASKMILL_BUILD=$(dirname "$maskmill") "$source/scripts/annotate-turn" turn --scenes 12 --held-out 6 -- --epochs 5 --batch 4 \
  --masks 4 --rounds 1

"$maskmill" export turn/dataset-2 --format coco -o coco >/dev/null
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$source/scripts/turn_lib:$source/tests/integration/annotate_lib
python3 - <<'END' || fail "the dataset has other masks, or the model has not learnt"
import json
from annotator import Grid, iou, runs_of

def masks_of(path, read):
    with open(path, encoding="utf-8") as file:
        coco = json.load(file)
    names = {image["id"]: image["file_name"].rsplit("/", 1)[-1] for image in coco["images"]}
    found = {name: [] for name in names.values()}
    for a in coco["annotations"]:
        found[names[a["image_id"]]].append(Grid.bits(read(a["segmentation"]["counts"])))
    return found

drawn, truth = masks_of("coco/instances.json", runs_of), masks_of("turn/new/truth.json", list)
assert drawn.keys() == truth.keys(), "other images"
for name, things in truth.items():
    assert len(drawn[name]) == len(things), f"{name}: {len(drawn[name])} masks of {len(things)} things"
    for thing in things:
        assert max(iou(thing, mask) for mask in drawn[name]) >= 0.9, f"{name}: a thing without a mask"
before, after = (json.load(open(f"turn/{which}.json", encoding="utf-8")) for which in ("before", "after"))
assert before["masks"] == after["masks"] > 20
assert after["clicks"][0] > before["clicks"][0] + 0.02, (before["clicks"], after["clicks"])
END
echo "annotate_turn: all is as it was drawn, and the model has learnt from it"
