#!/usr/bin/env bash
# The same corpus on 1, 2 and 4 ranks gives the same files, byte for byte.
# Usage: ranks.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"

rm -rf "$scratch"
mkdir -p "$scratch/corpus/deeper"
cd "$scratch"

# Images of many sizes and kinds, and two that will be set aside; shards of two, the last not full.
cp "$source"/tests/data/image/{ycc420,grey,cmyk,turned6,one_pixel,restarts}.jpg corpus/
cp "$source"/tests/data/golden/{landscape,portrait,thumb}.jpg corpus/deeper/
cp corpus/deeper/landscape.jpg corpus/again.JPG
cp corpus/deeper/portrait.jpg corpus/again.jpeg
head -c 500 corpus/grey.jpg >corpus/cut.jpg
: >corpus/empty.jpg
photographs=/usr/share/backgrounds/mate/nature
for name in FreshFlower GreenMeadow; do
  if [ -e "$photographs/$name.jpg" ]; then cp "$photographs/$name.jpg" corpus/; fi
done

fail() {
  echo "ranks: $*" >&2
  exit 1
}

for ranks in 1 2 4; do
  status=0
  mpirun -n "$ranks" "$program" run corpus -o "out$ranks" --set amg.points_per_side=8 \
    --set output.images_per_shard=2 >"out$ranks.txt" 2>&1 || status=$?
  [ "$status" -eq 1 ] || { cat "out$ranks.txt" >&2; fail "$ranks ranks ended with status $status, not 1"; }
  [ -s "out$ranks/run.json" ] || fail "no run.json from $ranks ranks"
  grep -q "\"ranks\": $ranks," "out$ranks/run.json" || fail "run.json does not tell of $ranks ranks"
  (cd "out$ranks" && find . -type f ! -name run.json ! -name progress.json | sort) >"files$ranks.txt"
done

images=$(find corpus -type f | wc -l)
[ "$(find out1/shards -name 'sa_*.h5' | wc -l)" -eq $(((images + 1) / 2)) ] || fail "wrong number of shards"
[ "$(wc -l <out1/quarantine.tsv)" -eq 3 ] || fail "quarantine.tsv should have a header and two lines"
grep -Eq ', [1-9][0-9]* masks' out1.txt || fail "no masks at all: nothing was compared"

for ranks in 2 4; do
  cmp files1.txt "files$ranks.txt" || fail "other files on $ranks ranks"
  while read -r file; do
    cmp "out1/$file" "out$ranks/$file" || fail "$file differs between 1 and $ranks ranks"
    if [[ $file == *.h5 ]] && command -v h5diff >/dev/null; then
      h5diff "out1/$file" "out$ranks/$file" || fail "h5diff: $file differs between 1 and $ranks ranks"
    fi
  done <files1.txt
done
[ -z "$(find . -name '*.tmp')" ] || fail "temporary files were left"
echo "ranks: $(wc -l <files1.txt) files of $images images are equal on 1, 2 and 4 ranks"
