# What the scripts share: how they speak, and where things are. Read with `. scripts/lib.sh` from the repository's root.

DATA=${HAODIAN_DATA_DIR:-$(pwd -P)/.data}
TOOLS=$DATA/tools
export PATH="$TOOLS/node/bin:$PATH"

say() { printf '== %s\n' "$*"; }

# One sentence, and the end.
fail() {
    printf 'haodian: %s\n' "$*" >&2
    exit 1
}

# step NAME COMMAND...  says what begins, and how long it took
step() {
    step_name=$1
    shift
    say "$step_name"
    step_from=$(date +%s)
    # not in a condition: there, bash would go on after a command of a function that failed
    set +e
    (set -e; "$@")
    step_code=$?
    set -e
    [ $step_code = 0 ] || fail "$step_name failed (its own words are above)"
    say "$step_name: done in $(($(date +%s) - step_from)) s"
}

# Whether NODE is new enough for the pages' build: 20.19 or later.
node_fits() {
    "$1" -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

require_rust() {
    command -v cargo >/dev/null || fail "no Rust toolchain is in PATH; install Rust 1.95 or newer with rustup"
}

# Where scripts/setup --postgres18 puts PostgreSQL 18: with the tools, or, when we are root and the account that servers get cannot
# reach those, where their clusters go then.
postgres18() {
    local version
    version=$(sed -n 's/^\([0-9.]*\).* sha512-.*/\1/p' scripts/postgres18.txt)
    mkdir -p "$TOOLS"
    if [ "$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$TOOLS"; then
        printf '%s' "$TOOLS/postgres-$version"
    else
        printf '%s' "/var/lib/haodian/postgres-$version"
    fi
}
