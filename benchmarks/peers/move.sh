#!/bin/bash
# Move a container and its volume to another host, and send its users there.
#
#   SSH_CONFIG=file SOCKETS=folder move.sh APP VOLUME PORT SOURCE TARGET TARGET_ADDRESS
#
# The container has been created on both hosts. Needs an SSH agent, which is forwarded to the source.
set -euo pipefail
app=$1 volume=$2 port=$3 source=$4 target=$5 address=$6

# Connections are kept open: a new one would cost more than most commands.
on() { ssh -F "$SSH_CONFIG" -A -o ControlMaster=auto -o ControlPersist=60 \
    -o ControlPath="$SOCKETS/%C" "$@"; }
# Two files that differ within one second are different, which is not rsync's default.
sync() {
    on "$source" "rsync --archive --hard-links --acls --xattrs --delete --modify-window=-1 \
        --rsh='ssh -o UserKnownHostsFile=/etc/mec-relocation/known_hosts \
               -o ControlMaster=auto -o ControlPersist=60 -o ControlPath=/run/move-%C' \
        '$volume/' 'root@$address:$volume/'"
}

# While it serves: most of the volume, and the connections.
sync
on "$target" true

on "$source" "docker stop '$app' >/dev/null"
sync
on "$target" "docker start '$app' >/dev/null
    until curl --silent --fail --output /dev/null 'http://$address:$port/healthz'; do sleep 0.02; done"
for gateway in "$source" "$target"; do
    on "$gateway" "/tmp/mec-bench/gateway '$app' '$target'" &
done
wait
