#!/bin/bash
# A host of its own for the tests of `cargo toro deploy`: libvirt and an SSH server in private namespaces, so that nothing of
# the machine is seen or changed, and everything ends with the test. Run as root by
#   unshare --mount --net --pid --fork --kill-child --mount-proc host.sh FOLDER COMMAND…
# FOLDER is empty; afterwards it has `ssh_config`, which knows the host `box`.
set -euo pipefail
folder=$1; shift
PATH=$PATH:/usr/sbin:/sbin

ip link set lo up
for place in /etc/libvirt /run /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /var/lib/toro; do
    mkdir -p "$place"
    mount -t tmpfs tmpfs "$place"
done
mkdir -p /run/libvirt /run/sshd /run/lock

cat > /etc/libvirt/libvirtd.conf <<CONF
listen_tls = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
CONF
# No user, no control groups and no namespaces besides those of the test.
cat > /etc/libvirt/qemu.conf <<CONF
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
CONF
libvirtd > "$folder/libvirtd.log" 2>&1 &

ssh-keygen -q -t ed25519 -N '' -f "$folder/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$folder/user_key"
cp "$folder/user_key.pub" "$folder/authorized_keys"
cat > "$folder/sshd_config" <<CONF
ListenAddress 127.0.0.1:2222
HostKey $folder/host_key
AuthorizedKeysFile $folder/authorized_keys
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PidFile none
CONF
"$(command -v sshd)" -D -f "$folder/sshd_config" > "$folder/sshd.log" 2>&1 &
printf '[127.0.0.1]:2222 %s\n' "$(cat "$folder/host_key.pub")" > "$folder/known_hosts"
cat > "$folder/ssh_config" <<CONF
Host box
    HostName 127.0.0.1
    Port 2222
    User root
    IdentityFile $folder/user_key
    IdentitiesOnly yes
    UserKnownHostsFile $folder/known_hosts
    StrictHostKeyChecking yes
Host nobody-there
    HostName 127.0.0.1
    Port 9
CONF

for _ in $(seq 600); do
    virsh -q -c qemu:///system list > /dev/null 2>&1 && break
    sleep 0.1
done
for _ in $(seq 600); do
    ssh -F "$folder/ssh_config" -o BatchMode=yes box true 2> /dev/null && break
    sleep 0.1
done
"$@"
