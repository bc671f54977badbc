#!/usr/bin/env bash
# `cmake --install`, then a C program that knows maskmill by pkg-config alone, and the installed program.
# $1 the program, $2 the source tree, $3 a scratch folder.
set -euo pipefail
maskmill=$1
source=$2
scratch=$3
build=$(dirname "$maskmill")

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

cmake --install "$build" --prefix "$scratch/first" >install.log
mv first prefix # everything must still be found when the folder has moved
prefix=$scratch/prefix
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name maskmill.pc)")
export PKG_CONFIG_PATH

cat >demo.c <<'EOF'
#include <maskmill/comm.h>
#include <maskmill/corpus.h>
#include <maskmill/engine.h>
#include <maskmill/shard.h>
#include <stdio.h>

/* Every public header is there, and modules from the first to the last link. */
int main(void)
{
    const uint8_t bits[6] = {0, 1, 1, 0, 1, 0};
    mm_config config;
    mm_error err = {0};
    mm_rle rle;
    if (mm_rle_from_bits(bits, 2, 3, &rle, &err) != MM_OK || mm_config_load(NULL, NULL, 0, &config, &err) != MM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    printf("%u points, %u pixels\n", (unsigned)config.amg.points_per_side, (unsigned)mm_rle_area(&rle));
    mm_rle_free(&rle);
    mm_status (*volatile last)(mm_comm *, const mm_run_options *, mm_run_summary *, mm_error *) = mm_engine_run;
    return last == NULL;
}
EOF
flags=()
if grep -q __asan_init "$maskmill"; then
  flags=(-fsanitize=address -fsanitize=undefined)
fi
read -r -a package <<<"$(pkg-config --cflags --libs maskmill)"
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror "${flags[@]}" demo.c -o demo "${package[@]}"
[ "$(./demo)" = "32 points, 3 pixels" ]

for header in "$source"/include/maskmill/*.h; do
  [ -f "$prefix/include/maskmill/$(basename "$header")" ]
  # Each header stands alone.
  echo "#include <maskmill/$(basename "$header")>" >one.c
  "${CC:-cc}" -std=c11 -Wall -Wextra -Werror -fsyntax-only one.c -I"$prefix/include"
done

for job in "$source"/jobs/*.sbatch; do
  cmp "$job" "$prefix/share/maskmill/jobs/$(basename "$job")"
done

# The installed program takes what was installed, not what is in the source tree.
"$prefix/bin/maskmill" model list | grep -F "$prefix" | grep -q default.safetensors
mv "$prefix/share/maskmill/configs/fast.yaml" kept.yaml
sed 's/points_per_side: .*/points_per_side: 0/' kept.yaml >"$prefix/share/maskmill/configs/fast.yaml"
message=$("$prefix/bin/maskmill" segment -q -c fast x.jpg 2>&1 || true)
grep -qF "share/maskmill/configs/fast.yaml" <<<"$message"
echo "install.sh: all good"
