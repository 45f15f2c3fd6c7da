/**
 * PostgreSQL's extended hash functions at seed 0, the low 32 bits: Bob Jenkins' lookup3 over little-endian words. A slot
 * needs no more than 20 bits, so the high word is only told on request, and all arithmetic stays in int32.
 * Golden vectors from a real server: testdata/*.golden.json.
 */

/** 0x9e3779b9 + 3923095, to which PostgreSQL adds the length in bytes. */
const start = (0x9e3779b9 + 3923095) | 0;

/** Low word of hash_bytes_uint32_extended(word, 0). */
export function hashWord(word: number): number {
  const init = (start + 4) | 0;
  return final((init + word) | 0, init, init);
}

/**
 * Low word of hash_bytes_extended(bytes, 0). `words` holds the bytes four by four, lowest first, with zeros up to the end
 * of the block of three words in which the last byte lies, or of one more when `length` divides by 12. `high`, if given,
 * receives the high word at its place 0.
 */
export function hashWords(words: Int32Array, length: number, high?: Int32Array): number {
  let a = (start + length) | 0;
  let b = a;
  let c = a;
  let at = 0;
  for (let rest = length; rest >= 12; rest -= 12, at += 3) {
    a = (a + (words[at] ?? 0)) | 0;
    b = (b + (words[at + 1] ?? 0)) | 0;
    c = (c + (words[at + 2] ?? 0)) | 0;
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
  // The lowest byte of c stands for the length: the rest of c, three bytes at most, starts one byte higher.
  a = (a + (words[at] ?? 0)) | 0;
  b = (b + (words[at + 1] ?? 0)) | 0;
  c = (c + ((words[at + 2] ?? 0) << 8)) | 0;
  return final(a, b, c, high);
}

function final(a: number, b: number, c: number, high?: Int32Array): number {
  c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
  a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
  b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
  c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
  a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
  b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
  c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
  if (high) high[0] = b;
  return c;
}
