#!/usr/bin/env bash
# maskmill train detector: the same bits again, interrupted or not; from COCO files and from datasets; what it refuses.
# Usage: train_detector.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"
rm -rf "$scratch" && mkdir -p "$scratch/coco/images"
cd "$scratch"

fail() {
  echo "train_detector: $*" >&2
  [ ! -e last.txt ] || tail -n 40 last.txt >&2
  exit 1
}

golden=$source/tests/data/golden
model=(-m "$golden/tiny.pth" --model-config "$golden/tiny.config.json")

# 18 images of three photographs, with two boxes each that one can tell from each other.
pictures=(landscape portrait thumb)
declare -A size
for picture in "${pictures[@]}"; do
  size[$picture]=$(od -An -v -tx1 "$golden/$picture.jpg" | tr -d ' \n' | grep -oE 'ffc[02]001108[0-9a-f]{8}' | head -n 1 |
    sed -E 's/.{10}(.{4})(.{4})/\1 \2/' | { read -r h w && echo "$((16#$w)) $((16#$h))"; })
done
coco() { # NAME FIRST COUNT
  local i images="" boxes="" picture w h
  for i in $(seq "$2" $(($2 + $3 - 1))); do
    picture=${pictures[i % 3]}
    read -r w h <<<"${size[$picture]}"
    cp "$golden/$picture.jpg" "coco/images/$i.jpg"
    printf '%s' "$i" >>"coco/images/$i.jpg" # bytes behind the end: the same picture, another key
    images+="${images:+,}{\"id\":$i,\"file_name\":\"$i.jpg\",\"width\":$w,\"height\":$h}"
    boxes+="${boxes:+,}{\"image_id\":$i,\"bbox\":[$((w / 8)),$((h / 8)),$((w / 2)),$((h / 2))]}"
    boxes+=",{\"image_id\":$i,\"bbox\":[$((w / 2)),$((h / 3)),$((w / 3)),$((h / 3))]}"
  done
  echo "{\"images\":[$images],\"annotations\":[$boxes]}" >"coco/$1.json"
}
coco training 0 18
coco validation 18 4
options=(coco/training.json --validation coco/validation.json "${model[@]}" --embeddings kept --batch 5 --width 16 --depth 1
  --learning-rate 0.01 --flip)

# train OUT RANKS [OPTION...]: status in $status, what it says in last.txt.
train() {
  status=0
  mpirun -n "$2" "$program" train detector "${options[@]}" -o "$1" --epochs 40 "${@:3}" >last.txt 2>&1 || status=$?
}

expect() { # STATUS TEXT...
  [ "$status" -eq "$1" ] || fail "status $status instead of $1"
  local text
  for text in "${@:2}"; do grep -qF -- "$text" last.txt || fail "the line does not say: $text"; done
}

same() { # OUT
  cmp whole.safetensors "$1" || fail "$1 is not what the undisturbed training gave"
  cmp whole.safetensors.jsonl "$1.jsonl" || fail "the log of $1 is not what the undisturbed training gave"
  [ ! -e "$1.resume" ] || fail "$1.resume was left"
}

# --- Undisturbed; the embeddings are made once. ---
train whole.safetensors 2
expect 0 "18 images with 36 boxes, 160 steps" "on 4 others with 8 boxes" "40 images encoded"
[ "$(wc -l <whole.safetensors.jsonl)" -eq 41 ] || fail "the log has not one line for the options and 40 for epochs"
sed -n 2,41p whole.safetensors.jsonl | grep -o '"loss":[0-9.]*' | cut -d: -f2 >losses.txt
awk 'NR == 1 { first = $1 } END { exit !($1 < first / 2) }' losses.txt || fail "the loss did not fall: $(xargs <losses.txt)"
tail -n 1 whole.safetensors.jsonl | grep -o '"precision50":[0-9.]*' | cut -d: -f2 | awk '{ exit !($1 > 0.5) }' ||
  fail "so easy a task was not learnt"
train again.safetensors 2 --quiet
expect 0 " 0 images encoded"
same again.safetensors
train one.safetensors 1
expect 0
! cmp -s whole.safetensors one.safetensors || fail "the number of ranks is expected to show in the last bits"

# --- What is there is not touched. ---
train again.safetensors 2
expect 2 "again.safetensors is there already" "--resume" "--overwrite"
train again.safetensors 2 --resume
expect 0 "trained already"
same again.safetensors
train again.safetensors 2 --overwrite
expect 0
same again.safetensors

# --- Killed and stopped. ---
# interrupt OUT SIGNAL: begin, and send it to mpirun (or, for -9, to the ranks) when there is a state to go on from. The ranks
# are held meanwhile: the whole training takes a second, and mpirun takes as long to pass SIGTERM on.
interrupt() {
  local i tries ranks
  for tries in $(seq 1 8); do
    rm -f "$1" "$1.resume" "$1.jsonl"
    mpirun -n 2 "$program" train detector "${options[@]}" -o "$1" --epochs 40 --save-seconds 0 >last.txt 2>&1 &
    run=$!
    for i in $(seq 1 6000); do
      if [ -e "$1.resume" ] || ! kill -0 "$run" 2>/dev/null; then break; fi
      sleep 0.01
    done
    ranks=$(pgrep -P "$run") || true
    # shellcheck disable=SC2086
    kill -STOP $ranks 2>/dev/null || true
    # shellcheck disable=SC2086
    if [ "$2" = -9 ]; then kill -9 $ranks || true; else kill "$2" "$run" && sleep 2 || true; fi
    # shellcheck disable=SC2086
    kill -CONT $ranks 2>/dev/null || true
    status=0
    wait "$run" || status=$?
    [ -e "$1" ] || return 0
  done
  fail "the training was over before it was stopped, $tries times"
}
interrupt killed.safetensors -9
[ "$status" -ne 0 ] || fail "mpirun did not notice that its ranks were killed"
[ -e killed.safetensors.resume ] || fail "no state was kept"
train killed.safetensors 2 --resume
expect 0
same killed.safetensors
interrupt stopped.safetensors -USR1
expect 3 "stopped by a signal after step" "--resume goes on"
train stopped.safetensors 2
expect 2 "stopped.safetensors.resume is there already"
train stopped.safetensors 1 --resume
expect 2 "ranks was 2 and is now 1"
train stopped.safetensors 2 --resume --learning-rate 0.02
expect 2 "learning_rate was 0.01 and is now 0.02"
train stopped.safetensors 2 --resume
expect 0
same stopped.safetensors
interrupt term.safetensors -TERM
case $status in 1 | 3 | 143) ;; *) fail "SIGTERM gave status $status" ;; esac
train term.safetensors 2 --resume
expect 0
same term.safetensors
interrupt torn.safetensors -9
head -c 1000 torn.safetensors.resume >torn && mv torn torn.safetensors.resume
train torn.safetensors 2 --resume
expect 4 "torn.safetensors.resume"

# --- From the masks of a dataset. ---
run=("${model[@]}" --set amg.points_per_side=4 --set amg.stability_score_thresh=0 --quiet)
"$program" run coco/images -o dataset "${run[@]}" --set amg.pred_iou_thresh=0 >last.txt 2>&1 || fail "no dataset"
status=0
"$program" train detector dataset "${model[@]}" --embeddings kept -o from_masks.safetensors --epochs 2 >last.txt 2>&1 || status=$?
expect 0 "AR@100" " 0 images encoded"
"$program" run coco/images -o without "${run[@]}" --set amg.pred_iou_thresh=0.9999 --set amg.stability_score_thresh=1 \
  >last.txt 2>&1 || fail "no dataset"

# --- What is refused. ---
refuse() { # STATUS TEXT ARGUMENT...: and nothing is written
  status=0
  "$program" train detector "${@:3}" -o refused.safetensors >last.txt 2>&1 || status=$?
  expect "$1" "$2"
  [ "$(wc -l <last.txt)" -eq 1 ] || fail "more than one line"
  [ -z "$(find . -maxdepth 1 -name 'refused*' ! -name '*.embeddings')" ] || fail "something was written"
}
refuse 4 "no masks or boxes" without "${model[@]}"
refuse 4 "dataset.h5" coco "${model[@]}"
head -c 200 coco/training.json >cut.json
refuse 4 "cut.json ends at byte 200, in the middle: it was cut" cut.json "${model[@]}"
sed 's/"width":[0-9]*/"width":77/' coco/training.json >coco/wrong.json
refuse 4 "its COCO file says 77" coco/wrong.json "${model[@]}"
sed 's/"3.jpg"/"gone.jpg"/' coco/training.json >coco/gone.json
refuse 4 "gone.jpg" coco/gone.json "${model[@]}"
head -c 500 coco/images/0.jpg >coco/images/cut.jpg
sed 's/"0.jpg"/"cut.jpg"/' coco/training.json >coco/cut_image.json
refuse 4 "cut.jpg" coco/cut_image.json "${model[@]}"
refuse 2 "needs a dataset"
refuse 2 "--epochs none: give a number" coco/training.json --epochs none
refuse 2 "--width 4: give a whole number" coco/training.json --width 4
refuse 2 "no_such_model" coco/training.json -m ./no_such_model.pth
status=0
mpirun -n 3 "$program" train detector "${options[@]}" --batch 2 -o refused.safetensors >last.txt 2>&1 || status=$?
expect 2 "cannot be shared by 3 ranks"

# --- A full disk: nothing half-done stays (what a killed process was writing may lie there from above). ---
find . -name '*.tmp' | sort >drafts_before
status=0
(ulimit -f 4 && "$program" train detector "${options[@]}" -o full.safetensors --epochs 1 >last.txt 2>&1) || status=$?
expect 4 "full.safetensors"
if [ -e full.safetensors ] || ! find . -name '*.tmp' | sort | cmp -s - drafts_before; then fail "something half-written was left"; fi
echo "train_detector: passed"
