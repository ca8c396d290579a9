"""The dashboards as code. `python -m grafana` generates grafana/dashboards/*.json."""
