#!/usr/bin/env bash
# peers.sh PYTHON: installs what `hubbub bench` compares with, as far as may be; else says what is missing.
set -euo pipefail
cd "$(dirname "$0")"
python=$1
PATH=$PATH:/usr/sbin:/usr/local/sbin

missing=()
for server in redis-server nats-server; do
    command -v "$server" >/dev/null || missing+=("$server")
done
if ((${#missing[@]})); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        # Run level 1: the packages shall not start services that nobody asked for.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
    else
        echo "not compared, for want of: ${missing[*]} (install them and repeat)" >&2
    fi
fi

jars=$("$python" -c 'from hubbub.bench.peers import kafka_directory; print(kafka_directory())')
if compgen -G "$jars/kafka_*.jar" >/dev/null; then
    :
elif command -v java >/dev/null && command -v mvn >/dev/null; then
    ./fetch_kafka.sh "$jars"
else
    echo "not compared, for want of java and mvn: Apache Kafka" >&2
fi
