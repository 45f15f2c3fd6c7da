/** Spans of time as the API writes them: `300ms`, `10s`, `1h30m`, `30d`. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Milliseconds. The API server has checked the form: what is no duration counts as 0. */
export function durationMs(text: string): number {
  let total = 0;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+)(ms|s|m|h|d|w)/g)) {
    total += Number(amount) * (UNIT_MS[unit] ?? 0);
  }
  return total;
}
