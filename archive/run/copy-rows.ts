/**
 * Rows of a query as bytes, by COPY in the server's binary form, with no more in memory than the network brings at once. The driver's
 * ordinary rows are of no use: it decodes every value as text, and bytes that are no text are lost.
 */
import type { Client } from 'pg';
import { to as copyTo } from 'pg-copy-streams';

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** The signature, flags, and the length of an extension that there is none of. */
const HEADER_BYTES = signature.length + 8;

/** The fields of one row, each a stretch of `bytes`. */
export interface RawRow {
  readonly bytes: Buffer;
  readonly starts: readonly number[];
  /** -1: null. */
  readonly lengths: readonly number[];
  /** Of all fields together. */
  readonly size: number;
}

/** Must be read to its end: the connection is of no use before. */
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
    let at = 0;
    for (;;) {
      const row = takeRow(rest, at);
      wanted = row.end - at;
      if (row.end > rest.length) break;
      at = row.end;
      if (row.row) yield row.row;
    }
    rest = rest.subarray(at);
    waiting = [rest];
    bytes = rest.length;
  }
  if (bytes > 0) throw new Error('COPY ends in the middle of a row');
}

/** Where it ends; when that is beyond the bytes: at least there. Without a row: the end of all. */
function takeRow(bytes: Buffer, begin: number): { readonly end: number; readonly row?: RawRow } {
  if (bytes.length < begin + 2) return { end: begin + 2 };
  const fields = bytes.readInt16BE(begin);
  if (fields === -1) return { end: begin + 2 };
  const [starts, lengths]: [number[], number[]] = [[], []];
  let at = begin + 2;
  for (let field = 0; field < fields; field++) {
    if (bytes.length < at + 4) return { end: at + 4 };
    const length = bytes.readInt32BE(at);
    at += 4;
    starts.push(at);
    lengths.push(length);
    if (length > 0) at += length;
    if (bytes.length < at) return { end: at };
  }
  return { end: at, row: { bytes, starts, lengths, size: at - begin } };
}
