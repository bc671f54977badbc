#!/usr/bin/env bash
# Drawing masks in a browser, from the queue to the dataset: the page at work in Chromium and in Firefox, and what the import
# makes of it; a server that is killed; the command from outside.
# $1 the program, $2 the source tree, $3 a scratch folder.   (MASKMILL_SEED=N repeats the random moments of an earlier run)
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
photographs=/usr/share/backgrounds/mate/nature
lib=$source/tests/integration/annotate_lib
export PYTHONDONTWRITEBYTECODE=1 # the source tree stays as it is

rm -rf "$scratch"
mkdir -p "$scratch/corpus" "$scratch/small"
cd "$scratch"

fail() {
  echo "annotate: $*" >&2
  exit 1
}

# expect STATUS TEXT COMMAND...: it ends so, with one line that has TEXT in it.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >stdout 2>stderr || status=$?
  [ "$status" -eq "$wanted" ] || fail "status $status instead of $wanted from: $* ($(cat stderr))"
  grep -qF -- "$text" stderr || fail "no '$text' in: $(cat stderr)"
}

echo "-- usage"
cp "$source"/tests/data/image/{ycc420,grey}.jpg small/
expect 2 "--port" "$maskmill" annotate small --port x
expect 2 "give an address in numbers" "$maskmill" annotate small --port 0 --bind localhost
expect 2 "--origin" "$maskmill" annotate small --port 0 --origin masks.example.org
expect 4 "nothing" "$maskmill" annotate nothing --port 0
expect 2 "needs -o FOLDER" "$maskmill" embed small
[ ! -e answers.mma ] || fail "a server that did not start has begun a journal"
expect 4 "none.mma" "$maskmill" annotate small --answers none.mma --coco answers.json

echo "-- embeddings ahead"
expect 0 "2 embeddings made" "$maskmill" embed small -o embeddings
expect 0 "2 were there" "$maskmill" embed small -o embeddings
cp "$source/tests/data/image/cmyk.jpg" small/
head -c 400 small/grey.jpg >small/torn.jpg
expect 1 "1 images could not be read" "$maskmill" embed small -o embeddings
if command -v mpirun >/dev/null; then
  . "$source/scripts/mpi-environment"
  rm -r embeddings
  mpirun -n 2 "$maskmill" embed small -o embeddings 2>stderr || true
  grep -qF "4 images: 3 embeddings made" stderr || fail "two ranks: $(cat stderr)"
fi

echo "-- a server that is killed"
seed=${MASKMILL_SEED:-$RANDOM}
mkdir many
for i in $(seq 10 49); do cp "$source/tests/data/image/ycc420.jpg" "many/i$i.jpg"; done
python3 "$lib/kill.py" "$maskmill" many "$scratch" "$seed" || fail "killed server: MASKMILL_SEED=$seed repeats this"
"$maskmill" annotate many --answers killed.mma --coco killed.json -q
python3 - killed.mma killed.json <<'END' || fail "the export is not what the journal says"
import json, sys
accepted = sum('"do":"accept"' in line for line in open(sys.argv[1]))
coco = json.load(open(sys.argv[2]))
assert len(coco["annotations"]) == accepted, (len(coco["annotations"]), accepted)
assert {a["image_id"] for a in coco["annotations"]} <= {i["id"] for i in coco["images"]}
END
expect 2 "holds answers about other images" "$maskmill" annotate small --answers killed.mma --port 0

echo "-- the page in browsers"
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
chromedriver=$(command -v chromedriver || true)
firefox=$(command -v firefox-esr || command -v firefox || true)
if [ -n "$chromium" ] && [ -n "$chromedriver" ]; then
  browsers=(chromium)
else
  browsers=()
  echo "annotate: Chromium did not look at the page: there is no chromium with chromedriver (scripts/setup installs them)"
fi
if [ -n "$firefox" ]; then
  browsers+=(firefox)
else
  echo "annotate: Firefox did not look at the page: there is none (scripts/setup installs firefox-esr)"
fi
[ ${#browsers[@]} -gt 0 ] || exit 0
cp "$photographs"/{Garden,LadyBird,Wood,Dune,YellowFlower}.jpg corpus/
"$maskmill" run corpus -o dataset -q --set amg.points_per_side=3 --set amg.pred_iou_thresh=0.3 \
  --set amg.stability_score_thresh=0.5 --set output.short_side=600
"$maskmill" queue build dataset -o queue --prefill masks >/dev/null
"$maskmill" embed queue -o embeddings -q
for browser in "${browsers[@]}"; do
  programs=("$firefox") shots=
  if [ "$browser" = chromium ]; then programs=("$chromium" "$chromedriver") shots=${MASKMILL_SCREENSHOTS:-}; fi
  mkdir "$browser"
  python3 "$lib/browser.py" "$maskmill" queue "$browser/answers.mma" "$scratch/$browser" "$shots" "${programs[@]}" ||
    fail "$browser"
  "$maskmill" queue import queue "$browser/answers.mma" -o "$browser/imported" --strict >/dev/null
  "$maskmill" verify "$browser/imported" >/dev/null
  "$maskmill" export "$browser/imported" --format coco -o "$browser/coco" >/dev/null
  python3 "$lib/imported.py" "$browser/stands.json" "$browser/coco/instances.json" "$browser/imported" ||
    fail "$browser's import"
done
echo "annotate: all is as it was drawn"
