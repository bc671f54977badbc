#!/usr/bin/env bash
# The report in a browser: light, dark, on a telephone, printed. What it shows must be what `stats` counts, and legible.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
photographs=/usr/share/backgrounds/mate/nature

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
  echo "report: skipped: there is no chromium (scripts/setup installs it)"
  exit 77
fi
python=
for candidate in "${MASKMILL_PYTHON:-python3}" /usr/bin/python3; do
  if [ -z "$python" ] && "$candidate" -c 'import PIL' 2>/dev/null; then python=$candidate; fi
done
if [ -z "$python" ]; then
  echo "report: skipped: no Python has PIL (scripts/setup installs python3-pil)"
  exit 77
fi

rm -rf "$scratch"
mkdir -p "$scratch/corpus/deeper"
cd "$scratch"

# Names that would do harm if they were not taken as text, on an image that is done and on one that is not.
name="<img src=x onerror=document.title='taken'> & \"so\".jpg"
cp "$photographs"/{Garden,LadyBird,Wood,Dune}.jpg corpus/
cp "$photographs/GreenMeadow.jpg" "corpus/deeper/$name"
head -c 3000 "$photographs/Storm.jpg" >"corpus/broken <script>document.title='taken'.jpg"
: >corpus/deeper/empty.jpg

# A detector whose weights are random finds much, if nothing of sense.
model=$source/configs/models/default.safetensors
"$(dirname "$maskmill")/tests/maskmill-make-detector" "$model" "" head.safetensors 1
further=(--set hints.enabled=true --set detect.enabled=true --set detect.head=head.safetensors --set detect.max_boxes=10)
status=0
"$maskmill" run corpus -o "out<b>" -q -m "$model" "${further[@]}" --set amg.points_per_side=8 --set output.images_per_shard=3 || status=$?
[ "$status" -eq 1 ] || { echo "report: the run ended with $status" >&2; exit 1; }
"$maskmill" stats "out<b>" --json >stats.json
"$maskmill" report "out<b>" -o report.html
"$maskmill" report "out<b>" -o - >again.html
cmp report.html again.html
[ "$(stat -c %s report.html)" -lt 3000000 ] || { echo "report: too large" >&2; exit 1; }

export PYTHONDONTWRITEBYTECODE=1 # the source tree stays as it is
check=$source/tests/integration/report_lib/check.py
"$python" "$check" "$browser" "$scratch/report.html" stats.json "$scratch" "$name"
