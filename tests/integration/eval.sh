#!/usr/bin/env bash
# eval: masks from the grid are those that `run` makes, ranks agree, several models and earlier evaluations stand side by side on
# a page, and what is refused. Usage: eval.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"
rm -rf "$scratch"
mkdir -p "$scratch/corpus"
cd "$scratch"
cp "$source"/tests/data/image/{ycc420,grey,turned6}.jpg corpus/
model=(-m "$source/tests/data/golden/tiny.pth" --model-config "$source/tests/data/golden/tiny.config.json")

fail() {
  echo "eval: $*" >&2
  exit 1
}

# number FILE KEY INDEX: a number of a list in an evaluation.
number() { sed -n "/\"$2\": \[/,/\]/p" "$1" | grep -o '[0-9.]\+' | sed -n "$3p"; }

# --- What `run` made is found again, all of it, whatever the frame. ---
"$program" run corpus -o own "${model[@]}" --precision f32 -q
"$program" run corpus -o smaller "${model[@]}" --precision f32 --set output.short_side=50 -q
for dataset in own smaller; do
  "$program" eval "$dataset" "${model[@]}" --embeddings kept --clicks 2 --generate 9 -q --json >$dataset.json
  grep -q '"made": [1-9]' $dataset.json || fail "no masks were generated of $dataset"
  # The last list of recalls is that of all human masks, of which there are none; the first is that of all.
  [ "$(number $dataset.json recall 1)" = 1.0 ] || fail "$dataset: not all masks are found at IoU 0.5"
  [ "$(number $dataset.json recall 10)" = 1.0 ] || fail "$dataset: not all masks are found at IoU 0.95"
done
"$program" eval own "${model[@]}" --embeddings kept --clicks 2 -q --json >without.json
grep -q '"generated": null' without.json || fail "masks were generated unasked"

# --- Ranks share the images. ---
mpirun -n 2 "$program" eval own "${model[@]}" --embeddings kept --clicks 2 --generate 9 -q --json >two.json
cmp own.json two.json || fail "two ranks find something else"

# --- Several at once, and earlier ones. ---
"$program" eval own -m "$source/tests/data/golden/tiny.pth" "${model[@]}" --embeddings kept --clicks 2 -q --json \
  -o page.html >both.json
[ "$(grep -c '"model":' both.json)" -eq 2 ] || fail "two models should give two evaluations"
"$program" eval both.json without.json -o earlier.html >table.txt
[ "$(grep -c 'masks of 3 images' table.txt)" -eq 3 ] || fail "three evaluations should be told"
[ "$(grep -o '<svg class="curves"' earlier.html | wc -l)" -eq 3 ] || fail "the page should have three charts"
"$program" eval own own.json "${model[@]}" --embeddings kept --clicks 2 -q -o mixed.html >table.txt
[ "$(grep -o '<svg class="curves"' mixed.html | wc -l)" -eq 5 ] || fail "the page should have five charts"
grep -q 'https\?://' mixed.html && fail "the page needs other files"

# --- Refused, and nothing written. ---
refuse() { # STATUS TEXT OPTION...
  local expected=$1 text=$2 status=0
  shift 2
  "$program" eval "$@" -o refused.html >last.txt 2>&1 || status=$?
  [ "$status" -eq "$expected" ] || fail "status $status instead of $expected: $*"
  grep -qF -- "$text" last.txt || fail "the line does not say: $text"
  [ ! -e refused.html ] || fail "a page was written all the same"
}
echo '{"model": "x"}' >other.json
refuse 4 "other.json: is no evaluation" other.json
refuse 2 "more than" both.json both.json both.json both.json both.json
refuse 2 "no dataset to ask it about" own.json "${model[@]}"
refuse 2 "needs a dataset"
mv corpus/grey.jpg grey.jpg && cp "$source/tests/data/golden/portrait.jpg" corpus/grey.jpg
refuse 4 "grey.jpg" own "${model[@]}" --embeddings other --generate 9 -q
