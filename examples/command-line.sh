nvtpm create tpm.qcow2                                      # or format one that qemu-img create made
nvtpm exec tpm.qcow2 00c10000000e0000004600000008           # TPM_GetRandom, through the registers
echo '00c1 0000000e 00000015 00000000  # TPM_PCRRead' >commands
nvtpm exec tpm.qcow2 --strict @commands --trace events      # exit code 1 if the TPM refuses one
nvtpm trace events                                          # every register access, as a time line
nvtpm info tpm.qcow2
nvtpm check tpm.qcow2 --expect-existing                     # the exit code is the kind of fault
cp tpm.qcow2 copy.qcow2
nvtpm compare tpm.qcow2 copy.qcow2                          # exit code 1 if the states differ

umask 077; echo 'a password' >pw; head -c 32 /dev/urandom >key
nvtpm create safe.qcow2 --key pwdfile=pw --keep 3           # encrypted; three replaced states are kept
nvtpm rekey safe.qcow2 --key pwdfile=pw --new-key file=key,format=binary
nvtpm exec safe.qcow2 --key file=key,format=binary 00c10000000e0000004600000008
nvtpm info safe.qcow2 --key file=key,format=binary
nvtpm log safe.qcow2                                        # the kept states, and what changed
