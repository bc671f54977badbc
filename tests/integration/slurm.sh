#!/usr/bin/env bash
# jobs/*.sbatch, submitted as they are to a real Slurm: datasets come through time limits, requeueing, dead ranks and dead
# nodes, and are byte for byte what an undisturbed run makes. Usage: slurm.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"
. "$source/tests/integration/slurm-cluster"

missing=$(slurm_missing)
if [ -n "$missing" ]; then
  echo "slurm: skipped: $missing" >&2
  exit 77
fi
rm -rf "$scratch"
mkdir -p "$scratch/corpus/deeper"
cd "$scratch"

fail() {
  local file
  echo "slurm: $*" >&2
  for file in "$scratch"/slurm-*.out; do
    if [ -e "$file" ]; then tail -n 25 "$file" | sed "s|^|${file##*/}: |" >&2; fi
  done
  exit 1
}
trap slurm_stop EXIT
slurm_start || fail "no cluster could be started"
PATH=$(cd "$(dirname "$program")" && pwd):$PATH

# --- corpus and what an undisturbed run makes of it ---
for i in {0..11}; do
  for name in ycc420 grey turned6; do cp "$source/tests/data/image/$name.jpg" "corpus/$name$i.jpg"; done
  for name in landscape portrait; do cp "$source/tests/data/golden/$name.jpg" "corpus/deeper/$name$i.jpg"; done
done
head -c 500 corpus/grey0.jpg >corpus/cut.jpg
words=(--quiet --set amg.points_per_side=24 --set output.images_per_shard=4) # 16 shards, some seconds
status=0
mpirun -n 2 maskmill run corpus -o plain -m default "${words[@]}" >plain.txt 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "an undisturbed run ended with $status: $(cat plain.txt)"

# equal FOLDER: has what the undisturbed run has, and nothing else
equal() {
  local file
  diff <(listing plain) <(listing "$1") >&2 || fail "$1 has other files"
  while read -r file; do
    cmp "plain/$file" "$1/$file" >&2 || fail "$1/$file is not what an undisturbed run makes"
  done < <(listing plain)
  [ -s "$1/run.json" ] || fail "$1 has no run.json"
  [ ! -e "$1/lock" ] || fail "$1 is still locked"
  [ -z "$(find "$1" -name '*.tmp' -o -name '*.mmj')" ] || fail "$1 has files that were left: $(find "$1")"
}
listing() { (cd "$1" && find manifest.h5 dataset.h5 quarantine.tsv shards -type f | sort); }

# --- jobs ---
# submit SCRIPT [ARGUMENT...]: with `options` for sbatch; sets job. CORPUS, OUT and MODEL are set.
options=()
submit() {
  local script=$1
  shift
  job=$(sbatch --parsable "${options[@]}" "$source/jobs/$script.sbatch" "$@") || fail "sbatch refused $script"
}
# Two ranks, on two nodes if there are.
on_nodes=(--nodes="$slurm_nodes" --ntasks-per-node=$((2 / slurm_nodes)))
on_one_node=(--nodes=1 --ntasks-per-node=2)
build() {
  export OUT=$1
  submit build_dataset "${words[@]}"
}
export CORPUS=corpus MODEL=default

# ended JOB STATE STATUS RESTARTS: waits for the end
ended() {
  slurm_await "$1" COMPLETED FAILED TIMEOUT NODE_FAIL CANCELLED OUT_OF_MEMORY BOOT_FAIL || fail "job $1 does not end"
  local state exit_code restarts
  state=$(slurm_value "$1" JobState) exit_code=$(slurm_value "$1" ExitCode) restarts=$(slurm_value "$1" Restarts)
  [ "$state $exit_code" = "$2 $3:0" ] || fail "job $1 ended as $state $exit_code, not $2 $3:0"
  [ "$restarts" -eq "$4" ] || fail "job $1 was started again $restarts times, not $4"
}

says() { grep -q -- "$2" "slurm-$1.out" || fail "job $1 says nothing of '$2'"; }

# ranks JOB SIGNAL
ranks() {
  local pid
  for pid in $(slurm_processes "SLURM_JOB_ID=$1" OMPI_COMM_WORLD_RANK=); do kill "-$2" "$pid" 2>/dev/null || true; done
}

# halfway JOB OUT: waits until a shard is written, and stops the ranks where they are
halfway() {
  for _ in {1..9000}; do
    if [ -n "$(find "$2/shards" -name 'sa_*.h5' 2>/dev/null)" ]; then break; fi
    sleep 0.02
  done
  ranks "$1" STOP
  [ -n "$(find "$2/shards" -name 'sa_*.h5')" ] || fail "job $1 writes no shards"
  [ ! -e "$2/run.json" ] || fail "job $1 was done before it could be disturbed; make the corpus larger"
}

# kill_node JOB NODE: no power any more. Slurm's own processes go first, or they would still report the others' end.
kill_node() {
  local pid steps='' job_pids
  job_pids=$(slurm_processes "SLURM_JOB_ID=$1" "SLURMD_NODENAME=$2")
  for pid in $job_pids; do steps+=" $(slurm_step_of "$pid")"; done
  for pid in $(cat "$slurm_folder/slurmd-$2.pid") $steps $job_pids; do kill -9 "$pid" 2>/dev/null || true; done
}

# --- a list of the corpus ---
options=("${on_one_node[@]}")
MANIFEST=manifest.h5 submit scan
ended "$job" COMPLETED 0 0
cmp manifest.h5 plain/manifest.h5 || fail "jobs/scan.sbatch lists something else"

# --- the time limit: the script's own USR1 comes 300 seconds ahead, which of five minutes is now ---
# Slurm looks at limits twice a minute, so this goes on in the background of what follows.
options=("${on_nodes[@]}")
build limit
limited=$job
halfway "$job" limit
scontrol update jobid="$limited" timelimit=5

# --- undisturbed, by mpirun and by srun; images that were set aside are no failure of the job ---
options=("${on_nodes[@]}")
build whole
first=$job
options=("${on_one_node[@]}")
LAUNCH='srun --mpi=pmix' build by_srun
ended "$first" COMPLETED 0 0
equal whole
says "$first" 'set aside'
ended "$job" COMPLETED 0 0
equal by_srun

# --- put back into the queue by an administrator; and a rank dies, and the script itself goes on ---
options=("${on_nodes[@]}")
build requeued
requeued=$job
halfway "$requeued" requeued
build killed
killed=$job
halfway "$killed" killed
scontrol requeue "$requeued"
kill -9 "$(slurm_processes "SLURM_JOB_ID=$killed" OMPI_COMM_WORLD_RANK=1)"
ended "$requeued" COMPLETED 0 1
equal requeued
ended "$killed" COMPLETED 0 1
says "$killed" 'broke off with status 137; back in the queue'
equal killed

# --- what nobody can go on from is not tried again ---
options=("${on_one_node[@]}")
head -c 20000 "$source/configs/models/default.safetensors" >broken.safetensors
MODEL=broken.safetensors build broken
ended "$job" FAILED 4 0
says "$job" '^maskmill: .*broken.safetensors'

# --- an array of shard ranges: three tasks have something to do, the others are beyond the corpus ---
export OUT=parts CORPUS=manifest.h5
SHARDS_PER_TASK=6 submit array "${words[@]}"
slurm_await "${job}_1" RUNNING # a rank of one task dies, which is nothing to the others
task=$(slurm_value "${job}_1" JobId)
halfway "$task" parts/part-6-11
kill -9 "$(slurm_processes "SLURM_JOB_ID=$task" OMPI_COMM_WORLD_RANK=0)"
for i in {0..9}; do ended "${job}_$i" COMPLETED 0 $((i == 1)); done
equal parts
[ "$(find parts -maxdepth 1 -name 'part-*' | wc -l)" -eq 3 ] || fail "other parts than three: $(ls parts)"

# --- the job whose time was over ---
for _ in {1..480}; do
  if grep -q 'Forwarding signal' "slurm-$limited.out"; then break; fi
  sleep 0.25
done
scontrol update jobid="$limited" timelimit=60 # once is enough
ranks "$limited" CONT
ended "$limited" COMPLETED 0 1
says "$limited" 'ahead of the time limit; back in the queue'
equal limit

# --- a node dies, the one with the script on it, or another ---
for ((n = 1; n <= slurm_nodes; n++)); do
  options=("${on_nodes[@]}")
  build "node$n"
  halfway "$job" "node$n"
  kill_node "$job" "n$n"
  scontrol update nodename="n$n" state=down reason='power failure' # as Slurm does by itself after SlurmdTimeout
  slurm_start_node "n$n"
  ended "$job" COMPLETED 0 1
  equal "node$n"
done

echo "slurm: $(wc -l < <(listing plain)) files are equal after all of it, on $slurm_nodes node(s)"
