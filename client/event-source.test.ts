import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readEvents, type ServerSentEvent } from './event-source.ts';

async function* inPieces(text: string, cuts: readonly number[]): AsyncGenerator<string> {
  const points = [0, ...cuts.map(cut => cut % (text.length + 1)).toSorted((a, b) => a - b), text.length];
  for (const [at, start] of points.entries()) yield text.slice(start, points[at + 1]);
}

async function read(text: string, cuts: readonly number[] = []) {
  const events: ServerSentEvent[] = [];
  let signs = 0;
  for await (const event of readEvents(inPieces(text, cuts), () => signs++)) events.push(event);
  return { events, signs };
}

describe('readEvents', () => {
  const text =
    ': alive\n\nid: 1\nevent: map\ndata: {"a":1}\n\n: alive\n\nid: 2\ndata: {"b":2}\n\nid: 3\ndata: cut';

  it('gives whole events only, however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async cuts => {
        expect((await read(text, cuts)).events).toEqual([
          { id: '1', event: 'map', data: '{"a":1}' },
          { id: '2', event: 'message', data: '{"b":2}' },
        ]);
      }),
    );
  });

  it('takes a comment for a sign of life', async () => {
    expect(await read(': alive\n\n')).toMatchObject({ events: [], signs: expect.any(Number) });
    expect((await read(': alive\n\n')).signs).toBeGreaterThan(0);
  });
});
