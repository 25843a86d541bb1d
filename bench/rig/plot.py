"""The matrix as a picture: throughput and p99 by number of clients, on scales that start at 0."""

WIDTH, PANEL_HEIGHT, LEFT, TOP, GAP = 860, 300, 64, 76, 36
COLOURS = {"ordinary": "#b9c4d0", "best_case": "#6b8cae", "duplex": "#d1603d"}
NAMES = {"ordinary": "PostgreSQL, five statements", "best_case": "PostgreSQL, one call", "duplex": "duplex"}


def write(file, rows, options):
    by_clients = {}
    for row in rows:
        cell = by_clients.setdefault(row["clients"], {})
        cell[row["peer"]] = (row["peer_per_s"], row["peer_p99_ms"])
        cell["duplex"] = (row["duplex_per_s"], row["duplex_p99_ms"])
    height = TOP + 2 * (PANEL_HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(LEFT, 28, "Deposits on two servers: durable on both before the answer", size=17, weight="bold"),
        text(LEFT, 48, f"store {options.engine}, terminals {'TLS' if options.tls else 'plain'}, medians of {options.rounds} "
             f"round(s) of {options.seconds} s; all on one machine, so only the ratios mean something", fill="#666"),
    ]
    parts += legend(66)
    parts += panel(TOP + 20, "commands per second (above the bars: duplex / one call)", by_clients, 0, higher_is_better=True)
    parts += panel(TOP + 20 + PANEL_HEIGHT + GAP, "p99, milliseconds (above the bars: duplex / one call)", by_clients, 1, False)
    parts.append("</svg>")
    file.write("\n".join(parts) + "\n")
    file.close()


def legend(y):
    parts, x = [], LEFT
    for side, name in NAMES.items():
        parts += [f'<rect x="{x}" y="{y}" width="12" height="12" fill="{COLOURS[side]}"/>', text(x + 18, y + 11, name)]
        x += 18 + 8 * len(name) + 24
    return parts


def panel(top, title, by_clients, which, higher_is_better):
    top += 24
    height = PANEL_HEIGHT - 40
    most = max(values[which] for cell in by_clients.values() for values in cell.values())
    step = round_step(most / 4)
    limit = step * (int(most / step) + 1)
    y_of = lambda value: top + height - value / limit * height
    parts = [text(LEFT, top - 8, title, weight="bold")]
    for index in range(int(limit / step) + 1):
        y = y_of(index * step)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>')
        parts.append(text(LEFT - 8, y + 4, f"{index * step:,.6g}", anchor="end", fill="#666"))
    width = (WIDTH - 20 - LEFT) / len(by_clients)
    for place, (clients, cell) in enumerate(by_clients.items()):
        left = LEFT + place * width + width * 0.14
        bar = width * 0.72 / len(COLOURS)
        for index, side in enumerate(COLOURS):
            value = cell[side][which]
            y = y_of(value)
            parts.append(
                f'<rect x="{left + index * bar:.1f}" y="{y:.1f}" width="{bar - 3:.1f}" height="{top + height - y:.1f}" '
                f'fill="{COLOURS[side]}"><title>{NAMES[side]}, {clients} clients: {value:,.6g}</title></rect>'
            )
        ratio = cell["duplex"][which] / cell["best_case"][which]
        good = (ratio >= 1) == higher_is_better
        x = left + 2.5 * bar
        parts.append(text(x, y_of(cell["duplex"][which]) - 5, f"{ratio:.2f}x", anchor="middle", fill="#222" if good else "#b00020"))
        parts.append(text(left + 1.5 * bar, top + height + 18, f"{clients} client{'s' if clients > 1 else ''}", anchor="middle"))
    return parts


def round_step(value):
    """1, 2 or 5 times a power of ten, not below `value`."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * times for times in (1, 2, 5, 10) if power * times >= value)


def text(x, y, words, anchor="start", size=13, weight="normal", fill="#222"):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{fill}">{words}</text>'
