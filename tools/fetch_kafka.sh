#!/usr/bin/env bash
# fetch_kafka.sh DIR: the jars of Apache Kafka's broker, from Maven Central, into DIR.
set -euo pipefail
cd "$(dirname "$0")/kafka"
mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$1"
