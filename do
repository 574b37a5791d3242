#!/usr/bin/env bash
# The one command of this project: `./do` alone explains itself.
#
# Makes .venv, installs what requirements*.txt lock (by hash, only when a lock changed), and for the tests and the benchmark the
# Debian packages they need; what cannot be installed beside those is unpacked into .venv. It must never start a daemon, change
# a file outside this directory otherwise, or install what is not locked.
set -euo pipefail

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
venv=$root/.venv
python=$venv/bin/python
export PATH=$PATH:/usr/sbin:/sbin # Debian keeps postfix and haproxy there, where a user's PATH does not look

say() { printf 'do: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

usage() {
    cat <<'TEXT'
usage: ./do COMMAND [ARGUMENT...]

  run        start the proxy with config.toml (-c FILE: another one; Ctrl-C ends it)
  test       run all tests; arguments go to pytest, for example: ./do test tests/wire -x
  lint       ruff, ruff format, mypy --strict and the floors (which module may import which)
  bench      measure against Postfix's proxy and haproxy, print one table; bench simulate: a day of mixed traffic on a
             virtual clock, to see whom greylisting delays
  smuggling  the long smuggling enumeration (./do test runs the short one)
  mutants    plant known faults in a copy of the code and show that the tests catch each one
  lock       write requirements.txt and requirements-dev.txt anew from pyproject.toml (needs the program uv)

Needs Debian 12 or 13, or any Linux with Python 3.11, 3.12 or 3.13. The first call of each command installs what it needs:
Python packages into .venv, Debian packages (python3-venv; for test and bench Postfix and others) with apt if this
user may, or else says which ones are missing.
TEXT
}

# ---- Debian packages -------------------------------------------------------------------------------------------------------

# missing NAME...: those of the packages that are not installed
missing() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || printf '%s\n' "$name"
    done
}

# names FILE...: the package names in files of one name a line with # comments
names() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' -- "$@" | sort -u; }

# debian PURPOSE NAME...: installs the packages that are missing, without starting any daemon of theirs
debian() {
    local purpose=$1 lacking=() sudo=()
    shift
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "$purpose needs what these Debian packages hold, and this is no Debian: $*"
    fi
    mapfile -t lacking < <(missing "$@")
    ((${#lacking[@]})) || return 0
    if ((EUID != 0)); then
        sudo -n true 2>/dev/null || die "$purpose needs packages that are not installed. As root: apt-get install ${lacking[*]}"
        sudo=(sudo -n)
    fi
    say "installing ${lacking[*]} ($purpose)"
    install_quietly "${lacking[@]}" || die "$purpose needs packages that could not be installed: ${lacking[*]}"
}

# Debian asks /usr/sbin/policy-rc.d before a package may start its daemon; 101 is "no". Ours is there while apt runs and no longer;
# one that was there before is put back. A subshell, so that the trap also works for Ctrl-C.
install_quietly() (
    policy=/usr/sbin/policy-rc.d
    mark='# smtproxy ./do: no daemon starts while packages for tests are installed'
    exec 8</usr/sbin
    flock 8 # another ./do of another tree
    # shellcheck disable=SC2317 # called by the trap
    restore() {
        if [[ -e $policy.before-smtproxy ]]; then
            "${sudo[@]}" mv -f "$policy.before-smtproxy" "$policy"
        else
            "${sudo[@]}" rm -f "$policy"
        fi
    }
    if [[ -e $policy ]] && ! grep -qF "$mark" "$policy"; then
        "${sudo[@]}" mv "$policy" "$policy.before-smtproxy"
    fi
    trap restore EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    for name in "$@"; do # "Local only": a main.cf that listens on loopback alone, should somebody start it one day
        if [[ $name == postfix ]]; then
            printf 'postfix postfix/main_mailer_type select Local only\n' | "${sudo[@]}" debconf-set-selections
        fi
    done
    get=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    install=("${get[@]}" install -y --no-install-recommends "$@")
    log=$(mktemp)
    # The lists of a fresh machine are empty, those of an old one name files that are gone: then, and only then, fetch them.
    if ! "${install[@]}" >"$log" 2>&1 </dev/null; then
        { "${get[@]}" update && "${install[@]}"; } >"$log" 2>&1 </dev/null || { cat "$log" >&2; rm -f "$log"; exit 1; }
    fi
    rm -f "$log"
)

# libraries NAME...: the packages of shared libraries that those need, theirs included
libraries() {
    local direct names='s/^ *|\{0,1\}Depends: \(lib[a-z0-9.+-]*\)$/\1/p'
    mapfile -t direct < <(apt-cache depends "$@" | sed -n "$names" | sort -u)
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "${direct[@]}" |
        grep -E '^lib[a-z0-9.+-]+$' | sort -u
}

# unpacked PURPOSE NAME...: unpacks packages that cannot be installed here, as two mail servers exclude each other, into
# .venv/unpacked, with the libraries that this machine lacks. Nothing of it runs as a service, nothing is setuid.
unpacked() {
    local purpose=$1 target=$venv/unpacked work get=(apt-get -qq -o APT::Sandbox::User=root)
    shift
    exec 9<"$root"
    flock 9 # another ./do of this tree
    if [[ $(cat -- "$target/packages" 2>/dev/null) != "$*" ]]; then
        say "unpacking $* ($purpose)"
        rm -rf -- "$target"
        work=$(mktemp -d "$venv/unpacking.XXXXXX")
        if ! download "$work" "$@" 2>"$work/log"; then
            # As above: the lists of this machine may be empty or old.
            { ((EUID == 0)) && "${get[@]}" update && download "$work" "$@"; } >>"$work/log" 2>&1 ||
                die "$purpose needs packages that could not be downloaded: $* ($(tail -n 1 "$work/log"))"
        fi
        mkdir "$target"
        for package in "$work"/*.deb; do dpkg -x "$package" "$target"; done
        find "$target" -type f -perm /6000 -exec chmod ug-s {} +
        rm -rf -- "$work"
        printf '%s\n' "$*" >"$target/packages"
    fi
    exec 9<&-
}

# download DIRECTORY NAME...
download() (
    cd -- "$1" && shift
    mapfile -t needed < <(libraries "$@")
    mapfile -t lacking < <(missing "${needed[@]}")
    "${get[@]}" download "$@" "${lacking[@]}"
)

# ---- Python packages -------------------------------------------------------------------------------------------------------

# interpreter [MODULE]: the first Python of a version this project runs on, that has MODULE. Debian's own goes first: it is built
# with profile-guided optimisation, and a session costs a fifth less on it than on one that was compiled without.
interpreter() {
    local name
    for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if "$name" -c "import sys, ${1:-sys}; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))" 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

make_venv() {
    local found
    if ! found=$(interpreter); then
        debian "smtproxy" python3 python3-venv
        found=$(interpreter) || die "smtproxy needs Python 3.11, 3.12 or 3.13, and found none (python3 is $(python3 -V 2>&1))"
    fi
    if ! "$found" -c 'import ensurepip' 2>/dev/null; then
        # Debian keeps a part of the standard library in a package of its own. Who may not install it uses another Python.
        if [[ $EUID == 0 ]] || ! found=$(interpreter ensurepip); then
            debian "making .venv" python3-venv
            found=$(interpreter ensurepip) || die "no Python here can make virtual environments (no ensurepip)"
        fi
    fi
    say "making .venv with $("$found" -V)"
    "$found" -m venv --clear -- "$venv"
}

# stamp LOCK: what the installed state depends on
stamp() { printf '%s in %s\n' "$("$python" -V 2>&1)" "$root" && cat -- "$1"; }

fresh() { [[ -x $python ]] && cmp -s -- <(stamp "$root/$1") "$venv/installed-$1"; }

# locked FILE: .venv exists and holds what the file locks, and the project itself by its path
locked() {
    fresh "$1" && return
    exec 9<"$root"
    flock 9 # another ./do of this tree
    if ! fresh "$1"; then
        # A .venv whose Python is gone or another one (an upgrade of the system), or whose making was broken off, is made anew.
        if ! "$python" -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null; then make_venv; fi
        say "installing what $1 locks"
        PIP_USER=0 "$python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r "$root/$1"
        # The project itself: a line in a .pth file does what an editable install does, offline and without a build.
        printf '%s\n' "$root" >"$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/smtproxy.pth"
        stamp "$root/$1" >"$venv/installed-$1"
    fi
    exec 9<&-
}

# developed: what tests and checks need of Python, one package of which is built here
developed() {
    local wanted
    fresh requirements-dev.txt && return
    mapfile -t wanted < <(names "$root/tests/debian-build.txt")
    debian "./do $command" "${wanted[@]}"
    locked requirements-dev.txt
}

# module NAME ARGUMENT...: ends as that module of the tree
module() {
    cd -- "$root"
    exec "$python" -m "$@"
}

lint() {
    cd -- "$root"
    local failed=0
    "$python" -m ruff check --quiet . || failed=1
    "$python" -m ruff format --check --quiet . || { say "ruff format would change files (see: ruff format --diff)"; failed=1; }
    "$python" -m mypy --no-error-summary || failed=1
    "$python" -m pytest -q tests/test_floors.py || failed=1
    ((failed == 0)) || die "lint found faults"
    say "lint is clean"
}

lock() {
    command -v uv >/dev/null || die "lock needs the program uv (pipx install uv)"
    cd -- "$root"
    local compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml "$@")
    "${compile[@]}" -o requirements.txt
    "${compile[@]}" --group dev -c requirements.txt -o requirements-dev.txt
}

command=${1:-}
(($#)) && shift
case $command in
run)
    locked requirements.txt
    exec "$python" -m smtproxy run -c "$root/config.toml" "$@"
    ;;
test)
    mapfile -t wanted < <(names "$root/tests/debian-packages.txt")
    debian "./do test" "${wanted[@]}"
    developed
    mapfile -t wanted < <(names "$root/tests/debian-unpacked.txt")
    unpacked "./do test" "${wanted[@]}"
    module pytest "$@"
    ;;
lint)
    developed
    lint
    ;;
bench)
    if [[ ${1-} == simulate ]]; then # no server, no package of Debian
        developed
        module bench.simulate "${@:2}"
        exit
    fi
    mapfile -t wanted < <(names "$root/tests/debian-packages.txt" "$root/bench/debian-packages.txt")
    debian "./do bench" "${wanted[@]}"
    developed
    module bench "$@"
    ;;
smuggling | mutants)
    developed
    module "tests.$command" "$@"
    ;;
lock) lock "$@" ;;
'' | help | -h | --help) usage ;;
*)
    usage >&2
    die "there is no command '$command'"
    ;;
esac
