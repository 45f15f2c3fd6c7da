/** Splits a byte stream into lines, in batches as they arrive. A line may span any number of chunks; linear in bytes. */
export async function* lineBatches(source: AsyncIterable<Uint8Array>): AsyncGenerator<string[], void, void> {
  const newline = 0x0a;
  let pending: Uint8Array[] = [];
  for await (const chunk of source) {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      pending.push(chunk.subarray(start, end));
      const line = Buffer.concat(pending).toString('utf8');
      pending = [];
      start = end + 1;
      if (line.length > 0) lines.push(line);
    }
    if (start < chunk.length) pending.push(chunk.subarray(start));
    if (lines.length > 0) yield lines;
  }
}
