"""The page a person reads: the same snapshot as the metrics, as plain HTML."""

from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Final, assert_never

from exporters.readiness import NotReady, Ready, readiness
from exporters.snapshot import LedgerFigures, LedgerSnapshot

SATS_PER_BTC: Final = 100_000_000
CENTS_PER_USD: Final = 100

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 44rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; width: 100%; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; }
td:last-child { font-variant-numeric: tabular-nums; text-align: right; }
.down { color: #b00020; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd; } a { color: #8bf; } }
"""


def render_page(snapshot: LedgerSnapshot, *, now: datetime) -> str:
    """Render *snapshot* as a whole HTML document without scripts; ages are counted up to *now*."""
    figures = "" if snapshot.figures is None else _figures_table(snapshot.figures)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>stablesats exporter</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>stablesats exporter</h1>
{_state(snapshot)}
{figures}
{_stream_table(snapshot, now=now)}
<p><a href="/metrics">/metrics</a> for Prometheus, <a href="/healthz">/healthz</a> while the process
is alive, <a href="/readyz">/readyz</a> while the figures are up to date.</p>
</body>
</html>
"""


def _state(snapshot: LedgerSnapshot) -> str:
    match readiness(snapshot):
        case Ready():
            return "<p>The figures are up to date.</p>"
        case NotReady(reason):
            warning = "The figures may be out of date" if snapshot.figures is not None else "No figures yet"
            return f'<p class="down">{warning}: {escape(reason)}.</p>'
        case unexpected:
            assert_never(unexpected)


def _figures_table(figures: LedgerFigures) -> str:
    dealer = figures.dealer
    ratio = dealer.exposure_ratio
    return _table(
        "What the dealer holds and owes",
        (
            ("Assets: bitcoin held", f"{Decimal(dealer.btc_wallet_sats) / SATS_PER_BTC:,.8f} BTC"),
            ("Liabilities: dollars owed to users", _usd(dealer.users_liability_cents)),
            ("Hedge target", _usd(dealer.hedge_target_cents)),
            ("Position on OKX (negative is short)", _usd(dealer.signed_exposure_cents)),
            ("Hedge ratio", "nothing to hedge" if ratio is None else f"{ratio:.4f}"),
            ("Books", "balanced" if _is_balanced(figures) else "NOT BALANCED"),
        ),
    )


def _stream_table(snapshot: LedgerSnapshot, *, now: datetime) -> str:
    stream = snapshot.stream
    return _table(
        "The change stream",
        (
            ("Stream", "open" if stream.is_live else "down"),
            ("Last confirmed", _age(stream.confirmed_at, now=now)),
            ("Last journal", _age(stream.last_event_at, now=now)),
            ("Journals since start", f"{stream.journals_applied:,}"),
            ("Restarts since start", f"{stream.restarts:,}"),
        ),
    )


def _table(caption: str, rows: tuple[tuple[str, str], ...]) -> str:
    cells = "\n".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<h2>{escape(caption)}</h2>\n<table>\n{cells}\n</table>"


def _usd(amount_cents: int) -> str:
    return f"{Decimal(amount_cents) / CENTS_PER_USD:,.2f} USD"


def _age(instant: datetime | None, *, now: datetime) -> str:
    if instant is None:
        return "not yet"
    age_secs = max(0, round((now - instant).total_seconds()))
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC, {age_secs:,} s ago"


def _is_balanced(figures: LedgerFigures) -> bool:
    return all(row.imbalance_minor == 0 for row in figures.imbalances)
