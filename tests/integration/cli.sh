#!/usr/bin/env bash
# The program from outside: exit statuses, messages, and that each command does what it says on a small run.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
photographs=/usr/share/backgrounds/mate/nature

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

fail() {
  echo "cli.sh: $*" >&2
  exit 1
}

# expect STATUS TEXT COMMAND...: the command ends with STATUS, and stderr is one line with TEXT in it.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >stdout 2>stderr || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status instead of $wanted from: $* ($(cat stderr))"
  [ "$(wc -l <stderr)" -eq 1 ] || fail "not one line on stderr from: $* ($(cat stderr))"
  grep -q -- "^maskmill: " stderr || fail "no 'maskmill: ' before: $(cat stderr)"
  grep -qF -- "$text" stderr || fail "no '$text' in: $(cat stderr)"
}

# good COMMAND...: the command ends with 0 and stderr is empty, but for the preset's note.
good() {
  local status=0
  "$@" >stdout 2>stderr || status=$?
  [ "$status" -eq 0 ] || fail "status $status from: $* ($(cat stderr))"
}

has() {
  grep -qF -- "$1" stdout || fail "no '$1' in: $(cat stdout)"
}

echo "-- usage"
expect 2 "no command" "$maskmill"
expect 2 "frobnicate: unknown command" "$maskmill" frobnicate
expect 2 "unknown command" "$maskmill" --frobnicate
good "$maskmill" --version
has "maskmill 0."
for command in run segment scan stats status report show verify export embed annotate model; do
  good "$maskmill" --help
  has "  $command "
  good "$maskmill" "$command" --help
  has "maskmill $command"
  if [ "$command" != model ]; then
    expect 2 "$command: option --frobnicate is unknown" "$maskmill" "$command" --frobnicate
    expect 2 "maskmill $command --help" "$maskmill" "$command"
  fi
done
good "$maskmill" run --help
has "--threads"
has "--model-config"
expect 2 "needs -o FOLDER" "$maskmill" run "$photographs"
expect 2 "needs a corpus" "$maskmill" run -o out
expect 2 "option -o is unknown, or lacks its value" "$maskmill" run "$photographs" -o
expect 2 "one too many" "$maskmill" run "$photographs" -o out -o out2
expect 2 "--threads 0" "$maskmill" run "$photographs" -o out --threads 0
expect 2 "--threads 1.5" "$maskmill" segment x.jpg --threads 1.5
expect 2 "--threads two" "$maskmill" segment x.jpg --threads two
expect 2 "f32, bf16 or auto" "$maskmill" segment x.jpg --precision f64
expect 2 "dnnl, blas or auto" "$maskmill" segment x.jpg --backend cuda
expect 2 "option --overwrite=3" "$maskmill" run "$photographs" -o out --overwrite=3
expect 2 "model: needs info, convert or list" "$maskmill" model
expect 2 "model: needs info, convert or list" "$maskmill" model frobnicate
expect 2 "model convert: needs -o FILE" "$maskmill" model convert default
expect 2 "sa1b or coco" "$maskmill" export out -o x
expect 2 "sa1b or coco" "$maskmill" export out --format voc -o x
expect 2 "one too many" "$maskmill" stats one two
expect 4 "standard output: No space left" sh -c "'$maskmill' --help >/dev/full"

echo "-- config"
printf 'amg:\n  points_per_side: 0\n' >wrong.yaml
expect 2 "wrong.yaml:2: amg.points_per_side" "$maskmill" segment -q -c wrong.yaml "$photographs/Garden.jpg"
expect 2 "neither a file nor a preset" "$maskmill" segment -q -c no-such "$photographs/Garden.jpg"
expect 2 "unknown key" "$maskmill" segment -q --set amg.points=3 "$photographs/Garden.jpg"

echo "-- model"
good "$maskmill" model list
has "$source/configs/models/default.safetensors"
good "$maskmill" model info default
has "TinyViT"
has "512 pixels"
has "f32"
has "$(sha256sum "$source/configs/models/default.safetensors" | cut -d ' ' -f 1)"
sed -n 's/^parameters: *//p' stdout >parameters
good "$maskmill" model convert default -o half.safetensors --bf16
good "$maskmill" model info half.safetensors
has "bf16"
sed -n 's/^parameters: *//p' stdout | cmp - parameters
good "$maskmill" model convert default -o same.safetensors
[ "$(stat -c %s half.safetensors)" -lt $(($(stat -c %s same.safetensors) * 6 / 10)) ] ||
  fail "the bf16 file is not about half as large"
good "$maskmill" model convert same.safetensors -o again.safetensors
cmp same.safetensors again.safetensors
expect 2 "there is no model no-such" "$maskmill" model info no-such
expect 4 "wrong.yaml" "$maskmill" model info wrong.yaml

echo "-- segment: files"
photograph=$photographs/LadyBird.jpg
expect 4 "no-such.jpg" "$maskmill" segment -q no-such.jpg
expect 4 "wrong.yaml" "$maskmill" segment -q wrong.yaml
expect 2 "there is no model" "$maskmill" segment -q -m no-such "$photograph"
head -c 20000 "$photograph" >cut.jpg
expect 4 "cut.jpg" "$maskmill" segment -q cut.jpg

echo "-- segment: grid and prompts"
size=$(python3 - "$photograph" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
at = 2
while data[at + 1] not in (0xC0, 0xC1, 0xC2):  # up to the frame header
    at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
height, width = struct.unpack(">HH", data[at + 5 : at + 9])
print(width, height)
PYTHON
)
read -r width height <<<"$size"
x=$((width / 2)) y=$((height / 2))
# One point in the middle and no filter: the grid's masks must be the prompt's.
everything=(--set amg.points_per_side=1 --set amg.pred_iou_thresh=0 --set amg.stability_score_thresh=0
  --set amg.box_nms_thresh=1)
good "$maskmill" segment -q "$photograph" "${everything[@]}" -o grid.json
good "$maskmill" segment -q "$photograph" --point "$(python3 -c "print($width / 2, $height / 2, sep=',')")" -o point.json
good "$maskmill" segment "$photograph" --point "$x,$y" --point "0,0,0" --box "10,20,$((width - 10)),$((height - 20))" \
  --overlay overlay.png -o box.json
grep -q "the model brings thresholds along" stderr || fail "the thresholds are not told: $(cat stderr)"
cat >prompts.json <<EOF
[{"points": [[$x, $y], [0, 0, 0]], "box": [10, 20, $((width - 10)), $((height - 20))]},
 {"box": [10.5, 20, 200, 300]}, {"points": [[$x.0, $y, 1]]}]
EOF
good "$maskmill" segment -q "$photograph" --prompts prompts.json
cp stdout prompts-masks.json
good "$maskmill" segment -q "$photograph" --set amg.points_per_side=4 --overlay grid.png
cp stdout small-grid.json
python3 - "$width" "$height" <<'PYTHON'
import json, struct, sys

width, height = map(int, sys.argv[1:])


def check(annotations):
    for a in annotations:
        assert a["segmentation"]["size"] == [height, width], a["segmentation"]["size"]
        assert a["area"] <= width * height and len(a["bbox"]) == 4 and len(a["crop_box"]) == 4


def key(a):
    return a["predicted_iou"], a["area"], a["segmentation"]["counts"], a["bbox"]


grid = json.load(open("grid.json"))
(point,) = json.load(open("point.json"))
(box,) = json.load(open("box.json"))
prompts = json.load(open("prompts-masks.json"))
small = json.load(open("small-grid.json"))
for annotations in [grid, point["masks"], box["masks"], small] + [p["masks"] for p in prompts]:
    check(annotations)
assert len(grid) == 3 and len(small) > 0
assert sorted(map(key, grid)) == sorted(map(key, point["masks"])), "the grid's point and the same point as a prompt"
for masks in [point["masks"]] + [p["masks"] for p in prompts]:
    scores = [a["predicted_iou"] for a in masks]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
assert len(prompts) == 3 and prompts[0]["masks"] == box["masks"], "one object by options and by file"
for name in ("overlay.png", "grid.png"):
    data = open(name, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (width, height), name
PYTHON
expect 2 "outside the image" "$maskmill" segment -q "$photograph" --point 99999,3
expect 2 "outside the image" "$maskmill" segment -q "$photograph" --box 50,50,10,10
expect 2 "--point 3: give X,Y" "$maskmill" segment -q "$photograph" --point 3
expect 2 "--point nan,3" "$maskmill" segment -q "$photograph" --point nan,3
expect 2 "--point 3,4,2" "$maskmill" segment -q "$photograph" --point 3,4,2
expect 2 "--box 1,2,3" "$maskmill" segment -q "$photograph" --box 1,2,3
expect 2 "not both" "$maskmill" segment -q "$photograph" --point 3,4 --prompts prompts.json
expect 4 "/no/such/folder/x.json" "$maskmill" segment -q "$photograph" --point 3,4 -o /no/such/folder/x.json
expect 4 "No space left" sh -c "'$maskmill' segment -q '$photograph' --point 3,4 >/dev/full"

echo "-- segment: hostile prompt files"
hostile() {
  printf '%s' "$1" >hostile.json
  expect 2 "$2" "$maskmill" segment -q "$photograph" --prompts hostile.json
}
hostile '' "is not JSON"
hostile '{' "hostile.json:1: is not JSON"
hostile "$(printf '[%.0s' {1..5000})" "is not JSON"
hostile '{}' "not a list of 1 to"
hostile '[]' "not a list of 1 to"
hostile '[3]' "object 0 (from 0): is not an object"
hostile '[{}]' "needs points or a box"
hostile '[{"points": []}]' "needs points or a box"
hostile '[{"points": 3}]' "points: is not a list"
hostile '[{"points": [3]}]' "each is [x, y]"
hostile '[{"points": [[3]]}]' "each is [x, y]"
hostile '[{"points": [[3, "4"]]}]' "each is [x, y]"
hostile '[{"points": [[3, 4, 7]]}]' "each is [x, y]"
hostile '[{"points": [[3, 1e999]]}]' "is not JSON"
hostile '[{"points": [[3, NaN]]}]' "is not JSON"
hostile '[{"points": [[3, 1e300]]}]' "outside the image"
hostile '[{"points": [[3, 4]], "points": [[3, 4]]}]' "is not JSON"
hostile '[{"points": [[3, 4]], "label": 1}]' "keys other than points and box"
hostile '[{"box": [1, 2, 3]}]' "box: is [x0"
hostile '[{"box": {}}]' "box: is [x0"
hostile '[{"points": [[3, 4]]}, {"box": [5, 5, 5, 5]}]' "object 1 (from 0): the box"
expect 4 "no-such.json" "$maskmill" segment -q "$photograph" --prompts no-such.json

echo "-- a small dataset"
mkdir corpus
ln -s "$photographs"/{Garden,LadyBird,Wood}.jpg corpus/
good "$maskmill" scan corpus -o manifest.h5
has "3 images"
expect 4 "no-such" "$maskmill" scan no-such -o manifest2.h5
good "$maskmill" run corpus -o out -q --set amg.points_per_side=4 --set output.images_per_shard=2
expect 2 "out" "$maskmill" run corpus -o out -q
good "$maskmill" run manifest.h5 -o out --overwrite --set amg.points_per_side=4 --set output.images_per_shard=2
has "3 images"
has "2 shards in out/shards"
good "$maskmill" stats out
good "$maskmill" stats out --json
python3 -c 'import json; json.load(open("stdout"))'
good "$maskmill" verify out
has "out: good; 3 images"
good "$maskmill" status out
has "out: done"
good "$maskmill" report out -o report.html --samples 1
[ "$(grep -o 'src="data:image/jpeg;base64,' report.html | wc -l)" -eq 1 ] || fail "not one photograph in the report"
good "$maskmill" report out/shards/sa_000001.h5 -o -
has "photograph, made by"
cp report.html before.html
expect 4 "no-such" "$maskmill" report no-such -o report.html
cmp report.html before.html
expect 2 "needs -o REPORT.html" "$maskmill" report out
expect 2 "--samples 1.5" "$maskmill" report out -o report.html --samples 1.5
expect 2 "--samples 201" "$maskmill" report out -o report.html --samples 201
expect 4 "No space left" "$maskmill" report out -o /dev/full
expect 4 "no progress.json" "$maskmill" status corpus
good "$maskmill" show out LadyBird.jpg -o ladybird.png
good "$maskmill" show out 0 -o first.png
expect 2 "no-such" "$maskmill" show out no-such.jpg -o x.png
mv corpus moved
expect 4 "--corpus FOLDER" "$maskmill" show out LadyBird.jpg -o moved.png
good "$maskmill" show out LadyBird.jpg --corpus moved -o moved.png
cmp ladybird.png moved.png
good "$maskmill" export out --format sa1b -o sa1b
good "$maskmill" export out --format coco -o coco
python3 - <<'PYTHON'
import json, pathlib

files = sorted(pathlib.Path("sa1b").glob("*.json"))
assert len(files) == 3, files
images = [json.load(open(f)) for f in files]
coco = json.load(open("coco/instances.json"))
assert len(coco["images"]) == 3
assert sum(len(i["annotations"]) for i in images) == len(coco["annotations"]) > 0
PYTHON
expect 4 "no-such" "$maskmill" stats no-such
expect 4 "no-such" "$maskmill" verify no-such
printf 'not what was there' | dd of=out/shards/sa_000001.h5 bs=1 seek=3000 conv=notrunc status=none
expect 4 "is damaged" "$maskmill" verify out
echo "cli.sh: all good"
