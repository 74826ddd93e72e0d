#!/usr/bin/env bash
# The one source format: clang-format-16 would change nothing. Mend with: ./dev fmt
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-format-16 >/dev/null || { echo "skipped: clang-format-16 is not installed"; exit 77; }
mapfile -t files < <(find src apps bench fuzz tests \( -name '*.cc' -o -name '*.hpp' -o -name '*.h' \) 2>/dev/null | sort)
printf '%s\n' "${files[@]}" | xargs -r -n 20 -P 2 clang-format-16 --dry-run -Werror ||
  { echo "not in the format: run ./dev fmt"; exit 1; }
echo "${#files[@]} files in the format"
