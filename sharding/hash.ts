/**
 * PostgreSQL's extended hash functions at seed 0, the low 32 bits: Bob Jenkins' lookup3 over little-endian words. A slot
 * needs no more than 20 bits, so the high word is never computed, and all arithmetic stays in int32.
 * Golden vectors from a real server: testdata/*.golden.json.
 */

/** 0x9e3779b9 + 3923095, to which PostgreSQL adds the length in bytes. */
const start = (0x9e3779b9 + 3923095) | 0;

/** Low word of hash_bytes_uint32_extended(word, 0). */
export function hashWord(word: number): number {
  const init = (start + 4) | 0;
  return final((init + word) | 0, init, init);
}

/** Low word of hash_bytes_extended(bytes[0..length), 0). */
export function hashBytes(bytes: Uint8Array, length: number): number {
  let a = (start + length) | 0;
  let b = a;
  let c = a;
  let at = 0;
  for (; length - at >= 12; at += 12) {
    a = (a + wordAt(bytes, at)) | 0;
    b = (b + wordAt(bytes, at + 4)) | 0;
    c = (c + wordAt(bytes, at + 8)) | 0;
    a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
    b = (b + a) | 0;
    a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
    b = (b + a) | 0;
  }
  // The lowest byte of c stands for the length: the rest of c starts one byte higher.
  const rest = length - at;
  for (let i = 0; i < rest; i++) {
    const byte = bytes[at + i] ?? 0;
    if (i < 4) a = (a + (byte << (8 * i))) | 0;
    else if (i < 8) b = (b + (byte << (8 * (i - 4)))) | 0;
    else c = (c + (byte << (8 * (i - 7)))) | 0;
  }
  return final(a, b, c);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] ?? 0) |
    ((bytes[at + 1] ?? 0) << 8) |
    ((bytes[at + 2] ?? 0) << 16) |
    ((bytes[at + 3] ?? 0) << 24)
  );
}

function final(a: number, b: number, c: number): number {
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  return c;
}
