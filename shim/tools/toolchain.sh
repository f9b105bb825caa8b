#!/bin/sh
# Prints the compiler command for the static programs of the shim, and makes what it needs below
# $1 (the build folder). musl when musl-gcc is there (its small pages are what a pod costs), as a
# static PIE when its start file for that exists; else the system's libc, static.
#
#     toolchain.sh BUILD compile      flags before the sources
#     toolchain.sh BUILD link         what follows them
set -eu
build=$1
: "${CC:=cc}"

musl_lib() {
    for lib in "/usr/lib/$(uname -m)-linux-musl" /usr/local/musl/lib /usr/lib/musl/lib; do
        [ -e "$lib/crt1.o" ] && { echo "$lib"; return; }
    done
}

if [ -z "${NO_MUSL:-}" ] && command -v musl-gcc >/dev/null 2>&1 && lib=$(musl_lib) && [ -n "$lib" ]; then
    # Only the kernel's headers, never those of the other libc beside them.
    mkdir -p "$build/kernel"
    ln -sfn /usr/include/linux "$build/kernel/linux"
    ln -sfn /usr/include/asm-generic "$build/kernel/asm-generic"
    for asm in "/usr/include/$(uname -m)-linux-gnu/asm" /usr/include/asm; do
        [ -d "$asm" ] && { ln -sfn "$asm" "$build/kernel/asm"; break; }
    done
    gcc=$(musl-gcc -print-file-name=crtbeginS.o)
    case $2 in
    compile) echo "musl-gcc -isystem $build/kernel -fPIE" ;;
    link)
        if [ -e "$lib/rcrt1.o" ]; then
            echo "-nostartfiles -static -Wl,-pie,--no-dynamic-linker,-z,text" \
                "$lib/rcrt1.o $lib/crti.o $gcc ${gcc%beginS.o}endS.o $lib/crtn.o"
        else
            echo "-static"
        fi
        ;;
    esac
else
    case $2 in
    compile) echo "$CC -fPIE -D_FORTIFY_SOURCE=2" ;;
    link) echo "-static-pie" ;;
    esac
fi
