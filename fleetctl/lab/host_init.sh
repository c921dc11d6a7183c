# The first process of a lab host, in namespaces of its own.
# Arguments: NAME, the folder of the host's own files, then what it runs: engine, haproxy.
set -eu
name=$1 own=$2
shift 2

hostname "$name"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$own/etc,workdir=$own/etc.work" /etc
mount --bind "$own/boot_id" /proc/sys/kernel/random/boot_id
mount --bind "$own/fleetctl" /var/lib/fleetctl
mount --bind "$own/docker" /var/lib/docker
umount -l /run/netns # or this host would hold the namespaces of the others
for place in /run /tmp /var/log /root; do
    mount -t tmpfs -o mode=0755 tmpfs $place
done
chmod 1777 /tmp
chmod 0700 /root
mkdir -p /run/sshd /run/lock /run/haproxy
cd /

/usr/sbin/sshd -D -e -f /etc/ssh/sshd_config >"$own/sshd.log" 2>&1 &
for part; do
    case $part in
        engine) dockerd >"$own/dockerd.log" 2>&1 & ;;
        haproxy) haproxy -W -S /run/haproxy/master.sock -p /run/haproxy.pid \
            -f /etc/haproxy/haproxy.cfg >"$own/haproxy.log" 2>&1 & ;;
    esac
done
sleep infinity &
keeper=$!
# Waiting also reaps what others leave; a signal may end a wait, the keeper's life ends the host.
while kill -0 "$keeper" 2>/dev/null; do
    wait "$keeper" || true
done
