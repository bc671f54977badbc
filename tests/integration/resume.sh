#!/usr/bin/env bash
# What --resume refuses and says; images that kill the process; two runs on one folder; full disks.
# Usage: resume.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3 me=resume
. "$source/tests/integration/killing.bash"
make_corpus

# expect STATUS TEXT...: of the last run.
expect() {
  [ "$status" -eq "$1" ] || fail "status $status instead of $1, where the line should say: ${*:2}"
  local text
  for text in "${@:2}"; do
    grep -qF -- "$text" last.txt || fail "the line does not say: $text"
  done
}

# --- From nothing, and from what is complete. ---
resume new 2
expect 1 "38 images"
same new
cp new/run.json before.json
resume new 1
expect 1 "new is complete already" "38 images" "2 images were set aside"
cmp before.json new/run.json || fail "a complete run was touched"
resume new 1 --set amg.points_per_side=4
expect 2 "amg.points_per_side was 8 and is now 4"
status=0
"$program" run corpus -o new "${options[@]}" --resume --overwrite >last.txt 2>&1 || status=$?
expect 2 "--resume" "--overwrite"

# --- Only with what it was begun with. ---
interrupt base 2 9 signal_run -USR1
[ "$status" -eq 3 ] || fail "SIGUSR1 gave status $status"
cp -a base/journal journal_before
resume base 2 --set amg.box_nms_thresh=0.5 --set output.short_side=20
expect 2 "base was begun otherwise" "amg.box_nms_thresh was 0.7 and is now 0.5" "output.short_side was 0 and is now 20"
cp "$source/tests/data/golden/tiny.pth" other.pth
printf 'x' >>other.pth # bytes behind the archive change the fingerprint alone
status=0
"$program" run corpus -o base "${options[@]:4}" -m other.pth --model-config "${options[3]}" --resume >last.txt 2>&1 || status=$?
expect 2 "base was begun otherwise" "the model was"
mkdir other && cp corpus/grey.jpg other/
status=0
"$program" run other -o base "${options[@]}" --resume >last.txt 2>&1 || status=$?
expect 2 "base was begun otherwise" "$PWD/corpus" "$PWD/other"
precision=$(sed -n 's/.*"precision": "\(.*\)".*/\1/p' base/begun.json)
case $precision in f32) other=bf16 ;; *) other=f32 ;; esac
resume base 1 --precision $other
[ "$status" -eq 2 ] || [ "$status" -eq 4 ] || fail "another precision: status $status" # 4: not on this CPU
if [ $other = f32 ]; then expect 2 "the precision was bf16 and is now f32"; fi
cp base/manifest.h5 manifest_before
"$program" scan other -o one.h5 >/dev/null && cp one.h5 base/manifest.h5
resume base 1
expect 2 "manifest.h5 had 40 images" "and now has 1"
cp manifest_before base/manifest.h5
diff -r journal_before base/journal >&2 || fail "a refused run touched the journals"
# What only says how a run goes may change.
status=0
"$program" run corpus -o base "${options[@]}" >last.txt 2>&1 || status=$?
expect 2 "base holds a run that has not ended" "--resume"
resume base 3 --set journal.sync_seconds=0
expect 1 "base is resumed"
same base

# --- Two runs on one folder. ---
with_shim MASKMILL_SHIM_SLOW=21x13 begin two 2 # its last image keeps it alive until the second was refused
await two 3 || fail "the first run is over"
status=0
"$program" run corpus -o two "${options[@]}" --resume >second.txt 2>&1 || status=$?
[ "$status" -eq 2 ] && grep -q "another run writes into two: process [0-9]* on this host" second.txt ||
  { cat second.txt >&2; fail "a second run was not refused (status $status)"; }
end
[ "$status" -eq 1 ] || fail "the first run was disturbed by the second: status $status"
same two
# A lock of another host: alive for two minutes after its last sign of life, then stale.
mkdir far
printf 'maskmill lock\nhost elsewhere\nboot x\nspace y\npid 77\nstart 5\njob slurm 4711 restart 0\ntoken z\nbeats 1\n' >far/lock
resume far 1
expect 2 "another run writes into far: process 77 on host elsewhere, job slurm 4711 restart 0" "try again in"
touch -d '10 minutes ago' far/lock
resume far 1
expect 1 "note: took over the lock of a run on host elsewhere: its last sign of life is" "38 images"
same far
# The same job, started again by its scheduler: at once.
mkdir again
printf 'maskmill lock\nhost elsewhere\nboot x\nspace y\npid 77\nstart 5\njob slurm 4711 restart 0\ntoken z\nbeats 1\n' >again/lock
export SLURM_JOB_ID=4711 SLURM_RESTART_COUNT=1
status=0
env -u OMPI_COMM_WORLD_RANK "$program" run corpus -o again "${options[@]}" --resume >last.txt 2>&1 || status=$?
unset SLURM_JOB_ID SLURM_RESTART_COUNT
expect 1 "an earlier start of this job"
same again

# --- An image that kills the process that makes it: set aside alone, in a process of its own. ---
deadly=$((images - 1)) # turned6.jpg, the only one of 21x13
check_deadly() { # FOLDER WORD: only that image is set aside beside the usual two, and all other shards are as ever.
  awk -F '\t' -v id="$deadly" '$1 == id' "$1/quarantine.tsv" >line.txt
  [ "$(wc -l <"$1/quarantine.tsv")" -eq 4 ] && grep -q "$2" line.txt || { cat "$1/quarantine.tsv" >&2; fail "$1: wrong images set aside"; }
  local file
  for file in whole/shards/sa_00000[0-4].h5; do cmp "$file" "$1/shards/${file##*/}" || fail "$1: ${file##*/} differs"; done
}
with_shim MASKMILL_SHIM_CRASH=21x13 begin crash 2
end
[ "$status" -ne 0 ] && ! [ -e crash/run.json ] || fail "the deadly image did not end the run: status $status"
with_shim MASKMILL_SHIM_CRASH=21x13 resume crash 2
expect 1 "3 images were set aside"
check_deadly crash "internal.*signal 11 (Segmentation fault)"
grep -q '"suspects": [1-9]' crash/run.json || fail "no suspect was noted"
# Suspects that are innocent are made like all others.
with_shim MASKMILL_SHIM_CRASH=21x13 begin innocent 2
end
resume innocent 2
expect 1 "2 images were set aside"
same innocent
# Out of memory, as the system puts it.
with_shim MASKMILL_SHIM_KILL=21x13 begin starved 1
end
with_shim MASKMILL_SHIM_KILL=21x13 resume starved 1
expect 1 "3 images were set aside"
check_deadly starved "memory.*more memory than there is"

# --- Full disks: status 4, what to do, and nothing lost. ---
with_shim MASKMILL_SHIM_FULL=20000 begin full 2
end
expect 4 "cannot write full/journal/sa_" "make room or raise the quota" "No space left on device" "--resume goes on"
! grep -q . <(find full -name '*.tmp') || fail "temporary files were left"
resume full 2
expect 1 "full is resumed"
same full
# A real one, where mounting is allowed; else a limit on the size of files, which shards run into.
fill() {
  status=0
  mpirun -n 2 "$program" run corpus -o "$1" "${options[@]}" --resume >last.txt 2>&1 || status=$?
  [ "$status" -eq 4 ] && grep -q "make room" last.txt && grep -q -- "--resume goes on" last.txt ||
    fail "a full disk: status $status"
}
on_small_disk() {
  mount -t tmpfs -o size=100k none small 2>/dev/null || return 1
  trap 'umount "$scratch/small" 2>/dev/null || true' EXIT
  fill small/out
  mount -o remount,size=16m small
  status=0
  mpirun -n 3 "$program" run corpus -o small/out "${options[@]}" --resume >last.txt 2>&1 || status=$?
  cp -a small/out from_small
  umount small
  expect 1 "small/out is resumed"
}
mkdir -p small
if on_small_disk; then
  same from_small
  echo "resume: a disk of 100 kB was filled"
else
  (ulimit -f 12; fill limited)
  resume limited 2
  expect 1 "limited is resumed"
  same limited
  echo "resume: no right to mount a small disk; files were limited to 12 kB instead"
fi
echo "resume: good"
