#!/bin/sh
# The alerts and recording rules as the Prometheus operator wants them: deploy/kubernetes/rules.sh | kubectl apply -f -
set -eu
cd "$(dirname "$0")/../../dashboards"
for name in recording alerts; do
    printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: nerd-%s\nspec:\n' "$name"
    sed 's/^./  &/' "$name.yml"
done
