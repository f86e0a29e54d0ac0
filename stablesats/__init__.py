"""The dealer: user trades, the ledger, the hedge on OKX."""
