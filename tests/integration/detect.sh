#!/usr/bin/env bash
# Confident masks and hints: of one image, in a run, and beside the masks of a dataset that is there. The detector's weights
# are random; what it finds is nonsense, but the same every time.
# Usage: detect.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3 me=detect
. "$source/tests/integration/killing.bash"
make_detector=$(dirname "$program")/tests/maskmill-make-detector
make_corpus # with a plain run of it in `whole`
mv whole plain
plain_options=("${options[@]}")

expect() { # STATUS TEXT...: of the last command.
  [ "$status" -eq "$1" ] || fail "status $status instead of $1, where the line should say: ${*:2}"
  local text
  for text in "${@:2}"; do
    grep -qF -- "$text" last.txt || fail "the line does not say: $text"
  done
}
try() { # COMMAND...
  status=0
  "$program" "$@" >last.txt 2>&1 || status=$?
}
same_export() { # GROUP FOLDER FOLDER: these masks are the same in both
  local folder
  for folder in "$2" "$3"; do
    try export "$folder" --format coco --masks "$1" -o "json_${folder}_$1"
    expect 0 "images in json_${folder}_$1"
  done
  cmp "json_$2_$1/instances.json" "json_$3_$1/instances.json" || fail "$1 of $2 and $3 differ"
  grep -q '"segmentation"' "json_$2_$1/instances.json" || fail "no $1 at all: nothing was compared"
}

model=("${options[@]:0:4}")
"$make_detector" "${model[1]}" "${model[3]}" head.safetensors 1
"$make_detector" "${model[1]}" "${model[3]}" other.safetensors 2

# --- One image. ---
image=$source/tests/data/image/ycc420.jpg
try detect "$image" "${model[@]}" --set detect.head=head.safetensors -o one.json --overlay one.png
expect 0
grep -q '"detector_score": 0\.' one.json || fail "no mask of the image has a score"
grep -q '"segmentation": {"size"' one.json || fail "the image has no masks"
[ -s one.png ] || fail "no overlay"
try detect "$image" "${model[@]}" --set detect.head=head.safetensors --set detect.score_thresh=1 -o none.json
expect 0
[ "$(cat none.json)" = "[]" ] || fail "masks above a score of 1"

# --- In a run: on 1, 2 and 4 ranks the same, and beside the same masks as without. ---
options+=(--set detect.head=head.safetensors)
margins=(--set hints.enabled=true --set amg.pred_iou_thresh=0.97 --set hints.iou_margin=0.05 --set hints.max_per_image=9)
detection=(--set detect.enabled=true)
options=("${options[@]}" "${detection[@]}")
for ranks in 1 2 4; do
  resume "ranks$ranks" "$ranks"
  expect 1 "38 images"
done
mv ranks1 whole
same ranks2
same ranks4
same_export masks plain whole
try verify whole
expect 0
grep -q "enabled: true" <(strings whole/dataset.h5) || fail "the configuration in dataset.h5 does not tell of the detector"
! grep -q "head" <(strings whole/dataset.h5 | grep safetensors) || fail "the path of the detector is in dataset.h5"
try stats whole --json
grep -Eq '"confident_masks": [1-9]' last.txt || fail "no confident masks: nothing was compared"
! grep -q detect <(strings plain/dataset.h5) || fail "a plain run's configuration tells of the detector"
try export plain --format coco --masks confident -o nothing
expect 2 "plain has no group confident"

# Hints, too: kept masks do not change, and hints do not depend on ranks.
try run corpus -o unhinted "${plain_options[@]}" --set amg.pred_iou_thresh=0.97
expect 1
for ranks in 1 3; do
  resume "hinted$ranks" "$ranks" "${margins[@]}"
  expect 1 "38 images"
  try verify "hinted$ranks"
  expect 0
done
same_export masks unhinted hinted1
same_export hints hinted1 hinted3
same_export confident whole hinted1
for file in hinted1/shards/*.h5 hinted1/dataset.h5; do
  cmp "$file" "hinted3/${file#*/}" || fail "$file depends on ranks"
done

# --- Killed, stopped, and resumed. ---
interrupt killed 3 12 signal_ranks -9
resume killed 2
expect 1 "38 images"
same killed
interrupt stopped 2 9 signal_run -USR1
expect 3 "--resume"
resume stopped 1 --set detect.head=other.safetensors
expect 2 "stopped was begun otherwise" "the detector had SHA-256"
resume stopped 1 --set detect.score_thresh=0.5
expect 2 "detect.score_thresh was 0.3 and is now 0.5"
resume stopped 1
expect 1 "38 images"
same stopped

# --- In parts. ---
for range in 0-2 3-5; do
  try run corpus -o parts "${options[@]}" --shards "$range"
done
try merge parts
expect 1 "38 images"
for file in whole/shards/*.h5 whole/dataset.h5; do
  cmp "$file" "parts/${file#*/}" || fail "the merged $file differs"
done

# --- A dataset that is there: its masks byte for byte, and the confident ones of a run. ---
digests() { # FOLDER: what shards say of their masks
  local file
  for file in "$1"/shards/*.h5; do h5dump -a masks_digest "$file" | grep '(0)'; done
}
command=(detect plain)
options=("${model[@]}" --set detect.head=head.safetensors)
resume with 1
expect 1 "38 images" "2 images were set aside"
resume with2 3
expect 1 "38 images"
for file in with/shards/*.h5 with/dataset.h5 with/manifest.h5; do
  cmp "$file" "with2/${file#*/}" || fail "$file depends on ranks"
done
try verify with
expect 0
same_export masks plain with
same_export confident whole with
python3 - with/engine.json "$(sha256sum head.safetensors | cut -d ' ' -f 1)" <<'EOF' || fail "the detection is no round of its own: $(cat with/engine.json)"
import json, sys
rounds = json.load(open(sys.argv[1]))["rounds"]
assert [r["stage"] for r in rounds] == ["automatic", "semi-automatic"], rounds
assert rounds[0]["detector"] is None and rounds[1]["detector"]["sha256"] == sys.argv[2], rounds
EOF
if command -v h5dump >/dev/null; then
  diff <(digests plain) <(digests with) >&2 || fail "masks of the dataset have changed"
  diff <(h5dump -d /statistics/funnel plain/dataset.h5 | tail -n +2) <(h5dump -d /statistics/funnel with/dataset.h5 | tail -n +2) \
    >&2 || fail "the funnel of the dataset was lost"
fi
mv whole whole_run
mv with whole # what `same` compares with
interrupt again 2 12 signal_ranks -9
resume again 3
expect 1 "38 images"
same again
# An image that kills the process that makes it is set aside here as well.
with_shim MASKMILL_SHIM_CRASH=21x13 begin crash 2
end
with_shim MASKMILL_SHIM_CRASH=21x13 resume crash 2
expect 1 "3 images were set aside"
# Hints of a dataset stay.
command=(detect hinted1)
resume stays 2
expect 1 "38 images"
same_export hints hinted1 stays
same_export masks hinted1 stays

# --- Refused before anything is done. ---
refused() { # STATUS TEXT -- COMMAND...
  try "${@:4}" -o refused
  expect "$1" "$2"
  ! [ -e refused ] || fail "something was written: $2"
}
"$make_detector" "$source/configs/models/default.safetensors" "" foreign.safetensors 1
refused 2 "is for another image encoder" -- run corpus "${plain_options[@]}" --set detect.enabled=true --set detect.head=foreign.safetensors
head -c 20000 head.safetensors >cut.safetensors
refused 4 "cut.safetensors" -- detect corpus "${model[@]}" --set detect.head=cut.safetensors
refused 4 "it is no detector" -- detect corpus "${model[@]}" --set detect.head="$source/configs/models/default.safetensors"
refused 2 "there is no detector" -- detect corpus "${model[@]}"
refused 2 "--set can only change detect.* and journal.*" -- detect plain "${model[@]}" --set detect.head=head.safetensors --set amg.points_per_side=4
refused 2 "leave -c away" -- detect plain "${model[@]}" --set detect.head=head.safetensors -c fast
refused 2 "is another one" -- detect plain --set detect.head=foreign.safetensors
refused 2 "is only a part of a dataset" -- detect parts/part-3-5 "${model[@]}" --set detect.head=head.safetensors
refused 2 "--overlay is for one image" -- detect corpus "${model[@]}" --overlay one.png
try detect corpus "${model[@]}" --set detect.head=head.safetensors
expect 2 "needs -o FOLDER"
refused 2 "detect.score_thresh: \"2\" is out of range; it is auto or a number from 0 to 1" -- detect corpus "${model[@]}" --set detect.score_thresh=2
echo "detect: good"
