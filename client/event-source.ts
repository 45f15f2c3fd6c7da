/** Reads a stream of server-sent events, as the WHATWG HTML standard has it, as far as one event has one `data` line. */
export interface ServerSentEvent {
  readonly id: string;
  /** As the server calls it; `message` if it says nothing. */
  readonly event: string;
  readonly data: string;
}

/** Bytes of one event; beyond it the stream is damaged. */
const maxEventChars = 64 * 1024 * 1024;

/** Yields events as they are complete. Comments (heartbeats) yield nothing; `alive` is called for every chunk. */
export async function* readEvents(
  chunks: AsyncIterable<string>,
  alive: () => void,
): AsyncGenerator<ServerSentEvent, void> {
  let pieces: string[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    alive();
    let rest = chunk;
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      pieces.push(rest.slice(0, end + 1));
      rest = rest.slice(end + 1);
      const text = pieces.join('');
      if (!text.endsWith('\n\n')) continue;
      pieces = [];
      size = 0;
      const event = parseEvent(text);
      if (event !== undefined) yield event;
    }
    pieces.push(rest);
    size += rest.length;
    if (size > maxEventChars) throw new RangeError('an event of the map service never ends');
  }
}

function parseEvent(text: string): ServerSentEvent | undefined {
  let id = '';
  let event = 'message';
  let data: string | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('id:')) id = line.slice(3).trim();
    if (line.startsWith('event:')) event = line.slice(6).trim();
    if (line.startsWith('data:')) data = line.slice(5).trim();
  }
  return data === undefined ? undefined : { id, event, data };
}
