try() { for _ in $(seq 600); do "$@" && return; sleep 0.1; done; echo "no success: $*" >&2; exit 1; }
qmp() { echo '{"execute":"qmp_capabilities"} {"execute":"'$2'"'$3'}' | socat -t1 - unix:$1; }
runs() { qmp $1 query-status | grep '"status":"running"'; }
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT

nvtpm create vm.qcow2 --size 64M
qemu-img snapshot -c empty vm.qcow2              # off, it is an image like any other
nvtpm run vm.qcow2 --qmp unix:here.qmp,server=on,wait=off &
try test -S here.qmp
nvtpm run vm.qcow2 --incoming unix:incoming --qmp unix:there.qmp,server=on,wait=off &
try test -S incoming -a -S there.qmp

qmp here.qmp migrate ',"arguments":{"uri":"unix:incoming"}'
try runs there.qmp
qmp here.qmp quit
qmp there.qmp quit
wait
nvtpm check vm.qcow2 --expect-existing
