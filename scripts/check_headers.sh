#!/usr/bin/env bash
# Every public header (src/**/*.hpp) compiles alone, with g++, or with the compilers in $COMPILERS. No include folder
# of a third-party library is given: a header that needs one fails here.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(-std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror -Isrc -I. -Ibuild/generated)
mapfile -t headers < <(find src bench -name '*.hpp' | sort)
read -ra compilers <<<"${COMPILERS:-g++}"

compile_alone() {
  local compiler="$1" header="$2"
  shift 2
  # Included twice from an empty file: that also finds a header without a guard.
  printf '#include "%s"\n#include "%s"\n' "${header#src/}" "${header#src/}" | "$compiler" "$@" -x c++ - ||
    { echo "$header does not compile alone with $compiler"; return 1; }
}
export -f compile_alone

for compiler in "${compilers[@]}"; do
  printf '%s\n' "${headers[@]}" |
    xargs -r -P 2 -I{} bash -c 'compile_alone "$@"' _ "$compiler" {} "${flags[@]}" || exit 1
done
echo "${#headers[@]} headers compile alone with ${compilers[*]}"
