# shellcheck shell=bash disable=SC2034
# Shared by tools/setup, tools/demo, tools/test and .ci/run; sourced, not run. Sets `root` and enters it, so that every
# path below is relative to the project, whatever the caller's folder and however it is spelled.
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root" || exit
logs=build/log
mkdir -p "$logs"

preset=release
lethe=build/$preset/bin/lethe

# Prints its arguments as a command a person can paste, then runs them.
show_and_run() {
    printf '\n$'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

# logged NAME TEXT COMMAND...: runs COMMAND with its output in build/log/NAME.log. Says TEXT, then how far it is (on a
# terminal every second, elsewhere twice a minute), then how long it took; on failure the end of the log.
logged() {
    local name=$1 text=$2 log=$logs/$1.log started=$SECONDS last='' pid status=0 pause=30 waited
    shift 2
    [[ -t 1 ]] && pause=1
    echo "$text (log: $log)"
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        for ((waited = 0; waited < pause * 5; ++waited)); do
            sleep 0.2
            kill -0 "$pid" 2>/dev/null || break 2
        done
        last=$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)
        if [[ -t 1 ]]; then printf '\r\033[K  %s' "$last"; else echo "  $last"; fi
    done
    wait "$pid" || status=$?
    trap - INT TERM
    [[ -t 1 ]] && printf '\r\033[K'
    if ((status != 0)); then
        echo "  failed ($name, exit code $status); the end of $log:"
        tail -n 40 "$log"
        return "$status"
    fi
    echo "  done in $((SECONDS - started)) s"
}

# configure [CMAKE_ARGUMENT...]: configures build/release when it is not, or when arguments are given.
configure() {
    if [[ ! -f build/$preset/build.ninja || $# -gt 0 ]]; then
        logged configure "Configuring build/$preset" cmake --preset "$preset" "$@"
    fi
}

# build TARGET: builds it; a fraction of a second when there is nothing to do.
build() {
    logged "build-$1" "Building $1" cmake --build "build/$preset" --target "$1"
}
