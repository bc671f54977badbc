#!/usr/bin/env bash
# Corpora as users have them: folders, archives and lists mixed, listed by one rank or several; near-duplicates among real
# photographs; files that are broken in all ways.
# Usage: corpus.sh PROGRAM SOURCE_TREE SCRATCH_FOLDER
set -euo pipefail
program=$1 source=$2 scratch=$3
. "$source/scripts/mpi-environment"

if [ -d "$scratch" ]; then chmod -R u+rwx "$scratch"; fi
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
good=$source/tests/data/image/ycc420.jpg

fail() {
  echo "corpus: $*" >&2
  exit 1
}

# column NAME MANIFEST: its values, one a line
column() {
  h5dump -w 0 -y -d "$1" "$2" | sed -n '/DATA {/,$p' | sed '1d' | tr ',' '\n' | grep -v '[{}]' | sed 's/^ *"\{0,1\}//; s/"\{0,1\} *$//' |
    grep -v '^$' || true
}

# --- folders (deep, wide, linked), archives and lists; the same bytes for any number of ranks ---
mkdir -p mixed/folder/{a,b,c}/{1,2,3,4} mixed/outside/more mixed/tars
n=0
for folder in mixed/folder mixed/folder/*/ mixed/folder/*/*/ mixed/outside/more; do
  for i in 1 2 3; do
    n=$((n + 1))
    cp "$source/tests/data/image/turned$((n % 8 + 1)).jpg" "$folder/image$n.jpg"
  done
  echo note >"$folder/readme.txt"
done
ln -s ../../outside mixed/folder/a/link
ln -s ../b mixed/folder/c/again
ln -s .. mixed/folder/b/up
ln -s nowhere mixed/folder/gone.jpg
deep=mixed/folder/deep
for i in $(seq 30); do deep=$deep/d; done
mkdir -p "$deep"
cp "$good" "$deep/deep.jpg"
for k in 1 2 3 4 5; do
  mkdir -p members
  for i in $(seq $((k * 2))); do cp "$source/tests/data/golden/thumb.jpg" "members/sa_$k$i.jpg"; done
  tar -cf "mixed/tars/sa_$k.tar" -C members .
  rm -r members
done
again=$(cd mixed/folder/a/1 && ls image*.jpg | head -n 1)
printf "%s\n" "$(pwd -P)/mixed/folder/a/1/$again" missing.jpg "$good" >mixed/tars/list.txt
for ranks in 1 2 4; do
  mpirun -n "$ranks" "$program" scan mixed/folder mixed/tars/*.tar mixed/tars/list.txt -o "mixed$ranks.h5" \
    >"mixed$ranks.txt" 2>&1 || fail "scan on $ranks ranks: $(cat "mixed$ranks.txt")"
  mpirun -n "$ranks" "$program" scan mixed/tars/*.tar -o "tars$ranks.h5" >/dev/null || fail "tars on $ranks ranks"
  cmp mixed1.h5 "mixed$ranks.h5" || fail "the manifest differs between 1 and $ranks ranks"
  cmp tars1.h5 "tars$ranks.h5" || fail "the manifest of archives differs between 1 and $ranks ranks"
  diff <(sed 's/mixed[0-9].h5//' mixed1.txt) <(sed 's/mixed[0-9].h5//' "mixed$ranks.txt") || fail "other counts"
done
"$program" scan mixed/folder -o alone.h5 >alone.txt
# 3 images in each of 17 folders, one behind a link, one deep down, one broken link; no folder twice.
grep -q '^53 images in alone.h5; 17 other files ignored$' alone.txt || fail "folder: $(cat alone.txt)"
grep -q '^85 images in ' mixed1.txt || fail "mixed: $(cat mixed1.txt)" # + 30 members, and 2 new ones of the list
[ "$(column path tars1.h5 | head -n 1)" = "sa_1.tar/./sa_11.jpg" ] || [ "$(column path tars1.h5 | head -n 1)" = "sa_1.tar/sa_11.jpg" ] ||
  fail "archives of one folder: $(column path tars1.h5 | head -n 1)"

# --- folders that cannot be read, and that go while they are walked ---
mkdir -p locked/{open,shut}
cp "$good" locked/open/1.jpg
cp "$good" locked/shut/2.jpg
if [ "$(id -u)" -ne 0 ]; then
  chmod 000 locked/shut
  for ranks in 1 3; do
    mpirun -n "$ranks" "$program" scan locked -o locked.h5 >locked.txt || fail "a locked folder stopped a scan"
    grep -q '^1 images' locked.txt && grep -q '^1 folders could not be entered$' locked.txt ||
      fail "a locked folder: $(cat locked.txt)"
  done
  chmod 755 locked/shut
fi
mkdir going
for i in $(seq 300); do mkdir "going/$i"; done
cp "$good" going/stays.jpg
(for i in $(seq 300); do rmdir "going/$i"; done) &
mpirun -n 3 "$program" scan going -o going.h5 >going.txt 2>&1 || fail "vanishing folders: $(cat going.txt)"
wait $!
grep -q '^1 images' going.txt || fail "vanishing folders: $(cat going.txt)"

# --- hostile archives: one line, no manifest, whichever rank reads them ---
tar=mixed/tars/sa_5.tar
head -c $(($(stat -c %s "$tar") / 2)) "$tar" >cut.tar
head -c 20000 /dev/urandom >noise.tar
{ head -c 600 "$tar"; head -c 20000 /dev/zero | tr '\0' '\377'; } >torn.tar
gzip -c "$tar" >zipped.tar
for name in cut noise torn zipped; do
  status=0
  mpirun -n 2 "$program" scan "$tar" "$name.tar" mixed/tars/sa_1.tar -o hostile.h5 >hostile.txt 2>&1 || status=$?
  [ "$status" -eq 4 ] || fail "$name.tar: status $status: $(cat hostile.txt)"
  [ "$(grep -c "^maskmill: .*$name.tar" hostile.txt)" -eq 1 ] || fail "$name.tar: $(cat hostile.txt)"
  [ ! -e hostile.h5 ] || fail "$name.tar left a manifest"
done

# --- near-duplicates: planted copies are found, and nothing else ---
photographs=/usr/share/backgrounds/mate/nature
quick=(--quiet --set amg.points_per_side=2)
if [ -d "$photographs" ]; then
  mkdir photos
  cp "$photographs"/*.jpg photos/
  n=$(find photos -name '*.jpg' | wc -l)
  # Compressed again, at half and at a quarter of the size, without colour.
  copy=$(dirname "$program")/tests/maskmill-copy-jpeg planted=0
  for name in Aqua Blinds Dune FreshFlower Garden; do
    "$copy" "photos/$name.jpg" "photos/$name-again.jpg" 0 40
    "$copy" "photos/$name.jpg" "photos/$name-half.jpg" 800 75 progressive
    "$copy" "photos/$name.jpg" "photos/$name-quarter.jpg" 400 60 grey
    planted=$((planted + 3))
  done
  cp photos/Storm.jpg photos/Storm-same.jpg
  planted=$((planted + 1))
  for ranks in 1 2 4; do
    mpirun -n "$ranks" "$program" scan photos -o "photos$ranks.h5" --duplicates 3 >photos.txt || fail "scan --duplicates"
    grep -q "^$planted images are near-duplicates" photos.txt || fail "$planted copies: $(cat photos.txt)"
    cmp photos1.h5 "photos$ranks.h5" || fail "near-duplicates differ between 1 and $ranks ranks"
  done
  column path photos1.h5 >paths.txt
  column duplicate_of photos1.h5 >groups.txt
  [ "$(wc -l <paths.txt)" -eq $((n + planted)) ] && [ "$(wc -l <groups.txt)" -eq $((n + planted)) ] || fail "columns"
  id=0
  while read -r first; do
    name=$(sed -n $((id + 1))p paths.txt) original=$(sed -n $((first + 1))p paths.txt)
    [ "${name%%[-.]*}" = "${original%%[-.]*}" ] || fail "$name is called a near-duplicate of $original"
    id=$((id + 1))
  done <groups.txt

  # A run skips them without any harm; what was found by the scan is taken over, and the rows say so.
  mkdir few
  cp photos/Storm.jpg photos/Storm-same.jpg photos/Dune.jpg few/
  for ranks in 1 2; do
    status=0
    mpirun -n "$ranks" "$program" run few -o "few$ranks" --set corpus.duplicates=skip "${quick[@]}" >few.txt 2>&1 || status=$?
    [ "$status" -eq 0 ] || fail "skipping near-duplicates: status $status: $(cat few.txt)"
    [ ! -e "few$ranks/quarantine.tsv" ] || fail "a skipped image is not set aside"
    [ "$(column images/status "few$ranks/shards/sa_000000.h5" | tr '\n' ' ')" = "1 1 3 " ] ||
      fail "status: $(column images/status "few$ranks/shards/sa_000000.h5")"
    grep -q '"images_skipped": 1' "few$ranks/run.json" && grep -q '"images_done": 2' "few$ranks/run.json" ||
      fail "run.json: $(cat "few$ranks/run.json")"
    "$program" verify "few$ranks" >verify.txt 2>&1 || fail "verify: $(cat verify.txt)"
  done
  cmp few1/manifest.h5 few2/manifest.h5 && cmp few1/shards/sa_000000.h5 few2/shards/sa_000000.h5 ||
    fail "skipping differs between 1 and 2 ranks"
  "$program" show few1 Storm.jpg -o storm.png 2>show.txt && fail "a skipped image was drawn"
  grep -q 'near-duplicate' show.txt || fail "show: $(cat show.txt)"
  "$program" run few -o flagged --set corpus.duplicates=flag --set output.images_per_shard=1 --quiet \
    --set amg.points_per_side=2 || fail "flagging near-duplicates"
  cmp few1/manifest.h5 flagged/manifest.h5 || fail "flag and skip find different near-duplicates"
  [ "$(column images/status flagged/shards/sa_000002.h5)" = 1 ] || fail "a flagged image was not made"
fi

# --- a corpus with 5 % broken files: the run ends with status 1, and each has a reason that a person understands ---
mkdir -p broken/archive
for i in $(seq 200); do cp "$good" "broken/good$i.jpg"; done
cut=$(($(stat -c %s "$good") / 2))
head -c "$cut" "$good" >broken/bad-cut.jpg
: >broken/bad-empty.jpg
echo "this is a text" >broken/bad-text.jpg
printf '\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR' >broken/bad-png.jpg
head -c 5000 /dev/zero >broken/bad-zeros.jpg
at=$(LC_ALL=C grep -obUaP '\xff\xc0' "$good" | head -n 1 | cut -d: -f1)
patched() { # NAME OFFSET_IN_FRAME_HEADER BYTES
  cp "$good" "broken/$1"
  printf "$3" | dd of="broken/$1" bs=1 seek=$((at + $2)) conv=notrunc status=none
}
patched bad-huge.jpg 5 '\xff\xdc\xff\xdc'
patched bad-12bit.jpg 4 '\x0c'
patched bad-lossless.jpg 1 '\xc3'
ln -s nowhere.jpg broken/bad-gone.jpg
mkdir broken/sub && cp "$good" broken/sub/bad-vanishes.jpg
cp "$source/tests/data/image/cmyk.jpg" broken/cmyk.jpg # which is fine
locked=
if [ "$(id -u)" -ne 0 ]; then
  cp "$good" broken/bad-locked.jpg
  chmod 000 broken/bad-locked.jpg
  locked=$'bad-locked.jpg\tPermission denied'
fi
mpirun -n 2 "$program" scan broken -o broken.h5 >/dev/null
rm broken/sub/bad-vanishes.jpg
reasons="bad-cut.jpg	(ended|ends|end of file|end marker|premature|Premature|need at least)
bad-empty.jpg	empty
bad-text.jpg	not a JPEG
bad-png.jpg	not a JPEG
bad-zeros.jpg	not a JPEG
bad-huge.jpg	more than the limit
bad-12bit.jpg	12 bits a sample
bad-lossless.jpg	lossless
bad-gone.jpg	No such file
bad-vanishes.jpg	No such file
$locked"
count=$(grep -c . <<<"$reasons")
status=0
mpirun -n 3 "$program" run broken.h5 -o out "${quick[@]}" >broken.txt 2>&1 || status=$?
[ "$status" -eq 1 ] || fail "broken files: status $status instead of 1: $(cat broken.txt)"
[ "$(wc -l <out/quarantine.tsv)" -eq $((count + 1)) ] || fail "quarantine.tsv: $(cat out/quarantine.tsv)"
while IFS=$'\t' read -r name reason; do
  [ -n "$name" ] || continue
  grep -Pq "^[0-9]+\t[^\t]*$name\t[a-z]+\t.*$reason" out/quarantine.tsv ||
    fail "$name: no '$reason' in: $(grep "$name" out/quarantine.tsv)"
done <<<"$reasons"
"$program" verify out >verify.txt 2>&1 || fail "verify: $(cat verify.txt)"

# --- an image is named by number, path, archive member ---
"$program" run mixed/tars/sa_1.tar mixed/tars/sa_2.tar -o named "${quick[@]}" --set amg.pred_iou_thresh=0 \
  --set amg.stability_score_thresh=0 >/dev/null
for name in 0 sa_1.tar/sa_11.jpg sa_11.jpg "$PWD/mixed/tars/sa_1.tar/sa_11.jpg"; do
  "$program" show named "$name" -o "shown.png" || fail "show named $name"
  [ ! -e first.png ] || cmp first.png shown.png || fail "$name is another image than 0"
  mv shown.png first.png
done
"$program" segment mixed/tars/sa_1.tar/sa_11.jpg -o member.json --quiet --point 5,5 || fail "segment a member"
"$program" segment "$source/tests/data/golden/thumb.jpg" -o file.json --quiet --point 5,5
cmp member.json file.json || fail "a member of an archive gives other masks than the file"

echo "corpus: mixed sources on 1, 2 and 4 ranks, $count broken files, near-duplicates, names"
