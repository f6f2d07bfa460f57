nvtpm create vm.qcow2 --size 64M
qemu-img snapshot -c empty vm.qcow2              # off, it is an image like any other
nvtpm run vm.qcow2 --qmp unix:here.qmp,server=on,wait=off &
until [ -S here.qmp ]; do sleep 0.1; done
nvtpm run vm.qcow2 --incoming unix:incoming --qmp unix:there.qmp,server=on,wait=off &
until [ -S incoming ] && [ -S there.qmp ]; do sleep 0.1; done

qmp() { echo '{"execute":"qmp_capabilities"} {"execute":"'$2'"'$3'}' | socat -t1 - unix:$1; }
qmp here.qmp migrate ',"arguments":{"uri":"unix:incoming"}'
until qmp there.qmp query-status | grep '"status":"running"'; do :; done
qmp here.qmp quit
qmp there.qmp quit
wait
nvtpm check vm.qcow2 --expect-existing
