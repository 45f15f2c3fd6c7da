/**
 * Rows of a query as bytes, by COPY in the server's binary form, with no more in memory than the network brings at once. The driver's
 * ordinary rows are of no use: it decodes every value as text, and bytes that are no text are lost.
 */
import type { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** The signature, flags, and the length of an extension that there is none of. */
const HEADER_BYTES = signature.length + 8;

export type RawRow = readonly (Buffer | null)[];

/** Must be read to its end: the connection is of no use before. The values are views of what the network brought. */
export async function* copyRows(client: Client, query: string): AsyncGenerator<RawRow> {
  const stream = client.query(copyTo(`COPY (${query}) TO STDOUT (FORMAT binary)`));
  let waiting: Buffer[] = [];
  let bytes = 0;
  let wanted = HEADER_BYTES;
  let begun = false;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    waiting.push(chunk);
    bytes += chunk.length;
    // A long row comes in many pieces, which are put together once.
    if (bytes < wanted) continue;
    let rest = waiting.length === 1 ? chunk : Buffer.concat(waiting);
    if (!begun) {
      if (!rest.subarray(0, signature.length).equals(signature))
        throw new Error('COPY does not begin as it should');
      rest = rest.subarray(HEADER_BYTES);
      begun = true;
    }
    for (;;) {
      const row = takeRow(rest);
      wanted = row.bytes;
      if (wanted > rest.length) break;
      rest = rest.subarray(wanted);
      if (row.values) yield row.values;
    }
    waiting = [rest];
    bytes = rest.length;
  }
  if (bytes > 0) throw new Error('COPY ends in the middle of a row');
}

/** How many bytes it takes; when more than there are: at least so many. Without values: the end. */
function takeRow(bytes: Buffer): { readonly bytes: number; readonly values?: RawRow } {
  if (bytes.length < 2) return { bytes: 2 };
  const fields = bytes.readInt16BE(0);
  if (fields === -1) return { bytes: 2 };
  const values: (Buffer | null)[] = [];
  let at = 2;
  for (let field = 0; field < fields; field++) {
    if (bytes.length < at + 4) return { bytes: at + 4 };
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < 0) {
      values.push(null);
      continue;
    }
    if (bytes.length < at + length) return { bytes: at + length };
    values.push(bytes.subarray(at, at + length));
    at += length;
  }
  return { bytes: at, values };
}
