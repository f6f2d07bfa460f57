nvtpm create tpm.qcow2                                     # or format one that qemu-img create made
nvtpm exec tpm.qcow2 00c10000000e0000004600000008          # TPM_GetRandom of 8 bytes, through the registers
nvtpm exec tpm.qcow2 00c10000000e0000001500000000 --trace t # TPM_PCRRead, every register access traced
nvtpm trace t                                              # … and shown as a time line
nvtpm info tpm.qcow2 --json
nvtpm check tpm.qcow2 --expect-existing                    # the exit code is the kind of fault

umask 077; echo 'a password' >pw
nvtpm create safe.qcow2 --key pwdfile=pw --keep 3          # encrypted; three older states are kept
nvtpm exec safe.qcow2 --key pwdfile=pw 00c10000000e0000004600000008
head -c 32 /dev/urandom >key
nvtpm rekey safe.qcow2 --key pwdfile=pw --new-key file=key,format=binary
nvtpm info safe.qcow2 --key file=key,format=binary
