/** Exact arithmetic on decimal numbers as text, as the driver gives `bigint` and `numeric`. */
const form = /^-?\d+(?:\.\d+)?$/;

export function isDecimal(text: string): boolean {
  return form.test(text);
}

export function addDecimals(left: string, right: string): string {
  const scale = Math.max(scaleOf(left), scaleOf(right));
  return format(unscaled(left, scale) + unscaled(right, scale), scale);
}

export function compareDecimals(left: string, right: string): number {
  const scale = Math.max(scaleOf(left), scaleOf(right));
  const difference = unscaled(left, scale) - unscaled(right, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** To 16 digits after the point at least, rounded half away from zero: about what PostgreSQL's avg gives. */
export function divideDecimals(dividend: string, divisor: string): string {
  const scale = Math.max(16, scaleOf(dividend), scaleOf(divisor));
  const numerator = unscaled(dividend, scale) * 10n ** BigInt(scale);
  const denominator = unscaled(divisor, scale);
  const negative = numerator < 0n !== denominator < 0n;
  const [n, d] = [abs(numerator), abs(denominator)];
  const quotient = (2n * n + d) / (2n * d);
  return format(negative ? -quotient : quotient, scale);
}

function scaleOf(text: string): number {
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}

function unscaled(text: string, scale: number): bigint {
  return BigInt(text.replace('.', '') + '0'.repeat(scale - scaleOf(text)));
}

function format(value: bigint, scale: number): string {
  if (scale === 0) return String(value);
  const digits = String(abs(value)).padStart(scale + 1, '0');
  const sign = value < 0n ? '-' : '';
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}
