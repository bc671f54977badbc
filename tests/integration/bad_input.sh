#!/usr/bin/env bash
# What users get wrong, one by one: bad images are set aside with a reason, anything else stops the run before work
# begins with one line, and nothing is written.
# Usage: bad_input.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"
# Alone, Open MPI would start a helper process for each run, which the limit on file sizes below would hit as well.
export OMPI_MCA_ess_singleton_isolated=1

if [ -d "$scratch" ]; then chmod -R u+rwx "$scratch"; fi
rm -rf "$scratch"
mkdir -p "$scratch/corpus"
cd "$scratch"
cp "$source/tests/data/image/ycc420.jpg" corpus/good.jpg
cp "$source/tests/data/golden/thumb.jpg" corpus/other.jpg
model=$source/configs/models/default.safetensors
quick=(--quiet --set amg.points_per_side=4)

fail() {
  echo "bad_input: $*" >&2
  exit 1
}

run() {
  status=0
  "$program" run "$@" "${quick[@]}" >stdout.txt 2>stderr.txt || status=$?
}

# stops STATUS TEXT ARGUMENTS...: exit status, one line that has TEXT, and no output folder
stops() {
  local wanted=$1 text=$2
  shift 2
  rm -rf out
  run "$@" -o out
  [ "$status" -eq "$wanted" ] || fail "run $*: status $status instead of $wanted: $(cat stderr.txt)"
  [ "$(wc -l <stderr.txt)" -eq 1 ] || fail "run $*: not one line: $(cat stderr.txt)"
  grep -q "^maskmill: .*$text" stderr.txt || fail "run $*: no '$text' in: $(cat stderr.txt)"
  [ ! -e out ] || fail "run $*: something was written"
  cases=$((cases + 1))
}
cases=0

# --- sources ---
mkdir empty none
echo text >none/readme.txt
stops 4 "empty" empty
stops 4 "none" none
stops 4 "missing" missing
: >empty.txt
stops 4 "empty.txt" empty.txt

# --- images that are set aside ---
mkdir bad
cp corpus/good.jpg bad/good.jpg
head -c $(($(stat -c %s corpus/good.jpg) / 2)) corpus/good.jpg >bad/cut.jpg
: >bad/zero.jpg
ln -s nowhere.jpg bad/gone.jpg
# SOI; SOF0 of 65500 x 65500 pixels, 3 components; then nothing.
printf '\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01' >bad/huge.jpg
cp corpus/good.jpg bad/huge_with_data.jpg
at=$(LC_ALL=C grep -obUaP '\xff\xc0' bad/huge_with_data.jpg | head -n 1 | cut -d: -f1)
printf '\xff\xdc\xff\xdc' | dd of=bad/huge_with_data.jpg bs=1 seek=$((at + 5)) conv=notrunc status=none
printf '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde' >bad/picture.png
echo "just text" >bad/text.txt
mkdir bad/folder.jpg
unreadable=()
if [ "$(id -u)" -ne 0 ]; then
  cp corpus/good.jpg bad/locked.jpg
  chmod 000 bad/locked.jpg
  unreadable=(locked.jpg)
fi
aside=(cut.jpg zero.jpg gone.jpg huge.jpg huge_with_data.jpg picture.png text.txt folder.jpg "${unreadable[@]}")
printf 'bad/%s\n' good.jpg "${aside[@]}" >list.txt
for ranks in 1 2; do
  rm -rf out
  status=0
  mpirun -n "$ranks" "$program" run list.txt -o out "${quick[@]}" >stdout.txt 2>stderr.txt || status=$?
  [ "$status" -eq 1 ] || fail "bad images: status $status instead of 1: $(cat stderr.txt)"
  [ "$(wc -l <out/quarantine.tsv)" -eq $((${#aside[@]} + 1)) ] || fail "quarantine.tsv: $(cat out/quarantine.tsv)"
  [ "$(head -n 1 out/quarantine.tsv)" = $'image_id\tpath\tstatus\treason' ] || fail "quarantine.tsv has no header"
  for name in "${aside[@]}"; do
    grep -Pq "^[0-9]+\t[^\t]*$name\t(io|format|limit|unsupported)\t[^\t]+\$" out/quarantine.tsv ||
      fail "$name: not set aside with a reason: $(cat out/quarantine.tsv)"
  done
  grep -Pq "good.jpg\t" out/quarantine.tsv && fail "the good image was set aside"
  grep -Pq "huge_with_data.jpg\tlimit\t" out/quarantine.tsv || fail "65500x65500 is a matter of limits"
  grep -Pq "gone.jpg\tio\t" out/quarantine.tsv || fail "a dangling link is a matter of reading"
  "$program" verify out >verify.txt 2>&1 || fail "the dataset is not whole: $(cat verify.txt)"
  cases=$((cases + ${#aside[@]}))
done
# A folder with nothing but bad images makes a dataset without masks, and says so.
mkdir hopeless
: >hopeless/zero.jpg
rm -rf out
run hopeless -o out
[ "$status" -eq 1 ] || fail "only bad images: status $status instead of 1: $(cat stderr.txt)"
[ ! -s stderr.txt ] || fail "set-aside images are no error: $(cat stderr.txt)"

# --- models ---
for bytes in 0 5 100 20000 $(($(stat -c %s "$model") - 1)); do
  head -c "$bytes" "$model" >"cut.safetensors"
  stops 4 "cut.safetensors" corpus -m cut.safetensors
done
header='{"conv1.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
{ printf "\\x$(printf %02x ${#header})\\0\\0\\0\\0\\0\\0\\0"; printf %s "$header"; head -c 16 /dev/zero; } >other.safetensors
stops 4 "other.safetensors" corpus -m other.safetensors
stops 4 "runs_system.pth" corpus -m "$source/tests/data/checkpoint/runs_system.pth"
[ ! -e maskmill-was-here ] || fail "a checkpoint ran a command"
stops 4 "runs_eval.pth" corpus -m "$source/tests/data/checkpoint/runs_eval.pth"
stops 4 "text.txt" corpus -m bad/text.txt
stops 2 "folder.jpg" corpus -m bad/folder.jpg
stops 2 "no_such_model" corpus -m no_such_model

# --- configuration ---
printf 'amg:\n  points_per_sied: 8\n' >unknown_key.yaml
stops 2 "unknown_key.yaml.*2.*points_per_sied" corpus -c unknown_key.yaml
printf 'amg:\n  pred_iou_thresh: 7\n' >range.yaml
stops 2 "range.yaml.*2.*pred_iou_thresh" corpus -c range.yaml
printf 'amg: [1\n' >broken.yaml
stops 2 "broken.yaml" corpus -c broken.yaml
stops 2 "no_such.yaml" corpus -c no_such.yaml
stops 2 "points_per_sied" corpus --set amg.points_per_sied=8
stops 2 "images_per_shard" corpus --set output.images_per_shard=0
stops 2 "nonsense" corpus --nonsense
stops 2 "" # no corpus

# --- output folders ---
# keeps STATUS TEXT OUT ARGUMENTS...: exit status, one line, and what is in OUT stays
keeps() {
  local wanted=$1 text=$2 out=$3
  shift 3
  find . -path ./stdout.txt -o -path ./stderr.txt -o -print | sort >before.txt
  run corpus -o "$out" "$@"
  find . -path ./stdout.txt -o -path ./stderr.txt -o -print | sort >after.txt
  [ "$status" -eq "$wanted" ] || fail "-o $out $*: status $status instead of $wanted: $(cat stderr.txt)"
  [ "$(wc -l <stderr.txt)" -eq 1 ] || fail "-o $out $*: not one line: $(cat stderr.txt)"
  grep -q "^maskmill: .*$text" stderr.txt || fail "-o $out $*: no '$text' in: $(cat stderr.txt)"
  diff <(grep -v 'before.txt\|after.txt' before.txt) <(grep -v 'before.txt\|after.txt' after.txt) >&2 ||
    fail "-o $out $*: files changed"
  cases=$((cases + 1))
}
rm -rf out
run corpus -o out
[ "$status" -eq 0 ] || fail "a good run: status $status: $(cat stderr.txt)"
keeps 2 "overwrite" out
keeps 2 "overwrite" bad
keeps 2 "maskmill dataset" bad --overwrite
keeps 4 "file.h5" corpus/good.jpg/file.h5
keeps 4 "good.jpg" corpus/good.jpg
keeps 4 "" /dev/null/out
if [ "$(id -u)" -ne 0 ]; then
  mkdir locked
  chmod 555 locked
  keeps 4 "locked" locked
  keeps 4 "locked" locked/out
fi
first=$(cksum <out/shards/sa_000000.h5)
echo kept >out/notes.txt
run corpus -o out --overwrite --set output.images_per_shard=1
[ "$status" -eq 0 ] || fail "--overwrite: status $status: $(cat stderr.txt)"
[ -e out/shards/sa_000001.h5 ] && [ "$(cksum <out/shards/sa_000000.h5)" != "$first" ] || fail "--overwrite: old shards"
[ -e out/notes.txt ] || fail "--overwrite removed a file that is not maskmill's"

# --- a full disk: no file may grow beyond a limit that the manifest is below and a shard above ---
limit=$((($(stat -c %s out/manifest.h5) + 1023) / 1024 + 1))
[ "$(stat -c %s out/shards/sa_000000.h5)" -gt $((limit * 1024)) ] || fail "the test's shards are too small"
rm -rf out
(
  ulimit -f "$limit"
  run corpus -o out
  [ "$status" -eq 4 ] || fail "full disk: status $status instead of 4: $(cat stderr.txt)"
  [ "$(wc -l <stderr.txt)" -eq 1 ] || fail "full disk: not one line: $(cat stderr.txt)"
  grep -Eq "^maskmill: .*sa_000000.(h5|mmj).*: File too large.*--resume" stderr.txt || fail "full disk: $(cat stderr.txt)"
)
[ -z "$(find out -name '*.tmp' -o -name 'sa_*.h5' -o -name 'run.json' -o -name lock)" ] ||
  fail "full disk: files were left: $(find out)"
run corpus -o out --resume
[ "$status" -eq 0 ] && [ -e out/run.json ] || fail "full disk: not resumed, status $status: $(cat stderr.txt)"
cases=$((cases + 1))

# --- on two ranks the line is the same and there is one of it (mpirun adds some of its own) ---
status=0
mpirun -n 2 "$program" run corpus -o out2 -m other.safetensors "${quick[@]}" >stdout.txt 2>stderr.txt || status=$?
[ "$status" -eq 4 ] || fail "two ranks: status $status instead of 4: $(cat stderr.txt)"
[ "$(grep -c '^maskmill: ' stderr.txt)" -eq 1 ] || fail "two ranks: not one line: $(cat stderr.txt)"
[ ! -e out2 ] || fail "two ranks: something was written"

echo "bad_input: $cases cases"
