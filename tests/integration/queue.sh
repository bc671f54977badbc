#!/usr/bin/env bash
# Queues from outside: build, export, a person who answers from the truth, import; bad answers; ranks; kills.
# $1 the program, $2 the source tree, $3 a scratch folder. MASKMILL_PYTHON names a Python that has pycocotools, and where it has
# datumaro, h5py or label_studio_converter, these look at the files as well.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
tools=$(dirname "$scratch")
world=$tools/maskmill-queue-world
shim=$tools/libmaskmill-shim.so
python=${MASKMILL_PYTHON:-python3}

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

fail() {
  echo "queue.sh: $*" >&2
  exit 1
}

# ends STATUS COMMAND...: its output is in stdout and stderr.
ends() {
  local wanted=$1 status=0
  shift
  "$@" >stdout 2>stderr || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status instead of $wanted from: $* ($(cat stderr))"
}

says() { # FILE TEXT
  grep -qF -- "$2" "$1" || fail "no '$2' in: $(cat "$1")"
}

same_dataset() { # A B: all but run.json
  diff <(cd "$1" && find . -type f | sort) <(cd "$2" && find . -type f | sort) >&2 || fail "$2 has other files than $1"
  diff -r --exclude=run.json "$1" "$2" >&2 || fail "$2 is not $1"
}

# killed_at N COMMAND...: it is killed at its N-th rename; status in $status, 0 if it had not so many.
killed_at() {
  local at=$1
  shift
  status=0
  # A shell of its own tells nobody of the kill.
  bash -c '"$@" >stdout 2>stderr; exit $?' killed_at env LD_PRELOAD="$shim" MASKMILL_SHIM_KILL_RENAME="$at" \
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$@" 2>/dev/null || status=$?
}

"$world" make .
cp -r data untouched

echo "-- usage"
ends 2 "$maskmill" queue
says stderr "needs build, export, import or status"
ends 2 "$maskmill" queue frobnicate
for command in build export import status; do
  ends 0 "$maskmill" queue "$command" --help
  says stdout "maskmill queue $command"
  ends 2 "$maskmill" queue "$command"
  ends 2 "$maskmill" queue "$command" --frobnicate
done
ends 2 "$maskmill" queue build data -o q --batch 0
ends 2 "$maskmill" queue build data -o q --prefill all
ends 2 "$maskmill" queue export q -o x
ends 2 "$maskmill" queue export q --format coco -o x --url y
ends 2 "$maskmill" queue export q --format coco -o x --batch 3-1
ends 4 "$maskmill" queue export q --format coco -o x
[ ! -e x ] && [ ! -e q ] || fail "wrong usage made something"

echo "-- build"
ends 0 "$maskmill" queue build data -o queue --batch 4
says stdout "10 images in 3 batches, with 40 masks filled in and 20 hints"
for ranks in 1 2 4; do
  ends 0 mpirun -n "$ranks" "$maskmill" queue build data -o "queue_$ranks" --batch 4
  same_dataset queue "queue_$ranks"
done
ends 2 "$maskmill" queue build data -o queue
says stderr "queue is there already"
ends 0 "$maskmill" queue build data -o short --limit 3 --batch 2
says stdout "3 images in 2 batches"
ends 0 "$maskmill" queue build data -o with_grid --prefill masks
says stdout "with 60 masks filled in" # the grid's mask of object 0 is the first confident one
ends 4 "$maskmill" queue build nowhere -o nothing
[ ! -e nothing ] || fail "a queue of nothing was made"

# Killed before any of its files has its name, then built again: the same queue.
kills=0
for at in $(seq 1 20); do
  rm -rf killed killed.part
  killed_at "$at" "$maskmill" queue build data -o killed --batch 4
  [ "$status" -ne 0 ] || break
  kills=$((kills + 1))
  [ ! -e killed ] || fail "a queue that was killed at its rename $at is there"
  ends 0 "$maskmill" queue build data -o killed --batch 4
  same_dataset queue killed
  [ ! -e killed.part ] || fail "killed.part stays"
done
[ "$kills" -ge 5 ] || fail "the build was killed at only $kills places"

# What an attempt at another dataset left does not get into the queue.
mkdir stale.part
printf rubbish >stale.part/sa_000001.h5
printf rubbish >stale.part/sa_000077.h5
ends 0 "$maskmill" queue build data -o stale --batch 4
same_dataset queue stale

echo "-- export"
ends 0 "$maskmill" queue export queue --format coco -o coco --images --thumbnails 32
says stdout "10 images in coco"
ends 0 "$maskmill" queue export queue --format labelstudio -o labelstudio --images
ends 0 "$maskmill" queue export queue --format coco -o one --batch 1
ends 0 "$maskmill" queue export queue --format labelstudio -o two --batch 1-2 --url https://example.org/
[ "$(find one -name '*.json')" = one/annotations/instances_batch_000001.json ] || fail "--batch 1 wrote other batches"
cmp one/annotations/instances_batch_000001.json coco/annotations/instances_batch_000001.json
[ "$(find two -name '*.json' | wc -l)" -eq 2 ] || fail "--batch 1-2 wrote not two batches"
says two/batch_000001.json '"image": "https://example.org/images/batch_000001/sa_'
for photograph in coco/images/*/sa_*.jpg; do
  number=$(basename "$photograph" .jpg)
  [ "$number" != sa_3 ] || continue
  cmp "$photograph" "corpus/photo_$(printf %02d "${number#sa_}").jpg" # byte for byte
done
# The photograph that is larger than its masks' frame is exported as the frame.
[ "$("$world" size corpus/photo_03.jpg)" = "192 x 184" ] || fail "photo_03.jpg has another size than it should"
[ "$("$world" size coco/images/*/sa_3.jpg)" = "96 x 92" ] || fail "sa_3.jpg is not the frame"
[ "$("$world" size coco/thumbnails/*/sa_3.jpg)" = "32 x 31" ] || fail "the thumbnail of sa_3.jpg is not 32 pixels wide"
[ "$(find coco/images coco/thumbnails labelstudio/images -name 'sa_*.jpg' | wc -l)" -eq 30 ] || fail "photographs are missing"
ends 2 "$maskmill" queue export queue --format coco -o one --batch 3
says stderr "the queue has batches 0 to 2"
mv corpus moved
ends 4 "$maskmill" queue export queue --format coco -o nowhere --images
says stderr "--corpus FOLDER"
ends 0 "$maskmill" queue export queue --format coco -o elsewhere --images --corpus moved
mv moved corpus

echo "-- import"
for batch in 0 1 2; do
  "$world" answer "coco/annotations/instances_batch_00000$batch.json" "coco_$batch.json" >"expected_$batch"
  "$world" answer "labelstudio/batch_00000$batch.json" "labelstudio_$batch.json" >"expected_labelstudio_$batch"
  cmp "expected_$batch" "expected_labelstudio_$batch"
done
says expected_0 "4 images answered: 8 masks left as they were, 4 corrected, 4 deleted, 12 added (4 of them hints)"
all="8 images answered: 16 masks left as they were, 8 corrected, 8 deleted, 24 added (8 of them hints)"

for ranks in 1 2 4; do
  for format in coco labelstudio; do
    ends 0 mpirun -n "$ranks" "$maskmill" queue import queue "${format}_0.json" "${format}_1.json" "${format}_2.json" \
      -o "${format}_on_$ranks" --annotator Ann
    says stdout "$all"
    [ ! -s stderr ] || fail "good answers were found fault with: $(cat stderr)"
    same_dataset "${format}_on_1" "${format}_on_$ranks"
  done
done
for format in coco labelstudio; do
  "$world" check "${format}_on_2" drop
  ends 0 "$maskmill" verify "${format}_on_2"
done
# The other commands take a new version as any dataset.
ends 0 "$maskmill" report coco_on_1 -o report.html
ends 0 "$maskmill" show coco_on_1 0 -o show.png
ends 0 "$maskmill" export coco_on_1 --format coco -o exported
ends 2 "$maskmill" run corpus -o coco_on_1 --resume
says stderr "is not empty"
# Who, how long, what became of the rounds.
says coco_on_1/engine.json '"dataset": "../data"'
ends 0 "$maskmill" stats coco_on_1
says stdout "6 automatic, 16 confident, 32 human"
grep -Eq "automatic +1 +10 +30 +0 +0 " stdout || fail "the first round is not told: $(cat stdout)"
grep -Eq "semi-automatic +1 +8 +6 +16 +32 " stdout || fail "the second round is not told: $(cat stdout)"
ends 0 "$maskmill" stats coco_on_1 --json
says stdout '"rounds": [{"stage":"automatic","round":1,'
ends 0 "$maskmill" queue import queue labelstudio_?.json -o kept --keep-automatic
"$world" check kept keep
ends 0 "$maskmill" verify kept

# Batch by batch, each onto the version before, is the same as all at once but for the rounds.
ends 0 "$maskmill" queue import queue coco_0.json -o step_0 --annotator Ann
ends 0 "$maskmill" queue import queue coco_1.json -o step_1 --annotator Ann --onto step_0
ends 0 "$maskmill" queue import queue coco_2.json -o step_2 --annotator Ann --onto step_1
diff -r step_2/shards coco_on_1/shards >&2 || fail "step by step, other masks come out"
cmp step_2/answered.h5 coco_on_1/answered.h5
grep -c '"stage": "semi-automatic"' step_2/engine.json | grep -qx 3 || fail "three imports are not three rounds"
says step_2/engine.json '"round": 3'
says step_2/engine.json '"dataset": "../step_1"'
ends 2 "$maskmill" queue import queue coco_1.json -o step_3 --onto data/shards/sa_000000.h5
ends 2 "$maskmill" queue import queue coco_1.json -o step_2
says stderr "step_2 is there already"

# A round that goes on from people's masks: those are filled in again.
ends 0 "$maskmill" queue build coco_on_1 -o again
says stdout "10 images in 1 batch, with 56 masks filled in and 4 hints"
ends 0 "$maskmill" queue build coco_on_1 -o only_new --skip-human
says stdout "2 images in 1 batch"

# What comes back as it went out changes nothing.
ends 0 "$maskmill" queue import queue coco/annotations/instances_batch_000000.json -o unchanged
says stdout "4 images answered: 16 masks left as they were, 0 corrected, 0 deleted, 0 added"
ends 2 "$maskmill" queue import queue coco/annotations/instances_batch_000000.json -o unasked --skip-unchanged
says stderr "nothing was changed"
[ ! -e unasked ] && [ ! -e unasked.part ] || fail "an import of nothing left something"

# A dataset may be moved with its queue, and away from it; a changed one is not taken.
mkdir away
cp -r queue data away/
ends 0 "$maskmill" queue status away/queue
mv away/data away/elsewhere
ends 4 "$maskmill" queue status away/queue
says stderr "--dataset"
ends 0 "$maskmill" queue status away/queue --dataset away/elsewhere
ends 4 "$maskmill" queue status away/queue --dataset coco_on_1
says stderr "is not the dataset that the queue"

echo "-- status"
ends 0 "$maskmill" queue status queue
says stdout "0 of 10 images are done"
ends 0 "$maskmill" queue status queue coco_on_1
says stdout "8 of 10 images are done; in each, on average, 3.00 masks were added, 1.00 corrected, 1.00 deleted"
ends 0 "$maskmill" queue status queue labelstudio_0.json labelstudio_1.json --json
says stdout '{"batch": 0, "images": 4, "done": 4, "open": 0, "masks_kept": 8, "masks_corrected": 4, "masks_deleted": 4, "masks_added": 12, "hints_accepted": 4, "seconds": 360, "images_timed": 4}'
ends 2 "$maskmill" queue status short coco_on_1
says stderr "are of another queue"

echo "-- bad answers"
# refuse_file TEXT FILE: status 4, one line with TEXT, nothing made.
refuse_file() {
  ends 4 "$maskmill" queue import queue coco_1.json "$2" -o bad
  says stderr "$1"
  [ "$(wc -l <stderr)" -eq 1 ] || fail "not one line: $(cat stderr)"
  [ ! -e bad ] && [ ! -e bad.part ] || fail "something of a refused import is there"
}
head -c 900 coco_0.json >cut.json
refuse_file "cut.json ends at byte 900, in the middle" cut.json
head -c 900 labelstudio_0.json >cut_tasks.json
refuse_file "cut_tasks.json ends at byte 900, in the middle" cut_tasks.json
refuse_file "is neither COCO's JSON (an object) nor Label Studio's" coco_on_1/dataset.h5
refuse_file "no_such.json" no_such.json
mkdir folder.json
refuse_file "folder.json is a folder; name the files in it" folder.json
# 2 GB: one value of it is over the limit, and what is over is not read. The file has holes and takes no room.
(printf '[{"data": "'; head -c 64 coco_0.json | tr -c a-z x) >large.json
truncate -s 2G large.json
refuse_file "large.json" large.json

# refuse_one TEXT FILE [OPTION...]: status 1 and a line with TEXT; with --strict nothing comes of it.
refuse_one() {
  local text=$1 file=$2
  rm -rf bad
  ends 1 "$maskmill" queue import queue coco_1.json "$file" -o bad
  says stderr "$file: "
  says stderr "$text"
  says stdout "1 answers were refused and left out"
  ends 0 "$maskmill" verify bad
  rm -rf bad
  ends 4 "$maskmill" queue import queue coco_1.json "$file" -o bad --strict
  says stderr "--strict takes all or none"
  [ ! -e bad ] && [ ! -e bad.part ] || fail "something of a refused import is there"
}
bad_mask() { # SEGMENTATION: an answer for one image with this mask beside a good one
  local image=$1
  shift
  cat <<JSON
{"images": [{"id": 1, "file_name": "sa_$image.jpg"}], "annotations": [
 {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[60, 60, 70, 60, 70, 70, 60, 70]]},
 {"id": 2, "image_id": 1, "category_id": 1, "segmentation": $*}]}
JSON
}
first=$(grep -o 'sa_[0-9]*' coco/annotations/instances_batch_000000.json | head -n 1)
first=${first#sa_}
bad_mask "$first" '[[130, 10, 150, 10, 150, 30]]' >outside.json
refuse_one "annotation 2: its mask has no pixel inside the image" outside.json
bad_mask "$first" '{"size": [5, 5], "counts": [0, 25]}' >size.json
refuse_one "annotation 2: its run lengths are of 5 x 5 pixels" size.json
bad_mask 77 '[[1, 1, 5, 1, 5, 5]]' >unknown.json
refuse_one "image sa_77.jpg: is not in the queue" unknown.json
bad_mask 6 '[[1, 1, 5, 1, 5, 5]]' >set_aside.json
refuse_one "image sa_6.jpg: is not in the queue" set_aside.json
bad_mask "$first" '[[1, 1, 5, 1, 5, 5]]' | sed 's/"id": 2/"id": 1/' >twice.json
refuse_one "annotation 1: another annotation has this id" twice.json
bad_mask "$first" '{"size": [88, 104], "counts": "nonsense"}' >runs.json
refuse_one "annotation 2: mask counts" runs.json
bad_mask "$first" '[[50, 50, 58, 58, 58, 50, 50, 58]]' >crossing.json
rm -rf bad
ends 0 "$maskmill" queue import queue crossing.json -o bad
says stderr "crossing.json: image sa_$first.jpg, annotation 2: crosses itself and was filled by the even-odd rule"
says stdout "1 answers were repaired"

echo "-- kills"
kills=0
for at in $(seq 1 30); do
  rm -rf cut cut.part
  killed_at "$at" "$maskmill" queue import queue coco_?.json -o cut --annotator Ann
  [ "$status" -ne 0 ] || break
  kills=$((kills + 1))
  [ ! -e cut ] || fail "an import that was killed at its rename $at left a new version"
  ends 0 "$maskmill" queue import queue coco_?.json -o cut --annotator Ann
  same_dataset coco_on_1 cut
  [ ! -e cut.part ] || fail "cut.part stays"
done
[ "$kills" -ge 7 ] || fail "the import was killed at only $kills places"
# A disk that is full: files may not grow beyond some bytes.
for blocks in 1 4 16; do
  rm -rf full
  status=0
  (ulimit -f "$blocks" && exec "$maskmill" queue import queue coco_?.json -o full --annotator Ann) >stdout 2>stderr || status=$?
  [ "$status" -eq 4 ] || fail "a full disk ended with status $status: $(cat stderr)"
  [ ! -e full ] && [ ! -e full.part ] || fail "a full disk left something of the new version"
done
diff -r data untouched >&2 || fail "the dataset was touched"

echo "-- others' eyes"
if "$python" -c 'import pycocotools.coco, numpy' 2>/dev/null; then
  "$python" "$source/tests/integration/queue_eyes.py" coco labelstudio coco_on_1
else
  echo "not looked at with pycocotools: $python has none; MASKMILL_PYTHON names one that has"
fi
