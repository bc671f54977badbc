#!/usr/bin/env bash
# The files as others read them: shards, dataset and manifest in h5py, masks in pycocotools, exports in both.
# $1 the program, $2 the source tree, $3 a scratch folder. MASKMILL_PYTHON names a Python that has h5py and pycocotools.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
photographs=/usr/share/backgrounds/mate/nature
python=${MASKMILL_PYTHON:-python3}

if ! "$python" -c 'import h5py, numpy, pycocotools.coco' 2>/dev/null; then
  echo "skipped: $python has no h5py or no pycocotools; set MASKMILL_PYTHON to one that has both"
  exit 77
fi
if [ ! -d "$photographs" ]; then
  echo "skipped: no photographs in $photographs (Debian's mate-backgrounds)"
  exit 77
fi

fail() {
  echo "interop.sh: $*" >&2
  exit 1
}

rm -rf "$scratch"
mkdir -p "$scratch/corpus/folder"
cd "$scratch"
cp "$photographs/Dune.jpg" corpus/
cp "$photographs/LadyBird.jpg" corpus/folder/
echo "no picture" >corpus/broken.jpg # set aside, so that the run ends with 1

status=0
"$maskmill" run corpus -o made --set output.images_per_shard=2 2>log || status=$?
[ "$status" -eq 1 ] || fail "run ended with $status: $(tail -n 3 log)"
mv made moved # the dataset does not mind
"$maskmill" verify moved
"$maskmill" export moved --format sa1b -o sa1b
"$maskmill" export moved --format coco -o coco
"$maskmill" export moved --format sa1b --tar -o tars
"$maskmill" export moved --format sa1b --tar -o tars_again
cmp tars/sa_000000.tar tars_again/sa_000000.tar || fail "two tars of the same shard differ"
"$maskmill" stats moved --json >stats.json
cd /
"$python" "$source/tests/integration/interop.py" "$scratch/moved" "$scratch/sa1b" "$scratch/coco" "$scratch/stats.json" \
  "$scratch/tars"
