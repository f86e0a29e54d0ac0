"""Assets, liabilities and the hedge as Prometheus metrics.

The ledger's change stream feeds balances in memory; a scrape maps them to metrics and touches no database.
`exporters.service` puts the parts together, `exporters.gauges` says what each metric means.
"""
