#!/usr/bin/env bash
# scripts/fetch-weights against a small HTTP server on this machine: a download that breaks off goes on where it
# stopped, a wrong file is refused, and the program finds by name what was fetched.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
fetch=$source/scripts/fetch-weights

rm -rf "$scratch"
mkdir -p "$scratch/www" "$scratch/models"
cd "$scratch"

fail() {
  echo "fetch_weights.sh: $*" >&2
  exit 1
}

# A server that knows Range, breaks off the first answer in the middle, and notes what it was asked for.
cat >server.py <<'PYTHON'
import http.server
import os
import re


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        with open("requests", "a") as log:
            log.write(f"{self.path} {wanted}\n")
        if not os.path.exists("www" + self.path):
            self.send_error(404)
            return
        with open("www" + self.path, "rb") as file:
            data = file.read()
        start = int(re.match(r"bytes=(\d+)-$", wanted).group(1)) if wanted else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if os.path.exists("break-off"):
            os.remove("break-off")
            self.wfile.write(data[start:start + 20000])
            return
        self.wfile.write(data[start:])

    def log_message(self, *arguments):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
with open("port.new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename("port.new", "port")
server.serve_forever()
PYTHON
python3 server.py &
server=$!
trap 'kill "$server"' EXIT
for _ in $(seq 100); do
  [ -e port ] && break
  sleep 0.1
done
[ -e port ] || fail "the test's server did not start"

cp "$source/tests/data/checkpoint/vit_bf16.safetensors" www/sam_vit_b_01ec64.pth
printf '%s  vit_b\n' "$(sha256sum <www/sam_vit_b_01ec64.pth | cut -d ' ' -f 1)" >sums
MASKMILL_WEIGHTS_URL=http://127.0.0.1:$(cat port)
export MASKMILL_WEIGHTS_URL MASKMILL_WEIGHTS_SUMS=$scratch/sums MASKMILL_MODELS=$scratch/models
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY

# The first answer breaks off after 20000 bytes; the second attempt asks for the rest only.
touch break-off
"$fetch" vit_b >out 2>err || fail "did not fetch: $(cat err)"
cmp models/vit_b.pth www/sam_vit_b_01ec64.pth || fail "what was fetched differs"
[ ! -e models/vit_b.pth.part ] || fail "the part file is still there"
printf '/sam_vit_b_01ec64.pth None\n/sam_vit_b_01ec64.pth bytes=20000-\n' | cmp - requests || fail "asked for: $(cat requests)"

# The program finds it by its name.
"$maskmill" model info vit_b >out 2>err || fail "the program does not find it: $(cat err)"

# What is there is not fetched again; what is there and differs is not overwritten.
: >requests
"$fetch" vit_b >out
grep -q "already" out || fail "says: $(cat out)"
[ ! -s requests ] || fail "fetched again"
echo damaged >models/vit_b.pth
status=0
"$fetch" vit_b >out 2>err || status=$?
[ "$status" -eq 4 ] || fail "took a damaged file for good"
[ "$(cat models/vit_b.pth)" = damaged ] || fail "overwrote a file"

# A part of an earlier call, from another process, is gone on with; a whole one needs no request at all.
rm -r models && mkdir models
head -c 31000 www/sam_vit_b_01ec64.pth >models/vit_b.pth.part
"$fetch" vit_b >out 2>err || fail "did not go on: $(cat err)"
[ "$(cat requests)" = "/sam_vit_b_01ec64.pth bytes=31000-" ] || fail "asked for: $(cat requests)"
cmp models/vit_b.pth www/sam_vit_b_01ec64.pth || fail "what was put together differs"
mv models/vit_b.pth models/vit_b.pth.part
: >requests
"$fetch" vit_b >out 2>err || fail "did not take the whole part: $(cat err)"
[ ! -s requests ] || fail "asked for what it had"

# A part of something else ends in a wrong sum, is removed, and the next call is good; so with one that is too long.
for length in 500 200000; do
  rm -f models/*
  head -c "$length" /dev/zero >models/vit_b.pth.part
  status=0
  "$fetch" vit_b >out 2>err || status=$?
  [ "$status" -eq 4 ] || fail "took a wrong part for good"
  [ "$(tail -n 1 err | grep -c '^fetch-weights: ')" -eq 1 ] || fail "says: $(cat err)"
  [ -z "$(ls models)" ] || fail "left $(ls models)"
  "$fetch" vit_b >out 2>err || fail "not from the start: $(cat err)"
done

# A server in trouble costs nothing of what is there.
rm -f models/*
head -c 500 www/sam_vit_b_01ec64.pth >models/vit_b.pth.part
mv www/sam_vit_b_01ec64.pth away
status=0
"$fetch" vit_b >out 2>err || status=$?
[ "$status" -eq 4 ] || fail "status $status without the file"
grep -q "HTTP 404" err || fail "says: $(cat err)"
[ "$(stat -c %s models/vit_b.pth.part)" -eq 500 ] || fail "lost the part"
mv away www/sam_vit_b_01ec64.pth

# The published sums hold when no others are given: this is not the published file.
rm -f models/*
status=0
env -u MASKMILL_WEIGHTS_SUMS "$fetch" vit_b >out 2>err || status=$?
[ "$status" -eq 4 ] || fail "took any file for the published one"
grep -q "does not have the SHA-256 ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912" err ||
  fail "says: $(cat err)"
[ -z "$(ls models)" ] || fail "left $(ls models)"

# Wrong names, missing files, and a folder given by hand.
for wrong in "" vit_x; do
  status=0
  # shellcheck disable=SC2086
  "$fetch" $wrong >out 2>err || status=$?
  [ "$status" -eq 2 ] || fail "status $status for '$wrong'"
done
printf '%064d  mobile_sam\n' 0 >>sums
status=0
"$fetch" mobile_sam >out 2>err || status=$?
[ "$status" -eq 4 ] || fail "status $status for a file that the server does not have"
"$fetch" vit_b elsewhere >out 2>err || fail "into a folder: $(cat err)"
cmp elsewhere/vit_b.pth www/sam_vit_b_01ec64.pth || fail "what was fetched into a folder differs"
echo "fetch-weights resumes, checks and is found"
