#!/usr/bin/env bash
# The loop: three rounds with a scripted annotator, stopped where people are needed, killed at many moments, on one rank and
# on two; and what is refused before any work. Usage: engine.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3 me=engine
. "$source/tests/integration/killing.bash"
draw=$(dirname "$program")/tests/maskmill-draw-scenes
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "engine.sh: the scripted annotator needs Python 3.10"
  exit 77
fi
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

# ends STATUS COMMAND...: what it says is in last.txt.
ends() {
  local wanted=$1
  status=0
  shift
  "$@" >last.txt 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status instead of $wanted from: $*"
}

says() {
  local text
  for text in "$@"; do grep -qF -- "$text" last.txt || fail "it does not say: $text"; done
}

for n in 1 2 3; do "$draw" "scenes$n" "$n" 6; done
tiny=$source/tests/data/golden
model=(-m "$tiny/tiny.pth" --model-config "$tiny/tiny.config.json")

# answer QUEUE TRUTH FILE [OPTION...]: what the annotator draws.
answer() {
  rm -rf exported
  "$program" queue export "$1" --format coco -o exported >/dev/null
  "$source/scripts/play-annotator" exported "$2" "$3" "${@:4}" >played.txt
}

# --- Scenes to measure with: a dataset of the truth, by the same way. ---
ends 0 "$program" run scenes3/images -o blank "${model[@]}" --quiet --set amg.points_per_side=1 \
  --set amg.pred_iou_thresh=1 --set amg.max_area_fraction=1e-9
ends 0 "$program" queue build blank -o blank_queue --prefill nothing
says "6 images in 1 batch, with 0 masks filled in and 0 hints"
answer blank_queue scenes3/truth.json held.json
ends 0 "$program" queue import blank_queue held.json -o held
ends 0 "$program" stats held
says "assisted-manual"

cat >loop.yaml <<YAML
# two rounds with people, one without
model: $tiny/tiny.pth
model_config: $tiny/tiny.config.json
corpora:
  first: scenes1/images
  second: [scenes2/images]
validation:
  held: held
evaluate: {clicks: 3, masks: 8, generate: 2}
decoder:
  epochs: 2
  batch: 4
  rounds: 2
  masks: 4
  learning_rate: 0.001
  save_seconds: 0
detector: {epochs: 1, batch: 4, width: 8, depth: 1, save_seconds: 0}
run:
  set: [amg.points_per_side=5, amg.pred_iou_thresh=0, amg.stability_score_thresh=0]
rounds:
  - stage: assisted
    corpus: first
    train_detector: after
  - stage: semi-automatic
    corpus: second
    queue: {images: 5, batch: 3, answered: 0.8}
    run: {set: [detect.score_thresh=0, detect.pred_iou_thresh=0, detect.stability_score_thresh=0, detect.max_boxes=5]}
  - stage: automatic
    corpus: first
YAML

# --- What is wrong is said with its line, and nothing is made. ---
refused() { # SED_PROGRAM :LINE TEXT...
  sed "$1" loop.yaml >bad.yaml
  ends 2 "$program" engine bad.yaml -o bad
  says "bad.yaml$2" "${@:3}"
  [ ! -e bad ] || fail "a wrong config made something: $1"
}
refused 's/^decoder:/decoders:/' :10 "decoders: unknown key"
refused 's/  epochs: 2/  epochs: many/' :11 "decoder.epochs: many: give a number from 0.001"
refused 's/  rounds: 2/  rounds: 2.5/' :13 "decoder.rounds" "whole number"
refused 's/  batch: 4/  epochs: 4/' :12 "decoder.epochs: stands here a second time"
refused 's/stage: automatic/stage: manual/' :28 "rounds[2].stage: manual: give assisted, semi-automatic or automatic"
refused 's/stage: automatic/learn_from: all/' :28 "rounds[2].stage: is missing"
refused 's/corpus: second/corpus: third/' :25 "rounds[1].corpus: third: is none of the names under corpora"
refused 's/train_detector: after/train_detector: never/' :24 "rounds[1]" "needs a detector"
refused 's/train_detector: after/train_detector: before/' :21 "rounds[0]" "nothing to train on"
refused 's/images: 5/images: -5/' :26 "rounds[1].queue.images: -5"
refused 's/amg.points_per_side=5/amg.points=5/' :21 "rounds[0]" "amg.points"
refused 's/  held: held/  held: scenes1/' :8 "validation.held: is no dataset"
refused 's,scenes1/images,nowhere,' :5 "corpora.first: nowhere is not there"
refused 's/^rounds:/rounds: [/' : "is not YAML"
refused 's/^evaluate: .*/evaluate: 5/' :9 "evaluate: is a section"
refused '/^rounds:/,$d' : "has no rounds"
refused "s,^model: .*,model: nobody," :2 "model: " "nobody"
ends 2 "$program" engine missing.yaml -o bad
ends 2 "$program" engine loop.yaml
says "needs -o FOLDER"
sed 's/  batch: 4/  batch: 1/' loop.yaml >bad.yaml
ends 2 mpirun -n 2 "$program" engine bad.yaml -o bad
says "bad.yaml:21: rounds[0].decoder.batch" "cannot be shared by 2 ranks"
ends 2 "$program" engine loop.yaml -o scenes1
says "no loop"

# --- Undisturbed, on one rank. ---
ends 3 "$program" engine loop.yaml -o loop
says "round 1 waits for people: 0 of 6 images of loop/round-01/queue are answered" "maskmill annotate" "--resume"
ends 2 "$program" engine loop.yaml -o loop
says "has a loop already"
answer loop/round-01/queue scenes1/truth.json loop/round-01/answers/some.json --images 2
ends 3 "$program" engine loop.yaml -o loop --resume
says "2 of 6 images"
grep -q '"status": "waits for answers"' loop/engine.json || fail "engine.json does not say that it waits"
# A round that is begun stays what it is; what is to come may change.
sed 's/learning_rate: 0.001/learning_rate: 0.002/' loop.yaml >other.yaml
ends 2 "$program" engine other.yaml -o loop --resume
says "other.yaml:21: round 1 was begun with another learning-rate"
echo '{"images": [' >loop/round-01/answers/cut.json
ends 4 "$program" engine loop.yaml -o loop --resume
says "cut.json"
rm loop/round-01/answers/cut.json
answer loop/round-01/queue scenes1/truth.json loop/round-01/answers/some.json
cp loop/round-01/answers/some.json first.json
ends 3 "$program" engine loop.yaml -o loop --resume
says "round 2 waits for people: 0 of 5 images"
[ "$("$program" stats loop/round-01/dataset | grep -c assisted-manual)" -eq 1 ] || fail "round 1 is not told as assisted"
# The second round's answers are imported by hand; four of five are enough.
answer loop/round-02/queue scenes2/truth.json second.json --images 4
grep -q "deleted" played.txt
ends 0 "$program" queue import loop/round-02/queue second.json -o loop/round-02/dataset
ends 0 "$program" engine loop.yaml -o loop --resume
says "before the first round" "round 3, automatic: done" "4 images answered"
[ "$(grep -c '"status": "done"' loop/engine.json)" -eq 3 ] || fail "engine.json does not say that all is done"
[ "$(grep -c '"figures": {' loop/engine.json)" -eq 3 ] || fail "the model was not measured three times"
[ "$(grep -c '"recall50": ' loop/engine.json)" -eq 3 ] || fail "the grid's masks were not compared with the dataset's"
for k in 1 2; do
  sum=$(sha256sum "loop/round-0$k/model.safetensors" | cut -d ' ' -f 1)
  grep -q "$sum" loop/engine.json || fail "engine.json has not the model of round $k"
done
grep -q "$(sha256sum <loop/round-01/detector.safetensors | cut -d ' ' -f 1)" loop/round-02/run/engine.json ||
  fail "the run of round 2 was not made with the detector of round 1"
"$program" stats loop/round-03/run | grep -q fully-automatic || fail "round 3 is not told as fully automatic"
cp loop/engine.json before.json
ends 0 "$program" engine loop.yaml -o loop --resume
says "round 3, automatic: done"
cmp before.json loop/engine.json || fail "a loop that was done was changed"
mv loop whole

# same WHAT: everything that does not tell of times or attempts is byte for byte that of the undisturbed loop. A run that was
# killed when it was done leaves its lock, which is nobody's then, and may leave a draft of its progress.
same() {
  local file
  listed() {
    (cd "$1" && find . -type f ! -name run.json ! -name 'progress.json*' ! -name lock ! -path './embeddings/*' \
      ! -path '*/answers/*' | sort)
  }
  diff <(listed whole) <(listed loop) >&2 || fail "$1: other files than an undisturbed loop"
  for file in $(listed whole); do
    cmp "whole/$file" "loop/$file" || fail "$1: $file is not that of an undisturbed loop"
  done
}

# --- Killed at every moment that something comes into its place: at the first rename, later at the second, and so on. ---
deaths=0
for at in $(seq 1 200); do
  status=0
  # A shell of its own tells nobody of the kill.
  bash -c '"$@" >last.txt 2>&1; exit $?' killed env LD_PRELOAD="$shim" MASKMILL_SHIM_KILL_RENAME="$at" \
    ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$program" engine loop.yaml -o loop --resume 2>/dev/null ||
    status=$?
  case $status in
    0) break ;;
    3)
      if [ ! -e loop/round-02/queue ]; then
        mkdir -p loop/round-01/answers && cp first.json loop/round-01/answers/
      else
        cp second.json loop/round-02/answers/
      fi
      ;;
    137) deaths=$((deaths + 1)) ;;
    *) fail "status $status after a kill at rename $at" ;;
  esac
done
[ "$status" -eq 0 ] || fail "the loop did not end"
[ "$deaths" -ge 5 ] || fail "it was killed only $deaths times"
same "killed $deaths times"
rm -rf loop

# --- On two ranks, killed once and stopped once: what does not depend on sums in trainings is the same. ---
ends 3 mpirun -n 2 "$program" engine loop.yaml -o loop --quiet
cp first.json loop/round-01/answers/
mpirun -n 2 "$program" engine loop.yaml -o loop --resume >last.txt 2>&1 &
run=$!
for i in $(seq 1 6000); do
  [ ! -e loop/round-01/model.safetensors.resume ] || break
  kill -0 "$run" 2>/dev/null || break
  sleep 0.01
done
signal_ranks -9 || true
end
ends 3 mpirun -n 2 "$program" engine loop.yaml -o loop --resume
says "round 2 waits for people"
for part in run queue dataset; do
  diff -r --exclude=run.json --exclude=progress.json "whole/round-01/$part" "loop/round-01/$part" >&2 ||
    fail "$part of two ranks is not that of one"
done
cp second.json loop/round-02/answers/ # of the other loop's queue, by other weights: drawn masks count all the same
mpirun -n 2 "$program" engine loop.yaml -o loop --resume >last.txt 2>&1 &
run=$!
for i in $(seq 1 6000); do
  [ ! -e loop/round-02/dataset ] || break
  kill -0 "$run" 2>/dev/null || break
  sleep 0.01
done
signal_run -USR1 || true
end
ends 0 mpirun -n 2 "$program" engine loop.yaml -o loop --resume
says "round 3, automatic: done"
