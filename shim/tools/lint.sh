#!/bin/sh
# gcc -fanalyzer, cppcheck, clang-tidy and clang-format over the files named; what is not there is
# told, and is a failure with JETPACK_MUST_WORK=1.
set -u
status=0
: "${CC:=cc}"

missing() {
    echo "lint: $1 is not there" >&2
    [ "${JETPACK_MUST_WORK:-0}" = 1 ] && status=1
}

if "$CC" -fanalyzer -x c -c -o /dev/null /dev/null 2>/dev/null; then
    for file; do
        # Descriptors that live as long as the process, and test programs, are none of its business.
        case $file in *test/*) continue ;; esac
        "$CC" -std=c17 -O1 -I. -Wall -Wextra -Werror -fanalyzer -Wno-analyzer-fd-leak \
            -Wno-analyzer-malloc-leak -c -o /dev/null "$file" || status=1
    done
else
    missing "gcc -fanalyzer"
fi
if command -v cppcheck >/dev/null; then
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
        --error-exitcode=1 -I. --suppress=missingIncludeSystem --suppress=ctuuninitvar "$@" || status=1
else
    missing cppcheck
fi
if command -v clang-tidy >/dev/null; then
    clang-tidy --quiet "$@" -- -std=c17 -I. -D_GNU_SOURCE 2>/dev/null || status=1
else
    missing clang-tidy
fi
if command -v clang-format >/dev/null; then
    # shellcheck disable=SC2046
    clang-format --dry-run --Werror "$@" $(ls ./*.h linux/*.h) || status=1
else
    missing clang-format
fi
exit $status
