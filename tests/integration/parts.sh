#!/usr/bin/env bash
# Parts of a dataset, made one by one, make the same whole as one run; merging may be killed and repeated; verify says the
# same on any number of ranks.
# Usage: parts.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"

rm -rf "$scratch"
mkdir -p "$scratch/corpus/deeper"
cd "$scratch"

# Eleven images, two of which will be set aside, in parts 0-1, 2 and 3-5.
cp "$source"/tests/data/image/{ycc420,grey,cmyk,turned6,one_pixel,restarts}.jpg corpus/
cp "$source"/tests/data/golden/{landscape,portrait,thumb}.jpg corpus/deeper/
head -c 500 corpus/grey.jpg >corpus/cut.jpg
: >corpus/deeper/z_empty.jpg

fail() {
  echo "parts: $*" >&2
  exit 1
}

# expect STATUS WORDS COMMAND...: it ends with the status and says the words.
expect() {
  local wanted=$1 words=$2 status=0
  shift 2
  "$@" >said 2>&1 || status=$?
  [ "$status" -eq "$wanted" ] || { cat said >&2; fail "$* ended with $status, not $wanted"; }
  grep -q -- "$words" said || { cat said >&2; fail "$* does not say \"$words\""; }
}

# killed_after SECONDS COMMAND...: its status, 137 if it was killed, when it is dead and buried; what it says goes to said.
# (timeout -s KILL dies of its own signal, and may do so before the command.)
killed_after() {
  local seconds=$1 command killer status=0
  shift
  "$@" >said 2>&1 &
  command=$!
  { sleep "$seconds" && kill -KILL "$command"; } 2>/dev/null &
  killer=$!
  wait "$command" 2>/dev/null || status=$?
  kill "$killer" 2>/dev/null || true
  wait "$killer" 2>/dev/null || true
  return "$status"
}

settings=(--set amg.points_per_side=8 --set output.images_per_shard=2)
same_as_whole() {
  local file
  (cd "$1" && find . -path './part-*' -prune -o -type f ! -name run.json ! -name progress.json ! -name 'lock*' -print | sort) >files
  cmp files whole_files || fail "other files in $1 than in a whole run"
  while read -r file; do
    cmp "whole/$file" "$1/$file" || fail "$file of $1 is not that of a whole run"
  done <files
}

expect 1 "2 images were set aside" "$program" run corpus -o whole "${settings[@]}"
(cd whole && find . -type f ! -name run.json ! -name progress.json | sort) >whole_files
[ "$(wc -l <whole/quarantine.tsv)" -eq 3 ] || fail "quarantine.tsv should have a header and two lines"

expect 0 "nothing to do for out/part-6-7: the corpus's shards are 0-5" "$program" run corpus -o out --shards 6-7 \
  "${settings[@]}"
[ ! -e out ] || fail "nothing to do, but something was written"
expect 2 "as in 0-99" "$program" run corpus -o out --shards 2-1 "${settings[@]}"
expect 2 "as in 0-99" "$program" run corpus -o out --shards 1- "${settings[@]}"
expect 1 "set aside" mpirun -n 2 "$program" run corpus -o out --shards 0-1 "${settings[@]}"
expect 2 "in no part: 2-5" "$program" merge out
expect 2 "" "$program" run corpus -o out --shards 0-1 "${settings[@]}" # it is there
expect 1 "" "$program" run corpus -o out --shards 0-1 "${settings[@]}" --resume # it is done
# Beyond the end is the end. Killed somewhere, and resumed.
killed_after 1 "$program" run corpus -o out --shards 3-9 "${settings[@]}" || true
expect 0 "" mpirun -n 2 "$program" run corpus -o out --shards 3-9 "${settings[@]}" --resume
expect 1 "1 shard in" "$program" run corpus -o out --shards 2 "${settings[@]}"
expect 0 "good; 2 images" "$program" verify out/part-2-2
[ ! -e out/shards ] || fail "a merge that was refused wrote something"

# Killed again and again, a little later each time, until it comes through.
status=137
for ((after = 4; status == 137; after += after / 4)); do # milliseconds
  status=0
  killed_after "$((after / 1000)).$(printf '%03d' $((after % 1000)))" "$program" merge out || status=$?
done
[ "$status" -eq 1 ] || { cat said >&2; fail "merge ended with $status, not 1"; }
grep -q "2 images were set aside" said || fail "merge does not say how many were set aside"
same_as_whole out
expect 0 "good; 11 images" "$program" verify out
expect 1 "6 shards" "$program" merge out # once more
same_as_whole out
grep -q '"images_set_aside": 2,' out/run.json || fail "run.json of the whole has no sums"

# To another file system, which hard links cannot reach: copies.
if other=$(mktemp -d /dev/shm/maskmill-parts-XXXXXX 2>/dev/null); then
  trap 'rm -rf "$other"' EXIT
  expect 1 "6 shards" "$program" merge out/part-* -o "$other/joined"
  same_as_whole "$other/joined"
fi

# Damage, planted: the same findings on any number of ranks.
rm -rf out/part-*
printf 'x' | dd of=out/shards/sa_000001.h5 bs=1 seek=5000 conv=notrunc status=none
mv out/shards/sa_000002.h5 kept
mv out/shards/sa_000003.h5 out/shards/sa_000002.h5
mv kept out/shards/sa_000003.h5
rm out/shards/sa_000004.h5
for ranks in 1 2 4; do
  status=0
  mpirun -n "$ranks" "$program" verify out >"found$ranks" 2>/dev/null || status=$?
  [ "$status" -eq 4 ] || fail "verify on $ranks ranks ended with $status, not 4"
done
for shard in 1 2 3 4; do
  grep -q "sa_00000$shard.h5" found1 || fail "verify does not find the damage of shard $shard"
done
! grep -q 'sa_00000[05].h5' found1 || fail "verify finds damage in shards that have none"
cmp found1 found2 && cmp found1 found4 || fail "verify finds something else on several ranks"

# A run that has not ended.
rm out/dataset.h5 out/run.json out/shards/sa_00000[123].h5
expect 3 "its run has not ended" "$program" verify out
echo "parts: $(wc -l <whole_files) files are equal"
