#!/usr/bin/env bash
# A run of 600 small images in tars, every 20th of them cut short, with a stand-in for inference: the same shards on one
# rank and on three; and the simulation of many ranks, which uses the program's scheduler.
# Usage: stand_in.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
tools=$(dirname "$1")/tests source=$2 scratch=$3
. "$source/scripts/mpi-environment"

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

fail() {
  echo "stand_in: $*" >&2
  exit 1
}

# value KEY: of the JSON object on standard input
value() {
  grep -o "\"$1\": [0-9.e+-]*" | head -1 | cut -d' ' -f2
}

# holds EXPRESSION: for numbers that are no integers
holds() {
  awk "BEGIN { exit !($1) }"
}

"$tools/maskmill-make-tars" corpus --images 600 --per-tar 350 --broken 20
for ranks in 1 3; do
  mpirun -n "$ranks" "$tools/maskmill-stand-in" corpus/*.tar -o "out$ranks" --quiet --seconds 0.002 --masks 5 \
    --set output.images_per_shard=70 >"result$ranks.json"
  [ "$(value images <"result$ranks.json")" -eq 570 ] || fail "$ranks ranks did not make 570 images"
  [ "$(value set_aside <"result$ranks.json")" -eq 30 ] || fail "$ranks ranks did not set 30 images aside"
  [ "$(wc -l <"out$ranks/quarantine.tsv")" -eq 31 ] || fail "quarantine.tsv of $ranks ranks should have 31 lines"
done
holds "$(value masks <result1.json) > 1000" || fail "hardly any masks: nothing was compared"
for file in out1/manifest.h5 out1/dataset.h5 out1/quarantine.tsv out1/shards/*; do
  cmp "$file" "out3/${file#out1/}" || fail "$file differs between 1 and 3 ranks"
done
[ "$(find out3/shards -type f | wc -l)" -eq 9 ] || fail "600 images in shards of 70 are 9 shards"

# No clock is involved: the time is the simulation's. Images differ by a factor of ten in size.
printf '%s\n' '400000 0.1' '1000000 0.25' '4000000 1.0' >times.txt
for ranks in 1 64 1024; do
  "$tools/maskmill-simulate" --images $((ranks * 2000)) --ranks "$ranks" --times times.txt >simulated.json
  holds "$(value efficiency <simulated.json) > 0.97" || fail "$ranks ranks: $(cat simulated.json)"
  holds "$(value waited_share <simulated.json) < 0.005" || fail "$ranks ranks wait: $(cat simulated.json)"
  holds "$(value rank_0_load <simulated.json) < 0.05" || fail "rank 0 is busy with $ranks ranks: $(cat simulated.json)"
done
# An ask that costs a hundred times as much is too much for 1024 ranks: the simulation notices what it is for.
"$tools/maskmill-simulate" --images 200000 --ranks 1024 --ask 5e-3 >simulated.json
holds "$(value efficiency <simulated.json) < 0.9" || fail "a slow rank 0 costs nothing: $(cat simulated.json)"
echo "stand_in: 600 images on 1 and 3 ranks are equal; 1, 64 and 1024 simulated ranks are efficient"
