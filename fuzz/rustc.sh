#!/usr/bin/env bash
# A compiler for fuzzing (RUSTC_WRAPPER): our own crates report which of their branches were taken, as libFuzzer wants
# it (the flags are those of cargo-fuzz without a sanitizer); the others' are built as they are.
case " $* " in
  *" --crate-name roomd "* | *" --crate-name roomd_fuzz "*)
    set -- "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
      -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$@"
