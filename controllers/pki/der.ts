/**
 * Just enough of DER, the encoding of certificates: values out of bytes and bytes out of values. Writing is complete for what
 * certificate.ts puts together; reading walks what an X.509 parser has accepted already, and throws RangeError otherwise.
 */

/** Tags, as bytes. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

/** `[n]` with a value inside, and `[n]` in place of the value's own tag. */
export const explicit = (n: number): number => 0xa0 | n;
export const implicit = (n: number): number => 0x80 | n;

export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), lengthOf(body.length), body]);
}

export function sequence(...content: readonly Uint8Array[]): Buffer {
  return der(tags.sequence, ...content);
}

/** Of the magnitude's bytes, the highest first. */
export function unsigned(magnitude: Uint8Array): Buffer {
  const from = magnitude.findIndex(byte => byte !== 0);
  const bytes = from < 0 ? Buffer.from([0]) : magnitude.subarray(from);
  // A first bit that is set would mean a negative number.
  return der(tags.integer, Buffer.from((bytes[0] ?? 0) < 0x80 ? [] : [0]), bytes);
}

export const yes = der(tags.boolean, Buffer.from([0xff]));

/** `unused`: how many of the last byte's lowest bits do not count. */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return der(tags.bitString, Buffer.from([unused]), bytes);
}

/** From its dotted form. */
export function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** Whole seconds; two digits of the year before 2050, four from then on (RFC 5280). */
export function time(date: Date): Buffer {
  const digits = date
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(/[-:T]/g, '');
  return date.getUTCFullYear() < 2050
    ? der(tags.utcTime, Buffer.from(digits.slice(2)))
    : der(tags.generalizedTime, Buffer.from(digits));
}

export interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

/** The elements that follow each other in these bytes. */
export function elements(bytes: Buffer): readonly Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    let start = at + 2;
    let length = bytes.readUInt8(at + 1);
    if (length >= 0x80) {
      const digits = length & 0x7f;
      length = bytes.readUIntBE(start, digits);
      start += digits;
    }
    const end = start + length;
    if (end > bytes.length) throw new RangeError('an element is longer than what holds it');
    found.push({
      tag: bytes.readUInt8(at),
      content: bytes.subarray(start, end),
      whole: bytes.subarray(at, end),
    });
    at = end;
  }
  return found;
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
  return Buffer.from([0x80 | digits.length, ...digits]);
}

/** Seven bits a byte, all but the last one marked. */
function base128(value: number): number[] {
  const digits = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    digits.unshift((rest % 128) | 0x80);
  return digits;
}
