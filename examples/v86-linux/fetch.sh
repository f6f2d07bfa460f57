#!/bin/sh
# Fetches what the example needs, without installing anything and without being root: a stock i386
# kernel, busybox and SeaBIOS from this system's own Debian sources, and the emulator from the npm
# registry. About 60 MiB, into the folder named, or $NVTPM_V86, or ~/.cache/nvtpm/v86-linux.
set -eu

V86=0.5.462
folder=${1:-${NVTPM_V86:-${XDG_CACHE_HOME:-$HOME/.cache}/nvtpm/v86-linux}}
mkdir -p "$folder"
cd "$folder"

have() {
  for piece in "$@"; do
    [ -s "$piece" ] || return 1
  done
}

# The i386 packages, from lists of their own: the system's stay as they are.
apt() {
  tool=$1
  shift
  "$tool" -q -o APT::Architecture=i386 -o APT::Architectures=i386 -o APT::Sandbox::User= \
    -o Dir::State::lists="$folder/apt/lists" -o Dir::Cache="$folder/apt/cache" "$@"
}

if ! have vmlinuz busybox bios.bin vgabios.bin; then
  for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || {
      echo "fetch.sh: there is no $tool here; it takes a Debian to run it" >&2
      exit 1
    }
  done
  rm -rf apt debs root
  mkdir -p apt/lists/partial apt/cache/archives/partial debs
  # A source without i386 packages is an error to apt, and none to us.
  apt apt-get update >apt/log 2>&1 || true
  kernel=$(apt apt-cache search --names-only '^linux-image-[0-9.-]+-686-unsigned$' |
    cut -d ' ' -f 1 | sort -V | tail -n 1)
  [ -n "$kernel" ] || {
    cat apt/log >&2
    echo "fetch.sh: no i386 kernel in this system's apt sources; add those of Debian 12" >&2
    exit 1
  }
  (cd debs && apt apt-get download "$kernel" busybox-static seabios) >>apt/log 2>&1 || {
    cat apt/log >&2
    echo "fetch.sh: cannot download $kernel, busybox-static and seabios" >&2
    exit 1
  }
  for deb in debs/*.deb; do dpkg -x "$deb" root; done
  mv root/boot/vmlinuz-* vmlinuz
  mv root/bin/busybox busybox 2>/dev/null || mv root/usr/bin/busybox busybox
  mv root/usr/share/seabios/bios.bin bios.bin
  mv root/usr/share/seabios/vgabios-stdvga.bin vgabios.bin
  echo "$kernel" >kernel.txt
  rm -rf apt debs root
fi

if ! have node_modules/v86/build/libv86.mjs node_modules/v86/build/v86.wasm; then
  npm install --prefix "$folder" --no-save --no-audit --no-fund --silent "v86@$V86"
fi

echo "v86 $V86, $(cat kernel.txt): $folder"
