#!/usr/bin/env bash
# Training a decoder: equal results for equal ranks, killed and stopped trainings that go on bit for bit, full disks, NaN, and
# what is refused. Usage: train_decoder.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3 me=train_decoder
. "$source/tests/integration/killing.bash"
make_corpus # `whole` is a dataset of automatic masks by the tiny model

model=("${options[@]:0:4}")
training=("${model[@]}" --epochs 3 --masks 4 --rounds 4 --learning-rate 0.001)

embeddings=kept

# train OUT RANKS [OPTION...]: status in $status, what it says in last.txt.
train() {
  local out=$1 ranks=$2
  shift 2
  status=0
  mpirun -n "$ranks" "$program" train decoder whole -o "$out" --embeddings "$embeddings" "${training[@]}" "$@" >last.txt 2>&1 || status=$?
}

expect() {
  [ "$status" -eq "$1" ] || fail "status $status instead of $1, where the line should say: ${*:2}"
  local text
  for text in "${@:2}"; do
    grep -qF -- "$text" last.txt || fail "the line does not say: $text"
  done
}

# --- Undisturbed, on two ranks and on one. ---
train two.safetensors 2
expect 0 "15 steps (0 left out)" "after one click" "38 images encoded"
[ ! -e two.safetensors.resume ] || fail "a state is left behind"
[ "$(wc -l <two.safetensors.jsonl)" -eq 5 ] || fail "the log should have the options and four measurements"
train again.safetensors 2
expect 0 "0 images encoded"
cmp two.safetensors again.safetensors || fail "two trainings of two ranks differ"
train one.safetensors 1
expect 0 "15 steps"
train nested.safetensors 1 --nested --epochs 1
expect 0 "5 steps"
grep -q '"nested": *true' nested.safetensors.jsonl || fail "the log does not tell of --nested"
train flipped.safetensors 1 --nested --epochs 1 --flip
expect 0 "5 steps"
grep -q '"flip": *true' flipped.safetensors.jsonl || fail "the log does not tell of --flip"
cmp -s nested.safetensors flipped.safetensors && fail "no image was flipped"
train two.safetensors 2
expect 2 "two.safetensors is there already" "--resume"
train two.safetensors 2 --resume
expect 0 "trained already"

# --- What comes of it is a model: it says what the first one said, its encoder is the same, its decoder is not. ---
"$program" model info "${model[1]}" --model-config "${model[3]}" >before.txt
"$program" model info two.safetensors >after.txt || fail "the result is no model"
"$program" segment "$source/tests/data/golden/landscape.jpg" -m two.safetensors --point 60,40 -o masks.json
grep -q '"counts"' masks.json || fail "the result makes no masks"
"$program" model convert "${model[1]}" --model-config "${model[3]}" -o before.safetensors
[ "$(wc -c <before.safetensors)" -eq "$(wc -c <two.safetensors)" ] || fail "the result has other tensors"
cmp -s before.safetensors two.safetensors && fail "nothing was learnt"

# --- What it has learnt. The same on two ranks. ---
"$program" eval whole -m "${model[1]}" --model-config "${model[3]}" --embeddings kept --clicks 2 --json >eval_before.json
"$program" eval whole -m two.safetensors --embeddings kept --clicks 2 --json >eval_after.json
mpirun -n 2 "$program" eval whole -m two.safetensors --embeddings kept --clicks 2 --json >eval_ranks.json
cmp eval_after.json eval_ranks.json || fail "eval says something else on two ranks"
"$program" eval whole -m two.safetensors --embeddings kept | grep -q "5 clicks" || fail "eval has no table"
grep -q '"answers"' eval_after.json || fail "eval does not tell of predicted IoUs"
cmp -s eval_before.json eval_after.json && fail "eval sees no difference"
# The random model learns something even in so few steps: losses of the first epoch and of the last.
losses() { sed -n 's/.*"loss":\([0-9.]*\).*/\1/p' two.safetensors.jsonl | tail -n 3 | sed -n "$1p"; }
awk "BEGIN {exit !($(losses 3) < $(losses 1))}" || fail "the loss was $(losses 1) and is $(losses 3)"

# --- Killed, stopped, and on a full disk: the same bits in the end. ---
# hit COMMAND...: begin a training, do COMMAND when a state is there, wait for the end.
hit() {
  rm -f hit.safetensors*
  mpirun -n 2 "$program" train decoder whole -o hit.safetensors --embeddings kept "${training[@]}" --save-seconds 0 >last.txt 2>&1 &
  run=$!
  local i
  for i in $(seq 1 6000); do
    [ ! -e hit.safetensors.resume ] || break
    kill -0 "$run" 2>/dev/null || break
    sleep 0.01
  done
  "$@" || true
  end
}

# go_on: after a hit. On a busy machine the hit may come when all is over, which shows nothing, but is no fault.
go_on() {
  train hit.safetensors 2 --resume
  expect 0
  cmp two.safetensors hit.safetensors || fail "$1: not the weights of an undisturbed training"
}
hit signal_ranks -9
go_on "killed"
hit signal_run -TERM
if [ "$status" -eq 3 ]; then expect 3 "stopped by a signal after step" "--resume goes on"; fi
go_on "SIGTERM"
hit signal_run -USR1
if [ "$status" -eq 3 ]; then expect 3 "stopped by a signal after step" "--resume goes on"; fi
if [ -e hit.safetensors.resume ]; then
  cp hit.safetensors.resume state
  train hit.safetensors 2 --resume --learning-rate 0.002
  expect 2 "was begun otherwise" "learning_rate was 0.001 and is now 0.002"
  train hit.safetensors 1 --resume
  expect 2 "ranks was 2 and is now 1"
  cmp state hit.safetensors.resume || fail "a refused training touched the state"
  # The next state goes to a disk that is full.
  ln -s /dev/full hit.safetensors.resume.tmp
  train hit.safetensors 2 --resume --save-seconds 0
  expect 4 "cannot write hit.safetensors.resume; make room" "No space left"
  cmp state hit.safetensors.resume || fail "a full disk took the last good state"
  head -c 1000 state >hit.safetensors.resume
  train hit.safetensors 2 --resume
  expect 4 "hit.safetensors.resume"
  cp state hit.safetensors.resume
fi
go_on "SIGUSR1"

# --- An embedding that is no number: its steps are left out, and counted. ---
poison=$(dirname "$program")/tests/maskmill-poison-embedding
"$poison" poisoned "${model[1]}" "${model[3]}" corpus/grey.jpg
embeddings=poisoned
train nan.safetensors 2 --validation-share 0
expect 0 "is left out" "are no numbers" "15 steps (3 left out)"
"$program" segment "$source/tests/data/golden/landscape.jpg" -m nan.safetensors --point 60,40 -o masks.json
grep -q 'nan' masks.json && fail "NaN went into the weights"

# --- In bf16, where the machine has it: equal bits again, and also after a stop. ---
embeddings=kept
train bf16.safetensors 2 --precision bf16
if [ "$status" -eq 0 ]; then
  train bf16_again.safetensors 2 --precision bf16
  expect 0 "15 steps"
  cmp bf16.safetensors bf16_again.safetensors || fail "two trainings in bf16 differ"
  cmp -s bf16.safetensors two.safetensors && fail "bf16 is f32"
  training+=(--precision bf16)
  hit signal_run -TERM
  if [ -e hit.safetensors.resume ]; then
    cp hit.safetensors.resume state
    train hit.safetensors 2 --resume --precision f32
    expect 2 "was begun otherwise"
    cmp state hit.safetensors.resume || fail "a refused training touched the state"
  fi
  train hit.safetensors 2 --resume
  expect 0
  cmp bf16.safetensors hit.safetensors || fail "bf16: not the weights of an undisturbed training"
  unset 'training[-1]' 'training[-1]'
else
  expect 4 "bf16"
fi

# --- What cannot be trained with. ---
train bad.safetensors 2 --batch 1
expect 2 "cannot be shared by 2 ranks"
train bad.safetensors 1 --source-weights 0,0,0
expect 2 "no mask would be trained on"
train bad.safetensors 1 --rounds 17
expect 2 "--rounds"
echo '{"images": [], "annotations": []}' >coco.json
train bad.safetensors 1 coco.json
expect 4 "coco.json"
mv corpus/grey.jpg corpus/elsewhere
train bad.safetensors 2
expect 4 "grey.jpg"
mv corpus/elsewhere corpus/grey.jpg
cp corpus/grey.jpg grey.jpg && cp "$source/tests/data/golden/portrait.jpg" corpus/grey.jpg
train bad.safetensors 2
expect 4 "grey.jpg"
mv grey.jpg corpus/grey.jpg
[ ! -e bad.safetensors ] || fail "a refused training left a model"
