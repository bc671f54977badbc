# shellcheck shell=bash
# To be sourced by tests that stop runs: a corpus, a run of it that nothing disturbs, and ways to begin, hit, resume and
# compare others. Needs $program, $source, $scratch; the caller's name is $me.
. "$source/scripts/mpi-environment"
command=(run corpus) # what begin and resume do
shim=$(dirname "$program")/tests/libmaskmill-shim.so

fail() {
  echo "$me: $*" >&2
  [ ! -e "$scratch/last.txt" ] || tail -n 40 "$scratch/last.txt" >&2
  exit 1
}

# 40 images, 25 to 40 ms each, in shards of 7, of which two will be set aside.
make_corpus() {
  rm -rf "$scratch"
  mkdir -p "$scratch/corpus"
  cd "$scratch"
  local i
  for i in $(seq 10 42); do cp "$source/tests/data/image/ycc420.jpg" "corpus/i$i.jpg"; done
  cp "$source"/tests/data/image/{grey,cmyk,turned6,one_pixel,restarts}.jpg corpus/
  head -c 400 corpus/grey.jpg >corpus/i20_cut.jpg
  : >corpus/i30_empty.jpg
  images=$(find corpus -type f | wc -l)
  options=(-m "$source/tests/data/golden/tiny.pth" --model-config "$source/tests/data/golden/tiny.config.json"
    --set amg.points_per_side=8 --set amg.pred_iou_thresh=0 --set amg.stability_score_thresh=0
    --set output.images_per_shard=7)
  status=0
  "$program" run corpus -o whole "${options[@]}" --quiet >last.txt 2>&1 || status=$?
  [ "$status" -eq 1 ] || fail "the undisturbed run ended with status $status, not 1"
}

# begin FOLDER RANKS [OPTION...]: in the background; $run is mpirun, what it says goes to last.txt.
begin() {
  local out=$1 ranks=$2
  shift 2
  touch began
  mpirun -n "$ranks" "$program" "${command[@]}" -o "$out" "${options[@]}" "$@" >last.txt 2>&1 &
  run=$!
}

# with_shim NAME=VALUE COMMAND...: the command's programs run with tests/tools/shim.c in them.
with_shim() {
  [ -e "$shim" ] || fail "$shim was not built"
  local setting=$1
  shift
  export "${setting?}" LD_PRELOAD="$shim" ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0:handle_segv=0"
  "$@"
  unset "${setting%%=*}" LD_PRELOAD
}

# Images that the present attempt has begun.
begun() {
  local total=0 word
  for word in $(find "$1/journal" -name 'hand_*' -newer began -exec sed -n 's/^image .* begun \([0-9]*\) waiting.*/\1/p' {} + \
    2>/dev/null); do
    total=$((total + word))
  done
  echo "$total"
}

# await FOLDER COUNT: until so many are begun; false if the run ends before. The wait is generous.
await() {
  local i
  for i in $(seq 1 6000); do
    [ "$(begun "$1")" -lt "$2" ] || return 0
    kill -0 "$run" 2>/dev/null || return 1
    sleep 0.01
  done
  fail "the run did not begin $2 images within a minute"
}

# interrupt FOLDER RANKS COUNT COMMAND...: begin a run, do COMMAND when so many images are begun, and wait for the end. On a
# busy machine the command may come when the run is over; then all of it is tried again.
interrupt() {
  local tries
  for tries in $(seq 1 8); do
    rm -rf "$1"
    begin "$1" "$2"
    if await "$1" "$3"; then "${@:4}" || true; fi
    end
    [ -e "$1/run.json" ] || return 0
  done
  fail "$1: the run was over before it was stopped, $tries times"
}

# For interrupt: a signal to mpirun, to one of its ranks, to all of them.
signal_run() { kill "$1" "$run"; }
signal_rank() { kill "$1" "$(rank "$2")"; }
signal_ranks() {
  # shellcheck disable=SC2046
  kill "$1" $(pgrep -P "$run")
}

# Process number of rank $1 of $run.
rank() {
  local pid
  for pid in $(pgrep -P "$run"); do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
      echo "$pid"
      return
    fi
  done
  fail "no process is rank $1"
}

# end: wait for mpirun; its status is in $status then. Open MPI's mpirun may wait for ever for ranks that were killed while
# they started; when all of them have been dead for seconds, it is killed, too.
end() {
  local dead=0 state
  while [ "$dead" -lt 100 ]; do
    state=$(ps -o stat= -p "$run" || true)
    [[ $state == [A-Y]* ]] || break
    if ps -o stat= --ppid "$run" | grep -qv '^Z'; then dead=0; else dead=$((dead + 1)); fi
    sleep 0.03
  done
  kill -9 "$run" 2>/dev/null || true
  status=0
  wait "$run" 2>/dev/null || status=$?
}

# resume FOLDER RANKS [OPTION...]: to the end; status in $status.
resume() {
  local out=$1 ranks=$2
  shift 2
  status=0
  mpirun -n "$ranks" "$program" "${command[@]}" -o "$out" "${options[@]}" --resume "$@" >last.txt 2>&1 || status=$?
}

# same FOLDER: everything that does not tell of times is byte for byte that of the undisturbed run; no image is counted
# twice; and no more was made again than the attempts that died had in hand.
same() {
  local file
  (cd whole && find . -type f ! -name run.json ! -name progress.json | sort) >expected.txt
  (cd "$1" && find . -type f ! -name run.json ! -name progress.json | sort) >found.txt
  diff expected.txt found.txt >&2 || fail "$1 has other files than an undisturbed run"
  while read -r file; do
    cmp "whole/$file" "$1/$file" || fail "$1/$file is not that of an undisturbed run"
  done <expected.txt
  for key in images_done images_set_aside masks shards; do
    [ "$(grep "^  \"$key\":" "$1/run.json")" = "$(grep "^  \"$key\":" whole/run.json)" ] || fail "$key is miscounted in $1/run.json"
  done
  local made in_hand
  made=$(awk '/"images_begun":/ {sum += $2} END {print sum + 0}' FS=: "$1/run.json")
  in_hand=$(awk '/"in_hand":/ {sum += $2} END {print sum + 0}' FS=: "$1/run.json")
  [ "$made" -ge "$images" ] || fail "$1: only $made of $images images were ever begun"
  [ $((made - images)) -le "$in_hand" ] ||
    fail "$1: $((made - images)) images were made again, but only $in_hand were in hand"
  made_again=$((made - images))
}

# kept FOLDER: how many images the last attempt found, as it says in run.json.
kept() {
  awk '/"images_kept":/ {last = $2} END {print last + 0}' FS=: "$1/run.json"
}
