#!/usr/bin/env bash
# peers.sh PYTHON: installs what `hubbub bench` compares with, as far as may be; else says what is missing.
set -euo pipefail
cd "$(dirname "$0")"
python=$1
./servers.sh

jars=$("$python" -c 'from hubbub.bench.peers import kafka_directory; print(kafka_directory())')
if compgen -G "$jars/kafka_*.jar" >/dev/null; then
    :
elif command -v java >/dev/null && command -v mvn >/dev/null; then
    ./fetch_kafka.sh "$jars"
else
    echo "not compared, for want of java and mvn: Apache Kafka" >&2
fi
