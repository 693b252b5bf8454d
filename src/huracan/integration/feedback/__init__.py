"""The Mechanic's parts, one stage or one idea a file: candles in, what is said of them, what came of it, who follows."""
