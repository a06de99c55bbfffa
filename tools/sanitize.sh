#!/usr/bin/env bash
# sanitize.sh PYTHON DIRECTORY COMMAND...: run COMMAND against the native modules built with
# AddressSanitizer and UndefinedBehaviorSanitizer, in DIRECTORY. Needs gcc and its sanitizer libraries.
set -euo pipefail
python=$(realpath -s "$1") target=$2; shift 2

rm -rf "$target"
mkdir -p "$target/source" "$target/built"
git ls-files -z | tar --null --create --files-from - | tar --extract --directory "$target/source"
target=$(realpath "$target")
flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g"
CFLAGS=$flags LDFLAGS=$flags "$python" -m pip install --quiet --no-deps \
    --target "$target/built" "$target/source"

# Python's own allocator would hide what is read behind the end of a small object.
export PYTHONPATH=$target/built PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    "$python" -c 'import hubbub, sys; assert hubbub.__file__.startswith(sys.argv[1])' "$target"
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" "$@"
