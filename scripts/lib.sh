# Shared by the scripts beside it: `. "$(dirname "$0")/lib.sh"`. Strict mode, the repository's root as working folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One configuration for everything, so that nothing is built twice.
swift_flags=(-c release --explicit-target-dependency-import-check error)
test_flags=("${swift_flags[@]}" --disable-testable-imports)

# Since the outermost script began: minutes and seconds before each line say where the time goes.
export BEGAN=${BEGAN:-$EPOCHSECONDS}
say() {
    local seconds=$((EPOCHSECONDS - BEGAN))
    printf '\033[1m== %d:%02d %s\033[0m\n' $((seconds / 60)) $((seconds % 60)) "$*"
}
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

need_swift() {
    command -v swift >/dev/null || fail "Swift 6.3 is needed and not in PATH: https://www.swift.org/install/linux/"
    local version
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p')
    case $version in
        6.[3-9] | 6.[1-9][0-9] | [7-9].*) ;;
        *) fail "Swift 6.3 or newer is needed, found ${version:-none that answers} at $(command -v swift): https://www.swift.org/install/linux/" ;;
    esac
}

# need_package PACKAGE TEST…: installs Debian's PACKAGE unless the TEST command succeeds.
apt_updated=
need_package() {
    local package=$1
    shift
    if "$@" >/dev/null 2>&1; then return; fi
    command -v apt-get >/dev/null || fail "$package is missing, and there is no apt-get to install it with"
    local sudo=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "$package is missing: install it as root with apt-get install $package"
        sudo=(sudo)
    fi
    if [ -z "$apt_updated" ]; then
        say "installing from Debian: $package"
        "${sudo[@]}" apt-get update -qq
        apt_updated=1
    fi
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null \
        || fail "could not install $package"
    "$@" >/dev/null 2>&1 || fail "$package is installed, but this still fails: $*"
}

need_build_packages() {
    need_swift
    need_package git command -v git
    need_package libsqlite3-dev test -e /usr/include/sqlite3.h
    need_package zlib1g-dev test -e /usr/include/zlib.h
}

# Debian's Python if there is one: its venv module is complete.
system_python() {
    local python
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    return 1
}

# A virtual environment of our own in .venv, made again when the list of requirements changes.
need_venv() {
    need_package python3 system_python
    local python
    python=$(system_python)
    [ "$python" != /usr/bin/python3 ] || need_package python3-venv "$python" -c 'import venv, ensurepip'
    if ! cmp -s Tests/process/requirements.txt .venv/requirements.txt; then
        say "Python packages for the process tests"
        rm -rf .venv
        "$python" -m venv .venv
        .venv/bin/python -m pip install -q --disable-pip-version-check -r Tests/process/requirements.txt
        cp Tests/process/requirements.txt .venv/requirements.txt
    fi
}

need_browser() {
    need_package chromium command -v chromium
    need_package firefox-esr command -v firefox-esr
}

# Node 20 or newer for sdk/js: the one in PATH, else the one that comes with playwright (Debian 12 has 18). Call need_venv before.
node_binary() {
    local node
    for node in node .venv/lib/python3*/site-packages/playwright/driver/node; do
        if "$node" -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null; then
            echo "$node"
            return
        fi
    done
    fail "Node 20 or newer is needed for the tests of sdk/js"
}

# Prometheus' checker, unpacked from Debian's package (19 MB) and not installed, so that no service starts.
need_promtool() {
    if command -v promtool >/dev/null || [ -x .build-tools/promtool ]; then return; fi
    command -v apt-get >/dev/null || fail "promtool is missing, and there is no apt-get to fetch it with"
    say "unpacking promtool from Debian's package prometheus"
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && { apt-get download -qq prometheus >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq prometheus >/dev/null; }; }) \
        || fail "could not download Debian's package prometheus"
    dpkg-deb -x "$folder"/prometheus_*.deb "$folder/unpacked"
    mkdir -p .build-tools
    mv "$folder/unpacked/usr/bin/promtool" .build-tools/promtool
    rm -rf "$folder"
}

# TypeScript's compiler, unpacked like it.
need_typescript() {
    if [ -e .build-tools/typescript/lib/tsc.js ]; then return; fi
    command -v apt-get >/dev/null || fail "TypeScript is missing, and there is no apt-get to fetch it with"
    say "unpacking TypeScript from Debian's package node-typescript"
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && { apt-get download -qq node-typescript >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq node-typescript >/dev/null; }; }) \
        || fail "could not download Debian's package node-typescript"
    dpkg-deb -x "$folder"/node-typescript_*.deb "$folder/unpacked"
    mkdir -p .build-tools
    mv "$folder/unpacked/usr/share/nodejs/typescript" .build-tools/typescript
    rm -rf "$folder"
}

# Mosquitto's command line clients, and its broker unpacked and not installed, so that no service starts: the measure of the MQTT tests.
need_mosquitto() {
    need_package mosquitto-clients command -v mosquitto_sub
    if command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || [ -x .build-tools/mosquitto ]; then return; fi
    say "unpacking the broker from Debian's package mosquitto"
    local folder library
    folder=$(mktemp -d)
    (cd "$folder" && { apt-get download -qq mosquitto >/dev/null 2>&1 || { apt-get update -qq && apt-get download -qq mosquitto >/dev/null; }; }) \
        || fail "could not download Debian's package mosquitto"
    dpkg-deb -x "$folder"/mosquitto_*.deb "$folder/unpacked"
    for library in $(dpkg-deb -f "$folder"/mosquitto_*.deb Depends | grep -o '\blib[a-z0-9.+-]*'); do
        need_package "$library" dpkg -s "$library"
    done
    mkdir -p .build-tools
    mv "$folder/unpacked/usr/sbin/mosquitto" .build-tools/mosquitto
    rm -rf "$folder"
}

# The proxies of deploy/. Where systemd would start them they are not installed, and their tests are skipped.
need_proxies() {
    if [ -d /run/systemd/system ]; then return; fi
    need_package nginx-light test -x /usr/sbin/nginx
    need_package haproxy test -x /usr/sbin/haproxy
    need_package caddy command -v caddy
}

binary() { echo "$(swift build "${swift_flags[@]}" --show-bin-path)/martlet"; }
