#!/usr/bin/env bash
# Runs that are killed or stopped, and resumed, end with the files of a run that nothing disturbed.
# Usage: kill.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER      (MASKMILL_SEED=N repeats the random moments of an earlier run)
set -euo pipefail
program=$1 source=$2 scratch=$3 me=kill
. "$source/tests/integration/killing.bash"
make_corpus

# --- kill -9 of one rank, of rank 0, of all, of mpirun; on other numbers of ranks afterwards. ---
kill_and_resume() { # NAME RANKS_AFTERWARDS
  [ "$status" -ne 0 ] || fail "$1: mpirun did not notice that a rank was killed"
  resume "$1" "$2"
  [ "$status" -eq 1 ] || fail "$1: the resumed run ended with status $status, not 1"
  [ "$1" = one ] || grep -q "note: took over the lock" last.txt || fail "$1: the stale lock was not noticed"
  same "$1"
  [ "$(kept "$1")" -gt 0 ] || fail "$1: the resumed run began from the start"
  echo "kill: $1: $made_again images were made again"
}

interrupt one 3 10 signal_rank -9 2; kill_and_resume one 2
interrupt first 2 12 signal_rank -9 0; kill_and_resume first 3
interrupt all 3 16 signal_ranks -9; kill_and_resume all 1

# --- Signals, to one rank, to rank 0, to mpirun. ---
stop_and_resume() { # NAME STATUS...
  case " ${*:2} " in
  *" $status "*) ;;
  *) fail "$1: stopped with status $status instead of ${*:2}" ;;
  esac
  ! [ -e "$1/lock" ] || fail "$1: a lock was left"
  grep -Eq "^maskmill: stopped by SIG[A-Z0-9]+; .*[0-9]+ of $images images are kept, --resume" last.txt ||
    fail "$1: the last line does not say how to go on"
  resume "$1" 2
  [ "$status" -eq 1 ] || fail "$1: the resumed run ended with status $status, not 1"
  ! grep -q '"suspects": [1-9]' "$1/run.json" || fail "$1: images that were given up were taken for suspects"
  same "$1"
  echo "kill: $1: $made_again images were made again"
}

interrupt usr1_rank 3 9 signal_rank -USR1 1; stop_and_resume usr1_rank 3
[ "$made_again" -eq 0 ] || fail "SIGUSR1: images in hand were not finished"
interrupt usr1_all 3 9 signal_run -USR1; stop_and_resume usr1_all 3
[ "$made_again" -eq 0 ] || fail "SIGUSR1: images in hand were not finished"
interrupt term_first 2 9 signal_rank -TERM 0; stop_and_resume term_first 3
# mpirun that is told to end reports that, not what its ranks return. It may take a second to tell them; the slow image, the last
# by name, keeps the run from being over by then.
with_shim MASKMILL_SHIM_SLOW=21x13 interrupt term_all 3 9 signal_run -TERM
stop_and_resume term_all 1 3 143
# Without mpirun: Ctrl-C.
touch began
"$program" run corpus -o alone "${options[@]}" >last.txt 2>&1 &
run=$!
await alone 9; kill -INT "$run"; end; stop_and_resume alone 3

# An image that takes long does not keep SIGTERM waiting: what others have made is kept, and it is made later.
slow=$((images - 1)) # turned6.jpg, the last by name
with_shim MASKMILL_SHIM_SLOW=21x13 begin slow 2
for _ in $(seq 1 6000); do
  ! grep -qs "^image $slow " slow/journal/hand_* || break
  kill -0 "$run" 2>/dev/null || fail "slow: the run ended before its slow image was begun"
  sleep 0.01
done
kill -TERM "$(rank 1)"; end; stop_and_resume slow 3
[ "$made_again" -gt 0 ] || fail "slow: the slow image was finished after SIGTERM"

# --- A journal cut within its last record. ---
interrupt cut 2 12 signal_run -USR1
journal=$(find cut/journal -name 'sa_*.mmj' -size +2k | sort | head -n 1)
[ -n "$journal" ] || fail "cut: no journal was left"
size=$(stat -c %s "$journal")
truncate -s $((size - 1 - RANDOM % 200)) "$journal"
resume cut 3
[ "$status" -eq 1 ] || fail "cut: the resumed run ended with status $status, not 1"
grep -q '"bytes_cut": [1-9]' cut/run.json || fail "cut: the torn record was not noticed"
[ "$(awk '/"images_begun":/ {sum += $2} END {print sum}' FS=: cut/run.json)" -eq $((images + 1)) ] ||
  fail "cut: something else than the torn record was made again"
sed -i 's/"in_hand": 0/"in_hand": 1/' cut/run.json # the image that the cut took
same cut

# --- A shard damaged on the disk between two attempts is made again. ---
interrupt spoilt 2 20 signal_run -USR1
shard=$(find spoilt/shards -name 'sa_*.h5' | sort | head -n 1)
[ -n "$shard" ] || fail "spoilt: no shard was written"
printf 'x' | dd of="$shard" bs=1 seek=3000 conv=notrunc status=none
resume spoilt 2
[ "$status" -eq 1 ] || fail "spoilt: the resumed run ended with status $status, not 1"
grep -q "note: .*${shard#spoilt/}.*made again" last.txt || fail "spoilt: the damaged shard was not told"
sed -i 's/"in_hand": 0/"in_hand": 7/' spoilt/run.json # the shard's images
same spoilt

# --- kill -9 at 20 random moments: whichever attempt the moment falls in, of runs one after the other. ---
seed=${MASKMILL_SEED:-$RANDOM}
RANDOM=$seed
echo "kill: seed $seed"
kills=0 runs=0 again=0
rm -rf random
while [ "$kills" -lt 20 ]; do
  ranks=$((1 + RANDOM % 3)) moment=$((RANDOM % 600)) early=$((RANDOM % 5))
  begin random "$ranks" --resume
  # Mostly while images are made, sometimes during start-up; what is over before its moment was not killed.
  for _ in $(seq 1 200); do
    [ "$early" -ne 0 ] && [ "$(begun random)" -eq 0 ] || break
    kill -0 "$run" 2>/dev/null || break
    sleep 0.02
  done
  sleep "$(printf '0.%03d' "$moment")"
  victims=$(pgrep -P "$run" || true)
  [ $((RANDOM % 3)) -ne 0 ] || victims=$(echo "$victims" | head -n $((1 + RANDOM % 2)) | tail -n 1)
  # shellcheck disable=SC2086
  if [ -n "$victims" ] && kill -9 $victims 2>/dev/null; then kills=$((kills + 1)); fi
  end
  if [ -e random/run.json ]; then
    resume random 1
    [ "$status" -eq 1 ] || fail "random: the finished run ended with status $status, not 1 (seed $seed)"
    same random
    runs=$((runs + 1)) again=$((again + made_again))
    rm -rf random
  fi
done
resume random 2
[ "$status" -eq 1 ] || fail "random: the last run ended with status $status, not 1 (seed $seed)"
same random
echo "kill: $kills kills in $((runs + 1)) runs; $((again + made_again)) images were made again"
