#!/usr/bin/env bash
# Configures and builds in build/ (or $OQ_BUILD). Further arguments go to CMake, e.g. -DOQ_WERROR=ON or -Ddnnl_DIR=...
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build=${OQ_BUILD:-$OQ_ROOT/build}
say "Building in ${build#"$OQ_ROOT"/} with $OQ_JOBS jobs"
quietly "CMake could not configure the build" cmake -S "$OQ_ROOT" -B "$build" "$@"
quietly "the build failed" cmake --build "$build" --parallel "$OQ_JOBS"
