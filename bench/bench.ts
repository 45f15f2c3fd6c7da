/** What a bench is: a module that gives one JSON object, and tells how it goes on standard error. */
export interface Bench {
  /** Resolves with the figures; the field `bench` is the bench's name. */
  run(): Promise<object>;
}

/** Progress for whoever waits; standard output is for the one JSON line. */
export function report(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function round(value: number, digits = 2): number {
  return Number(value.toFixed(digits));
}
