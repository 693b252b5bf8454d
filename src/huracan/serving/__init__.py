"""From a new candle to a signal: the champion, its features, its veto."""
