"""Charts as inline SVG: each module turns data into markup; colours are CSS variables, so themes and print follow."""
