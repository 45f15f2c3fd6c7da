import { describe, expect, test } from 'vitest';
import { bitString, der, elements, objectId, sequence, tags, time, unsigned } from './der.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('what is written', () => {
  test.each([
    [0x7f, '047f'],
    [0x80, '048180'],
    [0xff, '0481ff'],
    [0x100, '04820100'],
    [0x1_0000, '0483010000'],
  ])('a length of %i', (length, head) => {
    const written = der(tags.octetString, Buffer.alloc(length));
    expect(hex(written.subarray(0, written.length - length))).toBe(head);
    expect(elements(written)[0]?.content).toHaveLength(length);
  });

  test.each([
    ['00', '020100'],
    ['7f', '02017f'],
    ['80', '02020080'],
    ['0000ff', '020200ff'],
    ['0100', '02020100'],
  ])('the number %s', (magnitude, whole) => {
    expect(hex(unsigned(Buffer.from(magnitude, 'hex')))).toBe(whole);
  });

  test('object ids', () => {
    expect(hex(objectId('1.2.840.10045.4.3.2'))).toBe('06082a8648ce3d040302');
    expect(hex(objectId('2.5.29.17'))).toBe('0603551d11');
  });

  test('bits', () => {
    expect(hex(bitString(Buffer.from([0x80]), 7))).toBe('03020780');
  });

  test.each([
    ['2026-01-02T03:04:05.678Z', tags.utcTime, '260102030405Z'],
    ['2049-12-31T23:59:59Z', tags.utcTime, '491231235959Z'],
    ['2050-01-01T00:00:00Z', tags.generalizedTime, '20500101000000Z'],
  ])('the time %s', (date, tag, text) => {
    expect(elements(time(new Date(date)))).toEqual([
      expect.objectContaining({ tag, content: Buffer.from(text) }),
    ]);
  });
});

describe('what is read', () => {
  test('elements in their order, with and without their heads', () => {
    const [one, two] = [unsigned(Buffer.from([1])), unsigned(Buffer.from([2]))];
    const [list] = elements(sequence(one, two));
    expect(elements(list?.content ?? Buffer.alloc(0)).map(({ whole }) => hex(whole))).toEqual([
      hex(one),
      hex(two),
    ]);
  });

  test.each(['0405', '048201', '0482ffff00', '04'])('damage is an error: %s', bytes => {
    expect(() => elements(Buffer.from(bytes, 'hex'))).toThrow(RangeError);
  });
});
