#!/usr/bin/env bash
# What the scripts of jobs/ do with each way a run can end, with commands that only pretend: no Slurm, no MPI.
# slurm.sh has the real ones. Usage: jobs.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
source=$2 scratch=$3

rm -rf "$scratch"
mkdir -p "$scratch/bin"
cd "$scratch"

fail() {
  echo "jobs: $*" >&2
  [ ! -e log.txt ] || sed 's/^/jobs: | /' log.txt >&2
  exit 1
}

# The one file to copy, edit and submit is worth the same lines twice; they must stay the same.
block() { sed -n '/^# --- ranks, signals/,/^# --- until here/p' "$source/jobs/$1.sbatch"; }
[ "$(block array | wc -l)" -gt 30 ] || fail "array.sbatch has lost the lines on ranks, signals and the queue"
[ "$(block array)" = "$(block build_dataset)" ] || fail "these lines differ: $(diff <(block array) <(block build_dataset))"
if command -v shellcheck >/dev/null; then
  shellcheck "$source"/jobs/*.sbatch || fail "shellcheck finds faults"
fi

# --- commands that pretend ---
cat >bin/mpirun <<'E'
#!/usr/bin/env bash
echo "$*" >>calls.txt
trap 'echo passed on >>calls.txt; exit 3' USR1
. ./ranks.sh
E
cat >bin/maskmill <<'E'
#!/usr/bin/env bash
echo "maskmill $*" >>calls.txt
. ./merge.sh
E
cat >bin/scontrol <<'E'
#!/usr/bin/env bash
echo "scontrol $*" >>calls.txt
kill -TERM $$ $PPID # what requeueing does to the job that asks for it
[ ! -e refuse_requeue ]
E
cat >bin/squeue <<'E'
#!/usr/bin/env bash
case "$*" in *PENDING*) cat pending.txt ;; *) cat active.txt ;; esac
E
chmod +x bin/*
ln bin/mpirun bin/srun
PATH=$scratch/bin:$PATH
unset SLURM_CPUS_PER_TASK SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_RESTART_COUNT LAUNCH MAX_RESTARTS
export CORPUS=corpus OUT=out MODEL=vit_b SLURM_JOB_ID=77

# submit SCRIPT RANKS [ARGUMENT...]: runs it with ranks that do RANKS; sets status
submit() {
  local script=$1
  printf '%s\n' "$2" >ranks.sh
  shift 2
  rm -f calls.txt log.txt
  status=0
  bash "$source/jobs/$script.sbatch" "$@" >log.txt 2>&1 || status=$?
}

# ends STATUS REQUEUED TEXT: how the last one ended; REQUEUED is the job's name, or nothing
ends() {
  [ "$status" -eq "$1" ] || fail "status $status instead of $1"
  [ "$(sed -n 's/^scontrol requeue //p' calls.txt)" = "$2" ] || fail "requeued '$(grep scontrol calls.txt)', not '$2'"
  [ -z "$3" ] || grep -q -- "$3" log.txt || fail "the log has no '$3'"
  cases=$((cases + 1))
}
cases=0
rm -rf out part
progress="mkdir -p out/journal && echo \$RANDOM\$RANDOM\$RANDOM >>out/journal/sa_000000.mmj"
whole='mkdir -p out && touch out/run.json'

# --- one big run ---
submit build_dataset "$whole; exit 0" -c sa1b --set 'a.b=c d'
ends 0 '' 'out is done'
grep -qx 'maskmill run corpus -o out -m vit_b --resume -c sa1b --set a.b=c d' calls.txt || fail "other words: $(cat calls.txt)"
submit build_dataset "$whole; exit 1"
ends 0 '' 'set aside.*out/quarantine.tsv'
rm -rf out
submit build_dataset "exit 0"
ends 1 '' 'nothing was made'
submit build_dataset "exit 1"
ends 1 '' 'broke off with status 1, and did nothing'
submit build_dataset "$progress; exit 1"
ends 1 77 'broke off with status 1; back in the queue'
submit build_dataset "$progress; exit 2"
ends 2 '' 'status 2'
submit build_dataset "$progress; exit 4"
ends 4 '' 'status 4'
submit build_dataset "$progress; exit 3"
ends 3 77 'ahead of the time limit; back in the queue'
submit build_dataset "exit 3"
ends 3 '' 'did nothing since it started'
submit build_dataset "$progress; kill -9 \$\$"
ends 137 77 'broke off with status 137; back in the queue'
SLURM_RESTART_COUNT=99 submit build_dataset "$progress; exit 3"
ends 3 77 'back in the queue'
SLURM_RESTART_COUNT=100 submit build_dataset "$progress; exit 3"
ends 3 '' '100 times (MAX_RESTARTS)'
MAX_RESTARTS=2 SLURM_RESTART_COUNT=2 submit build_dataset "$progress; exit 3"
ends 3 '' '2 times (MAX_RESTARTS)'
touch refuse_requeue
submit build_dataset "$progress; exit 3"
ends 3 77 'cannot be put back'
rm refuse_requeue

# Signals: USR1 to the shell alone reaches the ranks; a launcher that it kills is no crash. TERM goes to all processes.
wait_forever='for _ in {1..600}; do sleep 0.1; done; exit 99'
submit build_dataset "$progress; kill -USR1 \$PPID; $wait_forever"
grep -qx 'passed on' calls.txt || fail "USR1 was not passed on"
ends 3 77 'ahead of the time limit; back in the queue'
submit build_dataset "$progress; trap - USR1; kill -USR1 \$PPID; $wait_forever"
ends 138 77 'ahead of the time limit; back in the queue'
submit build_dataset "$progress; kill -TERM \$PPID; sleep 0.2; exit 1"
ends 1 '' 'told to end'
submit build_dataset "$progress; $whole; kill -TERM \$PPID; sleep 0.2; exit 0"
ends 0 '' 'out is done'

LAUNCH='srun --mpi=pmix' submit build_dataset "$whole; exit 0"
ends 0 '' 'out is done'
grep -qx -- '--mpi=pmix maskmill run corpus -o out -m vit_b --resume' calls.txt || fail "LAUNCH: $(cat calls.txt)"
for variable in CORPUS OUT MODEL; do
  status=0
  (unset "$variable"; bash "$source/jobs/build_dataset.sbatch") >log.txt 2>&1 || status=$?
  [ "$status" -ne 0 ] || fail "no $variable, and status 0"
  grep -q "set $variable to" log.txt || fail "no word on $variable"
done

# --- arrays ---
export SLURM_ARRAY_JOB_ID=70 SLURM_ARRAY_TASK_ID=2 SHARDS_PER_TASK=10
: >pending.txt
echo 2 >active.txt
echo 'exit 0' >merge.sh
part=out/part-20-29
whole="mkdir -p $part && touch $part/run.json"
progress="mkdir -p $part/shards && echo \$RANDOM\$RANDOM\$RANDOM >>$part/shards/sa_000020.h5"
rm -rf out
submit array "$progress; exit 3"
ends 3 70_2 'back in the queue'
submit array "$progress; exit 4"
ends 4 '' 'status 4'
submit array "$whole; exit 0" -c sa1b
ends 0 '' 'out is whole'
grep -qx "maskmill run corpus -o out --shards 20-29 -m vit_b --resume -c sa1b" calls.txt || fail "words: $(cat calls.txt)"
grep -qx 'maskmill merge out' calls.txt || fail "not merged: $(cat calls.txt)"
# Not the last one: something is to come, or not whole.
echo 5 >pending.txt
submit array "$whole; exit 1"
ends 0 '' 'tasks to come'
: >pending.txt
mkdir out/part-0-9
submit array "$whole; exit 0"
ends 0 '' 'out/part-0-9 is not done'
grep -q merge calls.txt && fail "merged too early"
touch out/part-0-9/run.json
# Others were faster, or there is nothing to do.
touch -d '1 minute' out/run.json
submit array "$whole; exit 0"
ends 0 '' 'another task has joined'
rm out/run.json
SLURM_ARRAY_TASK_ID=9 submit array 'exit 0'
ends 0 '' 'nothing was made'
grep -q merge calls.txt && fail "merged by one who has done nothing"
# The last one, and the parts do not fit.
echo 'exit 2' >merge.sh
submit array "$whole; exit 0"
ends 2 '' 'could not be joined'
printf '2\n3\n' >active.txt
submit array "$whole; exit 0"
ends 0 '' 'other tasks are running'

# --- a list ---
unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
MANIFEST=list.h5 submit scan 'exit 0' more.tar
ends 0 '' ''
grep -qx 'maskmill scan corpus -o list.h5 more.tar' calls.txt || fail "other words: $(cat calls.txt)"
MANIFEST=list.h5 submit scan 'exit 4'
ends 4 '' ''
echo "jobs: $cases endings"
