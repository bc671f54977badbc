#!/usr/bin/env bash
# `maskmill status` while a run is alive and after every kind of end: stopped by a signal, resumed and done, killed,
# failed.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
. "$source/scripts/mpi-environment"

rm -rf "$scratch"
mkdir -p "$scratch/corpus"
cd "$scratch"

fail() {
  echo "status.sh: $*" >&2
  exit 1
}

pid=
trap 'if [ -n "$pid" ]; then kill -9 "$pid" 2>/dev/null || true; fi' EXIT

# value KEY: of the status of out
value() {
  { "$maskmill" status out --json 2>/dev/null || true; } |
    sed -n "s/^ \"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p"
}

# says STATUS WORD: what `status` says of out and ends with
says() {
  local status=0
  "$maskmill" status out >said || status=$?
  [ "$status" -eq "$1" ] || fail "status ended with $status instead of $1: $(cat said)"
  head -n 1 said | grep -q "^out: $2, begun 20.* on .* (.*process [0-9]*)$" || fail "not '$2': $(cat said)"
}

# begun: the run in the background has finished an image
begun() {
  for _ in $(seq 3000); do
    local done
    done=$(value images_done)
    if [ -n "$done" ] && [ "$done" -gt 0 ] && [ "$(value life)" = alive ]; then return; fi
    kill -0 "$pid" 2>/dev/null || fail "the run ended too early: $(cat log)"
    sleep 0.1
  done
  fail "no image in five minutes: $(cat log)"
}

for photograph in /usr/share/backgrounds/mate/nature/{Dune,Garden,LadyBird,Storm,Wood,YellowFlower}.jpg; do
  for copy in 1 2 3 4 5; do ln -s "$photograph" "corpus/$copy-$(basename "$photograph")"; done
done
run=("$maskmill" run corpus -o out -q --set amg.points_per_side=16 --set output.images_per_shard=4)

echo "-- nothing there"
mkdir empty
status=0
"$maskmill" status empty 2>said || status=$?
[ "$status" -eq 4 ] && grep -q "no progress.json" said || fail "of an empty folder: $status, $(cat said)"

echo "-- alive, then stopped"
"${run[@]}" 2>log &
pid=$!
begun
says 0 running
for line in "  alive .* ago" "  images .* of 30 (.*%)" "  pace .* images/s"; do
  grep -q "^$line" said || fail "no '$line': $(cat said)"
done
kill -USR1 "$pid"
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 3 ] || fail "SIGUSR1 ended the run with $status: $(cat log)"
says 3 stopped
grep -q "^  reason .*SIGUSR1" said || fail "no reason: $(cat said)"
grep -q -- "--resume" said || fail "not how to go on: $(cat said)"
kept=$(value images_done)

echo "-- resumed by two ranks, and done"
mpirun -n 2 "${run[@]}" --resume 2>log || fail "resuming: $(cat log)"
says 0 done
grep -q "^  images     30 of 30 (100 %), $kept by earlier attempts" said || fail "done: $(cat said)"
[ "$(value images_before)" -eq "$kept" ] && [ "$(value images_done)" -eq 30 ] || fail "counts: $(cat out/progress.json)"
[ "$(value masks)" -eq "$("$maskmill" stats out --json | sed -n 's/.*"masks": \([0-9]*\),.*/\1/p')" ] || fail "masks"
[ ! -e out/progress.json.tmp ] || fail "a temporary file was left"

echo "-- killed"
"${run[@]}" --overwrite 2>log &
pid=$!
begun
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
pid=
says 3 dead
[ "$(value life)" = dead ] && [ "$(value state)" = running ] || fail "killed: $(cat out/progress.json)"

echo "-- failed"
rm -rf out
"${run[@]}" 2>log &
pid=$!
for _ in $(seq 3000); do
  if [ -d out/shards ]; then break; fi
  sleep 0.1
done
mkdir out/shards/sa_000003.h5 # where a shard wants to go
status=0
wait "$pid" || status=$?
pid=
[ "$status" -eq 4 ] || fail "a shard that cannot be put in place ended the run with $status: $(cat log)"
says 4 failed
grep -q "^  reason .*sa_000003" said || fail "no reason: $(cat said)"
echo "status.sh: alive, stopped, done, dead and failed are told apart"
