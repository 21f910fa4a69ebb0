#!/bin/bash
# Move a running container to another host, with its memory and its volume, and send its users there.
#
#   SSH_CONFIG=file SOCKETS=folder podman.sh APP VOLUME PORT SOURCE TARGET TARGET_ADDRESS GATEWAY...
#
# The image is on both hosts, the container on the source only. Needs an SSH agent, which is forwarded
# to the source. Prints what has ended when, in seconds.
set -euo pipefail
app=$1 volume=$2 port=$3 source=$4 target=$5 address=$6
gateways=("${@:7}")
# In memory.
archive=/run/$app.tar

# Connections are kept open: a new one would cost more than most commands.
on() { ssh -F "$SSH_CONFIG" -A -o ControlMaster=auto -o ControlPersist=60 \
    -o ControlPath="$SOCKETS/%C" "$@"; }
# copy [OPTION] PATH...: to the same paths on the target, with the cipher that costs least.
copy() {
    on "$source" "rsync --archive --hard-links --acls --xattrs --delete --relative --no-implied-dirs \
        --rsh='ssh -c aes128-gcm@openssh.com \
               -o ControlMaster=auto -o ControlPersist=60 -o ControlPath=/run/move-%C' \
        ${*@Q} 'root@$address:/'"
}

ended() { echo "$1 $EPOCHREALTIME"; }

ended nothing
# While it serves: most of the volume, and the connections.
copy "$volume"
on "$target" true
ended ahead

on "$source" "podman container checkpoint --file-locks --compress none \
    --export '$archive' '$app' >/dev/null"
ended checkpoint
# What a process has mapped may have changed without its time, and the process goes on with it.
copy --checksum "$volume" "$archive"
ended copy
on "$target" "podman container restore --file-locks --publish '$address:$port:8080' \
        --import '$archive' >/dev/null
    until curl --silent --fail --output /dev/null 'http://$address:$port/healthz'; do sleep 0.02; done"
ended restore
for gateway in "${gateways[@]}"; do
    on "$gateway" "/tmp/mec-bench/gateway '$app' '$target'" &
done
wait
ended switch

on "$source" "podman rm '$app' >/dev/null; rm '$archive'"
on "$target" "rm '$archive'"
