/** Kubernetes quantities, as far as sizes need them. */

const binary: Readonly<Record<string, number>> = {
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};
const decimal: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, m: 1e-3 };

/** Bytes of `1Gi`, `500M`, `1e9`, `1073741824`. Undefined for what is no quantity. */
export function quantityBytes(quantity: string): number | undefined {
  const match = /^([0-9.]+(?:[eE][0-9]+)?)([A-Za-z]{0,2})$/.exec(quantity);
  if (!match) return undefined;
  const suffix = match[2] ?? '';
  const factor = suffix === '' ? 1 : (binary[suffix] ?? decimal[suffix]);
  const bytes = Number(match[1]) * (factor ?? Number.NaN);
  return Number.isFinite(bytes) ? Math.round(bytes) : undefined;
}
