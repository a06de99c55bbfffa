#!/usr/bin/env bash
# servers.sh: the real servers and clients that tests and `hubbub bench` compare with, from Debian's packages
# as far as they may be installed; else a line that says what is missing. What needs them is skipped then.
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin

missing=()
for program in redis-server nats-server mosquitto rabbitmq-server npm; do
    command -v "$program" >/dev/null || missing+=("$program")
done
command -v mosquitto_pub >/dev/null || missing+=(mosquitto-clients)
((${#missing[@]})) || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # Run level 1: the packages shall not start services that nobody asked for.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
else
    echo "left out, for want of: ${missing[*]} (install them and repeat)" >&2
fi
