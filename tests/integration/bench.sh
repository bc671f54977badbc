#!/usr/bin/env bash
# maskmill bench: its JSON against `maskmill segment` on the same image, and wrong arguments. No time is judged.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
photograph=$source/tests/data/golden/landscape.jpg

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

fail() {
  echo "bench.sh: $*" >&2
  exit 1
}

# expect STATUS TEXT COMMAND...: the command ends with STATUS, and stderr is one line with TEXT in it.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >stdout 2>stderr || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status instead of $wanted from: $* ($(cat stderr))"
  [ "$(wc -l <stderr)" -eq 1 ] || fail "not one line on stderr from: $* ($(cat stderr))"
  grep -qF -- "$text" stderr || fail "no '$text' in: $(cat stderr)"
}

echo "-- usage"
"$maskmill" --help | grep -q "^  bench " || fail "--help does not list it"
"$maskmill" bench --help | grep -q -- "--keep=SHARE" || fail "no --keep in its help"
expect 2 "option --frobnicate is unknown" "$maskmill" bench --frobnicate
expect 2 "one too many" "$maskmill" bench one.jpg two.jpg
for runs in 0 -1 1.5 two 1001; do
  expect 2 "--runs $runs: give a whole number from 1 to" "$maskmill" bench --runs "$runs"
done
for share in 0 -0.1 1.1 nan half 0.1,0.2; do
  expect 2 "--keep $share: give a share" "$maskmill" bench --keep "$share"
done
expect 2 "--threads 0" "$maskmill" bench --threads 0
expect 2 "unknown key" "$maskmill" bench -q --set amg.points=3
expect 2 "there is no model no-such" "$maskmill" bench -q -m no-such
expect 4 "no-such.jpg" "$maskmill" bench -q no-such.jpg
expect 4 "bench.sh" "$maskmill" bench -q "$source/tests/integration/bench.sh"

echo "-- what it measures"
grid=(-q --set amg.points_per_side=8)
"$maskmill" bench "${grid[@]}" --json --runs 1 "$photograph" >bench.json
"$maskmill" segment "${grid[@]}" "$photograph" >segment.json
"$maskmill" bench "${grid[@]}" --json --runs 2 --threads 2 --keep 0.4 --set amg.crop_n_layers=1 "$photograph" >kept.json
model=$source/configs/models/default.safetensors
"$(dirname "$maskmill")/tests/maskmill-make-detector" "$model" "" head.safetensors 1
detection=(--set detect.enabled=true --set detect.head=head.safetensors --set detect.max_boxes=12)
"$maskmill" bench "${grid[@]}" -m "$model" "${detection[@]}" --json --runs 1 "$photograph" >detect.json
"$maskmill" detect -q -m "$model" "${detection[@]:2}" "$photograph" -o confident.json
"$maskmill" bench "${grid[@]}" -m "$model" "${detection[@]}" --runs 1 "$photograph" >detect.txt
grep -q "^  detection  " detect.txt || fail "no line of the detection"
grep -q "^  detection adds .* for masks of 12 of them" detect.txt || fail "detection is not summed up"
expect 2 "there is no model no-such.safetensors" "$maskmill" bench "${grid[@]}" -m "$model" --set detect.enabled=true --set detect.head=no-such.safetensors
threshold=$(python3 -c 'import json; print(json.load(open("kept.json"))["pred_iou_thresh"])')
"$maskmill" segment "${grid[@]}" --set amg.pred_iou_thresh="$threshold" --set amg.crop_n_layers=1 "$photograph" >kept-segment.json
python3 - <<'PYTHON'
import json

STAGES = ["read", "resize", "encode", "prepare", "prompts", "upscale", "masks", "filter", "detect", "other"]


def check(name, runs, threads):
    bench = json.load(open(name + ".json"))
    assert bench["model"].startswith("TinyViT") and bench["precision"] in ("f32", "bf16") and bench["kernels"]
    assert (bench["width"], bench["height"], bench["drawn"]) == (200, 150, False)
    assert (bench["runs"], bench["threads"]) == (runs, threads)
    assert list(bench["seconds"]) == STAGES + ["total", "head"], list(bench["seconds"])
    for stage, seconds in bench["seconds"].items():
        assert list(seconds) == ["median", "min", "max"]
        assert seconds["min"] <= seconds["median"] <= seconds["max"], stage
        # What threads spend is shared out evenly, which can leave a little less than nothing for the rest.
        assert seconds["min"] > 0 or stage in ("other", "upscale", "masks", "detect", "head"), stage
    assert list(bench["share"]) == STAGES
    assert runs > 1 or abs(sum(bench["share"].values()) - 1) < 1e-3, bench["share"]
    assert all(s < 1 for s in bench["share"].values())
    for key in ("gflops", "peak_share"):
        assert list(bench[key]) == ["encode", "decode", "prompts", "upscale"]
        assert bench[key]["encode"] > 0 and bench[key]["decode"] > 0 and bench[key]["prompts"] > 0
    for part, rate in bench["gflops"].items():
        assert abs(bench["peak_share"][part] * bench["peak_gflops"] - rate) <= 1e-3 * rate, part
    assert abs(bench["images_per_second"] * bench["seconds"]["total"]["median"] - 1) < 1e-3
    assert bench["prompts_per_second"] > 0 and bench["masks_per_second"] >= 0
    assert bench["memory"]["peak_bytes"] > bench["memory"]["mapped_bytes"] > 0
    assert bench["memory"]["own_bytes"] > 0
    assert bench["prompts"] >= bench["prompts_kept"] and bench["masks_scanned"] <= 3 * bench["prompts_kept"]
    assert bench["masks_scanned"] >= max(bench["prompts_kept"], bench["masks"])
    return bench


bench = check("bench", 1, 1)
assert (bench["crops"], bench["prompts"]) == (1, 64)
assert bench["masks"] == len(json.load(open("segment.json")))
assert bench["detection"] is None and bench["seconds"]["detect"]["max"] == 0
detect = check("detect", 1, 1)
assert detect["masks"] == bench["masks"], "a detector changes the masks"
assert detect["detection"]["boxes"] == 12, detect["detection"]
assert detect["detection"]["confident"] == len(json.load(open("confident.json"))) > 0
seconds = {stage: figure["median"] for stage, figure in detect["seconds"].items()}
assert 0 < seconds["head"] < seconds["detect"] < seconds["total"]
assert abs(detect["detection"]["added"] * (seconds["total"] - seconds["detect"]) / seconds["detect"] - 1) < 1e-3
kept = check("kept", 2, 2)
assert (kept["crops"], kept["prompts"]) == (5, 320)
assert kept["prompts_kept"] == 128, kept["prompts_kept"]
assert kept["masks"] == len(json.load(open("kept-segment.json")))
PYTHON

echo "-- for people, on the picture that is drawn"
"$maskmill" bench "${grid[@]}" --runs 1 >text
grep -q "1800x1200, drawn" text
grep -q "prompts  64, of which" text
grep -q "whole image .* 100.0 %" text
expect 4 "No space left" sh -c "'$maskmill' bench ${grid[*]} --runs 1 >/dev/full"
echo "bench.sh: all good"
