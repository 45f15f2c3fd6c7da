/** Columns of text, as kubectl prints them: padded with spaces, three between, none at the end of a line. */

export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map(line => width(line[column] ?? ''))));
  return lines
    .map(line =>
      header
        .map((_, column) => {
          const text = line[column] ?? '';
          return text + ' '.repeat((widths[column] ?? 0) - width(text));
        })
        .join('   ')
        .trimEnd(),
    )
    .map(line => `${line}\n`)
    .join('');
}

/** Name and value, one pair a line; pairs without a value are left out. */
export function fields(pairs: readonly (readonly [name: string, value: string | undefined])[]): string {
  const shown = pairs.flatMap(([name, value]) => (value === undefined ? [] : [[`${name}:`, value] as const]));
  const longest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(longest)} ${value}\n`).join('');
}

/** Columns on a terminal, nearly: one for each code point. */
function width(text: string): number {
  return Array.from(text).length;
}
